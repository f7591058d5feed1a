/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "client/client.h"
#include "client/wire.h"

struct hp_events {
	int fd;
	struct hp_call call;
	struct hp_answer answer;
	HP_ARRAY(json_t *) lines; /* read, and not told yet, from @next on */
	size_t next;
	json_t *told; /* the last event, for its strings */
	char *text;
	bool no_memory;
};

static void on_line(void *arg, const json_t *line)
{
	struct hp_events *e = arg;
	json_t **at = HP_ARRAY_ADD(&e->lines);

	if (at)
		*at = json_incref((json_t *)line);
	else
		e->no_memory = true;
}

/* 1: something may be there to be read.  0: nothing until @deadline_ns. */
static int wait_for(const struct hp_events *e, int timeout_ms, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = e->fd, .events = POLLIN};
	uint64_t now = hp_now_ns(), left = now < deadline_ns ? deadline_ns - now : 0;
	int k = poll(&p, 1, timeout_ms < 0 ? -1 : (int)((left + HP_MS - 1) / HP_MS));

	return k < 0 ? (errno == EINTR ? 1 : -errno) : k;
}

/* hpd may not have begun to watch before the head of its answer is here. */
static int begin(struct hp_events *e)
{
	int k = hp_answer_begin(&e->answer, e->fd, &e->call);

	while (k == 0 && !e->answer.parser.status_code) {
		k = wait_for(e, -1, 0);
		if (k > 0)
			k = hp_answer_read(&e->answer, e->fd);
	}
	return k;
}

int hp_client_events(struct hp_client *c, pid_t pid, struct hp_events **ret, struct hp_err *err)
{
	struct hp_events *e = calloc(1, sizeof(*e));
	char path[64] = "/hp/v2/events";
	int k;

	if (!e)
		return hp_err_set(err, -ENOMEM, "no memory");
	e->fd = -1;
	if (pid)
		snprintf(path, sizeof(path), "/hp/v2/events?pid=%d", (int)pid);
	e->call = (struct hp_call){
		.method = "GET", .path = path, .stream = true, .line = on_line, .arg = e};
	k = hp_client_connect(c, &e->fd, err);
	if (k == 0) {
		k = begin(e);
		e->call.path = NULL; /* it lies on this stack, and was sent */
		if (k < 0)
			k = hp_err_set(err, -HP_E_UNREACHABLE, "hpd went away: %s", strerror(-k));
	}
	if (k < 0) {
		hp_events_free(e);
		return k;
	}
	*ret = e;
	return 0;
}

int hp_events_fd(const struct hp_events *e)
{
	return e->fd;
}

/* What was told gives way to the next. */
static int tell(struct hp_events *e, struct hp_event *ret, struct hp_err *err)
{
	json_decref(e->told);
	free(e->text);
	e->told = e->lines.v[e->next++];
	e->text = json_dumps(e->told, JSON_COMPACT);
	if (e->next == e->lines.n)
		e->next = e->lines.n = 0;
	if (!e->text)
		return hp_err_set(err, -ENOMEM, "no memory");
	*ret = (struct hp_event){
		.kind = hp_answer_text(e->told, "event"),
		.time = hp_answer_text(e->told, "time"),
		.pid = (pid_t)hp_answer_number(e->told, "pid"),
		.json = e->text,
	};
	return 1;
}

/* @k is why: 0 for the stream's own end. */
static int ended(const struct hp_events *e, int k, struct hp_err *err)
{
	int told = hp_wire_error(e->answer.answer, err);

	if (told < 0)
		return told;
	if (e->no_memory)
		return hp_err_set(err, -ENOMEM, "no memory");
	return hp_err_set(err, -HP_E_UNREACHABLE, "hpd has ended the stream%s%s", k ? ": " : "",
			  k ? strerror(-k) : "");
}

int hp_events_next(struct hp_events *e, int timeout_ms, struct hp_event *ret, struct hp_err *err)
{
	uint64_t deadline = hp_now_ns() + (timeout_ms < 0 ? 0 : (uint64_t)timeout_ms * HP_MS);
	int k = 0;

	while (e->next == e->lines.n) {
		if (e->answer.done || e->no_memory)
			return ended(e, 0, err);
		k = wait_for(e, timeout_ms, deadline);
		if (k == 0)
			return 0;
		if (k > 0)
			k = hp_answer_read(&e->answer, e->fd);
		if (k < 0)
			return ended(e, k, err);
	}
	return tell(e, ret, err);
}

void hp_events_free(struct hp_events *e)
{
	if (!e)
		return;
	for (size_t i = e->next; i < e->lines.n; i++)
		json_decref(e->lines.v[i]);
	HP_ARRAY_FREE(&e->lines);
	hp_answer_free(&e->answer);
	json_decref(e->told);
	free(e->text);
	hp_close(&e->fd);
	free(e);
}
