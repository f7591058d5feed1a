/* SPDX-License-Identifier: MIT */
/* service/creds.h – whose rights a process has. */
#ifndef HP_SERVICE_CREDS_H
#define HP_SERVICE_CREDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hp_err;

struct hp_creds {
	uid_t uid[3]; /* real, effective, saved */
	gid_t gid[3];
	gid_t *groups;
	size_t n_groups;
	uint64_t bounding, inheritable, ambient;
	bool no_new_privs;
	char label[256]; /* of the security module; "" where there is none */
};

/* As /proc/@pid has them. */
int hp_creds_read(struct hp_creds *ret, pid_t pid, struct hp_err *err);
/* -ENOMEM. */
int hp_creds_copy(struct hp_creds *to, const struct hp_creds *from);
/* A process with @held may become one with @wanted by itself: its ids are root's, or these. */
bool hp_creds_suffice(const struct hp_creds *held, const struct hp_creds *wanted);
bool hp_creds_same(const struct hp_creds *a, const struct hp_creds *b);
/* Instead of the process's own: "name", "uid" or "name:group", with every capability that goes with
 * it. */
int hp_creds_of_user(struct hp_creds *c, const char *user, struct hp_err *err);
void hp_creds_free(struct hp_creds *c);

/* For good, in a process with all rights that is about to execute something.  What failed is named
 * in *what. */
int hp_creds_apply(const struct hp_creds *c, const char **what);

#endif
