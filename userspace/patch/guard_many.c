/* SPDX-License-Identifier: MIT */
/* The guard's look at many processes: a survey, each answer of which is a target and its sites. */
#include "patch/guard.h"

#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "hp/err.h"
#include "patch/survey.h"

/* Of the time that a look may take (GUARD_NS in daemon/job.c) what processes that hold it up may have … */
#define LOST_MAX_NS (3 * HP_S)
#define LEAST_NS    (250 * HP_MS)
/* … and when nobody is looked at any more. */
#define HURRY_NS (6 * HP_S)

struct many {
	uint64_t since_ns;
	struct hp_guard g;
};

static int look_at(void *arg, pid_t pid, struct hp_buf *ret, struct hp_err *err)
{
	const struct many *m = arg;
	struct hp_guard g = {0};
	int r;

	if (hp_now_ns() - m->since_ns >= HURRY_NS)
		return hp_err_set(err, HP_SURVEY_LOST, "held up by others");
	r = hp_guard_process(NULL, pid, &g, err);
	if (r == 0 && !g.targets.n)
		r = 1;
	if (r == 0 && (hp_buf_add(ret, g.targets.v, sizeof(*g.targets.v)) < 0 ||
		       hp_buf_add(ret, g.sites.v, g.sites.n * sizeof(*g.sites.v)) < 0))
		r = hp_err_set(err, -ENOMEM, "no memory to look at the entries");
	hp_guard_free(&g);
	return r;
}

static int note(void *arg, const struct hp_survey_answer *a)
{
	struct hp_guard *g = &((struct many *)arg)->g;
	struct hp_guard_target *t;
	size_t n;

	if (a->code < 0 && a->code != HP_SURVEY_LOST) {
		hp_debug("process %d is not looked at: %s", a->pid, a->bytes);
		return a->code == -ENOMEM ? a->code : 0;
	}
	if (a->code == 0 && (a->n < sizeof(*t) || (a->n - sizeof(*t)) % sizeof(*g->sites.v)))
		return -EBADMSG;
	if (!(t = HP_ARRAY_ADD(&g->targets)))
		return -ENOMEM;
	if (a->code < 0) {
		*t = (struct hp_guard_target){.pid = a->pid, .lost = true};
		return 0;
	}
	memcpy(t, a->bytes, sizeof(*t));
	n = (a->n - sizeof(*t)) / sizeof(*g->sites.v);
	for (size_t i = 0; i < n; i++) {
		struct hp_guard_site *s = HP_ARRAY_ADD(&g->sites);

		if (!s)
			return -ENOMEM;
		memcpy(s, a->bytes + sizeof(*t) + i * sizeof(*s), sizeof(*s));
	}
	return 0;
}

int hp_op_guard_look(const struct hp_pids *pids, struct hp_guard *ret, struct hp_err *err)
{
	struct many m = {.since_ns = hp_now_ns()};
	const struct hp_survey survey = {look_at, note, &m, LOST_MAX_NS, LEAST_NS};
	int r = hp_survey_do(&survey, pids, err);

	if (r < 0)
		hp_guard_free(&m.g);
	else
		*ret = m.g;
	return r;
}
