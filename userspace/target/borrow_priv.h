/* SPDX-License-Identifier: MIT */
/* target/borrow_priv.h – what borrow.c, call.c and agent_life.c share. */
#ifndef HP_TARGET_BORROW_PRIV_H
#define HP_TARGET_BORROW_PRIV_H

#include "target/borrow.h"
#include "target/inject.h"

struct hp_borrow {
	struct hp_target *t;
	struct hp_looker *l;
	uint64_t since_ns;
	bool let_go; /* it runs on by itself: nothing is left to be put back */
	struct hp_inject inj;
};

#endif
