/* SPDX-License-Identifier: MIT */
/* Paths of unix sockets that are kept from being removed, and what else lies at such a path. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/capability.h>
#include <cmocka.h>

#include "hp/err.h"
#include "restart/shield.h"
#include "rig/sleeper.h"
#include "service/inventory.h"

#define DIR "/run/hp"

static struct hp_err err;
static struct hp_listeners l;
static pid_t pid; /* the server: what we have listening, it has */
static int sock[2];
static unsigned told;

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	strcpy(un.sun_path, path);
	return un;
}

static int listen_at(const char *path)
{
	const struct sockaddr_un un = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static bool answers(const char *path)
{
	const struct sockaddr_un un = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool good = connect(fd, (const struct sockaddr *)&un, sizeof(un)) == 0;

	close(fd);
	return good;
}

/* How often something is mounted there. */
static unsigned mounts_of(pid_t who, const char *path)
{
	char line[4096], where[256];
	unsigned n = 0;
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%d/mountinfo", (int)who);
	f = fopen(line, "re");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += sscanf(line, "%*d %*d %*s %*s %255s", where) == 1 && !strcmp(where, path);
	fclose(f);
	return n;
}

static unsigned mounts(const char *path)
{
	return mounts_of(getpid(), path);
}

static int set_up(void **state)
{
	assert_int_equal(mkdir(DIR "/s", 0755), 0);
	sock[0] = listen_at(DIR "/s/one");
	sock[1] = listen_at(DIR "/s/two");
	told = 0;
	pid = sleeper_start();
	return pid > 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	hp_listeners_free(&l);
	sleeper_end(pid);
	close(sock[0]);
	close(sock[1]);
	unlink(DIR "/s/one");
	unlink(DIR "/s/two");
	return rmdir(DIR "/s");
}

static int inventory(void)
{
	const struct hp_procs procs = {.v = &pid, .n = 1};

	return hp_listeners_read(&l, &procs, false, &err);
}

/* They have their numbers, and are not there. */
static void known(void *arg)
{
	assert_ptr_equal(arg, &told);
	assert_int_equal(mounts(DIR "/s/one") + mounts(DIR "/s/two"), *(unsigned *)arg);
	assert_true(l.v[0].shield && l.v[1].shield && l.v[0].shield != l.v[1].shield);
	told++;
}

static void raise_it(void)
{
	assert_int_equal(inventory(), 0);
	assert_int_equal(l.n, 2);
	if (hp_shield_raise(&l, pid, known, &told, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(told, 1);
}

static void keeps_a_path(void **state)
{
	raise_it();
	assert_int_equal(mounts(DIR "/s/one"), 1);
	assert_int_equal(unlink(DIR "/s/one"), -1);
	assert_int_equal(errno, EBUSY);
	assert_true(answers(DIR "/s/one"));
	hp_shield_lower(&l, pid);
	assert_int_equal(mounts(DIR "/s/one") + mounts(DIR "/s/two"), 0);
	assert_true(answers(DIR "/s/one"));
	assert_int_equal(unlink(DIR "/s/one"), 0);
}

/* Whoever owns the directory chooses what is there. */
static void another_file(void **state)
{
	assert_int_equal(rename(DIR "/s", DIR "/t"), 0);
	assert_int_equal(mkdir(DIR "/root", 0755), 0);
	close(listen_at(DIR "/root/one"));
	assert_int_equal(symlink("root", DIR "/s"), 0);
	assert_int_equal(inventory(), -HP_E_TARGET);
	assert_non_null(strstr(err.text, "'" DIR "/s/one', but another file is at that path"));
	assert_int_equal(unlink(DIR "/s"), 0);
	assert_int_equal(inventory(), -HP_E_TARGET);
	assert_non_null(strstr(err.text, "leads nowhere"));
	assert_int_equal(unlink(DIR "/root/one"), 0);
	assert_int_equal(rmdir(DIR "/root"), 0);
	assert_int_equal(rename(DIR "/t", DIR "/s"), 0);
	assert_int_equal(inventory(), 0);
}

/* … also when it has been found to be the right one. */
static void another_file_later(void **state)
{
	assert_int_equal(inventory(), 0);
	assert_int_equal(rename(DIR "/s", DIR "/t"), 0);
	assert_int_equal(mkdir(DIR "/root", 0755), 0);
	close(listen_at(DIR "/root/one"));
	close(listen_at(DIR "/root/two"));
	assert_int_equal(symlink("root", DIR "/s"), 0);
	assert_int_equal(hp_shield_raise(&l, pid, known, &told, &err), -HP_E_TARGET);
	assert_int_equal(told, 0);
	assert_int_equal(mounts(DIR "/root/one") + mounts(DIR "/root/two"), 0);
	assert_int_equal(unlink(DIR "/s"), 0);
	assert_int_equal(unlink(DIR "/root/one"), 0);
	assert_int_equal(unlink(DIR "/root/two"), 0);
	assert_int_equal(rmdir(DIR "/root"), 0);
	assert_int_equal(rename(DIR "/t", DIR "/s"), 0);
}

/* The service's own mount is no less its own when hp has failed. */
static void all_or_none(void **state)
{
	assert_int_equal(mount(DIR "/s/one", DIR "/s/one", NULL, MS_BIND, NULL), 0);
	assert_int_equal(inventory(), 0);
	assert_int_equal(unlink(DIR "/s/two"), 0);
	assert_int_equal(hp_shield_raise(&l, pid, known, &told, &err), -HP_E_TARGET);
	assert_int_equal(mounts(DIR "/s/one"), 1);
	hp_shield_lower(&l, pid);
	assert_int_equal(mounts(DIR "/s/one"), 1);
	assert_int_equal(umount2(DIR "/s/one", MNT_DETACH), 0);
}

static void remove_two(void *arg)
{
	(*(unsigned *)arg)++;
	assert_int_equal(unlink(DIR "/s/two"), 0);
}

static void one_is_taken_back(void **state)
{
	assert_int_equal(inventory(), 0);
	assert_string_equal(l.v[0].text, "unix " DIR "/s/one");
	assert_int_equal(hp_shield_raise(&l, pid, remove_two, &told, &err), -HP_E_TARGET);
	assert_int_equal(told, 1);
	assert_int_equal(mounts(DIR "/s/one"), 0);
}

static void what_others_mount(void **state)
{
	raise_it();
	assert_int_equal(mount(DIR "/s/one", DIR "/s/one", NULL, MS_BIND, NULL), 0);
	hp_shield_lower(&l, pid);
	assert_int_equal(mounts(DIR "/s/one"), 2);
	assert_int_equal(mounts(DIR "/s/two"), 0);
	assert_int_equal(umount2(DIR "/s/one", MNT_DETACH), 0);
	hp_shield_lower(&l, pid);
	assert_int_equal(mounts(DIR "/s/one"), 0);
}

/* The namespace lives on, when it is ours too. */
static void nobody_is_left(void **state)
{
	raise_it();
	sleeper_end(pid);
	hp_shield_lower(&l, pid);
	assert_int_equal(mounts(DIR "/s/one") + mounts(DIR "/s/two"), 0);
	pid = sleeper_start();
}

/* In a namespace of its own, without /proc. */
static void another_namespace(void **state)
{
	int to[2];
	char c;

	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	sleeper_end(pid);
	pid = fork();
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || unshare(CLONE_NEWNS) ||
		    mount("none", "/proc", "tmpfs", 0, NULL) || write(to[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(to[0], &c, 1), 1);
	raise_it();
	assert_int_equal(mounts(DIR "/s/one"), 0);
	assert_int_equal(mounts_of(pid, DIR "/s/one"), 1);
	hp_shield_lower(&l, pid);
	assert_int_equal(mounts_of(pid, DIR "/s/one"), 0);
	close(to[0]);
	close(to[1]);
}

/* Who could not tell must not guess. */
static void without_the_right(void **state)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
		struct __user_cap_data_struct data[2];
		bool good = syscall(SYS_capget, &head, data) == 0;

		data[0].effective &= ~(1u << CAP_NET_ADMIN);
		good = good && syscall(SYS_capset, &head, data) == 0 && inventory() == -HP_E_DENIED &&
		       strstr(err.text, "CAP_NET_ADMIN");
		_exit(!good);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* … nor mounts of others'. */
static int of_our_own(void **state)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    (mkdir(DIR, 0755) && errno != EEXIST))
		return -1;
	return mount("none", DIR, "tmpfs", 0, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keeps_a_path, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_file_later, set_up, tear_down),
		cmocka_unit_test_setup_teardown(all_or_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_is_taken_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_others_mount, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nobody_is_left, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_namespace, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_the_right, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, of_our_own, NULL);
}
