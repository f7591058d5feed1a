/* SPDX-License-Identifier: MIT */
#include "elf/write.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PHDRS	    3
#define CONTENT_MAX (64u << 20)
_Static_assert(sizeof(Elf64_Ehdr) + PHDRS * sizeof(Elf64_Phdr) <= HP_ELF_HEADERS,
	       "the headers have room");

/* The sections behind the given ones. */
enum { SYMTAB, STRTAB, SHSTRTAB, OWN };

struct writer {
	const struct hp_elf_file *f;
	uint8_t *out;
	size_t n, room;
	Elf64_Shdr *sh;
};

static uint8_t *reserve(struct writer *w, size_t at, size_t n)
{
	if (at + n > w->room)
		return NULL;
	if (at + n > w->n)
		w->n = at + n;
	return w->out + at;
}

static size_t strings_size(const struct hp_elf_file *f)
{
	size_t n = 1;

	for (size_t i = 0; i < f->n_symbols; i++)
		n += strlen(f->symbol[i].name) + 1;
	for (size_t i = 0; i < f->n_sections; i++)
		n += strlen(f->section[i].name) + 1;
	return n + sizeof(".symtab") + sizeof(".strtab") + sizeof(".shstrtab") + 1;
}

/* Section 0 is empty; the given ones follow. */
static int put_sections(struct writer *w)
{
	const struct hp_elf_file *f = w->f;

	for (size_t i = 0; i < f->n_sections; i++) {
		const struct hp_elf_section *s = &f->section[i];
		size_t at = s->bytes ? s->addr - f->base : 0;
		uint8_t *p = s->bytes ? reserve(w, at, s->n) : NULL;

		if (s->bytes && (!p || at < HP_ELF_HEADERS))
			return -EINVAL;
		if (p)
			memcpy(p, s->bytes, s->n);
		w->sh[i + 1] = (Elf64_Shdr){.sh_type = s->type,
					    .sh_flags = s->flags,
					    .sh_addr = s->addr,
					    .sh_offset = at,
					    .sh_size = s->n,
					    .sh_addralign = 1};
	}
	return 0;
}

static uint16_t section_of(const struct hp_elf_file *f, hp_addr at)
{
	for (size_t i = 0; i < f->n_sections; i++)
		if (at - f->section[i].addr < f->section[i].n)
			return (uint16_t)(i + 1);
	return SHN_ABS;
}

static void put_symbols(struct writer *w)
{
	const struct hp_elf_file *f = w->f;
	size_t symtab = f->n_sections + 1 + SYMTAB, strtab = f->n_sections + 1 + STRTAB;
	size_t at = (w->n + 7) & ~7ull, n = (f->n_symbols + 1) * sizeof(Elf64_Sym), used = 1;
	char *strings;

	(void)reserve(w, at, n); /* the room was computed for it */
	strings = (char *)w->out + w->n;
	for (size_t i = 0; i < f->n_symbols; i++) {
		const struct hp_elf_symbol *y = &f->symbol[i];
		Elf64_Sym s = {.st_name = (Elf64_Word)used,
			       .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC),
			       .st_shndx = section_of(f, y->addr),
			       .st_value = y->addr,
			       .st_size = y->size};

		memcpy(w->out + at + (i + 1) * sizeof(s), &s, sizeof(s));
		memcpy(strings + used, y->name, strlen(y->name) + 1);
		used += strlen(y->name) + 1;
	}
	w->sh[symtab] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
				     .sh_offset = at,
				     .sh_size = n,
				     .sh_link = (Elf64_Word)strtab,
				     .sh_info = (Elf64_Word)(f->n_symbols + 1), /* all are local */
				     .sh_addralign = 8,
				     .sh_entsize = sizeof(Elf64_Sym)};
	w->sh[strtab] = (Elf64_Shdr){
		.sh_type = SHT_STRTAB, .sh_offset = w->n, .sh_size = used, .sh_addralign = 1};
	w->n += used;
}

