/* SPDX-License-Identifier: MIT */
/* elf/note.h – ELF notes (gABI, "Note Section"). */
#ifndef HP_ELF_NOTE_H
#define HP_ELF_NOTE_H

#include <stddef.h>
#include <stdint.h>

/* Copies the descriptor of NT_GNU_BUILD_ID in @n bytes of notes to @ret, which has room for
 * HP_BUILD_ID_MAX; its length, 0 if there is none. */
size_t hp_note_build_id(const uint8_t *notes, size_t n, uint64_t align, uint8_t *ret);

#endif
