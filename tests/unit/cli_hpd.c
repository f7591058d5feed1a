/* SPDX-License-Identifier: MIT */
/* hpctl against a real loop of hpd whose operations are played: results, streams, exit status. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "cli/cli.h"
#include "cli/start.h"
#include "hp/err.h"
#include "rig/daemon_rig.h"
#include "../services/tied.h"

static char out[65536], err[65536];

static void collect(const char *name, char *to, size_t room)
{
	char path[128], *text;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", rig.dir, name);
	assert_int_equal(hp_read_file(AT_FDCWD, path, room - 1, &text, &n), 0);
	memcpy(to, text, n + 1);
	free(text);
}

static int open_out(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", rig.dir, name);
	return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static pid_t begin(const char *line)
{
	static char copy[1024];
	char *argv[32] = {"hpctl"};
	int argc = 1;
	pid_t pid;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	close(open_out("out"));
	close(open_out("err"));
	fflush(NULL);
	pid = tied_fork();
	if (pid == 0) {
		dup2(open_out("out"), STDOUT_FILENO);
		dup2(open_out("err"), STDERR_FILENO);
		setenv("HP_SOCKET", rig.socket, 1);
		exit(hp_cli_main(argc, argv));
	}
	return pid;
}

static int finish(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	collect("out", out, sizeof(out));
	collect("err", err, sizeof(err));
	return WEXITSTATUS(status);
}

/* hpctl VERB -p TARGET MORE */
static int hpctl(const char *verb, const char *more)
{
	char line[1024];

	snprintf(line, sizeof(line), "%s -p %d %s", verb, rig.target, more);
	return finish(begin(line));
}

static const char *patch(const char *name)
{
	static char path[160];

	snprintf(path, sizeof(path), "%s/%s", rig.dir, name);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	return path;
}

static void loads_and_unloads(void **state)
{
	assert_int_equal(hpctl("load", patch("ok.so")), 0);
	assert_string_equal(out, STUB_ID "\n");
	assert_string_equal(err, "");
	assert_int_equal(hpctl("list", ""), 0);
	assert_non_null(strstr(out, STUB_ID));
	assert_non_null(strstr(out, "old -> new   x 0x401000, pun"));
	assert_int_equal(hpctl("-q list", ""), 0);
	assert_string_equal(out, STUB_ID "\n");
	assert_int_equal(hpctl("unload", "aaaa"), 0);
	assert_string_equal(out, "");
	assert_int_equal(hpctl("unload", "aaaa"), HP_EXIT_REFUSED);
	assert_string_equal(err, "hpctl: patch aaaa not loaded\n");
	assert_int_equal(hpctl("list", ""), 0);
	assert_string_equal(out, "");
}

static void passes_options_on(void **state)
{
	char more[512];

	snprintf(more, sizeof(more),
		 "%s --replace N=o --replace M=p --ref V=s --mode relaxed --quiesce watch "
		 "--timeout 2s --park 100us --no-stop",
		 patch("ok.so"));
	assert_int_equal(hpctl("load", more), 0);
	assert_int_equal(stub->last_load.replace.n, 2);
	assert_int_equal(stub->last_load.ref.n, 1);
	assert_int_equal(stub->last_load.mode, HP_MODE_RELAXED);
	assert_int_equal(stub->last_load.quiesce, HP_QUIESCE_WATCH);
	assert_int_equal(stub->last_load.timeout_ns, 2 * HP_S);
	assert_int_equal(stub->last_load.park_ns, 100 * HP_US);
	assert_true(stub->last_load.no_stop);
}

static void takes_the_patch_from_a_config(void **state)
{
	char path[128], text[256], more[256];
	int fd = open_out("c.json");

	snprintf(text, sizeof(text),
		 "{\"hp_file\":\"%s\",\"replace_config\":{\"N\":\"o\"},\"ref_config\":null}",
		 patch("ok.so"));
	assert_int_equal(hp_write_all(fd, text, strlen(text)), 0);
	close(fd);
	snprintf(path, sizeof(path), "%s/c.json", rig.dir);
	snprintf(more, sizeof(more), "--config %s --replace M=p", path);
	assert_int_equal(hpctl("load", more), 0);
	assert_int_equal(stub->last_load.replace.n, 2);
}

static void exits_with_the_errors_status(void **state)
{
	static const struct {
		const char *name;
		int status;
	} table[] = {{"refuse.so", HP_EXIT_REFUSED},
		     {"busy.so", HP_EXIT_NOT_QUIESCENT},
		     {"partial.so", HP_EXIT_PARTIAL},
		     {"crash.so", HP_EXIT_FAILED}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(hpctl("load", patch(table[i].name)), table[i].status);
		assert_string_equal(out, "");
		assert_memory_equal(err, "hpctl: ", 7);
		assert_int_equal(hpctl("--json load", patch(table[i].name)), table[i].status);
		assert_string_equal(err, "");
		assert_memory_equal(out, "{\"schema\":1,\"error\":{", 21);
	}
}

