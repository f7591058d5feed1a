/* SPDX-License-Identifier: MIT */
/* watch/keeper.h – the probe keeper's process and what is said to it; for watch/ only. */
#ifndef HP_WATCH_KEEPER_H
#define HP_WATCH_KEEPER_H

#include <stdint.h>
#include <sys/types.h>

struct hp_err;

enum probes_op {
	PROBES_ATTACH = 1, /* beside it: program, file, memfd of @n offsets and then @n cookies */
	PROBES_HOLD,       /* the same; then @n struct hp_held in the memfd, and /proc/@pid/mem */
	PROBES_DROP,       /* the @n youngest links */
	PROBES_END,        /* no reply: code is left as it is.  An end of the socket without it is
			      a job that was killed, or gave up: what it wrote is taken back. */
};

struct probes_request {
	uint32_t op;
	uint32_t pid;
	uint32_t n;
	uint32_t pad;
};

struct probes_reply {
	int32_t rc;
	uint32_t link_id; /* in the first reply: the keeper's pid, and beside it its pidfd */
};

/* Called in the keeper when its last probe is gone; it has no descriptors but these. */
struct probe_keeper_end {
	void (*call)(void *arg);
	void *arg;
	int fd[2];
};

/* Starts a keeper that is nobody's child: it may outlive the job by the time its detach takes. */
int probe_keeper_start(int *ret_sock, int *ret_pidfd, pid_t *ret_pid,
		       const struct probe_keeper_end *end, struct hp_err *err);

/* A reply, or an error when the keeper died or does not answer. */
int probe_keeper_receive(int sock, struct probes_reply *ret, int *fd);

#endif
