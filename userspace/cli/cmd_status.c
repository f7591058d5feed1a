/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/values.h"
#include "hp/err.h"

static void show_jobs(const json_t *jobs)
{
	char took[32];
	size_t i;
	json_t *j;

	json_array_foreach (jobs, i, j)
		printf("    %s%s%s, %s so far%s\n", hp_get_text(j, "kind"),
		       *hp_get_text(j, "step") ? ": " : "", hp_get_text(j, "step"),
		       hp_show_ns(hp_get_number(j, "ns"), took, sizeof(took)),
		       json_is_true(json_object_get(j, "answered")) ? ", done, detaching probes"
								     : "");
}

/* What other tools did to the entries. */
static void show_guard(const json_t *g)
{
	int64_t seen = hp_get_number(g, "seen");
	size_t i;
	json_t *site;

	json_array_foreach (json_object_get(g, "wrong"), i, site) {
		const char *found = hp_get_text(site, "found");
		bool probe = !strcmp(found, "probe");

		printf("    guard: the entry of ");
		hp_put(stdout, hp_get_text(site, "function"));
		printf(" is not hp's: %s\n",
		       probe				  ? "another tool's uprobe is there"
		       : !strcmp(found, "debugger")	  ? "a debugger's breakpoint is there"
		       : !strcmp(found, "original")	  ? "what the file has is there"
						  : "it was changed by somebody");
	}
	if (i)
		printf("    guard: calls may run old code; the functions of a patch do not go live "
		       "together while this is so\n");
	if (hp_get_number(g, "lost"))
		printf("    guard: a look at its entries comes to no end: whether calls run new code is not "
		       "known\n");
	if (seen)
		printf("    guard: entries were changed %lld time%s, %lld put back\n",
		       (long long)seen, seen == 1 ? "" : "s", (long long)hp_get_number(g, "mended"));
}

static void show_target(const json_t *t)
{
	printf("process %lld (", (long long)hp_get_number(t, "pid"));
	hp_put(stdout, hp_get_text(t, "comm"));
	printf(")\n    patches %lld, waiting operations %lld, gate %s",
	       (long long)hp_get_number(t, "patches"), (long long)hp_get_number(t, "queued"),
	       json_is_true(json_object_get(t, "gate_closed")) ? "closed" : "open");
	if (json_is_true(json_object_get(t, "counting")))
		printf(", counting: %lld calls in flight",
		       (long long)hp_get_number(t, "in_flight"));
	putchar('\n');
	if (*hp_get_text(t, "pins"))
		printf("    counts in %s\n", hp_get_text(t, "pins"));
	show_guard(json_object_get(t, "guard"));
	show_jobs(json_object_get(t, "jobs"));
}

static void show(const json_t *answer)
{
	const json_t *hpd = json_object_get(answer, "hpd"), *bpf = json_object_get(answer, "bpf");
	json_t *targets = json_object_get(answer, "targets"), *t;
	char up[32];
	size_t i;

	printf("hpd %s, process %lld, up %s, %lld client%s%s\n", hp_get_text(hpd, "version"),
	       (long long)hp_get_number(hpd, "pid"),
	       hp_show_ns(hp_get_number(hpd, "uptime_ns"), up, sizeof(up)),
	       (long long)hp_get_number(hpd, "clients"),
	       hp_get_number(hpd, "clients") == 1 ? "" : "s",
	       json_is_true(json_object_get(hpd, "private")) ? ", private" : "");
	printf("    socket %s, state %s\n", hp_get_text(hpd, "socket"),
	       hp_get_text(hpd, "state_dir"));
	if (json_is_true(json_object_get(bpf, "on")))
		printf("    bpf: yes\n");
	else
		printf("    bpf: no (%s)\n", hp_get_text(bpf, "why"));
	if (hp_get_number(hpd, "waiting"))
		printf("    operations that wait for their turn: %lld\n",
		       (long long)hp_get_number(hpd, "waiting"));
	show_jobs(json_object_get(answer, "other_jobs"));
	json_array_foreach (json_object_get(answer, "families"), i, t)
		printf("%s in %lld processes: %lld done, %lld at work\n", hp_get_text(t, "kind"),
		       (long long)hp_get_number(t, "processes"),
		       (long long)hp_get_number(t, "answered"),
		       (long long)hp_get_number(t, "running"));
	json_array_foreach (targets, i, t)
		show_target(t);
}

int hp_cmd_status(struct hp_cli *cli, const struct hp_args *args)
{
	char path[64] = "/hp/v2/status";
	const struct hp_call call = {.method = "GET", .path = path};
	json_t *answer;
	pid_t pid;
	int k;

	if (!hp_value_pid(cli, args, false, &pid))
		return HP_EXIT_USAGE;
	if (hp_args_words(args))
		return hp_cli_usage(cli, "takes no argument: '%s'", hp_args_word(args, 0));
	if (pid)
		snprintf(path, sizeof(path), "/hp/v2/status?pid=%d", pid);
	k = hp_ask(cli, &call, &answer);
	if (k)
		return k;
	if (!cli->json)
		show(answer);
	json_decref(answer);
	return 0;
}
