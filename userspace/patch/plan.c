/* SPDX-License-Identifier: MIT */
/*
 * The order of the checks is the order in which a person would want to hear of a fault: the file,
 * its maps, the target's functions, what their callers assume.
 */
#include "patch/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "elf/cfi.h"
#include "elf/reader.h"
#include "elf/symtab.h"
#include "hp/err.h"

void hp_plan_free(struct hp_plan *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_fns; i++) {
		hp_flow_free(&p->fn[i].flow);
		hp_flow_free(&p->fn[i].new_flow);
		hp_call_sites_free(&p->fn[i].sites);
	}
	free(p->fn);
	HP_ARRAY_FREE(&p->refs);
	HP_ARRAY_FREE(&p->stub_page);
	hp_fixups_free(&p->fixups);
	hp_pairs_free(&p->replace);
	hp_pairs_free(&p->ref);
	hp_patchinfo_free(&p->info);
	hp_relocs_free(p->relocs);
	free(p->bound);
	hp_cfi_free(p->cfi);
	hp_symtab_free(p->symtab);
	free(p);
}

/* The request's pairs win over the patch's own: they were written later. */
static int merge(struct hp_pairs *ret, const struct hp_pairs *request, const struct hp_pairs *own,
		 size_t *asked)
{
	const struct hp_pairs *const from[] = {request, own};

	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < from[k]->n; i++)
			if (!hp_pairs_get(ret, from[k]->v[i].key) &&
			    hp_pairs_add(ret, from[k]->v[i].key, from[k]->v[i].value) < 0)
				return -ENOMEM;
		if (from[k] == request)
			*asked = ret->n;
	}
	return 0;
}

static int patch_symbol(const struct hp_plan *p, const char *name, const struct hp_sym **ret,
			struct hp_err *err)
{
	const struct hp_sym *found[2];
	size_t n = hp_symtab_find(p->symtab, name, NULL, found, 2);
	const char *near[3];
	size_t k;

	if (n > 1)
		return hp_err_set(err, -HP_E_AMBIGUOUS,
				  "the patch defines %s more than once: give it external linkage",
				  name);
	if (n == 1) {
		*ret = found[0];
		return 0;
	}
	k = hp_symtab_similar(p->symtab, name, near, 3);
	return hp_err_set(err, -HP_E_NO_SYMBOL, "symbol %s not found in the patch%s%s%s", name,
			  k ? " (did you mean " : "", k ? near[0] : "", k ? "?)" : "");
}

static int check_needed(struct hp_plan *p, struct hp_err *err)
{
	const char *so;

	for (size_t i = 0; (so = hp_image_needed(p->image, i)); i++)
		if (!hp_target_module_named(p->target, so))
			return hp_err_set(
				err, -HP_E_NEEDED,
				"the patch needs %s, which the target has not loaded: link the "
				"patch without it (-nostdlib resolves against the target alone)",
				so);
	return 0;
}

static int check_build_id(struct hp_plan *p, struct hp_err *err)
{
	const char *want = hp_pairs_get(&p->info.meta, "needs-build-id");
	char have[2 * HP_BUILD_ID_MAX + 1];

	if (!want)
		return 0;
	for (size_t i = 0; i < p->target->n_modules; i++)
		if (!strcmp(hp_image_build_id_hex(p->target->module[i].image, have), want))
			return 0;
	hp_image_build_id_hex(hp_target_exe(p->target)->image, have);
	return hp_err_set(err, -HP_E_BUILD_ID, "%s has build-id %s, the patch was made for %s",
			  hp_target_exe(p->target)->path, *have ? have : "(none)", want);
}

struct hp_head hp_plan_head(const struct hp_plan_fn *f)
{
	struct hp_head head = f->head;

	head.at += f->old.module->bias;
	head.pun += f->old.module->bias;
	return head;
}

