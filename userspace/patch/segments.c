/* SPDX-License-Identifier: MIT */
#include "patch/segments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/block.h"
#include "base/array.h"
#include "hp/err.h"
#include "patch/control.h"

void hp_segments_free(struct hp_segments *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].bytes);
	HP_ARRAY_FREE(s);
}

static int prot_of(const Elf64_Phdr *ph)
{
	return (ph->p_flags & PF_R ? PROT_READ : 0) | (ph->p_flags & PF_W ? PROT_WRITE : 0) |
	       (ph->p_flags & PF_X ? PROT_EXEC : 0);
}

static int add(struct hp_segments *s, const struct hp_plan *p, const Elf64_Phdr *ph,
	       struct hp_err *err)
{
	hp_addr lo = HP_PAGE_DOWN(p->bias + ph->p_vaddr);
	hp_addr hi = HP_PAGE_UP(p->bias + ph->p_vaddr + ph->p_memsz);
	struct hp_segment *g;

	if ((ph->p_flags & PF_W) && (ph->p_flags & PF_X))
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "the patch has a segment that is writable and executable");
	if (s->n && lo < s->v[s->n - 1].hi)
		return hp_err_set(err, -HP_E_BAD_ELF, "two segments of the patch share a page: "
						      "link it with -z separate-code");
	if ((ph->p_vaddr - ph->p_offset) % HP_PAGE)
		return hp_err_set(err, -HP_E_BAD_ELF, "a segment of the patch is not aligned to "
						      "its place in the file");
	g = HP_ARRAY_ADD(s);
	if (!g)
		return hp_err_set(err, -ENOMEM, "no memory for segments");
	*g = (struct hp_segment){
		.lo = lo,
		.hi = hi,
		.file_hi = HP_PAGE_UP(p->bias + ph->p_vaddr + ph->p_filesz),
		.offset = HP_PAGE_DOWN(ph->p_offset),
		.prot = prot_of(ph),
	};
	if (!(ph->p_flags & PF_W)) {
		g->hi = g->file_hi; /* a loader makes no zeroes that nobody can have written */
		return 0;
	}
	g->bytes = calloc(1, hi - lo);
	if (!g->bytes)
		return hp_err_set(err, -ENOMEM, "no memory for %llu bytes of the patch's data",
				  (unsigned long long)(hi - lo));
	memcpy(g->bytes, p->image->bytes + g->offset, ph->p_offset - g->offset + ph->p_filesz);
	return 0;
}

static uint8_t *place_of(struct hp_segments *s, hp_addr at, size_t n)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].bytes && at >= s->v[i].lo && at + n <= s->v[i].hi)
			return s->v[i].bytes + (at - s->v[i].lo);
	return NULL;
}

static hp_addr ref_value(const struct hp_plan *p, const struct hp_plan_ref *ref)
{
	const struct hp_plan_fn *f;

	if (ref->orig_of < 0)
		return ref->value;
	f = &p->fn[ref->orig_of];
	return hp_block_addr(p->bank[f->bank], f->slot) + hp_path_offset(HP_PATH_OLD);
}

static int relocate(struct hp_segments *s, const struct hp_plan *p, struct hp_err *err)
{
	for (size_t i = 0; i < p->fixups.n; i++) {
		const struct hp_fixup *x = &p->fixups.v[i];
		uint8_t *at = place_of(s, p->bias + x->where, x->size);

		if (!at)
			return hp_err_set(err, -HP_E_TEXTREL,
					  "a relocation at 0x%llx is not in writable data",
					  (unsigned long long)x->where);
		memcpy(at, &x->value, x->size);
	}
	for (size_t i = 0; i < p->refs.n; i++) {
		const struct hp_plan_ref *ref = &p->refs.v[i];
		uint8_t *at = place_of(s, p->bias + ref->where, sizeof(hp_addr));
		hp_addr value = ref_value(p, ref);

		if (!at)
			return hp_err_set(err, -HP_E_NOT_PATCH,
					  "a reference at 0x%llx is not in writable data",
					  (unsigned long long)ref->where);
		memcpy(at, &value, sizeof(value));
	}
	return 0;
}

int hp_segments_plan(struct hp_segments *ret, const struct hp_plan *p, struct hp_err *err)
{
	struct hp_segments s = {0};
	int r = 0;

	for (size_t i = 0; i < p->image->n_phdrs && r >= 0; i++)
		if (p->image->phdr[i].p_type == PT_LOAD && p->image->phdr[i].p_memsz)
			r = add(&s, p, &p->image->phdr[i], err);
	if (r >= 0)
		r = relocate(&s, p, err);
	if (r < 0) {
		hp_segments_free(&s);
		return r;
	}
	*ret = s;
	return 0;
}

static int run_resolvers(const struct hp_plan *p, struct hp_agent *a, struct hp_err *err)
{
	for (size_t i = 0; i < p->fixups.n; i++) {
		const struct hp_fixup *x = &p->fixups.v[i];
		const uint64_t none[2] = {0};
		uint64_t value;
		int r;

		if (!x->ifunc)
			continue;
		if ((r = hp_agent_call(a, x->value, none, p->code + HP_CODE_BACK, &value,
				       err)) < 0 ||
		    (r = hp_mem_poke(p->target, p->bias + x->where, &value, sizeof(value), err)) <
			    0)
			return r;
	}
	return 0;
}

static int protect_relro(const struct hp_plan *p, struct hp_agent *a, struct hp_err *err)
{
	for (size_t i = 0; i < p->image->n_phdrs; i++) {
		const Elf64_Phdr *ph = &p->image->phdr[i];
		hp_addr lo = HP_PAGE_DOWN(p->bias + ph->p_vaddr);
		hp_addr hi = HP_PAGE_DOWN(p->bias + ph->p_vaddr + ph->p_memsz);
		int r;

		if (ph->p_type != PT_GNU_RELRO || hi <= lo)
			continue;
		if ((r = hp_agent_protect(a, lo, hi - lo, PROT_READ, err)) < 0)
			return r;
	}
	return 0;
}

int hp_segments_map(const struct hp_segments *s, const struct hp_plan *p, struct hp_agent *a,
		    int agent_fd, struct hp_err *err)
{
	const int fixed = MAP_PRIVATE | MAP_FIXED;
	int r;

	/* All of it at once, as a dynamic linker does: no gap in which the target could map. */
	if ((r = hp_agent_map(a, p->patch.lo, p->patch.hi - p->patch.lo, PROT_NONE,
			      MAP_PRIVATE | MAP_FIXED_NOREPLACE, agent_fd, 0, err)) < 0)
		return r;
	for (size_t i = 0; i < s->n; i++) {
		const struct hp_segment *g = &s->v[i];

		if (g->file_hi > g->lo &&
		    (r = hp_agent_map(a, g->lo, g->file_hi - g->lo, g->prot, fixed, agent_fd,
				      g->offset, err)) < 0)
			return r;
		if (g->hi > g->file_hi &&
		    (r = hp_agent_map(a, g->file_hi, g->hi - g->file_hi, g->prot,
				      fixed | MAP_ANONYMOUS, -1, 0, err)) < 0)
			return r;
		if (g->bytes &&
		    (r = hp_mem_poke(p->target, g->lo, g->bytes, g->hi - g->lo, err)) < 0)
			return r;
	}
	if ((r = run_resolvers(p, a, err)) < 0)
		return r;
	return protect_relro(p, a, err);
}
