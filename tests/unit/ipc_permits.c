/* SPDX-License-Identifier: MIT */
/*
 * What front may say, and when, over all combinations: every request in every state with any number of
 * descriptors, and every member, flag and list of each.  What is expected is written down here once
 * more, by itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "hp/err.h"
#include "ipc/intake.h"

enum state { FRESH, GREETED, AMID_ITEMS, STATES };

#define LISTENER 17

/* The members that a request has, and how they are filled. */
enum { PID = 2, N_ITEMS = 4 };
static const struct member {
	const char *name;
	size_t at, n;
	const void *good;
	size_t n_good;
} members[] = {
#define M(m, ...)                                                                                  \
	{#m, offsetof(struct hp_record, m), sizeof(((struct hp_record *)0)->m), &(__VA_ARGS__),    \
	 sizeof(__VA_ARGS__)}
	M(conn, (uint64_t){7}),
	M(listener, (uint32_t){LISTENER}),
	M(pid, (int32_t){4711}),
	M(n, (uint32_t){1}),
	M(n_items, (uint32_t){1}),
	M(mode, (int32_t){HP_MODE_RELAXED}),
	M(quiesce, (int32_t){HP_QUIESCE_GATE}),
	M(drain, (int32_t){HP_DRAIN_EXTERNAL}),
	M(drain_signal, (int32_t){15}),
	M(ready, (int32_t){HP_READY_NOTIFY}),
	M(env, (int32_t){HP_RESTART_ENV_EMPTY}),
	M(family, (uint16_t){AF_INET}),
	M(port, (uint16_t){80}),
	M(addr, (uint8_t){1}),
	M(timeout_ns, (uint64_t){HP_S}),
	M(park_ns, (uint64_t){HP_S}),
	M(ready_ns, (uint64_t){HP_S}),
	M(drain_ns, (uint64_t){HP_S}),
	M(file, (char[]){"/f"}),
	M(exe, (char[]){"/e"}),
	M(pidfile, (char[]){"/p"}),
	M(id, (char[]){"abc"}),
	M(user, (char[]){"u"}),
	M(token, (char[]){"t"}),
	M(pad, (char){1}),
#undef M
};

/* Of each request: what it needs, what it may have beside that. */
#define LOADING "mode quiesce timeout_ns park_ns "
#define TIMES	"timeout_ns park_ns "
#define LEAVING "drain drain_signal ready env ready_ns drain_ns "

static const struct {
	uint32_t ask, kind;
	bool wire;
	const char *needs, *may;
	uint32_t flags;
	const char *lists;
} requests[] = {
	{.ask = HP_ASK_HELLO},
	{.ask = HP_ASK_LOG, .needs = "file ", .may = "n "},
	{.ask = HP_ASK_COUNT, .may = "n listener "},
	{.ask = HP_ASK_LOST, .may = "n "},
	{.ask = HP_ASK_GONE, .needs = "conn "},
	{.ask = HP_ASK_HEALTH, .needs = "conn "},
	{.ask = HP_ASK_STATUS, .needs = "conn ", .may = "pid "},
	{.ask = HP_ASK_METRICS, .needs = "conn "},
	{.ask = HP_ASK_EVENTS, .needs = "conn ", .may = "pid "},
	{.ask = HP_ASK_WATCH, .needs = "conn pid "},
	{.ask = HP_ASK_SERVED, .needs = "conn "},
	{.ask = HP_ASK_SERVE, .needs = "conn pid family " TIMES,
	 .may = "mode quiesce port addr token ",
	 .flags = HP_FLAG_ALLOW_REMOTE},
	{.ask = HP_ASK_UNSERVE, .needs = "conn file "},
	{.ask = HP_ASK_ALLOW, .needs = "conn listener ", .may = "token ", .flags = HP_FLAG_ORIGIN},
	{.ask = HP_ASK_JOB, .kind = HP_JOB_LOAD, .needs = "conn pid file " TIMES,
	 .may = "mode quiesce id n_items ",
	 .flags = HP_FLAG_ALL_OR_NOTHING | HP_FLAG_NO_STOP | HP_FLAG_NDJSON,
	 .lists = "RrP"},
	{.ask = HP_ASK_JOB, .kind = HP_JOB_CHECK, .needs = "conn pid file " TIMES,
	 .may = "mode quiesce id n_items ",
	 .flags = HP_FLAG_ALL_OR_NOTHING | HP_FLAG_NO_STOP | HP_FLAG_NDJSON,
	 .lists = "Rr"},
	{.ask = HP_ASK_JOB, .kind = HP_JOB_UNLOAD, .needs = "conn pid id " TIMES,
	 .may = "mode quiesce n_items ",
	 .flags = HP_FLAG_DISCARD | HP_FLAG_NDJSON, .lists = "P"},
	{.ask = HP_ASK_JOB, .kind = HP_JOB_EXPLAIN, .needs = "conn pid n_items ", .lists = "W"},
	{.ask = HP_ASK_JOB, .kind = HP_JOB_LIST, .needs = "conn ", .may = "pid exe n_items ",
	 .flags = HP_FLAG_ALL, .lists = "P"},
	{.ask = HP_ASK_JOB, .kind = HP_JOB_DOCTOR, .needs = "conn "},
	{.ask = HP_ASK_JOB, .kind = HP_JOB_RESTART, .needs = "conn pid ready_ns drain_ns ",
	 .may = "drain drain_signal ready env pidfile user n_items ",
	 .flags = HP_FLAG_WAIT | HP_FLAG_NEW_BINDS | HP_FLAG_NO_RESIDUE | HP_FLAG_NDJSON,
	 .lists = "WS"},
	{.ask = HP_ASK_JOB, .kind = HP_JOB_LOAD, .wire = true,
	 .needs = "conn listener file ", .may = "token n_items ",
	 .flags = HP_FLAG_ORIGIN, .lists = "Rr"},
	{.ask = HP_ASK_JOB, .kind = HP_JOB_UNLOAD, .wire = true,
	 .needs = "conn listener id ", .may = "token ",
	 .flags = HP_FLAG_ORIGIN},
	{.ask = HP_ASK_JOB, .kind = HP_JOB_LIST, .wire = true, .needs = "conn listener ",
	 .may = "token ",
	 .flags = HP_FLAG_ORIGIN},
};
#define LOAD 14
#define REQUESTS (sizeof(requests) / sizeof(requests[0]))
#define MEMBERS	 (sizeof(members) / sizeof(members[0]))

