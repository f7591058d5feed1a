/* SPDX-License-Identifier: MIT */
/*
 * access/access.h – what a peer may do: the policy, and the signature of what it brings.
 *
 * Two doors.  hpd itself asks for what concerns no one process; a job asks for its target, when that
 * is held by a pidfd and before anything in it is touched.
 */
#ifndef HP_ACCESS_ACCESS_H
#define HP_ACCESS_ACCESS_H

#include "access/peer.h"
#include "trust/policy.h"

struct hp_err;
struct hp_pairs;
struct hp_target;

struct hp_access {
	const char *file;
	struct hp_policy policy;
};

/* Reads the policy; @file must outlive it.  On an error *a is as before. */
int hp_access_read(struct hp_access *a, const char *file, struct hp_err *err);
void hp_access_free(struct hp_access *a);

/* 0, or -HP_E_DENIED for a peer whom no rule could ever allow anything. */
int hp_access_peer(const struct hp_access *a, const struct hp_peer *peer, struct hp_err *err);

/* For what concerns no one process. */
int hp_access_general(const struct hp_access *a, const struct hp_peer *peer, enum hp_right right,
		      struct hp_err *err);

/* What a job asks, for hp_ops.permit. */
struct hp_access_question {
	const struct hp_access *access;
	const struct hp_peer *peer;
	enum hp_right right;
	int process;	   /* pidfd of the one that is meant; -1: whoever has the number */
	uid_t of;	   /* not 0: the process must be that user's alone */
	bool by_owner;	   /* … and he may look into it */
	pid_t by_target;   /* not 0: files are named, and opened, as that process would */
	const char *patch; /* the name of the file; its signature's is the same with ".minisig" */
	char *signature;   /* that file's text; NULL: there is none.  Owned. */
	/* Found when a load asks with its patch; what it unloads on its way asks without. */
	bool is_signed;
	struct hp_signer signer;
};

/* Opens what @peer names with no more rights than @peer's own; for others than root not through links that
 * are no paths (/proc/PID/root, cwd, fd). */
int hp_access_open_file(const struct hp_peer *peer, const char *path, struct hp_err *err);

/* Reads the signature beside q->patch, if there is one. */
int hp_access_read_signature(struct hp_access_question *q, struct hp_err *err);

/* hp_ops.permit; @arg is a question.  Who signed the patch goes into @seal. */
int hp_access_permit(void *arg, const struct hp_target *t, int patch_fd, struct hp_pairs *seal,
		     struct hp_err *err);

#define HP_ACCESS_UNIT 256 /* NAME_MAX, and its end */

/* What rules speak of, read from /proc; t->pidfd tells afterwards whether it was of @t. */
struct hp_access_facts {
	struct hp_policy_target t;
	char exe[4096], unit[HP_ACCESS_UNIT];
};
/* The one user with whose rights @pid runs; (uid_t)-1: it has more than those. */
int hp_access_uid(pid_t pid, uid_t *ret, struct hp_err *err);
/* It is @uid, who may look into it too: what ptrace(2) asks, and rules for owners. */
bool hp_access_owns(uid_t uid, pid_t pid);
int hp_access_facts(const struct hp_target *t, struct hp_access_facts *ret, struct hp_err *err);

/* The system's unit of a process with @cgroups, the text of /proc/PID/cgroup; "": it is in none. */
void hp_access_unit(const char *cgroups, char ret[HP_ACCESS_UNIT]);

#endif
