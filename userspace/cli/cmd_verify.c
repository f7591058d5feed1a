/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/fd.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/signed_file.h"
#include "hp/err.h"
#include "trust/policy.h"

/* --key: the one key that counts; else the folder that hpd trusts. */
static int read_keys(const struct hp_args *args, struct hp_keyring *ret, struct hp_err *err)
{
	const char *path = hp_args_get(args, "key"), *dir = hp_args_get(args, "keys");
	struct hp_trusted_key *key;
	char *text;
	int k;

	if (!path)
		return hp_keyring_read(dir ? dir : HP_POLICY_KEYS, ret, err);
	k = hp_read_file(AT_FDCWD, path, HP_MINISIGN_FILE_MAX, &text, NULL);
	if (k < 0)
		return hp_err_sys(err, -k, "read %s", path);
	*ret = (struct hp_keyring){0};
	key = HP_ARRAY_ADD(ret);
	k = key ? hp_minisign_read_public(text, path, &key->key, err)
		: hp_err_set(err, -HP_E_FAILED, "no memory for a key");
	if (k < 0)
		hp_keyring_free(ret);
	else
		snprintf(key->name, sizeof(key->name), "%.*s", HP_KEY_NAME - 1, path);
	free(text);
	return k;
}

static void show(const struct hp_cli *cli, const struct hp_signer *signer)
{
	char expires[11] = "";
	json_t *doc;

	if (signer->expires)
		hp_expiry_text(signer->expires, expires);
	if (!cli->json) {
		printf("signed by %s, key %s%s%s\n", signer->name, signer->id,
		       *expires ? ", valid until " : "", expires);
		hp_put(stdout, signer->comment);
		putchar('\n');
		return;
	}
	doc = json_pack("{s:i,s:s,s:s,s:s,s:s}", "schema", 1, "key_id", signer->id, "key",
			signer->name, "comment", signer->comment, "expires", expires);
	json_dumpf(doc, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(doc);
}

static int verify(const struct hp_cli *cli, const struct hp_args *args, const char *file,
		  struct hp_err *err)
{
	struct hp_keyring ring = {0};
	struct hp_signer signer;
	char path[4096], *data = NULL, *text = NULL;
	size_t n;
	int k;

	if ((k = hp_signature_path(args, file, path, sizeof(path), err)) < 0 ||
	    (k = hp_signed_file_read(file, &data, &n, err)) < 0)
		return k;
	k = hp_read_file(AT_FDCWD, path, HP_MINISIGN_FILE_MAX, &text, NULL);
	if (k < 0)
		k = hp_err_sys(err, -k, "read %s", path);
	else
		k = read_keys(args, &ring, err);
	if (k == 0)
		k = hp_keyring_verify(&ring, text, path, data, n, &signer, err);
	if (k == 0)
		show(cli, &signer);
	hp_keyring_free(&ring);
	free(text);
	free(data);
	return k;
}

int hp_cmd_verify(struct hp_cli *cli, const struct hp_args *args)
{
	struct hp_err err = {0};

	if (hp_args_words(args) != 1)
		return hp_cli_usage(cli, "takes one file");
	if (hp_args_get(args, "key") && hp_args_get(args, "keys"))
		return hp_cli_usage(cli, "--key or --keys, not both");
	if (hp_minisign_begin(&err) < 0 || verify(cli, args, hp_args_word(args, 0), &err) < 0)
		return hp_tell_error(cli, &err);
	return HP_EXIT_DONE;
}
