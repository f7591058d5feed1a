/* SPDX-License-Identifier: MIT */
/* The guard's look at many processes: a survey, each answer of which is a target and its sites. */
#include "patch/guard.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "hp/err.h"
#include "patch/survey.h"

/* Of the time that a look may take (GUARD_NS in daemon/job.c) what processes that hold it up may have … */
#define LOST_MAX_NS (3 * HP_S)
#define LEAST_NS    (250 * HP_MS)
/* … and when nobody is looked at any more, which is not their fault. */
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
		return hp_err_set(err, -EAGAIN, "others held the look up");
	r = hp_guard_process(NULL, pid, &g, err);
	if (r == 0 && !g.targets.n)
		r = 1;
	if (r == 0 && (hp_buf_add(ret, g.targets.v, sizeof(*g.targets.v)) < 0 ||
		       hp_buf_add(ret, g.sites.v, g.sites.n * sizeof(*g.sites.v)) < 0))
		r = hp_err_set(err, -ENOMEM, "no memory to look at the entries");
	hp_guard_free(&g);
	return r;
}

static int note_sites(struct hp_guard *g, pid_t pid, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct hp_guard_site *s = HP_ARRAY_ADD(&g->sites);

		if (!s)
			return -ENOMEM;
		memcpy(s, bytes + i * sizeof(*s), sizeof(*s));
		s->pid = pid;
	}
	return 0;
}

static int note(void *arg, const struct hp_survey_answer *a)
{
	struct hp_guard *g = &((struct many *)arg)->g;
	struct hp_guard_target t = {.pid = a->pid}, *at;

	if (a->code == 0) {
		if (a->n < sizeof(t) || (a->n - sizeof(t)) % sizeof(*g->sites.v))
			return -EBADMSG;
		memcpy(&t, a->bytes, sizeof(t));
		t.pid = a->pid;
	} else if (a->code == -EAGAIN) {
		t.outcome = HP_GUARD_PASSED_OVER;
	} else if (a->code == HP_SURVEY_LOST) {
		t.outcome = HP_GUARD_LOST;
		snprintf(t.why, sizeof(t.why), "%s", a->bytes);
	} else {
		hp_debug("process %d is not looked at: %s", a->pid, a->bytes);
		return a->code == -ENOMEM ? a->code : 0;
	}
	t.ns = a->ns;
	if (!(at = HP_ARRAY_ADD(&g->targets)))
		return -ENOMEM;
	*at = t;
	return a->code ? 0
		       : note_sites(g, a->pid, a->bytes + sizeof(t),
				    (a->n - sizeof(t)) / sizeof(*g->sites.v));
}

int hp_op_guard_look(const struct hp_pids *pids, struct hp_guard *ret, struct hp_err *err)
{
	struct many m = {.since_ns = hp_now_ns()};
	/* One alone takes nobody's time. */
	const struct hp_survey survey = {look_at, note, &m, LOST_MAX_NS,
					 pids->n == 1 ? LOST_MAX_NS : LEAST_NS};
	int r = hp_survey_do(&survey, pids, err);

	if (r < 0)
		hp_guard_free(&m.g);
	else
		*ret = m.g;
	return r;
}
