/* SPDX-License-Identifier: MIT */
/*
 * The list of many processes.  Each says in its ledgers what it likes, so the list has a length that it
 * cannot exceed: whoever says most is told of in one line, and the others are as they would be without it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "hp/err.h"
#include "patch/list.h"
#include "patch/survey.h"
#include "target/procfs.h"

#define BYTES_MAX (32u << 20)
/* Of a patch, a function, a pair of words beside its texts, as JSON. */
#define PATCH_BYTES    1024
#define FUNCTION_BYTES 1024
#define PAIR_BYTES     16

/* A control character takes six bytes. */
static size_t text_bytes(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (unsigned char)*s < ' ' ? 6 : 2;
	return n;
}

/* Maps are told twice: what was asked for is told beside them. */
static size_t pairs_bytes(const struct hp_pairs *pairs)
{
	size_t n = 0;

	for (size_t i = 0; i < pairs->n; i++)
		n += 2 * (PAIR_BYTES + text_bytes(pairs->v[i].key) + text_bytes(pairs->v[i].value));
	return n;
}

static size_t patch_bytes(const struct hp_patch_info *p)
{
	size_t n = PATCH_BYTES + text_bytes(p->comm) + text_bytes(p->file) + pairs_bytes(&p->replace) +
		   pairs_bytes(&p->ref) + pairs_bytes(&p->meta) + pairs_bytes(&p->seal);

	for (size_t i = 0; i < p->n_sites; i++)
		n += FUNCTION_BYTES + text_bytes(p->site[i].new_name) +
		     text_bytes(p->site[i].old_name) + text_bytes(p->site[i].module);
	return n;
}

static size_t list_bytes(const struct hp_patch_list *l)
{
	size_t n = l->unknown.n * (PATCH_BYTES + sizeof(*l->unknown.v));

	for (size_t i = 0; i < l->n; i++)
		n += patch_bytes(&l->v[i]);
	return n;
}

static const char *comm_of(const struct hp_patch_list *l)
{
	return l->n ? l->v[0].comm : l->unknown.n ? l->unknown.v[0].comm : "";
}

/* Of @pid no more than that. */
static int leave(struct hp_list_parts *p, pid_t pid, const char *comm, const char *detail)
{
	struct hp_unknown_info *u = HP_ARRAY_ADD(&p->left.unknown);

	if (!u)
		return -ENOMEM;
	*u = (struct hp_unknown_info){.pid = pid};
	snprintf(u->comm, sizeof(u->comm), "%s", comm);
	snprintf(u->detail, sizeof(u->detail), "%s", detail);
	return 0;
}

static int leave_largest(struct hp_list_parts *p)
{
	size_t most = 0;

	for (size_t i = 1; i < p->n; i++)
		if (p->v[i].bytes >= p->v[most].bytes)
			most = i;
	if (leave(p, p->v[most].pid, p->v[most].comm,
		  "patched by hp, with more to tell than a list of many has room for: list it alone, "
		  "by -p") < 0)
		return -ENOMEM;
	hp_patch_list_free(&p->v[most].list);
	p->bytes -= p->v[most].bytes;
	p->n--;
	memmove(p->v + most, p->v + most + 1, (p->n - most) * sizeof(*p->v));
	return 0;
}

int hp_list_take(struct hp_list_parts *p, pid_t pid, struct hp_patch_list *list)
{
	struct hp_list_part *part = HP_ARRAY_ADD(p);

	if (!part) {
		hp_patch_list_free(list);
		return -ENOMEM;
	}
	*part = (struct hp_list_part){.pid = pid, .list = *list, .bytes = list_bytes(list)};
	snprintf(part->comm, sizeof(part->comm), "%s", comm_of(list));
	*list = (struct hp_patch_list){0};
	p->bytes += part->bytes;
	while (p->n && p->bytes > p->bytes_max)
		if (leave_largest(p) < 0)
			return -ENOMEM;
	return 0;
}

/* What lies in @from is @to's afterwards. */
static void move_list(struct hp_patch_list *to, struct hp_patch_list *from)
{
	if (from->n)
		memcpy(to->v + to->n, from->v, from->n * sizeof(*from->v));
	if (from->unknown.n)
		memcpy(to->unknown.v + to->unknown.n, from->unknown.v,
		       from->unknown.n * sizeof(*from->unknown.v));
	to->n += from->n;
	to->unknown.n += from->unknown.n;
	from->n = from->unknown.n = 0;
	hp_patch_list_free(from);
}

int hp_list_join(struct hp_list_parts *p, struct hp_patch_list *ret)
{
	struct hp_patch_list list = {.unknown.room = p->left.unknown.n + 1, .room = 1};

	for (size_t i = 0; i < p->n; i++) {
		list.room += p->v[i].list.n;
		list.unknown.room += p->v[i].list.unknown.n;
	}
	list.v = calloc(list.room, sizeof(*list.v));
	list.unknown.v = calloc(list.unknown.room, sizeof(*list.unknown.v));
	if (!list.v || !list.unknown.v) {
		hp_patch_list_free(&list);
		return -ENOMEM;
	}
	for (size_t i = 0; i < p->n; i++)
		move_list(&list, &p->v[i].list);
	move_list(&list, &p->left);
	hp_list_parts_free(p);
	*ret = list;
	return 0;
}

