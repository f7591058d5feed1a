/* SPDX-License-Identifier: MIT */
/*
 * Every relocation is checked by itself, where whoever writes it checks: that its place lies in a
 * writable segment of the file.  Nothing is trusted to be sorted, unique or counted right.
 */
#include "elf/reloc.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>

#include "base/array.h"
#include "elf/image.h"
#include "elf/reloc_list.h"
#include "hp/err.h"

struct job {
	struct hp_fixups *out;
	const struct hp_relocs *rs;
	const struct hp_image *im;
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

static int no_resolver(const struct job *j, uint64_t at, struct hp_err *err)
{
	return hp_err_set(err, -HP_E_BAD_ELF,
			  "%s: the resolver of an indirect function (0x%" PRIx64
			  ") lies outside its code",
			  j->im->name, at);
}

static int own_definition(const struct job *j, const struct hp_reloc *rel, struct referent *ret,
			  struct hp_err *err)
{
	ret->addr = rel->value + (rel->flags & HP_RELOC_ABSOLUTE ? 0 : j->bias);
	ret->ifunc = rel->sym_type == STT_GNU_IFUNC;
	return ret->ifunc && !hp_image_is_code(j->im, rel->value, 1) ? no_resolver(j, rel->value, err)
								     : 0;
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

/* @at: the number of the relocation. */
static int refer(struct job *j, size_t at, struct referent *ret, struct hp_err *err)
{
	const struct hp_reloc *rel = (const struct hp_reloc *)j->rs->list.record + at;
	const char *name = hp_told_string(&j->rs->list, rel->name);
	const struct hp_reloc_sym *s;
	int r;

	*ret = (struct referent){.name = name ? name : ""};
	if (!name)
		return 0;
	if ((rel->flags & HP_RELOC_DEFINED) && rel->sym_type == STT_TLS)
		return hp_err_set(err, -HP_E_TLS,
				  "%s: defines the thread-local variable '%s', which no running "
				  "thread has room for: define it in the target's own code or make "
				  "it an ordinary variable",
				  j->im->name, name);
	if (j->rs->sym_of[at] == HP_RELOC_NO_SYM)
		return own_definition(j, rel, ret, err);
	s = &j->rs->sym[j->rs->sym_of[at]];
	r = ask(j, s, ret, err);
	if (r != -HP_E_UNDEFINED)
		return r;
	if (s->defined)
		return own_definition(j, rel, ret, err);
	/* gABI: an undefined weak symbol that nothing defines is 0. */
	return s->weak ? 0 : r;
}

/* --- one relocation ----------------------------------------------------------------------------- */

static int add(struct job *j, struct hp_fixup f, struct hp_err *err)
{
	struct hp_fixup *slot;

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

static int thread_pointer_offset(struct job *j, const struct hp_reloc *rel,
				 const struct referent *s, struct hp_err *err)
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
		   (struct hp_fixup){.where = rel->where,
				     .value = (uint64_t)s->tpoff + (uint64_t)rel->addend,
				     .size = 8},
		   err);
}

/* S + A, S + A - P: the psABI's letters. */
static int calculate(struct job *j, const struct hp_reloc *rel, const struct referent *s,
		     struct hp_err *err)
{
	uint32_t type = rel->type;
	uint64_t addend = (uint64_t)rel->addend;
	struct hp_fixup f = {.where = rel->where, .size = 8, .value = s->addr + addend};
	uint64_t place = j->bias + rel->where;

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

static int one(struct job *j, size_t at, struct hp_err *err)
{
	const struct hp_reloc *rel = (const struct hp_reloc *)j->rs->list.record + at;
	const char *name = hp_told_string(&j->rs->list, rel->name), *kind = type_name(rel->type);
	uint32_t type = rel->type;
	struct referent s;
	size_t n = 8;
	int r;

	if (!name)
		name = "";
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
	r = check_place(j, rel->where, n, kind, name, err);
	if (r)
		return r;
	if (type == R_X86_64_IRELATIVE && !hp_image_is_code(j->im, (uint64_t)rel->addend, 1))
		return no_resolver(j, (uint64_t)rel->addend, err);
	if (type == R_X86_64_RELATIVE || type == R_X86_64_RELATIVE64 ||
	    type == R_X86_64_IRELATIVE)
		return add(j,
			   (struct hp_fixup){.where = rel->where,
					     .value = j->bias + (uint64_t)rel->addend,
					     .size = 8,
					     .ifunc = type == R_X86_64_IRELATIVE},
			   err);
	if (type != R_X86_64_TPOFF64 && !hp_reloc_is_symbolic(type))
		return hp_err_set(err, -HP_E_RELOC,
				  "%s: relocation type %" PRIu32 " (R_X86_64_%s, against '%s') makes "
				  "no sense in a patch",
				  j->im->name, type, kind, name);
	r = refer(j, at, &s, err);
	if (r)
		return r;
	if (type == R_X86_64_TPOFF64)
		return thread_pointer_offset(j, rel, &s, err);
	if (s.tls)
		return hp_err_set(err, -HP_E_TLS,
				  "%s: '%s' is thread-local in the target, but not in the patch: "
				  "declare it extern __thread",
				  j->im->name, s.name);
	return calculate(j, rel, &s, err);
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

int hp_relocs_compute(struct hp_fixups *ret, const struct hp_relocs *rs, uint64_t bias,
		      hp_reloc_lookup lookup, void *arg, struct hp_err *err)
{
	struct hp_fixups found = {0};
	struct job j = {
		.out = &found, .rs = rs, .im = rs->im, .bias = bias, .lookup = lookup, .arg = arg};
	int r = 0;

	for (size_t i = 0; !r && i < rs->list.n; i++)
		r = one(&j, i, err);
	if (!r)
		r = check_textrel_flag(rs->im, err);
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
