/* SPDX-License-Identifier: MIT */
/* Upgrades with real processes: this program starts itself again. */
#include "upgrade_child.h"

#include <pthread.h>
#include <sys/un.h>

#include "base/fd.h"

static bool exits(struct hp_upgrade *u)
{
	return is_readable(hp_upgrade_exit_fd(u), 0);
}

/* "child pid=7 exited: …" without the pid. */
static void expect_text(const char *before_pid, const char *after_pid)
{
	size_t n = strlen(before_pid);
	char *end;

	assert_int_equal(strncmp(err.text, before_pid, n), 0);
	assert_true(strtol(err.text + n, &end, 10) > 0);
	assert_string_equal(end, after_pid);
}

static void upgrades(void **state)
{
	struct child c;
	struct hp_upgrade *u = before("pid", 0, &c);

	assert_false(hp_upgrade_has_parent(u));
	assert_false(exits(u));
	assert_int_equal(hp_upgrade_now(u, &err), 0);
	assert_true(exits(u));
	assert_int_not_equal(atoi(child_said(&c)), getpid());
	expect_error(hp_upgrade_now(u, &err), -EALREADY, "already upgraded");
	assert_int_equal(u->fds.used.a.n, 0);
	/* It is time to exit, however often it is asked. */
	assert_int_equal(hp_upgrade_wait(u, &err), 0);
	assert_int_equal(hp_upgrade_process(u, &err), 1);
	assert_true(is_readable(hp_upgrade_fd(u), 0));
	hp_upgrade_stop(u);
	expect_error(hp_upgrade_now(u, &err), -EALREADY, "already upgraded");
	child_done(u, &c);
}

static void refuses_before_ready(void **state)
{
	struct hp_upgrade *u = opened(NULL);

	expect_error(hp_upgrade_now(u, &err), -EAGAIN, "process is not ready yet");
	assert_false(exits(u));
	hp_upgrade_free_in(u);
}