static int plan_new(struct hp_plan *p, struct hp_plan_fn *f, struct hp_err *err)
{
	const struct hp_sym *s;
	int r = patch_symbol(p, f->new_name, &s, err);

	if (r < 0)
		return r;
	if (s->type != STT_FUNC)
		return hp_err_set(err, -HP_E_NOT_FUNCTION, "%s of the patch is not a function",
				  f->new_name);
	f->new_vaddr = s->value;
	f->new_size = s->size;
	if (!s->size || hp_image_left(p->image, s->value) < s->size)
		return hp_err_set(err, -HP_E_BAD_ELF,
				  "%s of the patch has a size of %llu, which is not in the file",
				  f->new_name, (unsigned long long)s->size);
	return hp_flow_read(&f->new_flow, p->image, p->symtab, p->cfi, f->new_name, s->value,
			    s->size, err);
}

static int check_callers(struct hp_plan *p, struct hp_plan_fn *f, struct hp_err *err)
{
	bool realigns = hp_code_realigns(p->image, f->new_vaddr, f->new_size);
	char live[HP_LIVE_NAMES_MAX];

	for (size_t i = 0; i < f->sites.n; i++) {
		const struct hp_call_site *s = &f->sites.v[i];

		if (s->live && s->unread)
			return hp_err_set(
				err, -HP_E_CALL_SITE,
				"%s may keep values in registers across its call of %s at 0x%llx: hp does "
				"not know the instruction at 0x%llx, which may read them: replace %s as "
				"well",
				s->caller, f->old.name, (unsigned long long)s->at,
				(unsigned long long)s->unread, s->caller);
		if (s->live)
			return hp_err_set(
				err, -HP_E_CALL_SITE,
				"%s keeps values in %s across its call of %s at 0x%llx, because "
				"its compiler knew the old body (-fipa-ra): replace %s as well",
				s->caller, hp_live_names(s->live, live, sizeof(live)),
				f->old.name, (unsigned long long)s->at, s->caller);
		if (s->misaligned && !realigns)
			return hp_err_set(
				err, -HP_E_CALL_SITE,
				"%s calls %s at 0x%llx with an unaligned stack, because its "
				"compiler knew the old body (-fipa-stack-alignment): mark %s with "
				"HP_NEW, which realigns it",
				s->caller, f->old.name, (unsigned long long)s->at, f->new_name);
	}
	return 0;
}

static int plan_old(struct hp_plan *p, struct hp_plan_fn *f, const char *spec, struct hp_err *err)
{
	const struct hp_symtab *st;
	const struct hp_cfi *cfi;
	int r = hp_resolve_function(p->target, spec, &f->old, err);

	if (r < 0)
		return r;
	if ((r = hp_module_symtab(f->old.module, &st, err)) < 0 ||
	    (r = hp_module_cfi(f->old.module, &cfi, err)) < 0)
		return r;
	if (!f->old.size) {
		struct hp_fde fde;

		if (!hp_cfi_find(cfi, f->old.vaddr, &fde) || fde.lo != f->old.vaddr)
			return hp_err_set(err, -HP_E_NOT_FUNCTION,
					  "no symbol and no unwind entry tells how long %s is", spec);
		f->old.size = fde.hi - fde.lo;
	}
	if ((r = hp_head_read(&f->head, f->old.module->image, f->old.name, f->old.vaddr,
			      f->old.size, err)) < 0 ||
	    (r = hp_flow_read(&f->flow, f->old.module->image, st, cfi, f->old.name, f->old.vaddr,
			      f->old.size, err)) < 0)
		return r;
	if (f->flow.back_to_entry)
		return hp_err_set(err, -HP_E_ENTRY,
				  "%s branches back to its own first byte: a call in flight would "
				  "enter the new code in the middle",
				  f->old.name);
	return hp_call_sites_find(&f->sites, f->old.module->image, st, cfi, f->old.vaddr, err);
}

