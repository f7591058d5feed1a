/* SPDX-License-Identifier: MIT */
/*
 * What gcc's callers assume, found in what gcc made of fixtures/ipa.c: as it is, with frame
 * pointers, and with both optimisations off, where nothing may be found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/callsite.h"
#include "arch_fixture.h"

enum { RDX = 1 << 2, RSI = 1 << 6, RCX = 1 << 1, R8 = 1 << 8, R9 = 1 << 9 };
#define XMM(n)	HP_REG(HP_REG_VEC + (n))
#define K(n)	HP_REG(HP_REG_MASK + (n))
#define MM(n)	HP_REG(HP_REG_MM + (n))

static struct hp_call_sites sites_of(const struct program *p, const char *name)
{
	const struct hp_sym *sym;
	struct hp_call_sites cs;
	struct hp_err e = {0};

	assert_int_equal(hp_symtab_find(p->st, name, NULL, &sym, 1), 1);
	if (hp_call_sites_find(&cs, p->im, p->st, p->cfi, sym->value, &e))
		fail_msg("%s: %s", name, e.text);
	return cs;
}

/* All that @caller assumes, over all of its calls. */
struct assumed {
	size_t n;
	hp_regs live;
	bool misaligned, tail;
};

static struct assumed assumed_by(const struct hp_call_sites *cs, const char *caller)
{
	struct assumed a = {0};
	size_t k;

	for (k = 0; k < cs->n; k++)
		if (strcmp(cs->v[k].caller, caller) == 0) {
			a.n++;
			a.live |= cs->v[k].live;
			a.misaligned |= cs->v[k].misaligned;
			a.tail |= cs->v[k].tail;
		}
	return a;
}

#define ASSUMED(cs, caller, live_, misaligned_, tail_)                                             \
	do {                                                                                       \
		struct assumed a_ = assumed_by(cs, caller);                                        \
		assert_true(a_.n > 0);                                                             \
		assert_int_equal(a_.live, live_);                                                  \
		assert_int_equal(a_.misaligned, misaligned_);                                      \
		assert_int_equal(a_.tail, tail_);                                                  \
	} while (0)

/* Nobody knows what it reads. */
static void behind_an_unknown_instruction_everything_may_be_read(void **state)
{
	const hp_regs kept = RSI | RCX | R8 | R9;
	struct hp_call_sites cs;
	struct program p;

	assert_int_equal(open_fixture(&p, "ipa"), 0);
	cs = sites_of(&p, "newer_leaf");
	assert_int_equal(cs.n, 1);
	assert_string_equal(cs.v[0].caller, "on_a_newer_cpu");
	assert_int_equal(cs.v[0].live & kept, kept);
	assert_int_equal(cs.v[0].live & 1, 0); /* rax has what newer_leaf() returned */
	assert_true(cs.v[0].unread >= cs.v[0].at + 5 && cs.v[0].unread < cs.v[0].at + 64);
	hp_call_sites_free(&cs);

	cs = sites_of(&p, "leaf");
	for (size_t k = 0; k < cs.n; k++)
		assert_int_equal(cs.v[k].unread, 0);
	hp_call_sites_free(&cs);
	close_fixture(&p);
}

static void registers_kept_across_a_call_are_found(void **state)
{
	struct hp_call_sites cs;
	struct program p;

	assert_int_equal(open_fixture(&p, "ipa"), 0);
	cs = sites_of(&p, "leaf");
	ASSUMED(&cs, "keeps_registers", RDX | RSI | RCX, true, false);
	/* read by nobody but the function that they are passed on to */
	ASSUMED(&cs, "passes_on", RDX | RSI | RCX, true, false);
	ASSUMED(&cs, "calls_leaf", RDX | RCX, true, false);
	ASSUMED(&cs, "keeps_through_jump", RDX | RSI | RCX, true, true);
	ASSUMED(&cs, "keeps_through_call", RSI | R8 | R9, true, true);
	/* 6 callers, one of them twice, and jumps_to_leaf */
	assert_int_equal(cs.examined, 7);
	hp_call_sites_free(&cs);
	assert_null(cs.v);

	cs = sites_of(&p, "real_leaf");
	ASSUMED(&cs, "keeps_xmm", XMM(1) | XMM(2) | XMM(3), true, false);
	hp_call_sites_free(&cs);
	close_fixture(&p);
}

/* "caller: registers" of each one of @leaf that keeps any that only AVX-512 or MMX has. */
static void assert_kept(const struct program *p, const char *leaf, const char *expected)
{
	struct hp_call_sites cs = sites_of(p, leaf);
	char all[512] = "", names[512];
	size_t k;

	for (k = 0; k < cs.n; k++) {
		hp_regs wide = cs.v[k].live & (~(hp_regs)0 << (HP_REG_VEC + 16));
		size_t n = strlen(all);

		if (wide && !cs.v[k].tail)
			snprintf(all + n, sizeof(all) - n, "%s: %s; ", cs.v[k].caller,
				 hp_live_names(wide, names, sizeof(names)));
	}
	hp_call_sites_free(&cs);
	assert_string_equal(all, expected);
}

static void registers_of_wider_machines_are_found(void **state)
{
	struct program p;

	assert_int_equal(open_fixture(&p, "ipa-wide"), 0);
	assert_kept(&p, "mask_leaf", "keeps_mask: k1; ");
	assert_kept(&p, "vector_leaf", "keeps_vector: zmm16; keeps_unmasked: zmm16; ");
	assert_kept(&p, "mmx_leaf", "keeps_mmx: mm0; ");
	close_fixture(&p);
}

