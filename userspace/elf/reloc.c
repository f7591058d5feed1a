/* SPDX-License-Identifier: MIT */
/*
 * Every relocation is checked by itself: where it writes lies in a writable segment of the file, what
 * it names is a symbol of the file.  Nothing is trusted to be sorted, unique or counted right.
 */
#include "elf/reloc.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "elf/dynsym.h"
#include "elf/image.h"
#include "hp/err.h"

/* A RELR bitmap makes 63 words of 8 bytes: this bounds what a small file can ask for (96 MB). */
#define MAX_FIXUPS (4u << 20)

struct job {
	struct hp_fixups *out;
	const struct hp_image *im;
	struct hp_dynsym dynsym;
	uint64_t bias;
	hp_reloc_lookup lookup;
	void *arg;
};

static const char *type_name(uint32_t type)
{
	static const char *const names[] = {
		[R_X86_64_NONE] = "NONE",
		[R_X86_64_64] = "64",
		[R_X86_64_PC32] = "PC32",
		[R_X86_64_GOT32] = "GOT32",
		[R_X86_64_PLT32] = "PLT32",
		[R_X86_64_COPY] = "COPY",
		[R_X86_64_GLOB_DAT] = "GLOB_DAT",
		[R_X86_64_JUMP_SLOT] = "JUMP_SLOT",
		[R_X86_64_RELATIVE] = "RELATIVE",
		[R_X86_64_32] = "32",
		[R_X86_64_32S] = "32S",
		[R_X86_64_16] = "16",
		[R_X86_64_PC16] = "PC16",
		[R_X86_64_8] = "8",
		[R_X86_64_PC8] = "PC8",
		[R_X86_64_DTPMOD64] = "DTPMOD64",
		[R_X86_64_DTPOFF64] = "DTPOFF64",
		[R_X86_64_TPOFF64] = "TPOFF64",
		[R_X86_64_PC64] = "PC64",
		[R_X86_64_SIZE32] = "SIZE32",
		[R_X86_64_SIZE64] = "SIZE64",
		[R_X86_64_TLSDESC] = "TLSDESC",
		[R_X86_64_IRELATIVE] = "IRELATIVE",
		[R_X86_64_RELATIVE64] = "RELATIVE64",
	};

	return type < sizeof(names) / sizeof(*names) && names[type] ? names[type] : "(unknown)";
}

/* --- symbols ------------------------------------------------------------------------------------ */

/* What a relocation refers to: an absolute number, or a place that only the target can tell. */
struct referent {
	const char *name; /* "" without a symbol */
	uint64_t addr;
	int64_t tpoff;
	bool ifunc, tls;
};

static bool read_symbol(struct job *j, uint32_t index, struct hp_reloc_sym *s, Elf64_Sym *e)
{
	bool hidden;

	if (!hp_dynsym_at(&j->dynsym, index, e, &s->name, &s->version, &hidden))
		return false;
	s->defined = e->st_shndx != SHN_UNDEF;
	s->bind = ELF64_ST_BIND(e->st_info);
	s->type = ELF64_ST_TYPE(e->st_info);
	s->weak = s->bind == STB_WEAK;
	s->value = s->defined ? e->st_value : 0;
	s->size = e->st_size;
	return true;
}

static void own_definition(const struct job *j, const Elf64_Sym *e, struct referent *ret)
{
	ret->addr = e->st_value + (e->st_shndx == SHN_ABS ? 0 : j->bias);
	ret->ifunc = ELF64_ST_TYPE(e->st_info) == STT_GNU_IFUNC;
}

/* One definition for the whole process, wherever it is: COMDAT (inline functions, vtables, type
 * info) and GNU_UNIQUE (their static variables).  Anything else that a patch defines it means. */
static bool is_shared(const struct hp_reloc_sym *s, const Elf64_Sym *e)
{
	return (s->bind == STB_WEAK || s->bind == STB_GNU_UNIQUE) &&
	       ELF64_ST_VISIBILITY(e->st_other) == STV_DEFAULT;
}

static int ask(struct job *j, const struct hp_reloc_sym *s, struct referent *ret,
	       struct hp_err *err)
{
	struct hp_reloc_target t = {0};
	int r = j->lookup(j->arg, s, &t, err);

	if (r)
		return r;
	ret->addr = t.addr;
	ret->ifunc = t.ifunc;
	ret->tls = t.tls;
	ret->tpoff = t.tpoff;
	return 0;
}

