/* SPDX-License-Identifier: MIT */
/* What a new generation is started with, read from the old one: words, program, environment; and the
 * words of --drain. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "hp/err.h"
#include "restart/retire.h"
#include "restart/spec.h"
#include "../services/tied.h"

static struct hp_spec spec;
static struct hp_err err;

static void forget(void)
{
	hp_strings_free(&spec.argv);
	hp_strings_free(&spec.envp);
	spec = (struct hp_spec){0};
}

/* --- processes to read ------------------------------------------------------------------------------ */

/* sleep(1), which calls itself @name, with @env.  It stops when execve(2) is done: what is closed by it is
 * closed before /proc has the new words. */
static pid_t start(const char *name, char *const env[])
{
	pid_t pid = tied_fork();
	int status;

	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
			execle("/bin/sleep", name, "60", "1m", "60", NULL, env);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* --- the command ------------------------------------------------------------------------------------- */

static void own_words(void **state)
{
	char *env[] = {"PATH=/nowhere:/bin", NULL};
	pid_t pid = start("sleep", env);
	const struct hp_restart_request req = {.pid = pid};

	assert_int_equal(hp_environ_read(&spec, &req, &err), 0);
	assert_int_equal(hp_command_read(&spec, &req, &err), 0);
	assert_int_equal(spec.argv.n, 4);
	assert_string_equal(spec.argv.v[0], "sleep");
	assert_string_equal(spec.argv.v[2], "1m");
	assert_null(spec.argv.v[4]);
	assert_string_equal(spec.file, "/bin/sleep"); /* along its PATH */
	forget();
	end(pid);
}

static void a_title_is_no_command(void **state)
{
	char *env[] = {"PATH=/bin", NULL};
	pid_t pid = start("sleeper: waiting", env);
	const struct hp_restart_request req = {.pid = pid};

	assert_int_equal(hp_environ_read(&spec, &req, &err), 0);
	assert_int_equal(hp_command_read(&spec, &req, &err), -HP_E_COMMAND);
	assert_non_null(strstr(err.text, "sleeper: waiting"));
	forget();
	end(pid);
}

static void words_of_the_request(void **state)
{
	const char *words[] = {"sh", "-c", "exit 0"}, *nowhere[] = {"no-such-program"};
	const char *folder[] = {"/tmp"}, *nothing[] = {""};
	struct hp_restart_request req = {.pid = getpid(), .argv = words, .n_argv = 3,
					 .env = HP_RESTART_ENV_EMPTY};

	assert_int_equal(hp_command_read(&spec, &req, &err), 0);
	assert_int_equal(spec.argv.n, 3);
	assert_string_equal(spec.argv.v[2], "exit 0");
	assert_non_null(strstr(spec.file, "/bin/sh")); /* the usual PATH, where there is none */
	forget();
	req.n_argv = 1;
	req.argv = nowhere;
	assert_int_equal(hp_command_read(&spec, &req, &err), -HP_E_NO_FILE);
	assert_non_null(strstr(err.text, "no-such-program"));
	forget();
	req.argv = folder;
	assert_int_equal(hp_command_read(&spec, &req, &err), -HP_E_NO_FILE);
	forget();
	req.argv = nothing;
	assert_int_equal(hp_command_read(&spec, &req, &err), -HP_E_NO_FILE);
	forget();
}

/* --- the environment ------------------------------------------------------------------------------- */

static void what_is_the_process_own_stays_behind(void **state)
{
	char *env[] = {"KEPT=1",	     "LISTEN_FDS=3",	  "LISTEN_PID=1",
		       "HAPROXY_PROCESSES=x", "HAPROXY_MWORKER_WAIT_ONLY=1", "NGINX=5;6;",
		       "NGINX_CONF=kept",     "EMPTY=",		  "overwritten",
		       "worker: x=y",	      NULL};
	pid_t pid = start("sleep", env);
	struct hp_pair more[] = {{"KEPT", "2"}, {"NEW", "3"}};
	struct hp_restart_request req = {.pid = pid, .set = {.v = more, .n = 2}};

	assert_int_equal(hp_environ_read(&spec, &req, &err), 0);
	assert_string_equal(hp_environ_get(&spec, "KEPT"), "2");
	assert_string_equal(hp_environ_get(&spec, "NEW"), "3");
	assert_string_equal(hp_environ_get(&spec, "EMPTY"), "");
	assert_string_equal(hp_environ_get(&spec, "NGINX_CONF"), "kept");
	assert_null(hp_environ_get(&spec, "NGINX"));
	assert_null(hp_environ_get(&spec, "LISTEN_FDS"));
	assert_null(hp_environ_get(&spec, "HAPROXY_MWORKER_WAIT_ONLY"));
	assert_int_equal(spec.envp.n, 4);
	assert_null(spec.envp.v[4]);
	assert_string_equal(spec.left_out, "2 overwritten entries left out");
	forget();
	req.env = HP_RESTART_ENV_EMPTY;
	assert_int_equal(hp_environ_read(&spec, &req, &err), 0);
	assert_int_equal(spec.envp.n, 2);
	forget();
	end(pid);
}

static void who_told_the_administrator_tells_again(void **state)
{
	char *env[] = {"NOTIFY_SOCKET=/run/notify", NULL};
	char *ours[] = {"NOTIFY_SOCKET=" HP_NOTIFY_PREFIX "77", NULL};
	pid_t pid = start("sleep", env);
	struct hp_restart_request req = {.pid = pid};

	assert_int_equal(hp_environ_read(&spec, &req, &err), 0);
	assert_true(spec.wants_ready);
	forget();
	end(pid);
	req.pid = pid = start("sleep", ours);
	assert_int_equal(hp_environ_read(&spec, &req, &err), 0);
	assert_false(spec.wants_ready);
	forget();
	end(pid);
}

/* --- of one who has fewer rights than the new one --------------------------------------------------- */

static void nothing_is_his_word(void **state)
{
	char *env[] = {"PATH=/bin", "LD_PRELOAD=/tmp/evil.so", NULL};
	const char *whole[] = {"/bin/sleep"}, *where_he_is[] = {"bin/sleep"};
	pid_t pid = start("sleep", env);
	struct hp_pair more[] = {{"OURS", "1"}};
	struct hp_restart_request req = {.pid = pid, .set = {.v = more, .n = 1}};

	spec.rises = true;
	assert_int_equal(hp_environ_read(&spec, &req, &err), 0);
	assert_int_equal(spec.envp.n, 1);
	assert_string_equal(hp_environ_get(&spec, "OURS"), "1");
	assert_non_null(strstr(spec.left_out, "not taken"));
	assert_int_equal(hp_command_read(&spec, &req, &err), -HP_E_COMMAND);
	req.n_argv = 1;
	req.argv = where_he_is;
	assert_int_equal(hp_command_read(&spec, &req, &err), -HP_E_COMMAND);
	hp_strings_free(&spec.argv);
	req.argv = whole;
	assert_int_equal(hp_command_read(&spec, &req, &err), 0);
	forget();
	end(pid);
}

/* --- the drain ------------------------------------------------------------------------------------- */

static void words_of_drain(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		enum hp_drain_way way;
		int signal;
	} v[] = {
		{"external", true, HP_DRAIN_EXTERNAL, 0},
		{"graceful", true, HP_DRAIN_GRACEFUL, 0},
		{"graceful:SIGQUIT", true, HP_DRAIN_GRACEFUL, SIGQUIT},
		{"graceful:USR1", true, HP_DRAIN_GRACEFUL, SIGUSR1},
		{"external:SIGINT", true, HP_DRAIN_EXTERNAL, SIGINT},
		{"", false, 0, 0},
		{"grace", false, 0, 0},
		{"gracefully", false, 0, 0},
		{"graceful:", false, 0, 0},
		{"graceful:SIG", false, 0, 0},
		{"graceful:SIGKILL", false, 0, 0},
		{"graceful:SIGSTOP", false, 0, 0},
		{"graceful:sigquit", false, 0, 0},
		{"graceful:3", false, 0, 0},
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		enum hp_drain_way way = HP_DRAIN_DEFAULT;
		int signal = -1;

		assert_int_equal(hp_drain_parse(v[i].text, &way, &signal), v[i].ok);
		if (!v[i].ok)
			continue;
		assert_int_equal(way, v[i].way);
		assert_int_equal(signal, v[i].signal);
	}
}

