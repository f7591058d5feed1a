/* SPDX-License-Identifier: MIT */
/* daemon/events.h – what happens, to everybody who watches. */
#ifndef HP_DAEMON_EVENTS_H
#define HP_DAEMON_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/types.h>

struct hp_client;
struct hp_daemon;
struct hp_job_said;

struct hp_watcher {
	TAILQ_ENTRY(hp_watcher) link;
	struct hp_client *c;
	pid_t pid; /* 0: all */
	bool calls;
};

/* Begins the stream. */
void hp_events_watch(struct hp_client *c, pid_t pid, bool calls);

/* {"event":@kind,"time":…,"pid":…} and the members of @more, which is taken (NULL: none). */
json_t *hp_event_new(const char *kind, pid_t pid, json_t *more);
/* To all watchers of @pid; with @calls_only to those that watch its calls. Takes @event. */
void hp_events_send(struct hp_daemon *d, pid_t pid, bool calls_only, json_t *event);
/* One as text, to all watchers of @pid. */
void hp_events_send_text(struct hp_daemon *d, pid_t pid, const char *event, size_t n);

/* Ends the streams that watch the calls of @pid; @answer makes their last line. */
void hp_events_end_calls(struct hp_daemon *d, pid_t pid, const struct hp_job_said *answer);
/* Ends all. */
void hp_events_end(struct hp_daemon *d);

#endif
