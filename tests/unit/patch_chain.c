/* SPDX-License-Identifier: MIT */
/* Chains are read from the words of a child, which then lie; the store routine is run. */
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
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "hp/err.h"
#include "patch/chain.h"
#include "../services/tied.h"

#define PATCHES	  3
#define BANK_STEP HP_PAGE_UP(HP_BANK_ROOM)
#define SIZE	  (PATCHES * BANK_STEP)

static const hp_addr AT = 0x200000000000ull;

/* Patch k has its bank at AT + k * BANK_STEP, and replaces two functions; the first patch's doors. */
struct fixture {
	uint8_t *mem; /* the child's, shared */
	pid_t child;
	struct hp_target *t;
	struct hp_ledger *l[PATCHES];
	struct hp_ledgers all;
};

static hp_addr bank(unsigned k)
{
	return AT + k * BANK_STEP;
}

static uint64_t *word(struct fixture *x, hp_addr at)
{
	return (uint64_t *)(x->mem + (at - AT));
}

static hp_addr old_word(unsigned k, unsigned fn)
{
	return bank(k) + offsetof(struct hp_slots, old) + 8ull * fn;
}

/* It is only led to, and not mapped. */
static hp_addr new_code(unsigned k, unsigned fn)
{
	return AT + SIZE + HP_PAGE * (k + 1) + 64 * fn;
}