static int refer(struct job *j, uint32_t index, struct referent *ret, struct hp_err *err)
{
	struct hp_reloc_sym s = {0};
	Elf64_Sym e;
	int r;

	*ret = (struct referent){.name = ""};
	if (index == STN_UNDEF)
		return 0;
	if (!read_symbol(j, index, &s, &e))
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: a relocation names symbol %" PRIu32 ", which is not there",
				  j->im->name, index);
	ret->name = s.name;
	if (s.defined && s.type == STT_TLS)
		return hp_err_set(err, -HP_E_TLS,
				  "%s: defines the thread-local variable '%s', which no running "
				  "thread has room for: define it in the target's own code or make "
				  "it an ordinary variable",
				  j->im->name, s.name);
	if (s.defined && !is_shared(&s, &e)) {
		own_definition(j, &e, ret);
		return 0;
	}
	r = ask(j, &s, ret, err);
	if (r != -HP_E_UNDEFINED)
		return r;
	if (s.defined) {
		own_definition(j, &e, ret);
		return 0;
	}
	/* gABI: an undefined weak symbol that nothing defines is 0. */
	return s.weak ? 0 : r;
}

/* --- one relocation ----------------------------------------------------------------------------- */

static int add(struct job *j, struct hp_fixup f, struct hp_err *err)
{
	struct hp_fixup *slot;

	if (j->out->n >= MAX_FIXUPS)
		return hp_err_set(err, -HP_E_RELOC, "%s: more than %u relocations", j->im->name,
				  MAX_FIXUPS);
	slot = HP_ARRAY_ADD(j->out);
	if (!slot)
		return hp_err_sys(err, ENOMEM, "%s: relocations", j->im->name);
	*slot = f;
	return 0;
}

static int text_relocation(const struct job *j, uint64_t where, const char *type, const char *name,
			   struct hp_err *err)
{
	return hp_err_set(err, -HP_E_TEXTREL,
			  "%s: relocation R_X86_64_%s against '%s' at 0x%" PRIx64
			  " changes code or constants: compile it with -fPIC",
			  j->im->name, type, name, where);
}

/* Where hp may write: not into code, nor into what the file says is constant.  What becomes
 * read-only after relocation (PT_GNU_RELRO) lies in a writable segment. */
static int check_place(const struct job *j, uint64_t where, size_t n, const char *type,
		       const char *name, struct hp_err *err)
{
	const Elf64_Phdr *p = hp_image_segment(j->im, where);

	if (!p || n > p->p_memsz - (where - p->p_vaddr))
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: a relocation at 0x%" PRIx64 " lies in no segment",
				  j->im->name, where);
	if (!(p->p_flags & PF_W))
		return text_relocation(j, where, type, name, err);
	return 0;
}

static int out_of_range(const struct job *j, const char *type, const char *name,
			struct hp_err *err)
{
	return hp_err_set(err, -HP_E_RELOC,
			  "%s: relocation R_X86_64_%s against '%s' does not reach its 32 bits: "
			  "compile it with -fPIC",
			  j->im->name, type, name);
}

static int needs_tls_block(const struct job *j, const char *type, const char *name,
			   struct hp_err *err)
{
	return hp_err_set(err, -HP_E_TLS,
			  "%s: relocation R_X86_64_%s reaches the thread-local variable '%s' through "
			  "the dynamic loader, which does not know the patch: declare it with "
			  "__attribute__((tls_model(\"initial-exec\")))",
			  j->im->name, type, *name ? name : "(of the patch itself)");
}

static int thread_pointer_offset(struct job *j, const Elf64_Rela *rela, const struct referent *s,
				 struct hp_err *err)
{
	if (!*s->name)
		return hp_err_set(err, -HP_E_TLS,
				  "%s: uses a thread-local variable of its own, which no running "
				  "thread has room for",
				  j->im->name);
	if (!s->tls)
		return hp_err_set(err, -HP_E_TLS,
				  "%s: '%s' is thread-local in the patch, but not in the target",
				  j->im->name, s->name);
	return add(j,
		   (struct hp_fixup){.where = rela->r_offset,
				     .value = (uint64_t)s->tpoff + (uint64_t)rela->r_addend,
				     .size = 8},
		   err);
}

/* S + A, S + A - P: the psABI's letters. */
static int calculate(struct job *j, const Elf64_Rela *rela, const struct referent *s,
		     struct hp_err *err)
{
	uint32_t type = ELF64_R_TYPE(rela->r_info);
	uint64_t addend = (uint64_t)rela->r_addend;
	struct hp_fixup f = {.where = rela->r_offset, .size = 8, .value = s->addr + addend};
	uint64_t place = j->bias + rela->r_offset;

