/* SPDX-License-Identifier: MIT */
/* Runs tests/unit/fixtures/twins.c in one of its linkings, from beside the test's binary. */
#ifndef HP_TESTS_TARGET_TWINS_H
#define HP_TESTS_TARGET_TWINS_H

#include <libgen.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hp/err.h"
#include "target/procfs.h"
#include "target/target.h"

static pid_t pid;
static struct hp_target *t;

static inline void begin(const char *program)
{
	char self[PATH_MAX] = "", path[PATH_MAX];
	struct hp_err err = {0};
	struct hp_stat st;

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	assert_true(snprintf(path, sizeof(path), "%s/fixtures/%s", dirname(self), program) <
		    PATH_MAX);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(path, path, NULL);
		_exit(1);
	}
	/* asleep with its own name: in its pause() */
	for (int i = 0; i < 5000; i++) {
		assert_int_equal(hp_stat_read(pid, &st), 0);
		if (strncmp(st.comm, "twins", 5) == 0 && st.state == 'S')
			break;
		hp_pause_ns(HP_MS);
	}
	if (hp_target_open(&t, pid, &err) < 0)
		fail_msg("%s: %s", path, err.text);
}

static inline void end(void)
{
	hp_target_free(t);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

#endif
