/* SPDX-License-Identifier: MIT */
/* A job that begins may end at once, which calls the next: that is done in one loop, not in itself. */
#include "daemon/turns.h"

#include "daemon/daemon.h"
#include "daemon/job.h"

static unsigned *count_of(struct hp_turns *t, uid_t uid)
{
	for (unsigned i = 0; i < t->n_users; i++)
		if (t->user[i].uid == uid)
			return &t->user[i].n;
	return NULL;
}

static bool has_room(struct hp_turns *t, uid_t uid)
{
	const unsigned *n = count_of(t, uid);

	if (uid == 0)
		return t->root < HP_TURNS_ALL;
	return t->others < HP_TURNS_ALL && (!n || *n < HP_TURNS_USER);
}

static void enter(struct hp_turns *t, struct hp_job *job)
{
	uid_t uid = job->peer->uid;
	unsigned *n = count_of(t, uid);

	job->in_turn = true;
	if (uid == 0) {
		t->root++;
		return;
	}
	if (!n) {
		t->user[t->n_users].uid = uid;
		n = &t->user[t->n_users++].n;
		*n = 0;
	}
	++*n;
	t->others++;
}

static void forget_user(struct hp_turns *t, unsigned *n)
{
	unsigned last = --t->n_users;

	for (unsigned i = 0; i < last; i++)
		if (&t->user[i].n == n)
			t->user[i] = t->user[last];
}

static void leave(struct hp_turns *t, struct hp_job *job)
{
	unsigned *n = count_of(t, job->peer->uid);

	job->in_turn = false;
	if (job->peer->uid == 0) {
		t->root--;
		return;
	}
	t->others--;
	if (--*n == 0)
		forget_user(t, n);
}

bool hp_turn_take(struct hp_job *job)
{
	struct hp_turns *t = &job->d->turns;

	if (job->in_turn)
		return true;
	if (has_room(t, job->peer->uid)) {
		enter(t, job);
		return true;
	}
	TAILQ_INSERT_TAIL(&t->waiting, job, link);
	t->n_waiting++;
	job->waits = true;
	return false;
}

static void take_out(struct hp_turns *t, struct hp_job *job)
{
	TAILQ_REMOVE(&t->waiting, job, link);
	t->n_waiting--;
	job->waits = false;
}

/* The first that may. */
static struct hp_job *next(struct hp_turns *t)
{
	struct hp_job *job;

	TAILQ_FOREACH(job, &t->waiting, link)
		if (has_room(t, job->peer->uid))
			return job;
	return NULL;
}

void hp_turn_end(struct hp_job *job)
{
	struct hp_turns *t = &job->d->turns;
	struct hp_job *after;

	if (!job->in_turn)
		return;
	leave(t, job);
	if (t->calling)
		return;
	t->calling = true;
	while ((after = next(t))) {
		take_out(t, after);
		enter(t, after);
		hp_job_submit(after, false);
	}
	t->calling = false;
}

void hp_turn_leave(struct hp_job *job)
{
	take_out(&job->d->turns, job);
	hp_job_free(job);
}

bool hp_turns_has(const struct hp_daemon *d, enum hp_job_kind kind, pid_t pid)
{
	const struct hp_job *job;

	TAILQ_FOREACH(job, &d->turns.waiting, link)
		if (job->req.kind == kind && job->req.pid == pid)
			return true;
	return false;
}

void hp_turns_dismiss(struct hp_daemon *d, const struct hp_err *why)
{
	struct hp_job *job, *last = TAILQ_LAST(&d->turns.waiting, hp_waiting_jobs);
	bool more = last != NULL;

	/* What one of them asks for in turn (an undo) comes behind them, and stays. */
	while (more && (job = TAILQ_FIRST(&d->turns.waiting))) {
		more = job != last;
		take_out(&d->turns, job);
		hp_job_refuse(job, why);
	}
}

void hp_turns_free(struct hp_daemon *d)
{
	struct hp_job *job;

	while ((job = TAILQ_FIRST(&d->turns.waiting)))
		hp_turn_leave(job);
}
