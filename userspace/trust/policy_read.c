/* SPDX-License-Identifier: MIT */
/* The policy's words: one rule a line. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "hp/err.h"
#include "trust/file.h"
#include "trust/path.h"
#include "trust/policy.h"

#define POLICY_MAX (1u << 20)

struct reader {
	const char *name;
	unsigned line;
	char *rest; /* of the line, cut into words by strtok_r(3) */
	struct hp_policy *p;
	struct hp_err *err;
};

static char *word(struct reader *r)
{
	return strtok_r(NULL, " \t\r", &r->rest);
}

static int bad(struct reader *r, const char *what, const char *text)
{
	return hp_err_set(r->err, -HP_E_USAGE, "%s, line %u: %s%s%.100s%s", r->name, r->line, what,
			  text ? " '" : "", text ? text : "", text ? "'" : "");
}

static bool number(const char *text, unsigned *ret)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	*ret = (unsigned)v;
	return *text >= '0' && *text <= '9' && !*end && v < (uid_t)-1;
}

static int read_user(struct reader *r, struct hp_rule *rule)
{
	const char *name = word(r);
	const struct passwd *pw;

	if (!name)
		return bad(r, "a name is missing after \"user\"", NULL);
	rule->who = HP_WHO_USER;
	if (number(name, &rule->id))
		return 0;
	pw = getpwnam(name);
	if (!pw)
		return bad(r, "there is no user", name);
	rule->id = pw->pw_uid;
	return 0;
}

static int read_group(struct reader *r, struct hp_rule *rule)
{
	const char *name = word(r);
	const struct group *gr;

	if (!name)
		return bad(r, "a name is missing after \"group\"", NULL);
	rule->who = HP_WHO_GROUP;
	if (number(name, &rule->id))
		return 0;
	gr = getgrnam(name);
	if (!gr)
		return bad(r, "there is no group", name);
	rule->id = gr->gr_gid;
	return 0;
}

static int read_who(struct reader *r, struct hp_rule *rule)
{
	const char *w = word(r);

	if (!w)
		return bad(r, "who? root, owner, anyone, user NAME or group NAME", NULL);
	if (!strcmp(w, "user"))
		return read_user(r, rule);
	if (!strcmp(w, "group"))
		return read_group(r, rule);
	if (!strcmp(w, "root"))
		rule->who = HP_WHO_ROOT;
	else if (!strcmp(w, "owner"))
		rule->who = HP_WHO_OWNER;
	else if (!strcmp(w, "anyone"))
		rule->who = HP_WHO_ANYONE;
	else
		return bad(r, "root, owner, anyone, user NAME or group NAME, not", w);
	return 0;
}

