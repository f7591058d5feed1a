/* SPDX-License-Identifier: MIT */
/*
 * target/seccomp.c – the filters are fetched with PTRACE_SECCOMP_GET_FILTER and run here, before
 * the target's thread makes a call of hp's: the kernel would not answer such a question, it would
 * kill.  They are classic BPF of the subset that seccomp_check_filter() in kernel/seccomp.c admits.
 */
#include "target/seccomp.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/ptrace.h>

#include "target/procfs.h"

#ifndef PTRACE_SECCOMP_GET_FILTER
#define PTRACE_SECCOMP_GET_FILTER 0x420c
#endif

#define FILTERS_MAX 64

struct machine {
	uint32_t a, x, mem[BPF_MEMWORDS];
};

bool hp_seccomp_filtered(pid_t tid)
{
	uint64_t mode;

	return !hp_status_number(tid, "Seccomp", 10, &mode) || mode != SECCOMP_MODE_DISABLED;
}

static bool alu(struct machine *m, const struct sock_filter *f)
{
	uint32_t v = BPF_SRC(f->code) == BPF_X ? m->x : f->k;

	switch (BPF_OP(f->code)) {
	case BPF_ADD:
		m->a += v;
		return true;
	case BPF_SUB:
		m->a -= v;
		return true;
	case BPF_MUL:
		m->a *= v;
		return true;
	case BPF_DIV:
		m->a = v ? m->a / v : 0;
		return true;
	case BPF_AND:
		m->a &= v;
		return true;
	case BPF_OR:
		m->a |= v;
		return true;
	case BPF_XOR:
		m->a ^= v;
		return true;
	case BPF_LSH:
		m->a = v < 32 ? m->a << v : 0;
		return true;
	case BPF_RSH:
		m->a = v < 32 ? m->a >> v : 0;
		return true;
	case BPF_NEG:
		m->a = -m->a;
		return true;
	}
	return false;
}

static bool load(struct machine *m, const struct sock_filter *f, const struct seccomp_data *d)
{
	uint32_t v;

	switch (BPF_MODE(f->code)) {
	case BPF_ABS:
		if (BPF_CLASS(f->code) != BPF_LD || f->k > sizeof(*d) - sizeof(v))
			return false;
		memcpy(&v, (const uint8_t *)d + f->k, sizeof(v));
		break;
	case BPF_LEN:
		v = sizeof(*d);
		break;
	case BPF_IMM:
		v = f->k;
		break;
	case BPF_MEM:
		if (f->k >= BPF_MEMWORDS)
			return false;
		v = m->mem[f->k];
		break;
	default:
		return false;
	}
	if (BPF_CLASS(f->code) == BPF_LD)
		m->a = v;
	else
		m->x = v;
	return true;
}

/* How many instructions to skip; -1: no such jump. */
static int64_t jump(const struct machine *m, const struct sock_filter *f)
{
	uint32_t v = BPF_SRC(f->code) == BPF_X ? m->x : f->k;

	switch (BPF_OP(f->code)) {
	case BPF_JA:
		return f->k;
	case BPF_JEQ:
		return m->a == v ? f->jt : f->jf;
	case BPF_JGT:
		return m->a > v ? f->jt : f->jf;
	case BPF_JGE:
		return m->a >= v ? f->jt : f->jf;
	case BPF_JSET:
		return m->a & v ? f->jt : f->jf;
	}
	return -1;
}

/* The filter's answer; one that cannot be run kills. */
static uint32_t run(const struct sock_filter *f, size_t n, const struct seccomp_data *d)
{
	struct machine m = {0};

	for (size_t pc = 0; pc < n; pc++) {
		int64_t skip;

		switch (BPF_CLASS(f[pc].code)) {
		case BPF_LD:
		case BPF_LDX:
			if (!load(&m, &f[pc], d))
				return SECCOMP_RET_KILL_PROCESS;
			break;
		case BPF_ST:
		case BPF_STX:
			if (f[pc].k >= BPF_MEMWORDS)
				return SECCOMP_RET_KILL_PROCESS;
			m.mem[f[pc].k] = BPF_CLASS(f[pc].code) == BPF_ST ? m.a : m.x;
			break;
		case BPF_ALU:
			if (!alu(&m, &f[pc]))
				return SECCOMP_RET_KILL_PROCESS;
			break;
		case BPF_JMP:
			skip = jump(&m, &f[pc]);
			if (skip < 0)
				return SECCOMP_RET_KILL_PROCESS;
			pc += (size_t)skip;
			break;
		case BPF_RET:
			return BPF_RVAL(f[pc].code) == BPF_A ? m.a : f[pc].k;
		case BPF_MISC:
			if (BPF_MISCOP(f[pc].code) == BPF_TAX)
				m.x = m.a;
			else
				m.a = m.x;
			break;
		}
	}
	return SECCOMP_RET_KILL_PROCESS;
}

bool hp_seccomp_allows(pid_t tid, hp_addr after, long nr, const uint64_t args[6])
{
	struct seccomp_data d = {
		.nr = (int)nr, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = after};
	struct sock_filter f[BPF_MAXINSNS];

	memcpy(d.args, args, sizeof(d.args));
	for (unsigned long i = 0; i < FILTERS_MAX; i++) {
		long n = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, i, NULL);
		uint32_t answer;

		if (n < 0) /* ENOENT: there are no more */
			return i > 0;
		if (n > BPF_MAXINSNS || ptrace(PTRACE_SECCOMP_GET_FILTER, tid, i, f) != n)
			return false;
		answer = run(f, (size_t)n, &d) & SECCOMP_RET_ACTION_FULL;
		if (answer != SECCOMP_RET_ALLOW && answer != SECCOMP_RET_LOG)
			return false;
	}
	return false;
}
