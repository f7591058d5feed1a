/* SPDX-License-Identifier: MIT */
#include "trust/minisign.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hp/err.h"
#include "trust/text.h"

#define TRUSTED "trusted comment: "

struct public_file {
	uint8_t algorithm[2], id[8], key[32];
};

struct signature_file {
	uint8_t algorithm[2], id[8], sig[64];
};

_Static_assert(sizeof(struct public_file) == 42 && sizeof(struct signature_file) == 74,
	       "as they lie in the files");

int hp_minisign_begin(struct hp_err *err)
{
	if (sodium_init() < 0)
		return hp_err_set(err, -HP_E_FAILED, "libsodium finds no random numbers");
	return 0;
}

void hp_key_id_text(const uint8_t id[8], char ret[HP_KEY_ID_TEXT])
{
	for (int i = 0; i < 8; i++)
		snprintf(ret + (ptrdiff_t)i * 2, 3, "%02X", id[7 - i]);
}

/* timegm(3) would carry the 31st of February over. */
static bool is_date(const struct tm *day)
{
	struct tm carried = *day;

	(void)timegm(&carried);
	return carried.tm_mday == day->tm_mday;
}

int hp_expiry_read(const char *comment, const char *name, time_t *ret, struct hp_err *err)
{
	static const char word[] = "expires:";
	const char *p = comment;
	struct tm day = {0};
	const char *end;

	*ret = 0;
	while ((p = strstr(p, word)) && p != comment && !strchr(" \t", p[-1]))
		p++;
	if (!p)
		return 0;
	end = strptime(p + strlen(word), "%Y-%m-%d", &day);
	if (!end || (*end && !strchr(" \t", *end)) || !is_date(&day))
		return hp_err_set(err, -HP_E_SIGNATURE,
				  "%s: what follows \"expires:\" is no date YYYY-MM-DD", name);
	day.tm_mday++; /* carried over */
	*ret = timegm(&day);
	*ret += *ret == 0; /* which would be never; it is over anyway */
	return 0;
}

static int not_a(const char *name, const char *what, struct hp_err *err)
{
	return hp_err_set(err, -HP_E_SIGNATURE, "%s is not a minisign %s", name, what);
}

int hp_minisign_parse_public(const char *base64, const char *name, struct hp_public_key *ret,
			     struct hp_err *err)
{
	struct public_file f;

	if (!hp_text_base64(base64, &f, sizeof(f)) || memcmp(f.algorithm, "Ed", 2) != 0)
		return not_a(name, "public key", err);
	*ret = (struct hp_public_key){0};
	memcpy(ret->id, f.id, sizeof(f.id));
	memcpy(ret->key, f.key, sizeof(f.key));
	return 0;
}

int hp_minisign_read_public(const char *text, const char *name, struct hp_public_key *ret,
			    struct hp_err *err)
{
	char comment[HP_TRUSTED_COMMENT], line[HP_TRUSTED_COMMENT];
	struct hp_public_key key;
	int r;

	if (!hp_text_line(&text, comment, sizeof(comment)) ||
	    !hp_text_line(&text, line, sizeof(line)))
		return not_a(name, "public key", err);
	if ((r = hp_minisign_parse_public(line, name, &key, err)) < 0 ||
	    (r = hp_expiry_read(comment, name, &key.expires, err)) < 0)
		return r;
	*ret = key;
	return 0;
}

int hp_minisign_read_signature(const char *text, const char *name, struct hp_signature *ret,
			       struct hp_err *err)
{
	/* With room for the prefix, so that whatever fits here fits into the comment. */
	char line[HP_TRUSTED_COMMENT + sizeof(TRUSTED) - 1];
	struct hp_signature sig = {0};
	struct signature_file f;
	int r;

	if (!hp_text_skip_line(&text) || !hp_text_line(&text, line, sizeof(line)) ||
	    !hp_text_base64(line, &f, sizeof(f)))
		return not_a(name, "signature", err);
	sig.hashed = !memcmp(f.algorithm, "ED", 2);
	if (!sig.hashed && memcmp(f.algorithm, "Ed", 2) != 0)
		return not_a(name, "signature", err);
	if (!hp_text_line(&text, line, sizeof(line)) ||
	    strncmp(line, TRUSTED, sizeof(TRUSTED) - 1) != 0)
		return hp_err_set(err, -HP_E_SIGNATURE, "%s has no trusted comment", name);
	memcpy(sig.comment, line + sizeof(TRUSTED) - 1, strlen(line + sizeof(TRUSTED) - 1) + 1);
	if (!hp_text_line(&text, line, sizeof(line)) ||
	    !hp_text_base64(line, sig.global, sizeof(sig.global)))
		return not_a(name, "signature", err);
	memcpy(sig.id, f.id, sizeof(f.id));
	memcpy(sig.sig, f.sig, sizeof(f.sig));
	if ((r = hp_expiry_read(sig.comment, name, &sig.expires, err)) < 0)
		return r;
	*ret = sig;
	return 0;
}