void hp_list_parts_free(struct hp_list_parts *p)
{
	for (size_t i = 0; i < p->n; i++)
		hp_patch_list_free(&p->v[i].list);
	hp_patch_list_free(&p->left);
	HP_ARRAY_FREE(p);
}

/* Of the time that a list may take (GRACE_NS in daemon/job.c) what processes that hold it up may have … */
#define LOST_MAX_NS (40 * HP_S)
#define LEAST_NS    (250 * HP_MS)
/* … and when there is no more but for asking who is patched. */
#define HURRY_NS (90 * HP_S)

struct many {
	struct hp_ops *ops;
	uint64_t since_ns;
	struct hp_list_parts parts;
};

static int look_at(struct hp_ops *ops, pid_t pid, struct hp_buf *ret, struct hp_err *err)
{
	struct hp_patch_list list = {0};
	int r = hp_list_process(ops, pid, &list, err);

	if (r == 0 && (r = hp_list_pack(ret, &list)) < 0)
		(void)hp_err_set(err, r, "no memory for a list");
	hp_patch_list_free(&list);
	return r;
}

static int look_at_one(void *arg, pid_t pid, struct hp_buf *ret, struct hp_err *err)
{
	const struct many *m = arg;

	if (!hp_op_is_patched(pid))
		return 1;
	if (hp_now_ns() - m->since_ns >= HURRY_NS)
		return hp_err_set(err, HP_SURVEY_LOST,
				  "patched by hp, but others held the list up: list it alone, by -p");
	return look_at(m->ops, pid, ret, err);
}

static int note_one(void *arg, const struct hp_survey_answer *a)
{
	struct many *m = arg;
	struct hp_patch_list list;
	struct hp_stat st = {0};

	if (a->code == 0) {
		int r = hp_list_unpack(a->bytes, a->n, &list);

		return r < 0 ? r : hp_list_take(&m->parts, a->pid, &list);
	}
	if (a->code == HP_SURVEY_LOST)
		return hp_stat_read(a->pid, &st) < 0 ? 0 : leave(&m->parts, a->pid, st.comm, a->bytes);
	/* It ends, runs another program, or a debugger has it: only its own. */
	hp_debug("process %d is left out of the list: %s", a->pid, a->bytes);
	return a->code == -ENOMEM ? a->code : 0;
}

static int list_many(struct hp_ops *ops, const struct hp_selector *s, struct hp_patch_list *ret,
		     struct hp_err *err)
{
	struct many m = {.ops = ops, .since_ns = hp_now_ns(), .parts.bytes_max = BYTES_MAX};
	const struct hp_survey survey = {look_at_one, note_one, &m, LOST_MAX_NS, LEAST_NS};
	struct hp_pids pids = {0};
	int r = hp_op_select(s, NULL, NULL, &pids, NULL, err);

	if (r >= 0)
		r = hp_survey_do(&survey, &pids, err);
	HP_ARRAY_FREE(&pids);
	if (r >= 0 && (r = hp_list_join(&m.parts, ret)) < 0)
		(void)hp_err_set(err, r, "no memory for a list");
	hp_list_parts_free(&m.parts);
	return r;
}

struct alone {
	struct hp_ops *ops;
	int code;
	struct hp_patch_list list;
	struct hp_err *err;
};

static int look_at_it(void *arg, pid_t pid, struct hp_buf *ret, struct hp_err *err)
{
	const struct alone *a = arg;

	return look_at(a->ops, pid, ret, err);
}

static int note_it(void *arg, const struct hp_survey_answer *said)
{
	struct alone *a = arg;

	if (said->code == 0)
		return hp_list_unpack(said->bytes, said->n, &a->list);
	if (said->code == HP_SURVEY_LOST)
		a->code = hp_err_set(a->err, -HP_E_TARGET, "process %d is %s", said->pid, said->bytes);
	else
		a->code = hp_err_set(a->err, said->code, "%s", said->bytes);
	return 0;
}

static int list_alone(struct hp_ops *ops, pid_t pid, struct hp_patch_list *ret, struct hp_err *err)
{
	struct alone a = {.ops = ops, .err = err};
	const struct hp_survey survey = {look_at_it, note_it, &a, 0, LOST_MAX_NS};
	const struct hp_pids one = {.v = &pid, .n = 1};
	int r = hp_survey_do(&survey, &one, err);

	if (r >= 0)
		r = a.code;
	if (r < 0) {
		hp_patch_list_free(&a.list);
		return r;
	}
	if (list_bytes(&a.list) <= BYTES_MAX) {
		*ret = a.list;
		return 0;
	}
	r = hp_err_set(err, -HP_E_TARGET,
		       "process %d (%s) is patched by hp, with more to tell (%zu patches) than a list has "
		       "room for",
		       pid, comm_of(&a.list), a.list.n);
	hp_patch_list_free(&a.list);
	return r;
}

int hp_op_list(struct hp_ops *ops, const struct hp_selector *s, struct hp_patch_list *ret,
	       struct hp_err *err)
{
	bool alone = s->n_pids == 1 && !s->children;

	return alone ? list_alone(ops, s->pids[0], ret, err) : list_many(ops, s, ret, err);
}
