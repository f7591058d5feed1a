/* SPDX-License-Identifier: MIT */
/* What a reader may not do ends it, and it has nothing. */
#include "elf_files.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "elf/reader_priv.h"

struct act {
	const char *name;
	void (*act)(void);
};

static void do_open(void)
{
	syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static void do_socket(void)
{
	syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void do_connect(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET};

	syscall(SYS_connect, 3, &to, sizeof(to));
}

static void do_ptrace(void)
{
	syscall(SYS_ptrace, PTRACE_ATTACH, getppid(), 0, 0);
}

static void do_execve(void)
{
	char *argv[] = {"/bin/true", NULL};

	syscall(SYS_execve, argv[0], argv, NULL);
}

static void do_fork(void)
{
	syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void do_kill(void)
{
	syscall(SYS_kill, getppid(), 0);
}

static void do_read_another(void)
{
	syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}

static void do_ioctl(void)
{
	syscall(SYS_ioctl, 0, 0, 0);
}

static void do_io_uring(void)
{
	syscall(SYS_io_uring_setup, 1, NULL);
}

static void do_map_code(void)
{
	syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void do_mprotect(void)
{
	syscall(SYS_mprotect, (uintptr_t)do_mprotect & ~4095ul, 4096, PROT_READ | PROT_EXEC);
}

static const struct act acts[] = {
	{"openat", do_open},	   {"socket", do_socket},	  {"connect", do_connect},
	{"ptrace", do_ptrace},	   {"execve", do_execve},	  {"clone", do_fork},
	{"kill", do_kill},	   {"process_vm_readv", do_read_another},
	{"ioctl", do_ioctl},	   {"io_uring_setup", do_io_uring}, {"mmap of code", do_map_code},
	{"mprotect", do_mprotect},
};

static int answer_by_act(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	const struct act *a = q->arg;

	a->act();
	return 0;
}

static const struct hp_verb act_verb = {.what = "acts", .answer = answer_by_act};

#ifdef __SANITIZE_ADDRESS__
#define FILTERED 0
#elif defined(__has_feature)
#define FILTERED !__has_feature(address_sanitizer)
#else
#define FILTERED 1
#endif

static void is_killed_for_it(void **state)
{
	for (size_t i = 0; FILTERED && i < sizeof(acts) / sizeof(acts[0]); i++) {
		const struct hp_question q = {.verb = &act_verb, .arg = &acts[i]};
		struct hp_err err = {.text = ""};
		struct hp_told a;
		struct hp_reader *r;

		assert_int_equal(hp_reader_new(&r, "x", NULL), 0);
		if (hp_reader_ask(r, &q, &a, &err) != -HP_E_READER ||
		    !strstr(err.text, "killed by signal 31"))
			fail_msg("%s: %s", acts[i].name, err.text);
		hp_reader_free(r);
	}
}

static void field_of(pid_t pid, const char *name, char *buf, size_t n)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	*buf = 0;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			snprintf(buf, n, "%.*s", (int)strcspn(line, "\n"), line);
	fclose(f);
}

static int answer_nothing(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	return 0;
}

static const struct hp_verb nothing_verb = {.what = "nothing", .answer = answer_nothing};

static void has_nothing(void **state)
{
	const struct hp_question q = {.verb = &nothing_verb};
	char text[256], entry[256];
	struct hp_reader *r;
	struct hp_told a;
	pid_t pid;

	assert_int_equal(hp_reader_new(&r, "x", NULL), 0);
	assert_int_equal(hp_reader_ask(r, &q, &a, NULL), 0);
	hp_told_free(&a);
	pid = hp_reader_pid(r);
	field_of(pid, "CapEff", text, sizeof(text));
	assert_contains(text, "0000000000000000");
	field_of(pid, "CapPrm", text, sizeof(text));
	assert_contains(text, "0000000000000000");
	field_of(pid, "NoNewPrivs", text, sizeof(text));
	assert_contains(text, "1");
	if (FILTERED) {
		field_of(pid, "Seccomp:", text, sizeof(text));
		assert_contains(text, "2");
	}
	field_of(pid, "Uid", text, sizeof(text));
	assert_contains(text, "65531\t65531\t65531\t65531");
	snprintf(entry, sizeof(entry), "ls -A /proc/%d/root/ | wc -l | grep -qx 0", (int)pid);
	assert_int_equal(system(entry), 0);
	snprintf(entry, sizeof(entry), "ls /proc/%d/fd | wc -l | grep -qx 1", (int)pid);
	assert_int_equal(system(entry), 0);
	hp_reader_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_killed_for_it),
		cmocka_unit_test(has_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