static void prints_json(void **state)
{
	static const struct {
		const char *verb, *more, *part;
	} table[] = {
		{"--json load", "ok.so", "\"hp_id\":\"" STUB_ID "\""},
		{"--json list", "", "\"patches\":[{"},
		{"--json check", "ok.so", "\"state\":\"planned\""},
		{"--json explain", "f", "\"function\":\"f\""},
		{"--json status", "", "\"hpd\":{"},
		{"--json unload", "aaaa", "\"patches_left\":0"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *more = strstr(table[i].more, ".so") ? patch(table[i].more)
								: table[i].more;
		json_t *doc;

		assert_int_equal(hpctl(table[i].verb, more), 0);
		doc = json_loads(out, 0, NULL);
		assert_non_null(doc);
		assert_int_equal(json_integer_value(json_object_get(doc, "schema")), 1);
		json_decref(doc);
		assert_non_null(strstr(out, table[i].part));
		assert_string_equal(err, "");
	}
}

static void shows_the_reading_verbs(void **state)
{
	assert_int_equal(hpctl("check", patch("ok.so")), 0);
	assert_non_null(strstr(out, "note: one\n"));
	assert_int_equal(stub->loads, 0);
	assert_int_equal(hpctl("load --dry-run", patch("ok.so")), 0);
	assert_int_equal(stub->loads, 0);
	assert_int_equal(hpctl("explain", "f"), 0);
	assert_non_null(strstr(out, "is inside f\n    #0   0x401234 f (/bin/x)\n1 of 3 threads"));
	assert_int_equal(hpctl("status", ""), 0);
	assert_non_null(strstr(out, "bpf: no (played without BPF)"));
	finish(begin("doctor"));
	assert_non_null(strstr(out, "userfaultfd"));
}

static void tells_steps(void **state)
{
	assert_int_equal(hpctl("-v load", patch("ok.so")), 0);
	assert_string_equal(out, STUB_ID "\n");
	assert_non_null(strstr(err, "plan      1.0 us     played\n"));
	assert_non_null(strstr(err, "loaded in "));
}

/* Until @part is in the file "out" that a running hpctl writes. */
static void wait_out(const char *part)
{
	for (int i = 0; i < 10000; i++) {
		collect("out", out, sizeof(out));
		if (strstr(out, part))
			return;
		hp_pause_ns(HP_MS);
	}
	fail_msg("never said: %s", part);
}

static void watches(void **state)
{
	char line[64], body[64];
	pid_t pid;

	snprintf(line, sizeof(line), "--json watch -p %d", rig.target);
	pid = begin(line);
	/* It watches when hpd has its request: until then events go by. */
	for (int i = 0; i < 10000; i++) {
		snprintf(body, sizeof(body), "{\"pid\":%d,\"id\":\"x\"}", rig.target);
		rig_expect(rig_ask("POST", "/hp/v2/unload", "", body), 404, "not-loaded");
		collect("out", out, sizeof(out));
		if (*out)
			break;
	}
	wait_out("\"event\":\"failed\"");
	kill(rig.hpd, SIGTERM);
	assert_int_equal(finish(pid), 0);
	rig_wait_exit();
	for (char *l = strtok(out, "\n"); l; l = strtok(NULL, "\n")) {
		json_t *doc = json_loads(l, 0, NULL);

		assert_non_null(doc);
		json_decref(doc);
	}
}

static void tells_when_hpd_goes_away(void **state)
{
	char path[256], line[512];
	pid_t pid;
	int fifo;

	snprintf(path, sizeof(path), "%s.go", patch("wait.so"));
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(line, sizeof(line), "load -p %d %s", rig.target, patch("wait.so"));
	pid = begin(line);
	fifo = open(path, O_WRONLY | O_CLOEXEC);
	kill(rig.hpd, SIGKILL);
	waitpid(rig.hpd, NULL, 0);
	assert_int_equal(finish(pid), HP_EXIT_DENIED);
	assert_non_null(strstr(err, "hpd went away before it answered"));
	close(fifo);
	kill(rig.target, SIGKILL);
	waitpid(rig.target, NULL, 0);
	rig_start();
}

/* Only one may start hpd at a time. */
static void takes_turns_to_start(void **state)
{
	struct hp_start *first, *second;
	struct hp_err e;
	char path[128], c;
	int p[2], status;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/new/hpd.sock", rig.dir);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(hp_start_begin(&first, path, &e), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		hp_start_end(first); /* the inherited one would hold us too */
		if (hp_start_begin(&second, path, &e) < 0 || read(p[0], &c, 1) != 1)
			_exit(1);
		_exit(0);
	}
	/* Written before the turn is given up: the other can only read it afterwards. */
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	hp_start_end(first);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(p[0]);
	close(p[1]);
}

#define RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(loads_and_unloads),
		RIG(passes_options_on),
		RIG(takes_the_patch_from_a_config),
		RIG(exits_with_the_errors_status),
		RIG(prints_json),
		RIG(shows_the_reading_verbs),
		RIG(tells_steps),
		RIG(watches),
		RIG(tells_when_hpd_goes_away),
		RIG(takes_turns_to_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
