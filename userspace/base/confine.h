/* SPDX-License-Identifier: MIT */
/*
 * base/confine.h – what hp's small processes may still do: a row a role, in confine_roles.c.
 *
 * Each gives up first its rights and then its system calls.  Whatever it calls beyond its row kills
 * it.  There is no way back.
 */
#ifndef HP_BASE_CONFINE_H
#define HP_BASE_CONFINE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hp_err;

enum hp_role {
	HP_ROLE_FRONT,	    /* parses what clients send */
	HP_ROLE_READER,	    /* parses ELF and DWARF, a process an input */
	HP_ROLE_GATEKEEPER, /* holds the userfaultfd of a gate */
	HP_ROLE_KEEPER,	    /* holds the probes of a session */
	HP_ROLES,
};

/* front's socket to the monitor is this descriptor. */
#define HP_FRONT_SOCKET 3

/* Made where there is none; nobody writes there, and nothing lies in it. */
#define HP_EMPTY_ROOT "/run/hp/empty"

/* A system call for which one argument counts: allowed where (argument & mask) == value. */
struct hp_narrowed {
	int call;
	unsigned arg;
	uint64_t mask, value;
};

struct hp_confinement {
	const char *name;
	uid_t uid;	/* and gid; 0: it stays root, and in its root */
	uint64_t caps;	/* that it keeps */
	const int *calls; /* beside those that every process makes */
	size_t n_calls;
	const struct hp_narrowed *narrowed;
	size_t n_narrowed;
	const int *refused; /* answered with ENOENT, by nobody */
	size_t n_refused;
};
extern const struct hp_confinement hp_confinements[HP_ROLES];

/* An empty root, the role's uid, no groups, its capabilities and none more, no new privileges, not
 * dumpable.  To be called while there is one thread, as root; a signal for the parent's death has to
 * be asked for afterwards (prctl(2): PR_SET_PDEATHSIG). */
int hp_confine_rights(enum hp_role role, struct hp_err *err);

/* Makes the filter of @role, once; a process that forks others which will want it does that before. */
int hp_confine_prepare(enum hp_role role, struct hp_err *err);

/* Its calls and no others, in all threads; no files written, no processes begun.  In a build for a
 * sanitizer, whose runtime makes calls of its own, there is no filter. */
int hp_confine_calls(enum hp_role role, struct hp_err *err);

/* Gives up every capability but @keep (bits 1 << CAP_…) for good. */
int hp_confine_caps(uint64_t keep, struct hp_err *err);

/* Those and no others are in force; the rest stays permitted. */
int hp_confine_effective(uint64_t keep, struct hp_err *err);

#endif
