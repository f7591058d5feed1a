/* SPDX-License-Identifier: MIT */
/*
 * The header that an index gives is copied before it is looked at, so that what was checked is what
 * is used, whoever writes the file meanwhile.
 */
#include "elf/section.h"

#include <string.h>

#include "elf/image.h"
#include "hp/err.h"

/* No section that hp asks for has a longer name; bounds the time a lying table takes. */
#define NAME_MAX_BYTES 256

static bool in_file(const struct hp_image *im, uint64_t offset, uint64_t size)
{
	return offset <= im->size && size <= im->size - offset;
}

static bool header_at(const struct hp_image *im, size_t i, Elf64_Shdr *ret)
{
	uint64_t start = im->ehdr.e_shoff;

	if (!start || start > im->size || (im->size - start) / sizeof(*ret) <= i)
		return false;
	memcpy(ret, im->bytes + start + i * sizeof(*ret), sizeof(*ret));
	return true;
}

int hp_section_count(const struct hp_image *im, size_t *ret, struct hp_err *err)
{
	const Elf64_Ehdr *e = &im->ehdr;
	/* Extended numbering (0, the count elsewhere) is for object files of 65280 sections and more. */
	size_t n = e->e_shoff ? e->e_shnum : 0;

	if (n && e->e_shentsize != sizeof(Elf64_Shdr))
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: section headers of %u bytes, not %zu",
				  im->name, e->e_shentsize, sizeof(Elf64_Shdr));
	if (n && !in_file(im, e->e_shoff, n * sizeof(Elf64_Shdr)))
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: truncated: its section headers lie behind its end (%zu bytes)",
				  im->name, im->size);
	*ret = n;
	return 0;
}

static bool place(const struct hp_image *im, struct hp_section *s)
{
	const Elf64_Shdr *h = &s->header;

	s->bytes = NULL;
	if (h->sh_type == SHT_NOBITS || h->sh_type == SHT_NULL || (h->sh_flags & SHF_COMPRESSED))
		return true;
	if (!in_file(im, h->sh_offset, h->sh_size))
		return false;
	s->bytes = im->bytes + h->sh_offset;
	return true;
}

static const char *name_of(const struct hp_image *im, uint32_t offset)
{
	struct hp_section names;
	size_t left;

	if (!header_at(im, im->ehdr.e_shstrndx, &names.header) || !place(im, &names) ||
	    !names.bytes || names.header.sh_type != SHT_STRTAB || offset >= names.header.sh_size)
		return "";
	left = names.header.sh_size - offset;
	if (!memchr(names.bytes + offset, 0, left < NAME_MAX_BYTES ? left : NAME_MAX_BYTES))
		return "";
	return (const char *)names.bytes + offset;
}

bool hp_section_at(const struct hp_image *im, size_t i, struct hp_section *ret)
{
	struct hp_section s;
	size_t n;

	if (hp_section_count(im, &n, NULL) || i >= n || !header_at(im, i, &s.header) ||
	    !place(im, &s))
		return false;
	s.name = name_of(im, s.header.sh_name);
	*ret = s;
	return true;
}

bool hp_section_of_type(const struct hp_image *im, uint32_t type, struct hp_section *ret)
{
	size_t n;

	if (hp_section_count(im, &n, NULL))
		return false;
	for (size_t i = 1; i < n; i++) {
		struct hp_section s;

		if (hp_section_at(im, i, &s) && s.header.sh_type == type) {
			*ret = s;
			return true;
		}
	}
	return false;
}
