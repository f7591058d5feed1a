/* SPDX-License-Identifier: MIT */
/* The new process: what it takes out of its environment, its pid file, its word to the parent. */
#include "upgrade_rig.h"

#include <sys/mman.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"

#define BASE 200 /* where descriptors are handed over here */

static char marker[64];

/* As an old process does it: @n descriptors from BASE on, a socket, the names.  Returns the other end
 * of the socket. */
static int hand_over(const char *names, size_t size, int n, long pid)
{
	int pair[2], file = memfd_create("names", 0);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(write(file, names, size), (ssize_t)size);
	for (int i = 0; i < n; i++)
		assert_int_equal(dup2(0, BASE + i), BASE + i);
	assert_int_equal(dup2(pair[0], BASE + n), BASE + n);
	assert_int_equal(dup2(file, BASE + n + 1), BASE + n + 1);
	close(pair[0]);
	close(file);
	snprintf(marker, sizeof(marker), "%d %ld", n, pid);
	rig_clear();
	rig_vars[0].name = HP_INHERIT_MARKER;
	rig_vars[0].value = marker;
	rig_env.first = BASE;
	return pair[1];
}

static int try_open(void)
{
	struct hp_upgrade *u = NULL;
	int k = hp_upgrade_open_in(&u, NULL, &rig_env, &err);

	assert_int_equal(!u, k < 0);
	hp_upgrade_free_in(u);
	return k;
}

static void clean(int n)
{
	for (int fd = BASE; fd < BASE + n + 2; fd++)
		close(fd);
	rig_clear();
}

#define GOOD_NAMES "hp-upgrade 1\0@\0fd\0one\0\0\0@\0conn\0tcp\0a:1\0label"

