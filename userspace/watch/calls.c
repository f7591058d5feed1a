/* SPDX-License-Identifier: MIT */
/*
 * The list of one thread.  When it is replaced, the new calls are counted before the old ones are
 * taken away, so that the total is never lower than it should be, not even for a moment.
 */
#include "watch/watch.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "watch/watch_priv.h"

static uint64_t owner(const struct hp_session *s)
{
	return HP_COOKIE(s->slot->index, s->number, 0);
}

static int open_thread(pid_t tid)
{
	int fd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);

	return fd < 0 ? -errno : fd;
}

static int get(const struct hp_session *s, int pidfd, struct hp_thread_calls *ret)
{
	struct hp_thread_calls calls;

	if (bpf_map_lookup_elem(s->v->w->threads, &pidfd, &calls)) {
		if (errno != ENOENT)
			return -errno;
		calls.session = 0;
	}
	if (calls.session != owner(s) || calls.depth > HP_THREAD_MAX)
		calls = (struct hp_thread_calls){.session = owner(s)};
	*ret = calls;
	return 0;
}

int hp_session_thread_get(const struct hp_session *s, pid_t tid, struct hp_thread_calls *ret)
{
	hp_autoclose int pidfd = open_thread(tid);

	return pidfd < 0 ? pidfd : get(s, pidfd, ret);
}

static void count(const struct hp_session *s, const struct hp_thread_calls *calls, int64_t each)
{
	for (uint32_t i = 0; i < calls->depth; i++) {
		struct hp_inflight *c = &s->slot->inflight[calls->call[i].fn];

		__atomic_add_fetch(&c->in_flight, each, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&s->slot->state->total, each, __ATOMIC_SEQ_CST);
	}
}

int hp_session_thread_set(struct hp_session *s, pid_t tid, const struct hp_thread_calls *calls)
{
	hp_autoclose int pidfd = -1;
	struct hp_thread_calls old, new = *calls;
	int r;

	if (calls->depth > HP_THREAD_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < calls->depth; i++)
		if (calls->call[i].fn >= HP_SLOT_FNS)
			return -EINVAL;
	pidfd = open_thread(tid);
	if (pidfd < 0)
		return pidfd;
	r = get(s, pidfd, &old);
	if (r)
		return r;
	new.session = owner(s);
	watch_slot_soil(s->v->w, s->slot, s->number); /* the thread's end is counted */
	count(s, &new, 1);
	if (bpf_map_update_elem(s->v->w->threads, &pidfd, &new, BPF_ANY)) {
		r = -errno;
		count(s, &new, -1);
		return r;
	}
	count(s, &old, -1);
	return 0;
}
