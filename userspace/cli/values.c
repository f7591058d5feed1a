/* SPDX-License-Identifier: MIT */
#include "cli/values.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPAN_MAX_MS 3600000.0

bool hp_value_ms(const char *text, double *ret)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {{"us", 0.001}, {"ms", 1}, {"s", 1000}, {"", 1000}, {"m", 60000}};
	char *end;
	double n;

	/* No sign, blank, "inf", "nan" or hex number. */
	if (*text < '0' || *text > '9' || strpbrk(text, "xX"))
		return false;
	n = strtod(text, &end);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(units[i].unit, end)) {
			*ret = n * units[i].ms;
			return *ret > 0 && *ret <= SPAN_MAX_MS;
		}
	return false;
}

static bool read_pid(const struct hp_cli *cli, const char *text, pid_t *ret)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || *end || end == text || n <= 0 || n > HP_PID_LIMIT) {
		hp_cli_usage(cli, "-p '%s' is no pid: a whole number above 0 is needed", text);
		return false;
	}
	*ret = (pid_t)n;
	return true;
}

bool hp_value_pid(const struct hp_cli *cli, const struct hp_args *args, bool needed, pid_t *ret)
{
	const char *text = hp_args_get(args, "pid");

	*ret = 0;
	if (!text && needed) {
		hp_cli_usage(cli, "which process? -p PID is missing");
		return false;
	}
	return !text || read_pid(cli, text, ret);
}

static json_t *read_pids(const struct hp_cli *cli, const struct hp_args *args)
{
	json_t *pids = json_array();
	pid_t pid;

	for (size_t i = 0; i < args->n; i++) {
		if (!args->v[i].name || strcmp(args->v[i].name, "pid") != 0)
			continue;
		if (!read_pid(cli, args->v[i].value, &pid) ||
		    json_array_append_new(pids, json_integer(pid)) < 0) {
			json_decref(pids);
			return NULL;
		}
	}
	return pids;
}

/* hpd is elsewhere, and knows no links: it gets the whole path.  What is deleted may still run. */
static bool add_exe(const struct hp_cli *cli, const char *exe, json_t *body)
{
	char path[PATH_MAX];

	if (!realpath(exe, path)) {
		if (errno != ENOENT || *exe != '/') {
			hp_cli_usage(cli, "--exe '%s': %s", exe, strerror(errno));
			return false;
		}
		snprintf(path, sizeof(path), "%s", exe);
	}
	if (json_object_set_new(body, "exe", json_string(path)) == 0)
		return true;
	hp_cli_usage(cli, "--exe '%s' is not UTF-8", exe);
	return false;
}

static bool add_pids(json_t *pids, bool children, json_t *body, bool *family)
{
	size_t n = json_array_size(pids);

	*family = n > 1 || children;
	if (n == 1 && json_object_set(body, "pid", json_array_get(pids, 0)) < 0)
		return false;
	if (n > 1 && json_object_set(body, "pids", pids) < 0)
		return false;
	return !children || json_object_set_new(body, "children", json_true()) == 0;
}

bool hp_value_targets(const struct hp_cli *cli, const struct hp_args *args, bool needed,
		      json_t *body, bool *family)
{
	const char *exe = hp_args_get(args, "exe");
	bool all = hp_args_get(args, "all"), children = hp_args_get(args, "children"), ok;
	json_t *pids = read_pids(cli, args);
	size_t n = json_array_size(pids);

	*family = false;
	if (!pids)
		return false;
	if ((n != 0) + (exe != NULL) + all > 1) {
		hp_cli_usage(cli, "only one of -p, --exe and --all can say which processes");
		ok = false;
	} else if (children && !n) {
		hp_cli_usage(cli, "whose children? --children goes with -p PID");
		ok = false;
	} else if (!n && !exe && !all && needed) {
		hp_cli_usage(cli, "which process? -p PID is missing");
		ok = false;
	} else if (n) {
		ok = add_pids(pids, children, body, family);
	} else {
		*family = exe || all;
		ok = (!exe || add_exe(cli, exe, body)) &&
		     (!all || json_object_set_new(body, "all", json_true()) == 0);
	}
	json_decref(pids);
	return ok;
}

