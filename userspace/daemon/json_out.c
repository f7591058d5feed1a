/* SPDX-License-Identifier: MIT */
#include "daemon/json_out.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "ipc/json.h"

#define SCHEMA 1

static json_t *addr(hp_addr a)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "0x%" PRIx64, a);
	return json_string(buf);
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

json_t *hp_json_time(uint64_t wall_ns)
{
	time_t s = (time_t)(wall_ns / HP_S);
	char buf[64];
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, sizeof(buf) - n, ".%06uZ", (unsigned)(wall_ns % HP_S / HP_US));
	return json_string(buf);
}

static json_t *superseded(const struct hp_load_result *r)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < r->n_superseded; i++) {
		const struct hp_superseded *s = &r->superseded[i];

		if (json_array_append_new(a, json_pack("{s:s,s:s,s:o}", "hp_id", s->id, "state",
						       s->state, "detail",
						       hp_json_text(s->detail))) < 0) {
			json_decref(a);
			a = NULL;
		}
	}
	return a;
}

json_t *hp_json_load_result(pid_t pid, const struct hp_load_result *r)
{
	return json_pack("{s:i,s:s,s:i,s:s,s:o,s:o,s:o,s:o,s:o,s:i,s:i,s:i,s:o,s:o,s:o,s:o}",
			 "schema", SCHEMA,
			 "hp_id", r->id, "pid", (int)pid, "quiesce",
			 r->used == HP_QUIESCE_WATCH ? "watch" : "gate", "total_ns",
			 number(r->total_ns), "quiesce_ns", number(r->quiesce_ns), "gate_ns",
			 number(r->gate_ns), "longest_park_ns",
			 number(r->longest_park_ns), "borrowed_ns", number(r->borrowed_ns), "tries",
			 (int)r->tries, "threads_parked", (int)r->threads_parked, "on_old_code",
			 (int)r->on_old_code, "memory_bytes", number(r->memory_bytes), "superseded",
			 superseded(r), "patches_left", number(r->patches_left), "functions_left",
			 number(r->functions_left));
}

json_t *hp_json_unload_result(pid_t pid, const struct hp_unload_result *r)
{
	return json_pack("{s:i,s:s,s:i,s:o,s:o,s:o,s:o,s:i,s:b,s:o,s:o,s:o}", "schema", SCHEMA,
			 "hp_id", r->id, "pid", (int)pid, "total_ns", number(r->total_ns),
			 "quiesce_ns", number(r->quiesce_ns), "gate_ns", number(r->gate_ns),
			 "longest_park_ns", number(r->longest_park_ns), "threads_parked",
			 (int)r->threads_parked, "retained", r->retained, "detail",
			 hp_json_text(r->detail), "patches_left", number(r->patches_left),
			 "functions_left", number(r->functions_left));
}

static json_t *pairs(const struct hp_pairs *p)
{
	json_t *o = json_object();

	for (size_t i = 0; o && i < p->n; i++) {
		json_t *key = hp_json_text(p->v[i].key);

		if (!key ||
		    json_object_set_new(o, json_string_value(key), hp_json_text(p->v[i].value)) < 0) {
			json_decref(o);
			o = NULL;
		}
		json_decref(key);
	}
	return o;
}

static json_t *lines(const char *s)
{
	json_t *a = json_array();

	while (a && s && *s) {
		size_t n = strcspn(s, "\n");
		char *line = strndup(s, n);

		if (n && (!line || json_array_append_new(a, hp_json_text(line)) < 0)) {
			json_decref(a);
			a = NULL;
		}
		free(line);
		s += n;
		s += *s == '\n';
	}
	return a;
}

static json_t *site(const struct hp_site_info *s)
{
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:b,s:o,s:o,s:s,s:s,s:I}", "new",
			 hp_json_text(s->new_name), "old", hp_json_text(s->old_name), "module",
			 hp_json_text(s->module), "addr", addr(s->addr), "size_bytes",
			 number(s->size), "stub", addr(s->stub), "method", s->method, "watchable",
			 s->watchable, "call_sites", number(s->call_sites), "notes", lines(s->notes),
			 "superseded_by", s->superseded_by, "entry", hp_guard_name(s->entry),
			 "old_calls", (json_int_t)s->old_calls);
}

static json_t *sites(const struct hp_patch_info *p)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < p->n_sites; i++)
		if (json_array_append_new(a, site(&p->site[i])) < 0) {
			json_decref(a);
			a = NULL;
		}
	return a;
}

