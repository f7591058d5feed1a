/* SPDX-License-Identifier: MIT */
/* A ledger is read from a child that maps one as a load would; then the child lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hp/err.h"
#include "patch/ledger.h"
#include "../services/tied.h"

#define AREA_PAGES 12

/* Shared with the child, which maps it privately from the memfd: so the parent can change what the
 * child has, as long as nobody wrote to the child's own copy. */
struct fixture {
	struct hp_ledger *l; /* the memfd, shared */
	pid_t child;
	struct hp_target *t;
};

static const hp_addr AT = 0x200000000000ull;

static void fill(struct hp_ledger *l, pid_t pid)
{
	struct hp_ledger_fixed *f = &l->fixed;

	memset(l, 0, hp_ledger_size(2, 0, 0));
	f->magic = HP_LEDGER_MAGIC;
	f->version = HP_LEDGER_VERSION;
	f->n_fns = 2;
	f->n_banks = 1;
	f->pid = pid;
	f->area_lo = AT;
	f->area_hi = AT + AREA_PAGES * HP_PAGE;
	f->table = f->gate = f->gate_back = f->data = f->code = AT + (AREA_PAGES - 1) * HP_PAGE;
	memset(f->id, 'a', HP_ID_LEN);
	strcpy(f->fn[0].old_name, "f");
	hp_ledger_seal(l);
	assert_int_equal(hp_ledger_set_phase(l, NULL, HP_PHASE_ACTIVE, NULL), 0);
}

