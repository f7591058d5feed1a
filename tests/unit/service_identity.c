/* SPDX-License-Identifier: MIT */
/* A process that changes its rights or its program while it is described is not the one that was allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"
#include "service/identity.h"
#include "../services/tied.h"

#define USER 61002

/* This program again, as "PROGRAM stay", which does what it is told, a letter each, and says so. */
struct victim {
	pid_t pid;
	int to, from;
};

static void await(const struct victim *v)
{
	char c;

	assert_int_equal(hp_read_all(v->from, &c, 1), 0);
}

static void tell(const struct victim *v, char what)
{
	assert_int_equal(hp_write_all(v->to, &what, 1), 0);
	await(v);
}

static void start(struct victim *v, const char *program)
{
	int to[2], from[2];

	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	v->pid = tied_fork();
	if (v->pid == 0) {
		if (dup2(to[0], 0) < 0 || dup2(from[1], 1) < 0 || setresgid(USER, USER, USER) ||
		    setresuid(USER, USER, USER))
			_exit(1);
		closefrom(3);
		execl(program, program, "stay", NULL);
		_exit(1);
	}
	close(to[0]);
	close(from[1]);
	v->to = to[1];
	v->from = from[0];
	await(v);
}

static void end(struct victim *v)
{
	close(v->to);
	close(v->from);
	kill(v->pid, SIGKILL);
	waitpid(v->pid, NULL, 0);
}

/* It has all capabilities there, and could be told by them: it gives them up again. */
static bool enter_user_namespace(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	const struct __user_cap_data_struct none[2] = {0};
	bool had[64];

	for (unsigned long cap = 0; cap < 64; cap++)
		had[cap] = prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return false;
	for (unsigned long cap = 0; cap < 64; cap++)
		if (!had[cap] && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return false;
	return syscall(SYS_capset, &head, none) == 0;
}

static _Noreturn void stay(const char *self)
{
	char what;

	for (;;) {
		if (write(1, "", 1) != 1 || read(0, &what, 1) != 1)
			_exit(0);
		if (what == 'e') /* the same again */
			execl(self, self, "stay", NULL);
		if (what == 'g' && setresgid((gid_t)-1, USER, USER))
			_exit(1);
		if (what == 'u' && !enter_user_namespace())
			_exit(1);
	}
}

static char self[256], copy[64];

static int set_up(void **state)
{
	char cmd[600];

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	snprintf(copy, sizeof(copy), "/tmp/hp-unit-XXXXXX");
	assert_non_null(mkdtemp(copy));
	snprintf(cmd, sizeof(cmd), "chmod 755 %s && cp %s %s/stay && chmod 755 %s/stay", copy, self, copy,
		 copy);
	assert_int_equal(system(cmd), 0);
	return 0;
}

static int tear_down(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", copy);
	return system(cmd);
}

static const char *program(mode_t mode)
{
	static char path[80];

	snprintf(path, sizeof(path), "%s/stay", copy);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static void test_one_that_stays(void **state)
{
	struct hp_identity id;
	struct victim v;
	struct hp_err err;

	start(&v, program(0755));
	assert_int_equal(hp_identity_take(&id, v.pid, &err), 0);
	assert_int_equal(id.creds.uid[1], USER);
	assert_int_equal(hp_identity_confirm(&id, &err), 0);
	hp_identity_free(&id);
	end(&v);
}

static void test_another_program(void **state)
{
	struct hp_identity id;
	struct victim v;
	struct hp_err err;

	start(&v, program(0755));
	assert_int_equal(hp_identity_take(&id, v.pid, &err), 0);
	tell(&v, 'e');
	assert_int_equal(hp_identity_confirm(&id, &err), -HP_E_GONE);
	hp_identity_free(&id);
	end(&v);
}

/* Neither what it was started as, nor what it becomes: its words are the user's, its rights are not. */
static void test_set_id(void **state)
{
	static const mode_t modes[] = {04755, 02755};
	struct hp_identity id;
	struct victim v;
	struct hp_err err;

	for (size_t i = 0; i < 2; i++) {
		start(&v, program(modes[i]));
		assert_int_equal(hp_identity_take(&id, v.pid, &err), -HP_E_TARGET);
		end(&v);
		start(&v, program(0755));
		assert_int_equal(hp_identity_take(&id, v.pid, &err), 0);
		assert_int_equal(chmod(program(modes[i]), modes[i]), 0);
		tell(&v, 'e');
		assert_true(hp_identity_confirm(&id, &err) < 0);
		hp_identity_free(&id);
		end(&v);
	}
}

/* A set-user-id program that has given its rights up for now. */
static void test_other_rights(void **state)
{
	struct hp_identity id;
	struct victim v;
	struct hp_err err;

	start(&v, program(02755));
	program(0755);
	assert_int_equal(hp_identity_take(&id, v.pid, &err), 0);
	assert_int_equal(id.creds.gid[1], 0);
	tell(&v, 'g');
	assert_int_equal(hp_identity_confirm(&id, &err), -HP_E_TARGET);
	hp_identity_free(&id);
	end(&v);
}

/* Anybody may, and has mounts of his own then, where the new process would find its program.  There is
 * no way back, so that who is not there at the end never was. */
static void test_a_user_namespace(void **state)
{
	struct hp_identity id;
	struct victim v;
	struct hp_err err;

	start(&v, program(0755));
	assert_int_equal(hp_identity_take(&id, v.pid, &err), 0);
	tell(&v, 'u');
	assert_int_equal(hp_identity_confirm(&id, &err), -HP_E_TARGET);
	hp_identity_free(&id);
	end(&v);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_that_stays),
		cmocka_unit_test(test_another_program),
		cmocka_unit_test(test_set_id),
		cmocka_unit_test(test_other_rights),
		cmocka_unit_test(test_a_user_namespace),
	};

	if (argc == 2)
		stay(argv[0]);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
