/* SPDX-License-Identifier: MIT */
/*
 * The environment is the one that the old process was started with: what it set itself is not seen.
 * A program that shows a title in ps(1) may have written over it (nginx does); what is no
 * "NAME=value" any more is left out, and told.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/fd.h"
#include "hp/err.h"
#include "restart/spec.h"

#define ENVIRON_MAX (4u << 20)

/* What belongs to the process that it was given to (sd_listen_fds(3), sd_watchdog_enabled(3)), or
 * that a program leaves to itself when it executes itself again: nginx, haproxy -W.  The time of a
 * unit's watchdog stays: without a pid it is for whoever reads it. */
static const char *const not_inherited[] = {
	"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC",
	"NGINX", "HAPROXY_MWORKER_REEXEC", "HAPROXY_MWORKER_WAIT_ONLY", "HAPROXY_PROCESSES",
	"HAPROXY_LOAD_SUCCESS",
};

int hp_strings_add(struct hp_strings *s, const char *text)
{
	char *copy = strdup(text), **v;

	if (!copy)
		return -ENOMEM;
	/* One more than are counted: the NULL behind the last. */
	v = HP_ARRAY_ADD(s);
	if (v)
		v = HP_ARRAY_ADD(s);
	if (!v) {
		free(copy);
		return -ENOMEM;
	}
	s->n--;
	s->v[s->n - 1] = copy;
	s->v[s->n] = NULL;
	return 0;
}

void hp_strings_free(struct hp_strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	HP_ARRAY_FREE(s);
}

static char **find(const struct hp_spec *s, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < s->envp.n; i++)
		if (!strncmp(s->envp.v[i], name, n) && s->envp.v[i][n] == '=')
			return &s->envp.v[i];
	return NULL;
}

const char *hp_environ_get(const struct hp_spec *s, const char *name)
{
	char **v = find(s, name);

	return v ? *v + strlen(name) + 1 : NULL;
}

int hp_environ_set(struct hp_spec *s, const char *name, const char *value)
{
	char **v = find(s, name), *text;
	int r;

	if (asprintf(&text, "%s=%s", name, value) < 0)
		return -ENOMEM;
	if (v) {
		free(*v);
		*v = text;
		return 0;
	}
	r = hp_strings_add(&s->envp, text);
	free(text);
	return r;
}

void hp_environ_drop(struct hp_spec *s, const char *name)
{
	char **v = find(s, name);

	if (!v)
		return;
	free(*v);
	/* The NULL behind the last moves along. */
	memmove(v, v + 1, (size_t)(s->envp.v + s->envp.n - v) * sizeof(*v));
	s->envp.n--;
}

static bool is_inherited(const struct hp_spec *s, const char *entry)
{
	if (*s->unit.name && !strncmp(entry, "WATCHDOG_USEC=", 14))
		return true;
	for (size_t i = 0; i < sizeof(not_inherited) / sizeof(not_inherited[0]); i++) {
		size_t n = strlen(not_inherited[i]);

		if (!strncmp(entry, not_inherited[i], n) && entry[n] == '=')
			return false;
	}
	return true;
}

static bool is_sound(const char *entry)
{
	size_t name = strcspn(entry, "=");

	if (!name || !entry[name])
		return false;
	for (size_t i = 0; i < name; i++)
		if (entry[i] <= ' ' || entry[i] == 127 || entry[i] == '/' || entry[i] == ':')
			return false;
	return true;
}

static int take(struct hp_spec *s, const char *text, size_t n)
{
	unsigned odd = 0;
	int r = 0;

	for (size_t at = 0; r == 0 && at < n; at += strlen(text + at) + 1) {
		if (!text[at])
			continue;
		if (!is_sound(text + at))
			odd++;
		else if (is_inherited(s, text + at))
			r = hp_strings_add(&s->envp, text + at);
	}
	if (!s->envp.n && n)
		(void)snprintf(s->left_out, sizeof(s->left_out), "all of it is overwritten");
	else if (odd)
		(void)snprintf(s->left_out, sizeof(s->left_out), "%u overwritten entr%s left out",
			       odd, odd == 1 ? "y" : "ies");
	return r;
}

/* Somebody but hp wants to know when it is ready. */
static bool is_told(const char *notify)
{
	return notify && strncmp(notify, HP_NOTIFY_PREFIX, strlen(HP_NOTIFY_PREFIX)) != 0;
}

static int keep(struct hp_spec *s, pid_t pid)
{
	char path[64], *text;
	size_t n;
	int r;

	if (s->rises) {
		(void)snprintf(s->left_out, sizeof(s->left_out),
			       "%s, for the new one gets rights that it has not",
			       *s->unit.name ? "systemd's is taken instead" : "not taken");
		return 0;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	r = hp_read_file(AT_FDCWD, path, ENVIRON_MAX, &text, &n);
	if (r < 0)
		return r;
	r = take(s, text, n);
	free(text);
	return r;
}

int hp_environ_read(struct hp_spec *s, const struct hp_restart_request *req, struct hp_err *err)
{
	int r = req->env == HP_RESTART_ENV_KEEP ? keep(s, req->pid) : 0;

	for (size_t i = 0; r == 0 && i < req->set.n; i++)
		r = hp_environ_set(s, req->set.v[i].key, req->set.v[i].value);
	if (r < 0)
		return hp_err_sys(err, -r, "environment of process %d", (int)req->pid);
	s->wants_ready = *s->unit.name ? s->unit.tells
				       : is_told(hp_environ_get(s, "NOTIFY_SOCKET"));
	return 0;
}
