/* SPDX-License-Identifier: MIT */
/* A fork looks at many: whom it looks at can neither hold it up nor end it, and nobody else is missing. */
#include <signal.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "hp/err.h"
#include "patch/ops.h"
#include "patch/survey.h"

#define LONG (1u << 20) /* more than a socket holds */

enum who { PLAIN = 1, HONEST, WAITS, CRASHES, LEAVES, REFUSES, LATE, TALKS, LIES };

struct heard {
	char text[512];
	size_t n;
};

static int look(void *arg, pid_t pid, struct hp_buf *ret, struct hp_err *err)
{
	static const char much[LONG];

	switch ((enum who)(pid % 10)) {
	case PLAIN:
		return 1;
	case HONEST:
		return hp_buf_add(ret, &pid, sizeof(pid));
	case WAITS:
		for (;;)
			pause();
	case CRASHES:
		(void)signal(SIGBUS, SIG_DFL); /* cmocka's */
		(void)raise(SIGBUS);
		return 1;
	case LEAVES:
		_exit(0);
	case REFUSES:
		return hp_err_set(err, -HP_E_GONE, "it is gone");
	case LATE:
		hp_pause_ns(20 * HP_MS);
		return hp_err_set(err, -HP_E_DENIED, "it is late");
	case TALKS:
		return hp_buf_add(ret, much, sizeof(much));
	case LIES:
		return hp_buf_add(ret, "x", 1);
	}
	return -1;
}

static int told(void *arg, const struct hp_survey_answer *a)
{
	struct heard *h = arg;
	const char *word = "found";

	if (a->code == 0 && a->pid % 10 == LIES)
		return -EBADMSG;
	if (a->code == 0 && a->pid % 10 == HONEST)
		assert_memory_equal(a->bytes, &a->pid, a->n);
	if (a->code == 0)
		assert_int_equal(a->n, a->pid % 10 == TALKS ? LONG : sizeof(a->pid));
	else
		word = a->code == HP_SURVEY_LOST ? strrchr(a->bytes, ' ') + 1 : a->bytes;
	h->n += (size_t)snprintf(h->text + h->n, sizeof(h->text) - h->n, "%d %s;", a->pid, word);
	return 0;
}

static void look_at(const pid_t *v, size_t n, uint64_t lost_max_ns, uint64_t least_ns,
		    const char *should)
{
	const struct hp_pids pids = {.v = (pid_t *)v, .n = n};
	struct heard h = {.text = ""};
	const struct hp_survey survey = {look, told, &h, lost_max_ns, least_ns};

	assert_int_equal(hp_survey_do(&survey, &pids, NULL), 0);
	assert_string_equal(h.text, should);
}

static void test_nobody_holds_it_up(void **state)
{
	static const pid_t all[] = {HONEST, PLAIN, WAITS, 10 + HONEST, CRASHES, 20 + HONEST, PLAIN,
				    LEAVES, REFUSES, 10 + WAITS, TALKS, 30 + HONEST, 20 + WAITS};
	static const pid_t plain[] = {PLAIN, PLAIN};

	look_at(all, 13, 2 * HP_S, 50 * HP_MS,
		"2 found;3 long;12 found;4 SIGBUS;22 found;5 ended;6 it is gone;13 long;8 found;"
		"32 found;23 long;");
	look_at(plain, 2, HP_S, HP_S, "");
	look_at(plain, 0, HP_S, HP_S, "");
}

/* Whoever held it up has left less time for those behind him, but never none. */
static void test_time_is_shared(void **state)
{
	static const pid_t late[] = {LATE, 10 + LATE, 20 + LATE};
	static const pid_t some[] = {WAITS, 10 + WAITS, 20 + WAITS, 30 + WAITS, 40 + WAITS, HONEST};
	uint64_t since = hp_now_ns();

	look_at(late, 3, 0, 10 * HP_S, "7 it is late;17 it is late;27 it is late;");
	assert_true(hp_now_ns() - since < 5 * HP_S);
	since = hp_now_ns();
	look_at(some, 6, 1600 * HP_MS, 200 * HP_MS,
		"3 long;13 long;23 long;33 long;43 long;2 found;");
	since = hp_now_ns() - since;
	assert_true(since >= 1300 * HP_MS); /* 400, 300, 225, 200, 200 */
	assert_true(since < 5 * HP_S);
}

static void test_what_cannot_be_is_told(void **state)
{
	static const pid_t two[] = {LIES, HONEST};
	const struct hp_pids pids = {.v = (pid_t *)two, .n = 2};
	struct heard h = {.text = ""};
	const struct hp_survey survey = {look, told, &h, HP_S, HP_S};
	struct hp_err err;

	assert_int_equal(hp_survey_do(&survey, &pids, &err), -HP_E_FAILED);
	assert_non_null(strstr(err.text, "what cannot be"));
	assert_string_equal(h.text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_holds_it_up),
		cmocka_unit_test(test_time_is_shared),
		cmocka_unit_test(test_what_cannot_be_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