static bool add_choice(const struct hp_cli *cli, const struct hp_args *args, const char *option,
		       const char *const *choices, json_t *body)
{
	const char *text = hp_args_get(args, option);
	char all[64] = "";

	if (!text)
		return true;
	for (size_t i = 0; choices[i]; i++) {
		if (!strcmp(choices[i], text))
			return json_object_set_new(body, option, json_string(text)) == 0;
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "",
			 choices[i]);
	}
	hp_cli_usage(cli, "--%s '%s' is none of %s", option, text, all);
	return false;
}

static bool add_ms(const struct hp_cli *cli, const struct hp_args *args, const char *option,
		   json_t *body, const char *member)
{
	const char *text = hp_args_get(args, option);
	double ms;

	if (!text)
		return true;
	if (!hp_value_ms(text, &ms)) {
		hp_cli_usage(cli, "--%s '%s' is no time: 5s, 50ms or 100us, up to an hour", option,
			     text);
		return false;
	}
	return json_object_set_new(body, member, json_real(ms)) == 0;
}

static bool add_flag(const struct hp_args *args, const char *option, json_t *body,
		     const char *member)
{
	return !hp_args_get(args, option) || json_object_set_new(body, member, json_true()) == 0;
}

bool hp_value_options(const struct hp_cli *cli, const struct hp_args *args, json_t *body)
{
	static const char *const modes[] = {"quiesce", "relaxed", NULL};
	static const char *const ways[] = {"auto", "watch", "gate", NULL};
	static const char *const readies[] = {"auto", "notify", NULL};

	return add_choice(cli, args, "mode", modes, body) &&
	       add_choice(cli, args, "ready", readies, body) &&
	       add_ms(cli, args, "ready-timeout", body, "ready_timeout_ms") &&
	       add_ms(cli, args, "drain-timeout", body, "drain_timeout_ms") &&
	       add_flag(args, "allow-new-binds", body, "allow_new_binds") &&
	       add_flag(args, "no-residue", body, "no_residue") &&
	       add_flag(args, "wait", body, "wait") &&
	       add_choice(cli, args, "quiesce", ways, body) &&
	       add_ms(cli, args, "timeout", body, "timeout_ms") &&
	       add_ms(cli, args, "park", body, "park_ms") &&
	       add_flag(args, "no-stop", body, "no_stop") &&
	       add_flag(args, "dry-run", body, "dry_run") &&
	       add_flag(args, "discard", body, "discard") &&
	       add_flag(args, "all-or-nothing", body, "all_or_nothing");
}

bool hp_value_pairs(const struct hp_cli *cli, const struct hp_args *args, const char *option,
		    json_t *body, const char *member)
{
	for (size_t i = 0; i < args->n; i++) {
		const char *text = args->v[i].value, *eq;
		json_t *to = json_object_get(body, member);

		if (!args->v[i].name || strcmp(args->v[i].name, option) != 0)
			continue;
		eq = strchr(text, '=');
		if (!eq || eq == text || !eq[1]) {
			hp_cli_usage(cli, "--%s '%s' is not NAME=NAME", option, text);
			return false;
		}
		if (!to) {
			to = json_object();
			if (json_object_set_new(body, member, to) < 0)
				return false;
		}
		if (json_object_getn(to, text, (size_t)(eq - text))) {
			hp_cli_usage(cli, "--%s '%s': '%.*s' is given twice", option, text,
				     (int)(eq - text), text);
			return false;
		}
		if (json_object_setn_new(to, text, (size_t)(eq - text), json_string(eq + 1)) < 0) {
			hp_cli_usage(cli, "--%s '%s' is not UTF-8", option, text);
			return false;
		}
	}
	return true;
}
