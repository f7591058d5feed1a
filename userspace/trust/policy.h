/* SPDX-License-Identifier: MIT */
/*
 * trust/policy.h – who may do what to which process: /etc/hp/policy.conf, hp-policy(5).
 *
 * Rules are read from the top; the first that fits decides; nothing fits: refused.  Without the
 * file root and the group hp may do everything.
 */
#ifndef HP_TRUST_POLICY_H
#define HP_TRUST_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "trust/keys.h"

enum hp_right {
	HP_RIGHT_SEE = 1, /* list, status, events, check, explain, watch */
	HP_RIGHT_LOAD = 2,
	HP_RIGHT_UNLOAD = 4,
	HP_RIGHT_RESTART = 8,
};
#define HP_RIGHT_ALL 15

/* Who asks; the arrays are the caller's. */
struct hp_asker {
	uid_t uid;
	const gid_t *gid; /* all of them, the primary too */
	size_t n_gids;
};

/* What is asked about.  All of it is read from the process, whose identity the caller holds. */
struct hp_policy_target {
	uid_t uid;	   /* real = effective = saved, or (uid_t)-1 */
	bool is_shown;	   /* that user may look into it */
	dev_t exe_dev;	   /* of the file that runs */
	ino_t exe_ino;
	const char *exe;   /* its name, in the words of readlink(/proc/PID/exe) */
	bool exe_roots;	   /* it was removed, and is root's, as its name was: in our mount namespace */
	const char *unit;  /* "nginx.service", "" when it is in none */
};

enum hp_who { HP_WHO_ROOT, HP_WHO_USER, HP_WHO_GROUP, HP_WHO_OWNER, HP_WHO_ANYONE };

struct hp_rule {
	bool allow;
	enum hp_who who;
	unsigned id;	 /* uid or gid of it */
	unsigned rights; /* enum hp_right, or-ed */
	char *exe, *unit; /* NULL: any */
	bool is_signed;	 /* holds for signed patches only */
	char key[HP_KEY_ID_TEXT]; /* signed by this one; "": by any trusted */
	unsigned line;
};

struct hp_policy {
	bool require_signed; /* every load, root's too */
	char *keys;	     /* the folder of trusted keys */
	struct hp_rule *v;
	size_t n, room;
};

#define HP_POLICY_FILE "/etc/hp/policy.conf"
#define HP_POLICY_KEYS "/etc/hp/keys"

/* Reads @path, which must be root's alone (-HP_E_DENIED); without it the default.  -HP_E_USAGE
 * names file and line of what is wrong. */
int hp_policy_read(const char *path, struct hp_policy *ret, struct hp_err *err);

/* The same from a text; @name is for messages. */
int hp_policy_parse(const char *text, const char *name, struct hp_policy *ret, struct hp_err *err);
void hp_policy_free(struct hp_policy *p);

/* 0 or -HP_E_DENIED (-HP_E_SIGNATURE where only a signature is missing).  @target NULL: about hpd
 * itself or all processes, for which rules that name a target or its owner do not fit.  @signer
 * NULL: no patch, or nobody signed it.  A rule that might fit, but whose file others than root could
 * have replaced, denies. */
int hp_policy_decide(const struct hp_policy *p, const struct hp_asker *who, enum hp_right right,
		     const struct hp_policy_target *target, const struct hp_signer *signer,
		     struct hp_err *err);

/* True when some rule may allow @who something: whether it is worth listening to. */
bool hp_policy_knows(const struct hp_policy *p, const struct hp_asker *who);

/* True when a rule is about others than root and the group hp: the socket must be open to all. */
bool hp_policy_is_open(const struct hp_policy *p);

#endif
