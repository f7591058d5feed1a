/* SPDX-License-Identifier: MIT */
/*
 * A walk along all branches from a return address on, with the set of registers that nothing has
 * written yet.  It follows calls and tail jumps into functions of the image, for their arguments
 * may be what is looked for; it ends at returns and at whatever leads out of sight.
 *
 * Steps are bounded: what is read far behind the call is missed.  The sets only grow, so the walk
 * ends even without the bound.
 */
#include "arch/callsite_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "arch/insn.h"
#include "arch/regs.h"
#include "hp/err.h"

#define PLACES_MAX 768
#define STEPS_MAX  4096
#define PROLOGUE_MAX 24

/* Registers of which the lowest 8, 16, or all bits are as they were. */
struct unwritten {
	hp_regs low8, low16, full;
};

struct place {
	hp_addr pc;
	struct unwritten u;
	bool queued;
};

struct live_walk {
	struct hp_calls *c;
	struct place place[PLACES_MAX];
	size_t n_places;
	uint16_t queue[PLACES_MAX]; /* ring of indices; a place is in it once at most */
	size_t head, n_queued;
	hp_regs live;
	hp_addr unread;
	struct hp_err *err;
};

static struct place *place_of(struct live_walk *w, hp_addr pc)
{
	size_t k;

	for (k = 0; k < w->n_places; k++)
		if (w->place[k].pc == pc)
			return &w->place[k];
	if (w->n_places == PLACES_MAX)
		return NULL;
	w->place[w->n_places] = (struct place){.pc = pc};
	return &w->place[w->n_places++];
}

static void go_to(struct live_walk *w, hp_addr pc, struct unwritten u)
{
	struct place *p;

	if ((u.full & ~w->live) == 0 || !(p = place_of(w, pc)))
		return;
	if ((u.full & ~p->u.full) == 0 && (u.low16 & ~p->u.low16) == 0 &&
	    (u.low8 & ~p->u.low8) == 0)
		return;
	p->u.full |= u.full;
	p->u.low16 |= u.low16;
	p->u.low8 |= u.low8;
	if (p->queued)
		return;
	p->queued = true;
	w->queue[(w->head + w->n_queued++) % PLACES_MAX] = (uint16_t)(p - w->place);
}

static void apply(struct live_walk *w, const struct hp_insn *in, struct unwritten *u)
{
	struct hp_insn_regs r;

	hp_insn_regs(&r, in);
	w->live |= (r.read & u->full) | (r.read16 & u->low16) | (r.read8 & u->low8);
	u->full &= ~r.write;
	u->low16 &= ~(r.write | r.write16);
	u->low8 &= ~(r.write | r.write16 | r.write8);
}

static bool is_store_of_r9(const struct hp_insn *in)
{
	const ZydisDecodedOperand *op = in->op;

	return in->i.mnemonic == ZYDIS_MNEMONIC_MOV && op[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
	       (op[0].mem.base == ZYDIS_REGISTER_RSP || op[0].mem.base == ZYDIS_REGISTER_RBP) &&
	       op[1].type == ZYDIS_OPERAND_TYPE_REGISTER && op[1].reg.value == ZYDIS_REGISTER_R9;
}

/* Is a function with variable arguments entered at @at?  It stores every register that may carry
 * one, used or not, up to the last one, r9; it may ask al, which is no argument, whether there are
 * vector registers among them (psABI 3.5.7). */
static bool is_varargs(const struct hp_calls *c, hp_addr at)
{
	const hp_regs rax = HP_REG(0);
	struct hp_insn_regs regs;
	bool rax_given = true;
	struct hp_insn in;
	struct hp_body b;
	int k;

	if (!hp_body_find(c, at, &b) || b.r.lo != at)
		return false;
	for (k = 0; k < PROLOGUE_MAX && hp_insn_read(&in, c->im, at, b.r.hi); k++) {
		hp_insn_regs(&regs, &in);
		if (is_store_of_r9(&in))
			return true;
		if (in.i.mnemonic == ZYDIS_MNEMONIC_TEST && rax_given && regs.read8 & rax)
			return true;
		if (in.flow != HP_INSN_NEXT)
			return false;
		if (regs.touched & rax)
			rax_given = false;
		at = hp_insn_end(&in);
	}
	return false;
}

static int on_call(struct live_walk *w, const struct hp_insn *in, struct unwritten u)
{
	struct hp_effects e;
	int r = hp_effects_find(w->c, in->target, &e, w->err);

	if (r)
		return r;
	if (!is_varargs(w->c, in->target))
		go_to(w, in->target, u);
	if (!e.returns)
		return 0;
	u.full &= ~e.clobbers;
	u.low16 &= ~e.clobbers;
	u.low8 &= ~e.clobbers;
	go_to(w, hp_insn_end(in), u);
	return 0;
}

static int step(struct live_walk *w, const struct place *p)
{
	struct unwritten u = p->u;
	struct hp_insn in;

	if (!hp_insn_read(&in, w->c->im, p->pc, p->pc + HP_INSN_MAX)) {
		w->live |= u.full;
		w->unread = p->pc;
		return 0;
	}
	apply(w, &in, &u);
	switch (in.flow) {
	case HP_INSN_NEXT:
		go_to(w, hp_insn_end(&in), u);
		return 0;
	case HP_INSN_COND:
		go_to(w, hp_insn_end(&in), u);
		go_to(w, in.target, u);
		return 0;
	case HP_INSN_JUMP:
		if (!is_varargs(w->c, in.target))
			go_to(w, in.target, u);
		return 0;
	case HP_INSN_CALL:
		return on_call(w, &in, u);
	case HP_INSN_JUMP_IND:
	case HP_INSN_CALL_IND:
	case HP_INSN_RET:
	case HP_INSN_STOP:
		break;
	}
	return 0;
}

int hp_live_after(struct hp_calls *c, hp_addr pc, hp_regs regs, struct hp_live_regs *ret,
		  struct hp_err *err)
{
	struct live_walk *w = calloc(1, sizeof(*w));
	int r = 0, steps;

	if (!w)
		return hp_err_sys(err, ENOMEM, "call-site analysis");
	w->c = c;
	w->err = err;
	go_to(w, pc, (struct unwritten){regs, regs, regs});
	for (steps = 0; steps < STEPS_MAX && w->n_queued > 0 && r == 0; steps++) {
		struct place *p = &w->place[w->queue[w->head]];

		w->head = (w->head + 1) % PLACES_MAX;
		w->n_queued--;
		p->queued = false;
		r = step(w, p);
	}
	if (r == 0)
		*ret = (struct hp_live_regs){w->live & regs, w->unread};
	free(w);
	return r;
}