static void expect_failure(const char *what, int code, const char *before_pid,
			   const char *after_pid)
{
	struct child c;
	struct hp_upgrade *u = before(what, code == -ETIMEDOUT ? 50 : 0, &c);

	assert_int_equal(hp_upgrade_now(u, &err), code);
	expect_text(before_pid, after_pid);
	assert_false(exits(u));
	/* It is reaped, and this process serves as before. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(u->fds.used.a.n, 2);
	setenv("UPGRADE_CHILD", "pid", 1);
	u->options.timeout_ms = HP_UPGRADE_TIMEOUT_MS;
	assert_int_equal(hp_upgrade_now(u, &err), 0);
	child_done(u, &c);
}

static void survives_a_clean_exit(void **state)
{
	expect_failure("exit", -ECHILD, "child pid=", " exited");
}

static void survives_a_failure(void **state)
{
	expect_failure("fail", -ECHILD, "child pid=", " exited: exit status 3");
}

static void survives_a_crash(void **state)
{
	expect_failure("crash", -ECHILD, "child pid=", " exited: signal: killed");
}

static void kills_what_takes_too_long(void **state)
{
	expect_failure("hang", -ETIMEDOUT, "new child pid=", " timed out");
}

/* A program may reap all its children itself. */
static void survives_a_reaper(void **state)
{
	struct child c;
	struct hp_upgrade *u = before("fail", 0, &c);

	signal(SIGCHLD, SIG_IGN);
	assert_int_equal(hp_upgrade_now(u, &err), -ECHILD);
	signal(SIGCHLD, SIG_DFL);
	expect_text("child pid=", " exited");
	child_done(u, &c);
}

static void waits_a_minute_by_default(void **state)
{
	struct hp_upgrade *u = opened(NULL);

	assert_int_equal(u->options.timeout_ms, 60000);
	hp_upgrade_free_in(u);
}

static void tells_what_cannot_be_started(void **state)
{
	struct child c;
	struct hp_upgrade *u = before("pid", 0, &c);
	char *argv[] = {"/no/such/program", NULL}, *empty[] = {"hp-no-such-program", NULL};
	char **own = u->argv, *cwd = u->cwd;

	u->argv = argv;
	expect_error(hp_upgrade_now(u, &err), -ENOENT,
		     "can't start child: can't start process /no/such/program: execve: No such file "
		     "or directory");
	u->argv = empty;
	expect_error(hp_upgrade_now(u, &err), -ENOENT,
		     "can't start child: can't start process hp-no-such-program: execve: No such "
		     "file or directory");
	u->cwd = "/no/such/folder";
	expect_error(hp_upgrade_now(u, &err), -ENOENT,
		     "can't start child: can't start process hp-no-such-program: /no/such/folder: No "
		     "such file or directory");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	u->argv = own;
	u->cwd = cwd;
	child_done(u, &c);
}

/* --- several threads ------------------------------------------------------------------------------ */

struct other {
	struct hp_upgrade *u;
	struct hp_err err;
	int k;
};

static void *upgrade_in_thread(void *arg)
{
	struct other *o = arg;

	o->k = hp_upgrade_now(o->u, &o->err);
	return NULL;
}

/* Its child is there: nobody else may begin one. */
static void until_begun(struct hp_upgrade *u)
{
	for (bool begun = false; !begun;) {
		pthread_mutex_lock(&u->lock);
		begun = u->child.pid;
		pthread_mutex_unlock(&u->lock);
	}
}

static void one_at_a_time_and_stop_ends_it(void **state)
{
	struct child c;
	struct hp_upgrade *u = before("hang", 0, &c);
	struct other o = {.u = u};
	int fd = good(hp_upgrade_listen(u, "unix", in_dir("stopped"), &err));
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, upgrade_in_thread, &o), 0);
	until_begun(u);
	expect_error(hp_upgrade_now(u, &err), -EINPROGRESS, "upgrade in progress");
	expect_error(hp_upgrade_begin(u, &err), -EINPROGRESS, "upgrade in progress");
	assert_int_equal(hp_upgrade_process(u, &err), 0);
	hp_upgrade_stop(u);
	assert_true(exits(u));
	pthread_join(t, NULL);
	assert_int_equal(o.k, -ECANCELED);
	assert_string_equal(o.err.text, "terminating");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	expect_error(hp_upgrade_now(u, &err), -ECANCELED, "terminating");
	assert_int_equal(hp_upgrade_wait(u, &err), 0);
	assert_false(exists(in_dir("stopped")));
	close(fd);
	child_done(u, &c);
}

/* --- event loops ---------------------------------------------------------------------------------- */

static int processed(struct hp_upgrade *u)
{
	int k;

	do
		assert_true(is_readable(hp_upgrade_fd(u), PATIENCE_MS));
	while ((k = hp_upgrade_process(u, &err)) == 0);
	return k;
}

static void goes_on_in_a_loop(void **state)
{
	struct child c;
	struct hp_upgrade *u = before("fail", 0, &c);

	assert_false(is_readable(hp_upgrade_fd(u), 0));
	assert_int_equal(hp_upgrade_process(u, &err), 0);
	assert_int_equal(hp_upgrade_begin(u, &err), 0);
	assert_int_equal(processed(u), -ECHILD);
	expect_text("child pid=", " exited: exit status 3");
	assert_false(is_readable(hp_upgrade_fd(u), 0));

	setenv("UPGRADE_CHILD", "hang", 1);
	u->options.timeout_ms = 30;
	assert_int_equal(hp_upgrade_begin(u, &err), 0);
	assert_int_equal(processed(u), -ETIMEDOUT);
	expect_text("new child pid=", " timed out");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);

	setenv("UPGRADE_CHILD", "pid", 1);
	u->options.timeout_ms = HP_UPGRADE_TIMEOUT_MS;
	assert_int_equal(hp_upgrade_begin(u, &err), 0);
	assert_int_equal(processed(u), 1);
	assert_int_not_equal(atoi(child_said(&c)), getpid());
	child_done(u, &c);
}

