/* SPDX-License-Identifier: MIT */
/* The monitor's door: what front may say, and that everything else is refused by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "hp/err.h"
#include "ipc/intake.h"

static struct hp_intake in;
static struct hp_record rec;
static struct hp_item item;

static int take(const void *packet, size_t n, size_t n_fds)
{
	struct hp_err err = {0};
	int k = hp_intake_take(&in, packet, n, n_fds, &err);

	/* A refusal says why. */
	assert_true(k >= 0 || err.text[0]);
	return k;
}

static int take_record(void)
{
	return take(&rec, sizeof(rec), hp_ask_is_clients((enum hp_ask)rec.ask));
}

static int take_item(void)
{
	return take(&item, sizeof(item), 0);
}

/* The state before any request. */
static void greet(void)
{
	hp_intake_free(&in);
	memset(&rec, 0, sizeof(rec));
	memset(&item, 0, sizeof(item));
	rec.ask = HP_ASK_HELLO;
	assert_int_equal(take_record(), 1);
	rec.ask = 0;
}

static void make_load(void)
{
	greet();
	rec.ask = HP_ASK_JOB;
	rec.kind = HP_JOB_LOAD;
	rec.conn = item.conn = 7;
	rec.pid = 4711;
	rec.timeout_ns = HP_S;
	rec.park_ns = HP_MS;
	strcpy(rec.file, "/p.so");
}

static void make_restart(void)
{
	greet();
	rec.ask = HP_ASK_JOB;
	rec.kind = HP_JOB_RESTART;
	rec.conn = item.conn = 7;
	rec.pid = 4711;
	rec.ready_ns = rec.drain_ns = HP_S;
}

static void make_serve(void)
{
	greet();
	rec.ask = HP_ASK_SERVE;
	rec.conn = 7;
	rec.pid = 4711;
	rec.timeout_ns = rec.park_ns = HP_S;
	rec.family = AF_INET;
}

static void refused(const char *what)
{
	int k = take_record();

	if (k != -HP_E_DENIED)
		fail_msg("%s: %d", what, k);
}

#define REFUSED(make, change)                                                                      \
	do {                                                                                       \
		make();                                                                            \
		change;                                                                            \
		refused(#change);                                                                  \
	} while (0)

static void takes_what_is_right(void **state)
{
	make_load();
	rec.n_items = 3;
	assert_int_equal(take_record(), 0);
	item.list = HP_LIST_REPLACE;
	strcpy(item.key, "new");
	strcpy(item.value, "old");
	assert_int_equal(take_item(), 0);
	assert_int_equal(take_item(), 0);
	item.list = HP_LIST_REF;
	assert_int_equal(take_item(), 1);
	assert_int_equal(in.req.kind, HP_JOB_LOAD);
	assert_int_equal(in.req.load.pid, 4711);
	assert_string_equal(in.req.load.file, "/p.so");
	assert_int_equal(in.req.load.replace.n, 2);
	assert_string_equal(hp_pairs_get(&in.req.load.ref, "new"), "old");
	assert_int_equal(in.req.load.timeout_ns, HP_S);
	hp_intake_free(&in);
}

static void takes_selectors(void **state)
{
	make_load();
	rec.pid = 0;
	rec.flags = HP_FLAG_CHILDREN;
	rec.n_items = 1;
	assert_int_equal(take_record(), 0);
	item.list = HP_LIST_PIDS;
	item.n = 2;
	item.pid[0] = 3;
	item.pid[1] = 4;
	assert_int_equal(take_item(), 1);
	assert_true(hp_job_request_is_family(&in.req));
	assert_int_equal(in.req.sel.n_pids, 2);
	assert_int_equal(in.req.sel.pids[1], 4);
	hp_intake_free(&in);
}

static void refuses_every_size_but_its_own(void **state)
{
	static char big[sizeof(rec) + 1];
	const size_t sizes[] = {0, 1, sizeof(rec) - 1, sizeof(rec) + 1, sizeof(item)};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		greet();
		assert_int_equal(take(big, sizes[i], 0), -HP_E_DENIED);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) - 1; i++) {
		make_load();
		rec.n_items = 1;
		assert_int_equal(take_record(), 0);
		assert_int_equal(take(big, sizes[i], 0), -HP_E_DENIED);
	}
	hp_intake_free(&in);
}