static int plan_functions(struct hp_plan *p, struct hp_err *err)
{
	if (!p->replace.n)
		return hp_err_set(err, -HP_E_NOT_PATCH,
				  "nothing to replace: the patch has no HP_REPLACE and the request "
				  "no replace map");
	if (p->replace.n > HP_LEDGER_FNS)
		return hp_err_set(err, -HP_E_NOT_PATCH, "%zu functions at once, %d are possible",
				  p->replace.n, HP_LEDGER_FNS);
	p->fn = calloc(p->replace.n, sizeof(*p->fn));
	if (!p->fn)
		return hp_err_set(err, -ENOMEM, "no memory for a plan");
	for (size_t i = 0; i < p->replace.n; i++) {
		struct hp_plan_fn *f = &p->fn[i];
		const char *spec = p->replace.v[i].value;
		int r;

		if (strlen(p->replace.v[i].key) >= sizeof(f->new_name))
			return hp_err_set(err, -HP_E_NOT_PATCH, "symbol name %s is too long",
					  p->replace.v[i].key);
		p->n_fns = i + 1;
		snprintf(f->new_name, sizeof(f->new_name), "%s", p->replace.v[i].key);
		if ((r = plan_new(p, f, err)) < 0 || (r = plan_old(p, f, spec, err)) < 0 ||
		    (r = check_callers(p, f, err)) < 0)
			return hp_err_prefix(err, r, "replace %s=%s", f->new_name, spec);
		for (size_t k = 0; k < i; k++)
			if (p->fn[k].old.addr == f->old.addr)
				return hp_err_set(err, -HP_E_AMBIGUOUS,
						  "%s and %s both replace the function at %s",
						  p->fn[k].new_name, f->new_name, f->old.name);
	}
	return 0;
}

static int fn_at(const struct hp_plan *p, hp_addr addr)
{
	for (size_t i = 0; i < p->n_fns; i++)
		if (p->fn[i].old.addr == addr)
			return (int)i;
	return -1;
}

static int plan_refs_of(struct hp_plan *p, const struct hp_pairs *pairs, bool orig,
			struct hp_err *err)
{
	for (size_t i = 0; i < pairs->n; i++) {
		const char *var = pairs->v[i].key;
		const struct hp_sym *s;
		struct hp_plan_ref *ref;
		struct hp_resolved at;
		const Elf64_Phdr *ph;
		int r;

		if ((r = patch_symbol(p, var, &s, err)) < 0 ||
		    (r = orig ? hp_resolve_function(p->target, pairs->v[i].value, &at, err)
			      : hp_resolve_any(p->target, pairs->v[i].value, &at, err)) < 0)
			return hp_err_prefix(err, r, "ref %s=%s", var, pairs->v[i].value);
		ph = hp_image_segment(p->image, s->value);
		if (s->type == STT_FUNC || s->size != sizeof(void *) || !ph ||
		    !(ph->p_flags & PF_W) || s->value + s->size > ph->p_vaddr + ph->p_memsz)
			return hp_err_set(err, -HP_E_NOT_PATCH,
					  "ref %s=%s: %s is not a pointer variable of the patch",
					  var, pairs->v[i].value, var);
		ref = HP_ARRAY_ADD(&p->refs);
		if (!ref)
			return hp_err_set(err, -ENOMEM, "no memory for a plan");
		*ref = (struct hp_plan_ref){
			.where = s->value, .value = at.addr, .orig_of = orig ? fn_at(p, at.addr) : -1};
	}
	return 0;
}

static int read_array(struct hp_plan *p, int64_t tag, int64_t size_tag, uint64_t *out, size_t *n,
		      bool reverse, struct hp_err *err)
{
	uint64_t at, bytes;
	size_t count;

	if (!hp_image_dynamic(p->image, tag, &at) || !hp_image_dynamic(p->image, size_tag, &bytes))
		return 0;
	count = bytes / sizeof(uint64_t);
	if (count > 8 - *n)
		return hp_err_set(err, -HP_E_NOT_PATCH,
				  "the patch has %zu initialisers or finalisers, 8 are possible",
				  count);
	/* The entries are relocated: what they hold is the address of the slot for now. */
	for (size_t i = 0; i < count; i++)
		out[(*n)++] = at + 8 * (reverse ? count - 1 - i : i);
	return 0;
}

