/* SPDX-License-Identifier: MIT */
/*
 * What the program headers say is checked once, here: afterwards hp_image_at() needs no more than a
 * segment to know that bytes are there.  Strings of the dynamic string table end inside it, because
 * its last byte is NUL.
 */
#include "elf/image_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/array.h"
#include "base/fd.h"
#include "elf/note.h"
#include "elf/section.h"
#include "hp/err.h"

/* x86-64 user addresses end here with four-level page tables; a file that wants more lies. */
#define VADDR_END (1ull << 47)

/* Real files have some dozens; bounds the time that looking for one takes. */
#define MAX_DYNAMIC 4096
/* Likewise, of all notes: theirs are some hundred bytes. */
#define MAX_NOTES (64u << 10)

/* A separate debug file keeps the program headers of the file it was made from, but not their
 * bytes. */
enum kind { LOADABLE, DEBUG_FILE };

static bool in_file(const struct hp_image *im, uint64_t offset, uint64_t size)
{
	return offset <= im->size && size <= im->size - offset;
}

static const char *machine_name(uint16_t machine)
{
	switch (machine) {
	case EM_386:
		return "i386";
	case EM_X86_64:
		return "x86-64";
	case EM_ARM:
		return "ARM";
	case EM_AARCH64:
		return "AArch64";
	case EM_RISCV:
		return "RISC-V";
	case EM_PPC:
		return "PowerPC";
	case EM_PPC64:
		return "PowerPC 64";
	case EM_S390:
		return "S/390";
	case EM_MIPS:
		return "MIPS";
	case EM_SPARC:
	case EM_SPARCV9:
		return "SPARC";
	case EM_LOONGARCH:
		return "LoongArch";
	case EM_BPF:
		return "BPF";
	}
	return "unknown";
}

/* The first bytes, which lie in the same place in every class; nothing else is read before. */
static int check_ident(const struct hp_image *im, struct hp_err *err)
{
	const uint8_t *b = im->bytes;
	uint16_t machine;
	bool big;

	if (im->size < SELFMAG || memcmp(b, ELFMAG, SELFMAG))
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: not an ELF file", im->name);
	if (im->size < sizeof(Elf64_Ehdr))
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: truncated: %zu bytes are no ELF header",
				  im->name, im->size);
	big = b[EI_DATA] == ELFDATA2MSB;
	machine = big ? (uint16_t)(b[18] << 8 | b[19]) : (uint16_t)(b[19] << 8 | b[18]);
	if (b[EI_CLASS] != ELFCLASS64 || b[EI_DATA] != ELFDATA2LSB || machine != EM_X86_64)
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: machine is %s (number %u, %s-bit, %s endian); hp patches "
				  "64-bit x86-64",
				  im->name, machine_name(machine), machine,
				  b[EI_CLASS] == ELFCLASS64   ? "64"
				  : b[EI_CLASS] == ELFCLASS32 ? "32"
							      : "unknown",
				  big ? "big" : "little");
	if (b[EI_VERSION] != EV_CURRENT)
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: ELF version %u is not known", im->name,
				  b[EI_VERSION]);
	return 0;
}

static int check_type(const struct hp_image *im, struct hp_err *err)
{
	switch (im->ehdr.e_type) {
	case ET_DYN:
	case ET_EXEC:
		return 0;
	case ET_REL:
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: is an object file: link it with -shared", im->name);
	case ET_CORE:
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: is a core dump, not a program or a shared object", im->name);
	}
	return hp_err_set(err, -HP_E_BAD_ELF, "%s: ELF type %u is not known", im->name,
			  im->ehdr.e_type);
}

static int check_load(const struct hp_image *im, const Elf64_Phdr *p, uint64_t *end,
		      struct hp_err *err)
{
	if (p->p_filesz > p->p_memsz)
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: the segment at 0x%jx is longer in the file than in memory",
				  im->name, (uintmax_t)p->p_vaddr);
	if (p->p_vaddr > VADDR_END || p->p_memsz > VADDR_END - p->p_vaddr)
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: the segment at 0x%jx reaches beyond user space", im->name,
				  (uintmax_t)p->p_vaddr);
	/* gABI: ascending.  What overlaps has two contents, and no loader agrees on one. */
	if (p->p_vaddr < *end)
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: the segment at 0x%jx overlaps the one before it", im->name,
				  (uintmax_t)p->p_vaddr);
	if ((p->p_vaddr - p->p_offset) % HP_PAGE)
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: the segment at 0x%jx cannot be mapped: its file offset 0x%jx "
				  "lies elsewhere in its page",
				  im->name, (uintmax_t)p->p_vaddr, (uintmax_t)p->p_offset);
	*end = p->p_vaddr + p->p_memsz;
	return 0;
}

static int read_phdrs(struct hp_image *im, enum kind kind, struct hp_err *err)
{
	const Elf64_Ehdr *e = &im->ehdr;
	size_t n_load = 0;
	uint64_t end = 0;

	if (e->e_phnum == 0)
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: has no program headers", im->name);
	if (e->e_phentsize != sizeof(Elf64_Phdr))
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: program headers of %u bytes, not %zu",
				  im->name, e->e_phentsize, sizeof(Elf64_Phdr));
	if (e->e_phnum > HP_IMAGE_MAX_PHDRS)
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: more than %d program headers", im->name,
				  HP_IMAGE_MAX_PHDRS);
	if (!in_file(im, e->e_phoff, e->e_phnum * sizeof(Elf64_Phdr)))
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: truncated: its program headers lie behind its end (%zu bytes)",
				  im->name, im->size);
	memcpy(im->phdr, im->bytes + e->e_phoff, e->e_phnum * sizeof(Elf64_Phdr));
	im->n_phdrs = e->e_phnum;
	for (size_t i = 0; i < im->n_phdrs; i++) {
		Elf64_Phdr *p = &im->phdr[i];

		if (kind == DEBUG_FILE)
			p->p_filesz = 0;
		if (p->p_filesz && !in_file(im, p->p_offset, p->p_filesz))
			return hp_err_set(err, -HP_E_BAD_ELF,
					  "%s: truncated: segment %zu (offset 0x%jx, 0x%jx bytes) "
					  "lies behind its end (%zu bytes)",
					  im->name, i, (uintmax_t)p->p_offset,
					  (uintmax_t)p->p_filesz, im->size);
		if (p->p_type != PT_LOAD)
			continue;
		n_load++;
		if (kind == LOADABLE && check_load(im, p, &end, err))
			return -HP_E_BAD_ELF;
	}
	if (!n_load)
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: has no segment to load", im->name);
	return 0;
}

