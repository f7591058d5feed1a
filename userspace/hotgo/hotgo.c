/* SPDX-License-Identifier: MIT */
#include "hotgo/hotgo.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hotgo/json.h"
#include "hp/err.h"

#define ID_LEN 64

void hp_hotgo_config_clear(struct hp_hotgo_config *c)
{
	free(c->file);
	hp_pairs_free(&c->replace);
	hp_pairs_free(&c->ref);
	*c = (struct hp_hotgo_config){0};
}

int hp_hotgo_read_load(const char *body, size_t n, struct hp_hotgo_config *ret, struct hp_err *err)
{
	struct hp_hotgo_config c = {0};
	const struct hp_gojson_field fields[] = {
		{"hp_file", HP_GOJSON_STRING, &c.file},
		{"replace_config", HP_GOJSON_MAP, &c.replace},
		{"ref_config", HP_GOJSON_MAP, &c.ref},
	};
	int k = hp_gojson_decode("hotgo.LoadRequest", fields, 3, body, n, err);

	if (k == 0 && !c.file && !(c.file = strdup("")))
		k = hp_err_sys(err, ENOMEM, "request");
	if (k < 0)
		hp_hotgo_config_clear(&c);
	else
		*ret = c;
	return k;
}

int hp_hotgo_read_unload(const char *body, size_t n, char **ret_id, struct hp_err *err)
{
	char *id = NULL;
	const struct hp_gojson_field field = {"hp_id", HP_GOJSON_STRING, &id};
	int k = hp_gojson_decode("hotgo.UnloadRequest", &field, 1, body, n, err);

	if (k == 0 && !id && !(id = strdup("")))
		k = hp_err_sys(err, ENOMEM, "request");
	if (k < 0)
		free(id);
	else
		*ret_id = id;
	return k;
}

int hp_hotgo_write_answer(struct hp_buf *out, const char *id, const char *error)
{
	int k = hp_buf_printf(out, "{\"hp_id\":");

	if (k == 0)
		k = hp_gojson_string(out, id);
	if (k == 0)
		k = hp_buf_printf(out, ",\"error\":");
	if (k == 0)
		k = hp_gojson_string(out, error);
	return k < 0 ? k : hp_buf_add(out, "}\n", 2);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct hp_pair *)a)->key, ((const struct hp_pair *)b)->key);
}

/* Go sorts a map's keys. */
static int write_map(struct hp_buf *out, const char *name, const struct hp_pairs *map)
{
	struct hp_pair *v;
	int k = hp_buf_printf(out, ",\"%s\":%s", name, map->n ? "" : "null");

	if (k < 0 || !map->n)
		return k;
	v = malloc(map->n * sizeof(*v));
	if (!v)
		return -ENOMEM;
	memcpy(v, map->v, map->n * sizeof(*v));
	qsort(v, map->n, sizeof(*v), by_key);
	for (size_t i = 0; i < map->n && k == 0; i++) {
		k = hp_buf_add(out, i ? "," : "{", 1);
		if (k == 0)
			k = hp_gojson_string(out, v[i].key);
		if (k == 0)
			k = hp_buf_add(out, ":", 1);
		if (k == 0)
			k = hp_gojson_string(out, v[i].value);
	}
	free(v);
	return k < 0 ? k : hp_buf_add(out, "}", 1);
}

static int write_patch(struct hp_buf *out, const struct hp_hotgo_patch *p)
{
	int k = hp_buf_printf(out, "{\"hp_id\":");

	if (k == 0)
		k = hp_gojson_string(out, p->id);
	if (k == 0)
		k = hp_buf_printf(out, ",\"config\":{\"hp_file\":");
	if (k == 0)
		k = hp_gojson_string(out, p->config.file);
	if (k == 0)
		k = write_map(out, "replace_config", &p->config.replace);
	if (k == 0)
		k = write_map(out, "ref_config", &p->config.ref);
	return k < 0 ? k : hp_buf_add(out, "}}", 2);
}

int hp_hotgo_write_info(struct hp_buf *out, const struct hp_hotgo_patch *v, size_t n)
{
	int k = n ? 0 : hp_buf_add(out, "null", 4);

	for (size_t i = 0; i < n && k == 0; i++) {
		k = hp_buf_add(out, i ? "," : "[", 1);
		if (k == 0)
			k = write_patch(out, &v[i]);
	}
	return k < 0 ? k : hp_buf_printf(out, "%s\n", n ? "]" : "");
}

bool hp_hotgo_is_id(const char *id)
{
	return strlen(id) == ID_LEN && strspn(id, "0123456789abcdef") == ID_LEN;
}

/* --- failures ------------------------------------------------------------------------------------ */

/* "open /x: No such file": Go's words for an errno are ours in lower case; what cannot be a file it
 * opens, and notices in reading. */
static void file_error(char *buf, size_t n, const char *text, const char *file)
{
	const char *colon = strrchr(text, ':');
	const char *why = colon && colon[1] == ' ' ? colon + 2 : text;

	snprintf(buf, n, "%s %s: %c%s", !strcmp(why, "Is a directory") ? "read" : "open", file,
		 tolower((unsigned char)*why), why + 1);
}

/* "…: symbol X not found in …": of the target, or of the patch, which was a plugin. */
static void symbol_error(char *buf, size_t n, const char *text, const char *file)
{
	const char *at = strstr(text, "symbol "), *not_found = at ? strstr(at, " not found") : NULL;

	if (!not_found)
		snprintf(buf, n, "%s", text);
	else if (strstr(not_found, "in the patch"))
		snprintf(buf, n, "plugin: %.*s not found in plugin %s", (int)(not_found - at), at,
			 file);
	else
		snprintf(buf, n, "%.*s not found", (int)(not_found - at), at);
}

/* "HPBeforeLoad returned 1: why": what the hook said of it. */
static void hook_error(char *buf, size_t n, const char *text)
{
	const char *returned = strstr(text, " returned "), *why;

	why = returned ? strstr(returned, ": ") : NULL;
	snprintf(buf, n, "%s", why ? why + 2 : text);
}

/* "hp.so: 'HPBeforeLoad' is not a function, as …" */
static void function_error(char *buf, size_t n, const char *text)
{
	const char *name = strstr(text, "'HP"), *end = name ? strchr(name + 1, '\'') : NULL;

	if (end && strstr(end, "as a hook of that name must be"))
		snprintf(buf, n,
			 "%.*s is not a function  or function signature is not `func() error`",
			 (int)(end - name - 1), name + 1);
	else
		snprintf(buf, n, "%s", text);
}

void hp_hotgo_error(char *buf, size_t n, const char *code, const char *text, const char *file)
{
	if (file && !strcmp(code, hp_err_name(-HP_E_NO_FILE)))
		file_error(buf, n, text, file);
	else if (file && !strcmp(code, hp_err_name(-HP_E_NO_SYMBOL)))
		symbol_error(buf, n, text, file);
	else if (!strcmp(code, hp_err_name(-HP_E_HOOK)))
		hook_error(buf, n, text);
	else if (!strcmp(code, hp_err_name(-HP_E_NOT_FUNCTION)))
		function_error(buf, n, text);
	else
		snprintf(buf, n, "%s", text);
}