static void stop_ends_one_in_a_loop(void **state)
{
	struct child c;
	struct hp_upgrade *u = before("hang", 0, &c);

	assert_int_equal(hp_upgrade_begin(u, &err), 0);
	hp_upgrade_stop(u);
	assert_int_equal(processed(u), 1);
	while (waitpid(-1, NULL, WNOHANG) == 0) /* killed by now, and reaped below or there */
		assert_int_equal(hp_upgrade_process(u, &err), 1);
	child_done(u, &c);
}

/* SIGHUP, SIGTERM and SIGINT; the new process does not begin with them blocked. */
static void signals_upgrade_and_stop(void **state)
{
	static const int stops[] = {SIGTERM, SIGINT};
	struct child c;
	struct hp_upgrade *u = before("mask", 0, &c);
	const char *said;
	sigset_t old;

	pthread_sigmask(SIG_SETMASK, NULL, &old);
	signal(SIGUSR2, SIG_IGN);
	assert_int_equal(hp_upgrade_signals(u, &err), 0);
	expect_error(hp_upgrade_signals(u, &err), -EEXIST, "signals are waited for already");
	kill(getpid(), SIGHUP);
	assert_int_equal(hp_upgrade_wait(u, &err), 0);
	said = child_said(&c);
	assert_non_null(strstr(said, "SigBlk:\t0000000000000000\n"));
	assert_true(strtoul(strstr(said, "SigIgn:") + 8, NULL, 16) & 1ul << (SIGUSR2 - 1));
	signal(SIGUSR2, SIG_DFL);
	child_done(u, &c);
	for (int i = 0; i < 2; i++) {
		u = opened(NULL);
		assert_int_equal(hp_upgrade_signals(u, &err), 0);
		kill(getpid(), SIGHUP);
		assert_int_equal(hp_upgrade_wait(u, &err), -EAGAIN);
		kill(getpid(), stops[i]);
		assert_int_equal(hp_upgrade_wait(u, &err), 0);
		expect_error(hp_upgrade_now(u, &err), -ECANCELED, "terminating");
		hp_upgrade_free_in(u);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* --- what it gets --------------------------------------------------------------------------------- */

/* Nothing but what is handed over, whatever this process has open. */
static void hands_over_nothing_else(void **state)
{
	struct child c;
	struct hp_upgrade *u = before("fds", 0, &c);
	int leak = dup(0);

	assert_true(leak >= 0);
	assert_int_equal(hp_upgrade_now(u, &err), 0);
	/* state and exit with their duplicates, the parent's socket, and the handle's own two */
	assert_string_equal(child_said(&c), "0 1 2 3 4 5 6 7 8 9 ");
	close(leak);
	child_done(u, &c);
}

/* Many, and in an order that their numbers do not have. */
static void hands_over_many(void **state)
{
	struct child c;
	struct hp_upgrade *u = before("pid", 0, &c);
	char name[32];

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "extra%d", i % 200);
		assert_int_equal(hp_upgrade_add_file(u, name, 0, &err), 0);
	}
	assert_int_equal(u->fds.used.a.n, 202);
	for (int i = 0; i < 101; i++) {
		struct hp_handed h = u->fds.used.a.v[i];

		u->fds.used.a.v[i] = u->fds.used.a.v[201 - i];
		u->fds.used.a.v[201 - i] = h;
	}
	assert_int_equal(hp_upgrade_now(u, &err), 0);
	assert_int_not_equal(atoi(child_said(&c)), 0);
	child_done(u, &c);
}

/* systemd's convention: first the sockets to serve, with names that it allows. */
static void offers_systemds_convention(void **state)
{
	struct child c;
	struct hp_upgrade *u = before("systemd", 0, &c);
	char wanted[256];
	int fd;

	fd = good(hp_upgrade_listen(u, "unix", in_dir("a:b"), &err));
	close(good(hp_upgrade_listen_packet(u, "unixgram", "@hp-offered", &err)));
	assert_int_equal(hp_upgrade_now(u, &err), -ECHILD);
	expect_text("child pid=", " exited");
	close(fd);
	hp_upgrade_stop(u);
	snprintf(wanted, sizeof(wanted), "2 unix-%s/a-b:unixgram-@hp-offered", dir);
	assert_string_equal(child_said(&c), wanted);
	child_done(u, &c);
}

