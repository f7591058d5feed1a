/* SPDX-License-Identifier: MIT */
#include "target/rseq.h"

#include <linux/rseq.h>
#include <stddef.h>
#include <sys/ptrace.h>

#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif

/* struct __ptrace_rseq_configuration of glibc, struct ptrace_rseq_configuration of the kernel */
struct configuration {
	uint64_t area;
	uint32_t size, signature, flags, pad;
};

bool hp_rseq_inside(const struct hp_target *t, pid_t tid, hp_addr pc)
{
	struct configuration c = {0};
	struct rseq_cs cs;
	uint64_t at = 0;

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof(c), &c) < 0 || !c.area)
		return false;
	if (hp_mem_read(t, c.area + offsetof(struct rseq, rseq_cs), &at, sizeof(at), NULL) < 0)
		return true; /* cannot tell */
	if (!at)
		return false;
	return hp_mem_read(t, at, &cs, sizeof(cs), NULL) < 0 ||
	       pc - cs.start_ip < cs.post_commit_offset;
}
