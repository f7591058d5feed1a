/* SPDX-License-Identifier: MIT */
#include "patch/depend.h"

#include <errno.h>
#include <string.h>

#include "hp/err.h"

#define PREFIX_MIN 8

static const char requires[] = "requires", supersedes[] = "supersedes";

static bool active(const struct hp_ledger *l)
{
	return hp_ledger_phase(l) == HP_PHASE_ACTIVE;
}

static bool names(const struct hp_pair *p, const char *relation, const struct hp_ledger *l)
{
	return !strcmp(p->key, relation) && !strncmp(l->fixed.id, p->value, strlen(p->value));
}

static bool any_names(const struct hp_pairs *meta, const char *relation, const struct hp_ledger *l)
{
	for (size_t i = 0; i < meta->n; i++)
		if (names(&meta->v[i], relation, l))
			return true;
	return false;
}

bool hp_depend_supersedes(const struct hp_pairs *meta, const struct hp_ledger *l)
{
	return active(l) && any_names(meta, supersedes, l);
}

static int check_ids(const struct hp_pairs *meta, struct hp_err *err)
{
	for (size_t i = 0; i < meta->n; i++) {
		const struct hp_pair *p = &meta->v[i];
		size_t n = strlen(p->value);

		if (strcmp(p->key, requires) && strcmp(p->key, supersedes))
			continue;
		if (n < PREFIX_MIN || n > HP_ID_LEN || strspn(p->value, "0123456789abcdef") != n)
			return hp_err_set(err, -HP_E_NOT_PATCH,
					  "the patch says that it %s '%s', which is no hp_id: give %d to %d "
					  "digits of one, in lower case",
					  p->key, p->value, PREFIX_MIN, HP_ID_LEN);
	}
	return 0;
}

static int check_requires(const struct hp_pairs *meta, const struct hp_ledgers *there,
			  struct hp_err *err)
{
	for (size_t i = 0; i < meta->n; i++) {
		bool there_is = strcmp(meta->v[i].key, requires) != 0;

		for (size_t k = 0; k < there->n && !there_is; k++)
			there_is = active(there->v[k]) && names(&meta->v[i], requires, there->v[k]);
		if (!there_is)
			return hp_err_set(err, -HP_E_DEPENDS,
					  "the patch requires patch %s, which is not active: load that "
					  "first",
					  meta->v[i].value);
	}
	return 0;
}

/* Those that a patch with @superseding supersedes need nothing any more; NULL: everybody stays. */
static int check_required(const struct hp_ledger *l, const struct hp_ledgers *there,
			  const struct hp_pairs *superseding, struct hp_err *err)
{
	for (size_t i = 0; i < there->n; i++) {
		const struct hp_ledger *x = there->v[i];
		struct hp_pairs meta = {0};
		int r = 0;

		if (x == l || !active(x) || (superseding && hp_depend_supersedes(superseding, x)))
			continue;
		if (hp_ledger_get_text(x, 'm', &meta) < 0)
			r = hp_err_set(err, -ENOMEM, "no memory for metadata");
		else if (any_names(&meta, requires, l))
			r = hp_err_set(err, -HP_E_DEPENDS,
				       "patch %.16s… is required by patch %.16s… (%s): unload that "
				       "first",
				       l->fixed.id, x->fixed.id, x->fixed.file);
		hp_pairs_free(&meta);
		if (r < 0)
			return r;
	}
	return 0;
}

int hp_depend_check_unload(const struct hp_ledger *l, const struct hp_ledgers *there,
			   struct hp_err *err)
{
	return active(l) ? check_required(l, there, NULL, err) : 0;
}

int hp_depend_check_load(const struct hp_pairs *meta, const struct hp_ledgers *there,
			 struct hp_err *err)
{
	size_t going = 0;
	int r;

	if ((r = check_ids(meta, err)) < 0 || (r = check_requires(meta, there, err)) < 0)
		return r;
	for (size_t i = 0; i < there->n && r >= 0; i++) {
		const struct hp_ledger *l = there->v[i];

		if (!hp_depend_supersedes(meta, l))
			continue;
		if (++going > HP_SUPERSEDES_MAX)
			return hp_err_set(err, -HP_E_NOT_PATCH,
					  "the patch supersedes more than %d loaded patches: unload "
					  "some of them first",
					  HP_SUPERSEDES_MAX);
		r = any_names(meta, requires, l)
			    ? hp_err_set(err, -HP_E_DEPENDS,
					 "the patch both requires and supersedes patch %.16s…",
					 l->fixed.id)
			    : check_required(l, there, meta, err);
	}
	return r;
}
