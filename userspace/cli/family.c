/* SPDX-License-Identifier: MIT */
#include "cli/family.h"

#include <stdio.h>
#include <string.h>

#include "cli/output.h"
#include "cli/progress.h"
#include "hp/err.h"

#define TABLE_MAX 20 /* more rows are for -v */

static const char *reason(const json_t *row)
{
	const char *text = hp_get_text(json_object_get(row, "error"), "text");

	return *text ? text : hp_get_text(json_object_get(row, "details"), "detail");
}

/* Somebody wants to know more than how many there were. */
static bool is_unusual(const json_t *row)
{
	static const char *const usual[] = {"loaded", "unloaded", "already-loaded", "not-loaded",
					    "gone"};

	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (!strcmp(hp_get_text(row, "result"), usual[i]))
			return false;
	return true;
}

static void show_table(const struct hp_cli *cli, const json_t *rows)
{
	bool all = cli->verbose || json_array_size(rows) <= TABLE_MAX;
	struct hp_cli aloud = *cli;
	size_t i;
	json_t *row;

	aloud.quiet = false; /* what went wrong is told in any case */
	json_array_foreach (rows, i, row)
		if (all || is_unusual(row))
			hp_tell(is_unusual(row) ? &aloud : cli, "%8lld  %-15s  %-14s  %s",
				(long long)hp_get_number(row, "pid"), hp_get_text(row, "comm"),
				hp_get_text(row, "result"), reason(row));
}

static size_t count(const json_t *rows, const char *result)
{
	size_t i, n = 0;
	json_t *row;

	json_array_foreach (rows, i, row)
		n += !strcmp(hp_get_text(row, "result"), result);
	return n;
}

/* "loaded 12, already-loaded 1, failed 2 of 15 processes" */
static void show_sum(const struct hp_cli *cli, const json_t *answer, const json_t *rows)
{
	static const char *const results[] = {
		"loaded",	  "already-loaded", "unloaded",	 "retained",  "not-loaded",
		"unloaded-again", "still-loaded",   "not-begun", "gone",      "failed"};
	char line[256] = "";

	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		size_t n = count(rows, results[i]), at = strlen(line);

		if (n)
			snprintf(line + at, sizeof(line) - at, "%s%s %zu", at ? ", " : "",
				 results[i], n);
	}
	hp_tell(cli, "hpctl: %s of %zu process%s%s", line, json_array_size(rows),
		json_array_size(rows) == 1 ? "" : "es",
		json_is_true(json_object_get(answer, "complete"))
			? ""
			: "; there may be more, which were started meanwhile: do it again");
}

static bool in_force(const json_t *rows)
{
	return count(rows, "loaded") || count(rows, "already-loaded") ||
	       count(rows, "still-loaded");
}

int hp_family_ask(const struct hp_cli *cli, const char *path, json_t *body, bool print_id)
{
	const json_t *rows;
	json_t *answer;
	int status = hp_ask_with_progress(cli, path, body, &answer);

	if (status)
		return status;
	rows = json_object_get(answer, "targets");
	if (!cli->json) {
		if (print_id && in_force(rows))
			printf("%s\n", hp_get_text(answer, "hp_id"));
		show_table(cli, rows);
		show_sum(cli, answer, rows);
	}
	status = (int)hp_get_number(answer, "status");
	json_decref(answer);
	return status >= 0 && status <= HP_EXIT_PARTIAL ? status : HP_EXIT_FAILED;
}
