/* SPDX-License-Identifier: MIT */
/*
 * restart/generation.h – the generations that run, as everybody can read them.
 *
 * A supervisor keeps one file, /run/hp/restart/<its pid>, with a JSON document, for as long as it
 * lives: what it has started, and what becomes of the generation before.  There is no other copy.  A
 * file whose supervisor is gone says only what it has left behind (repair.c).
 */
#ifndef HP_RESTART_GENERATION_H
#define HP_RESTART_GENERATION_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

struct hp_err;
struct hp_listeners;

/* What a supervisor says. */
struct hp_generation {
	pid_t pid, old;
	uint64_t pid_start, old_start; /* a pid alone is nobody (target/procfs.h) */
	unsigned number;	       /* of @pid; @old is the one before */
	char comm[32];
	const char *state; /* "starting", "serving" */
	const char *old_state; /* "serving", "draining", "stopping", "gone" */
	uint64_t since_ns, deadline_ns; /* CLOCK_REALTIME; told as RFC 3339 */
	unsigned open;			/* connections of the old one */
	const struct hp_listeners *shielded; /* whose paths are mount points (shield.h), or NULL */
};

/* Writes the file of process @supervisor.  0 or a negative errno. */
int hp_generation_write(const struct hp_generation *g, pid_t supervisor);
int hp_generation_write_doc(const json_t *doc, pid_t supervisor);
void hp_generation_remove(void);

/* What a supervisor that was killed had written, whose file is gone then; NULL: there is none. */
json_t *hp_generation_take_over(void);

/* When process @pid began; 0: it is gone. */
uint64_t hp_generation_start_of(pid_t pid);

/* The number of the generation that process @pid is: 1 when hp did not start it.  Refuses one that
 * is being replaced (-HP_E_BUSY), or has been (-HP_E_TARGET). */
int hp_generation_of(pid_t pid, uint64_t start, unsigned *ret, struct hp_err *err);

#endif
