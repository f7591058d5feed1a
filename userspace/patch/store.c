/* SPDX-License-Identifier: MIT */
#include "patch/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch/template.h"
#include "base/fd.h"
#include "hp/err.h"

static int copy(int from, int to, const char *name, crypto_hash_sha256_state *sum,
		struct hp_err *err)
{
	static uint8_t buf[1 << 16];
	uint64_t total = 0;

	for (off_t off = 0;;) {
		ssize_t n = pread(from, buf, sizeof(buf), off);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return hp_err_sys(err, errno, "read %s", name);
		if (n == 0)
			return 0;
		total += (uint64_t)n;
		if (total > HP_PATCH_MAX_BYTES)
			return hp_err_set(err, -HP_E_NOT_PATCH, "%s is larger than %llu MB", name,
					  HP_PATCH_MAX_BYTES >> 20);
		(void)crypto_hash_sha256_update(sum, buf, (size_t)n); /* always 0 */
		r = hp_pwrite_all(to, buf, (size_t)n, off);
		if (r < 0)
			return hp_err_sys(err, -r, "copy %s", name);
		off += n;
	}
}

int hp_store_read(int fd, const char *name, char id[HP_ID_LEN + 1], int *ret_fd,
		  struct hp_err *err)
{
	hp_autoclose int mem = hp_memfd("hp-copy", MFD_ALLOW_SEALING);
	uint8_t digest[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state sum;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return hp_err_sys(err, errno, "read %s", name);
	if (S_ISDIR(st.st_mode))
		return hp_err_set(err, -HP_E_NO_FILE, "read %s: is a directory", name);
	if (!S_ISREG(st.st_mode))
		return hp_err_set(err, -HP_E_NO_FILE, "read %s: not a regular file", name);
	if (mem < 0)
		return hp_err_sys(err, errno, "memfd_create");
	(void)crypto_hash_sha256_init(&sum); /* always 0 */
	r = copy(fd, mem, name, &sum, err);
	if (r < 0)
		return r;
	(void)crypto_hash_sha256_final(&sum, digest); /* always 0 */
	if (fcntl(mem, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return hp_err_sys(err, errno, "seal the copy of %s", name);
	sodium_bin2hex(id, HP_ID_LEN + 1, digest, sizeof(digest));
	*ret_fd = HP_TAKE_FD(mem);
	return 0;
}

static int make_dir(const char *path, struct hp_err *err)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return hp_err_sys(err, errno, "mkdir %s", path);
	return 0;
}

/* A file appears whole or not at all, and the first one stays: a running target maps it. */
static int publish(const char *dir, const char *name, int content, const uint8_t *bytes, size_t n,
		   struct hp_err *err)
{
	char tmp[PATH_MAX], path[PATH_MAX];
	hp_autoclose int fd = -1;
	int r = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(tmp, sizeof(tmp), "%s/.%s.%d", dir, name, getpid());
	(void)unlink(tmp); /* a killed namesake's */
	fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (fd < 0)
		return hp_err_sys(err, errno, "create %s", tmp);
	if (bytes) {
		r = hp_pwrite_all(fd, bytes, n, 0);
		if (r < 0)
			(void)hp_err_sys(err, -r, "write %s", tmp);
	} else {
		crypto_hash_sha256_state unused;

		(void)crypto_hash_sha256_init(&unused); /* always 0 */
		r = copy(content, fd, tmp, &unused, err);
	}
	if (r == 0 && link(tmp, path) < 0 && errno != EEXIST)
		r = hp_err_sys(err, errno, "link %s", path);
	(void)unlink(tmp); /* the name that counts is the other one */
	return r;
}

static bool same_bytes(int a, int b)
{
	static uint8_t x[1 << 16], y[1 << 16];

	for (off_t off = 0;;) {
		ssize_t n = pread(a, x, sizeof(x), off), m = pread(b, y, sizeof(y), off);

		if (n != m || n < 0 || memcmp(x, y, (size_t)n))
			return false;
		if (n == 0)
			return true;
		off += n;
	}
}

int hp_store_keep(const char *state_dir, const char *id, int copy_fd, int *ret_fd,
		  struct hp_err *err)
{
	char dir[PATH_MAX - 96], name[HP_ID_LEN + 8], path[PATH_MAX];
	hp_autoclose int fd = -1;
	int r;

	snprintf(dir, sizeof(dir), "%s/patches", state_dir);
	snprintf(name, sizeof(name), "%s.so", id);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if ((r = make_dir(state_dir, err)) < 0 || (r = make_dir(dir, err)) < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		if ((r = publish(dir, name, copy_fd, NULL, 0, err)) < 0)
			return r;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (fd < 0)
		return hp_err_sys(err, errno, "open %s", path);
	if (!same_bytes(fd, copy_fd))
		return hp_err_set(err, -HP_E_FAILED,
				  "%s does not hold what its name says: remove it", path);
	*ret_fd = HP_TAKE_FD(fd);
	return 0;
}

/* It is mapped by targets for as long as they run: what is there is compared, never written. */
static int open_template(const char *state_dir, const uint8_t *want, size_t n, int *ret_fd,
			 struct hp_err *err)
{
	hp_autoclose int fd = -1;
	char path[PATH_MAX];
	struct stat st;
	uint8_t *have;
	bool same;
	int r;

	snprintf(path, sizeof(path), "%s/%s", state_dir, HP_TEMPLATE_NAME);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		if ((r = make_dir(state_dir, err)) < 0 ||
		    (r = publish(state_dir, HP_TEMPLATE_NAME, -1, want, n, err)) < 0)
			return r;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (fd < 0)
		return hp_err_sys(err, errno, "open %s", path);
	have = malloc(n);
	same = have && fstat(fd, &st) == 0 && (uint64_t)st.st_size == n &&
	       hp_pread_all(fd, have, n, 0) == 0 && memcmp(have, want, n) == 0;
	free(have);
	if (!same)
		return hp_err_set(err, -HP_E_FAILED, "%s does not hold hp's path blocks: remove it",
				  path);
	*ret_fd = HP_TAKE_FD(fd);
	return 0;
}

int hp_store_template(const char *state_dir, int *ret_fd, struct hp_err *err)
{
	const uint8_t *want;
	size_t n;
	int r = hp_template_file(&want, &n);

	if (r < 0)
		return hp_err_sys(err, -r, "make the file of path blocks");
	return open_template(state_dir, want, n, ret_fd, err);
}
