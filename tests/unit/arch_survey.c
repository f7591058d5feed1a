/* SPDX-License-Identifier: MIT */
/*
 * Every function of real programs goes through the readers: none may crash, none may be refused
 * but for a named reason, and the figures say how much of the world can be patched how.
 */
#include <fcntl.h>
#include <gnu/lib-names.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "arch/callsite.h"
#include "arch/code.h"
#include "elf/cfi.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "hp/err.h"

struct program {
	const char *path;
	struct hp_image *im;
	struct hp_symtab *st;
	struct hp_cfi *cfi;
	const struct hp_sym *sym;
	size_t n_syms;
};

static struct program redis = {.path = "/usr/bin/redis-server"};
static struct program nginx = {.path = "/usr/sbin/nginx"};
static struct program libc = {.path = "/lib/x86_64-linux-gnu/" LIBC_SO};

static void open_program(struct program *p)
{
	struct hp_err e = {0};

	if (access(p->path, R_OK)) {
		print_message("%s is not installed\n", p->path);
		skip();
	}
	if (hp_image_open(&p->im, open(p->path, O_RDONLY | O_CLOEXEC), p->path, &e) ||
	    hp_symtab_load(&p->st, p->im, NULL, &e) || hp_cfi_open(&p->cfi, p->im, &e))
		fail_msg("%s", e.text);
	p->n_syms = hp_symtab_all(p->st, &p->sym);
}

static void close_program(struct program *p)
{
	hp_cfi_free(p->cfi);
	hp_symtab_free(p->st);
	hp_image_free(p->im);
}

/* The @i-th symbol, if it is a function's first name. */
static const struct hp_sym *function(const struct program *p, size_t i)
{
	const struct hp_sym *s = &p->sym[i];

	if (s->type != STT_FUNC || s->size == 0 || !hp_image_at(p->im, s->value, 1))
		return NULL;
	return i > 0 && p->sym[i - 1].value == s->value ? NULL : s;
}

struct heads {
	size_t n, refused, jump, long_first, moved_first, moved_jump, nop5;
};

static void survey_head(const struct program *p, const struct hp_sym *s, struct heads *t)
{
	struct hp_err e = {0};
	uint8_t out[HP_MOVED_MAX];
	struct hp_head h;
	size_t n, off;

	t->n++;
	if (hp_head_read(&h, p->im, s->name, s->value, s->size, &e)) {
		assert_non_null(strstr(e.text, s->name));
		t->refused++;
		return;
	}
	t->jump += h.jump_len > 0;
	t->long_first += h.first_len >= HP_JUMP_LEN;
	t->nop5 += h.first_is_nop5;
	if (hp_head_move(&h, h.first_len, h.at + 0x10000000, out, &n, &e) == 0) {
		t->moved_first++;
		for (off = 0; off < n; off++)
			assert_true(hp_head_moved_back(&h, h.first_len, h.at + 0x10000000, off) <=
				    h.first_len);
	}
	if (h.jump_len && hp_head_move(&h, h.jump_len, h.at + 0x10000000, out, &n, &e) == 0)
		t->moved_jump++;
}

static double percent(size_t n, size_t of)
{
	return of ? 100.0 * (double)n / (double)of : 0;
}

static void survey_heads(struct program *p)
{
	struct heads t = {0};
	size_t i;

	open_program(p);
	for (i = 0; i < p->n_syms; i++)
		if (function(p, i))
			survey_head(p, function(p, i), &t);
	print_message("%s: %zu functions; first instruction movable %.1f%%, whole jump movable "
		      "%.1f%%; first ≥ 5 bytes %.1f%%, nop5 %zu, too short %zu, refused %zu\n",
		      p->path, t.n, percent(t.moved_first, t.n), percent(t.moved_jump, t.n),
		      percent(t.long_first, t.n), t.nop5, t.n - t.refused - t.jump, t.refused);
	assert_true(t.n > 1000);
	assert_true(percent(t.moved_first, t.n) > 98);
	close_program(p);
}

