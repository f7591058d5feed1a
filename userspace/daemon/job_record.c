/* SPDX-License-Identifier: MIT */
#include "daemon/job_record.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "patch/ops.h"

#define PACKET_MAX (64u << 20)
#define PID_LIMIT  (1 << 22)

_Static_assert(sizeof(struct hp_job_head) % 8 == 0 && sizeof(struct hp_fact_patch) % 8 == 0 &&
		       sizeof(struct hp_fact_unknown) % 8 == 0 &&
		       sizeof(struct hp_fact_target) % 8 == 0 && sizeof(struct hp_fact_site) % 8 == 0,
	       "what follows is aligned; pids, which are shorter, come last");
_Static_assert(HP_FACT_ID > HP_ID_LEN, "an id has room");

static const size_t fact_size[HP_FACTS] = {
	[HP_FACT_PATCH] = sizeof(struct hp_fact_patch),
	[HP_FACT_UNKNOWN] = sizeof(struct hp_fact_unknown),
	[HP_FACT_TARGET] = sizeof(struct hp_fact_target),
	[HP_FACT_SITE] = sizeof(struct hp_fact_site),
	[HP_FACT_PID] = sizeof(int32_t),
};

/* Which facts an answer may have. */
#define FACT(f) (1u << HP_FACT_##f)
static const unsigned facts_of[HP_JOB_KINDS] = {
	[HP_JOB_LIST] = FACT(PATCH) | FACT(UNKNOWN) | FACT(PID),
	[HP_JOB_SELECT] = FACT(PID),
	[HP_JOB_GUARD] = FACT(TARGET) | FACT(SITE),
};

static int bad(struct hp_err *err, const char *what)
{
	return hp_err_set(err, -HP_E_FAILED, "says what it may not: %s", what);
}

static bool ends(const char *s, size_t room)
{
	return memchr(s, 0, room) != NULL;
}

static int check_head(const struct hp_job_head *h, enum hp_job_kind kind, uint64_t *size,
		      struct hp_err *err)
{
	uint64_t n = sizeof(*h) + (uint64_t)h->n_doc;

	if (h->word != HP_WORD_STEP && h->word != HP_WORD_ANSWER)
		return bad(err, "a word that there is not");
	if (h->code > 0 || (h->word == HP_WORD_STEP && h->code))
		return bad(err, "a code out of range");
	if (!ends(h->id, sizeof(h->id)) || !ends(h->step, sizeof(h->step)) ||
	    !ends(h->text, sizeof(h->text)))
		return bad(err, "a text without an end");
	if (h->retained > 1 || h->pad)
		return bad(err, "a number out of range");
	for (size_t i = 0; i < HP_FACTS; i++) {
		if (h->n[i] && (h->word != HP_WORD_ANSWER || !(facts_of[kind] & (1u << i))))
			return bad(err, "facts that do not belong");
		n += (uint64_t)h->n[i] * fact_size[i];
	}
	if (n > PACKET_MAX)
		return bad(err, "too much");
	*size = n;
	return 0;
}

static bool is_pid(int32_t pid)
{
	return pid > 0 && pid <= PID_LIMIT;
}

static int check_facts(const struct hp_job_said *s, struct hp_err *err)
{
	const struct hp_job_head *h = s->head;
	bool good = true;

	for (uint32_t i = 0; i < h->n[HP_FACT_PATCH]; i++)
		good &= is_pid(s->patch[i].pid) && s->patch[i].state < HP_STATES &&
			ends(s->patch[i].id, sizeof(s->patch[i].id));
	for (uint32_t i = 0; i < h->n[HP_FACT_UNKNOWN]; i++)
		good &= is_pid(s->unknown[i].pid) &&
			ends(s->unknown[i].detail, sizeof(s->unknown[i].detail));
	for (uint32_t i = 0; i < h->n[HP_FACT_TARGET]; i++)
		good &= is_pid(s->target[i].pid) && s->target[i].outcome < HP_GUARD_OUTCOMES;
	for (uint32_t i = 0; i < h->n[HP_FACT_SITE]; i++)
		good &= is_pid(s->site[i].pid) && s->site[i].found < HP_GUARD_FOUNDS &&
			s->site[i].mended <= 1 && ends(s->site[i].fn, sizeof(s->site[i].fn));
	for (uint32_t i = 0; i < h->n[HP_FACT_PID]; i++)
		good &= is_pid(s->pid[i]);
	return good ? 0 : bad(err, "a fact that cannot be");
}

int hp_job_hear(const struct hp_buf *b, enum hp_job_kind kind, struct hp_job_said *ret, size_t *n,
		struct hp_err *err)
{
	const struct hp_job_head *h = (const void *)b->v;
	struct hp_job_said s = {.head = h};
	const char *at[HP_FACTS], *next;
	uint64_t size = 0;
	int k;

	if (b->n < sizeof(*h))
		return 0;
	k = check_head(h, kind, &size, err);
	if (k < 0 || b->n < size)
		return k;
	next = b->v + sizeof(*h);
	for (size_t i = 0; i < HP_FACTS; i++) {
		at[i] = next;
		next += h->n[i] * fact_size[i];
	}
	s.patch = (const void *)at[HP_FACT_PATCH];
	s.unknown = (const void *)at[HP_FACT_UNKNOWN];
	s.target = (const void *)at[HP_FACT_TARGET];
	s.site = (const void *)at[HP_FACT_SITE];
	s.pid = (const void *)at[HP_FACT_PID];
	s.doc = next;
	s.n_doc = h->n_doc;
	k = check_facts(&s, err);
	if (k < 0)
		return k;
	*ret = s;
	*n = size;
	return 1;
}

/* --- in the job ----------------------------------------------------------------------------------- */

void *hp_job_add_fact(struct hp_job_saying *s, enum hp_fact which)
{
	static const char zero[sizeof(struct hp_fact_site)];
	size_t size = fact_size[which], at = s->fact[which].n;

	_Static_assert(sizeof(zero) >= sizeof(struct hp_fact_unknown), "of any record");
	if (hp_buf_add(&s->fact[which], zero, size) < 0)
		return NULL;
	s->head.n[which]++;
	return s->fact[which].v + at;
}

int hp_job_say(int sock, struct hp_job_saying *s)
{
	char *text = s->doc ? json_dumps(s->doc, JSON_COMPACT) : NULL;
	int k = s->doc && !text ? -ENOMEM : 0;

	s->head.n_doc = text ? (uint32_t)strlen(text) : 0;
	if (k == 0)
		k = hp_write_all(sock, &s->head, sizeof(s->head));
	for (size_t i = 0; i < HP_FACTS; i++) {
		if (k == 0)
			k = hp_write_all(sock, s->fact[i].v, s->fact[i].n);
		hp_buf_free(&s->fact[i]);
	}
	if (k == 0)
		k = hp_write_all(sock, text, s->head.n_doc);
	free(text);
	json_decref(s->doc);
	s->doc = NULL;
	return k;
}
