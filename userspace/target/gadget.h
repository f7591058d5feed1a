/* SPDX-License-Identifier: MIT */
/* target/gadget.h – pieces of the target's own code that hp borrows.  Internal to target/. */
#ifndef HP_TARGET_GADGET_H
#define HP_TARGET_GADGET_H

#include "target/target.h"

#define HP_GADGET_RET 2	     /* "ret" lies so far into the gadget */
#define HP_RESTORERS_MAX 32

/* t->gadget: `syscall; ret`; t->restorer: `mov $15,%eax; syscall`.  Looked for once and verified
 * in memory each time.  -HP_E_TARGET when the program has no such code. */
int hp_gadgets_find(struct hp_target *t, struct hp_err *err);

/* Every signal return trampoline in the mapped files, as a stack would hold it; the count. */
size_t hp_restorers_all(struct hp_target *t, hp_addr out[HP_RESTORERS_MAX]);

#endif
