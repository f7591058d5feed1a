/* SPDX-License-Identifier: MIT */
/* How systemd starts a service: what the new process is started with when nothing else is said. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "hp/err.h"
#include "restart/bus.h"
#include "restart/expand.h"
#include "restart/spec.h"
#include "restart/unit.h"
#include "service/path.h"

/* What systemd gives every service, and this one, and is not there: a program that shows a title may
 * have written over all of it. */
static int fill_environment(struct hp_spec *s, sd_bus *bus, const char *path, const char *interface,
			    struct hp_err *err)
{
	sd_bus_message *m;
	char **vars = NULL;
	int r = hp_bus_message(bus, path, interface, "Environment", "as", &m, err);

	if (r < 0)
		return r;
	r = sd_bus_message_read_strv(m, &vars);
	for (char **v = vars; r >= 0 && v && *v; v++) {
		char *eq = strchr(*v, '=');

		if (!eq)
			continue;
		*eq = 0;
		if (!hp_environ_get(s, *v))
			r = hp_environ_set(s, *v, eq + 1);
	}
	for (char **v = vars; v && *v; v++)
		free(*v);
	free(vars);
	sd_bus_message_unref(m);
	return r < 0 ? hp_err_sys(err, -r, "environment of %s", s->unit.name) : 0;
}

struct command {
	const char *file;
	char **words, **flags;
};

/* The one element of ExecStartEx: what is not read are times and the last result.  1; 0: none. */
static int read_command(sd_bus_message *m, struct command *ret)
{
	int r = sd_bus_message_enter_container(m, 'a', "(sasasttttuii)");

	if (r > 0)
		r = sd_bus_message_enter_container(m, 'r', "sasasttttuii");
	if (r > 0)
		r = sd_bus_message_read(m, "s", &ret->file);
	if (r > 0)
		r = sd_bus_message_read_strv(m, &ret->words);
	if (r > 0)
		r = sd_bus_message_read_strv(m, &ret->flags);
	return r;
}

static bool has(char **flags, const char *flag)
{
	for (; flags && *flags; flags++)
		if (!strcmp(*flags, flag))
			return true;
	return false;
}

static void free_all(char **v)
{
	for (char **p = v; p && *p; p++)
		free(*p);
	free(v);
}

static int take_command(struct hp_spec *s, sd_bus *bus, struct hp_err *err)
{
	struct command c = {0};
	sd_bus_message *m;
	int r = hp_bus_message(bus, s->unit.path, "Service", "ExecStartEx", "a(sasasttttuii)", &m,
			       err);

	if (r < 0)
		return r;
	r = read_command(m, &c);
	if (r > 0 && c.words)
		(void)snprintf(s->file, sizeof(s->file), "%s", c.file);
	for (char **w = c.words; r > 0 && w && *w; w++) {
		int k = has(c.flags, "no-env-expand") ? hp_strings_add(&s->argv, *w)
						      : hp_expand_word(&s->argv, *w, s);

		r = k < 0 ? k : r;
	}
	free_all(c.words);
	free_all(c.flags);
	sd_bus_message_unref(m);
	if (r < 0)
		return hp_err_sys(err, -r, "ExecStart= of %s", s->unit.name);
	return s->argv.n ? 0
			 : hp_err_set(err, -HP_E_COMMAND,
				      "%s has no ExecStart=; name the command to start, behind --",
				      s->unit.name);
}

/* "" is the root, "~" home; "!" before it says that it need not be there. */
static int open_directory(struct hp_spec *s, sd_bus *bus, pid_t pid, struct hp_err *err)
{
	char text[4096];
	const char *dir = text;
	int fd, r = hp_bus_string(bus, s->unit.path, "Service", "WorkingDirectory", text,
				  sizeof(text), err);

	if (r < 0)
		return r;
	dir += *dir == '!';
	if (!strcmp(dir, "~"))
		dir = hp_environ_get(s, "HOME");
	fd = hp_path_open(pid, AT_FDCWD, dir && *dir ? dir : "/");
	if (fd < 0)
		return hp_err_sys(err, -fd, "working directory of %s, '%s'", s->unit.name, dir);
	hp_close(&s->cwd);
	s->cwd = fd;
	return 0;
}

int hp_unit_command(struct hp_spec *s, pid_t pid, struct hp_err *err)
{
	sd_bus *bus;
	int r = hp_bus_open(&bus, err);

	if (r < 0)
		return r;
	r = fill_environment(s, bus, s->unit.path, "Service", err);
	if (r == 0)
		r = fill_environment(s, bus, HP_BUS_MANAGER, "Manager", err);
	if (r == 0)
		r = take_command(s, bus, err);
	if (r == 0)
		r = open_directory(s, bus, pid, err);
	sd_bus_flush_close_unref(bus);
	return r;
}