static void refuses_what_is_out_of_turn(void **state)
{
	/* Before its greeting it may only complain. */
	for (uint32_t ask = 0; ask < HP_ASKS + 2; ask++) {
		hp_intake_free(&in);
		memset(&rec, 0, sizeof(rec));
		rec.ask = ask;
		rec.conn = ask > HP_ASK_LOST;
		strcpy(rec.file, ask == HP_ASK_LOG ? "why" : "");
		assert_int_equal(take_record(),
				 ask == HP_ASK_HELLO || ask == HP_ASK_LOG ? 1 : -HP_E_DENIED);
	}
	REFUSED(greet, rec.ask = HP_ASK_HELLO);
	REFUSED(greet, rec.ask = 0);
	REFUSED(greet, rec.ask = HP_ASKS);
	REFUSED(greet, rec.ask = ~0u);
	/* In the middle of a request only its items. */
	make_load();
	rec.n_items = 1;
	assert_int_equal(take_record(), 0);
	refused("another request");
	hp_intake_free(&in);
}

static void refuses_descriptors_that_do_not_belong(void **state)
{
	make_load();
	assert_int_equal(take(&rec, sizeof(rec), 0), -HP_E_DENIED);
	make_load();
	assert_int_equal(take(&rec, sizeof(rec), 2), -HP_E_DENIED);
	greet();
	rec.ask = HP_ASK_LOST;
	assert_int_equal(take(&rec, sizeof(rec), 1), -HP_E_DENIED);
	make_load();
	rec.n_items = 1;
	assert_int_equal(take_record(), 0);
	assert_int_equal(take(&item, sizeof(item), 1), -HP_E_DENIED);
	hp_intake_free(&in);
}

static void refuses_members_out_of_range(void **state)
{
	static const uint32_t internal[] = {HP_JOB_WATCH, HP_JOB_RECOVER, HP_JOB_SELECT,
					    HP_JOB_GUARD, HP_JOB_KINDS, ~0u};

	for (size_t i = 0; i < sizeof(internal) / sizeof(internal[0]); i++)
		REFUSED(make_load, rec.kind = internal[i]);
	REFUSED(make_load, rec.conn = 0);
	REFUSED(make_load, rec.pid = -1);
	REFUSED(make_load, rec.pid = (1 << 22) + 1);
	REFUSED(make_load, rec.pid = 0);
	REFUSED(make_load, rec.flags = HP_FLAG_ALL); /* and a pid */
	REFUSED(make_load, rec.flags = HP_FLAG_CHILDREN);
	REFUSED(make_load, rec.flags = HP_FLAG_DISCARD);
	REFUSED(make_load, rec.flags = 1u << 31);
	REFUSED(make_load, rec.mode = 2);
	REFUSED(make_load, rec.mode = -1);
	REFUSED(make_load, rec.quiesce = 3);
	REFUSED(make_load, rec.timeout_ns = 0);
	REFUSED(make_load, rec.timeout_ns = 3600 * HP_S + 1);
	REFUSED(make_load, rec.park_ns = ~0ull);
	REFUSED(make_load, rec.n_items = ~0u);
	REFUSED(make_load, rec.drain_signal = SIGTERM);
	REFUSED(make_load, rec.pad[6] = 1);
	REFUSED(make_load, rec.port = 1);
	REFUSED(make_load, rec.listener = 1); /* whose process and times are its own */
	REFUSED(make_restart, rec.drain_signal = SIGKILL);
	REFUSED(make_restart, rec.drain_signal = -1);
	REFUSED(make_restart, rec.drain_signal = NSIG);
	REFUSED(make_restart, rec.drain = 3);
	REFUSED(make_restart, rec.ready = 2);
	REFUSED(make_restart, rec.env = 2);
	REFUSED(make_restart, rec.ready_ns = 0);
	REFUSED(make_serve, rec.family = AF_UNIX);
	REFUSED(make_serve, rec.pid = 0);
	REFUSED(make_serve, rec.flags = HP_FLAG_ALL);
	greet();
	rec.ask = HP_ASK_LOG;
	rec.n = 4;
	strcpy(rec.file, "x");
	refused("a level that there is not");
	hp_intake_free(&in);
}

static void refuses_texts_without_an_end(void **state)
{
	REFUSED(make_load, memset(rec.file, '/', sizeof(rec.file)));
	REFUSED(make_load, rec.file[0] = 0);
	REFUSED(make_load, rec.file[0] = 'p');
	REFUSED(make_load, memset(rec.id, 'a', sizeof(rec.id)));
	REFUSED(make_load, (rec.pid = 0, memset(rec.exe, '/', sizeof(rec.exe))));
	REFUSED(make_load, (rec.pid = 0, strcpy(rec.exe, "relative")));
	REFUSED(make_restart, memset(rec.pidfile, '/', sizeof(rec.pidfile)));
	REFUSED(make_restart, memset(rec.user, 'a', sizeof(rec.user)));
	REFUSED(make_serve, memset(rec.token, 'a', sizeof(rec.token)));
	hp_intake_free(&in);
}

