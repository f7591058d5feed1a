/* SPDX-License-Identifier: MIT */
/*
 * trust/minisign.h – detached signatures as minisign(1) makes and takes them: Ed25519 over the
 * BLAKE2b-512 of the file ("ED"), or over the file itself ("Ed", its old form, only verified).
 *
 * Format: https://jedisct1.github.io/minisign/#signature-format
 *
 * A signature's *trusted* comment is signed too.  A word "expires:YYYY-MM-DD" in it, or in the
 * comment of a public key's file, ends the validity with that day (UTC).
 */
#ifndef HP_TRUST_MINISIGN_H
#define HP_TRUST_MINISIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct hp_err;

#define HP_SIGNATURE_SUFFIX   ".minisig"
#define HP_KEY_ID_TEXT	      17 /* "D0ABE882F0FCBA5D" */
#define HP_TRUSTED_COMMENT    1024
#define HP_MINISIGN_FILE_MAX  8192 /* no file of minisign's is longer */

struct hp_public_key {
	uint8_t id[8];
	uint8_t key[32];
	time_t expires; /* the first second in which it is invalid; 0: never */
};

struct hp_signature {
	bool hashed;
	uint8_t id[8]; /* of the key that made it */
	uint8_t sig[64];
	uint8_t global[64]; /* of sig and comment */
	char comment[HP_TRUSTED_COMMENT];
	time_t expires; /* as above */
};

struct hp_secret_key {
	uint8_t id[8];
	uint8_t key[64];
};

/* Before all else (sodium_init(3)). */
int hp_minisign_begin(struct hp_err *err);

/* All three read the text of a file; @name is for messages.  -HP_E_SIGNATURE. */
int hp_minisign_read_public(const char *text, const char *name, struct hp_public_key *ret,
			    struct hp_err *err);
int hp_minisign_read_signature(const char *text, const char *name, struct hp_signature *ret,
			       struct hp_err *err);
/* *encrypted: the key has a password; with an error, @password (may be NULL) was not it. */
int hp_minisign_read_secret(const char *text, const char *name, const char *password,
			    struct hp_secret_key *ret, bool *encrypted, struct hp_err *err);

/* A key alone, base64, as `minisign -P` takes it. */
int hp_minisign_parse_public(const char *base64, const char *name, struct hp_public_key *ret,
			     struct hp_err *err);

/* 0 when @sig is @key's and holds for the @n bytes at @data, and neither has expired at @now;
 * else -HP_E_SIGNATURE. */
int hp_minisign_verify(const struct hp_signature *sig, const struct hp_public_key *key,
		       const void *data, size_t n, time_t now, struct hp_err *err);

/* The text of a signature file; to be freed with free().  -HP_E_USAGE: @trusted_comment is not one
 * line of less than HP_TRUSTED_COMMENT bytes. */
int hp_minisign_sign(const struct hp_secret_key *key, const void *data, size_t n,
		     const char *trusted_comment, char **ret, struct hp_err *err);

/* "D0ABE882F0FCBA5D", as minisign writes it. */
void hp_key_id_text(const uint8_t id[8], char ret[HP_KEY_ID_TEXT]);

/* The validity's end that @comment names; 0 when it names none.  -HP_E_SIGNATURE for no date. */
int hp_expiry_read(const char *comment, const char *name, time_t *ret, struct hp_err *err);

#endif
