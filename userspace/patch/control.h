/* SPDX-License-Identifier: MIT */
/*
 * patch/control.h – what lies where in the data page and the code page of a patch's area: by these
 * the target itself notes which calls came back, whoever made it call.
 */
#ifndef HP_PATCH_CONTROL_H
#define HP_PATCH_CONTROL_H

#include "base/addr.h"
#include "patch/ledger.h"

/* The words at the area's data page, each written by the return stub of the same number in the code
 * page when a call came back (target/borrow.h): by the target itself, so that a recovery knows what
 * was done, and does not do it twice, whenever hpd was killed. */
enum hp_word {
	HP_WORD_HOOK,	     /* hooks and initialisers */
	HP_WORD_FRAMES,	     /* unwind tables were given, each with its own */
	HP_WORD_FRAMES_GONE = HP_WORD_FRAMES + HP_LEDGER_FRAMES, /* and taken back */
	HP_WORD_FINI = HP_WORD_FRAMES_GONE + HP_LEDGER_FRAMES,	 /* finalisers likewise */
	HP_WORDS = HP_WORD_FINI + sizeof(((struct hp_ledger_fixed *)0)->fini) / sizeof(uint64_t),
};
#define HP_WORD_UNSET 0x6e6f74796574ull /* "notyet" */
#define HP_FRAME_OBJECT	 0x200	/* in the data page: libgcc's struct object, for each table */
#define HP_FRAME_OBJECT_SIZE 64 /* it has six or seven words */
_Static_assert(8 * HP_WORDS <= HP_FRAME_OBJECT && 64 * HP_WORDS <= HP_PAGE &&
		       HP_FRAME_OBJECT + HP_LEDGER_FRAMES * HP_FRAME_OBJECT_SIZE <= HP_PAGE,
	       "words, stubs and objects have room in their pages");

/* In the code page, behind the stubs: what the agent runs, and the int3 to which it returns. */
#define HP_CODE_STORE 0xf00 /* hp_store_fill() */
#define HP_CODE_BACK  0xff0

static inline hp_addr hp_word_addr(const struct hp_ledger_fixed *f, enum hp_word w)
{
	return f->data + 8u * w;
}

static inline hp_addr hp_word_stub(const struct hp_ledger_fixed *f, enum hp_word w)
{
	return f->code + 64u * w;
}

#endif
