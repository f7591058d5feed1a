/* SPDX-License-Identifier: MIT */
/* The test's own program is the image: one function of it is inlined into another, one is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>

#include "elf/image.h"
#include "elf/inlined.h"
#include "elf/symtab.h"

static volatile int x;

static inline __attribute__((always_inline)) int copied_twice(int a)
{
	return a * 2 + x;
}

/* Its address is taken, so that it has a body of its own as well. */
static int (*volatile body)(int) = copied_twice;

static __attribute__((noinline)) int holds_a_copy(int a)
{
	return copied_twice(a) + 1;
}

static __attribute__((noinline)) int stands_alone(int a)
{
	return a - x;
}

/* Called through a pointer, so that the compiler makes no clone of it under another name. */
static int (*volatile alone)(int) = stands_alone;

static void find(struct hp_inlined *ret, const char *name)
{
	struct hp_image *im;
	struct hp_symtab *st;
	const struct hp_sym *s;

	assert_int_equal(
		hp_image_open(&im, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "self", NULL), 0);
	assert_int_equal(hp_symtab_load(&st, im, NULL, NULL), 0);
	assert_int_equal(hp_symtab_find(st, name, NULL, &s, 1), 1);
	assert_int_equal(hp_inlined_find(ret, im, NULL, s->value, NULL), 0);
	hp_symtab_free(st);
	hp_image_free(im);
}

static void test_a_copy_is_found(void **state)
{
	struct hp_inlined in;

	assert_int_equal(body(1) + holds_a_copy(1), 5);
	find(&in, "copied_twice");
	assert_int_equal(in.n, 1);
	assert_string_equal(in.into[0], "holds_a_copy");
}

static void test_without_copies(void **state)
{
	struct hp_inlined in;

	assert_int_equal(alone(1), 1);
	find(&in, "stands_alone");
	assert_int_equal(in.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_copy_is_found),
		cmocka_unit_test(test_without_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
