/* SPDX-License-Identifier: MIT */
/* A process that is named by a number is the one that was meant, or it is nobody. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "access/access.h"
#include "access/patch_file.h"
#include "base/fd.h"
#include "elf/patchinfo.h"
#include "hp/err.h"
#include "rig/sleeper.h"
#include "target/target.h"
#include "../services/tied.h"

static void another_of_that_number_is_refused(void **state)
{
	struct hp_peer root = {.known = true};
	struct hp_access access = {0};
	struct hp_access_question q = {.access = &access, .peer = &root, .right = HP_RIGHT_SEE};
	pid_t meant = sleeper_start(), found = sleeper_start();
	struct hp_pairs seal = {0};
	struct hp_target *t;
	struct hp_err err;

	assert_int_equal(hp_policy_parse("allow root\n", "policy", &access.policy, &err), 0);
	assert_int_equal(hp_target_open(&t, found, &err), 0);
	q.process = pidfd_open(meant, 0);
	assert_true(q.process >= 0);
	assert_int_equal(hp_access_permit(&q, t, -1, &seal, &err), 0);
	sleeper_end(meant);
	assert_int_equal(hp_access_permit(&q, t, -1, &seal, &err), -HP_E_GONE);
	hp_close(&q.process);
	assert_int_equal(hp_access_permit(&q, t, -1, &seal, &err), 0);
	hp_target_free(t);
	sleeper_end(found);
	hp_access_free(&access);
}

struct ids {
	uid_t real, effective, saved;
	gid_t gid, effective_gid;
	bool hides; /* its memory, as whoever changes his ids does */
	bool keeps; /* its capabilities */
	bool alone; /* in a user namespace of its own, where it has all of them */
};

static bool become(const struct ids *id)
{
	return setresgid(id->gid, id->effective_gid, id->effective_gid) == 0 &&
	       prctl(PR_SET_KEEPCAPS, id->keeps) == 0 &&
	       setresuid(id->real, id->effective, id->saved) == 0 &&
	       (!id->alone || unshare(CLONE_NEWUSER) == 0) &&
	       (id->hides || prctl(PR_SET_DUMPABLE, 1) == 0);
}

