/* SPDX-License-Identifier: MIT */
/* watch/internal.h – what the files of watch/ share. */
#ifndef HP_WATCH_INTERNAL_H
#define HP_WATCH_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "watch/watch.h"

struct bpf_map;
struct inflight; /* the skeleton */

/* The maps that every slot has. */
enum slot_map { MAP_INFLIGHT, MAP_SESSION, MAP_NAMES, MAP_EDGES, N_SLOT_MAPS };

/* In memory that all forks of hpd share. */
struct watch_shared {
	uint32_t sessions;          /* given out so far: no number comes twice */
	bool had_session[HP_SLOTS]; /* since the slot was taken */
};

struct hp_watch {
	struct inflight *skel;
	struct watch_shared *shared;
	int btf_fd;
	int prog[HP_PROBE_HOLD + 1];
	int threads;                                /* the map of struct hp_thread_calls */
	int outer[N_SLOT_MAPS];                     /* by slot; -1: no program reads that map */
	const struct bpf_map *of_slot[N_SLOT_MAPS]; /* what a slot's map is made like */
	bool taken[HP_SLOTS];
};

struct hp_view {
	struct hp_watch *w;
	uint32_t slot;
	char dir[64];
	int map[N_SLOT_MAPS];
	struct hp_inflight *inflight;
	struct hp_session_state *state;
	struct hp_fn_name *names;
};

struct hp_session {
	struct hp_view *v;
	uint32_t number;
	int keeper, keeper_pidfd;
	pid_t keeper_pid;
	struct {
		uint32_t *v;
		size_t n, room;
	} links; /* ids */
	struct ring_buffer *ring;
	int edges; /* counted by the ring's callback */
};

/* Hangs the slot's map into its outer map (again).  On return no BPF program runs that had begun
 * before: bpf(2) waits for them after an update of a map in a map (kernel commit 1ae80cf31938). */
int watch_publish(struct hp_view *v, enum slot_map m);

#endif
