/* SPDX-License-Identifier: MIT */
/*
 * A head is moved instruction by instruction.  What does not know where it stands is copied; a
 * RIP-relative operand is re-based; a branch becomes one through eight bytes of absolute address,
 * which needs no register and no flag.  A call pushes the return address that the original would
 * have pushed, so that unwinders and return-address checks see the function itself.
 */
#include "arch/code.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arch/insn.h"
#include "hp/err.h"

#define FAR_JUMP_LEN 14 /* jmp *0(%rip); .quad */
#define PUSH_LEN     6	/* push disp(%rip) */

/* The longest head: an instruction that begins at the fourth byte of a jump.  What takes most room
 * is a head full of two-byte jcc. */
#define LEN_MAX (HP_JUMP_LEN - 1 + HP_INSN_MAX)
#define JCC_LEN (2 + FAR_JUMP_LEN)
_Static_assert(LEN_MAX <= HP_HEAD_MAX && (LEN_MAX / 2) * JCC_LEN + 1 + FAR_JUMP_LEN <= HP_MOVED_MAX,
	       "whatever can be moved has room");

/* One piece of moved code, and what it stands for. */
struct piece {
	uint8_t off;	 /* in the moved code */
	uint8_t head;	 /* in the head */
	bool in_call;	 /* the return address was pushed */
};

struct moved {
	const struct hp_head *h;
	size_t len; /* of what is moved of the head */
	hp_addr to;
	uint8_t out[HP_MOVED_MAX];
	size_t n;
	struct piece piece[2 * HP_HEAD_MAX + 1];
	size_t n_pieces;
};

__attribute__((format(printf, 4, 5))) static int refuse(const struct moved *m,
							const struct hp_insn *in,
							struct hp_err *err, const char *fmt, ...)
{
	char why[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return hp_err_set(err, -HP_E_ENTRY, "entry at 0x%lx: instruction '%s' at +%lu %s",
			  (unsigned long)m->h->at, ZydisMnemonicGetString(in->i.mnemonic),
			  (unsigned long)(in->at - m->h->at), why);
}

static void begin_piece(struct moved *m, size_t head, bool in_call)
{
	m->piece[m->n_pieces++] = (struct piece){(uint8_t)m->n, (uint8_t)head, in_call};
}

static void put(struct moved *m, const void *p, size_t n)
{
	memcpy(m->out + m->n, p, n);
	m->n += n;
}

static void put_far_jump(struct moved *m, hp_addr target)
{
	static const uint8_t jmp[] = {0xff, 0x25, 0, 0, 0, 0};

	put(m, jmp, sizeof(jmp));
	put(m, &target, sizeof(target));
}

/* push of the quad that lies @ahead bytes behind it */
static void put_push(struct moved *m, size_t ahead)
{
	uint8_t push[PUSH_LEN] = {0xff, 0x35, (uint8_t)ahead};

	put(m, push, sizeof(push));
}

static int check_target(const struct moved *m, const struct hp_insn *in, struct hp_err *err)
{
	if (in->target >= m->h->at && in->target < m->h->at + m->len)
		return refuse(m, in, err, "leads back into the entry");
	return 0;
}

/* A return address inside the head would lie in bytes that are overwritten. */
static int check_call_is_last(const struct moved *m, const struct hp_insn *in, struct hp_err *err)
{
	if (hp_insn_end(in) != m->h->at + m->len)
		return refuse(m, in, err, "is a call that would return into the overwritten bytes");
	return 0;
}

static int move_cond(struct moved *m, const struct hp_insn *in, struct hp_err *err)
{
	uint8_t opcode = in->i.opcode, jcc[2];

	/* 70+cc in one byte, 0f 80+cc in two; the rest are loop, jrcxz, xbegin */
	if (in->i.meta.category != ZYDIS_CATEGORY_COND_BR ||
	    !((in->i.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (opcode & 0xf0) == 0x70) ||
	      (in->i.opcode_map == ZYDIS_OPCODE_MAP_0F && (opcode & 0xf0) == 0x80)))
		return refuse(m, in, err, "cannot run elsewhere");
	jcc[0] = 0x70 | ((opcode & 0xf) ^ 1); /* the opposite condition jumps over */
	jcc[1] = FAR_JUMP_LEN;
	put(m, jcc, sizeof(jcc));
	put_far_jump(m, in->target);
	return 0;
}

static void move_call(struct moved *m, const struct hp_insn *in)
{
	hp_addr back = hp_insn_end(in);

	put_push(m, FAR_JUMP_LEN);
	begin_piece(m, in->at - m->h->at, true);
	put_far_jump(m, in->target);
	put(m, &back, sizeof(back));
}

/* The bytes of @in with the displacement of its RIP-relative operand as it is from here. */
static int put_rebased(struct moved *m, const struct hp_insn *in, const uint8_t *bytes,
		       struct hp_err *err)
{
	const ZydisDecodedOperand *mem = hp_insn_rip_operand(in);
	uint8_t b[HP_INSN_MAX];
	int64_t d;
	int32_t d32;