static void redis_heads(void **state)
{
	survey_heads(&redis);
}

static void libc_heads(void **state)
{
	survey_heads(&libc);
}

struct flows {
	size_t n, refused, unknown, back, into, call, cold, exits, none;
};

static void survey_flow(const struct program *p, const struct hp_sym *s, struct flows *t)
{
	struct hp_err e = {0};
	struct hp_flow f;
	size_t k;

	t->n++;
	if (hp_flow_read(&f, p->im, p->st, p->cfi, s->name, s->value, s->size, &e)) {
		assert_non_null(strstr(e.text, s->name));
		t->refused++;
		return;
	}
	for (k = 0; k < f.n_exits; k++) {
		size_t part;

		for (part = 0; part < f.n_parts && !hp_in(f.part[part], f.exit[k]); part++)
			;
		assert_true(part < f.n_parts);
	}
	t->unknown += f.exits_unknown;
	t->back += f.back_to_entry;
	t->into += f.into_head;
	t->call += f.ends_in_call;
	t->cold += f.n_parts > 1;
	t->exits += f.n_exits;
	t->none += f.n_exits == 0 && !f.exits_unknown;
	hp_flow_free(&f);
}

static void survey_flows(struct program *p)
{
	struct flows t = {0};
	size_t i;

	open_program(p);
	for (i = 0; i < p->n_syms; i++)
		if (function(p, i))
			survey_flow(p, function(p, i), &t);
	print_message("%s: %zu functions; exits known %.1f%% (%.1f each, %zu without any), "
		      "branch to entry %zu, into head %zu, end in a call %.1f%%, cold parts "
		      "%.1f%%, refused %zu\n",
		      p->path, t.n, percent(t.n - t.refused - t.unknown, t.n),
		      (double)t.exits / (double)t.n, t.none, t.back, t.into, percent(t.call, t.n),
		      percent(t.cold, t.n), t.refused);
	assert_true(percent(t.n - t.refused - t.unknown, t.n) > 99);
	close_program(p);
}

static void redis_flows(void **state)
{
	survey_flows(&redis);
}

static void nginx_flows(void **state)
{
	survey_flows(&nginx);
}

static void libc_flows(void **state)
{
	survey_flows(&libc);
}

/* Every so many functions: each one searches the whole program. */
#define SAMPLE 11

static void redis_call_sites(void **state)
{
	size_t i, n = 0, called = 0, calls = 0, live = 0, misaligned = 0;
	struct program *p = &redis;

	open_program(p);
	for (i = 0; i < p->n_syms; i += SAMPLE) {
		const struct hp_sym *s = function(p, i);
		struct hp_call_sites cs;
		struct hp_err e = {0};
		hp_regs regs = 0;
		bool mis = false;
		size_t k;

		if (!s)
			continue;
		if (hp_call_sites_find(&cs, p->im, p->st, p->cfi, s->value, &e))
			fail_msg("%s: %s", s->name, e.text);
		for (k = 0; k < cs.n; k++) {
			assert_true(cs.v[k].live || cs.v[k].misaligned);
			regs |= cs.v[k].live;
			mis |= cs.v[k].misaligned;
		}
		n++;
		called += cs.examined > 0;
		calls += cs.examined;
		live += regs != 0;
		misaligned += mis;
		hp_call_sites_free(&cs);
	}
	print_message("%s: %zu functions, %zu called directly by %zu calls; callers keep registers "
		      "%.1f%%, skip alignment %.1f%%\n",
		      p->path, n, called, calls, percent(live, called),
		      percent(misaligned, called));
	assert_true(called > 100);
	assert_true(percent(live, called) < 5);
	close_program(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(redis_heads),
		cmocka_unit_test(libc_heads),
		cmocka_unit_test(redis_flows),
		cmocka_unit_test(nginx_flows),
		cmocka_unit_test(libc_flows),
		cmocka_unit_test(redis_call_sites),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
