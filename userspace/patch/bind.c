/* SPDX-License-Identifier: MIT */
/* What the patch imports, and the relocations that follow from it. */
#include <errno.h>
#include <stdlib.h>

#include "hp/err.h"
#include "patch/plan.h"

/* System V ABI, variant II: the executable's block ends at the thread pointer. */
static int64_t exe_tpoff(const struct hp_image *exe, uint64_t offset)
{
	for (size_t i = 0; i < exe->n_phdrs; i++) {
		const Elf64_Phdr *ph = &exe->phdr[i];
		uint64_t align = ph->p_align ? ph->p_align : 1;

		if (ph->p_type == PT_TLS)
			return (int64_t)offset -
			       (int64_t)((ph->p_memsz + align - 1) / align * align);
	}
	return 0;
}

/* What the patch imports does not change with its place. */
static int bind_all(struct hp_plan *p, struct hp_err *err)
{
	const struct hp_reloc_sym *sym;
	size_t n;
	int r;

	if (p->bound)
		return 0;
	if (!p->relocs && (r = hp_relocs_open(&p->relocs, p->image, err)) < 0)
		return r;
	n = hp_relocs_symbols(p->relocs, &sym);
	p->bound = calloc(n + 1, sizeof(*p->bound));
	if (!p->bound)
		return hp_err_set(err, -ENOMEM, "no memory for a plan");
	for (size_t i = 0; i < n; i++)
		p->bound[i] = (struct hp_bound){.name = sym[i].name,
						.version = sym[i].version,
						.needed = !sym[i].weak && !sym[i].defined};
	r = hp_resolve_imports(p->target, p->bound, n, err);
	if (r < 0) {
		free(p->bound);
		p->bound = NULL;
	}
	return r;
}

static int bind(void *arg, const struct hp_reloc_sym *sym, struct hp_reloc_target *ret,
		struct hp_err *err)
{
	struct hp_plan *p = arg;
	const struct hp_bound *at = &p->bound[sym->index];

	if (!at->module)
		return hp_resolve_undefined(p->target, at, err);
	*ret = (struct hp_reloc_target){.addr = at->addr, .ifunc = at->type == STT_GNU_IFUNC};
	if (at->type == STT_TLS) {
		if (!at->module->exe)
			return hp_err_set(err, -HP_E_TLS,
					  "%s is a thread-local variable of %s: only those of the "
					  "executable can be reached",
					  sym->name, at->module->path);
		ret->tls = true;
		ret->tpoff = exe_tpoff(at->module->image, at->vaddr);
	}
	return 0;
}

int hp_plan_relocate(struct hp_plan *p, struct hp_err *err)
{
	int r;

	hp_fixups_free(&p->fixups);
	r = bind_all(p, err);
	return r < 0 ? r : hp_relocs_compute(&p->fixups, p->relocs, p->bias, bind, p, err);
}
