/* SPDX-License-Identifier: MIT */
/* Who could become whom by himself, and what is executed with the rights of another. */
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/lifeline.h"
#include "hp/err.h"
#include "service/creds.h"

#define IDS(n)	  {(n), (n), (n)}
#define WHO(u, g) {.uid = IDS(u), .gid = IDS(g)}
#define CAP(name) (1ull << CAP_##name)
#define ROOT	  {.uid = IDS(0), .gid = IDS(0), .bounding = ALL, .permitted = ALL}
#define ALL	  ((1ull << 40) - 1)
#define FEW	  (CAP(CHOWN) | CAP(NET_BIND_SERVICE))
#define USER	  61003

static struct hp_err err;

/* --- who suffices ------------------------------------------------------------------------------------ */

static void root_may_be_anybody(void **state)
{
	static const struct hp_creds root = ROOT, alice = WHO(1000, 1000);
	static const struct hp_creds on_leave = {.uid = {1000, 1000, 0}, .gid = IDS(1000),
						 .permitted = ALL};

	assert_true(hp_creds_suffice(&root, &alice));
	assert_true(hp_creds_suffice(&on_leave, &root));
	assert_false(hp_creds_suffice(&alice, &root));
	assert_false(hp_creds_suffice(&alice, &on_leave));
}

static void others_are_who_they_are(void **state)
{
	gid_t some[] = {7, 8}, more[] = {7, 9};
	struct hp_creds alice = WHO(1000, 1000), bob = WHO(1001, 1000), in_7 = WHO(1000, 7);
	struct hp_creds in_more = WHO(1000, 1000);

	assert_true(hp_creds_suffice(&alice, &alice));
	assert_false(hp_creds_suffice(&alice, &bob));
	assert_false(hp_creds_suffice(&alice, &in_7));
	alice.groups = some;
	alice.n_groups = 2;
	assert_true(hp_creds_suffice(&alice, &in_7));
	in_more.groups = more;
	in_more.n_groups = 2;
	assert_false(hp_creds_suffice(&alice, &in_more));
	more[1] = 8;
	assert_true(hp_creds_suffice(&alice, &in_more));
}

static void root_is_what_it_has_kept(void **state)
{
	static const struct hp_creds root = ROOT, alice = WHO(1000, 1000);
	struct hp_creds shorn = ROOT;

	shorn.permitted = FEW;
	assert_true(hp_creds_suffice(&shorn, &shorn));
	assert_true(hp_creds_suffice(&root, &shorn));
	assert_false(hp_creds_suffice(&shorn, &root));
	assert_false(hp_creds_suffice(&shorn, &alice));
	shorn.permitted |= CAP(SETUID) | CAP(SETGID);
	assert_true(hp_creds_suffice(&shorn, &alice));
}

/* --- what is executed -------------------------------------------------------------------------------- */

static void keep_only(uint64_t caps)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {0};

	for (int i = 0; i < 2; i++)
		data[i].permitted = data[i].effective = (uint32_t)(caps >> 32 * i);
	if (syscall(SYS_capset, &head, data))
		_exit(1);
}

/* Of a process that is root's and has kept only @caps, but not left the others out of its bounding set. */
static struct hp_creds creds_of(uint64_t caps, bool no_new_privs)
{
	struct hp_creds c;
	pid_t parent = getpid(), pid;
	int said[2];
	char byte;