/* What came with the request, without what the patch says of itself. */
static json_t *asked(const struct hp_patch_info *p)
{
	const struct hp_pairs replace = {.v = p->replace.v, .n = p->asked_replace};
	const struct hp_pairs ref = {.v = p->ref.v, .n = p->asked_ref};

	return json_pack("{s:o,s:o}", "replace", pairs(&replace), "ref", pairs(&ref));
}

static json_t *patch(const struct hp_patch_info *p)
{
	return json_pack("{s:s,s:i,s:o,s:o,s:o,s:s,s:s,s:o,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "hp_id",
			 p->id, "pid", (int)p->pid, "comm", hp_json_text(p->comm), "file",
			 hp_json_text(p->file),
			 "loaded", hp_json_time(p->loaded_wall_ns), "mode",
			 p->mode == HP_MODE_RELAXED ? "relaxed" : "quiesce", "state", p->state,
			 "detail", hp_json_text(p->detail), "inherited", p->inherited, "functions",
			 sites(p), "replace", pairs(&p->replace), "ref", pairs(&p->ref), "meta",
			 pairs(&p->meta), "config", asked(p), "signature", pairs(&p->seal),
			 "memory_bytes", number(p->memory_bytes));
}

json_t *hp_json_patches(const struct hp_patch_list *l)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < l->n; i++)
		if (json_array_append_new(a, patch(&l->v[i])) < 0) {
			json_decref(a);
			a = NULL;
		}
	return json_pack("{s:i,s:o}", "schema", SCHEMA, "patches", a);
}

json_t *hp_json_unknown_ledgers(const struct hp_patch_list *l)
{
	json_t *a = json_array();

	for (size_t i = 0; i < l->unknown.n; i++) {
		const struct hp_unknown_info *u = &l->unknown.v[i];

		if (json_array_append_new(a, json_pack("{s:i,s:o,s:o,s:i,s:o}", "pid", (int)u->pid,
						       "comm", hp_json_text(u->comm), "hp_id_begins",
						       hp_json_text(u->id), "ledger_version",
						       (int)u->version, "detail",
						       hp_json_text(u->detail))) < 0)
			break;
	}
	return a;
}

json_t *hp_json_guard(const struct hp_fact_site *sites, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < n; i++)
		if (json_array_append_new(
			    a, json_pack("{s:o,s:o,s:s,s:b}", "function", hp_json_text(sites[i].fn),
					 "addr", addr(sites[i].addr), "found",
					 hp_guard_name((enum hp_guard_found)sites[i].found), "mended",
					 (int)sites[i].mended)) < 0) {
			json_decref(a);
			a = NULL;
		}
	return a;
}

static json_t *frames(const struct hp_stack *s)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < s->n; i++)
		if (json_array_append_new(a, json_pack("{s:o,s:o}", "pc", addr(s->v[i].pc), "text",
						       hp_json_text(s->v[i].text))) < 0) {
			json_decref(a);
			a = NULL;
		}
	return a;
}

json_t *hp_json_explain(pid_t pid, const struct hp_explain *e)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < e->n; i++)
		if (json_array_append_new(
			    a, json_pack("{s:i,s:o,s:o,s:o}", "tid", (int)e->v[i].tid, "name",
					 hp_json_text(e->v[i].name), "function",
					 hp_json_text(e->v[i].fn), "stack", frames(&e->v[i].stack))) < 0) {
			json_decref(a);
			a = NULL;
		}
	return json_pack("{s:i,s:i,s:o,s:o,s:o,s:o}", "schema", SCHEMA, "pid", (int)pid, "inside", a,
			 "threads", number(e->threads), "unknown", number(e->unknown), "detail",
			 hp_json_text(e->detail));
}

json_t *hp_json_restart_result(const struct hp_restart_result *r)
{
	json_t *warnings = json_array();

	for (unsigned i = 0; warnings && i < r->n_warnings; i++)
		if (json_array_append_new(warnings, hp_json_text(r->warning[i])) < 0) {
			json_decref(warnings);
			warnings = NULL;
		}
	return json_pack("{s:i,s:i,s:i,s:i,s:i,s:o,s:o}", "schema", SCHEMA, "pid", (int)r->pid,
			 "old", (int)r->old, "generation", (int)r->generation, "listeners",
			 (int)r->listeners, "ready_ns", number(r->ready_ns), "warnings", warnings);
}

json_t *hp_json_restart_drained(const struct hp_restart_drained *d)
{
	return json_pack("{s:i,s:b,s:o}", "left_open", (int)d->left, "killed", d->killed, "ns",
			 number(d->ns));
}
