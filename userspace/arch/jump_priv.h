/* SPDX-License-Identifier: MIT */
/*
 * arch/jump_priv.h – where an indirect jump leads.  Internal to arch/.
 */
#ifndef HP_ARCH_JUMP_PRIV_H
#define HP_ARCH_JUMP_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/array.h"

struct hp_cfi;
struct hp_err;
struct hp_flow;
struct hp_image;
struct hp_insn;

/* Does anything in the file, the function's own code included, hold the address of a place in the
 * middle of @f as such (not as an offset to be added to another address)?  Also true where the
 * file's relocations cannot be read. */
bool hp_labels_taken(const struct hp_image *im, const struct hp_flow *f);

/* Is @a in @f, but not its entry? */
bool hp_flow_is_inside(const struct hp_flow *f, hp_addr a);

/* An instruction of the function, and where it leads. */
struct hp_step {
	hp_addr at, end, target;
	bool jumps;  /* to target, perhaps */
	bool falls;  /* on to the next, perhaps */
	bool pads;   /* does nothing */
	bool calls;  /* and comes back with other caller-saved registers */
	bool joined; /* some jump leads here */
};

/* What is to be known of a function for its indirect jumps.  Zero but for the first three. */
struct hp_jumps {
	const struct hp_image *im;
	const struct hp_cfi *cfi;
	const struct hp_flow *f; /* all parts found */
	HP_ARRAY(struct hp_step) step; /* by address */
	bool labels_looked, labels;
};

void hp_jumps_free(struct hp_jumps *j);

enum hp_leads { HP_LEADS_OUT, HP_LEADS_INSIDE, HP_LEADS_UNKNOWN };

/* Of an indirect jump where the frame is gone, so that it may be a tail call.  0 or -ENOMEM. */
int hp_jump_leads(struct hp_jumps *j, const struct hp_insn *in, enum hp_leads *ret,
		  struct hp_err *err);

#endif
