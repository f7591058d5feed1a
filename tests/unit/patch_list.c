/* SPDX-License-Identifier: MIT */
/* A list of many has room for so much: whoever says most leaves it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_have_room),
		cmocka_unit_test(test_the_largest_leaves),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_is_the_same_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
