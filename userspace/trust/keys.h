/* SPDX-License-Identifier: MIT */
/* trust/keys.h – the keys whose signatures count: *.pub in a folder of root's, as minisign made
 * them. */
#ifndef HP_TRUST_KEYS_H
#define HP_TRUST_KEYS_H

#include "trust/minisign.h"

#define HP_KEY_NAME 64

struct hp_trusted_key {
	struct hp_public_key key;
	char name[HP_KEY_NAME]; /* of its file, without ".pub" */
};

struct hp_keyring {
	struct hp_trusted_key *v;
	size_t n, room;
};

/* Who signed, and until when that holds. */
struct hp_signer {
	char id[HP_KEY_ID_TEXT]; /* "": nobody */
	char name[HP_KEY_NAME];
	char comment[HP_TRUSTED_COMMENT];
	time_t expires; /* 0: never */
};

/* Reads @dir; a folder that is not there holds no key.  -HP_E_DENIED when somebody but root could
 * change it or a file in it, -HP_E_SIGNATURE when a file is no key. */
int hp_keyring_read(const char *dir, struct hp_keyring *ret, struct hp_err *err);
void hp_keyring_free(struct hp_keyring *ring);

/* Whose signature @sig_text (of the file @name) is, and that it holds for @data now; else
 * -HP_E_SIGNATURE. */
int hp_keyring_verify(const struct hp_keyring *ring, const char *sig_text, const char *name,
		      const void *data, size_t n, struct hp_signer *ret, struct hp_err *err);

/* "2027-03-31", the last day on which something holds that ends with @expires. */
void hp_expiry_text(time_t expires, char ret[11]);

#endif
