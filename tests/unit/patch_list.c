/* SPDX-License-Identifier: MIT */
/* A list of many has room for so much: whoever says most leaves it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_have_room),
		cmocka_unit_test(test_the_largest_leaves),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
