/* SPDX-License-Identifier: MIT */
#include "cli/output.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "cli/client.h"
#include "hp/err.h"

const char *hp_get_text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

int64_t hp_get_number(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

static void print_json(const json_t *doc)
{
	json_dumpf(doc, stdout, JSON_COMPACT);
	putchar('\n');
}

void hp_put(FILE *to, const char *text)
{
	for (; *text; text++)
		fputc((unsigned char)*text < ' ' || *text == 127 ? '?' : *text, to);
}

static int tell_error(const struct hp_cli *cli, json_t *doc)
{
	const json_t *error = json_object_get(doc, "error");
	int status = (int)hp_get_number(error, "status");

	if (cli->json) {
		print_json(doc);
	} else {
		fprintf(stderr, "hpctl: ");
		hp_put(stderr, hp_get_text(error, "text"));
		fputc('\n', stderr);
	}
	json_decref(doc);
	return status > 0 && status <= HP_EXIT_PARTIAL ? status : HP_EXIT_FAILED;
}

int hp_tell_error(const struct hp_cli *cli, const struct hp_err *err)
{
	json_t *text = json_string(err->text);

	return tell_error(cli, json_pack("{s:i,s:{s:s,s:o,s:i}}", "schema", 1, "error", "code",
					 hp_err_name(err->code), "text",
					 text ? text : json_string("a name is no UTF-8"), "status",
					 hp_err_exit(err->code)));
}

void hp_tell(const struct hp_cli *cli, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (cli->quiet)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	hp_put(stderr, line);
	fputc('\n', stderr);
}

int hp_ask(const struct hp_cli *cli, const struct hp_call *call, json_t **answer)
{
	hp_autoclose int fd = -1;
	struct hp_err err;
	int k = hp_connect(&fd, cli, &err);

	*answer = NULL;
	if (k == 0) {
		k = hp_wire_call(fd, call, answer, &err);
		if (call->ended)
			call->ended(call->arg);
	}
	if (k < 0)
		return hp_tell_error(cli, &err);
	if (json_object_get(*answer, "error")) {
		json_t *done = json_incref(json_object_get(*answer, "result"));

		k = tell_error(cli, *answer);
		*answer = done;
		return k;
	}
	if (cli->json && *answer)
		print_json(*answer);
	return 0;
}

const char *hp_show_ns(int64_t ns, char *buf, size_t n)
{
	if (ns < 1000000)
		snprintf(buf, n, "%.1f us", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(buf, n, "%.1f ms", (double)ns / 1e6);
	else
		snprintf(buf, n, "%.1f s", (double)ns / 1e9);
	return buf;
}

/* "/usr/bin/redis-server" is "redis-server" in a line. */
static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void show_details(const json_t *site)
{
	int64_t size = hp_get_number(site, "size_bytes");
	const json_t *notes = json_object_get(site, "notes");
	size_t i;
	json_t *note;

	printf("      %lld bytes, stub at %s, %lld direct call sites examined%s\n",
	       (long long)size, hp_get_text(site, "stub"),
	       (long long)hp_get_number(site, "call_sites"),
	       json_is_true(json_object_get(site, "watchable"))
		       ? ""
		       : ", calls cannot be counted (gate only)");
	json_array_foreach (notes, i, note) {
		printf("      note: ");
		hp_put(stdout, json_string_value(note) ?: "");
		putchar('\n');
	}
}

void hp_show_sites(const json_t *patch, bool all)
{
	size_t i;
	json_t *site;

	json_array_foreach (json_object_get(patch, "functions"), i, site) {
		int64_t old = hp_get_number(site, "old_calls");
		const char *by = hp_get_text(site, "superseded_by");
		const char *entry = hp_get_text(site, "entry");

		printf("    ");
		hp_put(stdout, hp_get_text(site, "old"));
		printf(" -> ");
		hp_put(stdout, hp_get_text(site, "new"));
		printf("   ");
		hp_put(stdout, last_part(hp_get_text(site, "module")));
		printf(" %s, %s", hp_get_text(site, "addr"), hp_get_text(site, "method"));
		if (*by)
			printf(", superseded by %.16s", by);
		if (*entry && strcmp(entry, "right") != 0)
			printf(", ENTRY CHANGED (%s): calls may run old code", entry);
		if (old > 0)
			printf(", %lld thread%s still in the old code", (long long)old,
			       old == 1 ? "" : "s");
		putchar('\n');
		if (all)
			show_details(site);
	}
}
