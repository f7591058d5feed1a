/* SPDX-License-Identifier: MIT */
#include "restart/generation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "hp/err.h"
#include "restart/restart.h"
#include "target/procfs.h"

#define HP_DIR	 "/run/hp"
#define DIR_NAME HP_DIR "/restart"

static void path_of(pid_t supervisor, char buf[64])
{
	(void)snprintf(buf, 64, "%s/%d", DIR_NAME, (int)supervisor);
}

static uint64_t start_of(pid_t pid)
{
	struct hp_stat st;

	return pid > 0 && hp_stat_read(pid, &st) == 0 && st.state != 'Z'
		       ? st.field[HP_STAT_START_TIME]
		       : 0;
}

/* "2026-11-22T02:03:04Z", "" for none. */
static const char *wall(uint64_t ns, char buf[32])
{
	time_t s = (time_t)(ns / HP_S);
	struct tm tm;

	gmtime_r(&s, &tm);
	buf[0] = 0;
	if (ns)
		(void)strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm); /* there is room */
	return buf;
}

int hp_generation_write(const struct hp_generation *g, pid_t supervisor)
{
	char path[64], tmp[80], since[32], deadline[32];
	json_t *doc;
	int r;

	if ((mkdir(HP_DIR, 0755) && errno != EEXIST) || (mkdir(DIR_NAME, 0755) && errno != EEXIST))
		return -errno;
	doc = json_pack("{s:i,s:i,s:I,s:i,s:I,s:i,s:I,s:i,s:s%,s:s,s:s,s:s,s:s,s:i}", "schema", 1,
			"supervisor", (int)supervisor, "supervisor_start",
			(json_int_t)start_of(supervisor), "pid", (int)g->pid, "start",
			(json_int_t)g->pid_start, "old", (int)g->old, "old_start",
			(json_int_t)g->old_start, "generation", (int)g->number, "comm", g->comm,
			strlen(g->comm), "state", g->state, "old_state", g->old_state, "since",
			wall(g->since_ns, since), "deadline", wall(g->deadline_ns, deadline), "open",
			(int)g->open);
	if (!doc)
		return -ENOMEM;
	path_of(supervisor, path);
	(void)snprintf(tmp, sizeof(tmp), "%s.new", path);
	r = json_dump_file(doc, tmp, JSON_COMPACT) ? -EIO : 0;
	json_decref(doc);
	if (r == 0 && rename(tmp, path))
		r = -errno;
	return r;
}

void hp_generation_remove(void)
{
	char path[64];

	path_of(getpid(), path);
	(void)unlink(path); /* where it was not written there is none */
}

static json_int_t number(const json_t *doc, const char *name)
{
	return json_integer_value(json_object_get(doc, name));
}

static bool is(const json_t *doc, const char *name, const char *text)
{
	const char *s = json_string_value(json_object_get(doc, name));

	return s && !strcmp(s, text);
}

/* NULL when its supervisor is gone; then the file goes as well. */
static json_t *read_one(const char *name)
{
	char path[320];
	json_t *doc;

	(void)snprintf(path, sizeof(path), "%s/%s", DIR_NAME, name);
	doc = json_load_file(path, 0, NULL);
	if (!doc)
		return NULL; /* removed meanwhile */
	if (start_of((pid_t)number(doc, "supervisor")) == (uint64_t)number(doc, "supervisor_start"))
		return doc;
	json_decref(doc);
	(void)unlink(path); /* or somebody else has */
	return NULL;
}

json_t *hp_generations_list(pid_t pid)
{
	DIR *d = opendir(DIR_NAME);
	json_t *all = json_array();
	struct dirent *e;

	while (d && all && (e = readdir(d))) {
		json_t *doc;

		if (e->d_name[0] < '0' || e->d_name[0] > '9' || strchr(e->d_name, '.'))
			continue;
		doc = read_one(e->d_name);
		if (doc && pid && number(doc, "pid") != pid && number(doc, "old") != pid) {
			json_decref(doc);
			continue;
		}
		if (doc && json_array_append_new(all, doc) < 0) {
			json_decref(all);
			all = NULL;
		}
	}
	if (d)
		closedir(d);
	return all;
}

static int refuse(pid_t pid, const json_t *by, struct hp_err *err)
{
	if (is(by, "state", "starting"))
		return hp_err_set(err, -HP_E_BUSY,
				  "process %d is being restarted already, by supervisor %d", (int)pid,
				  (int)number(by, "supervisor"));
	return hp_err_set(err, -HP_E_TARGET,
			  "process %d was replaced by process %d and is being drained; restart that "
			  "one",
			  (int)pid, (int)number(by, "pid"));
}

int hp_generation_of(pid_t pid, uint64_t start, unsigned *ret, struct hp_err *err)
{
	json_t *all = hp_generations_list(pid), *doc;
	unsigned n = 1;
	size_t i;
	int r = 0;

	if (!all)
		return hp_err_sys(err, ENOMEM, "list of generations");
	json_array_foreach (all, i, doc) {
		if (number(doc, "old") == pid && (uint64_t)number(doc, "old_start") == start)
			r = refuse(pid, doc, err);
		if (number(doc, "pid") != pid || (uint64_t)number(doc, "start") != start)
			continue;
		n = (unsigned)number(doc, "generation");
		if (is(doc, "state", "starting"))
			r = hp_err_set(err, -HP_E_BUSY,
				       "process %d is being started by supervisor %d", (int)pid,
				       (int)number(doc, "supervisor"));
	}
	json_decref(all);
	if (r == 0)
		*ret = n;
	return r;
}