static void put_section_names(struct writer *w)
{
	static const char *const own[OWN] = {".symtab", ".strtab", ".shstrtab"};
	const struct hp_elf_file *f = w->f;
	size_t used = 1;
	char *names = (char *)w->out + w->n;

	for (size_t i = 0; i < f->n_sections + OWN; i++) {
		const char *name = i < f->n_sections ? f->section[i].name : own[i - f->n_sections];

		w->sh[i + 1].sh_name = (Elf64_Word)used;
		memcpy(names + used, name, strlen(name) + 1);
		used += strlen(name) + 1;
	}
	w->sh[f->n_sections + 1 + SHSTRTAB].sh_type = SHT_STRTAB;
	w->sh[f->n_sections + 1 + SHSTRTAB].sh_offset = w->n;
	w->sh[f->n_sections + 1 + SHSTRTAB].sh_size = used;
	w->sh[f->n_sections + 1 + SHSTRTAB].sh_addralign = 1;
	w->n += used;
}

static unsigned put_segments(struct writer *w)
{
	Elf64_Phdr ph[PHDRS] = {{.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_align = HP_PAGE},
				{.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W, .p_align = 16}};
	unsigned n = 2;

	for (size_t i = 1; i <= w->f->n_sections; i++) {
		const Elf64_Shdr *s = &w->sh[i];

		if (!(s->sh_flags & SHF_ALLOC))
			continue;
		if (s->sh_offset + s->sh_size > ph[0].p_filesz)
			ph[0].p_filesz = ph[0].p_memsz = s->sh_offset + s->sh_size;
		if (s->sh_type == SHT_NOTE && n < PHDRS)
			ph[n++] = (Elf64_Phdr){.p_type = PT_NOTE,
					       .p_flags = PF_R,
					       .p_offset = s->sh_offset,
					       .p_vaddr = s->sh_addr,
					       .p_paddr = s->sh_addr,
					       .p_filesz = s->sh_size,
					       .p_memsz = s->sh_size,
					       .p_align = 4};
	}
	memcpy(w->out + sizeof(Elf64_Ehdr), ph, n * sizeof(*ph));
	return n;
}

static void put_header(struct writer *w)
{
	size_t n_sections = w->f->n_sections + 1 + OWN;
	Elf64_Ehdr e = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
				    EV_CURRENT},
			.e_type = ET_DYN,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_ehsize = sizeof(e),
			.e_shentsize = sizeof(Elf64_Shdr),
			.e_shnum = (Elf64_Half)n_sections,
			.e_shstrndx = (Elf64_Half)(n_sections - 1)};
	size_t at = (w->n + 7) & ~7ull;

	memcpy(w->out + at, w->sh, n_sections * sizeof(*w->sh));
	w->n = at + n_sections * sizeof(*w->sh);
	e.e_shoff = at;
	if (w->f->segments) {
		e.e_phoff = sizeof(e);
		e.e_phentsize = sizeof(Elf64_Phdr);
		e.e_phnum = (Elf64_Half)put_segments(w);
	}
	memcpy(w->out, &e, sizeof(e));
}

int hp_elf_write(const struct hp_elf_file *f, uint8_t **ret, size_t *ret_n)
{
	struct writer w = {.f = f, .n = HP_ELF_HEADERS, .room = HP_ELF_HEADERS};
	size_t headers = (f->n_sections + 1 + OWN) * sizeof(Elf64_Shdr);
	int r;

	for (size_t i = 0; i < f->n_sections; i++)
		if (f->section[i].bytes &&
		    f->section[i].addr - f->base + f->section[i].n > w.room)
			w.room = f->section[i].addr - f->base + f->section[i].n;
	if (w.room > CONTENT_MAX)
		return -EINVAL;
	/* twice seven bytes of alignment */
	w.room += (f->n_symbols + 1) * sizeof(Elf64_Sym) + strings_size(f) + headers + 16;
	w.out = calloc(1, w.room);
	w.sh = calloc(1, headers);
	r = w.out && w.sh ? put_sections(&w) : -ENOMEM;
	if (r == 0) {
		put_symbols(&w);
		put_section_names(&w);
		put_header(&w);
		*ret = w.out;
		*ret_n = w.n;
	} else {
		free(w.out);
	}
	free(w.sh);
	return r;
}