	if (s->ifunc && (addend || (type != R_X86_64_64 && type != R_X86_64_GLOB_DAT &&
				    type != R_X86_64_JUMP_SLOT)))
		return hp_err_set(err, -HP_E_RELOC,
				  "%s: relocation R_X86_64_%s computes with the address of '%s', an "
				  "indirect function whose address only its resolver knows",
				  j->im->name, type_name(type), s->name);
	f.ifunc = s->ifunc;
	switch (type) {
	case R_X86_64_GLOB_DAT:
	case R_X86_64_JUMP_SLOT:
		f.value = s->addr; /* the psABI has no addend here */
		break;
	case R_X86_64_64:
		break;
	case R_X86_64_PC64:
		f.value -= place;
		break;
	case R_X86_64_32:
		f.size = 4;
		if (f.value > UINT32_MAX)
			return out_of_range(j, type_name(type), s->name, err);
		break;
	case R_X86_64_32S:
	case R_X86_64_PC32:
		f.size = 4;
		if (type == R_X86_64_PC32)
			f.value -= place;
		if ((int64_t)f.value != (int32_t)f.value)
			return out_of_range(j, type_name(type), s->name, err);
		break;
	}
	return add(j, f, err);
}

static bool is_symbolic(uint32_t type)
{
	switch (type) {
	case R_X86_64_64:
	case R_X86_64_GLOB_DAT:
	case R_X86_64_JUMP_SLOT:
	case R_X86_64_PC64:
	case R_X86_64_32:
	case R_X86_64_32S:
	case R_X86_64_PC32:
		return true;
	}
	return false;
}

static const char *name_of(struct job *j, uint32_t index)
{
	struct hp_reloc_sym s;
	Elf64_Sym e;

	return index && read_symbol(j, index, &s, &e) ? s.name : "";
}

static int one_rela(struct job *j, const Elf64_Rela *rela, struct hp_err *err)
{
	uint32_t type = ELF64_R_TYPE(rela->r_info), index = ELF64_R_SYM(rela->r_info);
	const char *name = name_of(j, index), *kind = type_name(type);
	struct referent s;
	size_t n = 8;
	int r;

	if (type == R_X86_64_NONE)
		return 0;
	if (type == R_X86_64_DTPMOD64 || type == R_X86_64_DTPOFF64 || type == R_X86_64_TLSDESC)
		return needs_tls_block(j, kind, name, err);
	if (type == R_X86_64_COPY)
		return hp_err_set(err, -HP_E_RELOC,
				  "%s: copies the variable '%s' of the target (R_X86_64_COPY): "
				  "compile it with -fPIC and link it with -shared",
				  j->im->name, name);
	if (type == R_X86_64_32 || type == R_X86_64_32S || type == R_X86_64_PC32)
		n = 4;
	r = check_place(j, rela->r_offset, n, kind, name, err);
	if (r)
		return r;
	if (type == R_X86_64_RELATIVE || type == R_X86_64_RELATIVE64 ||
	    type == R_X86_64_IRELATIVE)
		return add(j,
			   (struct hp_fixup){.where = rela->r_offset,
					     .value = j->bias + (uint64_t)rela->r_addend,
					     .size = 8,
					     .ifunc = type == R_X86_64_IRELATIVE},
			   err);
	if (type != R_X86_64_TPOFF64 && !is_symbolic(type))
		return hp_err_set(err, -HP_E_RELOC,
				  "%s: relocation type %" PRIu32 " (R_X86_64_%s, against '%s') makes "
				  "no sense in a patch",
				  j->im->name, type, kind, name);
	r = refer(j, index, &s, err);
	if (r)
		return r;
	if (type == R_X86_64_TPOFF64)
		return thread_pointer_offset(j, rela, &s, err);
	if (s.tls)
		return hp_err_set(err, -HP_E_TLS,
				  "%s: '%s' is thread-local in the target, but not in the patch: "
				  "declare it extern __thread",
				  j->im->name, s.name);
	return calculate(j, rela, &s, err);
}

/* --- tables ------------------------------------------------------------------------------------- */

static int table_at(const struct job *j, const char *what, int64_t tag, int64_t size_tag,
		    const uint8_t **ret, size_t *n, struct hp_err *err)
{
	uint64_t at, size;

	*n = 0;
	if (!hp_image_dynamic(j->im, tag, &at) || !hp_image_dynamic(j->im, size_tag, &size) ||
	    !size)
		return 0;
	*ret = hp_image_at(j->im, at, size);
	if (!*ret)
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s: its %s relocations (0x%" PRIx64 ", 0x%" PRIx64
				  " bytes) lie in no segment",
				  j->im->name, what, at, size);
	*n = size;
	return 0;
}

