/* SPDX-License-Identifier: MIT */
/* What the roles may do and may not: each is taken on by a child, which then tries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/confine.h"
#include "base/fd.h"
#include "hp/err.h"

/* As in base/confine.c: a sanitizer's runtime makes calls of its own. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define UNDER_SANITIZER
#endif

#ifndef UNDER_SANITIZER
struct attempt {
	const char *name;
	long nr;
	long arg[6];
};

static const char nowhere[] = "/nowhere";

/* What a process does who has got hold of another one. */
static const struct attempt evil[] = {
	{"openat", SYS_openat, {AT_FDCWD, (long)nowhere, O_RDONLY}},
	{"open", SYS_open, {(long)nowhere, O_RDONLY}},
	{"openat2", SYS_openat2, {AT_FDCWD, (long)nowhere, 0, 0}},
	{"socket", SYS_socket, {1, 1, 0}},
	{"socketpair", SYS_socketpair, {1, 1, 0, 0}},
	{"connect", SYS_connect, {0, (long)nowhere, 2}},
	{"bind", SYS_bind, {0, (long)nowhere, 2}},
	{"accept4", SYS_accept4, {0, 0, 0, 0}},
	{"execve", SYS_execve, {(long)nowhere, 0, 0}},
	{"execveat", SYS_execveat, {AT_FDCWD, (long)nowhere, 0, 0, 0}},
	{"fork", SYS_fork, {0}},
	{"clone", SYS_clone, {SIGCHLD, 0, 0, 0, 0}},
	{"ptrace", SYS_ptrace, {16, 1, 0, 0}},
	{"process_vm_readv", SYS_process_vm_readv, {1, 0, 0, 0, 0, 0}},
	{"process_vm_writev", SYS_process_vm_writev, {1, 0, 0, 0, 0, 0}},
	{"kill", SYS_kill, {1, 0}},
	{"tgkill", SYS_tgkill, {1, 1, 0}},
	{"pidfd_send_signal", SYS_pidfd_send_signal, {0, 0, 0, 0}},
	{"io_uring_setup", SYS_io_uring_setup, {1, 0}},
	{"io_uring_register", SYS_io_uring_register, {0, 0, 0, 0}},
	{"mmap of code", SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
	{"mprotect to code", SYS_mprotect, {0, 4096, PROT_READ | PROT_EXEC}},
	{"mount", SYS_mount, {0, 0, 0, 0, 0}},
	{"setns", SYS_setns, {0, 0}},
	{"unshare", SYS_unshare, {0}},
	{"setuid", SYS_setuid, {0}},
	{"capset", SYS_capset, {0, 0}},
	{"chroot", SYS_chroot, {(long)nowhere}},
	{"prctl", SYS_prctl, {PR_SET_DUMPABLE, 1}},
	{"bpf program", SYS_bpf, {BPF_PROG_LOAD, 0, 0}},
	{"perf_event_open", SYS_perf_event_open, {0, 0, 0, 0, 0}},
	{"userfaultfd", SYS_userfaultfd, {0}},
	{"dup2", SYS_dup2, {0, 1}},
	{"fcntl", SYS_fcntl, {0, F_GETFD}},
	{"seccomp", SYS_seccomp, {0, 0, 0}},
	{"init_module", SYS_init_module, {0, 0, 0}},
	{"memfd_create", SYS_memfd_create, {(long)nowhere, 0}},
};

#endif

static void take_on(enum hp_role role)
{
	struct hp_err err;

	if (hp_confine_rights(role, &err) < 0 || hp_confine_calls(role, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		_exit(99);
	}
}

/* What became of it: an exit status, or minus a signal. */
static int fate(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

#ifndef UNDER_SANITIZER
static int try(enum hp_role role, const struct attempt *a)
{
	pid_t pid = fork();

	if (pid == 0) {
		take_on(role);
		(void)syscall(a->nr, a->arg[0], a->arg[1], a->arg[2], a->arg[3], a->arg[4], a->arg[5]);
		_exit(0);
	}
	return fate(pid);
}

static void kills_what_is_not_in_the_row(void **state)
{
	for (enum hp_role r = 0; r < HP_ROLES; r++)
		for (size_t i = 0; i < sizeof(evil) / sizeof(evil[0]); i++)
			if (try(r, &evil[i]) != -SIGSYS)
				fail_msg("%s may %s", hp_confinements[r].name, evil[i].name);
}

/* Clients may pass descriptors on their connections. */
static void front_hears_its_monitor_alone(void **state)
{
	const struct attempt other = {"hear another", SYS_recvmsg, {HP_FRONT_SOCKET + 1, 0, 0}};
	const struct attempt monitor = {"hear its monitor", SYS_recvmsg, {HP_FRONT_SOCKET, 0, 0}};

	assert_int_equal(try(HP_ROLE_FRONT, &other), -SIGSYS);
	assert_int_equal(try(HP_ROLE_FRONT, &monitor), 0);
}

#endif

static unsigned long long field(pid_t pid, const char *name, int base)
{
	char path[64], *text, *at;
	unsigned long long n;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	assert_int_equal(hp_read_file(AT_FDCWD, path, 65536, &text, NULL), 0);
	at = strstr(text, name);
	assert_non_null(at);
	n = strtoull(at + strlen(name), NULL, base);
	free(text);
	return n;
}

/* A child in its role, which waits to be killed. */
static pid_t begin(enum hp_role role)
{
	const int ready_fd = STDERR_FILENO; /* what every role may write to */
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		dup2(ready[1], ready_fd);
		take_on(role);
		(void)!write(ready_fd, "", 1);
		for (;;)
			(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_sec = 1}, NULL);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(c, 0);
	close(ready[0]);
	return pid;
}

static void has_no_more_rights_than_its_row(void **state)
{
	for (enum hp_role r = 0; r < HP_ROLES; r++) {
		const struct hp_confinement *c = &hp_confinements[r];
		char path[64], root[64] = "";
		pid_t pid = begin(r);

		(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
		assert_true(readlink(path, root, sizeof(root) - 1) > 0);
		assert_string_equal(root, c->uid ? HP_EMPTY_ROOT : "/");
		assert_int_equal(field(pid, "\nUid:\t", 10), c->uid);
		assert_int_equal(field(pid, "\nGid:\t", 10), c->uid);
		assert_int_equal(field(pid, "\nNoNewPrivs:\t", 10), 1);
		assert_int_equal(field(pid, "\nCapEff:\t", 16) & ~c->caps, 0);
		assert_int_equal(field(pid, "\nCapPrm:\t", 16) & ~c->caps, 0);
		assert_int_equal(field(pid, "\nCapInh:\t", 16), 0);
#ifndef UNDER_SANITIZER
		assert_int_equal(field(pid, "\nSeccomp:\t", 10), 2);
#endif
		kill(pid, SIGKILL);
		(void)fate(pid);
	}
}

static void refuses_a_root_that_others_write_to(void **state)
{
	struct hp_err err;
	pid_t pid;

	assert_true(mkdir(HP_EMPTY_ROOT, 0555) == 0 || errno == EEXIST);
	assert_int_equal(chmod(HP_EMPTY_ROOT, 0777), 0);
	pid = fork();
	if (pid == 0)
		_exit(hp_confine_rights(HP_ROLE_FRONT, &err) < 0 ? 7 : 0);
	assert_int_equal(fate(pid), 7);
	assert_int_equal(chmod(HP_EMPTY_ROOT, 0555), 0);
}

static void capabilities_are_gone_for_good(void **state)
{
	uint64_t keep = 1ull << CAP_KILL;
	struct hp_err err;
	pid_t pid = fork();

	if (pid == 0) {
		if (hp_confine_caps(keep, &err) < 0)
			_exit(1);
		if (field(getpid(), "\nCapEff:\t", 16) != keep ||
		    field(getpid(), "\nCapPrm:\t", 16) != keep)
			_exit(2);
		if (chroot("/") == 0 || errno != EPERM)
			_exit(3);
		/* To root an execve gives all that its bounding set has. */
		execl("/bin/grep", "grep", "-q", "^CapEff:.*0000000020$", "/proc/self/status", NULL);
		_exit(4);
	}
	assert_int_equal(fate(pid), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifndef UNDER_SANITIZER
		cmocka_unit_test(kills_what_is_not_in_the_row),
		cmocka_unit_test(front_hears_its_monitor_alone),
#endif
		cmocka_unit_test(has_no_more_rights_than_its_row),
		cmocka_unit_test(refuses_a_root_that_others_write_to),
		cmocka_unit_test(capabilities_are_gone_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
