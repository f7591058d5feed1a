/* SPDX-License-Identifier: MIT */
/* What systemd starts a service in: its variables, its working directory, its umask. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "hp/err.h"
#include "restart/bus.h"
#include "restart/envfile.h"
#include "restart/spec.h"
#include "restart/unit.h"
#include "service/path.h"

#define ENVFILE_MAX (1u << 20)

/* systemd.exec(5) */
static const struct {
	const char *property, *name, *above;
} directories[] = {
	{"RuntimeDirectory", "RUNTIME_DIRECTORY", "/run"},
	{"StateDirectory", "STATE_DIRECTORY", "/var/lib"},
	{"CacheDirectory", "CACHE_DIRECTORY", "/var/cache"},
	{"LogsDirectory", "LOGS_DIRECTORY", "/var/log"},
	{"ConfigurationDirectory", "CONFIGURATION_DIRECTORY", "/etc"},
};

static int no_memory(const struct hp_spec *of, int r, struct hp_err *err)
{
	return r < 0 ? hp_err_sys(err, -r, "environment of %s", of->unit.name) : 0;
}

static int take_variables(struct hp_spec *of, sd_bus *bus, const char *path, const char *interface,
			  struct hp_err *err)
{
	char **vars = NULL;
	int r = hp_bus_strings(bus, path, interface, "Environment", &vars, err);

	if (r < 0)
		return r;
	for (char **v = vars; r == 0 && v && *v; v++) {
		char *eq = strchr(*v, '=');

		if (!eq)
			continue;
		*eq = 0;
		r = hp_environ_set(of, *v, eq + 1);
	}
	hp_bus_strings_free(vars);
	return no_memory(of, r, err);
}

static int add_directory(struct hp_spec *of, const char *name, const char *above, const char *dir)
{
	const char *others = hp_environ_get(of, name);
	char *text;
	int r;

	if (asprintf(&text, "%s%s%s/%s", others ?: "", others ? ":" : "", above, dir) < 0)
		return -ENOMEM;
	r = hp_environ_set(of, name, text);
	free(text);
	return r;
}

/* One variable for each kind of them, with colons between. */
static int take_directories(struct hp_spec *of, sd_bus *bus, size_t kind, struct hp_err *err)
{
	char **dirs = NULL;
	int r = hp_bus_strings(bus, of->unit.path, "Service", directories[kind].property, &dirs, err);

	if (r < 0)
		return r;
	hp_environ_drop(of, directories[kind].name);
	for (char **d = dirs; r == 0 && d && *d; d++)
		r = add_directory(of, directories[kind].name, directories[kind].above, *d);
	hp_bus_strings_free(dirs);
	return no_memory(of, r, err);
}

static int take_watchdog(struct hp_spec *of, sd_bus *bus, struct hp_err *err)
{
	uint64_t us = 0;
	char text[32];
	sd_bus_message *m;
	int r = hp_bus_message(bus, of->unit.path, "Service", "WatchdogUSec", "t", &m, err);

	if (r < 0)
		return r;
	r = sd_bus_message_read(m, "t", &us);
	sd_bus_message_unref(m);
	(void)snprintf(text, sizeof(text), "%" PRIu64, us);
	if (r >= 0 && us && us != UINT64_MAX)
		r = hp_environ_set(of, "WATCHDOG_USEC", text);
	return no_memory(of, r, err);
}

static int take_file(struct hp_spec *of, const char *path)
{
	char *text;
	int r = hp_read_file(AT_FDCWD, path, ENVFILE_MAX, &text, NULL);

	if (r < 0)
		return r;
	r = hp_envfile_take(of, text);
	free(text);
	return r;
}

/* @pattern may be a path with wildcards. */
static int take_files_of(struct hp_spec *of, const char *pattern)
{
	glob_t g = {0};
	int r = glob(pattern, 0, NULL, &g) == 0 ? 0 : -ENOENT;

	for (size_t i = 0; r == 0 && i < g.gl_pathc; i++)
		r = take_file(of, g.gl_pathv[i]);
	globfree(&g);
	return r;
}

/* What the old process has of one that is gone by now is not missed, unless none of that is taken. */
static int take_files(struct hp_spec *of, sd_bus *bus, struct hp_err *err)
{
	const char *pattern = "";
	int optional = 0, k = 0;
	sd_bus_message *m;
	int r = hp_bus_message(bus, of->unit.path, "Service", "EnvironmentFiles", "a(sb)", &m, err);

	if (r < 0)
		return r;
	r = sd_bus_message_enter_container(m, 'a', "(sb)");
	while (k == 0 && r >= 0 && (r = sd_bus_message_read(m, "(sb)", &pattern, &optional)) > 0) {
		k = take_files_of(of, pattern);
		if (k != -ENOMEM && (optional || !of->rises))
			k = 0;
	}
	if (k < 0)
		r = hp_err_sys(err, -k, "environment of %s: %s", of->unit.name, pattern);
	else
		r = no_memory(of, r, err);
	sd_bus_message_unref(m);
	return r;
}

