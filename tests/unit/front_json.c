/* SPDX-License-Identifier: MIT */
/* Requests out of JSON: each mistake is told by the name of its field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "front/json_in.h"
#include "hp/err.h"

static void names_the_field(void **state)
{
	static const struct {
		enum hp_job_kind kind;
		const char *body, *text;
	} table[] = {
		{HP_JOB_LOAD, "", "the request has no body"},
		{HP_JOB_LOAD, "{", "malformed JSON, line 1 column 1"},
		{HP_JOB_LOAD, "[]", "the body must be a JSON object"},
		{HP_JOB_LOAD, "null", "malformed JSON"},
		{HP_JOB_LOAD, "{\"pid\":1,\"pid\":2}", "malformed JSON"},
		{HP_JOB_LOAD, "{\"pid\":1}x", "malformed JSON"},
		{HP_JOB_LOAD, "{}", "field \"pid\" is missing"},
		{HP_JOB_LOAD, "{\"pid\":\"1\"}", "field \"pid\" must be a process id"},
		{HP_JOB_LOAD, "{\"pid\":-1}", "field \"pid\" must be a process id"},
		{HP_JOB_LOAD, "{\"pid\":1e3}", "field \"pid\" must be a process id"},
		{HP_JOB_LOAD, "{\"pid\":4294967297}", "field \"pid\" must be a process id"},
		{HP_JOB_LOAD, "{\"pid\":1}", "field \"file\" is missing"},
		{HP_JOB_LOAD, "{\"pid\":1,\"file\":7}", "field \"file\" must be a string"},
		{HP_JOB_LOAD, "{\"pid\":1,\"file\":\"\"}", "field \"file\" must be a string"},
		{HP_JOB_LOAD, "{\"pid\":1,\"file\":\"a.so\"}",
		 "field \"file\" must be an absolute path"},
		{HP_JOB_LOAD, "{\"pid\":1,\"file\":\"/a\\u0000b\"}", "malformed JSON"},
		{HP_JOB_LOAD, "{\"pid\":1,\"file\":\"/a\",\"repalce\":{}}",
		 "unknown field \"repalce\""},
		{HP_JOB_LOAD, "{\"pid\":1,\"file\":\"/a\",\"replace\":[]}",
		 "field \"replace\" must be an object of strings"},
		{HP_JOB_LOAD, "{\"pid\":1,\"file\":\"/a\",\"replace\":{\"n\":1}}",
		 "field \"replace\": member \"n\" must be a string"},
		{HP_JOB_LOAD, "{\"pid\":1,\"file\":\"/a\",\"ref\":{\"\":\"x\"}}",
		 "field \"ref\": member \"\""},
		{HP_JOB_LOAD, "{\"pid\":1,\"file\":\"/a\",\"mode\":\"fast\"}",
		 "field \"mode\" must be one of \"quiesce\", \"relaxed\""},
		{HP_JOB_LOAD, "{\"pid\":1,\"file\":\"/a\",\"quiesce\":1}",
		 "field \"quiesce\" must be one of \"auto\", \"watch\", \"gate\""},
		{HP_JOB_LOAD, "{\"pid\":1,\"file\":\"/a\",\"timeout_ms\":0}",
		 "field \"timeout_ms\" must be milliseconds"},
		{HP_JOB_LOAD, "{\"pid\":1,\"file\":\"/a\",\"park_ms\":1e99}",
		 "field \"park_ms\" must be milliseconds"},
		{HP_JOB_LOAD, "{\"pid\":1,\"file\":\"/a\",\"no_stop\":1}",
		 "field \"no_stop\" must be true or false"},
		{HP_JOB_UNLOAD, "{\"pid\":1}", "field \"id\" is missing"},
		{HP_JOB_UNLOAD, "{\"pid\":1,\"id\":\"a\",\"file\":\"/a\"}", "unknown field \"file\""},
		{HP_JOB_LOAD, "{\"pid\":1,\"all\":true,\"file\":\"/a\"}", "one of the fields"},
		{HP_JOB_LOAD, "{\"all\":false,\"file\":\"/a\"}", "one of the fields"},
		{HP_JOB_LOAD, "{\"exe\":\"a\",\"file\":\"/a\"}",
		 "field \"exe\" must be an absolute path"},
		{HP_JOB_LOAD, "{\"pids\":[],\"file\":\"/a\"}", "field \"pids\" must be an array"},
		{HP_JOB_LOAD, "{\"pids\":[1,0],\"file\":\"/a\"}", "field \"pids\" must be an array"},
		{HP_JOB_LOAD, "{\"pids\":[1,2],\"file\":\"/a\",\"dry_run\":true}",
		 "a check is of one process"},
		{HP_JOB_CHECK, "{\"exe\":\"/b\",\"file\":\"/a\"}", "a check is of one process"},
		{HP_JOB_LIST, "{\"children\":true}", "field \"children\" goes with"},
		{HP_JOB_UNLOAD, "{\"pid\":1,\"id\":\"a\",\"all_or_nothing\":true}",
		 "unknown field \"all_or_nothing\""},
		{HP_JOB_EXPLAIN, "{\"pid\":1,\"functions\":[]}", "field \"functions\" must be an array"},
		{HP_JOB_EXPLAIN, "{\"pid\":1,\"functions\":[\"a\",2]}",
		 "field \"functions\": element 1"},
		{HP_JOB_WATCH, "{\"pid\":0}", "field \"pid\" must be a process id"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct hp_job_request r;
		struct hp_err err = {0};

		assert_int_equal(hp_json_request(&r, table[i].kind, table[i].body,
						 strlen(table[i].body), &err),
				 -HP_E_BAD_REQUEST);
		if (!strstr(err.text, table[i].text))
			print_error("%s: %s\n", table[i].body, err.text);
		assert_non_null(strstr(err.text, table[i].text));
	}
}

static void reads_all(void **state)
{
	static const char body[] =
		"{\"pid\":12,\"file\":\"/p.so\",\"replace\":{\"N\":\"o\"},\"ref\":{},"
		"\"mode\":\"relaxed\",\"quiesce\":\"watch\",\"timeout_ms\":1.5,\"park_ms\":3600000,"
		"\"no_stop\":true,\"dry_run\":true}";
	struct hp_job_request r;

	assert_int_equal(hp_json_request(&r, HP_JOB_LOAD, body, strlen(body), NULL), 0);
	assert_int_equal(r.kind, HP_JOB_CHECK);
	assert_int_equal(r.load.pid, 12);
	assert_string_equal(r.load.file, "/p.so");
	assert_string_equal(hp_pairs_get(&r.load.replace, "N"), "o");
	assert_int_equal(r.load.ref.n, 0);
	assert_int_equal(r.load.mode, HP_MODE_RELAXED);
	assert_int_equal(r.load.quiesce, HP_QUIESCE_WATCH);
	assert_int_equal(r.load.timeout_ns, 1500 * HP_US);
	assert_int_equal(r.load.park_ns, 3600 * HP_S);
	assert_true(r.load.no_stop);
	hp_job_request_free(&r);
}

static void reads_selectors(void **state)
{
	static const char with_children[] = "{\"pid\":7,\"children\":true,\"id\":\"ab\"}";
	static const char some[] = "{\"pids\":[3,4],\"file\":\"/p.so\",\"all_or_nothing\":true}";
	static const char one[] = "{\"pid\":7}";
	struct hp_job_request r;
	struct hp_err err;

	assert_int_equal(hp_json_request(&r, HP_JOB_UNLOAD, with_children, sizeof(with_children) - 1,
					 &err), 0);
	assert_true(hp_job_request_is_family(&r) && r.sel.children);
	assert_int_equal(r.pid, 0);
	assert_int_equal(r.sel.n_pids, 1);
	assert_int_equal(r.sel.pids[0], 7);
	hp_job_request_free(&r);
	assert_int_equal(hp_json_request(&r, HP_JOB_LOAD, some, sizeof(some) - 1, &err), 0);
	assert_int_equal(r.sel.n_pids, 2);
	assert_int_equal(r.sel.pids[1], 4);
	assert_true(r.all_or_nothing);
	hp_job_request_free(&r);
	assert_int_equal(hp_json_request(&r, HP_JOB_LIST, one, sizeof(one) - 1, &err), 0);
	assert_false(hp_job_request_is_family(&r));
	assert_int_equal(r.pid, 7);
	hp_job_request_free(&r);
}

static void bounds_maps(void **state)
{
	char *body = malloc(64 << 10);
	struct hp_job_request r;
	struct hp_err err;
	int n = sprintf(body, "{\"pid\":1,\"file\":\"/a\",\"replace\":{");

	for (int i = 0; i < 1025; i++)
		n += sprintf(body + n, "%s\"f%d\":\"g\"", i ? "," : "", i);
	n += sprintf(body + n, "}}");
	assert_int_equal(hp_json_request(&r, HP_JOB_LOAD, body, (size_t)n, &err),
			 -HP_E_BAD_REQUEST);
	assert_non_null(strstr(err.text, "more than 1024"));
	free(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_the_field),
		cmocka_unit_test(reads_all),
		cmocka_unit_test(reads_selectors),
		cmocka_unit_test(bounds_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
