/* SPDX-License-Identifier: MIT */
/*
 * Slots are made in pairs, some pairs at once, and kept: bpf(2) waits for an RCU grace period, some
 * 10 ms, after every update of a map in a map, once for each outer map, however many slots are in
 * one batch.
 *
 * Invariant: a slot's maps are the same as long as the watch lives, so a program that runs late
 * finds the maps it looked for; it sees that its session is over, or watch_slot_wash() waits.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/log.h"
#include "hp/err.h"
#include "watch/watch_priv.h"

#define BATCH 8

static int make_map(const struct hp_watch *w, struct slot *s, enum slot_map m, struct hp_err *err)
{
	const struct bpf_map *like = w->of_slot[m];
	const char *name = watch_map_name[m];
	uint32_t key = bpf_map__btf_key_type_id(like);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = bpf_map__map_flags(like),
		    .btf_fd = key ? (uint32_t)w->btf_fd : 0, .btf_key_type_id = key,
		    .btf_value_type_id = bpf_map__btf_value_type_id(like));

	s->map[m] = bpf_map_create(bpf_map__type(like), name, bpf_map__key_size(like),
				   bpf_map__value_size(like), bpf_map__max_entries(like), &opts);
	return s->map[m] < 0 ? hp_err_sys(err, errno, "BPF map \"%s\"", name) : 0;
}

static size_t value_bytes(const struct hp_watch *w, enum slot_map m)
{
	const struct bpf_map *like = w->of_slot[m];
	size_t n = (size_t)bpf_map__value_size(like) * bpf_map__max_entries(like);

	return (n + 4095) & ~4095ul;
}

/* fork(2) copies the page table of such a mapping, and there are 48 and more: half of what a fork
 * costs.  Where it cannot be had (EINVAL only) it costs that. */
static void fork_values(const struct hp_watch *w, enum slot_map m, void *p, bool too)
{
	(void)madvise(p, value_bytes(w, m), too ? MADV_DOFORK : MADV_DONTFORK);
}

static int map_values(const struct hp_watch *w, const struct slot *s, enum slot_map m, void **ret,
		      struct hp_err *err)
{
	void *p = mmap(NULL, value_bytes(w, m), PROT_READ | PROT_WRITE, MAP_SHARED, s->map[m], 0);

	if (p == MAP_FAILED)
		return hp_err_sys(err, errno, "mmap of the BPF map \"%s\"", watch_map_name[m]);
	fork_values(w, m, p, false);
	*ret = p;
	return 0;
}

static void unmap_values(const struct hp_watch *w, enum slot_map m, void *p)
{
	if (p)
		(void)munmap(p, value_bytes(w, m)); /* EINVAL only */
}

static int make_slot(const struct hp_watch *w, struct slot *s, struct hp_err *err)
{
	int r = 0;

	for (int m = 0; m < N_SLOT_MAPS && !r; m++)
		r = make_map(w, s, m, err);
	if (!r)
		r = map_values(w, s, MAP_INFLIGHT, (void **)&s->inflight, err);
	if (!r)
		r = map_values(w, s, MAP_SESSION, (void **)&s->state, err);
	if (!r)
		r = map_values(w, s, MAP_NAMES, (void **)&s->names, err);
	return r;
}

void hp_view_fork(const struct hp_view *v, bool too)
{
	for (int i = 0; i < PAIR_SLOTS; i++) {
		const struct slot *s = &v->pair->slot[i];

		fork_values(v->w, MAP_INFLIGHT, s->inflight, too);
		fork_values(v->w, MAP_SESSION, s->state, too);
		fork_values(v->w, MAP_NAMES, s->names, too);
	}
}

/* Slots that cannot be published leave in the outer maps what the next ones there replace. */
static int publish(const struct hp_watch *w, struct pair *const *pair, uint32_t pairs,
		   struct hp_err *err)
{
	uint32_t key[BATCH * PAIR_SLOTS] = {0}, value[BATCH * PAIR_SLOTS];

	for (int m = 0; m < N_SLOT_MAPS; m++) {
		uint32_t n = pairs * PAIR_SLOTS;

		if (w->outer[m] < 0)
			continue;
		for (uint32_t i = 0; i < n; i++) {
			const struct slot *s = &pair[i / PAIR_SLOTS]->slot[i % PAIR_SLOTS];

			key[i] = s->index;
			value[i] = (uint32_t)s->map[m];
		}
		if (bpf_map_update_batch(w->outer[m], key, value, &n, NULL))
			return hp_err_sys(err, errno, "BPF map \"%s\" into slots %u and up",
					  watch_map_name[m], key[0]);
	}
	return 0;
}