static int do_rela(struct job *j, const char *what, int64_t tag, int64_t size_tag,
		   struct hp_err *err)
{
	const uint8_t *table = NULL;
	size_t n;
	int r;

	r = table_at(j, what, tag, size_tag, &table, &n, err);
	for (size_t at = 0; !r && n - at >= sizeof(Elf64_Rela); at += sizeof(Elf64_Rela)) {
		Elf64_Rela rela;

		memcpy(&rela, table + at, sizeof(rela));
		r = one_rela(j, &rela, err);
	}
	return r;
}

static int relative_word(struct job *j, uint64_t where, struct hp_err *err)
{
	const uint8_t *p = hp_image_at(j->im, where, 8);
	uint64_t addend = 0;
	int r;

	r = check_place(j, where, 8, "RELATIVE", "", err);
	if (r)
		return r;
	if (p)
		memcpy(&addend, p, sizeof(addend)); /* else in .bss, which is zero */
	return add(j,
		   (struct hp_fixup){.where = where, .value = j->bias + addend, .size = 8}, err);
}

/* gABI: an even entry is an address; an odd one is a bitmap of the 63 words that follow. */
static int do_relr(struct job *j, struct hp_err *err)
{
	const uint8_t *table = NULL;
	uint64_t next = 0;
	size_t n;
	int r;

	r = table_at(j, "RELR", DT_RELR, DT_RELRSZ, &table, &n, err);
	for (size_t at = 0; !r && n - at >= sizeof(Elf64_Relr); at += sizeof(Elf64_Relr)) {
		Elf64_Relr entry;

		memcpy(&entry, table + at, sizeof(entry));
		if (!(entry & 1)) {
			r = relative_word(j, entry, err);
			next = entry + 8;
			continue;
		}
		for (unsigned bit = 0; !r && bit < 63; bit++)
			if (entry >> (bit + 1) & 1)
				r = relative_word(j, next + 8 * bit, err);
		next += 63 * 8;
	}
	return r;
}

static int check_tables(const struct hp_image *im, struct hp_err *err)
{
	uint64_t v;

	if ((hp_image_dynamic(im, DT_RELSZ, &v) && v) ||
	    (hp_image_dynamic(im, DT_PLTREL, &v) && v != DT_RELA))
		return hp_err_set(err, -HP_E_RELOC,
				  "%s: has REL relocations, which x86-64 does not use", im->name);
	if ((hp_image_dynamic(im, DT_RELAENT, &v) && v != sizeof(Elf64_Rela)) ||
	    (hp_image_dynamic(im, DT_RELRENT, &v) && v != sizeof(Elf64_Relr)))
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: relocations of %" PRIu64 " bytes",
				  im->name, v);
	return 0;
}

/* After the relocations themselves, which name the symbol: a flag alone names nothing. */
static int check_textrel_flag(const struct hp_image *im, struct hp_err *err)
{
	uint64_t v;

	if (!hp_image_dynamic(im, DT_TEXTREL, &v) &&
	    !(hp_image_dynamic(im, DT_FLAGS, &v) && (v & DF_TEXTREL)))
		return 0;
	return hp_err_set(err, -HP_E_TEXTREL,
			  "%s: says that its relocations change code (DT_TEXTREL): compile it with "
			  "-fPIC",
			  im->name);
}

int hp_reloc_compute(struct hp_fixups *ret, const struct hp_image *im, uint64_t bias,
		     hp_reloc_lookup lookup, void *arg, struct hp_err *err)
{
	struct hp_fixups found = {0};
	struct job j = {.out = &found, .im = im, .bias = bias, .lookup = lookup, .arg = arg};
	int r;

	r = check_tables(im, err);
	if (!r)
		r = hp_dynsym_open(&j.dynsym, im, err);
	if (r)
		return r;
	r = do_relr(&j, err);
	if (!r)
		r = do_rela(&j, "RELA", DT_RELA, DT_RELASZ, err);
	if (!r)
		r = do_rela(&j, "PLT", DT_JMPREL, DT_PLTRELSZ, err);
	if (!r)
		r = check_textrel_flag(im, err);
	hp_dynsym_close(&j.dynsym);
	if (r) {
		hp_fixups_free(&found);
		return r;
	}
	*ret = found;
	return 0;
}

void hp_fixups_free(struct hp_fixups *f)
{
	HP_ARRAY_FREE(f);
}
