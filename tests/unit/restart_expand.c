/* SPDX-License-Identifier: MIT */
/* Variables in ExecStart=, as systemd.service(5) has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "restart/expand.h"

static struct hp_spec spec;

static int set_up(void **state)
{
	assert_int_equal(hp_environ_set(&spec, "ONE", "one"), 0);
	assert_int_equal(hp_environ_set(&spec, "WORDS", " a 'b c'  \"d'\\\"e\" f\\ g'h'i "), 0);
	assert_int_equal(hp_environ_set(&spec, "EMPTY", ""), 0);
	assert_int_equal(hp_environ_set(&spec, "DOLLAR", "$ONE ${ONE}"), 0);
	return 0;
}

static int tear_down(void **state)
{
	hp_strings_free(&spec.envp);
	return 0;
}

/* @wanted: the words that come of @word, with a bar between. */
static void expect(const char *word, const char *wanted)
{
	struct hp_strings got = {0};
	char text[256] = "";

	assert_int_equal(hp_expand_word(&got, word, &spec), 0);
	for (size_t i = 0; i < got.n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? "|" : "",
			 got.v[i]);
	assert_string_equal(text, wanted);
	hp_strings_free(&got);
}

static void leaves_what_is_no_variable(void **state)
{
	expect("plain", "plain");
	expect("", "");
	expect("$", "$");
	expect("a$ONE", "a$ONE");
	expect("$1-", "$1-");
	expect("${ONE", "${ONE");
	expect("${}", "${}");
}

static void puts_values_into_words(void **state)
{
	expect("${ONE}", "one");
	expect("<${ONE}${EMPTY}${NONE}${ONE}>", "<oneone>");
	expect("${WORDS}", " a 'b c'  \"d'\\\"e\" f\\ g'h'i ");
	expect("$${ONE} $$", "${ONE} $");
	expect("${DOLLAR}", "$ONE ${ONE}");
}

static void splits_a_variable_that_is_a_word(void **state)
{
	expect("$ONE", "one");
	expect("$WORDS", "a|b c|d'\"e|f ghi");
	expect("$EMPTY", "");
	expect("$NONE", "");
	expect("$DOLLAR", "$ONE|${ONE}");
}

static void an_empty_variable_is_no_word(void **state)
{
	struct hp_strings got = {0};

	assert_int_equal(hp_expand_word(&got, "$EMPTY", &spec), 0);
	assert_int_equal(got.n, 0);
	assert_int_equal(hp_expand_word(&got, "${EMPTY}", &spec), 0);
	assert_int_equal(got.n, 1);
	hp_strings_free(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_what_is_no_variable),
		cmocka_unit_test(puts_values_into_words),
		cmocka_unit_test(splits_a_variable_that_is_a_word),
		cmocka_unit_test(an_empty_variable_is_no_word),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