static void skipped_alignment_is_found(void **state)
{
	static const char *const fixture[] = {"ipa", "ipa-frame"};
	struct hp_call_sites cs;
	struct program p;
	int k;

	for (k = 0; k < 2; k++) {
		assert_int_equal(open_fixture(&p, fixture[k]), 0);
		cs = sites_of(&p, "leaf");
		if (k == 0)
			ASSUMED(&cs, "skips_alignment", 0, true, false);
		else /* push %rbp is what aligns it */
			assert_int_equal(assumed_by(&cs, "skips_alignment").n, 0);
		hp_call_sites_free(&cs);
		close_fixture(&p);
	}
}

static void nothing_is_found_where_nothing_is_assumed(void **state)
{
	static const char *const fn[] = {"leaf",       "real_leaf", "second", "calls_leaf", "dies",
					 "calls_out", "sum",	   "jumps_to_leaf"};
	static const char *const wide[] = {"mask_leaf", "vector_leaf", "mmx_leaf"};
	struct hp_call_sites cs;
	struct program p;
	size_t k;

	assert_int_equal(open_fixture(&p, "ipa-none"), 0);
	for (k = 0; k < sizeof(fn) / sizeof(fn[0]); k++) {
		cs = sites_of(&p, fn[k]);
		assert_true(cs.examined > 0);
		assert_int_equal(cs.n, 0);
		hp_call_sites_free(&cs);
	}
	close_fixture(&p);

	assert_int_equal(open_fixture(&p, "ipa-wide-none"), 0);
	for (k = 0; k < sizeof(wide) / sizeof(wide[0]); k++) {
		cs = sites_of(&p, wide[k]);
		assert_true(cs.examined > 0);
		assert_int_equal(cs.n, 0);
		hp_call_sites_free(&cs);
	}
	close_fixture(&p);
}

static void functions_that_call_out_promise_nothing(void **state)
{
	struct hp_call_sites cs;
	struct program p;

	assert_int_equal(open_fixture(&p, "ipa"), 0);
	cs = sites_of(&p, "calls_out");
	assert_int_equal(cs.n, 0);
	assert_int_equal(cs.examined, 1);
	hp_call_sites_free(&cs);
	/* varargs: what sum() stores at its entry nobody has to have kept */
	cs = sites_of(&p, "leaf");
	assert_int_equal(assumed_by(&cs, "calls_varargs").live, 0);
	hp_call_sites_free(&cs);
	/* what lies behind a call that does not return is not its continuation */
	cs = sites_of(&p, "dies");
	assert_true(cs.examined >= 1);
	assert_int_equal(assumed_by(&cs, "may_die.cold").live, 0);
	hp_call_sites_free(&cs);
	close_fixture(&p);
}

static void the_end_of_a_call_is_told(void **state)
{
	struct hp_call_sites cs;
	struct program p;
	hp_addr call = 0;

	assert_int_equal(open_fixture(&p, "ipa"), 0);
	cs = sites_of(&p, "leaf");
	for (size_t i = 0; i < cs.n && !call; i++)
		if (!strcmp(cs.v[i].caller, "keeps_registers"))
			call = cs.v[i].at;
	assert_true(call != 0);
	assert_true(hp_call_ends_at(p.im, call + 5));
	assert_false(hp_call_ends_at(p.im, call + 4));
	assert_false(hp_call_ends_at(p.im, call));
	assert_false(hp_call_ends_at(p.im, 0));
	assert_false(hp_call_ends_at(p.im, UINT64_MAX));
	hp_call_sites_free(&cs);
	close_fixture(&p);
}

static void live_registers_have_names(void **state)
{
	char buf[HP_LIVE_NAMES_MAX], tiny[6];

	assert_string_equal(hp_live_names(0, buf, sizeof(buf)), "");
	assert_string_equal(hp_live_names(RCX | XMM(3), buf, sizeof(buf)), "rcx, xmm3");
	assert_string_equal(hp_live_names(R8 | XMM(15), buf, sizeof(buf)), "r8, xmm15");
	assert_string_equal(hp_live_names(XMM(16) | XMM(31) | K(0), buf, sizeof(buf)),
			    "zmm16, zmm31, k0");
	assert_string_equal(hp_live_names(K(7) | MM(0) | MM(7), buf, sizeof(buf)), "k7, mm0, mm7");
	hp_live_names(HP_REGS_CALLER_SAVED, buf, sizeof(buf));
	assert_string_equal(buf + strlen(buf) - strlen("mm6, mm7"), "mm6, mm7");
	assert_string_equal(hp_live_names(RCX | RDX, tiny, sizeof(tiny)), "rcx, ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_kept_across_a_call_are_found),
		cmocka_unit_test(behind_an_unknown_instruction_everything_may_be_read),
		cmocka_unit_test(registers_of_wider_machines_are_found),
		cmocka_unit_test(skipped_alignment_is_found),
		cmocka_unit_test(nothing_is_found_where_nothing_is_assumed),
		cmocka_unit_test(functions_that_call_out_promise_nothing),
		cmocka_unit_test(the_end_of_a_call_is_told),
		cmocka_unit_test(live_registers_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
