/* SPDX-License-Identifier: MIT */
/* Where a new generation is executed, and by whose rights it gets there. */
#include <fcntl.h>
#include <linux/keyctl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "hp/err.h"
#include "restart/spawn.h"
#include "restart/spec.h"
#include "service/cgroup.h"

#define USER	      61004
#define POSSESSOR_ALL 0x3f000000 /* keyctl_setperm(3) */

static char dir[32], link_to[64], real[64];
static struct hp_spec spec;
static struct hp_err err;
static int out;

static int set_up(void **state)
{
	int p[2];

	strcpy(dir, "/tmp/hp-spawn.XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(link_to, sizeof(link_to), "%s/link", dir);
	snprintf(real, sizeof(real), "%s/real", dir);
	assert_int_equal(mkdir(real, 0755), 0);
	assert_int_equal(symlink("real", link_to), 0);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	out = p[0];
	spec = (struct hp_spec){.root = -1, .ns = {-1, -1, -1}, .umask = 022, .file = "/bin/pwd"};
	spec.cwd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	spec.stdio[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	spec.stdio[1] = p[1];
	spec.stdio[2] = fcntl(2, F_DUPFD_CLOEXEC, 3);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		assert_int_equal(getrlimit((enum __rlimit_resource)i, &spec.limits[i]), 0);
	assert_int_equal(hp_strings_add(&spec.argv, "pwd"), 0);
	assert_int_equal(hp_strings_add(&spec.argv, "-P"), 0);
	assert_int_equal(hp_strings_add(&spec.envp, "A=B"), 0);
	assert_int_equal(hp_cgroups_read(&spec.cgroups, getpid(), &err), 0);
	return hp_creds_read(&spec.creds, getpid(), &err);
}

static int tear_down(void **state)
{
	hp_spec_free(&spec);
	close(out);
	unlink(link_to);
	rmdir(real);
	return rmdir(dir);
}

static int spawn(void)
{
	int notify_fd, r;
	pid_t pid;

	r = hp_generation_spawn(&spec, NULL, &pid, &notify_fd, &err);
	if (r == 0) {
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		close(notify_fd);
	}
	return r;
}

/* It goes to @to, which it finds to be @wanted. */
static void expect(const char *to, const char *wanted)
{
	char got[128] = "", line[128];

	snprintf(spec.dir, sizeof(spec.dir), "%s", to);
	snprintf(line, sizeof(line), "%s\n", wanted);
	assert_int_equal(spawn(), 0);
	assert_true(read(out, got, sizeof(got) - 1) > 0);
	assert_string_equal(got, line);
}

static void goes_nowhere(void **state)
{
	expect("", "/");
}

static void goes_to_a_directory(void **state)
{
	expect(real, real);
	expect(link_to, real);
}

static void goes_to_one_that_is_missing(void **state)
{
	assert_int_equal(unlink(link_to), 0);
	snprintf(spec.dir, sizeof(spec.dir), "%s", link_to);
	assert_int_equal(spawn(), -HP_E_NEW_PROCESS);
	assert_non_null(strstr(err.text, "WorkingDirectory=: No such file"));
	spec.dir_may_miss = true;
	expect(link_to, "/");
}

static void goes_by_its_own_rights(void **state)
{
	assert_int_equal(chmod(real, 0700), 0);
	expect(link_to, real);
	for (int i = 0; i < 3; i++)
		spec.creds.uid[i] = spec.creds.gid[i] = USER;
	assert_int_equal(spawn(), -HP_E_NEW_PROCESS);
	assert_non_null(strstr(err.text, "WorkingDirectory=: Permission denied"));
}

/* Held by who possesses it alone, and so by us and all that is forked. */
static void add_key(void)
{
	long key;

	assert_true(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) > 0);
	key = syscall(SYS_add_key, "user", "hp-secret", "x", 1, KEY_SPEC_SESSION_KEYRING);
	assert_true(key > 0);
	assert_int_equal(syscall(SYS_keyctl, KEYCTL_SETPERM, key, POSSESSOR_ALL), 0);
}

static void has_a_keyring_of_its_own(void **state)
{
	char keys[1 << 14];

	add_key();
	hp_strings_free(&spec.argv);
	assert_int_equal(hp_strings_add(&spec.argv, "cat"), 0);
	assert_int_equal(hp_strings_add(&spec.argv, "/proc/keys"), 0);
	strcpy(spec.file, "/bin/cat");
	for (int user = 0; user <= USER; user += USER) {
		ssize_t n;

		for (int i = 0; i < 3; i++)
			spec.creds.uid[i] = spec.creds.gid[i] = (id_t)user;
		assert_int_equal(spawn(), 0);
		n = read(out, keys, sizeof(keys) - 1); /* all: it has ended */
		assert_true(n > 0);
		keys[n] = 0;
		assert_non_null(strstr(keys, " _ses: "));
		assert_null(strstr(keys, " hp-secret: "));
	}
}

static void put(const char *name, bool file)
{
	char path[128];

	snprintf(path, sizeof(path), "%s%s", dir, name);
	if (file)
		close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	else
		assert_int_equal(mkdir(path, 0755), 0);
}

/* What its own root has for /proc is no business of hp's.  The kernel refuses the label: there is no such
 * one, or no security module. */
static void its_label_is_the_kernels_business(void **state)
{
	char path[128];
	struct stat st;

	put("/proc", false);
	put("/proc/thread-self", false);
	put("/proc/thread-self/attr", false);
	put("/proc/thread-self/attr/exec", true);
	spec.root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	strcpy(spec.creds.label, "hp-test-no-such-label");
	assert_int_equal(spawn(), -HP_E_NEW_PROCESS);
	assert_non_null(strstr(err.text, "could not be given the security label: "));
	snprintf(path, sizeof(path), "%s/proc/thread-self/attr/exec", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 0);
	for (char *end; strcmp(path, dir) != 0; *end = 0) {
		assert_int_equal(remove(path), 0);
		end = strrchr(path, '/');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(goes_nowhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(goes_to_a_directory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(goes_to_one_that_is_missing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(goes_by_its_own_rights, set_up, tear_down),
		cmocka_unit_test_setup_teardown(has_a_keyring_of_its_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(its_label_is_the_kernels_business, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
