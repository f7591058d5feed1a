/* SPDX-License-Identifier: MIT */
#include "ipc/record.h"

#include <stdio.h>
#include <string.h>

#include "hp/err.h"
#include "ipc/request.h"

int hp_record_text(char *to, size_t room, const char *field, const char *s, struct hp_err *err)
{
	size_t n = s ? strlen(s) : 0;

	if (n >= room)
		return hp_err_set(err, -HP_E_BAD_REQUEST, "field \"%s\" is longer than %zu bytes",
				  field, room - 1);
	memcpy(to, s ? s : "", n + 1);
	return 0;
}

static int check_pairs(const struct hp_pairs *p, const char *what, struct hp_err *err)
{
	for (size_t i = 0; i < p->n; i++) {
		const char *key = p->v[i].key, *value = p->v[i].value;

		if (!*key || !*value)
			return hp_err_set(err, -HP_E_BAD_REQUEST,
					  "field \"%s\": member \"%.60s\": neither its name nor its "
					  "value may be empty",
					  what, key);
		if (strlen(key) >= HP_ITEM_TEXT || strlen(value) >= HP_ITEM_TEXT)
			return hp_err_set(err, -HP_E_BAD_REQUEST,
					  "field \"%s\": member \"%.60s\" is longer than %d bytes",
					  what, key, HP_ITEM_TEXT - 1);
	}
	return 0;
}

static int check_words(const struct hp_job_request *r, struct hp_err *err)
{
	for (size_t i = 0; i < r->n_fns; i++)
		if (strlen(r->fns[i]) >= HP_ITEM_TEXT)
			return hp_err_set(err, -HP_E_BAD_REQUEST,
					  "element %zu is longer than %d bytes: \"%.60s\"…", i,
					  HP_ITEM_TEXT - 1, r->fns[i]);
	return 0;
}

static uint32_t flag(bool on, uint32_t bit)
{
	return on ? bit : 0;
}

static void put_numbers(struct hp_record *rec, const struct hp_job_request *r)
{
	bool unload = r->kind == HP_JOB_UNLOAD,
	     load = r->kind == HP_JOB_LOAD || r->kind == HP_JOB_CHECK;

	rec->kind = r->kind;
	rec->pid = r->pid;
	rec->flags |= flag(r->sel.children, HP_FLAG_CHILDREN) | flag(r->sel.all, HP_FLAG_ALL) |
		      flag(r->all_or_nothing, HP_FLAG_ALL_OR_NOTHING) |
		      flag(r->load.no_stop, HP_FLAG_NO_STOP) |
		      flag(r->unload.discard, HP_FLAG_DISCARD) | flag(r->wait, HP_FLAG_WAIT) |
		      flag(r->restart.allow_new_binds, HP_FLAG_NEW_BINDS) |
		      flag(r->restart.no_residue, HP_FLAG_NO_RESIDUE);
	if (load || unload) {
		rec->mode = (int32_t)r->load.mode;
		rec->quiesce = (int32_t)(unload ? r->unload.quiesce : r->load.quiesce);
		rec->timeout_ns = unload ? r->unload.timeout_ns : r->load.timeout_ns;
		rec->park_ns = unload ? r->unload.park_ns : r->load.park_ns;
	}
	if (r->kind == HP_JOB_RESTART) {
		rec->drain = (int32_t)r->restart.drain;
		rec->drain_signal = r->restart.drain_signal;
		rec->ready = (int32_t)r->restart.ready;
		rec->env = (int32_t)r->restart.env;
		rec->ready_ns = r->restart.ready_ns;
		rec->drain_ns = r->restart.drain_ns;
	}
	rec->n_items = (uint32_t)(r->load.replace.n + r->load.ref.n + r->restart.set.n + r->n_fns +
				  (r->sel.n_pids + HP_ITEM_PIDS - 1) / HP_ITEM_PIDS);
}

int hp_record_put(struct hp_record *rec, const struct hp_job_request *r, struct hp_err *err)
{
	const char *id = r->kind == HP_JOB_UNLOAD ? r->unload.id : r->load.id;
	int k = hp_record_text(rec->file, sizeof(rec->file), "file", r->load.file, err);

	put_numbers(rec, r);
	if (k == 0)
		k = hp_record_text(rec->exe, sizeof(rec->exe), "exe", r->sel.exe, err);
	if (k == 0)
		k = hp_record_text(rec->pidfile, sizeof(rec->pidfile), "pidfile",
				   r->restart.pidfile, err);
	if (k == 0)
		k = hp_record_text(rec->user, sizeof(rec->user), "user", r->restart.user, err);
	if (k == 0)
		k = hp_record_text(rec->id, sizeof(rec->id),
				   r->kind == HP_JOB_UNLOAD ? "id" : "hp_id", id, err);
	if (k == 0)
		k = check_pairs(&r->load.replace, "replace", err);
	if (k == 0)
		k = check_pairs(&r->load.ref, "ref", err);
	if (k == 0)
		k = check_pairs(&r->restart.set, "set", err);
	return k == 0 ? check_words(r, err) : k;
}

static int send_pair(struct hp_item *item, const char *key, const char *value, hp_record_send send,
		     void *arg)
{
	/* hp_record_put() has measured both. */
	snprintf(item->key, sizeof(item->key), "%s", key);
	snprintf(item->value, sizeof(item->value), "%s", value);
	return send(arg, item, sizeof(*item));
}

static int send_pairs(struct hp_item *item, enum hp_list list, const struct hp_pairs *p,
		      hp_record_send send, void *arg)
{
	int k = 0;

	item->list = list;
	for (size_t i = 0; i < p->n && k == 0; i++)
		k = send_pair(item, p->v[i].key, p->v[i].value, send, arg);
	return k;
}

static int send_pids(struct hp_item *item, const struct hp_selector *s, hp_record_send send,
		     void *arg)
{
	int k = 0;

	item->list = HP_LIST_PIDS;
	for (size_t at = 0; at < s->n_pids && k == 0; at += item->n) {
		item->n = (uint32_t)(s->n_pids - at < HP_ITEM_PIDS ? s->n_pids - at : HP_ITEM_PIDS);
		memset(item->pid, 0, sizeof(item->pid));
		for (uint32_t i = 0; i < item->n; i++)
			item->pid[i] = s->pids[at + i];
		k = send(arg, item, sizeof(*item));
	}
	item->n = 0;
	return k;
}

int hp_record_items(const struct hp_record *rec, const struct hp_job_request *r,
		    hp_record_send send, void *arg)
{
	struct hp_item item = {.conn = rec->conn};
	int k = send_pairs(&item, HP_LIST_REPLACE, &r->load.replace, send, arg);

	if (k == 0)
		k = send_pairs(&item, HP_LIST_REF, &r->load.ref, send, arg);
	if (k == 0)
		k = send_pairs(&item, HP_LIST_SET, &r->restart.set, send, arg);
	item.list = HP_LIST_WORDS;
	for (size_t i = 0; i < r->n_fns && k == 0; i++)
		k = send_pair(&item, "", r->fns[i], send, arg);
	return k == 0 ? send_pids(&item, &r->sel, send, arg) : k;
}
