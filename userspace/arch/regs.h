/* SPDX-License-Identifier: MIT */
/* arch/regs.h – what an instruction does to registers.  Internal to arch/. */
#ifndef HP_ARCH_REGS_H
#define HP_ARCH_REGS_H

#include "arch/insn.h"
#include "arch/regset.h"

/* By width: the lowest 8, 16 bits, or (32 bits and more) the whole. */
struct hp_insn_regs {
	hp_regs read8, read16, read;
	hp_regs write8, write16, write; /* certainly written */
	hp_regs touched;		/* written in any way, also on a condition */
};

void hp_insn_regs(struct hp_insn_regs *ret, const struct hp_insn *in);

/* The number of @reg's bit; -1 for what no compiler keeps a value in across a call: gcc takes the
 * x87 stack for changed by every function, and gives nobody flags, segments or tiles. */
int hp_reg_number(ZydisRegister reg);

#endif
