/* SPDX-License-Identifier: MIT */
/* Whether a new generation is ready, and which of its processes is the main one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hp/err.h"
#include "restart/pidfile.h"
#include "restart/supervisor.h"
#include "target/procfs.h"

#define QUIET_NS (16 * HP_MS)

/* Is some other socket of the same address held?  A program may open fewer of a SO_REUSEPORT group. */
static size_t count_same(const struct hp_supervisor *s, size_t i, bool held_only)
{
	const struct hp_listeners *l = &s->listeners;
	size_t n = 0;

	for (size_t k = 0; k < l->n; k++)
		n += hp_listener_same_address(&l->v[k], &l->v[i]) &&
		     (!held_only || s->readiness.held[k]);
	return n;
}

static bool is_complete(const struct hp_supervisor *s, bool waited)
{
	for (size_t i = 0; i < s->listeners.n; i++)
		if (!s->listeners.v[i].optional &&
		    !(waited ? s->readiness.waited[i] : s->readiness.held[i]))
			return false;
	return true;
}

static bool add(char *buf, size_t n, const char *text)
{
	size_t used = strlen(buf);

	return (size_t)snprintf(buf + used, n - used, "%s%s", used ? ", " : "", text) < n - used;
}

/* Listeners of the new generation at addresses where the old one had none. */
static int refuse_new_binds(struct hp_supervisor *s, const struct hp_procs *below,
			    struct hp_err *err)
{
	struct hp_listeners now = {0};
	char others[512] = "";
	int r = hp_listeners_read(&now, below, false, err);

	for (size_t i = 0; r == 0 && i < now.n; i++) {
		bool known = hp_listeners_find(&s->listeners, now.v[i].ino) != NULL;

		for (size_t k = 0; k < s->listeners.n && !known; k++)
			known = hp_listener_same_address(&now.v[i], &s->listeners.v[k]);
		if (!known && !now.v[i].optional && !add(others, sizeof(others), now.v[i].text))
			break;
	}
	hp_listeners_free(&now);
	if (r == 0 && *others && !s->req->allow_new_binds)
		r = hp_err_set(err, -HP_E_LISTENERS,
			       "the new program also listens at %s, where the old one does not; "
			       "--allow-new-binds lets it. The old one serves on",
			       others);
	return r;
}

/* A socket of its own at an address of the old one's: it was not bound by the call that is looked at.
 * Clients call there too. */
static int refuse_own(struct hp_supervisor *s, const struct hp_procs *below, struct hp_err *err)
{
	struct hp_listeners now = {0};
	int r = hp_listeners_read(&now, below, false, err);

	for (size_t i = 0; r == 0 && i < now.n; i++) {
		if (hp_listeners_find(&s->listeners, now.v[i].ino))
			continue;
		for (size_t k = 0; r == 0 && k < s->listeners.n; k++)
			if (!s->listeners.v[k].handed &&
			    hp_listener_same_address(&now.v[i], &s->listeners.v[k]))
				r = hp_err_set(err, -HP_E_LISTENERS,
					       "the new program listens at %s by a socket of its own: it "
					       "did not bind it by bind(2), but through io_uring perhaps. "
					       "The old one serves on",
					       now.v[i].text);
	}
	hp_listeners_free(&now);
	return r;
}

static bool is_to_tell(const struct hp_supervisor *s)
{
	return s->req->ready == HP_READY_NOTIFY || s->spec.wants_ready;
}

int hp_supervisor_is_ready(struct hp_supervisor *s, const struct hp_procs *below,
			   struct hp_err *err)
{
	int r;

	s->holds_all = false;
	if (is_to_tell(s) && !s->said_ready)
		return 0;
	r = hp_readiness_read(&s->readiness, &s->listeners, below);
	if (r < 0)
		return hp_err_sys(err, -r, "listeners of the new generation");
	s->holds_all = is_complete(s, false);
	if (!is_complete(s, !s->said_ready) && s->said_ready && s->req->ready == HP_READY_NOTIFY)
		return hp_supervisor_not_ready(s, below, err);
	/* That takes time: it is done when nothing else happens. */
	if (!is_complete(s, !s->said_ready))
		return s->look_ns >= QUIET_NS ? refuse_own(s, below, err) : 0;
	r = refuse_new_binds(s, below, err);
	return r < 0 ? r : 1;
}

