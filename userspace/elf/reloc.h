/* SPDX-License-Identifier: MIT */
/*
 * elf/reloc.h – the dynamic relocations of a patch: RELA, PLT and RELR (x86-64 psABI 4.4, gABI
 * RELR).  Pure: it computes what to write where; nothing is written to a target here.
 */
#ifndef HP_ELF_RELOC_H
#define HP_ELF_RELOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hp_err;
struct hp_image;

/* A symbol that a relocation of the patch names. */
struct hp_reloc_sym {
	size_t index; /* in hp_relocs_symbols() */
	const char *name;
	const char *version; /* wanted version, or NULL */
	bool defined;	     /* in the patch itself */
	bool weak;
	uint8_t type;	 /* STT_* as the patch knows it (STT_NOTYPE for most imports) */
	uint8_t bind;	 /* STB_* */
	uint64_t value; /* vaddr in the patch, if defined */
	uint64_t size;
};

/* Where a symbol is: filled in by the caller's look-up. */
struct hp_reloc_target {
	uint64_t addr;	/* in the process; of no meaning with tls */
	bool ifunc;	/* addr is a resolver to be run in the target */
	bool tls;
	int64_t tpoff;	/* TLS: offset from the thread pointer, when static */
};

/* Finds @sym for the relocator: an undefined one, or a weak or GNU_UNIQUE one that the patch defines
 * (sym->defined), for which the target's definition comes first.
 * 0, or a code with the sentence in @err.  -HP_E_UNDEFINED leaves a defined one to the patch itself,
 * and makes an undefined weak one 0. */
typedef int (*hp_reloc_lookup)(void *arg, const struct hp_reloc_sym *sym,
			       struct hp_reloc_target *ret, struct hp_err *err);

/* One word to be stored: 8 bytes @value at vaddr @where, or, with @ifunc, the result of the
 * resolver at address @value. */
struct hp_fixup {
	uint64_t where;
	uint64_t value;
	uint8_t size; /* 8 or 4 */
	bool ifunc;
};

struct hp_fixups {
	struct hp_fixup *v;
	size_t n, room;
};

/* The relocations of an image, read once.  The image must outlive them. */
struct hp_relocs;
int hp_relocs_open(struct hp_relocs **ret, const struct hp_image *im, struct hp_err *err);
void hp_relocs_free(struct hp_relocs *rs);

/* The symbols that may be looked up, each once: they can all be found before. */
size_t hp_relocs_symbols(const struct hp_relocs *rs, const struct hp_reloc_sym **ret);

/* All of them for an image that is loaded at @bias.  Refuses by name: text relocations
 * (-HP_E_TEXTREL: a relocation into a segment that is not writable and not RELRO, or DT_TEXTREL),
 * relocation types that make no sense in a patch (-HP_E_RELOC), what @lookup refuses.
 * R_X86_64_TPOFF64 against the executable's TLS is done with tpoff; DTPMOD64/DTPOFF64/TLSDESC are
 * refused with -HP_E_TLS naming the symbol. */
int hp_relocs_compute(struct hp_fixups *ret, const struct hp_relocs *rs, uint64_t bias,
		      hp_reloc_lookup lookup, void *arg, struct hp_err *err);
void hp_fixups_free(struct hp_fixups *f);

#endif
