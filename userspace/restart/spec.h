/* SPDX-License-Identifier: MIT */
/*
 * restart/spec.h – what a new generation is started with.
 *
 * What the command line does not say is the old process's as it is now: working directory and root,
 * environment as it was started with, standard input and output, users, groups and capabilities,
 * resource limits, umask, namespaces, control groups.
 *
 * A process writes over its command line and environment as it likes, and goes where it likes.  So where
 * the new one *rises*, to rights that the old one has not (a daemon that gave up root, --user), none of
 * that is taken: what is not root's word is systemd's, or usual.
 */
#ifndef HP_RESTART_SPEC_H
#define HP_RESTART_SPEC_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "restart/restart.h"
#include "restart/unit.h"
#include "service/creds.h"

struct hp_err;

/* Begins the NOTIFY_SOCKET of what hp starts: in the next generation it is known as hp's, and not
 * as the administrator's. */
#define HP_NOTIFY_PREFIX "@hp-notify-"

enum { HP_NS_MNT, HP_NS_UTS, HP_NS_IPC, HP_NS_COUNT };

struct hp_strings {
	char **v; /* NULL at the end */
	size_t n, room;
};

struct hp_spec {
	struct hp_unit unit;	 /* of systemd, whose main process is replaced */
	struct hp_strings argv, envp;
	char file[4096]; /* what is executed: a path in the new root, as found along PATH */
	int root, cwd;	 /* O_PATH; root is -1 where it is ours */
	char dir[4096];	 /* where the new one goes from there, by its own rights; "": nowhere */
	bool dir_may_miss; /* it stays where it is, then */
	int ns[HP_NS_COUNT]; /* -1: ours */
	int stdio[3];
	struct rlimit limits[RLIM_NLIMITS];
	struct hp_creds creds;
	mode_t umask;
	int oom_score_adj, nice;
	char *cgroups;	   /* /proc/PID/cgroup */
	bool rises;	   /* may be what the old one may not */
	bool wants_ready;  /* its unit or environment says that it tells when it is ready */
	char left_out[80]; /* of the environment: why, for a warning; "" */
};

/* Reads what @req and the old process say; @creds are those of the old process, whose own word the rest may
 * be: see service/identity.h.  Refuses: a rewritten command line, a command that is not there, namespaces
 * that cannot be entered. */
int hp_spec_read(struct hp_spec *ret, const struct hp_restart_request *req,
		 const struct hp_creds *creds, struct hp_err *err);
void hp_spec_free(struct hp_spec *s);

/* In the new process: becomes what the spec says, but for the credentials that count at once, which
 * come last.
 * What failed is named in *what. 0 or a negative errno. */
int hp_spec_apply(const struct hp_spec *s, const char **what);

/* … and then, with the credentials: goes where the spec says. */
int hp_spec_go(const struct hp_spec *s, const char **what);

int hp_strings_add(struct hp_strings *s, const char *text);
void hp_strings_free(struct hp_strings *s);

/* restart/command.c: argv and file. */
int hp_command_read(struct hp_spec *s, const struct hp_restart_request *req, struct hp_err *err);
/* restart/environ.c: envp. */
int hp_environ_read(struct hp_spec *s, const struct hp_restart_request *req, struct hp_err *err);
/* The value of NAME in it, or NULL. */
const char *hp_environ_get(const struct hp_spec *s, const char *name);
int hp_environ_set(struct hp_spec *s, const char *name, const char *value);
void hp_environ_drop(struct hp_spec *s, const char *name);

#endif