void watch_pair_free(const struct hp_watch *w, struct pair *p)
{
	for (struct slot *s = p->slot; s < p->slot + PAIR_SLOTS; s++) {
		unmap_values(w, MAP_INFLIGHT, s->inflight);
		unmap_values(w, MAP_SESSION, s->state);
		unmap_values(w, MAP_NAMES, s->names);
		for (int m = 0; m < N_SLOT_MAPS; m++)
			hp_close(&s->map[m]);
	}
	free(p);
}

static int make_pair(struct pair **ret, const struct hp_watch *w, uint32_t index,
		     struct hp_err *err)
{
	struct pair *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return hp_err_sys(err, ENOMEM, "slots to count in");
	p->index = index;
	for (uint32_t i = 0; i < PAIR_SLOTS; i++) {
		p->slot[i].index = p->index * PAIR_SLOTS + i;
		for (int m = 0; m < N_SLOT_MAPS; m++)
			p->slot[i].map[m] = -1;
	}
	for (int i = 0; i < PAIR_SLOTS && !r; i++)
		r = make_slot(w, &p->slot[i], err);
	if (r)
		watch_pair_free(w, p);
	else
		*ret = p;
	return r;
}

/* Some at once, which takes as long as one; all or none. */
static int make_pairs(struct hp_watch *w, struct hp_err *err)
{
	struct pair *made[BATCH];
	uint32_t n = 0;
	int r = 0;

	if (w->n_pairs == PAIRS)
		return hp_err_set(err, -ENOSPC, "%d targets are watched already", PAIRS);
	while (n < BATCH && w->n_pairs + n < PAIRS &&
	       !(r = make_pair(&made[n], w, w->n_pairs + n, err)))
		n++;
	if (!r)
		r = publish(w, made, n, err);
	for (uint32_t i = 0; i < n; i++)
		if (r)
			watch_pair_free(w, made[i]);
		else
			w->pair[w->n_pairs++] = made[i];
	return r;
}

static bool is_clean(const struct hp_watch *w, const struct pair *p)
{
	for (int i = 0; i < PAIR_SLOTS; i++)
		if (__atomic_load_n(&w->shared->soiled[p->slot[i].index], __ATOMIC_SEQ_CST))
			return false;
	return true;
}

/* Rather one that no session has to wait for. */
static struct pair *find_free(const struct hp_watch *w)
{
	struct pair *found = NULL;

	for (uint32_t i = 0; i < w->n_pairs; i++) {
		if (w->pair[i]->taken)
			continue;
		if (is_clean(w, w->pair[i]))
			return w->pair[i];
		found = w->pair[i];
	}
	return found;
}

int watch_pair_take(struct pair **ret, struct hp_watch *w, struct hp_err *err)
{
	struct pair *p = find_free(w);

	if (!p) {
		int r = make_pairs(w, err);

		if (r)
			return r;
		p = find_free(w);
	}
	p->taken = true;
	for (int i = 0; i < PAIR_SLOTS; i++)
		watch_slot_clear(&p->slot[i]);
	w->shared->current[p->index] = 0;
	*ret = p;
	return 0;
}

void watch_pair_give(struct pair *p)
{
	for (int i = 0; i < PAIR_SLOTS; i++)
		__atomic_store_n(&p->slot[i].state->session, 0, __ATOMIC_SEQ_CST);
	p->taken = false;
}

void hp_watch_spare(struct hp_watch *w)
{
	struct hp_err err = {0};

	if (!find_free(w) && make_pairs(w, &err))
		hp_debug("no slots to spare: %s", err.text);
}

void watch_slot_clear(struct slot *s)
{
	memset(s->inflight, 0, HP_SLOT_FNS * sizeof(*s->inflight));
	memset(s->state, 0, sizeof(*s->state));
	memset(s->names, 0, HP_SLOT_FNS * sizeof(*s->names));
}

void watch_slot_soil(struct hp_watch *w, const struct slot *s, uint32_t number)
{
	__atomic_store_n(&w->shared->soiled[s->index], number, __ATOMIC_SEQ_CST);
}

int watch_slot_wash(struct hp_watch *w, const struct slot *s, uint32_t number)
{
	uint32_t *by = &w->shared->soiled[s->index];

	if (!number || __atomic_load_n(by, __ATOMIC_SEQ_CST) != number)
		return 0;
	/* It changes nothing, but on its return no BPF program runs that had begun before
	 * (kernel commit 1ae80cf31938). */
	if (bpf_map_update_elem(w->outer[MAP_SESSION], &s->index, &s->map[MAP_SESSION], BPF_ANY))
		return -errno;
	/* Unless the slot was washed by somebody else meanwhile and soiled by a later session. */
	(void)__atomic_compare_exchange_n(by, &number, 0, false, __ATOMIC_SEQ_CST,
					  __ATOMIC_SEQ_CST);
	return 0;
}