/* A child that ends with us, after it has become that. */
static pid_t start_with(const struct ids *id)
{
	int ready[2];
	pid_t parent = getpid(), pid;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (!become(id))
			_exit(1);
		tied_to(parent);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static pid_t start_as(uid_t real, uid_t effective, uid_t saved)
{
	return start_with(&(struct ids){real, effective, saved, .gid = 0});
}

/* What a user may patch must not give him more than he has. */
static void what_has_more_than_a_users_rights_is_nobodys(void **state)
{
	static const struct {
		struct ids ids;
		uid_t of;
	} v[] = {
		{{1000, 1000, 1000, .gid = 1000, .effective_gid = 1000}, 1000},
		{{1000, 1000, 1000, .gid = 1000, .effective_gid = 42}, (uid_t)-1},
		{{1000, 0, 0, .gid = 1000, .effective_gid = 1000}, (uid_t)-1},
		{{1000, 1000, 1000, .keeps = true}, (uid_t)-1},
		{{1000, 1000, 1000, .alone = true}, 1000},
		{{0, 0, 0, .gid = 0}, 0},
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		pid_t pid = start_with(&v[i].ids);
		struct hp_err err;
		uid_t of = 4711;

		assert_int_equal(hp_access_uid(pid, &of, &err), 0);
		assert_int_equal(of, v[i].of);
		sleeper_end(pid);
	}
}

/* As ptrace(2) has it. */
static void an_owner_is_who_may_look_into_it(void **state)
{
	static const struct ids hidden = {1000, 1000, 1000, .gid = 1000, .effective_gid = 1000,
					  .hides = true};
	struct hp_peer alice = {.known = true, .uid = 1000, .gid = {1000}, .n_gids = 1};
	struct hp_access access = {0};
	struct hp_access_question q = {.access = &access, .peer = &alice,
				       .right = HP_RIGHT_LOAD, .process = -1};
	pid_t shows = start_as(1000, 1000, 1000), hides = start_with(&hidden);
	struct hp_pairs seal = {0};
	struct hp_target *t;
	struct hp_err err;

	assert_int_equal(hp_policy_parse("allow owner\n", "policy", &access.policy, &err), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(hp_target_open(&t, i ? hides : shows, &err), 0);
		assert_int_equal(hp_access_permit(&q, t, -1, &seal, &err), i ? -HP_E_DENIED : 0);
		hp_target_free(t);
	}
	assert_true(hp_access_owns(1000, shows));
	assert_false(hp_access_owns(1000, hides));
	assert_false(hp_access_owns(1001, shows));
	sleeper_end(shows);
	sleeper_end(hides);
	hp_access_free(&access);
}

static int permit(uid_t of, bool by_owner, pid_t pid, struct hp_err *err)
{
	struct hp_peer root = {.known = true};
	struct hp_access access = {0};
	struct hp_access_question q = {.access = &access, .peer = &root, .right = HP_RIGHT_LOAD,
				       .process = -1, .of = of, .by_owner = by_owner};
	struct hp_pairs seal = {0};
	struct hp_target *t;
	int k;

	assert_int_equal(hp_policy_parse("allow root\n", "policy", &access.policy, err), 0);
	assert_int_equal(hp_target_open(&t, pid, err), 0);
	k = hp_access_permit(&q, t, -1, &seal, err);
	hp_target_free(t);
	hp_access_free(&access);
	return k;
}

/* As a set-user-id program is after an exec: an asker who was judged before is not root's equal now. */
static void what_got_more_rights_since_is_refused(void **state)
{
	pid_t alices = start_as(1000, 1000, 1000), su = start_as(1000, 0, 0),
	      helper = start_as(1000, 1000, 0), roots = start_as(0, 0, 0);
	pid_t ping = start_with(&(struct ids){1000, 1000, 1000, .gid = 0, .hides = true});
	struct hp_err err;

	assert_int_equal(permit(1000, true, alices, &err), 0);
	assert_int_equal(permit(1000, true, su, &err), -HP_E_DENIED);
	assert_int_equal(permit(1000, true, helper, &err), -HP_E_DENIED);
	assert_int_equal(permit(1000, true, roots, &err), -HP_E_DENIED);
	assert_non_null(strstr(err.text, "rights of uid 1000 alone"));
	assert_int_equal(permit(1001, true, alices, &err), -HP_E_DENIED);
	assert_int_equal(permit(1000, true, ping, &err), -HP_E_DENIED);
	assert_int_equal(permit(1000, false, ping, &err), 0);
	assert_int_equal(permit(0, true, su, &err), 0);
	assert_int_equal(permit(0, true, alices, &err), 0);
	sleeper_end(alices);
	sleeper_end(su);
	sleeper_end(helper);
	sleeper_end(roots);
	sleeper_end(ping);
}

static int open_as(pid_t pid, uid_t of, const char *path, struct hp_err *err)
{
	int fd, k = hp_patch_file_open_as(pid, of, path, &fd, err);

	if (k == 0)
		close(fd);
	return k;
}

/* … nor are files opened for him with those. */
static void files_are_opened_with_the_askers_rights_at_most(void **state)
{
	static const struct {
		struct ids ids;
		int k, of_root;
	} v[] = {
		{{1000, 1000, 1000, .gid = 1000, .effective_gid = 1000}, -HP_E_NO_FILE, -HP_E_NO_FILE},
		{{1000, 0, 0, .gid = 1000, .effective_gid = 1000}, -HP_E_DENIED, 0},
		{{0, 0, 0, .gid = 0}, -HP_E_DENIED, 0},
		{{1000, 1000, 1000, .gid = 1000, .effective_gid = 0}, -HP_E_DENIED, 0},
		{{1001, 1001, 1001, .gid = 1000, .effective_gid = 1000}, -HP_E_DENIED, -HP_E_NO_FILE},
	};
	char path[] = "/tmp/hp-patch.XXXXXX";
	int fd = mkstemp(path);

	assert_int_equal(fchmod(fd, 0640), 0);
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		pid_t pid = start_with(&v[i].ids);
		struct hp_err err;

		assert_int_equal(open_as(pid, 1000, path, &err), v[i].k);
		assert_non_null(strstr(err.text, v[i].k == -HP_E_DENIED ? "uid 1000 alone" : "Permission"));
		assert_int_equal(open_as(pid, 0, path, &err), v[i].of_root);
		sleeper_end(pid);
	}
	assert_int_equal(unlink(path), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_of_that_number_is_refused),
		cmocka_unit_test(what_got_more_rights_since_is_refused),
		cmocka_unit_test(files_are_opened_with_the_askers_rights_at_most),
		cmocka_unit_test(what_has_more_than_a_users_rights_is_nobodys),
		cmocka_unit_test(an_owner_is_who_may_look_into_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