static int read_rights(struct reader *r, struct hp_rule *rule)
{
	static const struct {
		const char *name;
		enum hp_right right;
	} rights[] = {{"see", HP_RIGHT_SEE},
		      {"load", HP_RIGHT_LOAD},
		      {"unload", HP_RIGHT_UNLOAD},
		      {"restart", HP_RIGHT_RESTART}};
	char *list = word(r), *save;
	unsigned got = 0;

	if (rule->rights)
		return bad(r, "given twice:", "to");
	if (!list || !list[strspn(list, ",")])
		return bad(r, "\"to\" what? see, load, unload, restart, with commas between", NULL);
	for (char *w = strtok_r(list, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		unsigned before = got;

		for (size_t i = 0; i < sizeof(rights) / sizeof(rights[0]); i++)
			if (!strcmp(w, rights[i].name))
				got |= rights[i].right;
		if (got == before)
			return bad(r, "see, load, unload or restart (once each), not", w);
	}
	rule->rights = got;
	return 0;
}

static int read_name(struct reader *r, char **ret, const char *what)
{
	const char *w = word(r);

	if (!w)
		return bad(r, "a name is missing after", what);
	if (*ret)
		return bad(r, "given twice:", what);
	if (!strcmp(what, "exe") && *w != '/')
		return bad(r, "an absolute path is needed, not", w);
	*ret = strdup(w);
	return *ret ? 0 : hp_err_set(r->err, -ENOMEM, "no memory for the policy");
}

/* A file that is not there yet can be named, where only root can put it. */
static int read_exe(struct reader *r, struct hp_rule *rule)
{
	int k = read_name(r, &rule->exe, "exe");
	struct stat st;

	if (k < 0 || (k = hp_root_path(rule->exe, &st, r->err)) == 0 || k == -ENOENT)
		return k == -ENOENT ? 0 : k;
	return hp_err_prefix(r->err, k, "%s, line %u: exe %.100s", r->name, r->line, rule->exe);
}

static int read_signed(struct reader *r, struct hp_rule *rule, char **next)
{
	char *key = word(r);

	if (rule->is_signed)
		return bad(r, "given twice:", "signed");
	rule->is_signed = true;
	*next = NULL;
	if (key && !strcmp(key, "by")) {
		key = word(r);
		if (!key || strlen(key) != HP_KEY_ID_TEXT - 1 ||
		    strspn(key, "0123456789ABCDEF") != HP_KEY_ID_TEXT - 1)
			return bad(r, "a key id has 16 digits 0-9A-F, not", key ? key : "");
		memcpy(rule->key, key, HP_KEY_ID_TEXT);
	} else {
		*next = key;
	}
	return 0;
}

static int read_conditions(struct reader *r, struct hp_rule *rule)
{
	char *w = word(r), *next;
	int k = 0;

	for (; w && k == 0; w = next) {
		next = NULL;
		if (!strcmp(w, "to"))
			k = read_rights(r, rule);
		else if (!strcmp(w, "exe"))
			k = read_exe(r, rule);
		else if (!strcmp(w, "unit"))
			k = read_name(r, &rule->unit, "unit");
		else if (!strcmp(w, "signed"))
			k = read_signed(r, rule, &next);
		else
			return bad(r, "to, exe, unit or signed, not", w);
		if (k == 0 && !next)
			next = word(r);
	}
	return k;
}

static int read_rule(struct reader *r, bool allow)
{
	struct hp_rule *rule = HP_ARRAY_ADD(r->p);
	int k;

	if (!rule)
		return hp_err_set(r->err, -ENOMEM, "no memory for the policy");
	*rule = (struct hp_rule){.allow = allow, .line = r->line};
	if ((k = read_who(r, rule)) < 0 || (k = read_conditions(r, rule)) < 0)
		return k;
	rule->rights = rule->rights ? rule->rights : HP_RIGHT_ALL;
	return 0;
}

static int read_keys(struct reader *r)
{
	const char *dir = word(r);

	if (!dir || *dir != '/')
		return bad(r, "\"keys\" takes an absolute path", NULL);
	free(r->p->keys);
	r->p->keys = strdup(dir);
	if (!r->p->keys)
		return hp_err_set(r->err, -ENOMEM, "no memory for the policy");
	return word(r) ? bad(r, "\"keys\" takes one path", NULL) : 0;
}

static int read_line(struct reader *r, char *line)
{
	const char *w = strtok_r(line, " \t\r", &r->rest);

	if (!w || *w == '#')
		return 0;
	if (!strcmp(w, "allow") || !strcmp(w, "deny"))
		return read_rule(r, *w == 'a');
	if (!strcmp(w, "keys"))
		return read_keys(r);
	if (strcmp(w, "require") != 0)
		return bad(r, "allow, deny, require or keys, not", w);
	w = word(r);
	if (!w || strcmp(w, "signed") != 0 || word(r))
		return bad(r, "\"require\" takes the word \"signed\"", NULL);
	r->p->require_signed = true;
	return 0;
}

int hp_policy_parse(const char *text, const char *name, struct hp_policy *ret, struct hp_err *err)
{
	struct hp_policy p = {.keys = strdup(HP_POLICY_KEYS)};
	struct reader r = {.name = name, .p = &p, .err = err};
	char *copy = strdup(text), *rest = copy, *line;
	int k = 0;

	if (!copy || !p.keys)
		k = hp_err_set(err, -ENOMEM, "no memory for the policy");
	while (k == 0 && (line = strsep(&rest, "\n"))) {
		r.line++;
		k = read_line(&r, line);
	}
	free(copy);
	if (k < 0)
		hp_policy_free(&p);
	else
		*ret = p;
	return k;
}

int hp_policy_read(const char *path, struct hp_policy *ret, struct hp_err *err)
{
	/* Who has no group hp needs no rule for it. */
	const char *usual = getgrnam("hp") ? "allow root\nallow group hp\n" : "allow root\n";
	char *text;
	int k = hp_root_file_read(AT_FDCWD, path, path, POLICY_MAX, &text, err);

	if (k == -ENOENT)
		return hp_policy_parse(usual, "the default policy", ret, err);
	if (k < 0)
		return k;
	k = hp_policy_parse(text, path, ret, err);
	free(text);
	return k;
}

void hp_policy_free(struct hp_policy *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].exe);
		free(p->v[i].unit);
	}
	HP_ARRAY_FREE(p);
	free(p->keys);
	p->keys = NULL;
}