static struct hp_intake in;
static struct hp_record rec;
static struct hp_item item;

static bool names(const char *list, const struct member *m)
{
	char word[32];

	snprintf(word, sizeof(word), "%s ", m->name);
	for (const char *p = list; p && (p = strstr(p, word)); p++)
		if (p == list || p[-1] == ' ')
			return true;
	return false;
}

static void fill(const struct member *m)
{
	memcpy((char *)&rec + m->at, m->good, m->n_good);
}

static void make(size_t i)
{
	memset(&rec, 0, sizeof(rec));
	rec.ask = requests[i].ask;
	rec.kind = requests[i].kind;
	for (size_t k = 0; k < MEMBERS; k++)
		if (names(requests[i].needs, &members[k]))
			fill(&members[k]);
}

static void make_item(uint32_t list)
{
	memset(&item, 0, sizeof(item));
	item.list = list;
	item.conn = rec.conn;
	if (list == HP_LIST_PIDS) {
		item.n = 1;
		item.pid[0] = 4711;
	} else {
		strcpy(item.value, "v");
		strcpy(item.key, list == HP_LIST_WORDS ? "" : "k");
	}
}

static int take_record(size_t n_fds)
{
	struct hp_err err = {0};
	int k = hp_intake_take(&in, &rec, sizeof(rec), n_fds, &err);

	if (k < 0 && (k != -HP_E_DENIED || !err.text[0]))
		fail_msg("%d: %s", k, err.text);
	if (k == 1 && rec.ask == HP_ASK_JOB)
		hp_job_request_free(&in.req);
	return k;
}

static int take_item(void)
{
	struct hp_err err = {0};
	int k = hp_intake_take(&in, &item, sizeof(item), 0, &err);

	if (k == 1)
		hp_job_request_free(&in.req);
	return k;
}

static void reach(enum state s)
{
	const struct hp_record kept = rec;

	hp_intake_free(&in);
	memset(&rec, 0, sizeof(rec));
	rec.ask = HP_ASK_HELLO;
	if (s != FRESH)
		assert_int_equal(take_record(0), 1);
	if (s == AMID_ITEMS) {
		make(LOAD);
		rec.n_items = 2;
		assert_int_equal(take_record(1), 0);
	}
	rec = kept;
}

static bool is_clients(uint32_t ask)
{
	return ask >= HP_ASK_HEALTH && ask < HP_ASKS;
}

static enum state turn_of(size_t i)
{
	return requests[i].ask == HP_ASK_HELLO ? FRESH : GREETED;
}

/* What is to be said of a request with all that it needs. */
static int expected(size_t i, enum state s, size_t n_fds)
{
	uint32_t ask = requests[i].ask;

	if (s == AMID_ITEMS || n_fds != is_clients(ask) ||
	    (s == FRESH ? ask != HP_ASK_HELLO && ask != HP_ASK_LOG : ask == HP_ASK_HELLO))
		return -HP_E_DENIED;
	return names(requests[i].needs, &members[N_ITEMS]) ? 0 : 1;
}

static void every_request_in_every_state(void **state)
{
	for (size_t i = 0; i < REQUESTS; i++)
		for (enum state s = 0; s < STATES; s++)
			for (size_t n_fds = 0; n_fds < 3; n_fds++) {
				int k;

				make(i);
				reach(s);
				k = take_record(n_fds);
				if (k != expected(i, s, n_fds))
					fail_msg("request %zu in state %d with %zu descriptors: %d",
						 i, s, n_fds, k);
			}
	hp_intake_free(&in);
}

