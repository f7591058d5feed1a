/* SPDX-License-Identifier: MIT */
/*
 * arch/frames.h – call frame information (.eh_frame) for code that hp makes itself: without it an
 * unwinder that starts there skips frames in silence.
 */
#ifndef HP_ARCH_FRAMES_H
#define HP_ARCH_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/array.h"
#include "elf/cfi.h"

/* An .eh_frame under construction, to lie at @at.  @failed: there was no memory. */
struct hp_frames {
	hp_addr at;
	HP_ARRAY(uint8_t) bytes;
	bool failed;
	size_t cie;
};

/* How a function's entry finds its caller: the CFA is rsp+8. */
extern const struct hp_cfi_row hp_frames_entry;

/* Begins a list, and ends it with a zero word.  Lists that lie behind each other in one section may
 * be given to libgcc one by one. */
void hp_frames_begin(struct hp_frames *f);
void hp_frames_end(struct hp_frames *f);

/* All of one path block; a stub; the first @n bytes of a head as hp_head_move() made it of @h with
 * @len, for which @cfi of its file (@bias) tells. */
struct hp_head;
void hp_frames_block(struct hp_frames *f, hp_addr at);
void hp_frames_stub(struct hp_frames *f, hp_addr at);
void hp_frames_head(struct hp_frames *f, hp_addr at, size_t n, const struct hp_head *h, size_t len,
		    const struct hp_cfi *cfi, hp_addr bias);

#endif
