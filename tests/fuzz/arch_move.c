/* SPDX-License-Identifier: MIT */
/*
 * Heads are moved and run: in the box, the original's first instructions and what became of them must
 * leave the same registers, flags, memory and signal, and a place in the one must be told as the place
 * in the other.
 *
 *	PLACE SIZE FLAGS REGISTER×16 CODE
 *
 * PLACE: where to; from 128 on, operands that are addressed from rip and branches are turned to where
 * something is.  SIZE: of the function, 0: unknown.  REGISTER: a small number, or where in the data or
 * the code it points.  All that is executable beside the code is int3.
 */
#include "box.h"
#include "fuzz.h"

#include <elf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/code.h"
#include "arch/insn.h"
#include "elf/image.h"
#include "hp/err.h"

#define BEFORE_CODE 19
#define HEAD_AT	    (BOX_CODE + 0x800)
#define LANDING	    (BOX_CODE + 0x2000) /* int3, as far as the eye reaches */
#define RSP	    (BOX_STACK + 0x1000)
#define INT3	    0xcc

#define FLAGS_ALL 0xcd5ull /* arithmetic, and direction */
#define FLAG_RF	  0x10000ull
#define FLAG_IF	  0x202ull

/* FIP, FDP, FOP: where the last x87 instruction was; MXCSR_MASK: as ptrace(2) wrote it, or, once the
 * registers were saved, as the CPU does; XSTATE_BV: what was touched. */
#define XSTATE_FIP	    6
#define XSTATE_FIP_N	    18
#define XSTATE_MXCSR_MASK   28
#define XSTATE_MXCSR_MASK_N 4
#define XSTATE_BV	    512
#define XSTATE_BV_N	    8

struct input {
	uint8_t place, size, flags, reg[16];
	uint8_t code[HP_HEAD_MAX];
	size_t n;
};

/* --- what is run -------------------------------------------------------------------------------- */

static const uint64_t nearby[] = {BOX_DATA, BOX_DATA_BELOW, BOX_DATA_ABOVE, LANDING};

static void turn(uint8_t *field, size_t bits, uint64_t end)
{
	int32_t d;

	if (bits != 32)
		return; /* with 8 it stays within the code */
	memcpy(&d, field, sizeof(d));
	d = (int32_t)(nearby[d >> 16 & 3] + (d & 0x7ff) - end);
	memcpy(field, &d, sizeof(d));
}

/* Whatever the first instructions address from where they are is made to be there. */
static void turn_all(struct input *in)
{
	struct hp_insn i;

	for (size_t off = 0; off < in->n && hp_insn_decode(&i, in->code + off, in->n - off, HEAD_AT + off);
	     off += i.len) {
		if (hp_insn_rip_operand(&i))
			turn(in->code + off + i.i.raw.disp.offset, i.i.raw.disp.size, hp_insn_end(&i));
		else if (i.target)
			turn(in->code + off + i.i.raw.imm[0].offset, i.i.raw.imm[0].size,
			     hp_insn_end(&i));
	}
}

/* What tells where it runs, when, or on which processor, by its nature; what blocks; what ends by a
 * trap behind itself. */
static bool is_odd(const struct hp_insn *i)
{
	switch (i->i.mnemonic) {
	case ZYDIS_MNEMONIC_SYSCALL:
	case ZYDIS_MNEMONIC_SYSENTER:
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_VMCALL:
	case ZYDIS_MNEMONIC_VMMCALL:
	case ZYDIS_MNEMONIC_VMFUNC:
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDTSCP:
	case ZYDIS_MNEMONIC_RDPRU:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_RDPID:
	case ZYDIS_MNEMONIC_RDRAND:
	case ZYDIS_MNEMONIC_RDSEED:
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_STR:
	case ZYDIS_MNEMONIC_SMSW:
	case ZYDIS_MNEMONIC_UMONITOR:
	case ZYDIS_MNEMONIC_UMWAIT:
	case ZYDIS_MNEMONIC_TPAUSE:
	case ZYDIS_MNEMONIC_MONITORX:
	case ZYDIS_MNEMONIC_MWAITX:
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ:
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XSAVEC64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64:
		return true;
	default:
		return false;
	}
}

