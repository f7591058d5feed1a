/* SPDX-License-Identifier: MIT */
/*
 * A view is a pair of slots with a name: the pins, from which bpftool(8) reads.  The maps carry the
 * BTF of the programs' records, so that it prints fields by name.
 */
#include "watch/watch.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "hp/err.h"
#include "watch/watch_priv.h"

const char *const watch_map_name[N_SLOT_MAPS] = {
	[MAP_INFLIGHT] = "inflight",
	[MAP_SESSION] = "session",
	[MAP_NAMES] = "names",
	[MAP_EDGES] = "edges",
};

/* Nobody reads a ring buffer by its pin. */
static const bool pinned[N_SLOT_MAPS] = {
	[MAP_INFLIGHT] = true, [MAP_SESSION] = true, [MAP_NAMES] = true};

static void remove_pins(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && unlinkat(dirfd(d), e->d_name, 0))
			hp_debug("%s/%s stays: %s", dir, e->d_name, strerror(errno));
	closedir(d);
	if (rmdir(dir))
		hp_debug("%s stays: %s", dir, strerror(errno));
}

/* Renamed over what is there, so that a reader finds a map at any time. */
static int pin_map(const struct hp_view *v, const struct slot *s, enum slot_map m,
		   struct hp_err *err)
{
	char path[128], fresh[sizeof(path) + 4];

	(void)snprintf(path, sizeof(path), "%s/%s", v->dir, watch_map_name[m]);
	(void)snprintf(fresh, sizeof(fresh), "%s-new", path);
	(void)unlink(fresh); /* of a job that was killed here */
	if (bpf_obj_pin(s->map[m], fresh) || rename(fresh, path))
		return hp_err_sys(err, errno, "cannot pin %s", path);
	return 0;
}

static int pin(const struct hp_view *v, const struct slot *s, struct hp_err *err)
{
	int r = 0;

	for (int m = 0; m < N_SLOT_MAPS && !r; m++)
		if (pinned[m])
			r = pin_map(v, s, m, err);
	return r;
}

static int make_pins(const struct hp_view *v, struct hp_err *err)
{
	if (mkdir(HP_PINS, 0750) && errno != EEXIST)
		return hp_err_sys(err, errno, "cannot make " HP_PINS);
	remove_pins(v->dir); /* of an hpd that was killed */
	if (mkdir(v->dir, 0750))
		return hp_err_sys(err, errno, "cannot make %s", v->dir);
	return pin(v, watch_view_slot(v), err);
}

int hp_view_open(struct hp_view **ret, struct hp_watch *w, pid_t pid, struct hp_err *err)
{
	struct hp_view *v = calloc(1, sizeof(*v));
	struct hp_err why = {0};
	int r;

	if (!v)
		return hp_err_sys(err, ENOMEM, "view of process %d", (int)pid);
	v->w = w;
	(void)snprintf(v->dir, sizeof(v->dir), HP_PINS "/%d", (int)pid);
	r = watch_pair_take(&v->pair, w, &why);
	if (r) {
		free(v);
		return hp_err_set(err, r,
				  "process %d cannot be watched: %s; load with --quiesce gate",
				  (int)pid, why.text);
	}
	r = make_pins(v, err);
	if (r) {
		hp_view_close(v);
		return r;
	}
	*ret = v;
	return 0;
}

void hp_view_close(struct hp_view *v)
{
	if (!v)
		return;
	remove_pins(v->dir);
	watch_pair_give(v->pair);
	free(v);
}

struct slot *watch_view_slot(const struct hp_view *v)
{
	uint32_t i = __atomic_load_n(&v->w->shared->current[v->pair->index], __ATOMIC_SEQ_CST);

	return &v->pair->slot[i];
}

void watch_view_turn(struct hp_view *v, struct slot *s)
{
	struct hp_err err = {0};

	if (s == watch_view_slot(v))
		return;
	__atomic_store_n(&v->w->shared->current[v->pair->index], (uint32_t)(s - v->pair->slot),
			 __ATOMIC_SEQ_CST);
	/* The count needs no pins, so it does not fail with them. */
	if (pin(v, s, &err))
		hp_debug("%s", err.text);
}

const char *hp_view_dir(const struct hp_view *v)
{
	return v->dir;
}

const struct hp_inflight *hp_view_inflight(const struct hp_view *v)
{
	return watch_view_slot(v)->inflight;
}

const struct hp_session_state *hp_view_state(const struct hp_view *v)
{
	return watch_view_slot(v)->state;
}

void hp_watch_sweep(bool (*keep)(void *arg, pid_t pid), void *arg)
{
	DIR *d = opendir(HP_PINS);
	struct dirent *e;
	char path[sizeof(HP_PINS) + NAME_MAX + 2];

	if (!d)
		return;
	while ((e = readdir(d))) {
		char *end;
		long pid = strtol(e->d_name, &end, 10);

		if (pid <= 0 || *end || keep(arg, (pid_t)pid))
			continue;
		(void)snprintf(path, sizeof(path), HP_PINS "/%s", e->d_name);
		remove_pins(path);
	}
	closedir(d);
}
