/* SPDX-License-Identifier: MIT */
#include "cli/load_request.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/values.h"
#include "hp/err.h"

/* One map of hotgo's document: absent, null, or names to names. */
static int take_map(const char *file, const json_t *config, const char *name, json_t *body,
		    const char *member, struct hp_err *err)
{
	json_t *map = json_object_get(config, name), *value;
	const char *key;

	if (!map || json_is_null(map))
		return 0;
	if (!json_is_object(map))
		return hp_err_set(err, -HP_E_USAGE, "%s: \"%s\" must be an object of strings", file,
				  name);
	json_object_foreach (map, key, value)
		if (!json_is_string(value))
			return hp_err_set(err, -HP_E_USAGE,
					  "%s: \"%s\": the value of \"%.100s\" must be a string",
					  file, name, key);
	return json_object_set(body, member, map) < 0 ? hp_err_sys(err, ENOMEM, "%s", file) : 0;
}

static int take_config(const char *file, json_t *config, json_t *body, const char **patch,
		       struct hp_err *err)
{
	static const char *const known[] = {"hp_file", "replace_config", "ref_config"};
	const json_t *path = json_object_get(config, "hp_file");
	const char *key;
	json_t *value;
	int k;

	if (!json_is_object(config))
		return hp_err_set(err, -HP_E_USAGE, "%s: must be a JSON object", file);
	json_object_foreach (config, key, value)
		if (strcmp(key, known[0]) && strcmp(key, known[1]) && strcmp(key, known[2]))
			return hp_err_set(err, -HP_E_USAGE, "%s: unknown member \"%.100s\"", file,
					  key);
	if (path && !json_is_string(path))
		return hp_err_set(err, -HP_E_USAGE, "%s: \"hp_file\" must be a string", file);
	k = take_map(file, config, "replace_config", body, "replace", err);
	if (k == 0)
		k = take_map(file, config, "ref_config", body, "ref", err);
	if (!*patch)
		*patch = json_string_value(path);
	return k;
}

/* hpd is elsewhere: it gets the whole path. */
static int set_file(const char *patch, json_t *body, struct hp_err *err)
{
	char path[PATH_MAX];

	if (!realpath(patch, path))
		return hp_err_set(err, -HP_E_NO_FILE, "open %s: %s", patch, strerror(errno));
	if (json_object_set_new(body, "file", json_string(path)) < 0)
		return hp_err_set(err, -HP_E_NO_FILE, "open %s: the name is no UTF-8", patch);
	return 0;
}

static int build(const struct hp_cli *cli, const struct hp_args *args, json_t *body)
{
	const char *file = hp_args_get(args, "config"), *patch = hp_args_word(args, 0);
	json_t *config = NULL;
	struct hp_err err;
	json_error_t at;
	int k = 0;

	if (file) {
		config = json_load_file(file, JSON_REJECT_DUPLICATES, &at);
		if (!config && json_error_code(&at) == json_error_cannot_open_file)
			k = hp_err_set(&err, -HP_E_NO_FILE, "%s", at.text);
		else if (!config)
			k = hp_err_set(&err, -HP_E_USAGE, "%s: malformed JSON, line %d: %s", file,
				       at.line, at.text);
		else
			k = take_config(file, config, body, &patch, &err);
	}
	if (k == 0 && !patch)
		k = hp_cli_usage(cli, "which patch? PATCH.so is missing");
	else if (k == 0 && !hp_value_pairs(cli, args, "replace", body, "replace"))
		k = HP_EXIT_USAGE;
	else if (k == 0 && !hp_value_pairs(cli, args, "ref", body, "ref"))
		k = HP_EXIT_USAGE;
	else if (k == 0)
		k = set_file(patch, body, &err);
	json_decref(config);
	return k < 0 ? hp_tell_error(cli, &err) : k;
}

int hp_load_request(const struct hp_cli *cli, const struct hp_args *args, json_t **ret,
		    bool *family)
{
	json_t *body = json_object();
	int k = HP_EXIT_USAGE;

	if (!hp_value_targets(cli, args, true, body, family))
		k = HP_EXIT_USAGE;
	else if (hp_args_words(args) > 1)
		k = hp_cli_usage(cli, "one patch at a time: '%s' is too much",
				 hp_args_word(args, 1));
	else if (hp_value_options(cli, args, body))
		k = build(cli, args, body);
	if (k)
		json_decref(body);
	else
		*ret = body;
	return k;
}