static int set_up(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	int go[2];
	char c;

	assert_non_null(x);
	x->mem = mmap((void *)AT, SIZE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_equal(x->mem, (void *)AT);
	assert_int_equal(pipe(go), 0);
	x->child = tied_fork();
	if (x->child == 0) {
		if (write(go[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(go[0], &c, 1), 1);
	close(go[0]);
	close(go[1]);
	assert_int_equal(hp_target_open(&x->t, x->child, NULL), 0);
	for (unsigned k = 0; k < PATCHES; k++) {
		struct hp_ledger_fixed *f;

		x->l[k] = calloc(1, sizeof(*x->l[k]));
		assert_non_null(x->l[k]);
		f = &x->l[k]->fixed;
		f->n_fns = 2;
		f->n_banks = 1;
		f->bank[0] = bank(k);
		for (unsigned fn = 0; fn < 2; fn++) {
			f->fn[fn].door = hp_door_addr(bank(0), fn);
			f->fn[fn].slot = (uint16_t)fn;
			f->fn[fn].new_addr = new_code(k, fn);
			*word(x, old_word(k, fn)) = hp_moved_addr(bank(k), fn);
		}
		assert_int_equal(hp_ledgers_add(&x->all, x->l[k]), 0);
	}
	*state = x;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *x = *state;

	hp_ledgers_free(&x->all);
	hp_target_free(x->t);
	kill(x->child, SIGKILL);
	waitpid(x->child, NULL, 0);
	munmap(x->mem, SIZE);
	free(x);
	return 0;
}

/* The patches on function @fn, topmost first, as digits. */
static const char *chain(struct fixture *x, unsigned fn)
{
	static char text[16];
	struct hp_chain c;
	size_t i;

	assert_int_equal(hp_chain_read(x->t, &x->all, hp_door_addr(bank(0), fn), &c, NULL), 0);
	assert_true(c.n < sizeof(text));
	for (i = 0; i < c.n; i++) {
		unsigned k = 0;

		while (x->l[k] != c.v[i].l)
			k++;
		assert_int_equal(c.v[i].fn, fn);
		assert_int_equal(hp_chain_find(&c, x->l[k]), i);
		text[i] = (char)('0' + k);
	}
	text[i] = 0;
	hp_chain_free(&c);
	return text;
}

static void door_leads_to(struct fixture *x, unsigned fn, unsigned k, enum hp_path path)
{
	*word(x, hp_door_addr(bank(0), fn)) = hp_block_addr(bank(k), fn) + hp_path_offset(path);
}

static void above(struct fixture *x, unsigned fn, unsigned upper, unsigned lower)
{
	*word(x, old_word(upper, fn)) =
		hp_link_inner(&(struct hp_link){x->l[lower], fn});
}

static void test_reads_each_function_by_itself(void **state)
{
	struct fixture *x = *state;

	door_leads_to(x, 0, 2, HP_PATH_NEW);
	above(x, 0, 2, 0);
	above(x, 0, 0, 1);
	door_leads_to(x, 1, 1, HP_PATH_GATE_BACK);
	assert_string_equal(chain(x, 0), "201");
	assert_string_equal(chain(x, 1), "1");
	/* taken out of the middle, then from the top: in one store each */
	above(x, 0, 2, 1);
	assert_string_equal(chain(x, 0), "21");
	door_leads_to(x, 0, 1, HP_PATH_OLD);
	assert_string_equal(chain(x, 0), "1");
}

static void test_a_door_at_rest_leads_past_the_block(void **state)
{
	struct fixture *x = *state;
	uint64_t *door = word(x, hp_door_addr(bank(0), 0));

	above(x, 0, 2, 1);
	*door = new_code(2, 0);
	assert_string_equal(chain(x, 0), "21");
	*door = new_code(2, 0) + 1;
	assert_string_equal(chain(x, 0), "");
	*door = new_code(2, 1);
	assert_string_equal(chain(x, 0), "");
	/* a patch above it finds its inner stub alone */
	*door = new_code(2, 0);
	*word(x, old_word(2, 0)) = new_code(1, 0);
	assert_string_equal(chain(x, 0), "2");
}

static void test_lying_words_end(void **state)
{
	struct fixture *x = *state;
	struct hp_chain c;

	assert_string_equal(chain(x, 0), "");
	*word(x, hp_door_addr(bank(0), 0)) = AT + SIZE;
	assert_string_equal(chain(x, 0), "");
	/* another function's block, or inner stub */
	*word(x, hp_door_addr(bank(0), 0)) = hp_block_addr(bank(1), 1);
	assert_string_equal(chain(x, 0), "");
	door_leads_to(x, 0, 1, HP_PATH_OLD);
	*word(x, old_word(1, 0)) = hp_inner_stub(bank(2), 1);
	assert_string_equal(chain(x, 0), "1");
	/* round and round */
	above(x, 0, 1, 2);
	above(x, 0, 2, 1);
	assert_int_equal(hp_chain_read(x->t, &x->all, hp_door_addr(bank(0), 0), &c, NULL),
			 -HP_E_TARGET);
	assert_true(hp_chain_read(x->t, &x->all, AT - HP_PAGE, &c, NULL) < 0);
}

static void test_a_dropped_patch_is_not_found(void **state)
{
	struct fixture *x = *state;

	door_leads_to(x, 0, 2, HP_PATH_NEW);
	above(x, 0, 2, 0);
	hp_ledgers_drop(&x->all, x->l[0]);
	assert_int_equal(x->all.n, 2);
	assert_string_equal(chain(x, 0), "2");
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	return (uint64_t)t.tv_sec * HP_S + (uint64_t)t.tv_nsec;
}

/* Many ledgers, each with as many functions as there can be, and all of them on two doors: half a second,
 * or minutes where every word is looked for in every ledger. */
static void test_a_crowd_holds_nobody_up(void **state)
{
	enum { CROWD = 128 };
	struct fixture *x = *state;
	struct hp_ledgers crowd = {0};
	struct hp_chain c;
	uint64_t since;

	for (unsigned k = 0; k < CROWD; k++) {
		struct hp_ledger *l = calloc(1, sizeof(*l));

		assert_non_null(l);
		l->fixed.n_fns = HP_LEDGER_FNS;
		l->fixed.n_banks = 1;
		l->fixed.bank[0] = bank(0) + k * BANK_STEP;
		for (unsigned fn = 0; fn < HP_LEDGER_FNS; fn++) {
			l->fixed.fn[fn].door = hp_door_addr(bank(0), fn % 2);
			l->fixed.fn[fn].slot = (uint16_t)(fn % HP_BANK_FNS);
		}
		assert_int_equal(hp_ledgers_add(&crowd, l), 0);
	}
	door_leads_to(x, 0, 2, HP_PATH_NEW);
	above(x, 0, 2, 1);
	since = cpu_ns();
	for (unsigned i = 0; i < CROWD * HP_LEDGER_FNS; i++) {
		assert_int_equal(hp_chain_read(x->t, &crowd, hp_door_addr(bank(0), 0), &c, NULL), 0);
		assert_int_equal(c.n, 2);
		hp_chain_free(&c);
	}
	assert_true(cpu_ns() - since < 20 * HP_S);
	hp_ledgers_free(&crowd);
}

static void test_stores(void **state)
{
	void (*run)(const uint64_t *list, uint64_t n);
	uint64_t at[4] = {1, 2, 3, 4};
	const uint64_t list[] = {(uintptr_t)&at[2], 30, (uintptr_t)&at[0], ~0ull};
	void *code = mmap(NULL, HP_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(code, MAP_FAILED);
	memset(code, 0xcc, HP_PAGE);
	hp_store_fill(code);
	assert_int_equal(mprotect(code, HP_PAGE, PROT_READ | PROT_EXEC), 0);
	memcpy(&run, &code, sizeof(run));
	run(list, 2);
	assert_true(at[0] == ~0ull && at[1] == 2 && at[2] == 30 && at[3] == 4);
	run(list + 2, 1);
	assert_true(at[2] == 30);
	munmap(code, HP_PAGE);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_reads_each_function_by_itself),
		T(test_a_door_at_rest_leads_past_the_block),
		T(test_lying_words_end),
		T(test_a_dropped_patch_is_not_found),
		T(test_a_crowd_holds_nobody_up),
		cmocka_unit_test(test_stores),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
