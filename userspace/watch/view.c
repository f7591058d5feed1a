/* SPDX-License-Identifier: MIT */
/*
 * What one target has: a slot, the slot's maps, and their pins, from which bpftool(8) reads.  The
 * maps carry the BTF of the programs' records, so that it prints fields by name.
 */
#include "watch/watch.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "hp/err.h"
#include "watch/internal.h"

#define PINS "/sys/fs/bpf/hp"

static const char *const map_name[N_SLOT_MAPS] = {
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

int watch_publish(struct hp_view *v, enum slot_map m)
{
	return bpf_map_update_elem(v->w->outer[m], &v->slot, &v->map[m], BPF_ANY) ? -errno : 0;
}

static int make_map(struct hp_view *v, enum slot_map m, struct hp_err *err)
{
	const struct bpf_map *like = v->w->of_slot[m];
	uint32_t key = bpf_map__btf_key_type_id(like);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = bpf_map__map_flags(like),
		    .btf_fd = key ? (uint32_t)v->w->btf_fd : 0, .btf_key_type_id = key,
		    .btf_value_type_id = bpf_map__btf_value_type_id(like));
	int r;

	v->map[m] = bpf_map_create(bpf_map__type(like), map_name[m], bpf_map__key_size(like),
				   bpf_map__value_size(like), bpf_map__max_entries(like), &opts);
	if (v->map[m] < 0)
		return hp_err_sys(err, errno, "BPF map \"%s\"", map_name[m]);
	r = v->w->outer[m] < 0 ? 0 : watch_publish(v, m);
	return r ? hp_err_sys(err, -r, "BPF map \"%s\" into slot %u", map_name[m], v->slot) : 0;
}

static size_t value_bytes(const struct hp_view *v, enum slot_map m)
{
	const struct bpf_map *like = v->w->of_slot[m];
	size_t n = (size_t)bpf_map__value_size(like) * bpf_map__max_entries(like);

	return (n + 4095) & ~4095ul;
}

static int map_values(struct hp_view *v, enum slot_map m, void **ret, struct hp_err *err)
{
	void *p = mmap(NULL, value_bytes(v, m), PROT_READ | PROT_WRITE, MAP_SHARED, v->map[m], 0);

	if (p == MAP_FAILED)
		return hp_err_sys(err, errno, "mmap of the BPF map \"%s\"", map_name[m]);
	*ret = p;
	return 0;
}

static int pin(struct hp_view *v, struct hp_err *err)
{
	char path[128];

	if (mkdir(PINS, 0750) && errno != EEXIST)
		return hp_err_sys(err, errno, "cannot make " PINS);
	remove_pins(v->dir); /* of an hpd that was killed */
	if (mkdir(v->dir, 0750))
		return hp_err_sys(err, errno, "cannot make %s", v->dir);
	for (int m = 0; m < N_SLOT_MAPS; m++) {
		if (!pinned[m])
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", v->dir, map_name[m]);
		if (bpf_obj_pin(v->map[m], path))
			return hp_err_sys(err, errno, "cannot pin %s", path);
	}
	return 0;
}

static int fill_view(struct hp_view *v, struct hp_err *err)
{
	int r = 0;

	for (int m = 0; m < N_SLOT_MAPS && !r; m++)
		r = make_map(v, m, err);
	if (!r)
		r = map_values(v, MAP_INFLIGHT, (void **)&v->inflight, err);
	if (!r)
		r = map_values(v, MAP_SESSION, (void **)&v->state, err);
	if (!r)
		r = map_values(v, MAP_NAMES, (void **)&v->names, err);
	return r ? r : pin(v, err);
}

int hp_view_open(struct hp_view **ret, struct hp_watch *w, pid_t pid, struct hp_err *err)
{
	struct hp_view *v;
	uint32_t slot = 0;
	int r;

	while (slot < HP_SLOTS && w->taken[slot])
		slot++;
	if (slot == HP_SLOTS)
		return hp_err_set(
			err, -ENOSPC,
			"process %d cannot be watched: %d targets are watched already; load with "
			"--quiesce gate",
			(int)pid, HP_SLOTS);
	v = calloc(1, sizeof(*v));
	if (!v)
		return hp_err_sys(err, ENOMEM, "view of process %d", (int)pid);
	v->w = w;
	v->slot = slot;
	(void)snprintf(v->dir, sizeof(v->dir), PINS "/%d", (int)pid);
	for (int m = 0; m < N_SLOT_MAPS; m++)
		v->map[m] = -1;
	w->taken[slot] = true;
	w->shared->had_session[slot] = false;
	r = fill_view(v, err);
	if (r) {
		hp_view_close(v);
		return r;
	}
	*ret = v;
	return 0;
}

static void unmap_values(struct hp_view *v, enum slot_map m, void *p)
{
	if (p)
		(void)munmap(p, value_bytes(v, m)); /* EINVAL only */
}

void hp_view_close(struct hp_view *v)
{
	if (!v)
		return;
	remove_pins(v->dir);
	unmap_values(v, MAP_INFLIGHT, v->inflight);
	unmap_values(v, MAP_SESSION, v->state);
	unmap_values(v, MAP_NAMES, v->names);
	for (int m = 0; m < N_SLOT_MAPS; m++) {
		/* A view that failed half-way may not be in it yet. */
		if (v->w->outer[m] >= 0)
			(void)bpf_map_delete_elem(v->w->outer[m], &v->slot);
		hp_close(&v->map[m]);
	}
	v->w->taken[v->slot] = false;
	free(v);
}

const char *hp_view_dir(const struct hp_view *v)
{
	return v->dir;
}

const struct hp_inflight *hp_view_inflight(const struct hp_view *v)
{
	return v->inflight;
}

const struct hp_session_state *hp_view_state(const struct hp_view *v)
{
	return v->state;
}

void hp_watch_sweep(bool (*keep)(void *arg, pid_t pid), void *arg)
{
	DIR *d = opendir(PINS);
	struct dirent *e;
	char path[sizeof(PINS) + NAME_MAX + 2];

	if (!d)
		return;
	while ((e = readdir(d))) {
		char *end;
		long pid = strtol(e->d_name, &end, 10);

		if (pid <= 0 || *end || keep(arg, (pid_t)pid))
			continue;
		(void)snprintf(path, sizeof(path), PINS "/%s", e->d_name);
		remove_pins(path);
	}
	closedir(d);
}
