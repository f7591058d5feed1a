/* SPDX-License-Identifier: MIT */
/* What patches say of each other, and what is refused for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hp/err.h"
#include "patch/depend.h"

#define A "aaaaaaaaaaaa"
#define B "bbbbbbbbbbbb"

/* A patch whose id is all @digit, with what it says. */
static struct hp_ledger *add(struct hp_ledgers *ls, char digit, const char *key, const char *value)
{
	struct hp_ledger *l = calloc(1, sizeof(*l));
	struct hp_pairs meta = {0};

	assert_non_null(l);
	memset(l->fixed.id, digit, HP_ID_LEN);
	if (key)
		assert_int_equal(hp_pairs_add(&meta, key, value), 0);
	assert_int_equal(hp_ledger_put_text(l, 'm', &meta, NULL), 0);
	assert_int_equal(hp_ledger_set_phase(l, NULL, HP_PHASE_ACTIVE, NULL), 0);
	assert_int_equal(hp_ledgers_add(ls, l), 0);
	hp_pairs_free(&meta);
	return l;
}

static int load(const struct hp_ledgers *ls, const char *key, const char *value,
		const char *key2, const char *value2, struct hp_err *err)
{
	struct hp_pairs meta = {0};
	int r;

	assert_int_equal(hp_pairs_add(&meta, key, value), 0);
	if (key2)
		assert_int_equal(hp_pairs_add(&meta, key2, value2), 0);
	r = hp_depend_check_load(&meta, ls, err);
	hp_pairs_free(&meta);
	return r;
}

static void test_requires(void **state)
{
	struct hp_ledgers ls = {0};
	struct hp_ledger *a = add(&ls, 'a', NULL, NULL);
	struct hp_err err;

	assert_int_equal(load(&ls, "requires", A, NULL, NULL, &err), 0);
	assert_int_equal(load(&ls, "requires", A, "requires", B, &err), -HP_E_DEPENDS);
	assert_non_null(strstr(err.text, B));
	assert_int_equal(hp_ledger_set_phase(a, NULL, HP_PHASE_RETAINED, NULL), 0);
	assert_int_equal(load(&ls, "requires", A, NULL, NULL, &err), -HP_E_DEPENDS);
	assert_int_equal(load(&ls, "description", A, NULL, NULL, &err), 0);
	hp_ledgers_free(&ls);
}

static void test_required_stays(void **state)
{
	struct hp_ledgers ls = {0};
	struct hp_ledger *a = add(&ls, 'a', NULL, NULL);
	struct hp_ledger *b = add(&ls, 'b', "requires", A);
	struct hp_err err;

	assert_int_equal(hp_depend_check_unload(a, &ls, &err), -HP_E_DEPENDS);
	assert_non_null(strstr(err.text, "bbbbbbbb"));
	assert_int_equal(hp_depend_check_unload(b, &ls, &err), 0);
	assert_int_equal(load(&ls, "supersedes", A, NULL, NULL, &err), -HP_E_DEPENDS);
	/* with the one that requires it: both go */
	assert_int_equal(load(&ls, "supersedes", A, "supersedes", B, &err), 0);
	assert_int_equal(hp_ledger_set_phase(b, NULL, HP_PHASE_RETAINED, NULL), 0);
	assert_int_equal(hp_depend_check_unload(a, &ls, &err), 0);
	/* half-done: it has to be finished, whoever requires it */
	assert_int_equal(hp_ledger_set_phase(b, NULL, HP_PHASE_ACTIVE, NULL), 0);
	assert_int_equal(hp_ledger_set_phase(a, NULL, HP_PHASE_REMOVING, NULL), 0);
	assert_int_equal(hp_depend_check_unload(a, &ls, &err), 0);
	hp_ledgers_free(&ls);
}

static void test_supersedes(void **state)
{
	struct hp_ledgers ls = {0};
	struct hp_ledger *a = add(&ls, 'a', NULL, NULL), *b = add(&ls, 'b', NULL, NULL);
	struct hp_pair says = {(char *)"supersedes", (char *)A};
	const struct hp_pairs meta = {.v = &says, .n = 1};
	struct hp_err err;

	assert_true(hp_depend_supersedes(&meta, a));
	assert_false(hp_depend_supersedes(&meta, b));
	assert_int_equal(load(&ls, "supersedes", A, "requires", A, &err), -HP_E_DEPENDS);
	assert_int_equal(hp_ledger_set_phase(a, NULL, HP_PHASE_RETAINED, NULL), 0);
	assert_false(hp_depend_supersedes(&meta, a));
	for (int i = 0; i < HP_SUPERSEDES_MAX; i++)
		add(&ls, 'c', NULL, NULL);
	assert_int_equal(load(&ls, "supersedes", "cccccccc", NULL, NULL, &err), 0);
	add(&ls, 'c', NULL, NULL);
	assert_int_equal(load(&ls, "supersedes", "cccccccc", NULL, NULL, &err), -HP_E_NOT_PATCH);
	hp_ledgers_free(&ls);
}

static void test_no_id(void **state)
{
	static const char *const bad[] = {"", "aaaaaaa", "AAAAAAAA", "aaaaaaaa ", "aaaaaaag"};
	char long_id[HP_ID_LEN + 2] = {0};
	struct hp_ledgers ls = {0};
	struct hp_err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(load(&ls, "supersedes", bad[i], NULL, NULL, &err),
				 -HP_E_NOT_PATCH);
		assert_int_equal(load(&ls, "requires", bad[i], NULL, NULL, &err), -HP_E_NOT_PATCH);
	}
	memset(long_id, 'a', HP_ID_LEN + 1);
	assert_int_equal(load(&ls, "supersedes", long_id, NULL, NULL, &err), -HP_E_NOT_PATCH);
	long_id[HP_ID_LEN] = 0;
	assert_int_equal(load(&ls, "supersedes", long_id, NULL, NULL, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requires),
		cmocka_unit_test(test_required_stays),
		cmocka_unit_test(test_supersedes),
		cmocka_unit_test(test_no_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
