/* SPDX-License-Identifier: MIT */
/* What the tests of hp/upgrade.h share: a handle of their own, without the claim on the process. */
#ifndef TESTS_UNIT_UPGRADE_RIG_H
#define TESTS_UNIT_UPGRADE_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "upgrade/upgrade.h"

#define PATIENCE_MS 20000

static struct hp_err err;
static char dir[] = "/tmp/hp-upgrade.XXXXXX";

static inline int rig_begin(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static inline int rig_end(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static inline const char *in_dir(const char *name)
{
	static char path[4][sizeof(dir) + 64];
	static int i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

static inline bool exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

/* An environment of two variables, and descriptors that begin elsewhere. */
static struct {
	const char *name, *value;
} rig_vars[4];

static inline const char *rig_get(const char *name)
{
	for (int i = 0; i < 4; i++)
		if (rig_vars[i].name && !strcmp(rig_vars[i].name, name))
			return rig_vars[i].value;
	return NULL;
}

static inline void rig_unset(const char *name)
{
	for (int i = 0; i < 4; i++)
		if (rig_vars[i].name && !strcmp(rig_vars[i].name, name))
			rig_vars[i].name = NULL;
}

static inline void rig_clear(void)
{
	memset(rig_vars, 0, sizeof(rig_vars));
}

static struct hp_environ rig_env = {rig_get, rig_unset, 3};

static inline struct hp_upgrade *opened(const struct hp_upgrade_options *o)
{
	struct hp_upgrade *u;

	if (hp_upgrade_open_in(&u, o, &rig_env, &err) < 0)
		fail_msg("%s", err.text);
	return u;
}

/* @fd, or the test fails with the sentence. */
static inline int good(int fd)
{
	if (fd < 0)
		fail_msg("%s", err.text);
	return fd;
}

/* The call's code, and the sentence in err. */
#define expect_error(call, number, sentence)                                                       \
	do {                                                                                       \
		memset(&err, 0, sizeof(err));                                                      \
		assert_int_equal(call, number);                                                    \
		assert_int_equal(err.code, number);                                                \
		assert_string_equal(err.text, sentence);                                           \
	} while (0)

static inline bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static inline bool is_readable(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) > 0;
}

/* A handle to which everything was handed over that @u uses, as in the next process. */
static inline struct hp_upgrade *next_of(struct hp_upgrade *u)
{
	struct hp_upgrade *next = opened(NULL);

	for (size_t i = 0; i < u->fds.used.a.n; i++) {
		struct hp_handed *h = &u->fds.used.a.v[i];
		int fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 0);

		assert_true(fd >= 0);
		assert_int_equal(hp_handed_add(&next->fds.inherited, h->kind, h->network,
					       h->address, h->label, fd),
				 0);
	}
	return next;
}

#endif
