/* SPDX-License-Identifier: MIT */
/*
 * service/identity.h – that the process which is described is one, and the one that was allowed.
 *
 * What a new process is started with is read out of many files of the old one, and some of it is the old
 * one's own word: its command line, its environment.  Its rights are not.  A process that executes a
 * set-user-id program in between would have its word carried out with the rights of that program.
 */
#ifndef HP_SERVICE_IDENTITY_H
#define HP_SERVICE_IDENTITY_H

#include <sys/types.h>

#include "service/creds.h"

struct hp_err;
struct hp_target;

struct hp_identity {
	struct hp_target *t;
	struct hp_creds creds;
};

/* The process @pid as it is now.  -HP_E_TARGET: it runs a set-user-id or set-group-id program, whose words
 * are those of whoever started it. */
int hp_identity_take(struct hp_identity *ret, pid_t pid, struct hp_err *err);
/* After whatever was read of it: it is the same process, with the same program and the same rights. */
int hp_identity_confirm(const struct hp_identity *id, struct hp_err *err);
void hp_identity_free(struct hp_identity *id);

#endif
