/* SPDX-License-Identifier: MIT */
/* Codes, their names, and back; sentences, of which one may become part of the next. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/abi.h"
#include "hp/err.h"

static void every_name_leads_back(void **state)
{
	static const int codes[] = {
#define CODE(code, name, status) -(code),
		HP_ERR_LIST(CODE)
#undef CODE
		-EPERM, -ENOENT, -EBUSY, -ETIMEDOUT, -EHWPOISON};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		assert_int_equal(hp_err_code(hp_err_name(codes[i])), codes[i]);
	assert_int_equal(hp_err_code("of-the-future"), -HP_E_FAILED);
	assert_int_equal(hp_err_code(""), -HP_E_FAILED);
}

static void copies_what_is_known(void **state)
{
	struct {
		size_t size;
		int a, b;
	} mine, theirs = {sizeof(theirs), 1, 2};
	struct hp_err err;

	assert_int_equal(hp_abi_copy(&mine, sizeof(mine), &theirs, "x", &err), 0);
	assert_int_equal(mine.b, 2);
	theirs.size = offsetof(__typeof__(theirs), b);
	assert_int_equal(hp_abi_copy(&mine, sizeof(mine), &theirs, "x", &err), 0);
	assert_int_equal(mine.a, 1);
	assert_int_equal(mine.b, 0);
	theirs.size = sizeof(theirs) + 1;
	assert_int_equal(hp_abi_copy(&mine, sizeof(mine), &theirs, "x", &err), -EINVAL);
	assert_string_equal(err.text,
			    "x.size is 17; this version of the library knows 8 to 16");
	theirs.size = 0;
	assert_int_equal(hp_abi_copy(&mine, sizeof(mine), &theirs, "x", &err), -EINVAL);
}

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
		cmocka_unit_test(every_name_leads_back),
		cmocka_unit_test(copies_what_is_known),
		cmocka_unit_test(a_sentence_may_hold_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
