/* SPDX-License-Identifier: MIT */
/* watch/watch_priv.h – what the files of watch/ share. */
#ifndef HP_WATCH_WATCH_PRIV_H
#define HP_WATCH_WATCH_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "watch/watch.h"

#define HP_PINS "/sys/fs/bpf/hp"

struct bpf_map;
struct inflight; /* the skeleton */

/* The maps that every slot has. */
enum slot_map { MAP_INFLIGHT, MAP_SESSION, MAP_NAMES, MAP_EDGES, N_SLOT_MAPS };
extern const char *const watch_map_name[N_SLOT_MAPS];

/* A view's sessions alternate between them, so that the next one need not wait for the last. */
#define PAIR_SLOTS 2
#define PAIRS	   (HP_SLOTS / PAIR_SLOTS)

/* In memory that all forks of hpd share. */
struct watch_shared {
	uint32_t sessions;	   /* given out so far: no number comes twice */
	uint32_t soiled[HP_SLOTS]; /* session whose programs may still write to its maps, or 0 */
	uint32_t current[PAIRS];   /* which slot of the pair has the last session */
};

/* Once published it stays so: an update of an outer map takes an RCU grace period. */
struct slot {
	uint32_t index; /* in the outer maps */
	int map[N_SLOT_MAPS];
	struct hp_inflight *inflight;
	struct hp_session_state *state;
	struct hp_fn_name *names;
};

struct pair {
	uint32_t index;
	bool taken;
	struct slot slot[PAIR_SLOTS];
};

struct hp_watch {
	struct inflight *skel;
	struct watch_shared *shared;
	int btf_fd;
	int prog[HP_PROBE_ROLES];
	int threads;                                /* the map of struct hp_thread_calls */
	int outer[N_SLOT_MAPS];                     /* by slot; -1: no program reads that map */
	const struct bpf_map *of_slot[N_SLOT_MAPS]; /* what a slot's map is made like */
	struct pair *pair[PAIRS];
	uint32_t n_pairs;
};

struct hp_view {
	struct hp_watch *w;
	char dir[64];
	struct pair *pair;
};

struct hp_session {
	struct hp_view *v;
	struct slot *slot;
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

/* One that is free, or of new ones. -ENOSPC: there are PAIRS, all taken. */
int watch_pair_take(struct pair **ret, struct hp_watch *w, struct hp_err *err);
void watch_pair_give(struct pair *p);
void watch_pair_free(const struct hp_watch *w, struct pair *p);

/* Zeroes what can be read. */
void watch_slot_clear(struct slot *s);
/* From now on programs of session @number may write to the slot. */
void watch_slot_soil(struct hp_watch *w, const struct slot *s, uint32_t number);
/* When they no longer begin, because the slot's session is another: waits for those that did. */
int watch_slot_wash(struct hp_watch *w, const struct slot *s, uint32_t number);

/* The slot of the view's last session. */
struct slot *watch_view_slot(const struct hp_view *v);
/* Makes @s that slot, so that its maps are the pinned ones. */
void watch_view_turn(struct hp_view *v, struct slot *s);

#endif