	assert_int_equal(pipe(said), 0);
	pid = fork();
	if (pid == 0) {
		hp_lifeline_tie(parent);
		keep_only(caps);
		if ((no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) ||
		    write(said[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(said[1]);
	assert_int_equal(read(said[0], &byte, 1), 1);
	close(said[0]);
	assert_int_equal(hp_creds_read(&c, pid, &err), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return c;
}

/* The line @key, "CapPrm:\t" say, of @program, a cat(1), that is executed with @c. */
static uint64_t executed_by(const char *program, const struct hp_creds *c, const char *key)
{
	char text[4096] = "";
	const char *what, *at;
	size_t n = 0;
	ssize_t got;
	int said[2], status;
	pid_t pid;

	assert_int_equal(pipe(said), 0);
	pid = fork();
	if (pid == 0) {
		if (dup2(said[1], 1) == 1 && hp_creds_apply(c, &what) == 0)
			execl(program, "cat", "/proc/self/status", NULL);
		_exit(1);
	}
	close(said[1]);
	while ((got = read(said[0], text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	close(said[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	at = strstr(text, key);
	assert_non_null(at);
	return strtoull(at + strlen(key), NULL, 16);
}

static uint64_t executed(const struct hp_creds *c, const char *key)
{
	return executed_by("/bin/cat", c, key);
}

static void root_as_it_is(void **state)
{
	struct hp_creds c;

	assert_int_equal(hp_creds_read(&c, getpid(), &err), 0);
	assert_int_equal(executed(&c, "CapPrm:\t"), c.bounding);
	assert_int_equal(executed(&c, "CapEff:\t"), c.bounding);
	assert_int_equal(executed(&c, "CapBnd:\t"), c.bounding);
	assert_int_equal(hp_creds_withheld(&c), 0);
	hp_creds_free(&c);
}

/* The kernel gives root all of the bounding set at an execve(2), and who executes it has all of them. */
static void what_was_given_up_stays_so(void **state)
{
	for (int no_new_privs = 0; no_new_privs < 2; no_new_privs++) {
		struct hp_creds c = creds_of(FEW, no_new_privs);

		assert_int_equal(c.permitted, FEW);
		assert_int_not_equal(c.bounding, FEW);
		assert_int_equal(hp_creds_withheld(&c), c.bounding & ~FEW);
		assert_int_equal(executed(&c, "CapPrm:\t"), FEW);
		assert_int_equal(executed(&c, "CapEff:\t"), FEW);
		assert_int_equal(executed(&c, "CapBnd:\t"), no_new_privs ? c.bounding : FEW);
		assert_int_equal(executed(&c, "NoNewPrivs:\t"), no_new_privs);
		hp_creds_free(&c);
	}
}

static void unless_somebody_else_says_so(void **state)
{
	struct hp_creds c = creds_of(FEW, true);

	hp_creds_take_all(&c);
	assert_int_equal(executed(&c, "CapPrm:\t"), c.bounding);
	hp_creds_free(&c);
	c = creds_of(FEW, true);
	assert_int_equal(hp_creds_of_user(&c, "root", &err), 0);
	assert_int_equal(executed(&c, "CapPrm:\t"), c.bounding);
	hp_creds_free(&c);
}

static void a_user_has_his_own(void **state)
{
	struct hp_creds c = creds_of(0, true);

	for (int i = 0; i < 3; i++)
		c.uid[i] = c.gid[i] = USER;
	assert_int_equal(executed(&c, "CapPrm:\t"), 0);
	c.inheritable = c.ambient = c.permitted = CAP(NET_BIND_SERVICE);
	assert_int_equal(executed(&c, "CapPrm:\t"), CAP(NET_BIND_SERVICE));
	assert_int_equal(executed(&c, "CapEff:\t"), CAP(NET_BIND_SERVICE));
	hp_creds_free(&c);
}

/* Such a file gives nothing to one with no_new_privs, whatever hp may that executes it. */
static void a_file_gives_what_it_may(void **state)
{
	static const struct vfs_cap_data data = {VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
						 {{CAP(CHOWN), 0}, {0, 0}}};
	char dir[] = "/tmp/hp-creds.XXXXXX", file[64], cmd[256];

	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/cat", dir);
	snprintf(cmd, sizeof(cmd), "chmod 755 %s && cp /bin/cat %s && chmod 755 %s", dir, file, file);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(setxattr(file, "security.capability", &data, XATTR_CAPS_SZ_2, 0), 0);
	for (int no_new_privs = 0; no_new_privs < 2; no_new_privs++) {
		struct hp_creds c = creds_of(0, no_new_privs);

		for (int i = 0; i < 3; i++)
			c.uid[i] = c.gid[i] = USER;
		assert_int_equal(executed_by(file, &c, "CapPrm:\t"), no_new_privs ? 0 : CAP(CHOWN));
		hp_creds_free(&c);
	}
	unlink(file);
	rmdir(dir);
}

/* --- the label ----------------------------------------------------------------------------------------- */

/* What hp_creds_read() answers where the file of /proc has this text. */
static int with_label(const char *text, struct hp_creds *ret)
{
	char file[] = "/tmp/hp-label.XXXXXX", path[64];
	int fd = mkstemp(file), r;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	snprintf(path, sizeof(path), "/proc/%d/attr/current", (int)getppid());
	assert_int_equal(mount(file, path, NULL, MS_BIND, NULL), 0);
	assert_int_equal(unlink(file), 0);
	r = hp_creds_read(ret, getppid(), &err);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	return r;
}

static void a_label_is_whole(void **state)
{
	char label[300];
	struct hp_creds c;

	memset(label, 'x', sizeof(label));
	label[255] = 0;
	assert_int_equal(with_label(label, &c), 0);
	assert_string_equal(c.label, label);
	hp_creds_free(&c);
	label[255] = 'x';
	label[256] = 0;
	assert_true(with_label(label, &c) < 0);
	assert_non_null(strstr(err.text, "security label of process"));
}

static int mounts_of_our_own(void **state)
{
	return unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_may_be_anybody),
		cmocka_unit_test(others_are_who_they_are),
		cmocka_unit_test(root_is_what_it_has_kept),
		cmocka_unit_test(root_as_it_is),
		cmocka_unit_test(what_was_given_up_stays_so),
		cmocka_unit_test(unless_somebody_else_says_so),
		cmocka_unit_test(a_user_has_his_own),
		cmocka_unit_test(a_file_gives_what_it_may),
		cmocka_unit_test(a_label_is_whole),
	};

	return cmocka_run_group_tests(tests, mounts_of_our_own, NULL);
}
