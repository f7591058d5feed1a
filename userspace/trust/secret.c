/* SPDX-License-Identifier: MIT */
/* The secret half, which only `hpctl sign` reads. */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "hp/err.h"
#include "trust/minisign.h"
#include "trust/text.h"

/* What the password encrypts, by XOR with scrypt's output. */
struct inner {
	uint8_t id[8], key[64], checksum[32];
};

struct secret_file {
	uint8_t algorithm[2], kdf[2], checksum[2];
	uint8_t salt[crypto_pwhash_scryptsalsa208sha256_SALTBYTES];
	uint8_t ops[8], mem[8]; /* little-endian */
	struct inner inner;
};

_Static_assert(sizeof(struct secret_file) == 158, "as it lies in the file");

#define SCRYPT_MEMORY_MAX (2ull << 30) /* minisign uses 1 GB at most */

static uint64_t little_endian(const uint8_t v[8])
{
	uint64_t n = 0;

	for (int i = 7; i >= 0; i--)
		n = n << 8 | v[i];
	return n;
}

static int decrypt(struct secret_file *f, const char *name, const char *password,
		   struct hp_err *err)
{
	uint64_t ops = little_endian(f->ops), mem = little_endian(f->mem);
	uint8_t stream[sizeof(f->inner)], *p = (uint8_t *)&f->inner;

	if (mem > SCRYPT_MEMORY_MAX || ops > SCRYPT_MEMORY_MAX)
		return hp_err_set(err, -HP_E_SIGNATURE, "%s asks for too much memory", name);
	if (crypto_pwhash_scryptsalsa208sha256(stream, sizeof(stream), password, strlen(password),
					       f->salt, ops, (size_t)mem) != 0)
		return hp_err_set(err, -ENOMEM, "no memory to decrypt %s", name);
	for (size_t i = 0; i < sizeof(stream); i++)
		p[i] ^= stream[i];
	sodium_memzero(stream, sizeof(stream));
	return 0;
}

static bool checksum_holds(const struct secret_file *f)
{
	uint8_t sum[crypto_generichash_BYTES];
	crypto_generichash_state st;

	/* None can fail: these lengths are allowed. */
	(void)crypto_generichash_init(&st, NULL, 0, sizeof(sum));
	(void)crypto_generichash_update(&st, f->algorithm, sizeof(f->algorithm));
	(void)crypto_generichash_update(&st, f->inner.id, sizeof(f->inner.id));
	(void)crypto_generichash_update(&st, f->inner.key, sizeof(f->inner.key));
	(void)crypto_generichash_final(&st, sum, sizeof(sum));
	return sodium_memcmp(sum, f->inner.checksum, sizeof(sum)) == 0;
}

static int read_secret(struct secret_file *f, const char *text, const char *name,
		       const char *password, bool *encrypted, struct hp_err *err)
{
	char line[HP_TRUSTED_COMMENT];
	int r;

	if (!hp_text_skip_line(&text) || !hp_text_line(&text, line, sizeof(line)) ||
	    !hp_text_base64(line, f, sizeof(*f)) || memcmp(f->algorithm, "Ed", 2) != 0 ||
	    memcmp(f->checksum, "B2", 2) != 0)
		return hp_err_set(err, -HP_E_SIGNATURE, "%s is not a minisign secret key", name);
	sodium_memzero(line, sizeof(line));
	*encrypted = !memcmp(f->kdf, "Sc", 2);
	if (!*encrypted && memcmp(f->kdf, "\0\0", 2) != 0)
		return hp_err_set(err, -HP_E_SIGNATURE, "%s is encrypted in an unknown way", name);
	if (!*encrypted)
		return 0; /* minisign -W writes no checksum */
	if (!password)
		return hp_err_set(err, -HP_E_SIGNATURE, "%s needs a password", name);
	if ((r = decrypt(f, name, password, err)) < 0)
		return r;
	if (!checksum_holds(f))
		return hp_err_set(err, -HP_E_SIGNATURE, "wrong password for %s", name);
	return 0;
}

int hp_minisign_read_secret(const char *text, const char *name, const char *password,
			    struct hp_secret_key *ret, bool *encrypted, struct hp_err *err)
{
	struct secret_file f;
	int r;

	*encrypted = false;
	r = read_secret(&f, text, name, password, encrypted, err);
	if (r == 0) {
		memcpy(ret->id, f.inner.id, sizeof(ret->id));
		memcpy(ret->key, f.inner.key, sizeof(ret->key));
	}
	sodium_memzero(&f, sizeof(f));
	return r;
}
