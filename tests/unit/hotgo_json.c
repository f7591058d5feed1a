/* SPDX-License-Identifier: MIT */
/* Go's JSON: what is taken, and its sentences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hotgo/hotgo.h"
#include "hotgo/json.h"
#include "hp/err.h"

static void refuses(const char *body, size_t n, const char *why)
{
	struct hp_hotgo_config c;
	struct hp_err err = {0};
	int k = hp_hotgo_read_load(body, n, &c, &err);

	if (k != -HP_E_BAD_REQUEST || strcmp(err.text, why) != 0)
		print_error("%.60s: got %d '%s'\n", body, k, err.text);
	assert_int_equal(k, -HP_E_BAD_REQUEST);
	assert_string_equal(err.text, why);
}

static void refuses_by_gos_sentences(void **state)
{
	static const struct {
		const char *body, *why;
	} table[] = {
		{"", "EOF"},
		{" \t\r\n", "EOF"},
		{"{", "unexpected EOF"},
		{"{\"hp_file\":", "unexpected EOF"},
		{"{\"hp_file\":\"x", "unexpected EOF"},
		{"-", "unexpected EOF"},
		{"nul", "unexpected EOF"},
		{"[1,", "unexpected EOF"},
		{"{x", "invalid character 'x' looking for beginning of object key string"},
		{"{\"a\":1,}", "invalid character '}' looking for beginning of object key string"},
		{"[1,]", "invalid character ']' looking for beginning of value"},
		{"}", "invalid character '}' looking for beginning of value"},
		{"{\"a\" 1}", "invalid character '1' after object key"},
		{"{\"a\":1 2}", "invalid character '2' after object key:value pair"},
		{"{\"a\":01}", "invalid character '1' after object key:value pair"},
		{"[1 2]", "invalid character '2' after array element"},
		{"[1}", "invalid character '}' after array element"},
		{"{\"a\":\"\n\"}", "invalid character '\\n' in string literal"},
		{"{\"a\":\"\\x\"}", "invalid character 'x' in string escape code"},
		{"\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"},
		{"-x", "invalid character 'x' in numeric literal"},
		{"1.x", "invalid character 'x' after decimal point in numeric literal"},
		{"1e+x", "invalid character 'x' in exponent of numeric literal"},
		{"trux", "invalid character 'x' in literal true (expecting 'e')"},
		{"nxll", "invalid character 'x' in literal null (expecting 'u')"},
		{"'", "invalid character '\\'' looking for beginning of value"},
		{"{\"\"", "unexpected EOF"},
		{"\\", "invalid character '\\\\' looking for beginning of value"},
		{"\xff", "invalid character '\xc3\xbf' looking for beginning of value"},
		{"\x80", "invalid character '\\u0080' looking for beginning of value"},
		{"\x7f", "invalid character '\\x7f' looking for beginning of value"},
		{"[]", "json: cannot unmarshal array into Go value of type hotgo.LoadRequest"},
		{"5", "json: cannot unmarshal number into Go value of type hotgo.LoadRequest"},
		{"\"x\"", "json: cannot unmarshal string into Go value of type hotgo.LoadRequest"},
		{"true", "json: cannot unmarshal bool into Go value of type hotgo.LoadRequest"},
		{"{\"hp_file\":1}",
		 "json: cannot unmarshal number into Go struct field LoadRequest.hp_file of type string"},
		{"{\"hp_file\":{}}",
		 "json: cannot unmarshal object into Go struct field LoadRequest.hp_file of type string"},
		{"{\"ref_config\":[]}", "json: cannot unmarshal array into Go struct field "
					"LoadRequest.ref_config of type map[string]string"},
		{"{\"replace_config\":{\"a\":1},\"hp_file\":false}",
		 "json: cannot unmarshal number into Go struct field LoadRequest.replace_config of "
		 "type string"},
	};
	char *deep = malloc(20001);

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		refuses(table[i].body, strlen(table[i].body), table[i].why);
	refuses("\0", 1, "invalid character '\\x00' looking for beginning of value");
	memset(deep, '[', 20001);
	refuses(deep, 20001, "invalid character '[' exceeded max depth");
	free(deep);
}

static void takes(const char *body, const char *file, size_t replaces, size_t refs)
{
	struct hp_hotgo_config c;
	struct hp_err err = {0};

	if (hp_hotgo_read_load(body, strlen(body), &c, &err) < 0)
		fail_msg("%s: %s", body, err.text);
	assert_string_equal(c.file, file);
	assert_int_equal(c.replace.n, replaces);
	assert_int_equal(c.ref.n, refs);
	hp_hotgo_config_clear(&c);
}

static void takes_what_go_takes(void **state)
{
	takes("{}", "", 0, 0);
	takes("null", "", 0, 0);
	takes(" { } x", "", 0, 0);
	takes("{\"hp_file\":null,\"ref_config\":null}", "", 0, 0);
	takes("{\"HP_File\":\"./hp.so\",\"x\":[1,{\"y\":\"}\"}]} trailing", "./hp.so", 0, 0);
	takes("{\"hp_file\":\"a\",\"HP_FILE\":\"b\"}", "b", 0, 0);
	takes("{\"hp_file\":\"\\u0041\\n\\/\\\"\"}", "A\n/\"", 0, 0);
	takes("{\"hp_file\":\"\\ud83d\\ude00\"}", "\xf0\x9f\x98\x80", 0, 0);
	takes("{\"hp_file\":\"\\ud83dx\"}", "\xef\xbf\xbdx", 0, 0);
	takes("{\"hp_file\":\"\xff\xc3\"}", "\xef\xbf\xbd\xef\xbf\xbd", 0, 0);
	takes("{\"hp_file\":\"a\\u0000b\"}", "a\xc0\x80" "b", 0, 0);
	takes("{\"replace_config\":{\"a\":\"b\",\"a\":\"c\",\"d\":null}}", "", 2, 0);
	takes("{\"ref_config\":{\"a\":\"b\"},\"ref_config\":{\"c\":\"d\"}}", "", 0, 2);
	takes("{\"ref_config\":{\"a\":\"b\"},\"ref_config\":null}", "", 0, 0);
}

static void limits_maps(void **state)
{
	struct hp_buf b = {0};

	assert_int_equal(hp_buf_printf(&b, "{\"ref_config\":{"), 0);
	for (int i = 0; i < 1025; i++)
		assert_int_equal(hp_buf_printf(&b, "%s\"%d\":\"\"", i ? "," : "", i), 0);
	assert_int_equal(hp_buf_printf(&b, "}}"), 0);
	refuses(b.v, b.n, "ref_config has more than 1024 members");
	hp_buf_free(&b);
}

static void writes(const char *s, const char *want)
{
	struct hp_buf b = {0};

	assert_int_equal(hp_gojson_string(&b, s), 0);
	assert_int_equal(hp_buf_add(&b, "", 1), 0);
	assert_string_equal(b.v, want);
	hp_buf_free(&b);
}

static void writes_as_go_does(void **state)
{
	writes("", "\"\"");
	writes("zz<>&", "\"zz\\u003c\\u003e\\u0026\"");
	writes("a\"\\\n\r\t\x01\x7f", "\"a\\\"\\\\\\n\\r\\t\\u0001\x7f\"");
	writes("\xe2\x80\xa8", "\"\\u2028\"");
	writes("\xff", "\"\\ufffd\"");
	writes("\xef\xbf\xbd", "\"\xef\xbf\xbd\"");
	writes("a\xc0\x80" "b", "\"a\\u0000b\"");
	writes("\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"");
}

static void says(int code, const char *text, const char *file, const char *want)
{
	char buf[512];

	hp_hotgo_error(buf, sizeof(buf), hp_err_name(code), text, file);
	assert_string_equal(buf, want);
}

static void says_failures_as_hotgo_does(void **state)
{
	says(-HP_E_NO_FILE, "open ./no.so: No such file or directory", "./no.so",
	     "open ./no.so: no such file or directory");
	says(-HP_E_NO_FILE, "open /tmp: Is a directory", "/tmp", "read /tmp: is a directory");
	says(-HP_E_NO_SYMBOL, "replace A=b: symbol b not found in /bin/x; did you mean c?", "p.so",
	     "symbol b not found");
	says(-HP_E_NO_SYMBOL, "replace A=b: symbol A not found in the patch (did you mean B?)",
	     "p.so", "plugin: symbol A not found in plugin p.so");
	says(-HP_E_HOOK, "HPBeforeLoad returned 1: bl: fails", "p.so", "bl: fails");
	says(-HP_E_HOOK, "HPBeforeLoad returned 1", "p.so", "HPBeforeLoad returned 1");
	says(-HP_E_NOT_FUNCTION,
	     "p.so: 'HPBeforeLoad' is not a function, as a hook of that name must be", "p.so",
	     "HPBeforeLoad is not a function  or function signature is not `func() error`");
	says(-HP_E_ALREADY, "patch x already loaded", "p.so", "patch x already loaded");
	says(-HP_E_GONE, "process 7: no such process", NULL, "process 7: no such process");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_by_gos_sentences),
		cmocka_unit_test(takes_what_go_takes),
		cmocka_unit_test(limits_maps),
		cmocka_unit_test(writes_as_go_does),
		cmocka_unit_test(says_failures_as_hotgo_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