static void refused_item(void (*make)(void), void (*change)(void), const char *what)
{
	int k;

	make();
	rec.n_items = 1;
	if (rec.kind == HP_JOB_LOAD)
		rec.pid = 0;
	assert_int_equal(take_record(), 0);
	change();
	k = take_item();
	if (k != -HP_E_DENIED)
		fail_msg("%s: %d", what, k);
}

static void none(void)
{
}
static void unknown(void)
{
	item.list = HP_LISTS;
}
static void far(void)
{
	item.list = 40;
}
static void of_another(void)
{
	item.list = HP_LIST_PIDS;
	item.n = item.pid[0] = 1;
	item.conn = 8;
}
static void a_set(void)
{
	item.list = HP_LIST_SET;
	strcpy(item.key, "A");
	strcpy(item.value, "b");
}
static void no_pids(void)
{
	item.list = HP_LIST_PIDS;
}
static void many_pids(void)
{
	item.list = HP_LIST_PIDS;
	item.n = HP_ITEM_PIDS + 1;
}
static void pid_0(void)
{
	item.list = HP_LIST_PIDS;
	item.n = 1;
}
static void empty_key(void)
{
	item.list = HP_LIST_REPLACE;
	strcpy(item.value, "b");
}
static void endless_key(void)
{
	item.list = HP_LIST_REPLACE;
	memset(item.key, 'a', sizeof(item.key));
}
static void endless_value(void)
{
	item.list = HP_LIST_REPLACE;
	strcpy(item.key, "A");
	memset(item.value, 'a', sizeof(item.value));
}
static void empty_command(void)
{
	item.list = HP_LIST_WORDS;
}

static void refuses_items_that_do_not_belong(void **state)
{
	refused_item(make_load, none, "none");
	refused_item(make_load, unknown, "unknown list");
	refused_item(make_load, far, "a list beyond the bits");
	refused_item(make_load, of_another, "of another request");
	refused_item(make_load, a_set, "a list of another kind");
	refused_item(make_load, no_pids, "no pids");
	refused_item(make_load, many_pids, "too many pids");
	refused_item(make_load, pid_0, "no pid");
	refused_item(make_load, empty_key, "empty key");
	refused_item(make_load, endless_key, "key without an end");
	refused_item(make_load, endless_value, "value without an end");
	refused_item(make_restart, empty_command, "empty command");
	hp_intake_free(&in);
}

static void bounds_what_is_kept(void **state)
{
	int k;

	/* pairs */
	make_load();
	rec.n_items = 1025;
	assert_int_equal(take_record(), 0);
	item.list = HP_LIST_REPLACE;
	strcpy(item.key, "a");
	strcpy(item.value, "b");
	for (int i = 0; i < 1024; i++)
		assert_int_equal(take_item(), 0);
	assert_int_equal(take_item(), -HP_E_DENIED);
	/* bytes */
	make_load();
	rec.n_items = 1000;
	assert_int_equal(take_record(), 0);
	item.list = HP_LIST_REPLACE;
	memset(item.key, 'k', sizeof(item.key) - 1);
	memset(item.value, 'v', sizeof(item.value) - 1);
	for (size_t n = 0; (k = take_item()) == 0; n++)
		assert_true(n * 2 * (HP_ITEM_TEXT - 1) <= HP_REQUEST_BYTES);
	assert_int_equal(k, -HP_E_DENIED);
	hp_intake_free(&in);
}

/* What front writes the monitor reads. */
static int pass_on(void *arg, const void *packet, size_t n)
{
	*(int *)arg = hp_intake_take(&in, packet, n, 0, NULL);
	return 0;
}

