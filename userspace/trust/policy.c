/* SPDX-License-Identifier: MIT */
#include "trust/policy.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "hp/err.h"
#include "trust/path.h"

static bool has_group(const struct hp_asker *who, gid_t gid)
{
	for (size_t i = 0; i < who->n_gids; i++)
		if (who->gid[i] == gid)
			return true;
	return false;
}

static bool fits_asker(const struct hp_rule *r, const struct hp_asker *who,
		       const struct hp_policy_target *target)
{
	switch (r->who) {
	case HP_WHO_ROOT:
		return who->uid == 0;
	case HP_WHO_USER:
		return who->uid == r->id;
	case HP_WHO_GROUP:
		return has_group(who, r->id);
	case HP_WHO_OWNER:
		return target && target->uid == who->uid && target->is_shown;
	case HP_WHO_ANYONE:
		return true;
	}
	return false;
}

/* By the file itself.  One that was replaced on disk since is known by its name alone, which is
 * worth something only where nobody but root can have given it. */
static int runs(const struct hp_policy_target *t, const char *path, struct hp_err *err)
{
	static const char deleted[] = " (deleted)";
	size_t n = strlen(path);
	struct stat st;
	int k = hp_root_path(path, &st, err);

	if (k < 0 && k != -ENOENT)
		return k;
	if (k == 0 && st.st_dev == t->exe_dev && st.st_ino == t->exe_ino)
		return 1;
	return t->exe_roots && !strncmp(t->exe, path, n) && !strcmp(t->exe + n, deleted);
}

/* Negative when that is not for root alone to say: he who can may want the rule to fit, or not to. */
static int fits_target(const struct hp_rule *r, const struct hp_policy_target *t, struct hp_err *err)
{
	int k;

	if (r->unit && (!t || strcmp(r->unit, t->unit) != 0))
		return 0;
	if (!r->exe)
		return 1;
	k = t ? runs(t, r->exe, err) : 0;
	if (k < 0)
		return hp_err_prefix(err, -HP_E_DENIED, "line %u of the policy: exe %.100s", r->line,
				     r->exe);
	return k;
}

static bool fits_signer(const struct hp_rule *r, const struct hp_signer *signer)
{
	if (!r->is_signed)
		return true;
	return signer && (!r->key[0] || !strcmp(r->key, signer->id));
}

static const char *right_name(enum hp_right right)
{
	switch (right) {
	case HP_RIGHT_SEE:
		return "look";
	case HP_RIGHT_LOAD:
		return "load a patch";
	case HP_RIGHT_UNLOAD:
		return "unload a patch";
	case HP_RIGHT_RESTART:
		return "restart";
	}
	return "do that";
}

static int refuse(const struct hp_asker *who, enum hp_right right,
		  const struct hp_policy_target *t, unsigned line, struct hp_err *err)
{
	char by[64] = "no rule of the policy allows it";

	if (line)
		snprintf(by, sizeof(by), "line %u of the policy denies it", line);
	if (t)
		return hp_err_set(err, -HP_E_DENIED, "uid %u may not %s in a process of %s: %s",
				  who->uid, right_name(right), t->exe, by);
	return hp_err_set(err, -HP_E_DENIED, "uid %u may not %s: %s", who->uid, right_name(right),
			  by);
}

int hp_policy_decide(const struct hp_policy *p, const struct hp_asker *who, enum hp_right right,
		     const struct hp_policy_target *target, const struct hp_signer *signer,
		     struct hp_err *err)
{
	unsigned unsigned_line = 0;
	int k;

	if (p->require_signed && right == HP_RIGHT_LOAD && !signer)
		return hp_err_set(err, -HP_E_SIGNATURE,
				  "the policy requires a signature, and the patch has none");
	for (size_t i = 0; i < p->n; i++) {
		const struct hp_rule *r = &p->v[i];

		if (!(r->rights & right) || !fits_asker(r, who, target))
			continue;
		if ((k = fits_target(r, target, err)) < 0)
			return k;
		if (k == 0)
			continue;
		/* Only what brings a patch can be signed. */
		if (right == HP_RIGHT_LOAD && !fits_signer(r, signer)) {
			if (r->allow && !unsigned_line)
				unsigned_line = r->line;
			continue;
		}
		return r->allow ? 0 : refuse(who, right, target, r->line, err);
	}
	if (unsigned_line)
		return hp_err_set(err, -HP_E_SIGNATURE,
				  "line %u of the policy allows that to uid %u only with a patch "
				  "that is signed%s",
				  unsigned_line, who->uid, signer ? " by another key" : "");
	return refuse(who, right, target, 0, err);
}

bool hp_policy_knows(const struct hp_policy *p, const struct hp_asker *who)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].allow &&
		    (p->v[i].who == HP_WHO_OWNER || fits_asker(&p->v[i], who, NULL)))
			return true;
	return false;
}

bool hp_policy_is_open(const struct hp_policy *p)
{
	const struct group *hp = getgrnam("hp");

	for (size_t i = 0; i < p->n; i++) {
		const struct hp_rule *r = &p->v[i];
		bool of_socket = r->who == HP_WHO_ROOT ||
				 (r->who == HP_WHO_GROUP && hp && r->id == hp->gr_gid);

		if (r->allow && !of_socket)
			return true;
	}
	return false;
}