static bool in_other(uint64_t a)
{
	return a - BOX_OTHER < BOX_PAGE || a - BOX_OTHER_BELOW < BOX_PAGE ||
	       a - BOX_OTHER_ABOVE < BOX_PAGE;
}

/* A branch to where the moved head lies tells the two apart, and may never end. */
static bool can_be_run(const struct input *in, size_t len)
{
	struct hp_insn i;

	for (size_t off = 0; off < len; off += i.len)
		if (!hp_insn_decode(&i, in->code + off, len - off, HEAD_AT + off) || is_odd(&i) ||
		    in_other(i.target))
			return false;
	return true;
}

static uint64_t register_value(uint8_t b)
{
	if (b < 0x40)
		return (uint64_t)b - 32;
	return b < 0xe0 ? BOX_DATA + 0x800 + (b - 0x40ull) * 8 : LANDING + (b & 0x1full) * 16;
}

/* Every other word leads to int3, so that calls, jumps and returns through it do. */
static void fill(enum box_area first)
{
	uint64_t *word = (uint64_t *)box_page(first);

	for (uint64_t i = 0; i < 2 * BOX_PAGE / 8; i++)
		word[i] = i % 2 ? LANDING + 8 * i % 0x800 : i * 0x0101010180ff7f01ull;
}

static void set_up(const struct input *in, size_t len, const uint8_t *moved, size_t n)
{
	memset(box_page(BOX_IN_CODE), INT3, 5 * BOX_PAGE);
	memcpy(box_page(BOX_IN_CODE) + (HEAD_AT - BOX_CODE), in->code, len);
	memcpy(box_page(BOX_IN_OTHER), moved, n);
	fill(BOX_IN_DATA);
	fill(BOX_IN_STACK);
}

struct outcome {
	struct box_state s;
	uint8_t memory[4 * BOX_PAGE]; /* data and stack */
};

static bool run(const struct input *in, size_t len, const uint8_t *moved, size_t n, uint64_t at,
		struct outcome *ret)
{
	uint64_t v[16];

	for (unsigned i = 0; i < 16; i++)
		v[i] = register_value(in->reg[i]);
	ret->s.regs = (struct user_regs_struct){
		.rax = v[0], .rcx = v[1], .rdx = v[2], .rbx = v[3], .rbp = v[5], .rsi = v[6],
		.rdi = v[7], .r8 = v[8], .r9 = v[9], .r10 = v[10], .r11 = v[11], .r12 = v[12],
		.r13 = v[13], .r14 = v[14], .r15 = v[15], .rsp = RSP, .rip = at, .cs = 0x33,
		.ss = 0x2b, .eflags = FLAG_IF | (in->flags * 0x11ull & FLAGS_ALL),
		.fs_base = BOX_DATA + 0x800, .gs_base = BOX_DATA + 0xc00};
	set_up(in, len, moved, n);
	if (!box_run(&ret->s))
		return false;
	memcpy(ret->memory, box_page(BOX_IN_DATA), sizeof(ret->memory));
	return true;
}

/* --- what it left ------------------------------------------------------------------------------- */

/* Where a word lies in an outcome's memory; its size: nowhere. */
static size_t word_in_memory(const struct outcome *o, uint64_t a)
{
	if (a - BOX_DATA <= 2 * BOX_PAGE - 8)
		return a - BOX_DATA;
	return a - BOX_STACK <= 2 * BOX_PAGE - 8 ? 2 * BOX_PAGE + (a - BOX_STACK) : sizeof(o->memory);
}

