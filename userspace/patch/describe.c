/* SPDX-License-Identifier: MIT */
/* A plan in words. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/block.h"
#include "elf/inlined.h"
#include "elf/symtab.h"
#include "hp/err.h"
#include "patch/coroutines.h"
#include "patch/plan.h"

#define NOTES_MAX 4096
#define NAMES_MAX 16

struct notes {
	char text[NOTES_MAX];
	size_t n;
};

__attribute__((format(printf, 2, 3))) static void note(struct notes *o, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (o->n + 2 >= sizeof(o->text))
		return;
	if (o->n)
		o->text[o->n++] = '\n';
	va_start(ap, fmt);
	n = vsnprintf(o->text + o->n, sizeof(o->text) - o->n, fmt, ap);
	va_end(ap);
	o->n += (size_t)n < sizeof(o->text) - o->n ? (size_t)n : sizeof(o->text) - o->n - 1;
}

/* Other names of one body, and clones that a new body does not replace. */
static void note_names(struct notes *o, const struct hp_plan_fn *f)
{
	const struct hp_sym *s[NAMES_MAX];
	const struct hp_symtab *st;
	char prefix[300];
	size_t n;

	if (hp_module_symtab(f->old.module, &st, NULL) < 0)
		return;
	n = hp_symtab_aliases(st, f->old.vaddr, s, NAMES_MAX);
	for (size_t i = 0; i < n && i < NAMES_MAX; i++)
		if (strcmp(s[i]->name, f->old.name))
			note(o, "shares its body with %s, which is replaced as well", s[i]->name);
	snprintf(prefix, sizeof(prefix), "%s.", f->old.name);
	n = hp_symtab_prefix(st, prefix, s, NAMES_MAX);
	for (size_t i = 0; i < n && i < NAMES_MAX; i++)
		if (!strstr(s[i]->name, ".cold"))
			note(o, "has a clone %s, which is not replaced", s[i]->name);
}

/* Copies of the old body stay where they are. */
static int note_inlined(struct notes *o, const struct hp_plan_fn *f, struct hp_err *err)
{
	struct hp_inlined in;
	int r = hp_inlined_find(&in, f->old.module->image, f->old.module->debug, f->old.vaddr, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < in.n && i < HP_INLINED_MAX; i++)
		note(o, "is inlined into %s, where the old body stays", in.into[i]);
	if (in.n > HP_INLINED_MAX)
		note(o, "and into %zu more", in.n - HP_INLINED_MAX);
	return 0;
}

static void note_flow(struct notes *o, const struct hp_plan_fn *f)
{
	hp_addr at;

	if (!hp_flow_watchable(&f->flow, true, &at))
		note(o, "cannot be watched: %s 0x%llx; the gate is used",
		     f->flow.exits_unknown ? "nothing tells whether it is left by the jump at"
					   : "it is left within its first five bytes, at",
		     (unsigned long long)at);
	if (!hp_flow_watchable(&f->new_flow, false, NULL))
		note(o, "%s cannot be watched when it is unloaded; the gate is used", f->new_name);
	if (f->flow.n_parts > 1)
		note(o, "has %zu cold parts", f->flow.n_parts - 1);
	for (size_t i = 0; i < f->sites.n; i++)
		if (f->sites.v[i].misaligned)
			note(o, "%s calls it with an unaligned stack; %s realigns it",
			     f->sites.v[i].caller, f->new_name);
}

static int describe_site(const struct hp_plan_fn *f, struct hp_site_info *s, struct hp_err *err)
{
	struct notes o = {.n = 0};
	int r;

	*s = (struct hp_site_info){
		.addr = f->old.addr,
		.size = f->old.size,
		.stub = f->stub,
		.watchable = hp_flow_watchable(&f->flow, true, NULL),
		.call_sites = f->sites.examined,
		.old_calls = -1,
	};
	snprintf(s->new_name, sizeof(s->new_name), "%s", f->new_name);
	snprintf(s->old_name, sizeof(s->old_name), "%s", f->old.name);
	snprintf(s->module, sizeof(s->module), "%.255s", f->old.module->path);
	snprintf(s->method, sizeof(s->method), "%s", hp_entry_method_name(f->method));
	if (f->joined)
		note(&o, "lies over patch %.16s…", f->below.l->fixed.id);
	else if (f->method != HP_ENTRY_PUN)
		note(&o, "entry method %s, because %s", s->method, f->why);
	note_names(&o, f);
	r = note_inlined(&o, f, err);
	note_flow(&o, f);
	if (r < 0 || !o.n)
		return r;
	s->notes = strdup(o.text);
	return s->notes ? 0 : hp_err_set(err, -ENOMEM, "no memory for a plan");
}

static int copy_pairs(struct hp_pairs *to, const struct hp_pairs *from)
{
	for (size_t i = 0; i < from->n; i++)
		if (hp_pairs_add(to, from->v[i].key, from->v[i].value) < 0)
			return -ENOMEM;
	return 0;
}

int hp_plan_describe(const struct hp_plan *p, struct hp_patch_info *ret, struct hp_err *err)
{
	struct hp_patch_info info = {
		.pid = p->target->pid, .mode = p->req->mode, .state = "planned"};
	int r = 0;

	memcpy(info.id, p->id, sizeof(info.id));
	memcpy(info.comm, p->target->comm, sizeof(info.comm));
	snprintf(info.file, sizeof(info.file), "%s", p->req->file);
	info.memory_bytes = p->area_bytes + p->n_banks * HP_BANK_SIZE + p->stub_page.n * HP_PAGE +
			    (p->patch.hi - p->patch.lo);
	(void)hp_coroutines(p->target, info.detail, sizeof(info.detail)); /* else it stays empty */
	info.site = calloc(p->n_fns, sizeof(*info.site));
	if (!info.site || copy_pairs(&info.replace, &p->replace) < 0 ||
	    copy_pairs(&info.ref, &p->ref) < 0 || copy_pairs(&info.meta, &p->info.meta) < 0)
		r = hp_err_set(err, -ENOMEM, "no memory for a plan");
	for (size_t i = 0; i < p->n_fns && r >= 0; i++) {
		r = describe_site(&p->fn[i], &info.site[i], err);
		info.n_sites++;
	}
	if (r >= 0) {
		*ret = info;
		return 0;
	}
	hp_patch_info_clear(&info);
	return r;
}