/* DT_SONAME and every DT_NEEDED name something: their readers need not ask again. */
static int check_dynamic_names(const struct hp_image *im, struct hp_err *err)
{
	Elf64_Dyn d;

	for (size_t i = 0; hp_image_dyn(im, i, &d); i++)
		if ((d.d_tag == DT_SONAME || d.d_tag == DT_NEEDED) &&
		    !hp_image_dynstr(im, d.d_un.d_val))
			return hp_err_set(err, -HP_E_BAD_ELF,
					  "%s: a library's name lies outside the dynamic strings",
					  im->name);
	return 0;
}

static int read_dynamic(struct hp_image *im, struct hp_err *err)
{
	const Elf64_Phdr *dynamic = NULL;
	uint64_t strtab, strsz, soname;

	for (size_t i = 0; i < im->n_phdrs && !dynamic; i++)
		if (im->phdr[i].p_type == PT_DYNAMIC && im->phdr[i].p_filesz)
			dynamic = &im->phdr[i];
	if (!dynamic)
		return 0;
	im->dynamic = hp_image_at(im, dynamic->p_vaddr, dynamic->p_filesz);
	if (!im->dynamic)
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: its dynamic section (0x%jx) lies in no segment", im->name,
				  (uintmax_t)dynamic->p_vaddr);
	im->n_dynamic = dynamic->p_filesz / sizeof(Elf64_Dyn);
	if (im->n_dynamic > MAX_DYNAMIC)
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: more than %d dynamic entries", im->name,
				  MAX_DYNAMIC);
	if (hp_image_dynamic(im, DT_STRTAB, &strtab) && hp_image_dynamic(im, DT_STRSZ, &strsz) &&
	    strsz) {
		const uint8_t *s = hp_image_at(im, strtab, strsz);

		if (!s || s[strsz - 1])
			return hp_err_set(err, -HP_E_BAD_ELF,
					  "%s: its dynamic string table (0x%jx, 0x%jx bytes) %s",
					  im->name, (uintmax_t)strtab, (uintmax_t)strsz,
					  s ? "does not end in NUL" : "lies in no segment");
		im->dynstr = (const char *)s;
		im->dynstr_size = strsz;
	}
	if (check_dynamic_names(im, err))
		return -HP_E_BAD_ELF;
	if (hp_image_dynamic(im, DT_SONAME, &soname))
		im->soname = hp_image_dynstr(im, soname);
	return 0;
}

static void read_build_id(struct hp_image *im)
{
	size_t left = MAX_NOTES;

	for (size_t i = 0; !im->build_id_len && left && i < im->n_phdrs; i++) {
		const Elf64_Phdr *p = &im->phdr[i];
		size_t n = p->p_filesz < left ? p->p_filesz : left;

		if (p->p_type != PT_NOTE || !n)
			continue;
		im->build_id_len = hp_note_build_id(im->bytes + p->p_offset, n, p->p_align, im->build_id);
		left -= n;
	}
}

static int read_image(struct hp_image *im, enum kind kind, struct hp_err *err)
{
	size_t n_sections;
	int r;

	r = hp_image_map(im, err);
	if (r)
		return r;
	r = check_ident(im, err);
	if (r)
		return r;
	memcpy(&im->ehdr, im->bytes, sizeof(im->ehdr));
	r = check_type(im, err);
	if (r)
		return r;
	r = read_phdrs(im, kind, err);
	if (r)
		return r;
	r = hp_section_count(im, &n_sections, err);
	if (r)
		return r;
	r = read_dynamic(im, err);
	if (r)
		return r;
	read_build_id(im);
	return 0;
}

static int open_image(struct hp_image **ret, int fd, const char *name, enum kind kind,
		      struct hp_err *err)
{
	hp_autoclose int owned = fd;
	struct hp_image *im = calloc(1, sizeof(*im));
	int r;

	if (!im || !(im->name = strdup(name))) {
		free(im);
		return hp_err_sys(err, ENOMEM, "%s", name);
	}
	im->fd = HP_TAKE_FD(owned);
	r = read_image(im, kind, err);
	if (r) {
		hp_image_free(im);
		return r;
	}
	*ret = im;
	return 0;
}

int hp_image_open(struct hp_image **ret, int fd, const char *name, struct hp_err *err)
{
	return open_image(ret, fd, name, LOADABLE, err);
}

int hp_image_open_bare(struct hp_image **ret, int fd, const char *name, struct hp_err *err)
{
	return open_image(ret, fd, name, DEBUG_FILE, err);
}

void hp_image_free(struct hp_image *im)
{
	if (!im)
		return;
	if (im->more_users) {
		im->more_users--;
		return;
	}
	if (im->elf)
		(void)elf_end(im->elf); /* the number of users left: none */
	hp_image_unmap(im);
	hp_close(&im->fd);
	free(im->name);
	free(im);
}