/* gcc's start files put frame_dummy and __do_global_dtors_aux into every shared object.  They do
 * nothing for a C patch, and running them would cost it a safe point. */
static bool only_crt(const struct hp_plan *p, const char *name, size_t n)
{
	const struct hp_sym *s;

	return n == 1 && hp_symtab_find(p->symtab, name, NULL, &s, 1) == 1;
}

static int plan_frames(struct hp_plan *p)
{
	/* Only C++ throws; and without libgcc in the process nobody unwinds. */
	struct hp_bound needs[] = {{.name = "__cxa_throw"},
				   {.name = "__register_frame_info"},
				   {.name = "__deregister_frame_info"}};
	const uint8_t *bytes;
	uint64_t vaddr;
	size_t n;

	if (hp_resolve_imports(p->target, needs, 3, NULL) < 0 || !needs[0].module ||
	    !needs[1].module || !needs[2].module)
		return 0;
	p->register_frame = needs[1].addr;
	p->deregister_frame = needs[2].addr;
	bytes = hp_image_section(p->image, ".eh_frame", &vaddr, &n);
	/* The list must end with a zero word (crtendS.o), or libgcc runs past it. */
	if (bytes && n >= 8 && !memcmp(bytes + n - 4, "\0\0\0", 4))
		p->eh_frame = vaddr;
	return 0;
}

static int plan_code(struct hp_plan *p, struct hp_err *err)
{
	int r;

	if ((r = read_array(p, DT_INIT_ARRAY, DT_INIT_ARRAYSZ, p->init, &p->n_init, false, err)) <
		    0 ||
	    (r = read_array(p, DT_FINI_ARRAY, DT_FINI_ARRAYSZ, p->fini, &p->n_fini, true, err)) < 0)
		return r;
	if (only_crt(p, "frame_dummy", p->n_init)) {
		p->n_init = 0;
		/* It also runs what static constructors gave to __cxa_atexit: here there were none. */
		if (only_crt(p, "__do_global_dtors_aux", p->n_fini))
			p->n_fini = 0;
	}
	return plan_frames(p);
}

int hp_plan_make(struct hp_plan **ret, struct hp_target *t, const struct hp_load_request *req,
		 const char *id, const struct hp_file *file, struct hp_err *err)
{
	struct hp_plan *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return hp_err_set(err, -ENOMEM, "no memory for a plan");
	snprintf(p->id, sizeof(p->id), "%s", id);
	p->req = req;
	p->target = t;
	p->image = file->image;
	if ((r = hp_symtab_load(&p->symtab, p->image, NULL, err)) < 0 ||
	    (r = hp_patchinfo_read(&p->info, p->image, p->symtab, err)) < 0 ||
	    (r = hp_cfi_open(&p->cfi, p->image, err)) < 0 || (r = check_needed(p, err)) < 0 ||
	    (r = check_build_id(p, err)) < 0)
		goto fail;
	if (merge(&p->replace, &req->replace, &p->info.replace, &p->asked_replace) < 0 ||
	    merge(&p->ref, &req->ref, &p->info.ref, &p->asked_ref) < 0) {
		r = hp_err_set(err, -ENOMEM, "no memory for a plan");
		goto fail;
	}
	if ((r = plan_functions(p, err)) < 0 || (r = plan_refs_of(p, &p->ref, false, err)) < 0 ||
	    (r = plan_refs_of(p, &p->info.orig, true, err)) < 0 || (r = plan_code(p, err)) < 0)
		goto fail;
	/* What was looked up in passing, and not found, may not have been told. */
	if ((r = hp_reader_check(file->reader, err)) < 0 || (r = hp_reader_check(t->reader, err)) < 0)
		goto fail;
	*ret = p;
	return 0;
fail:
	hp_plan_free(p);
	return r;
}