static void choose(const struct hp_restart_request *req, const char *comm, enum hp_drain_way way,
		   int signal)
{
	struct hp_retire r = {0};

	hp_retire_choose(&r, req, comm);
	assert_int_equal(r.way, way);
	assert_int_equal(r.signal, signal);
}

static void the_usual_drain(void **state)
{
	const struct hp_restart_request none = {0}, external = {.drain = HP_DRAIN_EXTERNAL},
					graceful = {.drain = HP_DRAIN_GRACEFUL},
					hup = {.drain = HP_DRAIN_GRACEFUL, .drain_signal = SIGHUP};

	choose(&none, "nginx", HP_DRAIN_GRACEFUL, SIGQUIT);
	choose(&none, "haproxy", HP_DRAIN_GRACEFUL, SIGUSR1);
	choose(&none, "redis-server", HP_DRAIN_EXTERNAL, SIGTERM);
	choose(&external, "nginx", HP_DRAIN_EXTERNAL, SIGTERM);
	choose(&graceful, "redis-server", HP_DRAIN_GRACEFUL, SIGTERM);
	choose(&hup, "nginx", HP_DRAIN_GRACEFUL, SIGHUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_words),
		cmocka_unit_test(a_title_is_no_command),
		cmocka_unit_test(words_of_the_request),
		cmocka_unit_test(what_is_the_process_own_stays_behind),
		cmocka_unit_test(who_told_the_administrator_tells_again),
		cmocka_unit_test(nothing_is_his_word),
		cmocka_unit_test(words_of_drain),
		cmocka_unit_test(the_usual_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
