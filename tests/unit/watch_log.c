/* SPDX-License-Identifier: MIT */
/* What hpd -v shows of libbpf: its warnings, a line each, and no more. */
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/fd.h"
#include "base/log.h"
#include "hp/err.h"
#include "watch/watch.h"

static void only_warnings_are_shown(void **state)
{
	hp_autoclose int log = memfd_create("log", MFD_CLOEXEC);
	hp_autoclose int terminal = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	struct hp_watch *w = NULL;
	struct hp_err err = {0};
	char text[65536] = "";
	size_t lines = 0;

	assert_true(log >= 0 && terminal >= 0);
	hp_log_set_level(HP_LOG_DEBUG);
	assert_int_equal(dup2(log, STDERR_FILENO), STDERR_FILENO);
	(void)hp_watch_open(&w, &err); /* judged below, where a failure can be seen */
	(void)bpf_object__open_file("/nonexistent", NULL);
	assert_int_equal(dup2(terminal, STDERR_FILENO), STDERR_FILENO);
	hp_log_set_level(HP_LOG_INFO);
	assert_non_null(w);
	hp_watch_close(w);

	assert_true(pread(log, text, sizeof(text) - 1, 0) > 0);
	assert_null(strstr(text, "\n\n"));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (!strstr(line, "/nonexistent"))
			fail_msg("%s", line);
		lines++;
	}
	assert_int_equal(lines, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_warnings_are_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
