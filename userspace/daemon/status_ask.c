/* SPDX-License-Identifier: MIT */
/*
 * A status is as of now, but for who takes long to look at: the guard looks first.  Its look is a process, so
 * there is one at a time: who asks meanwhile waits for the next, which is for all of them.
 */
#include <errno.h>
#include <stdlib.h>

#include "daemon/client.h"
#include "daemon/daemon.h"
#include "daemon/status.h"

struct hp_status_wait {
	TAILQ_ENTRY(hp_status_wait) link;
	struct hp_client *c; /* NULL: it left */
	pid_t pid;
};

static void client_gone(struct hp_client *c)
{
	((struct hp_status_wait *)c->owner)->c = NULL;
}

static void look(struct hp_daemon *d);

static void looked(void *arg)
{
	struct hp_daemon *d = arg;
	struct hp_status_wait *w, *after;

	for (w = TAILQ_FIRST(&d->status.told); w; w = after) {
		after = TAILQ_NEXT(w, link);
		if (w->c) {
			w->c->gone = NULL;
			hp_client_reply(w->c, hp_status(d, w->pid));
		}
		free(w);
	}
	TAILQ_INIT(&d->status.told);
	d->status.looks = false;
	if (!TAILQ_EMPTY(&d->status.asked))
		look(d);
}

static void look(struct hp_daemon *d)
{
	const struct hp_status_wait *w;
	pid_t pid = TAILQ_FIRST(&d->status.asked)->pid;

	TAILQ_FOREACH(w, &d->status.asked, link)
		if (w->pid != pid)
			pid = 0;
	TAILQ_CONCAT(&d->status.told, &d->status.asked, link);
	d->status.looks = true;
	hp_guard_round(d, pid, looked, d);
}

void hp_status_ask(struct hp_client *c, pid_t pid)
{
	struct hp_status_wait *w = malloc(sizeof(*w));
	struct hp_daemon *d = c->d;

	if (!w) {
		hp_client_reply_error(c, -ENOMEM, "no memory for a status");
		return;
	}
	*w = (struct hp_status_wait){.c = c, .pid = pid};
	c->owner = w;
	c->gone = client_gone;
	TAILQ_INSERT_TAIL(&d->status.asked, w, link);
	if (!d->status.looks)
		look(d);
}

static void free_all(struct hp_status_waits *waits)
{
	struct hp_status_wait *w, *after;

	for (w = TAILQ_FIRST(waits); w; w = after) {
		after = TAILQ_NEXT(w, link);
		free(w);
	}
	TAILQ_INIT(waits);
}

void hp_status_end(struct hp_daemon *d)
{
	free_all(&d->status.told);
	free_all(&d->status.asked);
}
