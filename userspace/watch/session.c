/* SPDX-License-Identifier: MIT */
/*
 * A session is a number in its slot's state: a probe counts while its cookie has that number, so
 * that ending one is one store, and the probes may go in their own time.
 *
 * Invariant: state->session is written last at the beginning, after every counter is zero and no
 * program of an earlier session of the slot can still run; a late one would count down what it did
 * not count up.  Such a program had begun while its session counted.  The wait for it, an RCU grace
 * period, is the keeper's, after its detach; meanwhile the next session takes the pair's other
 * slot, and only the one after it, or one whose predecessor's keeper was killed, has to wait.
 */
#include "watch/watch.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/array.h"
#include "base/fd.h"
#include "hp/err.h"
#include "watch/keeper.h"
#include "watch/watch_priv.h"

#define KEEPER_END_MS 1000 /* for one that did not answer */

static const char *const role_name[HP_PROBE_ROLES] = {
	[HP_PROBE_ENTRY] = "entry", [HP_PROBE_EXIT] = "exit", [HP_PROBE_HOLD] = "hold"};

static int count_edge(void *arg, void *data, size_t n)
{
	++*(int *)arg;
	return 0;
}

static int open_ring(struct hp_session *s, struct hp_err *err)
{
	s->ring = ring_buffer__new(s->slot->map[MAP_EDGES], count_edge, &s->edges, NULL);
	if (!s->ring)
		return hp_err_sys(err, errno, "ring buffer of %s", s->v->dir);
	(void)hp_session_edges(s); /* what the session before left in it */
	return 0;
}

static uint32_t soiled(const struct hp_view *v, const struct slot *s)
{
	return __atomic_load_n(&v->w->shared->soiled[s->index], __ATOMIC_SEQ_CST);
}

static int take_slot(struct slot **ret, struct hp_view *v, struct hp_err *err)
{
	struct slot *s = watch_view_slot(v);
	int r;

	/* A job that was killed did not end its session. */
	for (int i = 0; i < PAIR_SLOTS; i++)
		__atomic_store_n(&v->pair->slot[i].state->session, 0, __ATOMIC_SEQ_CST);
	if (soiled(v, s))
		s = &v->pair->slot[s == v->pair->slot];
	r = watch_slot_wash(v->w, s, soiled(v, s));
	if (r)
		return hp_err_sys(err, -r, "waiting for an earlier session of %s", v->dir);
	watch_slot_clear(s);
	*ret = s;
	return 0;
}

