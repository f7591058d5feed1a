/* SPDX-License-Identifier: MIT */
#include "daemon/views.h"

#include "base/clock.h"
#include "daemon/daemon.h"
#include "watch/watch.h"

#define SPARE_NS   (1 * HP_S)
#define VIEWS_KEPT 64 /* a view is memory of the kernel's; few targets are looked at */

/* It stops the ring for some 40 ms: after a second in which nobody wanted anything. */
static void make_spare(struct hp_timer *t)
{
	struct hp_daemon *d = (struct hp_daemon *)((char *)t - offsetof(struct hp_daemon, spare));
	struct hp_job *job;

	TAILQ_FOREACH(job, &d->jobs, link)
		if (!job->answered && job->req.kind != HP_JOB_WATCH) {
			hp_timer_set(d->ring, t, hp_now_ns() + SPARE_NS);
			return;
		}
	hp_watch_spare(d->watch);
}

void hp_subject_close_view(struct hp_subject *s)
{
	if (!s->view)
		return;
	TAILQ_REMOVE(&s->d->viewed, s, viewed);
	s->d->n_viewed--;
	hp_view_close(s->view);
	s->view = NULL;
}

/* The target at rest that was worked on longest ago does without. */
static void give_up_view(struct hp_daemon *d)
{
	struct hp_subject *s;

	TAILQ_FOREACH(s, &d->viewed, viewed)
		if (!s->jobs && !s->queued && !s->call_watchers) {
			hp_subject_close_view(s);
			return;
		}
}

int hp_subject_open_view(struct hp_subject *s, struct hp_err *err)
{
	struct hp_daemon *d = s->d;
	int k;

	if (s->view) {
		TAILQ_REMOVE(&d->viewed, s, viewed);
		TAILQ_INSERT_TAIL(&d->viewed, s, viewed);
		return 0;
	}
	if (d->n_viewed >= VIEWS_KEPT)
		give_up_view(d);
	k = hp_view_open(&s->view, d->watch, s->pid, err);
	if (k < 0)
		return k;
	TAILQ_INSERT_TAIL(&d->viewed, s, viewed);
	d->n_viewed++;
	d->spare.fire = make_spare;
	hp_timer_set(d->ring, &d->spare, hp_now_ns() + SPARE_NS);
	return 0;
}

void hp_views_postpone(struct hp_daemon *d)
{
	if (d->spare.at_ns)
		hp_timer_set(d->ring, &d->spare, hp_now_ns() + SPARE_NS);
}
