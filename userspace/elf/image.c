/* SPDX-License-Identifier: MIT */
#include "elf/image.h"

#include <stdio.h>
#include <string.h>

bool hp_image_dyn(const struct hp_image *im, size_t i, Elf64_Dyn *ret)
{
	if (i >= im->n_dynamic)
		return false;
	memcpy(ret, im->dynamic + i * sizeof(*ret), sizeof(*ret));
	return ret->d_tag != DT_NULL;
}

struct hp_image *hp_image_share(struct hp_image *im)
{
	im->more_users++;
	return im;
}

Elf *hp_image_elf(const struct hp_image *im)
{
	if (!im->elf) {
		elf_version(EV_CURRENT);
		/* ELF_C_READ semantics: libelf does not write to what it is given.  Kept beside what the
		 * file says, which stays as it is. */
		((struct hp_image *)im)->elf = elf_memory((char *)im->bytes, im->size);
	}
	return im->elf;
}

const Elf64_Phdr *hp_image_segment(const struct hp_image *im, uint64_t vaddr)
{
	for (size_t i = 0; i < im->n_phdrs; i++) {
		const Elf64_Phdr *p = &im->phdr[i];

		if (p->p_type == PT_LOAD && vaddr >= p->p_vaddr && vaddr - p->p_vaddr < p->p_memsz)
			return p;
	}
	return NULL;
}

bool hp_image_is_code(const struct hp_image *im, uint64_t vaddr, uint64_t n)
{
	const Elf64_Phdr *p = hp_image_segment(im, vaddr);

	return p && (p->p_flags & PF_X) && n <= p->p_memsz - (vaddr - p->p_vaddr);
}

size_t hp_image_left(const struct hp_image *im, uint64_t vaddr)
{
	const Elf64_Phdr *p = hp_image_segment(im, vaddr);

	if (!p || vaddr - p->p_vaddr >= p->p_filesz)
		return 0;
	return p->p_filesz - (vaddr - p->p_vaddr);
}

bool hp_image_offset(const struct hp_image *im, uint64_t vaddr, uint64_t *ret)
{
	const Elf64_Phdr *p = hp_image_segment(im, vaddr);

	if (!p || vaddr - p->p_vaddr >= p->p_filesz)
		return false;
	*ret = p->p_offset + (vaddr - p->p_vaddr);
	return true;
}

const uint8_t *hp_image_at(const struct hp_image *im, uint64_t vaddr, size_t n)
{
	uint64_t offset;

	if (n > hp_image_left(im, vaddr) || !hp_image_offset(im, vaddr, &offset))
		return NULL;
	return im->bytes + offset;
}

bool hp_image_dynamic(const struct hp_image *im, int64_t tag, uint64_t *ret)
{
	Elf64_Dyn d;

	for (size_t i = 0; hp_image_dyn(im, i, &d); i++)
		if (d.d_tag == tag) {
			*ret = d.d_un.d_val;
			return true;
		}
	return false;
}

const char *hp_image_dynstr(const struct hp_image *im, uint64_t offset)
{
	return offset < im->dynstr_size ? im->dynstr + offset : NULL;
}

const char *hp_image_needed(const struct hp_image *im, size_t i)
{
	Elf64_Dyn d;

	for (size_t k = 0; hp_image_dyn(im, k, &d); k++)
		if (d.d_tag == DT_NEEDED && i-- == 0)
			return hp_image_dynstr(im, d.d_un.d_val);
	return NULL;
}

const char *hp_image_build_id_hex(const struct hp_image *im, char *buf)
{
	for (size_t i = 0; i < im->build_id_len; i++)
		snprintf(buf + 2 * i, 3, "%02x", im->build_id[i]);
	buf[2 * im->build_id_len] = 0;
	return buf;
}
