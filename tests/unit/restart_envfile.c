/* SPDX-License-Identifier: MIT */
/* The files of EnvironmentFile=, as systemd reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "restart/envfile.h"
#include "restart/spec.h"

/* @wanted: the entries that come of @text, with a bar between. */
static void expect(const char *text, const char *wanted)
{
	static struct hp_spec spec;
	char got[256] = "";

	assert_int_equal(hp_envfile_take(&spec, text), 0);
	for (size_t i = 0; i < spec.envp.n; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i ? "|" : "",
			 spec.envp.v[i]);
	assert_string_equal(got, wanted);
	hp_strings_free(&spec.envp);
}

static void takes_assignments(void **state)
{
	expect("", "");
	expect("A=1", "A=1");
	expect("A=1\n\nB=2\r\n  C = 3 4 \t\n", "A=1|B=2|C=3 4");
	expect("A=\nB=", "A=|B=");
	expect("A=1\nA=2\n", "A=2");
	expect("OPTIONS=\"-u bind\"\n", "OPTIONS=-u bind");
}

static void passes_over_the_rest(void **state)
{
	expect("# A=1\n;B=2\nC\n=3\n1D=4\nexport E=5\nF-G=6\nH=7", "H=7");
	expect("A=1 # no comment", "A=1 # no comment");
}

static void takes_quotes_off(void **state)
{
	expect("A='a \"b\" \\c'", "A=a \"b\" \\c");
	expect("A=\"a 'b' \\\"c\\\" \\$ \\d\"", "A=a 'b' \"c\" $ \\d");
	expect("A=\"one\ntwo\" 'three'x\nB=1", "A=one\ntwothreex|B=1");
	expect("A=a\"b\"", "A=a\"b\"");
	expect("A='open\nB=1", "A=open\nB=1");
	expect("A=' b '  ", "A= b ");
}

static void goes_on_behind_a_backslash(void **state)
{
	expect("A=one \\\ntwo\nB=1", "A=one two|B=1");
	expect("A=\\\"b\\ \n", "A=\"b ");
	expect("A=\"one\\\ntwo\"", "A=onetwo");
	expect("A=\\", "A=\\");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_assignments),
		cmocka_unit_test(passes_over_the_rest),
		cmocka_unit_test(takes_quotes_off),
		cmocka_unit_test(goes_on_behind_a_backslash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
