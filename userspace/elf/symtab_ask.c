/* SPDX-License-Identifier: MIT */
/*
 * A table of symbols as its reader tells it.  What is checked of it is what hp_symtab_load() promises;
 * the hashes and indexes are made here, from what was checked.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>

#include "elf/image.h"
#include "elf/reader.h"
#include "elf/symtab_table.h"
#include "hp/err.h"

/* Some 25 times what a browser with all of its debug information has. */
#define MAX_SYMBOLS (32u << 20)
#define MAX_NAMES   (1u << 30)

#define NO_TEXT UINT32_MAX

struct told_symbol {
	uint32_t name, version, file; /* in the text; NO_TEXT: none */
	uint8_t type, bind, dynamic, hidden_version;
	uint64_t value, size;
};
_Static_assert(sizeof(struct told_symbol) == 32, "no padding, which would be the reader's memory");

/* --- in the reader ------------------------------------------------------------------------------ */

struct names {
	struct hp_reply *reply;
	const char *last; /* a file's symbols mostly follow each other */
	uint32_t last_at;
};

static bool put(struct hp_reply *reply, const char *s, uint32_t *ret)
{
	*ret = NO_TEXT;
	return !s || hp_reply_string(reply, s, ret);
}

static bool put_file(struct names *n, const char *s, uint32_t *ret)
{
	if (!s || s != n->last) {
		if (!put(n->reply, s, &n->last_at))
			return false;
		n->last = s;
	}
	*ret = n->last_at;
	return true;
}

static bool put_symbol(struct names *n, const struct hp_sym *s)
{
	struct told_symbol told = {.type = s->type,
				   .bind = s->bind,
				   .dynamic = s->dynamic,
				   .hidden_version = s->hidden_version,
				   .value = s->value,
				   .size = s->size};
	struct told_symbol *slot;

	if (!put(n->reply, s->name, &told.name) || !put(n->reply, s->version, &told.version) ||
	    !put_file(n, s->file, &told.file))
		return false;
	slot = hp_reply_add(n->reply);
	if (slot)
		*slot = told;
	return slot;
}

static int answer(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	struct names names = {.reply = reply};
	const struct hp_sym *sym;
	struct hp_symtab *st;
	int r = hp_symtab_load(&st, q->im, q->debug, err);
	size_t n;

	if (r < 0)
		return r;
	n = hp_symtab_all(st, &sym);
	for (size_t i = 0; !r && i < n; i++)
		if (!put_symbol(&names, &sym[i]))
			r = hp_err_set(err, -HP_E_BAD_ELF,
				       "%s: has more symbols, or longer ones, than there is room for",
				       q->im->name);
	hp_symtab_free(st);
	return r;
}

/* --- with the asker ----------------------------------------------------------------------------- */

static const struct hp_verb verb = {
	.what = "symbols",
	.record_size = sizeof(struct told_symbol),
	.max_records = MAX_SYMBOLS,
	.max_text = MAX_NAMES,
	.answer = answer,
};

static bool text_holds(const struct hp_told *a, uint32_t at, bool needed)
{
	const char *s = at == NO_TEXT ? NULL : hp_told_string(a, at);

	return needed ? s && *s : s || at == NO_TEXT;
}

static const char *fault_of(const struct hp_image *im, const struct hp_told *a,
			    const struct told_symbol *s)
{
	if (!text_holds(a, s->name, true) || !text_holds(a, s->version, false) ||
	    !text_holds(a, s->file, false))
		return "has no name";
	if (s->type > 15 || s->bind > 15 || s->dynamic > 1 || s->hidden_version > 1)
		return "is of no kind";
	if ((s->type == STT_FUNC || s->type == STT_GNU_IFUNC) &&
	    !hp_image_is_code(im, s->value, s->size))
		return "is a function outside the code";
	return NULL;
}

static int accept(struct hp_symtab *st, const struct hp_image *im, struct hp_told *a,
		  struct hp_err *err)
{
	const struct told_symbol *told = a->record;

	st->syms.v = calloc(a->n + 1, sizeof(*st->syms.v));
	if (!st->syms.v)
		return hp_err_sys(err, ENOMEM, "%s: reading its symbols", im->name);
	st->syms.room = a->n + 1;
	for (size_t i = 0; i < a->n; i++) {
		const struct told_symbol *s = &told[i];
		const char *fault = fault_of(im, a, s);

		if (!fault && i && s->value < told[i - 1].value)
			fault = "comes before the one before it";
		if (fault)
			return hp_reader_distrust(im->reader, &verb, err, "symbol %zu %s", i, fault);
		st->syms.v[i] = (struct hp_sym){
			.name = hp_told_string(a, s->name),
			.version = hp_told_string(a, s->version),
			.file = hp_told_string(a, s->file),
			.value = s->value,
			.size = s->size,
			.type = s->type,
			.bind = s->bind,
			.dynamic = s->dynamic,
			.hidden_version = s->hidden_version,
		};
	}
	st->syms.n = a->n;
	st->text = a->text;
	a->text = NULL;
	return 0;
}

int hp_symtab_ask(struct hp_symtab *st, const struct hp_image *im, const struct hp_image *debug,
		  struct hp_err *err)
{
	const struct hp_question q = {.verb = &verb, .im = im, .debug = debug};
	struct hp_told a;
	int r = hp_reader_ask(im->reader, &q, &a, err);

	if (r < 0)
		return r;
	r = accept(st, im, &a, err);
	hp_told_free(&a);
	return r;
}
