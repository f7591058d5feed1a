/* SPDX-License-Identifier: MIT */
#include "restart/generation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "hp/err.h"
#include "restart/restart.h"
#include "service/inventory.h"
#include "target/procfs.h"

#define HP_DIR	 "/run/hp"
#define DIR_NAME HP_DIR "/restart"

static void path_of(pid_t supervisor, char buf[64])
{
	(void)snprintf(buf, 64, "%s/%d", DIR_NAME, (int)supervisor);
}

uint64_t hp_generation_start_of(pid_t pid)
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

int hp_generation_write_doc(const json_t *doc, pid_t supervisor)
{
	char path[64], tmp[80];
	int r;

	path_of(supervisor, path);
	(void)snprintf(tmp, sizeof(tmp), "%s.new", path);
	r = json_dump_file(doc, tmp, JSON_COMPACT) ? -EIO : 0;
	return r == 0 && rename(tmp, path) ? -errno : r;
}

/* NULL, too, where a path is no UTF-8: then it is not known to who comes after us. */
static json_t *shields_of(const struct hp_listeners *l)
{
	json_t *all = l ? json_array() : NULL;

	for (size_t i = 0; all && i < l->n; i++) {
		const struct sockaddr_un *un = (const struct sockaddr_un *)&l->v[i].addr;

		if (l->v[i].shield)
			(void)json_array_append_new(
				all, json_pack("{s:s,s:I,s:I,s:I}", "path", un->sun_path, "dev",
					       (json_int_t)l->v[i].file.dev, "ino",
					       (json_int_t)l->v[i].file.ino, "mount",
					       (json_int_t)l->v[i].shield));
	}
	return all;
}

int hp_generation_write(const struct hp_generation *g, pid_t supervisor)
{
	char since[32], deadline[32];
	json_t *doc, *shields = shields_of(g->shielded);
	int r;

	if ((mkdir(HP_DIR, 0755) && errno != EEXIST) || (mkdir(DIR_NAME, 0755) && errno != EEXIST))
		return -errno;
	doc = json_pack("{s:i,s:i,s:I,s:i,s:I,s:i,s:I,s:i,s:o,s:s,s:s,s:s,s:s,s:i,s:o*}", "schema", 1,
			"supervisor", (int)supervisor, "supervisor_start",
			(json_int_t)hp_generation_start_of(supervisor), "pid", (int)g->pid, "start",
			(json_int_t)g->pid_start, "old", (int)g->old, "old_start",
			(json_int_t)g->old_start, "generation", (int)g->number, "comm",
			json_string(g->comm) ?: json_string("?"), "state", g->state, "old_state",
			g->old_state, "since", wall(g->since_ns, since), "deadline",
			wall(g->deadline_ns, deadline), "open", (int)g->open, "shields", shields);
	if (!doc)
		return -ENOMEM;
	r = hp_generation_write_doc(doc, supervisor);
	json_decref(doc);
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

static bool has_supervisor(const json_t *doc)
{
	return hp_generation_start_of((pid_t)number(doc, "supervisor")) ==
	       (uint64_t)number(doc, "supervisor_start");
}

/* NULL: it was removed meanwhile. */
static json_t *read_one(const char *name)
{
	char path[320];

	(void)snprintf(path, sizeof(path), "%s/%s", DIR_NAME, name);
	return json_load_file(path, 0, NULL);
}

static bool is_name(const char *name)
{
	return name[0] >= '0' && name[0] <= '9' && !strchr(name, '.');
}

/* By a rename: one of those who try. */
static bool claim(const char *name)
{
	char path[320], claimed[80];

	(void)snprintf(path, sizeof(path), "%s/%s", DIR_NAME, name);
	(void)snprintf(claimed, sizeof(claimed), "%s/%d.claim", DIR_NAME, (int)getpid());
	return rename(path, claimed) == 0 && unlink(claimed) == 0;
}

json_t *hp_generation_take_over(void)
{
	DIR *d = opendir(DIR_NAME);
	json_t *doc = NULL;
	struct dirent *e;

	while (d && !doc && (e = readdir(d))) {
		doc = is_name(e->d_name) ? read_one(e->d_name) : NULL;
		if (doc && (has_supervisor(doc) || !claim(e->d_name))) {
			json_decref(doc);
			doc = NULL;
		}
	}
	if (d)
		closedir(d);
	return doc;
}

static bool is_of(const json_t *doc, const struct hp_pids *of)
{
	for (size_t i = 0; of && i < of->n; i++)
		if (number(doc, "pid") == of->v[i] || number(doc, "old") == of->v[i])
			return true;
	return !of;
}

json_t *hp_generations_list(const struct hp_pids *of)
{
	DIR *d = opendir(DIR_NAME);
	json_t *all = json_array();
	struct dirent *e;

	while (d && all && (e = readdir(d))) {
		json_t *doc;

		doc = is_name(e->d_name) ? read_one(e->d_name) : NULL;
		if (doc && (!has_supervisor(doc) || !is_of(doc, of))) {
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
	const struct hp_pids it = {.v = &pid, .n = 1};
	json_t *all = hp_generations_list(&it), *doc;
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
