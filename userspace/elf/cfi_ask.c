/* SPDX-License-Identifier: MIT */
/*
 * Unwind information as a reader tells it: the list of FDEs as a whole, and the rows of those FDEs
 * that somebody asks for, which are kept.
 */
#include <errno.h>
#include <stdlib.h>

#include "elf/cfi_priv.h"
#include "elf/image.h"
#include "elf/reader.h"
#include "hp/err.h"

#define MAX_FDES (16u << 20)
#define MAX_ROWS 8192 /* of one function; what is beyond is not told */

struct told_fde {
	uint64_t lo, hi;
};

/* --- in the reader ------------------------------------------------------------------------------ */

/* What was opened for an image stays so until the reader's end. */
static int opened(const struct hp_image *im, struct hp_cfi **ret, struct hp_err *err)
{
	static HP_ARRAY(struct hp_cfi *) all;
	struct hp_cfi **slot;
	int r;

	for (size_t i = 0; i < all.n; i++)
		if (all.v[i]->im == im) {
			*ret = all.v[i];
			return 0;
		}
	slot = HP_ARRAY_ADD(&all);
	if (!slot)
		return hp_err_sys(err, ENOMEM, "%s: reading .eh_frame", im->name);
	r = hp_cfi_open(slot, im, err);
	if (r < 0)
		all.n--;
	else
		*ret = *slot;
	return r;
}

static int answer_fdes(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	struct hp_cfi *c;
	int r = opened(q->im, &c, err);

	for (size_t i = 0; !r && i < c->fdes.n; i++) {
		struct told_fde *slot = hp_reply_add(reply);

		if (!slot)
			return hp_err_set(err, -HP_E_BAD_ELF,
					  "%s: its .eh_frame has more entries than there is room for",
					  q->im->name);
		*slot = (struct told_fde){c->fdes.v[i].lo, c->fdes.v[i].hi};
	}
	return r;
}

/* The number is the FDE's place in the list. */
static int answer_rows(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	struct hp_cfi *c;
	const struct hp_cfi_fde *fde;
	struct hp_cfi_told told, *slot;
	int r = opened(q->im, &c, err);

	if (r < 0)
		return r;
	fde = &c->fdes.v[q->number];
	for (uint64_t at = fde->lo; at < fde->hi && hp_cfi_tell(c, at, &told); at = told.hi) {
		/* libdw may know the place by another FDE. */
		told.lo = at;
		if (told.hi > fde->hi)
			told.hi = fde->hi;
		if (told.hi <= at || !(slot = hp_reply_add(reply)))
			break;
		*slot = told;
	}
	return 0;
}

/* --- with the asker ----------------------------------------------------------------------------- */

static const struct hp_verb fdes_verb = {
	.what = "unwind information",
	.record_size = sizeof(struct told_fde),
	.max_records = MAX_FDES,
	.answer = answer_fdes,
};

static const struct hp_verb rows_verb = {
	.what = "unwind rows",
	.record_size = sizeof(struct hp_cfi_told),
	.max_records = MAX_ROWS,
	.answer = answer_rows,
};

static int accept_fdes(struct hp_cfi *c, const struct hp_told *a, struct hp_err *err)
{
	const struct told_fde *f = a->record;

	c->fdes.v = calloc(a->n + 1, sizeof(*c->fdes.v));
	if (!c->fdes.v)
		return hp_err_sys(err, ENOMEM, "%s: reading .eh_frame", c->im->name);
	c->fdes.room = a->n + 1;
	for (size_t i = 0; i < a->n; i++) {
		if (f[i].lo >= f[i].hi || (i && f[i].lo < f[i - 1].lo))
			return hp_reader_distrust(c->im->reader, &fdes_verb, err,
						  "entry %zu is no range, or not in its place", i);
		c->fdes.v[i] = (struct hp_cfi_fde){.lo = f[i].lo, .hi = f[i].hi};
	}
	c->fdes.n = a->n;
	return 0;
}

int hp_cfi_ask_fdes(struct hp_cfi *c, struct hp_err *err)
{
	const struct hp_question q = {.verb = &fdes_verb, .im = c->im};
	struct hp_told a;
	int r = hp_reader_ask(c->im->reader, &q, &a, err);

	if (r < 0)
		return r;
	r = accept_fdes(c, &a, err);
	hp_told_free(&a);
	return r;
}

static bool row_holds(const struct hp_cfi_fde *fde, uint64_t from, const struct hp_cfi_told *t)
{
	return t->lo >= from && t->lo < t->hi && t->hi <= fde->hi && t->has_cfa <= 1 &&
	       t->whole <= t->has_cfa && t->row.cfa_reg < HP_CFI_REGS &&
	       t->row.saved >> HP_CFI_REGS == 0;
}

static void accept_rows(struct hp_cfi *c, struct hp_cfi_fde *fde, const struct hp_told *a)
{
	const struct hp_cfi_told *t = a->record;
	uint64_t from = fde->lo;
	size_t first = c->told.n;

	for (size_t i = 0; i < a->n; i++) {
		struct hp_cfi_told *slot;

		if (!row_holds(fde, from, &t[i])) {
			(void)hp_reader_distrust(c->im->reader, &rows_verb, NULL,
						 "row %zu of the function at 0x%llx", i,
						 (unsigned long long)fde->lo); /* kept for check() */
			return;
		}
		slot = HP_ARRAY_ADD(&c->told);
		if (!slot)
			return;
		*slot = t[i];
		from = t[i].hi;
	}
	fde->first = (uint32_t)first;
	fde->n = (uint32_t)a->n;
}

static void ask_rows(struct hp_cfi *c, size_t index)
{
	const struct hp_question q = {.verb = &rows_verb, .im = c->im, .number = index};
	struct hp_told a;

	c->fdes.v[index].asked = true;
	if (hp_reader_ask(c->im->reader, &q, &a, NULL) < 0)
		return;
	accept_rows(c, &c->fdes.v[index], &a);
	hp_told_free(&a);
}

bool hp_cfi_ask_row(const struct hp_cfi *c, uint64_t vaddr, struct hp_cfi_told *ret)
{
	size_t index = hp_cfi_index(c, vaddr);
	const struct hp_cfi_fde *fde;

	if (index == SIZE_MAX)
		return false;
	fde = &c->fdes.v[index];
	if (!fde->asked)
		ask_rows((struct hp_cfi *)c, index); /* what is kept does not change what it says */
	for (uint32_t i = 0; i < fde->n; i++)
		if (vaddr >= c->told.v[fde->first + i].lo && vaddr < c->told.v[fde->first + i].hi) {
			*ret = c->told.v[fde->first + i];
			return true;
		}
	return false;
}
