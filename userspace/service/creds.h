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
	uint64_t permitted, bounding, inheritable, ambient; /* capabilities */
	bool no_new_privs;
	ino_t user_ns;	 /* in which all of that counts */
	char label[256]; /* of the security module; "" where there is none */
};

/* As /proc/@pid has them. */
int hp_creds_read(struct hp_creds *ret, pid_t pid, struct hp_err *err);
/* -ENOMEM. */
int hp_creds_copy(struct hp_creds *to, const struct hp_creds *from);
/* A process with @held may become one with @wanted by itself: it has these capabilities, and those to
 * take any ids, or these.  That root gets all of its bounding set back when it executes something does
 * not count: whether it does (SECBIT_NOROOT) is not to be seen from outside. */
bool hp_creds_suffice(const struct hp_creds *held, const struct hp_creds *wanted);
bool hp_creds_same(const struct hp_creds *a, const struct hp_creds *b);
/* Of root's: all that the bounding set leaves, instead of those that the process has kept. */
void hp_creds_take_all(struct hp_creds *c);
/* Of root's: those that an execve(2) would give back to it, and that @c has not kept. */
uint64_t hp_creds_withheld(const struct hp_creds *c);
/* Instead of the process's own: "name", "uid" or "name:group", with every capability that goes with
 * it. */
int hp_creds_of_user(struct hp_creds *c, const char *user, struct hp_err *err);
void hp_creds_free(struct hp_creds *c);

/* The security label, from the next execve(2) on.  It is set by a file of /proc: before another root is
 * entered, where anything may be at that path. */
int hp_creds_set_label(const struct hp_creds *c);
/* All the others, for good, in a process with all rights that is about to execute something, which gets
 * no capability that is not permitted here but its file's, where @c lets it.  What failed is named in
 * *what. */
int hp_creds_apply(const struct hp_creds *c, const char **what);

#endif