static void reads_what_front_writes(void **state)
{
	struct hp_job_request r;
	pid_t pids[3000];
	struct hp_err err;
	int k = 0;

	greet();
	for (int i = 0; i < 3000; i++)
		pids[i] = i + 1;
	hp_job_request_init(&r, HP_JOB_LOAD);
	r.sel = (struct hp_selector){.pids = pids, .n_pids = 3000, .children = true};
	r.load.file = "/a/b.so";
	r.load.id = "abc";
	r.load.mode = HP_MODE_RELAXED;
	r.load.quiesce = HP_QUIESCE_WATCH;
	r.load.no_stop = r.all_or_nothing = true;
	assert_int_equal(hp_pairs_add(&r.load.replace, "N", "o"), 0);
	memset(&rec, 0, sizeof(rec));
	rec.ask = HP_ASK_JOB;
	rec.conn = 9;
	assert_int_equal(hp_record_put(&rec, &r, &err), 0);
	assert_int_equal(take_record(), 0);
	assert_int_equal(hp_record_items(&rec, &r, pass_on, &k), 0);
	assert_int_equal(k, 1);
	assert_int_equal(in.req.sel.n_pids, 3000);
	assert_int_equal(in.req.sel.pids[2999], 3000);
	assert_true(in.req.sel.children && in.req.all_or_nothing && in.req.load.no_stop);
	assert_string_equal(in.req.load.file, "/a/b.so");
	assert_string_equal(in.req.load.id, "abc");
	assert_int_equal(in.req.load.mode, HP_MODE_RELAXED);
	assert_int_equal(in.req.load.quiesce, HP_QUIESCE_WATCH);
	assert_string_equal(hp_pairs_get(&in.req.load.replace, "N"), "o");
	hp_pairs_free(&r.load.replace);
	hp_intake_free(&in);
}

static void says_what_is_too_long(void **state)
{
	char text[HP_RECORD_PATH + 1];
	struct hp_job_request r;
	struct hp_err err;

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	hp_job_request_init(&r, HP_JOB_LOAD);
	r.load.file = text;
	memset(&rec, 0, sizeof(rec));
	assert_int_equal(hp_record_put(&rec, &r, &err), -HP_E_BAD_REQUEST);
	assert_non_null(strstr(err.text, "\"file\" is longer than 4095"));
	r.load.file = "/a";
	assert_int_equal(hp_pairs_add(&r.load.ref, text, "o"), 0);
	assert_int_equal(hp_record_put(&rec, &r, &err), -HP_E_BAD_REQUEST);
	assert_non_null(strstr(err.text, "\"ref\""));
	hp_pairs_free(&r.load.ref);
}

static int rehearse(bool named, const char *value, size_t n, struct hp_err *err)
{
	char name[32] = "";
	struct hp_job_request r;
	int k;

	hp_job_request_init(&r, HP_JOB_LOAD);
	r.pid = 4711;
	r.load.file = "/a";
	for (size_t i = 0; i < n; i++) {
		if (named)
			snprintf(name, sizeof(name), "N%zu", i);
		assert_int_equal(hp_pairs_add(&r.load.replace, name, value), 0);
	}
	memset(&rec, 0, sizeof(rec));
	rec.ask = HP_ASK_JOB;
	rec.conn = 9;
	k = hp_record_put(&rec, &r, err);
	if (k == 0)
		k = hp_intake_rehearse(&rec, &r, err);
	hp_pairs_free(&r.load.replace);
	return k;
}

/* What front passes on is taken, or is the client's mistake before that. */
static void is_rehearsed(void **state)
{
	char text[HP_ITEM_TEXT];
	struct hp_err err;

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_int_equal(rehearse(true, "o", 3, &err), 0);
	assert_int_equal(rehearse(true, "", 1, &err), -HP_E_BAD_REQUEST);
	assert_non_null(strstr(err.text, "\"replace\": member \"N0\""));
	assert_int_equal(rehearse(false, "o", 1, &err), -HP_E_BAD_REQUEST);
	assert_int_equal(rehearse(true, text, 200, &err), 0);
	assert_int_equal(rehearse(true, text, 300, &err), -HP_E_BAD_REQUEST);
	assert_string_equal(err.text, "the request has: too much text");
	assert_int_equal(rehearse(true, "o", 1025, &err), -HP_E_BAD_REQUEST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_is_right),
		cmocka_unit_test(takes_selectors),
		cmocka_unit_test(refuses_every_size_but_its_own),
		cmocka_unit_test(refuses_what_is_out_of_turn),
		cmocka_unit_test(refuses_descriptors_that_do_not_belong),
		cmocka_unit_test(refuses_members_out_of_range),
		cmocka_unit_test(refuses_texts_without_an_end),
		cmocka_unit_test(refuses_items_that_do_not_belong),
		cmocka_unit_test(bounds_what_is_kept),
		cmocka_unit_test(reads_what_front_writes),
		cmocka_unit_test(says_what_is_too_long),
		cmocka_unit_test(is_rehearsed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
