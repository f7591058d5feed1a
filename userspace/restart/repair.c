/* SPDX-License-Identifier: MIT */
/*
 * What a supervisor that was killed leaves: paths of unix sockets that are mount points, which the
 * next program cannot remove, and an old generation that nobody ends.
 *
 * A process takes the supervisor's place.  While both generations live the paths stay as they are,
 * for the old one would remove them, and its drain goes on without being counted: at its deadline it
 * is told to end.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/helper.h"
#include "restart/generation.h"
#include "restart/restart.h"
#include "restart/shield.h"
#include "service/procs.h"

struct orphan {
	pid_t pid, old; /* 0: gone */
	struct hp_listeners shielded;
};

static json_int_t number(const json_t *doc, const char *name)
{
	return json_integer_value(json_object_get(doc, name));
}

static pid_t alive(const json_t *doc, const char *name, const char *start)
{
	pid_t pid = (pid_t)number(doc, name);
	uint64_t began = hp_generation_start_of(pid);

	return began && began == (uint64_t)number(doc, start) ? pid : 0;
}

/* Looked at once more when the pidfd is there: until then the number may become another process's.
 * -1: it has ended. */
static int hold(const json_t *doc, const char *name, const char *start)
{
	int fd = pidfd_open((pid_t)number(doc, name), 0);

	if (fd >= 0 && !alive(doc, name, start))
		hp_close(&fd);
	return fd;
}

static int take_shield(struct hp_listeners *to, const json_t *shield)
{
	const char *path = json_string_value(json_object_get(shield, "path"));
	struct hp_listener *l;
	struct sockaddr_un *un;

	if (!path || strlen(path) >= sizeof(un->sun_path))
		return -EINVAL;
	l = HP_ARRAY_ADD(to);
	if (!l)
		return -ENOMEM;
	*l = (struct hp_listener){.fd = -1, .family = AF_UNIX};
	l->file.dev = (dev_t)number(shield, "dev");
	l->file.ino = (ino_t)number(shield, "ino");
	l->shield = (uint64_t)number(shield, "mount");
	un = (struct sockaddr_un *)&l->addr;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path));
	return 0;
}

static struct orphan read_orphan(const json_t *doc)
{
	const json_t *shields = json_object_get(doc, "shields"), *shield;
	struct orphan o = {.pid = alive(doc, "pid", "start"), .old = alive(doc, "old", "old_start")};
	size_t i;

	json_array_foreach (shields, i, shield)
		(void)take_shield(&o.shielded, shield); /* one that is none is nobody's */
	return o;
}

static void lower(const struct orphan *o)
{
	hp_shield_lower(&o->shielded, o->pid ?: o->old);
}

static uint64_t deadline_of(const json_t *doc)
{
	const char *text = json_string_value(json_object_get(doc, "deadline"));
	struct tm tm = {0};

	return text && strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) ? (uint64_t)timegm(&tm) * HP_S : 0;
}

/* True: one of them (-1: it has ended before) ended before @wall_ns. */
static bool one_ended(int pid, int old, uint64_t wall_ns)
{
	struct pollfd p[2] = {{.fd = pid, .events = POLLIN}, {.fd = old, .events = POLLIN}};

	for (uint64_t now; (now = hp_wall_ns()) < wall_ns;) {
		uint64_t ms = (wall_ns - now) / HP_MS + 1;

		if (poll(p, 2, ms < 1000 ? (int)ms : 1000) > 0)
			return true;
	}
	return false;
}

static void drain(int pid, int old, uint64_t deadline_ns)
{
	if (one_ended(pid, old, deadline_ns))
		return;
	(void)pidfd_send_signal(old, SIGTERM, NULL, 0); /* or it has just ended */
	if (one_ended(pid, old, deadline_ns + HP_RESTART_STOP_NS))
		return;
	(void)pidfd_send_signal(old, SIGKILL, NULL, 0); /* or it has just ended */
	(void)one_ended(pid, old, UINT64_MAX);
}

/* Nobody has to read it. */
static void record(json_t *doc)
{
	(void)json_object_set_new(doc, "supervisor", json_integer(getpid()));
	(void)json_object_set_new(doc, "supervisor_start",
				  json_integer((json_int_t)hp_generation_start_of(getpid())));
	(void)hp_generation_write_doc(doc, getpid());
}

/* For as long as the new generation lives, so that it is known as hp's. */
_Noreturn static void adopt(json_t *doc, const struct orphan *o)
{
	const int none = -1;
	int pid, old;

	if (hp_helper_begin("hpd-adopt", &none, 0) < 0)
		_exit(1);
	record(doc);
	pid = hold(doc, "pid", "start");
	old = hold(doc, "old", "old_start");
	if (pid >= 0 && old >= 0)
		drain(pid, old, deadline_of(doc));
	lower(o);
	(void)json_object_del(doc, "shields");			       /* it may have none */
	(void)json_object_set_new(doc, "old_state", json_string("gone")); /* or it is told wrongly */
	record(doc);
	if (pid >= 0)
		(void)one_ended(pid, -1, UINT64_MAX);
	hp_generation_remove();
	_exit(0);
}

/* What was started and was not ready: the old one serves. */
static void kill_unfinished(const json_t *doc, struct orphan *o)
{
	const char *state = json_string_value(json_object_get(doc, "state"));
	struct hp_procs procs = {0};
	hp_autoclose int held = -1;

	if (!o->pid || !state || strcmp(state, "starting") != 0)
		return;
	held = hold(doc, "pid", "start");
	if (held >= 0 && hp_procs_below(&procs, o->pid, true) == 0)
		(void)hp_procs_kill(&procs, o->pid, held); /* what cannot be killed, hp cannot help */
	hp_procs_free(&procs);
	o->pid = 0;
}

static void repair(json_t *doc)
{
	struct orphan o = read_orphan(doc);

	kill_unfinished(doc, &o);
	if (!o.pid)
		lower(&o);
	else if (fork() == 0)
		adopt(doc, &o);
	hp_listeners_free(&o.shielded);
}

void hp_restart_repair(void)
{
	json_t *doc;

	while ((doc = hp_generation_take_over())) {
		repair(doc);
		json_decref(doc);
	}
}
