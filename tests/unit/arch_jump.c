/* SPDX-License-Identifier: MIT */
/*
 * Indirect jumps of functions without a frame, as gcc and clang make them of fixtures/jumps.cc: a
 * jump that stays must never count as one that leaves, whatever is lost by that.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/code.h"
#include "arch/insn.h"
#include "arch_fixture.h"
#include "elf/reader.h"

/* A function's indirect jumps, and how many of them are exits. */
struct seen {
	size_t jumps, exits;
	bool unknown;
};

static bool is_exit(const struct hp_flow *f, hp_addr at)
{
	size_t k;

	for (k = 0; k < f->n_exits; k++)
		if (f->exit[k] == at)
			return true;
	return false;
}

static struct seen look(const struct program *p, const struct hp_sym *sym)
{
	struct seen s = {0};
	struct hp_err e = {0};
	struct hp_insn in;
	struct hp_flow f;
	hp_addr pc;

	if (hp_flow_read(&f, p->im, p->st, p->cfi, sym->name, sym->value, sym->size, &e))
		fail_msg("%s: %s", sym->name, e.text);
	for (pc = sym->value; pc < sym->value + sym->size; pc = hp_insn_end(&in)) {
		assert_true(hp_insn_read(&in, p->im, pc, sym->value + sym->size));
		if (in.flow != HP_INSN_JUMP_IND)
			continue;
		s.jumps++;
		s.exits += is_exit(&f, pc);
	}
	s.unknown = f.exits_unknown;
	hp_flow_free(&f);
	return s;
}

enum { STAYS = 1, UNTOLD = 2, LEAVES = 4 };

/* What may be made of @name's jumps; of several, as long as none that stays is taken to leave. */
static unsigned allowed(const char *name, bool pic)
{
	if (!strncmp(name, "leaves_", 7))
		return LEAVES;
	if (!strcmp(name, "stays_switch"))
		return STAYS;
	if (!strcmp(name, "stays_goto"))
		return STAYS | UNTOLD;
	if (!strncmp(name, "stays_", 6))
		return UNTOLD;
	/* elsewhere the table's words might be labels that somebody loads */
	return pic ? STAYS | LEAVES : UNTOLD;
}

static unsigned told(const struct seen *s)
{
	if (s->unknown)
		return s->exits ? 0 : UNTOLD;
	return (s->exits ? LEAVES : 0) | (s->exits < s->jumps ? STAYS : 0);
}

static void check(struct program *p, const char *fixture, bool pic)
{
	static const char *const prefixes[] = {"leaves_", "stays_", "both_"};
	const struct hp_sym *sym[16];
	size_t n, i, k, looked = 0;

	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		n = hp_symtab_prefix(p->st, prefixes[i], sym, 16);
		assert_in_range(n, 1, 16);
		for (k = 0; k < n; k++) {
			struct seen s;

			if (strstr(sym[k]->name, ".cold"))
				continue;
			s = look(p, sym[k]);
			looked++;
			if (s.jumps == 0 || told(&s) == 0 ||
			    told(&s) & ~allowed(sym[k]->name, pic))
				fail_msg("%s: %s: %zu of %zu jumps leave%s", fixture, sym[k]->name,
					 s.exits, s.jumps, s.unknown ? ", perhaps" : "");
			if (!strncmp(sym[k]->name, "both_", 5) && pic)
				assert_int_equal(s.exits, s.jumps - 1);
		}
	}
	assert_int_equal(looked, 14);
}

static const char *const names[] = {
	"jumps-gcc-pie",   "jumps-gcc-nopie",	"jumps-gcc-cet",   "jumps-gcc-relr",
	"jumps-clang-pie", "jumps-clang-nopie", "jumps-clang-cet", "jumps-clang-relr",
};

static void each_is_told(void **state)
{
	size_t k;

	for (k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		struct program p;

		assert_int_equal(open_fixture(&p, names[k]), 0);
		check(&p, names[k], !strstr(names[k], "nopie"));
		close_fixture(&p);
	}
}

/* Who is asked about a file is asked from the beginning. */
static struct hp_reader *join(struct program *p)
{
	struct hp_reader *r;

	hp_cfi_free(p->cfi);
	assert_int_equal(hp_reader_new(&r, "fixture", NULL), 0);
	hp_reader_join(r, p->im);
	assert_int_equal(hp_cfi_open(&p->cfi, p->im, NULL), 0);
	return r;
}

static void a_reader_tells_the_same(void **state)
{
	size_t k;

	for (k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		struct hp_reader *r;
		struct program p;

		assert_int_equal(open_fixture(&p, names[k]), 0);
		r = join(&p);
		check(&p, names[k], !strstr(names[k], "nopie"));
		assert_true(hp_reader_pid(r) > 0);
		assert_int_equal(hp_reader_check(r, NULL), 0);
		hp_reader_free(r);
		close_fixture(&p);
	}
}

/* Of a jump that would be known to leave, if nothing could be a label. */
static void without_a_reader_nothing_is_known_to_leave(void **state)
{
	const struct hp_sym *sym[16];
	struct hp_reader *r;
	struct program p;
	size_t n;

	assert_int_equal(open_fixture(&p, names[0]), 0);
	r = join(&p);
	n = hp_symtab_prefix(p.st, "leaves_", sym, 16);
	assert_in_range(n, 1, 16);
	assert_int_equal(look(&p, sym[0]).exits, 1);
	assert_int_equal(kill(hp_reader_pid(r), SIGKILL), 0);
	assert_int_equal(look(&p, sym[0]).exits, 0);
	assert_int_equal(hp_reader_check(r, NULL), -HP_E_READER);
	hp_reader_free(r);
	close_fixture(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_told),
		cmocka_unit_test(a_reader_tells_the_same),
		cmocka_unit_test(without_a_reader_nothing_is_known_to_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