/* --- the parent's side of it ---------------------------------------------------------------------- */

static void parent_has_to_exit_first(void **state)
{
	struct child c;
	struct hp_upgrade *u = before("upgrade", 0, &c);

	assert_int_equal(hp_upgrade_now(u, &err), 0);
	assert_string_equal(child_said(&c), "-16 parent hasn't exited");
	child_done(u, &c);
}

static void child_sees_the_parents_end(void **state)
{
	struct child c;
	struct hp_upgrade *u = before("wait", 0, &c);
	char r;

	assert_int_equal(hp_upgrade_now(u, &err), 0);
	assert_int_equal(read(c.state, &r, 1), 1);
	assert_false(is_readable(c.state, 0));
	hp_close(&u->successor);
	assert_string_equal(child_said(&c), "0 ");
	child_done(u, &c);
}

static void child_sees_a_parents_nonsense(void **state)
{
	struct child c;
	struct hp_upgrade *u = before("wait", 0, &c);

	assert_int_equal(hp_upgrade_now(u, &err), 0);
	assert_int_equal(write(u->successor, "x", 1), 1);
	hp_close(&u->successor);
	assert_string_equal(child_said(&c), "r-74 unexpected data from parent process");
	child_done(u, &c);
}

/* --- what systemd hears --------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void heard(int fd, const char *format, ...)
{
	char got[256], wanted[256];
	va_list ap;
	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);

	assert_true(n > 0);
	got[n] = 0;
	va_start(ap, format);
	vsnprintf(wanted, sizeof(wanted), format, ap);
	va_end(ap);
	assert_int_equal(strncmp(got, wanted, strlen(wanted)), 0);
}

static void tells_systemd(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct hp_upgrade *u;
	struct child c;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", in_dir("notify"));
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	rig_vars[0].name = "NOTIFY_SOCKET";
	rig_vars[0].value = a.sun_path;
	u = before("fail", 0, &c);
	heard(fd, "READY=1");
	assert_int_equal(hp_upgrade_now(u, &err), -ECHILD);
	heard(fd, "RELOADING=1\nMONOTONIC_USEC=");
	heard(fd, "READY=1");
	setenv("UPGRADE_CHILD", "pid", 1);
	assert_int_equal(hp_upgrade_now(u, &err), 0);
	heard(fd, "RELOADING=1\nMONOTONIC_USEC=");
	heard(fd, "READY=1\nMAINPID=%s", child_said(&c));
	hp_upgrade_stop(u);
	assert_false(is_readable(fd, 0)); /* the service does not stop: it goes on in the child */
	child_done(u, &c);
	u = opened(NULL);
	hp_upgrade_stop(u);
	heard(fd, "STOPPING=1");
	hp_upgrade_free_in(u);
	rig_clear();
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(upgrades),
		cmocka_unit_test(refuses_before_ready),
		cmocka_unit_test(survives_a_clean_exit),
		cmocka_unit_test(survives_a_failure),
		cmocka_unit_test(survives_a_crash),
		cmocka_unit_test(kills_what_takes_too_long),
		cmocka_unit_test(survives_a_reaper),
		cmocka_unit_test(waits_a_minute_by_default),
		cmocka_unit_test(tells_what_cannot_be_started),
		cmocka_unit_test(one_at_a_time_and_stop_ends_it),
		cmocka_unit_test(goes_on_in_a_loop),
		cmocka_unit_test(stop_ends_one_in_a_loop),
		cmocka_unit_test(signals_upgrade_and_stop),
		cmocka_unit_test(hands_over_nothing_else),
		cmocka_unit_test(hands_over_many),
		cmocka_unit_test(offers_systemds_convention),
		cmocka_unit_test(parent_has_to_exit_first),
		cmocka_unit_test(child_sees_the_parents_end),
		cmocka_unit_test(child_sees_a_parents_nonsense),
		cmocka_unit_test(tells_systemd),
	};

	if (getenv(HP_INHERIT_MARKER))
		return child_main();
	return cmocka_run_group_tests(tests, rig_begin, rig_end);
}
