/* SPDX-License-Identifier: MIT */
/* The command line: the table of verbs, --help and the manual say the same; usage errors. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fd.h"
#include "cli/cli.h"
#include "cli/values.h"
#include "hp/err.h"

static char out[65536], err[65536];

static void collect(int fd, char *to, size_t room)
{
	size_t n = 0;
	ssize_t r;

	while (n < room - 1 && (r = read(fd, to + n, room - 1 - n)) > 0)
		n += (size_t)r;
	to[n] = 0;
	close(fd);
}

/* hpctl with these words; its exit status, and what it said in out and err. */
static int hpctl(const char *line)
{
	char copy[512], *argv[32] = {"hpctl"};
	int argc = 1, o[2], e[2], status;
	pid_t pid;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	assert_int_equal(pipe2(o, O_CLOEXEC), 0);
	assert_int_equal(pipe2(e, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(o[1], STDOUT_FILENO);
		dup2(e[1], STDERR_FILENO);
		setenv("HP_SOCKET", "/nonexistent/hpd.sock", 1);
		exit(hp_cli_main(argc, argv));
	}
	close(o[1]);
	close(e[1]);
	collect(o[0], out, sizeof(out));
	collect(e[0], err, sizeof(err));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void lists_every_verb(void **state)
{
	assert_int_equal(hpctl("--help"), 0);
	assert_string_equal(err, "");
	for (const struct hp_verb *v = hp_verbs; v->name; v++) {
		char line[128];

		snprintf(line, sizeof(line), "\n  %-10s %s\n", v->name, v->summary);
		assert_non_null(strstr(out, line));
	}
}

static void has_option(const char *text, const struct hp_opt *o)
{
	char name[64];

	snprintf(name, sizeof(name), "--%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	assert_non_null(strstr(text, name));
	assert_non_null(strstr(text, o->help));
}

static void tells_every_option(void **state)
{
	for (const struct hp_verb *v = hp_verbs; v->name; v++) {
		char line[64];

		snprintf(line, sizeof(line), "%s --help", v->name);
		assert_int_equal(hpctl(line), 0);
		assert_string_equal(err, "");
		snprintf(line, sizeof(line), "usage: hpctl %s", v->name);
		assert_memory_equal(out, line, strlen(line));
		for (const struct hp_opt *o = v->opts; o->name; o++)
			has_option(out, o);
		for (const struct hp_opt *o = hp_global_opts; o->name; o++)
			has_option(out, o);
	}
}

/* Two options of one name or letter: the second would never be seen. */
static void has_no_option_twice(void **state)
{
	for (const struct hp_verb *v = hp_verbs; v->name; v++)
		for (const struct hp_opt *a = v->opts; a->name; a++) {
			for (const struct hp_opt *b = a + 1; b->name; b++)
				assert_string_not_equal(a->name, b->name);
			for (const struct hp_opt *b = hp_global_opts; b->name; b++) {
				assert_string_not_equal(a->name, b->name);
				assert_true(!a->letter || a->letter != b->letter);
			}
		}
}

static void matches_the_manual(void **state)
{
	char *man, name[64];

	assert_int_equal(hp_read_file(AT_FDCWD, "docs/man/hpctl.1", 1 << 20, &man, NULL), 0);
	for (const struct hp_verb *v = hp_verbs; v->name; v++) {
		snprintf(name, sizeof(name), "\n.It Cm %s", v->name);
		if (!strstr(man, name))
			print_error("not in hpctl(1): %s\n", v->name);
		assert_non_null(strstr(man, name));
		for (const struct hp_opt *o = v->opts; o->name; o++) {
			snprintf(name, sizeof(name), "Fl Fl %s", o->name);
			if (!strstr(man, name))
				print_error("not in hpctl(1): --%s\n", o->name);
			assert_non_null(strstr(man, name));
		}
	}
	for (const struct hp_opt *o = hp_global_opts; o->name; o++) {
		snprintf(name, sizeof(name), "Fl Fl %s", o->name);
		assert_non_null(strstr(man, name));
	}
	free(man);
}

static void refuses_wrong_usage(void **state)
{
	static const struct {
		const char *line, *part;
	} table[] = {
		{"", "no verb given (see hpctl --help)"},
		{"lo", "unknown verb 'lo'"},
		{"--what", "unknown or ambiguous option '--what'"},
		{"-x load", "unknown option '-x'"},
		{"load", "which process?"},
		{"load -p", "option '-p' needs an argument (see hpctl load --help)"},
		{"load -p 1", "which patch?"},
		{"load x.so", "which process?"},
		{"load -p 0 x.so", "is no pid"},
		{"load -p -5 x.so", "is no pid"},
		{"load -p 1x x.so", "is no pid"},
		{"load -p 99999999999999999999 x.so", "is no pid"},
		{"load -p 1 a.so b.so", "'b.so' is too much"},
		{"load -p 1 x.so --mode later", "none of quiesce, relaxed"},
		{"load -p 1 x.so --quiesce perhaps", "none of auto, watch, gate"},
		{"load -p 1 x.so --timeout soon", "is no time"},
		{"load -p 1 x.so --timeout 0s", "is no time"},
		{"load -p 1 x.so --park -1s", "is no time"},
		{"load -p 1 x.so --replace nothing", "is not NAME=NAME"},
		{"load -p 1 x.so --replace =b", "is not NAME=NAME"},
		{"load -p 1 x.so --ref a=", "is not NAME=NAME"},
		{"load -p 1 x.so --ref a=b --ref a=c", "'a' is given twice"},
		{"load -p 1 x.so --json=1", "without argument: '--json=1'"},
		{"load -p 1 x.so --discard", "unknown or ambiguous option '--discard'"},
		{"unload", "which process?"},
		{"unload -p 1", "HP_ID is missing"},
		{"unload -p 1 a b", "'b' is too much"},
		{"list x", "takes no argument"},
		{"status x", "takes no argument"},
		{"doctor x", "takes no argument"},
		{"watch --calls", "which process?"},
		{"explain -p 1", "FUNCTION is missing"},
		{"check -p 1", "which patch?"},
		{"restart", "which process?"},
		{"restart x", "'x' is no pid"},
		{"restart 1 --ready soon", "none of auto, notify"},
		{"restart 1 --ready-timeout soon", "is no time"},
		{"restart 1 --exec-env some", "none of KEEP, EMPTY, NAME=VALUE"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(hpctl(table[i].line), HP_EXIT_USAGE);
		if (!strstr(err, table[i].part))
			print_error("hpctl %s: %s\n", table[i].line, err);
		assert_non_null(strstr(err, table[i].part));
		assert_non_null(strstr(err, "--help)\n"));
		assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
		assert_string_equal(out, "");
	}
}

static void tells_what_is_out_of_reach(void **state)
{
	assert_int_equal(hpctl("list"), HP_EXIT_DENIED);
	assert_string_equal(err, "hpctl: no hpd serves /nonexistent/hpd.sock\n");
	assert_int_equal(hpctl("list --json"), HP_EXIT_DENIED);
	assert_string_equal(err, "");
	assert_non_null(strstr(out, "\"code\":\"unreachable\""));
	assert_non_null(strstr(out, "\"status\":5"));
	assert_int_equal(hpctl("--socket / list"), HP_EXIT_DENIED);
	assert_int_equal(hpctl("load -p 1 /nonexistent/x.so"), HP_EXIT_FAILED);
	assert_string_equal(err,
			    "hpctl: open /nonexistent/x.so: No such file or directory\n");
}

static void reads_times(void **state)
{
	static const struct {
		const char *text;
		double ms;
	} good[] = {{"5s", 5000}, {"50ms", 50}, {"100us", 0.1}, {"2", 2000}, {"1.5s", 1500},
		    {"1m", 60000}};
	static const char *const bad[] = {"",    "s",   "-1s", "+1s", " 1s", "1 s", "1h",
					  "inf", "nan", "0x1s", "0",  "0ms", "61m", "1e99s"};
	double ms;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(hp_value_ms(good[i].text, &ms));
		assert_true(ms == good[i].ms);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(hp_value_ms(bad[i], &ms));
}

static void config_case(const char *text, int status, const char *part)
{
	char path[] = "/tmp/hp-unit-XXXXXX", line[128];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(hp_write_all(fd, text, strlen(text)), 0);
	close(fd);
	snprintf(line, sizeof(line), "load -p 1 --config %s", path);
	assert_int_equal(hpctl(line), status);
	if (!strstr(err, part))
		print_error("%s: %s\n", text, err);
	assert_non_null(strstr(err, part));
	unlink(path);
}

static void reads_hotgos_document(void **state)
{
	config_case("{", HP_EXIT_USAGE, "malformed JSON");
	config_case("[]", HP_EXIT_USAGE, "must be a JSON object");
	config_case("{\"hp_file\":1}", HP_EXIT_USAGE, "\"hp_file\" must be a string");
	config_case("{\"replace_config\":[]}", HP_EXIT_USAGE, "must be an object of strings");
	config_case("{\"ref_config\":{\"a\":1}}", HP_EXIT_USAGE, "value of \"a\" must be a string");
	config_case("{\"colour\":1}", HP_EXIT_USAGE, "unknown member \"colour\"");
	config_case("{\"replace_config\":null}", HP_EXIT_USAGE, "which patch?");
	config_case("{\"hp_file\":\"/nonexistent/x.so\"}", HP_EXIT_FAILED, "No such file");
	assert_int_equal(hpctl("load -p 1 --config /nonexistent/c.json"), HP_EXIT_FAILED);
	assert_non_null(strstr(err, "/nonexistent/c.json"));
}

static void takes_globals_on_both_sides(void **state)
{
	assert_int_equal(hpctl("--version"), 0);
	assert_memory_equal(out, "hpctl ", 6);
	assert_int_equal(hpctl("load --version"), 0);
	assert_int_equal(hpctl("--socket /nonexistent/a list"), HP_EXIT_DENIED);
	assert_non_null(strstr(err, "/nonexistent/a"));
	assert_int_equal(hpctl("list --socket /nonexistent/b"), HP_EXIT_DENIED);
	assert_non_null(strstr(err, "/nonexistent/b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_every_verb),
		cmocka_unit_test(tells_every_option),
		cmocka_unit_test(has_no_option_twice),
		cmocka_unit_test(matches_the_manual),
		cmocka_unit_test(refuses_wrong_usage),
		cmocka_unit_test(tells_what_is_out_of_reach),
		cmocka_unit_test(reads_times),
		cmocka_unit_test(reads_hotgos_document),
		cmocka_unit_test(takes_globals_on_both_sides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
