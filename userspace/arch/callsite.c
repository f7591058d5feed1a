/* SPDX-License-Identifier: MIT */
/*
 * What a caller may assume is bounded by what the old body does: a register that it changes cannot
 * be relied on, and one that calls the unknown can change them all and needs the alignment.  So
 * the question goes up the call graph only as long as the functions on the way keep the promise.
 */
#include "arch/callsite.h"

#include <errno.h>
#include <stdio.h>

#include "arch/callsite_priv.h"
#include "arch/code.h"
#include "arch/insn.h"
#include "arch/regs.h"
#include "hp/err.h"

/* Functions on the way up.  Those that keep a promise are leaves or nearly so. */
#define UP_MAX 128

/* A function whose callers are looked at. */
struct callee {
	hp_addr at;
	struct hp_range entered; /* where branches to it lead */
	bool itself;		 /* the one that was asked for */
};

struct analysis {
	struct hp_calls calls;
	struct callee callee[UP_MAX];
	size_t n_callees;
	struct hp_call_sites found;
	struct hp_err *err;
};

static void add_callee(struct analysis *a, const struct hp_body *b)
{
	size_t k;

	for (k = 0; k < a->n_callees; k++)
		if (a->callee[k].at == b->r.lo)
			return;
	if (a->n_callees == UP_MAX)
		return;
	/* a cold part is entered anywhere, a function at its first byte */
	a->callee[a->n_callees++] =
		(struct callee){b->r.lo, {b->r.lo, b->cold ? b->r.hi : b->r.lo + 1}, false};
}

static int add_site(struct analysis *a, const struct callee *to, const struct hp_ref *ref,
		    const struct hp_live_regs *after, bool misaligned)
{
	struct hp_call_site *s = HP_ARRAY_ADD(&a->found);

	if (!s)
		return hp_err_sys(a->err, ENOMEM, "call-site analysis");
	*s = (struct hp_call_site){.at = ref->at,
				   .tail = !to->itself,
				   .misaligned = misaligned,
				   .live = after->live,
				   .unread = after->unread};
	if (ref->from.name)
		snprintf(s->caller, sizeof(s->caller), "%s", ref->from.name);
	else
		snprintf(s->caller, sizeof(s->caller), "0x%lx",
			 (unsigned long)(ref->from.r.hi ? ref->from.r.lo : ref->at));
	return 0;
}

static int examine_call(struct analysis *a, const struct callee *to, const struct hp_ref *ref,
			hp_regs kept)
{
	bool misaligned = hp_call_is_misaligned(&a->calls, &ref->from, ref->at);
	struct hp_live_regs after;
	int r;

	/* one on the way up that realigns its stack needs nothing of its callers */
	if (misaligned && !to->itself && hp_code_realigns(a->calls.im, to->at, 0))
		misaligned = false;

	/* e8 rel32 */
	r = hp_live_after(&a->calls, ref->at + 5, kept, &after, a->err);
	if (r == 0 && (after.live || misaligned))
		r = add_site(a, to, ref, &after, misaligned);
	return r;
}

/* Can callers of the function at @at know that it needs no alignment?  *kept: the registers that
 * it and all below it leave alone; none when nothing comes back. */
static int promises(struct analysis *a, hp_addr at, hp_regs *kept, bool *ret)
{
	struct hp_effects e;
	int r = hp_effects_find(&a->calls, at, &e, a->err);

	if (r)
		return r;
	*kept = e.returns ? HP_REGS_CALLER_SAVED & ~e.clobbers : 0;
	*ret = !e.unknown;
	return 0;
}

static int examine_callee(struct analysis *a, const struct callee *to)
{
	struct hp_refs refs;
	hp_regs kept;
	bool known;
	size_t k;
	int r = promises(a, to->at, &kept, &known);

	if (r || (!known && !to->itself))
		return r;
	r = hp_refs_find(&refs, &a->calls, to->entered, a->err);
	if (r)
		return r;
	if (to->itself)
		a->found.examined = refs.n;
	for (k = 0; k < refs.n && known && r == 0; k++) {
		const struct hp_ref *ref = &refs.v[k];

		if (ref->call)
			r = examine_call(a, to, ref, kept);
		if (ref->from.r.hi)
			add_callee(a, &ref->from);
	}
	HP_ARRAY_FREE(&refs);
	return r;
}

int hp_call_sites_find(struct hp_call_sites *ret, const struct hp_image *im,
		       const struct hp_symtab *st, const struct hp_cfi *cfi, hp_addr at,
		       struct hp_err *err)
{
	struct analysis a = {.calls = {.im = im, .st = st, .cfi = cfi}, .err = err};
	size_t k;
	int r = 0;

	a.callee[a.n_callees++] = (struct callee){at, {at, at + 1}, true};
	for (k = 0; k < a.n_callees && r == 0; k++) {
		struct callee to = a.callee[k];

		r = examine_callee(&a, &to);
	}
	hp_calls_free(&a.calls);
	if (r) {
		hp_call_sites_free(&a.found);
		return r;
	}
	*ret = a.found;
	return 0;
}

void hp_call_sites_free(struct hp_call_sites *cs)
{
	HP_ARRAY_FREE(cs);
	cs->examined = 0;
}

static int print_name(unsigned reg, char *buf, size_t n)
{
	static const char *const gpr[HP_REG_VEC] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
						    "rsi", "rdi", "r8",	 "r9",	"r10", "r11",
						    "r12", "r13", "r14", "r15"};

	if (reg < HP_REG_VEC)
		return snprintf(buf, n, "%s", gpr[reg]);
	if (reg < HP_REG_VEC + 16)
		return snprintf(buf, n, "xmm%u", reg - HP_REG_VEC);
	if (reg < HP_REG_MASK)
		return snprintf(buf, n, "zmm%u", reg - HP_REG_VEC);
	if (reg < HP_REG_MM)
		return snprintf(buf, n, "k%u", reg - HP_REG_MASK);
	return snprintf(buf, n, "mm%u", reg - HP_REG_MM);
}

const char *hp_live_names(hp_regs live, char *buf, size_t n)
{
	size_t used = 0;
	unsigned k;

	if (n > 0)
		buf[0] = '\0';
	for (k = 0; k < HP_REGS && used < n; k++) {
		if (!(live & HP_REG(k)))
			continue;
		if (used > 0)
			used += (size_t)snprintf(buf + used, n - used, ", ");
		if (used >= n)
			break;
		used += (size_t)print_name(k, buf + used, n - used);
	}
	return buf;
}

bool hp_call_ends_at(const struct hp_image *im, hp_addr at)
{
	struct hp_insn in;

	for (unsigned len = 2; len <= HP_INSN_MAX && len <= at; len++)
		if (hp_insn_read(&in, im, at - len, at) && in.len == len &&
		    (in.flow == HP_INSN_CALL || in.flow == HP_INSN_CALL_IND))
			return true;
	return false;
}
