/* SPDX-License-Identifier: MIT */
/* What systemd executes for a service. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hp/err.h"
#include "restart/bus.h"
#include "restart/expand.h"
#include "restart/spec.h"
#include "restart/unit.h"

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
	hp_bus_strings_free(c.words);
	hp_bus_strings_free(c.flags);
	sd_bus_message_unref(m);
	if (r < 0)
		return hp_err_sys(err, -r, "ExecStart= of %s", s->unit.name);
	return s->argv.n ? 0
			 : hp_err_set(err, -HP_E_COMMAND,
				      "%s has no ExecStart=; name the command to start, behind --",
				      s->unit.name);
}

int hp_unit_command(struct hp_spec *s, struct hp_err *err)
{
	sd_bus *bus;
	int r = hp_bus_open(&bus, err);

	if (r < 0)
		return r;
	r = take_command(s, bus, err);
	sd_bus_flush_close_unref(bus);
	return r;
}
