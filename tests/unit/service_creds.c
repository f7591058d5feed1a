/* SPDX-License-Identifier: MIT */
/* Who could become whom by himself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "service/creds.h"

#define IDS(n)	  {(n), (n), (n)}
#define WHO(u, g) {.uid = IDS(u), .gid = IDS(g)}

static void root_may_be_anybody(void **state)
{
	static const struct hp_creds root = WHO(0, 0), alice = WHO(1000, 1000);
	static const struct hp_creds on_leave = {.uid = {1000, 1000, 0}, .gid = IDS(1000)};

	assert_true(hp_creds_suffice(&root, &alice));
	assert_true(hp_creds_suffice(&on_leave, &root));
	assert_false(hp_creds_suffice(&alice, &root));
	assert_false(hp_creds_suffice(&alice, &on_leave));
}

static void others_are_who_they_are(void **state)
{
	gid_t some[] = {7, 8}, more[] = {7, 9};
	struct hp_creds alice = WHO(1000, 1000), bob = WHO(1001, 1000), in_7 = WHO(1000, 7);
	struct hp_creds in_more = WHO(1000, 1000);

	assert_true(hp_creds_suffice(&alice, &alice));
	assert_false(hp_creds_suffice(&alice, &bob));
	assert_false(hp_creds_suffice(&alice, &in_7));
	alice.groups = some;
	alice.n_groups = 2;
	assert_true(hp_creds_suffice(&alice, &in_7));
	in_more.groups = more;
	in_more.n_groups = 2;
	assert_false(hp_creds_suffice(&alice, &in_more));
	more[1] = 8;
	assert_true(hp_creds_suffice(&alice, &in_more));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_may_be_anybody),
		cmocka_unit_test(others_are_who_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