static void tell_missing(const struct hp_supervisor *s, char *buf, size_t n)
{
	char text[HP_ADDR_TEXT + 96];

	for (size_t i = 0; i < s->listeners.n && i < s->readiness.n; i++) {
		size_t had = count_same(s, i, false), has = count_same(s, i, true);

		if (s->readiness.waited[i] || s->listeners.v[i].optional)
			continue;
		if (s->readiness.held[i])
			(void)snprintf(text, sizeof(text), "does not wait at %s",
				       s->listeners.v[i].text);
		else if (had > 1)
			(void)snprintf(text, sizeof(text),
				       "has %zu of the %zu listeners at %s", has, had,
				       s->listeners.v[i].text);
		else
			(void)snprintf(text, sizeof(text), "does not listen at %s",
				       s->listeners.v[i].text);
		if (!strstr(buf, text) && !add(buf, n, text))
			return;
	}
}

int hp_supervisor_not_ready(struct hp_supervisor *s, const struct hp_procs *below,
			    struct hp_err *err)
{
	char missing[512] = "";

	if (is_to_tell(s) && !s->said_ready)
		(void)add(missing, sizeof(missing), "did not say READY=1");
	if (hp_readiness_read(&s->readiness, &s->listeners, below) == 0)
		tell_missing(s, missing, sizeof(missing));
	if (!*missing)
		(void)snprintf(missing, sizeof(missing), "was just afterwards");
	return hp_err_set(err, -HP_E_NOT_READY,
			  "the new program was not ready in time: it %s; the old one serves on",
			  missing);
}

/* Who has left its parent is the supervisor's child. */
static pid_t root_of(pid_t pid)
{
	struct hp_stat st;

	for (pid_t at = pid; hp_stat_read(at, &st) == 0; at = (pid_t)st.field[HP_STAT_PPID]) {
		if (st.field[HP_STAT_PPID] == (uint64_t)getpid())
			return at;
		if (st.field[HP_STAT_PPID] <= 1)
			break;
	}
	return pid;
}

/* A program that goes into the background leaves one child, in a session of its own, and may take its
 * time to end.  That child, or 0. */
static pid_t in_background(const struct hp_procs *below, pid_t pid, uint64_t session)
{
	struct hp_stat st;
	pid_t child = 0;

	for (size_t i = 0; i < below->n; i++) {
		if (hp_stat_read(below->v[i], &st) < 0 || st.field[HP_STAT_PPID] != (uint64_t)pid)
			continue;
		if (child || st.field[HP_STAT_SESSION] == session)
			return 0;
		child = below->v[i];
	}
	return child;
}

/* The first of those processes to which the listeners belong. */
static pid_t topmost(const struct hp_supervisor *s, const struct hp_procs *below)
{
	struct hp_stat st;
	pid_t pid = below->n ? below->v[0] : 0, child;

	for (size_t i = 0; i < below->n; i++)
		if (hp_listeners_held_by(&s->listeners, below->v[i])) {
			pid = root_of(below->v[i]);
			break;
		}
	while (pid && hp_stat_read(pid, &st) == 0 &&
	       (child = in_background(below, pid, st.field[HP_STAT_SESSION])))
		pid = child;
	return pid;
}

int hp_supervisor_find_main(struct hp_supervisor *s, const struct hp_procs *below,
			    struct hp_err *err)
{
	struct hp_generation *g = &s->generation;
	struct hp_stat st;

	g->pid = s->said_main;
	if (!g->pid && s->pidfile)
		g->pid = hp_pidfile_read(s->req->pid, s->pidfile);
	if (!hp_procs_have(below, g->pid))
		g->pid = topmost(s, below);
	if (!g->pid || hp_stat_read(g->pid, &st) < 0)
		return hp_err_set(err, -HP_E_NEW_PROCESS,
				  "the new process ended just when it was ready; the old one serves on");
	g->pid_start = st.field[HP_STAT_START_TIME];
	return 0;
}
