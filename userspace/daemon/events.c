/* SPDX-License-Identifier: MIT */
#include "daemon/events.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "daemon/client.h"
#include "daemon/daemon.h"
#include "daemon/doc.h"
#include "daemon/json_out.h"
#include "daemon/status.h"
#include "hp/err.h"

static void watcher_free(struct hp_daemon *d, struct hp_watcher *w)
{
	struct hp_subject *s = w->calls ? hp_subject_find(d, w->pid) : NULL;

	TAILQ_REMOVE(&d->watchers, w, link);
	free(w);
	if (s)
		hp_subject_unwatch(s);
}

static void gone(struct hp_client *c)
{
	watcher_free(c->d, c->owner);
}

/* What there is already. */
static void tell_patches(struct hp_client *c, pid_t pid)
{
	struct hp_subject *s;

	TAILQ_FOREACH(s, &c->d->subjects, link) {
		struct hp_buf event = {0};

		if (s->gone || !s->patches || (pid && s->pid != pid))
			continue;
		if (hp_doc_put(&event, hp_subject_event(s)) == 0)
			hp_client_line(c, event.v, event.n);
		hp_buf_free(&event);
	}
}

void hp_events_watch(struct hp_client *c, pid_t pid, bool calls)
{
	struct hp_watcher *w = calloc(1, sizeof(*w));
	struct hp_daemon *d = c->d;
	struct hp_subject *s = NULL;

	if (calls)
		s = hp_subject_get(d, pid);
	if (!w || (calls && !s)) {
		char text[64];

		free(w);
		snprintf(text, sizeof(text), "process %d: %s", pid,
			 w ? "no such process" : "no memory");
		hp_client_reply_error(c, w ? -HP_E_GONE : -ENOMEM, text);
		return;
	}
	w->c = c;
	w->pid = pid;
	w->calls = calls;
	TAILQ_INSERT_TAIL(&d->watchers, w, link);
	c->owner = w;
	c->gone = gone;
	if (s)
		hp_subject_watch(s);
	hp_client_stream(c);
	tell_patches(c, pid);
	if (s)
		hp_subject_go(s);
}

json_t *hp_event_new(const char *kind, pid_t pid, json_t *more)
{
	json_t *e = json_pack("{s:i,s:s,s:o,s:i}", "schema", 1, "event", kind, "time",
			      hp_json_time(hp_wall_ns()), "pid", (int)pid);

	if (more && json_object_update(e, more) < 0) {
		json_decref(e);
		e = NULL;
	}
	json_decref(more);
	return e;
}

static void send_text(struct hp_daemon *d, pid_t pid, bool calls_only, const char *event, size_t n)
{
	struct hp_watcher *w;

	TAILQ_FOREACH(w, &d->watchers, link)
		if ((!w->pid || w->pid == pid) && (!calls_only || w->calls))
			hp_client_line(w->c, event, n);
}

void hp_events_send_text(struct hp_daemon *d, pid_t pid, const char *event, size_t n)
{
	send_text(d, pid, false, event, n);
}

void hp_events_send(struct hp_daemon *d, pid_t pid, bool calls_only, json_t *event)
{
	struct hp_buf text = {0};

	if (TAILQ_EMPTY(&d->watchers))
		json_decref(event);
	else if (hp_doc_put(&text, event) == 0) /* or it is lost, for want of memory */
		send_text(d, pid, calls_only, text.v, text.n);
	hp_buf_free(&text);
}

static void end(struct hp_daemon *d, struct hp_watcher *w, const struct hp_job_said *last)
{
	struct hp_client *c = w->c;

	c->gone = NULL;
	watcher_free(d, w);
	hp_client_end(c, last);
}

static struct hp_watcher *find_calls(struct hp_daemon *d, pid_t pid)
{
	struct hp_watcher *w;

	TAILQ_FOREACH(w, &d->watchers, link)
		if (w->calls && w->pid == pid)
			return w;
	return NULL;
}

void hp_events_end_calls(struct hp_daemon *d, pid_t pid, const struct hp_job_said *answer)
{
	struct hp_watcher *w;

	while ((w = find_calls(d, pid)))
		end(d, w, answer);
}

void hp_events_end(struct hp_daemon *d)
{
	struct hp_watcher *w;

	while ((w = TAILQ_FIRST(&d->watchers)))
		end(d, w, NULL);
}
