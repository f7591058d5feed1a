/* SPDX-License-Identifier: MIT */
/* patch/stacks.h – can the stacks of a target be read at all? */
#ifndef HP_PATCH_STACKS_H
#define HP_PATCH_STACKS_H

#include "patch/work.h"

/* Nothing that is done under the gate helps where a thread runs on a stack that is not its own:
 * -HP_E_NOT_QUIESCENT, with the sentence, while nothing has been written yet. */
int hp_stacks_check(struct hp_work *w, struct hp_err *err);

#endif
