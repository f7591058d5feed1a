/* SPDX-License-Identifier: MIT */
/* A list of many has room for so much: whoever says most leaves it.  Nor does it wait for anybody. */
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
#include "patch/list.h"

#define ROOM (64u << 10)

/* Takes a process with a patch of @n functions. */
static void take(struct hp_list_parts *p, pid_t pid, size_t n)
{
	struct hp_patch_list list = {.n = 1, .room = 1};

	list.v = calloc(1, sizeof(*list.v));
	assert_non_null(list.v);
	*list.v = (struct hp_patch_info){.pid = pid, .n_sites = n, .comm = "svc"};
	list.v->site = calloc(n, sizeof(*list.v->site));
	assert_non_null(list.v->site);
	assert_int_equal(hp_list_take(p, pid, &list), 0);
	assert_int_equal(list.n, 0);
	assert_true(p->bytes <= p->bytes_max);
}

static void test_all_have_room(void **state)
{
	struct hp_list_parts p = {.bytes_max = ROOM};
	struct hp_patch_list list;

	for (pid_t pid = 1; pid <= 10; pid++)
		take(&p, pid, 2);
	assert_int_equal(hp_list_join(&p, &list), 0);
	assert_int_equal(list.n, 10);
	assert_int_equal(list.unknown.n, 0);
	for (pid_t pid = 1; pid <= 10; pid++)
		assert_int_equal(list.v[pid - 1].pid, pid);
	hp_patch_list_free(&list);
}