static void takes_what_is_handed_over(void **state)
{
	int sock = hand_over(GOOD_NAMES, sizeof(GOOD_NAMES), 2, getpid()), got;
	struct hp_upgrade *u = opened(NULL);
	char byte = 0;

	assert_true(hp_upgrade_has_parent(u));
	assert_null(rig_get(HP_INHERIT_MARKER));
	assert_int_equal(u->fds.inherited.a.n, 2);
	assert_int_equal(fcntl(BASE, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(BASE + 2, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(BASE + 3, F_GETFD), -1); /* the names were read */
	got = good(hp_upgrade_file(u, "one", &err));
	assert_true(same_file(got, 0));
	close(got);
	assert_string_equal(u->fds.inherited.a.v[0].label, "label");

	assert_int_equal(hp_upgrade_ready(u, &err), 0);
	assert_int_equal(u->fds.inherited.a.n, 0);
	assert_int_equal(recv(sock, &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(byte, HP_READY);
	/* Once. */
	assert_int_equal(hp_upgrade_ready(u, &err), 0);
	assert_int_equal(recv(sock, &byte, 1, MSG_DONTWAIT), -1);
	hp_upgrade_free_in(u);
	close(sock);
	clean(2);
}

/* A variable that a child of a child inherited says nothing about it. */
static void anothers_marker_is_no_parent(void **state)
{
	int sock = hand_over(GOOD_NAMES, sizeof(GOOD_NAMES), 2, getppid());
	struct hp_upgrade *u = opened(NULL);

	assert_false(hp_upgrade_has_parent(u));
	assert_int_equal(u->fds.inherited.a.n, 0);
	assert_int_equal(hp_upgrade_wait_for_parent(u, -1, &err), 0);
	hp_upgrade_free_in(u);
	close(sock);
	clean(2);
}

static void refuses_names_that_are_none(void **state)
{
	static const struct {
		const char *names;
		size_t size;
		const char *sentence;
	} bad[] = {
#define BAD(n, s) {n, sizeof(n) - 1, "can't decode names from parent process: " s}
		BAD("", "they are not in a form that this version knows"),
		BAD("hp-upgrade 1", "they are not in a form that this version knows"),
		BAD("hp-upgrade 2\0", "they are not in a form that this version knows"),
		BAD("hp-upgrade 1\0", "descriptor 200 has no name"),
		BAD("hp-upgrade 1\0@\0fd\0one\0\0", "descriptor 200 has no name"),
		BAD("hp-upgrade 1\0@\0fd\0one\0\0x", "descriptor 200 has no name"),
		BAD("hp-upgrade 1\0?\0fd\0one\0\0\0", "descriptor 200 has no name"),
		BAD("hp-upgrade 1\0@\0tap\0one\0\0\0", "descriptor 200 has no name"),
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int sock = hand_over(bad[i].names, bad[i].size, 1, getpid());

		assert_int_equal(try_open(), -EBADMSG);
		assert_string_equal(err.text, bad[i].sentence);
		assert_null(rig_get(HP_INHERIT_MARKER));
		close(sock);
		clean(1);
	}
}

static void refuses_markers_that_are_none(void **state)
{
	static const char *const bad[] = {"", "x", "1", "1 ", "-1 7", "1 7x", "99999999999999999999 7"};
	char sentence[128];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rig_vars[0].name = HP_INHERIT_MARKER;
		rig_vars[0].value = bad[i];
		assert_int_equal(try_open(), -EBADMSG);
		snprintf(sentence, sizeof(sentence),
			 "can't decode names from parent process: HP_UPGRADE is '%s'", bad[i]);
		assert_string_equal(err.text, sentence);
	}
	/* Nothing is there at all. */
	snprintf(marker, sizeof(marker), "7 %d", (int)getpid());
	rig_vars[0].name = HP_INHERIT_MARKER;
	rig_vars[0].value = marker;
	assert_int_equal(try_open(), -EBADF);
	rig_clear();
}

static void tells_that_the_parent_is_gone(void **state)
{
	int sock = hand_over(GOOD_NAMES, sizeof(GOOD_NAMES), 2, getpid());
	struct hp_upgrade *u = opened(NULL);

	close(sock);
	expect_error(hp_upgrade_ready(u, &err), -EPIPE, "can't notify parent process: Broken pipe");
	/* It serves all the same, if it likes: with its own upgrades. */
	assert_true(u->ready);
	assert_int_equal(hp_upgrade_wait_for_parent(u, 0, &err), 0);
	expect_error(hp_upgrade_ready(u, &err), -EPIPE, "can't notify parent process: Broken pipe");
	hp_upgrade_free_in(u);
	clean(2);
}

static void waits_for_the_parent(void **state)
{
	int sock = hand_over(GOOD_NAMES, sizeof(GOOD_NAMES), 2, getpid());
	struct hp_upgrade *u = opened(NULL);

	expect_error(hp_upgrade_wait_for_parent(u, 0, &err), -ETIMEDOUT,
		     "the parent has not exited yet");
	expect_error(hp_upgrade_wait_for_parent(u, 20, &err), -ETIMEDOUT,
		     "the parent has not exited yet");
	assert_int_equal(write(sock, "nonsense", 8), 8);
	assert_int_equal(hp_upgrade_wait_for_parent(u, 20, &err), -ETIMEDOUT);
	close(sock);
	for (int i = 0; i < 2; i++)
		expect_error(hp_upgrade_wait_for_parent(u, -1, &err), -EBADMSG,
			     "unexpected data from parent process");
	hp_upgrade_free_in(u);
	clean(2);
}

static void generations_may_overlap(void **state)
{
	int sock = hand_over(GOOD_NAMES, sizeof(GOOD_NAMES), 2, getpid());
	struct hp_upgrade_options o = {.size = sizeof(o)};
	struct hp_upgrade *u = opened(&o);
	char *none[] = {"/no/such/program", NULL}, **own = u->argv;

	assert_int_equal(hp_upgrade_ready(u, &err), 0);
	u->argv = none;
	expect_error(hp_upgrade_now(u, &err), -EBUSY, "parent hasn't exited");
	u->options.generations = true;
	assert_int_equal(hp_upgrade_now(u, &err), -ENOENT);
	u->options.generations = false;
	close(sock);
	assert_int_equal(hp_upgrade_now(u, &err), -ENOENT);
	u->argv = own;
	hp_upgrade_free_in(u);
	clean(2);
}

/* --- systemd's convention ------------------------------------------------------------------------- */

static char listen_pid[16];

static void hand_over_by_systemd(const char *n, const char *names, long pid)
{
	snprintf(listen_pid, sizeof(listen_pid), "%ld", pid);
	rig_clear();
	rig_vars[0].name = "LISTEN_PID";
	rig_vars[0].value = listen_pid;
	rig_vars[1].name = "LISTEN_FDS";
	rig_vars[1].value = n;
	if (names) {
		rig_vars[2].name = "LISTEN_FDNAMES";
		rig_vars[2].value = names;
	}
	rig_env.first = BASE;
}

static int put_at(int fd, int at)
{
	assert_int_equal(dup2(fd, at), at);
	close(fd);
	return at;
}

/* A socket that listens at @network @address, made by somebody else. */
static int foreign(const char *network, const char *address, int at)
{
	struct hp_upgrade *u = opened(NULL);
	int fd = put_at(good(hp_upgrade_listen(u, network, address, &err)), at);

	hp_upgrade_free_in(u);
	return fd;
}

static void takes_sockets_of_systemd(void **state)
{
	struct hp_upgrade *u, *next;
	char real[HP_UPGRADE_ADDRESS_MAX];
	int got, again;

	foreign("tcp", ":0", BASE);
	foreign("unix", in_dir("systemd"), BASE + 1);
	assert_int_equal(dup2(0, BASE + 2), BASE + 2);
	assert_int_equal(hp_upgrade_address(BASE, real, sizeof(real), &err), 0);
	hand_over_by_systemd("3", "http:local", getpid());
	u = opened(NULL);
	assert_null(rig_get("LISTEN_PID"));
	assert_null(rig_get("LISTEN_FDS"));
	assert_null(rig_get("LISTEN_FDNAMES"));
	assert_false(hp_upgrade_has_parent(u));
	/* By its address, whichever way that is written. */
	got = good(hp_upgrade_listen(u, "tcp", strrchr(real, ':'), &err));
	assert_true(same_file(got, BASE));
	close(got);
	got = good(hp_upgrade_listen(u, "unix", in_dir("systemd"), &err));
	assert_true(same_file(got, BASE + 1));
	close(got);
	/* By its name; without one it is called so. */
	got = good(hp_upgrade_file(u, "unknown", &err));
	assert_true(same_file(got, 0));
	close(got);
	/* The next process finds them by either too. */
	next = next_of(u);
	got = good(hp_upgrade_file(next, "http", &err));
	again = good(hp_upgrade_listen(next, "unix", in_dir("systemd"), &err));
	assert_true(same_file(got, BASE));
	assert_true(same_file(again, BASE + 1));
	close(got);
	close(again);
	/* systemd's paths are systemd's to remove. */
	hp_upgrade_stop(next);
	assert_true(exists(in_dir("systemd")));
	hp_upgrade_free_in(next);
	hp_upgrade_free_in(u);
	unlink(in_dir("systemd"));
	clean(1);
}

static void unclaimed_paths_of_systemd_stay(void **state)
{
	struct hp_upgrade *u;

	foreign("unix", in_dir("systemd"), BASE);
	hand_over_by_systemd("1", "local", getpid());
	u = opened(NULL);
	assert_int_equal(hp_upgrade_ready(u, &err), 0);
	assert_int_equal(fcntl(BASE, F_GETFD), -1);
	assert_true(exists(in_dir("systemd")));
	hp_upgrade_free_in(u);
	unlink(in_dir("systemd"));
	rig_clear();
}

static void what_is_anothers_is_not_taken(void **state)
{
	struct hp_upgrade *u;

	assert_int_equal(dup2(0, BASE), BASE);
	hand_over_by_systemd("1", NULL, getppid());
	u = opened(NULL);
	assert_int_equal(u->fds.inherited.a.n, 0);
	assert_int_equal(fcntl(BASE, F_GETFD), 0);
	hp_upgrade_free_in(u);
	clean(1);
}

static void refuses_a_count_that_is_none(void **state)
{
	static const char *const bad[] = {"", "x", "-1", "1x", "99999999999"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		hand_over_by_systemd(bad[i], NULL, getpid());
		assert_int_equal(try_open(), -EBADMSG);
		assert_string_equal(err.text, "LISTEN_FDS is no number");
	}
	hand_over_by_systemd("5", NULL, getpid());
	expect_error(try_open(), -EBADF, "LISTEN_FDS=5: descriptor 200: Bad file descriptor");
	rig_clear();
}

/* --- the pid file --------------------------------------------------------------------------------- */

static void expect_pid(const char *path)
{
	char text[32] = "", wanted[32];
	struct stat st;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	snprintf(wanted, sizeof(wanted), "%d\n", (int)getpid());
	assert_string_equal(text, wanted);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
}

static void writes_the_pid_file(void **state)
{
	struct hp_upgrade_options o = {.size = sizeof(o), .pid_file = in_dir("pid")};
	struct hp_upgrade *u = opened(&o);
	char command[128];

	assert_false(exists(in_dir("pid")));
	assert_int_equal(hp_upgrade_ready(u, &err), 0);
	expect_pid(in_dir("pid"));
	/* Nothing else is left. */
	snprintf(command, sizeof(command), "[ \"$(ls %s)\" = pid ]", dir);
	assert_int_equal(system(command), 0);
	hp_upgrade_stop(u);
	hp_upgrade_free_in(u);
	unlink(in_dir("pid"));
}

/* Relative to where the program began. */
static void writes_where_it_began(void **state)
{
	struct hp_upgrade_options o = {.size = sizeof(o), .pid_file = "relative.pid"};
	char *cwd = get_current_dir_name();
	struct hp_upgrade *u;

	assert_int_equal(chdir(dir), 0);
	u = opened(&o);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(hp_upgrade_ready(u, &err), 0);
	expect_pid(in_dir("relative.pid"));
	assert_int_equal(chdir(cwd), 0);
	free(cwd);
	hp_upgrade_free_in(u);
	unlink(in_dir("relative.pid"));
}

static void tells_that_it_cannot_write(void **state)
{
	struct hp_upgrade_options o = {.size = sizeof(o), .pid_file = "/no/such/folder/pid"};
	struct hp_upgrade *u = opened(&o);

	expect_error(hp_upgrade_ready(u, &err), -ENOENT,
		     "can't write PID file: /no/such/folder/pid: No such file or directory");
	assert_false(u->told);
	hp_upgrade_free_in(u);
}

/* The one that failed may have written its own. */
static void writes_it_again_after_a_failure(void **state)
{
	struct hp_upgrade_options o = {.size = sizeof(o), .pid_file = in_dir("pid")};
	struct hp_upgrade *u = opened(&o);
	char *argv[] = {"/bin/sh", "-c", "echo 1 >$0", (char *)in_dir("pid"), NULL}, **own = u->argv;

	assert_int_equal(hp_upgrade_ready(u, &err), 0);
	u->argv = argv;
	assert_int_equal(hp_upgrade_now(u, &err), -ECHILD);
	expect_pid(in_dir("pid"));
	u->argv = own;
	hp_upgrade_free_in(u);
	unlink(in_dir("pid"));
}

/* --- options, and the claim ----------------------------------------------------------------------- */

static void one_in_a_process(void **state)
{
	struct hp_upgrade *u, *other = NULL;

	assert_int_equal(hp_upgrade_open(&u, NULL, &err), 0);
	expect_error(hp_upgrade_open(&other, NULL, &err), -EEXIST,
		     "only a single hp_upgrade allowed");
	assert_null(other);
	hp_upgrade_free(u);
	assert_int_equal(hp_upgrade_open(&u, NULL, &err), 0);
	hp_upgrade_free(u);
	hp_upgrade_free(NULL);
}

static void refuses_options_of_the_future(void **state)
{
	struct {
		struct hp_upgrade_options o;
		char more[8];
	} o = {.o.size = sizeof(o)};
	struct hp_upgrade *u;

	assert_int_equal(hp_upgrade_open_in(&u, &o.o, &rig_env, &err), -EINVAL);
	assert_non_null(strstr(err.text, "options.size is"));
	/* Of the past: what it does not have is as if it were zero. */
	o.o.size = offsetof(struct hp_upgrade_options, pid_file);
	o.o.pid_file = "/not/to/be/seen";
	u = opened(&o.o);
	assert_null(u->options.pid_file);
	hp_upgrade_free_in(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_is_handed_over),
		cmocka_unit_test(anothers_marker_is_no_parent),
		cmocka_unit_test(refuses_names_that_are_none),
		cmocka_unit_test(refuses_markers_that_are_none),
		cmocka_unit_test(tells_that_the_parent_is_gone),
		cmocka_unit_test(waits_for_the_parent),
		cmocka_unit_test(generations_may_overlap),
		cmocka_unit_test(takes_sockets_of_systemd),
		cmocka_unit_test(unclaimed_paths_of_systemd_stay),
		cmocka_unit_test(what_is_anothers_is_not_taken),
		cmocka_unit_test(refuses_a_count_that_is_none),
		cmocka_unit_test(writes_the_pid_file),
		cmocka_unit_test(writes_where_it_began),
		cmocka_unit_test(tells_that_it_cannot_write),
		cmocka_unit_test(writes_it_again_after_a_failure),
		cmocka_unit_test(one_in_a_process),
		cmocka_unit_test(refuses_options_of_the_future),
	};

	return cmocka_run_group_tests(tests, rig_begin, rig_end);
}