/* In the words of the original: what stands in the moved head stands in the head. */
static void tell_back(struct outcome *o, const struct outcome *original, const struct hp_head *h,
		      size_t len, uint64_t to, size_t n)
{
	uint64_t off = o->s.regs.rip - to;
	size_t pushed = word_in_memory(o, o->s.regs.rsp);

	if (off >= n)
		return;
	o->s.regs.rip = h->at + hp_head_moved_back(h, len, to, off);
	if (!hp_head_moved_in_call(h, len, to, off))
		return;
	/* Nothing of the stack below rsp is left of the original. */
	if (pushed < sizeof(o->memory))
		memcpy(o->memory + pushed, original->memory + pushed, 8);
	o->s.regs.rsp += 8;
}

static void without_traces(struct box_state *s)
{
	memset(s->xstate + XSTATE_FIP, 0, XSTATE_FIP_N);
	memset(s->xstate + XSTATE_MXCSR_MASK, 0, XSTATE_MXCSR_MASK_N);
	memset(s->xstate + XSTATE_BV, 0, XSTATE_BV_N);
	s->regs.eflags &= ~FLAG_RF;
	s->regs.orig_rax = 0;
}

static const char *difference(struct outcome *a, struct outcome *b)
{
	without_traces(&a->s);
	without_traces(&b->s);
	if (a->s.signal != b->s.signal)
		return "signal";
	if (memcmp(&a->s.regs, &b->s.regs, sizeof(a->s.regs)) != 0)
		return "registers";
	if (memcmp(a->s.xstate, b->s.xstate, sizeof(a->s.xstate)) != 0)
		return "x87, SSE or AVX";
	if (memcmp(a->memory, b->memory, sizeof(a->memory)) != 0)
		return "memory";
	/* Of other signals it is the instruction's. */
	if (a->s.signal == SIGSEGV && a->s.info.si_addr != b->s.info.si_addr)
		return "the address of the fault";
	return NULL;
}

static bool can_be_pushed_to(uint64_t rsp)
{
	return rsp - 8 - BOX_STACK <= 2 * BOX_PAGE - 8 || rsp - 8 - BOX_DATA <= 2 * BOX_PAGE - 8;
}

/* A call through the very word that it pushes its return address to reads what it is about to
 * overwrite; moved, it reads what it has pushed.  And of a call that can neither be read nor push, the
 * other fault comes first.  No compiler makes such calls. */
static bool is_odd_call(const struct input *in, size_t len, const struct outcome *o)
{
	const struct user_regs_struct *r = &o->s.regs;
	ZydisRegisterContext c = {0};
	uint64_t v[] = {r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi, r->r8,
			r->r9,	r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};
	struct hp_insn i = {0};
	ZyanU64 at;

	for (size_t off = 0; off < len; off += i.len)
		if (!hp_insn_decode(&i, in->code + off, len - off, HEAD_AT + off))
			return false;
	if (i.flow != HP_INSN_CALL_IND || i.op[0].type != ZYDIS_OPERAND_TYPE_MEMORY)
		return false;
	for (unsigned k = 0; k < 16; k++)
		c.values[ZYDIS_REGISTER_RAX + k] = v[k];
	if (!ZYAN_SUCCESS(ZydisCalcAbsoluteAddressEx(&i.i, &i.op[0], i.at, &c, &at)))
		return false;
	if (i.op[0].mem.segment == ZYDIS_REGISTER_FS)
		at += r->fs_base;
	if (i.op[0].mem.segment == ZYDIS_REGISTER_GS)
		at += r->gs_base;
	/* rsp: behind the push, or before it where the operand cannot be read. */
	return at - (r->rsp - 16) < 24 || !can_be_pushed_to(r->rsp);
}

