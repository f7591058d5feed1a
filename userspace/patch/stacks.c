/* SPDX-License-Identifier: MIT */
#include "patch/stacks.h"

#include "base/clock.h"
#include "hp/err.h"

#define WAIT_NS	 (250 * HP_MS) /* it may be on its way to another program: posix_spawn(3) */
#define PAUSE_NS (2 * HP_MS)

static int refuse(struct hp_work *w, pid_t tid, const struct hp_seen *seen, struct hp_err *err)
{
	char name[32], where[512];

	hp_thread_name(tid, name, sizeof(name));
	hp_look_where(w->looker, seen, where, sizeof(where));
	return hp_err_set(err, -HP_E_NOT_QUIESCENT,
			  "thread %d (%s) runs on a stack that is not its own (a coroutine's?), so it "
			  "cannot be known which calls are in flight: %s; --mode relaxed does without",
			  (int)tid, name, where);
}

static int check(struct hp_work *w, pid_t tid, struct hp_err *err)
{
	static const struct hp_scene nothing;
	uint64_t until = hp_now_ns() + WAIT_NS;
	struct hp_seen seen;
	int r;

	for (;;) {
		r = hp_look(w->looker, tid, &nothing, &seen, NULL, NULL, err);
		if (r < 0 || (seen.verdict != HP_SEEN_UNKNOWN && seen.verdict != HP_SEEN_AGAIN))
			return r;
		if (hp_now_ns() >= until || hp_now_ns() >= w->deadline_ns)
			return seen.verdict == HP_SEEN_AGAIN ? 0 : refuse(w, tid, &seen, err);
		hp_pause_ns(PAUSE_NS);
	}
}

int hp_stacks_check(struct hp_work *w, struct hp_err *err)
{
	struct hp_pids tids = {0};
	int r = hp_look_threads(w->looker, 0, &tids, NULL, err);

	for (size_t i = 0; i < tids.n && r >= 0; i++)
		r = check(w, tids.v[i], err);
	hp_pids_free(&tids);
	return r;
}
