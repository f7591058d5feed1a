/* SPDX-License-Identifier: MIT */
/* target/agent_priv.h – what agent.c, agent_life.c and agent_clean.c share. */
#ifndef HP_TARGET_AGENT_PRIV_H
#define HP_TARGET_AGENT_PRIV_H

#include "target/agent.h"
#include "target/drive.h"
#include "target/give.h"

/* How one is known when nobody drives it any more. */
#define HP_AGENT_NAME     "hp-agent" /* of the process and of its memory */
#define HP_AGENT_UNDRIVEN 0x68       /* its exit status when it was never driven */

struct hp_agent {
	struct hp_target *t;
	struct hp_looker *l;
	pid_t tid;
	bool gone;    /* it died */
	bool sharing; /* the target's descriptors */
	int cpu;      /* where it has been put; -1: nowhere */
	uint64_t borrowed_ns;
	struct hp_drive drive;
	struct hp_give give;
	hp_addr area; /* scratch page, then a stack for what it calls; 0: not mapped */
};

/* The sentence for a call of the agent's that failed; 0 for one that did not. */
int hp_agent_said(const struct hp_agent *a, int64_t r, const char *what, struct hp_err *err);
/* The same for an mmap(2) that failed. */
int hp_agent_not_mapped(const struct hp_agent *a, int64_t r, struct hp_err *err);

/* Has an agent unmap what dead ones have left. */
int hp_agent_unmap_left(struct hp_target *t, struct hp_looker *l, const struct hp_range *left,
			size_t n, struct hp_err *err);

#endif
