/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "hp/err.h"
#include "trust/policy.h"

static const char *const who_name[] = {"root", "user", "group", "owner", "anyone"};

/* "see,load" */
static const char *rights_text(unsigned rights, char *buf, size_t n)
{
	static const char *const name[] = {"see", "load", "unload", "restart"};
	size_t at = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < sizeof(name) / sizeof(name[0]); i++)
		if (rights & 1u << i)
			at += (size_t)snprintf(buf + at, n - at, "%s%s", at ? "," : "", name[i]);
	return buf;
}

static void show_rule(const struct hp_rule *r)
{
	char rights[64];

	printf("%s %s", r->allow ? "allow" : "deny", who_name[r->who]);
	if (r->who == HP_WHO_USER || r->who == HP_WHO_GROUP)
		printf(" %u", r->id);
	printf(" to %s", rights_text(r->rights, rights, sizeof(rights)));
	if (r->exe)
		printf(" exe %s", r->exe);
	if (r->unit)
		printf(" unit %s", r->unit);
	if (r->is_signed)
		printf(" signed%s%s", r->key[0] ? " by " : "", r->key);
	printf("\n");
}

static void show_key(const struct hp_trusted_key *k)
{
	char id[HP_KEY_ID_TEXT], until[11] = "";

	hp_key_id_text(k->key.id, id);
	if (k->key.expires)
		hp_expiry_text(k->key.expires, until);
	printf("# key %s %s%s%s\n", id, k->name, *until ? ", valid until " : "", until);
}

static json_t *rule_json(const struct hp_rule *r)
{
	char rights[64];

	return json_pack("{s:b,s:s,s:i,s:s,s:s*,s:s*,s:b,s:s,s:i}", "allow", r->allow, "who",
			 who_name[r->who], "id", (int)r->id, "to",
			 rights_text(r->rights, rights, sizeof(rights)), "exe", r->exe, "unit",
			 r->unit, "signed", r->is_signed, "by", r->key, "line", (int)r->line);
}

static json_t *key_json(const struct hp_trusted_key *k)
{
	char id[HP_KEY_ID_TEXT], until[11] = "";

	hp_key_id_text(k->key.id, id);
	if (k->key.expires)
		hp_expiry_text(k->key.expires, until);
	return json_pack("{s:s,s:s,s:s}", "key_id", id, "name", k->name, "expires", until);
}

static void show_json(const struct hp_policy *p, const struct hp_keyring *ring)
{
	json_t *rules = json_array(), *keys = json_array(), *doc;

	for (size_t i = 0; i < p->n; i++)
		json_array_append_new(rules, rule_json(&p->v[i]));
	for (size_t i = 0; i < ring->n; i++)
		json_array_append_new(keys, key_json(&ring->v[i]));
	doc = json_pack("{s:i,s:b,s:s,s:o,s:o}", "schema", 1, "require_signed", p->require_signed,
			"keys_dir", p->keys, "keys", keys, "rules", rules);
	json_dumpf(doc, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(doc);
}

static void show(const struct hp_policy *p, const struct hp_keyring *ring)
{
	for (size_t i = 0; i < ring->n; i++)
		show_key(&ring->v[i]);
	if (p->require_signed)
		printf("require signed\n");
	for (size_t i = 0; i < p->n; i++)
		show_rule(&p->v[i]);
}

int hp_cmd_policy(struct hp_cli *cli, const struct hp_args *args)
{
	const char *verb = hp_args_word(args, 0), *file = hp_args_word(args, 1);
	struct hp_keyring ring = {0};
	struct hp_policy policy;
	struct hp_err err;

	if (!verb || strcmp(verb, "check") != 0 || hp_args_words(args) > 2)
		return hp_cli_usage(cli, "takes the word check, and a file");
	/* Without a file there are the rules that hold without one; a file that is named must be there. */
	if (file && access(file, F_OK) < 0) {
		(void)hp_err_set(&err, -HP_E_NO_FILE, "open %s: %s", file, strerror(errno));
		return hp_tell_error(cli, &err);
	}
	if (hp_policy_read(file ? file : HP_POLICY_FILE, &policy, &err) < 0)
		return hp_tell_error(cli, &err);
	if (hp_keyring_read(policy.keys, &ring, &err) < 0) {
		hp_policy_free(&policy);
		return hp_tell_error(cli, &err);
	}
	if (cli->json)
		show_json(&policy, &ring);
	else
		show(&policy, &ring);
	hp_keyring_free(&ring);
	hp_policy_free(&policy);
	return HP_EXIT_DONE;
}
