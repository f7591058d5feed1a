/* SPDX-License-Identifier: MIT */
/* All ledgers of one target. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "hp/err.h"
#include "patch/ledger.h"

static int by_time(const void *a, const void *b)
{
	const struct hp_ledger *const *x = a, *const *y = b;
	uint64_t p = (*x)->fixed.loaded_wall_ns, q = (*y)->fixed.loaded_wall_ns;

	return p < q ? -1 : p > q;
}

static int add_unknown(struct hp_ledgers *ls, const struct hp_map *m,
		       const struct hp_ledger_fixed *f)
{
	struct hp_unknown_ledger *u;

	if (ls->unknown.n == HP_UNKNOWN_MAX)
		return 0; /* by one already nothing is changed here */
	u = HP_ARRAY_ADD(&ls->unknown);
	if (!u)
		return -ENOMEM;
	u->version = f->magic == HP_LEDGER_MAGIC ? f->version : 0;
	snprintf(u->id, sizeof(u->id), "%s", m->path + strlen(HP_MEMFD_PREFIX));
	return 0;
}

static int append(struct hp_ledgers *ls, struct hp_ledger *l)
{
	struct hp_ledger **place = HP_ARRAY_ADD(ls);

	if (!place)
		return -ENOMEM;
	if (hp_leads_add(&ls->leads, l) < 0) {
		hp_leads_drop(&ls->leads, l);
		ls->n--;
		return -ENOMEM;
	}
	*place = l;
	ls->n_fns += l->fixed.n_fns;
	return 0;
}

/* So many are not ours: a target that wants to have our memory filled. */
static int read_area(const struct hp_target *t, const struct hp_map *m, struct hp_ledgers *ls)
{
	struct hp_ledger *l = malloc(sizeof(*l)); /* large, and mostly not used */
	int r;

	if (!l)
		return -ENOMEM;
	l->fixed.magic = 0;
	if (ls->n < HP_LEDGERS_MAX && hp_ledger_read(l, t, m->lo) &&
	    l->fixed.n_fns <= HP_LEDGERS_FNS - ls->n_fns) {
		r = append(ls, l);
		if (r < 0)
			free(l);
		return r;
	}
	r = add_unknown(ls, m, &l->fixed);
	free(l);
	return r;
}

int hp_ledgers_read(const struct hp_target *t, struct hp_ledgers *ret, struct hp_err *err)
{
	struct hp_ledgers ls = {0};

	for (size_t i = 0; i < t->maps.n; i++) {
		const struct hp_map *m = &t->maps.v[i];

		if (strncmp(m->path, HP_MEMFD_PREFIX, strlen(HP_MEMFD_PREFIX)) || m->offset)
			continue;
		if (read_area(t, m, &ls) < 0) {
			hp_ledgers_free(&ls);
			return hp_err_set(err, -ENOMEM, "no memory for a ledger");
		}
	}
	if (ls.n)
		qsort(ls.v, ls.n, sizeof(*ls.v), by_time);
	hp_leads_sort(&ls.leads);
	*ret = ls;
	return 0;
}

void hp_unknown_ledger_text(const struct hp_unknown_ledger *u, char *text, size_t n)
{
	if (u->version == HP_LEDGER_VERSION)
		snprintf(text, n, "patched by hp, but its ledger (patch %s…) does not hold", u->id);
	else if (u->version)
		snprintf(text, n, "patched by another version of hp (ledger version %u, patch %s…)",
			 u->version, u->id);
	else
		snprintf(text, n, "patched by another version of hp (ledger unknown, patch %s…)",
			 u->id);
}

int hp_ledgers_refuse_unknown(const struct hp_ledgers *ls, const struct hp_target *t,
			      struct hp_err *err)
{
	char text[128];

	if (!ls->unknown.n)
		return 0;
	hp_unknown_ledger_text(&ls->unknown.v[0], text, sizeof(text));
	return hp_err_set(err, -HP_E_TARGET,
			  "process %d is %s: what was done to it is not known here, so nothing is "
			  "changed; use the hp that patched it, or restart the process",
			  t->pid, text);
}

int hp_ledgers_refuse_full(const struct hp_ledgers *ls, size_t n_fns, const struct hp_target *t,
			   struct hp_err *err)
{
	if (ls->n < HP_LEDGERS_MAX && n_fns <= HP_LEDGERS_FNS - ls->n_fns)
		return 0;
	if (ls->n < HP_LEDGERS_MAX)
		return hp_err_set(err, -HP_E_TARGET,
				  "process %d (%s) has patches of %zu functions, and more than %d in "
				  "one process are not managed: unload some",
				  t->pid, t->comm, ls->n_fns, HP_LEDGERS_FNS);
	return hp_err_set(err, -HP_E_TARGET,
			  "process %d (%s) has %zu patches, and more than %d in one process are not "
			  "managed: unload some, or put several changes into one patch",
			  t->pid, t->comm, ls->n, HP_LEDGERS_MAX);
}

void hp_ledgers_free(struct hp_ledgers *ls)
{
	for (size_t i = 0; i < ls->n; i++)
		free(ls->v[i]);
	HP_ARRAY_FREE(&ls->unknown);
	HP_ARRAY_FREE(&ls->leads);
	HP_ARRAY_FREE(ls);
}

int hp_ledgers_add(struct hp_ledgers *ls, struct hp_ledger *l)
{
	int r = append(ls, l);

	if (r >= 0)
		hp_leads_sort(&ls->leads);
	return r;
}

void hp_ledgers_drop(struct hp_ledgers *ls, struct hp_ledger *l)
{
	size_t n = 0;

	for (size_t i = 0; i < ls->n; i++)
		if (ls->v[i] != l)
			ls->v[n++] = ls->v[i];
	hp_leads_drop(&ls->leads, l);
	if (n < ls->n) {
		ls->n_fns -= l->fixed.n_fns;
		free(l);
	}
	ls->n = n;
}

int hp_ledgers_pick(const struct hp_ledgers *ls, const char *prefix, struct hp_ledger **ret,
		    struct hp_err *err)
{
	struct hp_ledger *found = NULL;

	if (!*prefix)
		return hp_err_set(err, -HP_E_USAGE, "the patch id is empty");
	for (size_t i = 0; i < ls->n; i++) {
		struct hp_ledger *l = ls->v[i];

		if (strncmp(l->fixed.id, prefix, strlen(prefix)))
			continue;
		if (found && !strcmp(found->fixed.id, l->fixed.id)) {
			/* loaded again beside a retained one of the same content */
			if (hp_ledger_phase(l) != HP_PHASE_RETAINED)
				found = l;
			continue;
		}
		if (found)
			return hp_err_set(err, -HP_E_AMBIGUOUS,
					  "patch id %s fits both %.16s… and %.16s…: give more of it",
					  prefix, found->fixed.id, l->fixed.id);
		found = l;
	}
	if (!found)
		return hp_err_set(err, -HP_E_NOT_LOADED, "patch %s not loaded", prefix);
	*ret = found;
	return 0;
}

size_t hp_ledgers_functions(const struct hp_ledgers *ls)
{
	size_t n = 0;

	for (size_t i = 0; i < ls->n; i++)
		if (hp_ledger_phase(ls->v[i]) != HP_PHASE_RETAINED)
			n += ls->v[i]->fixed.n_fns;
	return n;
}