/* Numbers that no request has. */
static void nothing_else_is_a_request(void **state)
{
	for (uint32_t ask = 0; ask < 64; ask++)
		for (uint32_t kind = 0; kind < 64; kind++)
			for (int wire = 0; wire < 2; wire++) {
				bool known = false;

				for (size_t i = 0; i < REQUESTS; i++)
					known |= requests[i].ask == ask &&
						 (ask != HP_ASK_JOB || (requests[i].kind == kind &&
									requests[i].wire == wire));
				if (known)
					continue;
				make(LOAD);
				rec.ask = ask;
				rec.kind = kind;
				rec.listener = wire ? LISTENER : 0;
				reach(GREETED);
				assert_int_equal(take_record(0), -HP_E_DENIED);
				reach(GREETED);
				assert_int_equal(take_record(1), -HP_E_DENIED);
			}
	hp_intake_free(&in);
}

/* A list on the control socket and one on a listener are told apart by that alone. */
static bool is_another(size_t i, const struct member *m)
{
	return requests[i].ask == HP_ASK_JOB && requests[i].kind == HP_JOB_LIST &&
	       !strcmp(m->name, "listener");
}

static void every_member_of_every_request(void **state)
{
	for (size_t i = 0; i < REQUESTS; i++)
		for (size_t m = 0; m < MEMBERS; m++) {
			const struct member *x = &members[m];
			bool needs = names(requests[i].needs, x), may = names(requests[i].may, x);
			int k;

			make(i);
			if (needs)
				memset((char *)&rec + x->at, 0, x->n);
			else
				fill(x);
			if (is_another(i, x))
				continue;
			reach(turn_of(i));
			k = take_record(is_clients(requests[i].ask));
			if ((k >= 0) != (!needs && may))
				fail_msg("request %zu %s %s: %d", i, needs ? "without" : "with",
					 x->name, k);
			/* Texts end, wherever they may be. */
			if (x->n < 64 || !(needs || may))
				continue;
			make(i);
			memset((char *)&rec + x->at, '/', x->n);
			reach(GREETED);
			assert_int_equal(take_record(is_clients(requests[i].ask)), -HP_E_DENIED);
		}
	hp_intake_free(&in);
}

static void every_flag_of_every_request(void **state)
{
	for (size_t i = 0; i < REQUESTS; i++)
		for (unsigned bit = 0; bit < 32; bit++) {
			bool may = requests[i].flags & (1u << bit);
			int k;

			make(i);
			rec.flags = 1u << bit;
			reach(turn_of(i));
			k = take_record(is_clients(requests[i].ask));
			if ((k >= 0) != may)
				fail_msg("request %zu with flag %u: %d", i, bit, k);
		}
	hp_intake_free(&in);
}

/* A list of processes goes with no other way to name some. */
static void begin_items(size_t i, uint32_t list, uint32_t n)
{
	make(i);
	rec.n_items = n;
	if (list == HP_LIST_PIDS)
		rec.pid = 0;
	reach(GREETED);
	assert_int_equal(take_record(1), 0);
}

static void every_list_of_every_request(void **state)
{
	static const char letter[HP_LISTS] = " RrSWP";

	for (size_t i = 0; i < REQUESTS; i++)
		for (uint32_t list = 0; list < HP_LISTS + 2; list++) {
			bool may = list && list < HP_LISTS && requests[i].lists &&
				   strchr(requests[i].lists, letter[list]);
			int k;

			if (!requests[i].lists ||
			    (list == HP_LIST_PIDS && names(requests[i].needs, &members[PID]) && !may))
				continue;
			begin_items(i, list, 1);
			make_item(list);
			k = take_item();
			if (k != (may ? 1 : -HP_E_DENIED))
				fail_msg("request %zu with an item of list %u: %d", i, list, k);
			if (!may)
				continue;
			/* … of another client's request, or in another's place. */
			begin_items(i, list, 1);
			make_item(list);
			item.conn++;
			assert_int_equal(take_item(), -HP_E_DENIED);
		}
	hp_intake_free(&in);
}

/* What was said is taken once: the same again begins anew, and items are none without their request. */
static void nothing_is_taken_twice(void **state)
{
	begin_items(LOAD, HP_LIST_REPLACE, 1);
	make_item(HP_LIST_REPLACE);
	assert_int_equal(take_item(), 1);
	assert_int_equal(take_item(), -HP_E_DENIED);
	begin_items(LOAD, HP_LIST_REPLACE, 2);
	make_item(HP_LIST_REPLACE);
	assert_int_equal(take_item(), 0);
	assert_int_equal(take_record(1), -HP_E_DENIED);
	hp_intake_free(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_in_every_state),
		cmocka_unit_test(nothing_else_is_a_request),
		cmocka_unit_test(every_member_of_every_request),
		cmocka_unit_test(every_flag_of_every_request),
		cmocka_unit_test(every_list_of_every_request),
		cmocka_unit_test(nothing_is_taken_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
