/* SPDX-License-Identifier: MIT */
/*
 * The executable segments are searched for displacements that lead to the wanted place, at every
 * byte; what looks like a branch is believed when the function around it, decoded from its start,
 * has an instruction there.
 */
#include "arch/callsite_priv.h"

#include <errno.h>
#include <string.h>

#include "arch/insn.h"
#include "elf/image.h"
#include "hp/err.h"

struct search {
	const struct hp_calls *c;
	struct hp_range to;
	struct hp_refs *found;
	struct hp_err *err;
};

static bool is_insn_start(const struct hp_calls *c, const struct hp_body *b, hp_addr at)
{
	struct hp_insn in;
	hp_addr pc = b->r.lo;

	while (pc < at && hp_insn_read(&in, c->im, pc, b->r.hi))
		pc = hp_insn_end(&in);
	return pc == at;
}

/* A branch of form @at: is it one, and does it lead there? */
static int check(struct search *s, hp_addr at)
{
	struct hp_ref ref = {.at = at}, *p;
	struct hp_insn in;

	if (hp_in(s->to, at) || !hp_insn_read(&in, s->c->im, at, at + HP_INSN_MAX) ||
	    (in.flow != HP_INSN_CALL && in.flow != HP_INSN_JUMP && in.flow != HP_INSN_COND) ||
	    !hp_in(s->to, in.target))
		return 0;
	if (hp_body_find(s->c, at, &ref.from) && !is_insn_start(s->c, &ref.from, at))
		return 0;
	ref.call = in.flow == HP_INSN_CALL;
	p = HP_ARRAY_ADD(s->found);
	if (!p)
		return hp_err_sys(s->err, ENOMEM, "call-site analysis");
	*p = ref;
	return 0;
}

/* e8, e9, 0f 80-8f with the displacement at p[q] */
static int check_near(struct search *s, const uint8_t *p, size_t q, hp_addr base)
{
	if (q >= 1 && (p[q - 1] == 0xe8 || p[q - 1] == 0xe9))
		return check(s, base + q - 1);
	if (q >= 2 && p[q - 2] == 0x0f && (p[q - 1] & 0xf0) == 0x80)
		return check(s, base + q - 2);
	return 0;
}

static int search_near(struct search *s, const uint8_t *p, size_t n, hp_addr base)
{
	uint64_t span = s->to.hi - s->to.lo;
	size_t q;
	int r = 0;

	for (q = 1; q + 4 <= n && r == 0; q++) {
		int32_t rel;

		memcpy(&rel, p + q, sizeof(rel));
		if (base + q + 4 + (uint64_t)(int64_t)rel - s->to.lo < span)
			r = check_near(s, p, q, base);
	}
	return r;
}

/* eb, 70-7f, e0-e3: two bytes, so only what lies around the place can reach it */
static int search_short(struct search *s, const uint8_t *p, size_t n, hp_addr base)
{
	hp_addr lo = s->to.lo > 129 ? s->to.lo - 129 : 0, pc;
	int r = 0;

	for (pc = lo < base ? base : lo; pc < s->to.hi + 128 && pc < base + n && r == 0; pc++) {
		uint8_t b = p[pc - base];

		if (b == 0xeb || (b & 0xf0) == 0x70 || (b & 0xfc) == 0xe0)
			r = check(s, pc);
	}
	return r;
}

int hp_refs_find(struct hp_refs *ret, const struct hp_calls *c, struct hp_range to,
		 struct hp_err *err)
{
	struct hp_refs found = {0};
	struct search s = {c, to, &found, err};
	size_t i;
	int r = 0;

	for (i = 0; i < c->im->n_phdrs && r == 0; i++) {
		const Elf64_Phdr *ph = &c->im->phdr[i];
		const uint8_t *p;

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X))
			continue;
		p = hp_image_at(c->im, ph->p_vaddr, ph->p_filesz);
		if (!p)
			continue;
		r = search_near(&s, p, ph->p_filesz, ph->p_vaddr);
		if (r == 0)
			r = search_short(&s, p, ph->p_filesz, ph->p_vaddr);
	}
	if (r) {
		HP_ARRAY_FREE(&found);
		return r;
	}
	*ret = found;
	return 0;
}