static void test_the_largest_leaves(void **state)
{
	struct hp_list_parts p = {.bytes_max = ROOM};
	struct hp_patch_list list;

	take(&p, 1, 3);
	take(&p, 2, 40);
	take(&p, 3, 4);
	take(&p, 4, 30); /* for which 2 leaves */
	take(&p, 5, 1000); /* more than all may */
	take(&p, 6, 5);
	assert_int_equal(hp_list_join(&p, &list), 0);
	assert_int_equal(list.n, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(list.v[i].pid, ((pid_t[]){1, 3, 4, 6})[i]);
	assert_int_equal(list.unknown.n, 2);
	assert_int_equal(list.unknown.v[0].pid, 2);
	assert_int_equal(list.unknown.v[1].pid, 5);
	assert_string_equal(list.unknown.v[1].comm, "svc");
	assert_non_null(strstr(list.unknown.v[1].detail, "-p"));
	hp_patch_list_free(&list);
}

static void test_nothing(void **state)
{
	struct hp_list_parts p = {.bytes_max = ROOM};
	struct hp_patch_list list;

	assert_int_equal(hp_list_join(&p, &list), 0);
	assert_int_equal(list.n + list.unknown.n, 0);
	hp_patch_list_free(&list);
}

/* --- from one process to another ------------------------------------------------------------------ */

/* Two patches and a ledger that is not known. */
static struct hp_patch_list full_list(pid_t pid)
{
	struct hp_patch_list list = {.n = 2, .room = 2, .unknown = {.n = 1, .room = 1}};

	list.v = calloc(2, sizeof(*list.v));
	assert_non_null(list.v);
	list.unknown.v = calloc(1, sizeof(*list.unknown.v));
	assert_non_null(list.unknown.v);
	*list.unknown.v = (struct hp_unknown_info){.pid = pid, .detail = "of another version"};
	list.v[0] = (struct hp_patch_info){.pid = pid, .file = "/a.so", .state = "active", .n_sites = 2};
	list.v[1] = (struct hp_patch_info){.pid = pid, .file = "/b.so", .asked_ref = 1, .n_sites = 1};
	for (size_t i = 0; i < 2; i++) {
		list.v[i].site = calloc(list.v[i].n_sites, sizeof(*list.v[i].site));
		assert_non_null(list.v[i].site);
		list.v[i].site[0].addr = 0x1000 + i;
	}
	list.v[0].site[1].old_calls = -1;
	assert_int_equal(hp_pairs_add(&list.v[0].replace, "new", "old"), 0);
	assert_int_equal(hp_pairs_add(&list.v[0].replace, "", ""), 0);
	assert_int_equal(hp_pairs_add(&list.v[0].seal, "key", "id"), 0);
	assert_int_equal(hp_pairs_add(&list.v[1].ref, "p", "v"), 0);
	assert_int_equal(hp_pairs_add(&list.v[1].meta, "x", "y"), 0);
	return list;
}

static void assert_full(const struct hp_patch_list *l, pid_t pid)
{
	assert_int_equal(l->n, 2);
	assert_int_equal(l->unknown.n, 1);
	assert_int_equal(l->unknown.v[0].pid, pid);
	assert_string_equal(l->unknown.v[0].detail, "of another version");
	assert_string_equal(l->v[0].file, "/a.so");
	assert_string_equal(l->v[1].file, "/b.so");
	assert_string_equal(l->v[0].state, "active");
	assert_int_equal(l->v[1].asked_ref, 1);
	assert_int_equal(l->v[0].n_sites, 2);
	assert_int_equal(l->v[1].n_sites, 1);
	assert_int_equal(l->v[0].site[0].addr, 0x1000);
	assert_int_equal(l->v[0].site[1].old_calls, -1);
	assert_int_equal(l->v[1].site[0].addr, 0x1001);
	assert_int_equal(l->v[0].replace.n, 2);
	assert_string_equal(hp_pairs_get(&l->v[0].replace, "new"), "old");
	assert_string_equal(hp_pairs_get(&l->v[0].replace, ""), "");
	assert_string_equal(hp_pairs_get(&l->v[0].seal, "key"), "id");
	assert_string_equal(hp_pairs_get(&l->v[1].ref, "p"), "v");
	assert_string_equal(hp_pairs_get(&l->v[1].meta, "x"), "y");
	assert_int_equal(l->v[0].meta.n + l->v[0].ref.n + l->v[1].replace.n + l->v[1].seal.n, 0);
}

static void test_is_the_same_elsewhere(void **state)
{
	struct hp_patch_list list = full_list(7), there = {0};
	struct hp_buf bytes = {0};

	assert_int_equal(hp_list_pack(&bytes, &list), 0);
	hp_patch_list_free(&list);
	assert_int_equal(hp_list_unpack(bytes.v, bytes.n, &there), 0);
	assert_full(&there, 7);
	hp_patch_list_free(&there);
	for (size_t n = 0; n < bytes.n; n += 1 + n % 61) {
		char *some = malloc(n + 1); /* of its own length: an address sanitizer sees more */

		assert_non_null(some);
		memcpy(some, bytes.v, n);
		assert_int_equal(hp_list_unpack(some, n, &there), -EBADMSG);
		free(some);
	}
	assert_int_equal(hp_buf_add(&bytes, "", 1), 0);
	assert_int_equal(hp_list_unpack(bytes.v, bytes.n, &there), -EBADMSG);
	hp_buf_free(&bytes);
}

/* --- who is held up ------------------------------------------------------------------------------- */

enum who { PLAIN = 1, HONEST, WAITS, CRASHES, LEAVES, REFUSES, LATE };

struct heard {
	char text[512];
	size_t n;
	struct hp_patch_list list;
};

static int look(void *arg, pid_t pid, struct hp_patch_list *ret, struct hp_err *err)
{
	switch ((enum who)(pid % 10)) {
	case PLAIN:
		return 1;
	case HONEST:
		*ret = full_list(pid);
		return 0;
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
	}
	return -1;
}

static int told(void *arg, pid_t pid, int code, struct hp_patch_list *list, const struct hp_err *why)
{
	struct heard *h = arg;

	if (code == 0)
		assert_full(list, pid);
	else
		assert_int_equal(code, why->code);
	hp_patch_list_free(list);
	h->n += (size_t)snprintf(h->text + h->n, sizeof(h->text) - h->n, "%d %s;", pid,
				 code == 0		 ? "list"
				 : code != HP_LIST_LOST ? why->text
							 : strrchr(why->text, ' ') + 1);
	return 0;
}

static void look_at(const pid_t *v, size_t n, uint64_t lost_max_ns, uint64_t least_ns,
		    const char *should)
{
	const struct hp_pids pids = {.v = (pid_t *)v, .n = n};
	struct heard h = {.text = ""};
	const struct hp_list_looks how = {look, told, &h, lost_max_ns, least_ns};

	assert_int_equal(hp_list_look(&how, &pids, NULL), 0);
	assert_string_equal(h.text, should);
}

static void test_nobody_holds_it_up(void **state)
{
	static const pid_t all[] = {HONEST, PLAIN, WAITS, 10 + HONEST, CRASHES, 20 + HONEST, PLAIN,
				    LEAVES, REFUSES, 10 + WAITS, 30 + HONEST, 20 + WAITS};
	static const pid_t plain[] = {PLAIN, PLAIN};

	look_at(all, 12, 2 * HP_S, HP_MS,
		"2 list;3 long;12 list;4 SIGBUS;22 list;5 ended;6 it is gone;13 long;32 list;23 long;");
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
		"3 long;13 long;23 long;33 long;43 long;2 list;");
	since = hp_now_ns() - since;
	assert_true(since >= 1300 * HP_MS); /* 400, 300, 225, 200, 200 */
	assert_true(since < 5 * HP_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_have_room),
		cmocka_unit_test(test_the_largest_leaves),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_is_the_same_elsewhere),
		cmocka_unit_test(test_nobody_holds_it_up),
		cmocka_unit_test(test_time_is_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