static void print(const char *who, const struct outcome *o)
{
	const struct user_regs_struct *r = &o->s.regs;

	fprintf(stderr,
		"%s: signal %d at %p, rip %llx rsp %llx flags %llx\n  rax %llx rcx %llx rdx %llx rbx %llx "
		"rbp %llx rsi %llx rdi %llx\n  r8 %llx r9 %llx r10 %llx r11 %llx r12 %llx r13 %llx r14 "
		"%llx r15 %llx\n",
		who, o->s.signal, o->s.info.si_addr, r->rip, r->rsp, r->eflags, r->rax, r->rcx, r->rdx,
		r->rbx, r->rbp, r->rsi, r->rdi, r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14,
		r->r15);
	for (size_t i = 0; i < sizeof(o->memory); i++)
		if (o->memory[i] != box_page(BOX_IN_DATA)[i])
			fprintf(stderr, "  byte %zx: %02x\n", i, o->memory[i]);
}

static void compare(const struct input *in, const struct hp_head *h, size_t len, uint64_t to,
		    const uint8_t *moved, size_t n)
{
	static struct outcome a, b, again;
	const char *what;

	if (!can_be_run(in, len) || !run(in, len, moved, n, h->at, &a) ||
	    !run(in, len, moved, n, to, &b) || in_other(a.s.regs.rip))
		return;
	tell_back(&b, &a, h, len, to, n);
	what = difference(&a, &b);
	if (!what || is_odd_call(in, len, &a))
		return;
	/* What is not even like itself is no witness. */
	if (!run(in, len, moved, n, h->at, &again) || difference(&a, &again))
		return;
	fprintf(stderr, "%zu bytes moved to %lx: another outcome: %s\n", len, (unsigned long)to, what);
	set_up(in, len, moved, n);
	print("original", &a);
	print("moved", &b);
	abort();
}

/* --- a head ------------------------------------------------------------------------------------- */

/* A place in the moved head goes on as it does in the head. */
static void check_places(const struct hp_head *h, size_t len, uint64_t to, size_t n)
{
	size_t was = 0;

	for (size_t off = 0; off < n; off++) {
		size_t now = hp_head_moved_back(h, len, to, off);

		if (now < was || now > len || (off == 0 && now))
			abort();
		was = now;
	}
}

static void try(const struct input *in, const struct hp_head *h, size_t len)
{
	static const uint64_t places[] = {BOX_OTHER, BOX_OTHER_BELOW, BOX_OTHER_ABOVE, BOX_OTHER};
	uint64_t to = places[in->place & 3];
	uint8_t moved[HP_MOVED_MAX];
	struct hp_err err = {0};
	size_t n = 0;

	if (hp_head_move(h, len, to, moved, &n, &err) < 0) {
		if (!err.text[0] || err.code != -HP_E_ENTRY || n)
			abort(); /* a refusal says why */
		return;
	}
	if (n < len || n > HP_MOVED_MAX)
		abort();
	check_places(h, len, to, n);
	compare(in, h, len, to, moved, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct hp_image im = {.name = "fuzz", .n_phdrs = 1};
	struct hp_err err = {0};
	struct hp_head h;
	struct input in;

	if (n <= BEFORE_CODE)
		return 0;
	in = (struct input){.place = bytes[0], .size = bytes[1], .flags = bytes[2]};
	in.n = n - BEFORE_CODE < sizeof(in.code) ? n - BEFORE_CODE : sizeof(in.code);
	memcpy(in.reg, bytes + 3, sizeof(in.reg));
	memcpy(in.code, bytes + BEFORE_CODE, in.n);
	if (in.place >= 128)
		turn_all(&in);
	im.bytes = in.code;
	im.size = in.n;
	im.phdr[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = HEAD_AT,
				  .p_filesz = in.n, .p_memsz = in.n};
	if (hp_head_read(&h, &im, "f", HEAD_AT, in.size, &err) < 0) {
		if (!err.text[0])
			abort(); /* a refusal says why */
		return 0;
	}
	try(&in, &h, h.first_len);
	if (h.jump_len && h.jump_len != h.first_len)
		try(&in, &h, h.jump_len);
	return 0;
}
