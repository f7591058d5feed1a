/* SPDX-License-Identifier: MIT */
/* Sentences: what is in one may become part of the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hp/err.h"

static void a_sentence_may_hold_itself(void **state)
{
	struct hp_err e;

	assert_int_equal(hp_err_set(&e, -HP_E_TARGET, "the first %d", 1), -HP_E_TARGET);
	assert_int_equal(hp_err_set(&e, -HP_E_PARTIAL, "%s; and %s", e.text, "more"), -HP_E_PARTIAL);
	assert_int_equal(e.code, -HP_E_PARTIAL);
	assert_string_equal(e.text, "the first 1; and more");
	assert_int_equal(hp_err_prefix(&e, -HP_E_HOOK, "%.9s", e.text), -HP_E_HOOK);
	assert_string_equal(e.text, "the first: the first 1; and more");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sentence_may_hold_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