/* In the keeper. */
static void detached(void *arg)
{
	struct hp_session *s = arg;
	__u64 number = s->number;

	/* Its job may have been killed. */
	(void)__atomic_compare_exchange_n(&s->slot->state->session, &number, 0, false,
					  __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	(void)watch_slot_wash(s->v->w, s->slot, s->number); /* else the next session does it */
}

static int start_keeper(struct hp_session *s, struct hp_err *err)
{
	const struct probe_keeper_end end = {
		.call = detached,
		.arg = s,
		.fd = {s->v->w->outer[MAP_SESSION], s->slot->map[MAP_SESSION]},
	};
	int r;

	hp_view_fork(s->v, true);
	r = probe_keeper_start(&s->keeper, &s->keeper_pidfd, &s->keeper_pid, &end, err);
	hp_view_fork(s->v, false);
	return r;
}

static void free_session(struct hp_session *s)
{
	ring_buffer__free(s->ring);
	hp_close(&s->keeper);
	hp_close(&s->keeper_pidfd);
	HP_ARRAY_FREE(&s->links);
	free(s);
}

int hp_session_begin(struct hp_session **ret, struct hp_view *v, const char *const *names,
		     size_t n_fns, struct hp_err *err)
{
	struct hp_session *s;
	int r;

	if (n_fns > HP_SLOT_FNS)
		return hp_err_set(
			err, -E2BIG,
			"%zu functions cannot be watched at once, %d can: load with --quiesce gate",
			n_fns, HP_SLOT_FNS);
	s = calloc(1, sizeof(*s));
	if (!s)
		return hp_err_sys(err, ENOMEM, "session of %s", v->dir);
	s->v = v;
	s->keeper = s->keeper_pidfd = -1;
	s->number = __atomic_add_fetch(&v->w->shared->sessions, 1, __ATOMIC_RELAXED);
	r = take_slot(&s->slot, v, err);
	if (!r)
		r = open_ring(s, err);
	if (!r)
		r = start_keeper(s, err);
	if (r) {
		free_session(s);
		return r;
	}
	for (size_t i = 0; i < n_fns; i++)
		(void)snprintf(s->slot->names[i].name, sizeof(s->slot->names[i].name), "%s",
			       names[i]);
	watch_view_turn(v, s->slot);
	__atomic_store_n(&s->slot->state->session, s->number, __ATOMIC_SEQ_CST);
	*ret = s;
	return 0;
}

pid_t hp_session_keeper(const struct hp_session *s)
{
	return s->keeper_pid;
}

/* One that was stopped goes on, sees the end of its socket, and detaches as it should.  One that does
 * not is killed: what may leak then is harmless (DESIGN 2.2). */
static int keeper_lost(struct hp_session *s, struct hp_err *err)
{
	struct pollfd ended = {.fd = s->keeper_pidfd, .events = POLLIN};

	hp_close(&s->keeper);
	(void)pidfd_send_signal(s->keeper_pidfd, SIGCONT, NULL, 0); /* or it is dead */
	if (poll(&ended, 1, KEEPER_END_MS) == 0)
		(void)pidfd_send_signal(s->keeper_pidfd, SIGKILL, NULL, 0); /* likewise */
	return hp_err_set(
		err, -HP_E_FAILED,
		"the probe keeper (process %d) died or does not answer, and took the count along; "
		"begin a new session",
		(int)s->keeper_pid);
}

/* The sites as the keeper wants them: offsets, then cookies, then what is held, in a file of their
 * own because a record of a socket has a limit. */
static int write_sites(const struct hp_session *s, const struct hp_probe_set *set)
{
	hp_autoclose int fd = hp_memfd("hp-probes", 0);
	size_t n_held = set->held ? set->n : 0;
	size_t bytes = 2 * set->n * sizeof(uint64_t) + n_held * sizeof(*set->held);
	uint64_t *site;

	if (fd < 0 || ftruncate(fd, (off_t)bytes))
		return -errno;
	site = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (site == MAP_FAILED)
		return -errno;
	for (size_t i = 0; i < set->n; i++) {
		site[i] = set->v[i].offset;
		site[set->n + i] = HP_COOKIE(s->slot->index, s->number, set->v[i].fn);
	}
	if (n_held)
		memcpy(site + 2 * set->n, set->held, n_held * sizeof(*set->held));
	(void)munmap(site, bytes); /* EINVAL only */
	return HP_TAKE_FD(fd);
}

static int attach_failed(int r, pid_t pid, const struct hp_probe_set *set, struct hp_err *err)
{
	if (r == -ESRCH)
		return hp_err_set(err, -HP_E_GONE, "process %d is gone", (int)pid);
	return hp_err_sys(err, -r, "cannot attach %zu %s probes in process %d", set->n,
			  role_name[set->role], (int)pid);
}

static int attach_set(struct hp_session *s, pid_t pid, const struct hp_probe_set *set,
		      struct hp_err *err)
{
	struct probes_request q = {.op = set->held ? PROBES_HOLD : PROBES_ATTACH,
				   .pid = (uint32_t)pid,
				   .n = (uint32_t)set->n};
	hp_autoclose int sites = write_sites(s, set);
	int fds[] = {s->v->w->prog[set->role], set->file_fd, sites, set->mem_fd};
	struct probes_reply reply;
	uint32_t *id;

	if (sites < 0)
		return hp_err_sys(err, -sites, "list of %zu probes", set->n);
	id = HP_ARRAY_ADD(&s->links);
	if (!id)
		return hp_err_sys(err, ENOMEM, "list of links");
	s->links.n--; /* room is made; it counts when it is attached */
	if (set->role != HP_PROBE_HOLD)
		watch_slot_soil(s->v->w, s->slot, s->number);
	if (hp_send_fds(s->keeper, &q, sizeof(q), fds, set->held ? 4 : 3) ||
	    probe_keeper_receive(s->keeper, &reply, NULL))
		return keeper_lost(s, err);
	if (reply.rc)
		return attach_failed(reply.rc, pid, set, err);
	*id = reply.link_id;
	s->links.n++;
	return 0;
}

/* The kernel compares a probe's mm with the main thread's, which has none once it has ended. */
static int check_main_thread(pid_t pid, struct hp_err *err)
{
	char path[32], *stat, *after_name;
	char state;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (hp_read_file(AT_FDCWD, path, 4096, &stat, NULL))
		return hp_err_set(err, -HP_E_GONE, "process %d is gone", (int)pid);
	after_name = strrchr(stat, ')');
	state = after_name && after_name[1] ? after_name[2] : 'X';
	free(stat);
	if (state == 'Z' || state == 'X')
		return hp_err_set(
			err, -HP_E_TARGET,
			"the main thread of process %d has ended, so the kernel fires no probe in "
			"it: use --quiesce gate",
			(int)pid);
	return 0;
}

static void drop_last(struct hp_session *s, size_t n)
{
	struct probes_request q = {.op = PROBES_DROP, .n = (uint32_t)n};
	struct probes_reply reply;

	s->links.n -= n;
	/* A keeper that cannot be told is dead, or will drop them at the end of its socket. */
	if (n && !hp_send_fds(s->keeper, &q, sizeof(q), NULL, 0))
		(void)probe_keeper_receive(s->keeper, &reply, NULL);
}

int hp_session_attach(struct hp_session *s, pid_t pid, const struct hp_probe_set *sets,
		      size_t n_sets, struct hp_err *err)
{
	size_t before = s->links.n;
	int r = 0;

	for (size_t i = 0; i < n_sets && !r; i++)
		if (sets[i].n)
			r = attach_set(s, pid, &sets[i], err);
	if (!r)
		r = check_main_thread(pid, err);
	if (r)
		drop_last(s, s->links.n - before);
	return r;
}

bool hp_session_alive(const struct hp_session *s)
{
	/* Asking for the next id takes no reference, which could become the last one; and an id
	 * goes before its link's detach begins. */
	for (size_t i = 0; i < s->links.n; i++) {
		uint32_t next;

		if (bpf_link_get_next_id(s->links.v[i] - 1, &next) || next != s->links.v[i])
			return false;
	}
	return true;
}

int64_t hp_session_total(const struct hp_session *s)
{
	return __atomic_load_n(&s->slot->state->total, __ATOMIC_SEQ_CST);
}

bool hp_session_overflowed(const struct hp_session *s)
{
	return __atomic_load_n(&s->slot->state->overflow, __ATOMIC_SEQ_CST) != 0;
}

void hp_session_gate(struct hp_session *s, bool gated)
{
	__atomic_store_n(&s->slot->state->gated, gated, __ATOMIC_SEQ_CST);
}

int hp_session_fd(const struct hp_session *s)
{
	return s->slot->map[MAP_EDGES];
}

int hp_session_edges(struct hp_session *s)
{
	int n;

	(void)ring_buffer__consume(s->ring); /* fails only when the callback does */
	n = s->edges;
	s->edges = 0;
	return n;
}

static void finish(struct hp_session *s, int *keeper_pidfd)
{
	__atomic_store_n(&s->slot->state->session, 0, __ATOMIC_SEQ_CST);
	if (keeper_pidfd)
		*keeper_pidfd = HP_TAKE_FD(s->keeper_pidfd);
	free_session(s);
}

void hp_session_end(struct hp_session *s, int *keeper_pidfd)
{
	const struct probes_request q = {.op = PROBES_END};

	if (!s)
		return;
	(void)hp_send_fds(s->keeper, &q, sizeof(q), NULL, 0); /* only a dead keeper takes none */
	finish(s, keeper_pidfd);
}

void hp_session_abandon(struct hp_session *s, int *keeper_pidfd)
{
	if (s)
		finish(s, keeper_pidfd);
}