/* "NAME", or "NAME=VALUE" for one that has that value. */
static int take_back(struct hp_spec *of, sd_bus *bus, struct hp_err *err)
{
	char **names = NULL;
	int r = hp_bus_strings(bus, of->unit.path, "Service", "UnsetEnvironment", &names, err);

	for (char **v = names; v && *v; v++) {
		char *eq = strchr(*v, '=');
		const char *value;

		if (eq)
			*eq = 0;
		value = hp_environ_get(of, *v);
		if (value && (!eq || !strcmp(value, eq + 1)))
			hp_environ_drop(of, *v);
	}
	hp_bus_strings_free(names);
	return r;
}

/* As systemd does it: what comes later replaces what was there. */
static int take_all(struct hp_spec *of, sd_bus *bus, struct hp_err *err)
{
	int r = take_variables(of, bus, HP_BUS_MANAGER, "Manager", err);

	for (size_t i = 0; r == 0 && i < sizeof(directories) / sizeof(directories[0]); i++)
		r = take_directories(of, bus, i, err);
	if (r == 0)
		r = take_watchdog(of, bus, err);
	if (r == 0)
		r = take_variables(of, bus, of->unit.path, "Service", err);
	if (r == 0)
		r = take_files(of, bus, err);
	return r == 0 ? take_back(of, bus, err) : r;
}

/* What is not there: a program that shows a title may have written over all of it. */
static int fill_environment(struct hp_spec *s, sd_bus *bus, struct hp_err *err)
{
	struct hp_spec of = {.unit = s->unit, .rises = s->rises};
	int r = take_all(&of, bus, err);

	for (size_t i = 0; r == 0 && i < of.envp.n; i++) {
		char *entry = of.envp.v[i], *eq = strchr(entry, '=');

		*eq = 0;
		if (!hp_environ_get(s, entry))
			r = no_memory(s, hp_environ_set(s, entry, eq + 1), err);
	}
	hp_strings_free(&of.envp);
	return r;
}

/* What the process takes for its home is not asked.  A user who is nowhere written down (DynamicUser=) has
 * the root. */
static const char *home_of(uid_t uid)
{
	const struct passwd *pw = getpwuid(uid);

	return pw ? pw->pw_dir : "";
}

/* "" is the root, "~" home; "!" before it says that it need not be there. */
static int read_directory(struct hp_spec *s, sd_bus *bus, pid_t pid, struct hp_err *err)
{
	char text[sizeof(s->dir)];
	const char *dir = text;
	int fd, r = hp_bus_string(bus, s->unit.path, "Service", "WorkingDirectory", text,
				  sizeof(text), err);

	if (r < 0)
		return r;
	fd = hp_path_open(pid, AT_FDCWD, "/");
	if (fd < 0)
		return hp_err_sys(err, -fd, "root of process %d", (int)pid);
	hp_close(&s->cwd);
	s->cwd = fd;
	s->dir_may_miss = *dir == '!';
	dir += s->dir_may_miss;
	(void)snprintf(s->dir, sizeof(s->dir), "%s",
		       strcmp(dir, "~") ? dir : home_of(s->creds.uid[0]));
	return 0;
}

static int read_umask(struct hp_spec *s, sd_bus *bus, struct hp_err *err)
{
	uint32_t mask = 0;
	int r = hp_bus_number(bus, s->unit.path, "Service", "UMask", 'u', &mask, err);

	s->umask = (mode_t)mask;
	return r;
}

int hp_unit_surroundings(struct hp_spec *s, const struct hp_restart_request *req, struct hp_err *err)
{
	sd_bus *bus;
	int r;

	if (!*s->unit.name || (req->n_argv && !s->rises))
		return 0;
	r = hp_bus_open(&bus, err);
	if (r < 0)
		return r;
	if (!req->n_argv || req->env == HP_RESTART_ENV_KEEP)
		r = fill_environment(s, bus, err);
	if (r == 0)
		r = read_directory(s, bus, req->pid, err);
	if (r == 0 && s->rises)
		r = read_umask(s, bus, err);
	sd_bus_flush_close_unref(bus);
	return r;
}