	memcpy(b, bytes, in->len);
	if (mem) {
		if (mem->mem.base != ZYDIS_REGISTER_RIP || in->i.raw.disp.size != 32)
			return refuse(m, in, err, "addresses memory in a way that cannot be moved");
		d = in->i.raw.disp.value + (int64_t)(in->at - (m->to + m->n));
		d32 = (int32_t)d;
		if (d != d32)
			return refuse(m, in, err, "reads memory out of reach from 0x%lx",
				      (unsigned long)m->to);
		memcpy(b + in->i.raw.disp.offset, &d32, sizeof(d32));
	}
	put(m, b, in->len);
	return 0;
}

/* 16 bits of it make AMD and Intel differ (SDM and APM, "jmp", "call"): AMD pushes two bytes. */
static bool has_operand_size(const struct hp_insn *in)
{
	return in->i.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE;
}

/* rsp is no index; esp is a base in an instruction with the address-size prefix. */
static bool uses_rsp(const ZydisDecodedOperand *op)
{
	ZydisRegister r = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? op->reg.value
			: op->type == ZYDIS_OPERAND_TYPE_MEMORY	 ? op->mem.base
								 : ZYDIS_REGISTER_NONE;

	return r == ZYDIS_REGISTER_RSP || r == ZYDIS_REGISTER_ESP;
}

/* call *x: the return address is pushed, then ff /2 (call) becomes ff /4 (jmp). */
static int move_indirect_call(struct moved *m, const struct hp_insn *in, struct hp_err *err)
{
	hp_addr back = hp_insn_end(in);
	uint8_t b[HP_INSN_MAX];
	int r;

	if (in->i.opcode != 0xff || in->i.raw.modrm.reg != 2 || has_operand_size(in) ||
	    uses_rsp(&in->op[0]))
		return refuse(m, in, err, "is a call that cannot run elsewhere");
	memcpy(b, m->h->bytes + (in->at - m->h->at), in->len);
	b[in->i.raw.modrm.offset] = (uint8_t)((b[in->i.raw.modrm.offset] & ~(7 << 3)) | 4 << 3);
	put_push(m, in->len);
	begin_piece(m, in->at - m->h->at, true);
	r = put_rebased(m, in, b, err);
	if (r == 0)
		put(m, &back, sizeof(back));
	return r;
}

static int move_branch(struct moved *m, const struct hp_insn *in, struct hp_err *err)
{
	int r = check_target(m, in, err);

	if (r)
		return r;
	if (has_operand_size(in))
		return refuse(m, in, err, "has an operand size that cannot be moved");
	if (in->flow == HP_INSN_COND)
		return move_cond(m, in, err);
	if (in->flow == HP_INSN_JUMP) {
		put_far_jump(m, in->target);
		return 0;
	}
	r = check_call_is_last(m, in, err);
	if (r == 0)
		move_call(m, in);
	return r;
}

static int move_insn(struct moved *m, const struct hp_insn *in, struct hp_err *err)
{
	int r;

	begin_piece(m, in->at - m->h->at, false);
	switch (in->flow) {
	case HP_INSN_JUMP:
	case HP_INSN_COND:
	case HP_INSN_CALL:
		return move_branch(m, in, err);
	case HP_INSN_CALL_IND:
		r = check_call_is_last(m, in, err);
		return r ? r : move_indirect_call(m, in, err);
	default:
		return put_rebased(m, in, m->h->bytes + (in->at - m->h->at), err);
	}
}

static int move_all(struct moved *m, const struct hp_head *h, size_t len, hp_addr to,
		    struct hp_err *err)
{
	size_t off = 0;

	*m = (struct moved){.h = h, .len = len, .to = to};
	if (len == 0 || len > LEN_MAX)
		return hp_err_set(err, -HP_E_ENTRY, "entry at 0x%lx: %zu bytes cannot be moved",
				  (unsigned long)h->at, len);
	while (off < len) {
		struct hp_insn in;
		int r;

		if (!hp_insn_decode(&in, h->bytes + off, len - off, h->at + off))
			return hp_err_set(err, -HP_E_ENTRY,
					  "entry at 0x%lx: cannot be decoded at +%zu",
					  (unsigned long)h->at, off);
		r = move_insn(m, &in, err);
		if (r)
			return r;
		off += in.len;
	}
	begin_piece(m, len, false);
	put_far_jump(m, h->at + len);
	return 0;
}

int hp_head_move(const struct hp_head *h, size_t len, hp_addr to, uint8_t out[HP_MOVED_MAX],
		 size_t *ret_n, struct hp_err *err)
{
	struct moved m;
	int r = move_all(&m, h, len, to, err);

	if (r)
		return r;
	memcpy(out, m.out, m.n);
	*ret_n = m.n;
	return 0;
}

/* The piece that covers @off, or NULL for a head that cannot be moved.  The layout is the same
 * wherever the code lies; where the head lies itself every operand is in reach. */
static const struct piece *piece_at(struct moved *m, const struct hp_head *h, size_t len,
				    size_t off)
{
	size_t k;

	if (move_all(m, h, len, h->at, NULL))
		return NULL;
	for (k = m->n_pieces - 1; k > 0 && m->piece[k].off > off; k--)
		;
	return &m->piece[k];
}

size_t hp_head_moved_back(const struct hp_head *h, size_t len, hp_addr to, size_t off)
{
	struct moved m;
	const struct piece *p = piece_at(&m, h, len, off);

	return p ? p->head : len;
}

bool hp_head_moved_in_call(const struct hp_head *h, size_t len, hp_addr to, size_t off)
{
	struct moved m;
	const struct piece *p = piece_at(&m, h, len, off);

	return p && p->in_call;
}
