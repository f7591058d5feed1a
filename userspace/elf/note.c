/* SPDX-License-Identifier: MIT */
#include "elf/note.h"

#include <elf.h>
#include <string.h>

#include "elf/image.h"

static size_t padded(uint64_t n, uint64_t align)
{
	return (n + align - 1) & ~(align - 1);
}

size_t hp_note_build_id(const uint8_t *notes, size_t n, uint64_t align, uint8_t *ret)
{
	size_t at = 0;

	/* Name and descriptor are padded to 4 bytes whatever the class is, except in notes of
	 * alignment 8 (.note.gnu.property). */
	align = align == 8 ? 8 : 4;
	while (n - at >= sizeof(Elf64_Nhdr)) {
		size_t name, desc;
		Elf64_Nhdr h;

		memcpy(&h, notes + at, sizeof(h));
		name = at + sizeof(h);
		desc = at + padded(sizeof(h) + (uint64_t)h.n_namesz, align);
		if (desc > n || h.n_descsz > n - desc)
			return 0;
		if (h.n_type == NT_GNU_BUILD_ID && h.n_namesz == sizeof(ELF_NOTE_GNU) &&
		    !memcmp(notes + name, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) &&
		    h.n_descsz && h.n_descsz <= HP_BUILD_ID_MAX) {
			memcpy(ret, notes + desc, h.n_descsz);
			return h.n_descsz;
		}
		at = desc + padded(h.n_descsz, align);
		if (at > n)
			return 0;
	}
	return 0;
}