/* What the second signature is of. */
static size_t signed_comment(const uint8_t sig[64], const char *comment,
			     uint8_t ret[64 + HP_TRUSTED_COMMENT])
{
	size_t n = strlen(comment);

	memcpy(ret, sig, 64);
	/* Bytes, and no string. NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
	memcpy(ret + 64, comment, n);
	return 64 + n;
}

static void hash(const void *data, size_t n, uint8_t ret[crypto_generichash_BYTES_MAX])
{
	/* Cannot fail: these lengths are allowed. */
	(void)crypto_generichash(ret, crypto_generichash_BYTES_MAX, data, n, NULL, 0);
}

static int judge(const struct hp_signature *sig, const struct hp_public_key *key, const void *data,
		 size_t n, struct hp_err *err)
{
	uint8_t digest[crypto_generichash_BYTES_MAX], all[64 + HP_TRUSTED_COMMENT];
	size_t n_all = signed_comment(sig->sig, sig->comment, all);

	if (memcmp(sig->id, key->id, sizeof(sig->id)) != 0)
		return hp_err_set(err, -HP_E_SIGNATURE, "the signature is of another key");
	if (sig->hashed) {
		hash(data, n, digest);
		data = digest;
		n = sizeof(digest);
	}
	if (crypto_sign_verify_detached(sig->sig, data, n, key->key) != 0)
		return hp_err_set(err, -HP_E_SIGNATURE,
				  "the signature does not hold: the file is not what was signed");
	if (crypto_sign_verify_detached(sig->global, all, n_all, key->key) != 0)
		return hp_err_set(err, -HP_E_SIGNATURE,
				  "the signature's trusted comment is not what was signed");
	return 0;
}

int hp_minisign_verify(const struct hp_signature *sig, const struct hp_public_key *key,
		       const void *data, size_t n, time_t now, struct hp_err *err)
{
	char id[HP_KEY_ID_TEXT];
	int r = judge(sig, key, data, n, err);

	if (r < 0)
		return r;
	hp_key_id_text(key->id, id);
	if (key->expires && now >= key->expires)
		return hp_err_set(err, -HP_E_SIGNATURE, "key %s has expired", id);
	if (sig->expires && now >= sig->expires)
		return hp_err_set(err, -HP_E_SIGNATURE, "the signature by key %s has expired", id);
	return 0;
}

int hp_minisign_sign(const struct hp_secret_key *key, const void *data, size_t n,
		     const char *trusted_comment, char **ret, struct hp_err *err)
{
	uint8_t digest[crypto_generichash_BYTES_MAX], all[64 + HP_TRUSTED_COMMENT], global[64];
	struct signature_file f = {.algorithm = {'E', 'D'}};
	char sig_text[HP_BASE64_ROOM(sizeof(f))], global_text[HP_BASE64_ROOM(sizeof(global))];
	char id[HP_KEY_ID_TEXT];
	size_t n_all;

	if (strlen(trusted_comment) >= HP_TRUSTED_COMMENT || strchr(trusted_comment, '\n'))
		return hp_err_set(err, -HP_E_USAGE,
				  "a trusted comment is one line of less than %d bytes",
				  HP_TRUSTED_COMMENT);
	memcpy(f.id, key->id, sizeof(f.id));
	hash(data, n, digest);
	/* Neither can fail (libsodium, crypto_sign_detached). */
	(void)crypto_sign_detached(f.sig, NULL, digest, sizeof(digest), key->key);
	n_all = signed_comment(f.sig, trusted_comment, all);
	(void)crypto_sign_detached(global, NULL, all, n_all, key->key);
	hp_text_to_base64(&f, sizeof(f), sig_text, sizeof(sig_text));
	hp_text_to_base64(global, sizeof(global), global_text, sizeof(global_text));
	hp_key_id_text(key->id, id);
	if (asprintf(ret, "untrusted comment: signature by key %s\n%s\n" TRUSTED "%s\n%s\n", id,
		     sig_text, trusted_comment, global_text) < 0)
		return hp_err_set(err, -ENOMEM, "no memory for a signature");
	return 0;
}
