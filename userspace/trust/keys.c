/* SPDX-License-Identifier: MIT */
#include "trust/keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "hp/err.h"
#include "trust/file.h"

#define KEYS_MAX   256
#define DAY	   (24 * 60 * 60)
#define KEY_SUFFIX ".pub"

void hp_keyring_free(struct hp_keyring *ring)
{
	HP_ARRAY_FREE(ring);
}

void hp_expiry_text(time_t expires, char ret[11])
{
	time_t last = expires - DAY;
	struct tm day;

	if (!gmtime_r(&last, &day) || strftime(ret, 11, "%Y-%m-%d", &day) == 0)
		snprintf(ret, 11, "?");
}

static bool is_key_name(const char *name, size_t *stem)
{
	size_t n = strlen(name), suffix = strlen(KEY_SUFFIX);

	*stem = n - suffix;
	return n > suffix && *stem < HP_KEY_NAME && !strcmp(name + n - suffix, KEY_SUFFIX);
}

static int add(struct hp_keyring *ring, int dir, const char *dir_name, const char *name,
	       size_t stem, struct hp_err *err)
{
	struct hp_trusted_key *key;
	char path[512], *text;
	int r;

	snprintf(path, sizeof(path), "%.250s/%.250s", dir_name, name);
	if (ring->n == KEYS_MAX)
		return hp_err_set(err, -HP_E_SIGNATURE, "%s holds more than %d keys", dir_name,
				  KEYS_MAX);
	if ((r = hp_root_file_read(dir, name, path, HP_MINISIGN_FILE_MAX, &text, err)) < 0)
		return r;
	key = HP_ARRAY_ADD(ring);
	if (!key)
		r = hp_err_set(err, -ENOMEM, "no memory for a key");
	else
		r = hp_minisign_read_public(text, path, &key->key, err);
	if (r == 0)
		snprintf(key->name, sizeof(key->name), "%.*s", (int)stem, name);
	free(text);
	return r;
}

int hp_keyring_read(const char *dir, struct hp_keyring *ret, struct hp_err *err)
{
	struct hp_keyring ring = {0};
	struct dirent *e;
	size_t stem;
	int fd, r = 0;
	DIR *d;

	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		*ret = ring;
		return 0;
	}
	if (fd < 0)
		return hp_err_sys(err, errno, "open %s", dir);
	if ((r = hp_root_only(fd, dir, err)) < 0) {
		close(fd);
		return r;
	}
	d = fdopendir(fd);
	if (!d) {
		r = hp_err_sys(err, errno, "read %s", dir);
		close(fd);
		return r;
	}
	while (r == 0 && (e = readdir(d)))
		if (is_key_name(e->d_name, &stem))
			r = add(&ring, fd, dir, e->d_name, stem, err);
	closedir(d);
	if (r < 0)
		hp_keyring_free(&ring);
	else
		*ret = ring;
	return r;
}

static const struct hp_trusted_key *find(const struct hp_keyring *ring, const uint8_t id[8])
{
	for (size_t i = 0; i < ring->n; i++)
		if (!memcmp(ring->v[i].key.id, id, 8))
			return &ring->v[i];
	return NULL;
}

int hp_keyring_verify(const struct hp_keyring *ring, const char *sig_text, const char *name,
		      const void *data, size_t n, struct hp_signer *ret, struct hp_err *err)
{
	const struct hp_trusted_key *key;
	struct hp_signature sig;
	char id[HP_KEY_ID_TEXT];
	int r = hp_minisign_read_signature(sig_text, name, &sig, err);

	if (r < 0)
		return r;
	hp_key_id_text(sig.id, id);
	key = find(ring, sig.id);
	if (!key)
		return hp_err_set(err, -HP_E_SIGNATURE, "%s is by key %s, which is not trusted",
				  name, id);
	if ((r = hp_minisign_verify(&sig, &key->key, data, n, time(NULL), err)) < 0)
		return hp_err_prefix(err, r, "%s", name);
	memcpy(ret->id, id, sizeof(id));
	memcpy(ret->name, key->name, sizeof(key->name));
	memcpy(ret->comment, sig.comment, sizeof(sig.comment));
	ret->expires = sig.expires;
	if (key->key.expires && (!ret->expires || key->key.expires < ret->expires))
		ret->expires = key->key.expires;
	return 0;
}