static int set_up(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	int fd = memfd_create("hp-patch-test", MFD_CLOEXEC), go[2];
	char c;

	assert_non_null(x);
	assert_int_equal(ftruncate(fd, AREA_PAGES * HP_PAGE), 0);
	assert_int_equal(pipe(go), 0);
	x->l = mmap(NULL, AREA_PAGES * HP_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(x->l, MAP_FAILED);
	x->child = tied_fork();
	if (x->child == 0) {
		munmap(x->l, AREA_PAGES * HP_PAGE);
		if (mmap((void *)AT, AREA_PAGES * HP_PAGE, PROT_READ,
			 MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0) != (void *)AT ||
		    write(go[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(go[0], &c, 1), 1);
	close(go[0]);
	close(go[1]);
	close(fd);
	fill(x->l, x->child);
	assert_int_equal(hp_target_open(&x->t, x->child, NULL), 0);
	assert_int_equal(hp_target_refresh(x->t, NULL), 0);
	*state = x;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *x = *state;

	hp_target_free(x->t);
	kill(x->child, SIGKILL);
	waitpid(x->child, NULL, 0);
	munmap(x->l, AREA_PAGES * HP_PAGE);
	free(x);
	return 0;
}

static size_t found(struct fixture *x, size_t *bad)
{
	struct hp_ledgers ls;
	size_t n;

	assert_int_equal(hp_ledgers_read(x->t, &ls, NULL), 0);
	n = ls.n;
	*bad = ls.unknown.n;
	hp_ledgers_free(&ls);
	return n;
}

static void test_reads_what_was_written(void **state)
{
	struct fixture *x = *state;
	struct hp_ledgers ls;

	assert_int_equal(hp_ledgers_read(x->t, &ls, NULL), 0);
	assert_int_equal(ls.n, 1);
	assert_int_equal(ls.unknown.n, 0);
	assert_int_equal(hp_ledger_phase(ls.v[0]), HP_PHASE_ACTIVE);
	assert_string_equal(ls.v[0]->fixed.fn[0].old_name, "f");
	hp_ledgers_free(&ls);
}

/* Every single byte that is flipped makes it a stranger's. */
static void test_any_changed_byte_is_noticed(void **state)
{
	struct fixture *x = *state;
	uint8_t *byte = (uint8_t *)&x->l->fixed;
	size_t n = hp_ledger_size(2, 0, 0) - offsetof(struct hp_ledger, fixed), bad;

	for (size_t i = 0; i < n; i += 37) {
		byte[i] ^= 0x40;
		assert_int_equal(found(x, &bad), 0);
		assert_int_equal(bad, 1);
		byte[i] ^= 0x40;
	}
	assert_int_equal(found(x, &bad), 1);
}

/* Sealed anew, so that only the checks of the contents can refuse. */
static void test_lies_with_a_right_checksum(void **state)
{
	struct fixture *x = *state;
	struct hp_ledger_fixed *f = &x->l->fixed;
	struct {
		void *at;
		uint64_t lie;
		size_t n;
	} lies[] = {
		{&f->n_fns, HP_LEDGER_FNS + 1, 4},    {&f->n_fns, 0, 4},
		{&f->n_banks, HP_LEDGER_BANKS + 1, 4}, {&f->n_ranges, HP_LEDGER_RANGES + 1, 4},
		{&f->n_fini, 9, 4},		      {&f->text_n, HP_LEDGER_TEXT + 1, 4},
		{&f->area_lo, AT + HP_PAGE, 8},	      {&f->area_hi, AT, 8},
		{&f->area_hi, AT + (1ull << 30), 8},  {&f->table, AT - HP_PAGE, 8},
		{&f->gate, AT + 8, 8},		      {&f->code, 0, 8},
		{&f->id[HP_ID_LEN], 'b', 1},	      {&f->id[3], 0, 1},
		{&f->id[0], '/', 1},		      {&f->id[9], 0xff, 1},
		{&f->fn[1].bank, 1, 2},		      {&f->fn[1].slot, 0xffff, 2},
		{&f->fn[1].method, 3, 1},	      {&f->version, HP_LEDGER_VERSION + 1, 4},
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		uint64_t was = 0;
		size_t bad;

		memcpy(&was, lies[i].at, lies[i].n);
		memcpy(lies[i].at, &lies[i].lie, lies[i].n);
		if (f->n_fns <= HP_LEDGER_FNS && f->n_ranges <= HP_LEDGER_RANGES &&
		    f->text_n <= HP_LEDGER_TEXT)
			hp_ledger_seal(x->l);
		assert_int_equal(found(x, &bad), 0);
		assert_int_equal(bad, 1);
		memcpy(lies[i].at, &was, lies[i].n);
		hp_ledger_seal(x->l);
	}
}

static void expect_unknown(struct fixture *x, uint32_t version, const char *text)
{
	char said[128];
	struct hp_ledgers ls;
	struct hp_err err;

	assert_int_equal(hp_ledgers_read(x->t, &ls, NULL), 0);
	assert_int_equal(ls.n, 0);
	assert_int_equal(ls.unknown.n, 1);
	assert_int_equal(ls.unknown.v[0].version, version);
	assert_string_equal(ls.unknown.v[0].id, "test (deleted)");
	hp_unknown_ledger_text(&ls.unknown.v[0], said, sizeof(said));
	assert_non_null(strstr(said, text));
	assert_int_equal(hp_ledgers_refuse_unknown(&ls, x->t, &err), -HP_E_TARGET);
	assert_non_null(strstr(err.text, text));
	hp_ledgers_free(&ls);
}

/* A later version may have changed all but where its magic and version are, or even that. */
static void test_another_version_is_told(void **state)
{
	struct fixture *x = *state;

	x->l->fixed.version = 77;
	memset(&x->l->fixed.n_fns, 0xee, sizeof(x->l->fixed.file));
	expect_unknown(x, 77, "another version of hp (ledger version 77, patch test");
	x->l->fixed.magic = 1;
	expect_unknown(x, 0, "another version of hp (ledger unknown");
	fill(x->l, x->child);
	x->l->fixed.checksum ^= 1;
	expect_unknown(x, HP_LEDGER_VERSION, "does not hold");
}

/* The kill may come in the middle of a state: the one before it counts. */
static void test_torn_state(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(hp_ledger_set_phase(x->l, NULL, HP_PHASE_UNLOADING, NULL), 0);
	assert_int_equal(hp_ledger_phase(x->l), HP_PHASE_UNLOADING);
	for (int i = 0; i < 2; i++)
		if (x->l->state[i].phase == HP_PHASE_UNLOADING)
			x->l->state[i].checksum ^= 1;
	assert_int_equal(hp_ledger_phase(x->l), HP_PHASE_ACTIVE);
}

/* One that there is not does not hold either. */
static void test_state_of_no_phase(void **state)
{
	static const enum hp_phase none[] = {0, HP_PHASE_RETAINED + 1, (enum hp_phase)UINT32_MAX};
	struct fixture *x = *state;

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		assert_int_equal(hp_ledger_set_phase(x->l, NULL, none[i], NULL), 0);
		assert_int_equal(hp_ledger_phase(x->l), HP_PHASE_ACTIVE);
	}
}

static void test_text(void **state)
{
	struct hp_ledger *l = calloc(1, sizeof(*l));
	struct hp_pairs in = {0}, out = {0};

	assert_non_null(l);
	assert_int_equal(hp_pairs_add(&in, "NewFunc1", "func1"), 0);
	assert_int_equal(hp_pairs_add(&in, "", ""), 0);
	assert_int_equal(hp_ledger_put_text(l, 'r', &in, NULL), 0);
	assert_int_equal(hp_ledger_put_text(l, 'v', &in, NULL), 0);
	assert_int_equal(hp_ledger_get_text(l, 'r', &out), 0);
	assert_int_equal(out.n, 2);
	assert_string_equal(hp_pairs_get(&out, "NewFunc1"), "func1");
	l->fixed.text[l->fixed.text_n - 1] = 'x'; /* no end */
	hp_pairs_free(&out);
	assert_int_not_equal(hp_ledger_get_text(l, 'v', &out), 0);
	hp_pairs_free(&in);
	hp_pairs_free(&out);
	free(l);
}

static void test_pick(void **state)
{
	struct fixture *x = *state;
	struct hp_ledger *other = calloc(1, sizeof(*other)), *two[] = {x->l, other}, *got;
	struct hp_ledgers ls = {.v = two, .n = 2};
	struct hp_err err;

	assert_non_null(other);
	fill(other, x->child);
	other->fixed.id[1] = 'b';
	assert_int_equal(hp_ledgers_pick(&ls, "aa", &got, &err), 0);
	assert_ptr_equal(got, x->l);
	assert_int_equal(hp_ledgers_pick(&ls, "a", &got, &err), -HP_E_AMBIGUOUS);
	assert_int_equal(hp_ledgers_pick(&ls, "c", &got, &err), -HP_E_NOT_LOADED);
	assert_string_equal(err.text, "patch c not loaded");
	assert_int_equal(hp_ledgers_pick(&ls, "", &got, &err), -HP_E_USAGE);
	free(other);
}

/* A load of one more would leave a process of which the next hpd could not tell what was done to it. */
static void test_one_too_many(void **state)
{
	struct fixture *x = *state;
	struct hp_ledgers ls = {.n = HP_LEDGERS_MAX - 1};
	struct hp_err err;

	assert_int_equal(hp_ledgers_refuse_full(&ls, HP_LEDGER_FNS, x->t, &err), 0);
	ls.n_fns = HP_LEDGERS_FNS - 9;
	assert_int_equal(hp_ledgers_refuse_full(&ls, 9, x->t, &err), 0);
	assert_int_equal(hp_ledgers_refuse_full(&ls, 10, x->t, &err), -HP_E_TARGET);
	assert_non_null(strstr(err.text, "has patches of 16375 functions"));
	ls.n++;
	assert_int_equal(hp_ledgers_refuse_full(&ls, 1, x->t, &err), -HP_E_TARGET);
	assert_non_null(strstr(err.text, "has 256 patches"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_reads_what_was_written),
		T(test_any_changed_byte_is_noticed),
		T(test_lies_with_a_right_checksum),
		T(test_another_version_is_told),
		T(test_torn_state),
		T(test_state_of_no_phase),
		T(test_text),
		T(test_pick),
		T(test_one_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
