/* SPDX-License-Identifier: MIT */
/*
 * Many names in many files are one question, for an answer takes as long as waking a processor does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/dynsym.h"
#include "elf/image.h"
#include "elf/reader.h"
#include "hp/err.h"

/* Of one question, well within what a socket takes. */
#define QUESTION_MAX (16u << 10)
#define NAMES_MAX    512
#define IMAGES_MAX   256

#define VERSIONED '@' /* before a version, where there is one */

struct told_definition {
	uint64_t name, image; /* their numbers in the question */
	uint64_t value, size;
	uint64_t info, other; /* st_info, st_other */
};

/* The bytes of the question: this, the images, and for each name two strings. */
struct ask_head {
	uint64_t n_images, n_names;
};

/* --- in the reader ------------------------------------------------------------------------------ */

struct scope {
	const char *im; /* n pointers to images */
	struct hp_dynsym *dynsym;
	size_t n, n_open; /* the first so many are open */
};

static int open_next(struct scope *s, struct hp_err *err)
{
	const struct hp_image *im;
	int r;

	memcpy(&im, s->im + s->n_open * sizeof(im), sizeof(im));
	r = hp_dynsym_open(&s->dynsym[s->n_open], im, err);
	s->n_open += r >= 0;
	return r;
}

/* 1: found, in *image; 0: nowhere. */
static int find(struct scope *s, const char *name, const char *version, uint64_t *image,
		Elf64_Sym *ret, struct hp_err *err)
{
	for (size_t i = 0; i < s->n; i++) {
		int r = i == s->n_open ? open_next(s, err) : 0;

		if (r < 0)
			return r;
		if (hp_dynsym_find(&s->dynsym[i], name, version, ret)) {
			*image = i;
			return 1;
		}
	}
	return 0;
}

static int put(struct hp_reply *reply, uint64_t name, uint64_t image, const Elf64_Sym *e,
	       struct hp_err *err)
{
	struct told_definition *slot = hp_reply_add(reply);

	if (!slot)
		return hp_err_sys(err, ENOMEM, "dynamic symbols");
	*slot = (struct told_definition){name, image, e->st_value, e->st_size, e->st_info,
					 e->st_other};
	return 0;
}

static int answer(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	const char *text = q->bytes;
	struct ask_head head;
	struct scope s = {0};
	int r;

	memcpy(&head, text, sizeof(head));
	text += sizeof(head);
	s.n = head.n_images;
	s.im = text;
	s.dynsym = calloc(s.n, sizeof(*s.dynsym));
	r = s.dynsym ? 0 : hp_err_sys(err, ENOMEM, "dynamic symbols");
	text += s.n * sizeof(struct hp_image *);
	for (uint64_t i = 0; i < head.n_names && r >= 0; i++) {
		const char *name = text, *version = name + strlen(name) + 1;
		uint64_t image;
		Elf64_Sym e;

		text = version + strlen(version) + 1;
		r = find(&s, name, *version ? version + 1 : NULL, &image, &e, err);
		if (r == 1)
			r = put(reply, i, image, &e, err);
	}
	for (size_t i = 0; i < s.n_open; i++)
		hp_dynsym_close(&s.dynsym[i]);
	free(s.dynsym);
	return r < 0 ? r : 0;
}

/* --- with the asker ----------------------------------------------------------------------------- */

static const struct hp_verb verb = {
	.what = "dynamic symbols",
	.record_size = sizeof(struct told_definition),
	.max_records = NAMES_MAX,
	.answer = answer,
};

struct asked {
	const struct hp_image *const *im;
	size_t n_im;
	struct hp_import *import[NAMES_MAX];
	size_t n;
	char bytes[QUESTION_MAX];
	size_t n_bytes;
};

static void begin(struct asked *a, const struct hp_image *const *im, size_t n_im)
{
	a->im = im;
	a->n_im = n_im;
	a->n = 0;
	a->n_bytes = sizeof(struct ask_head) + n_im * sizeof(*im);
	memcpy(a->bytes + sizeof(struct ask_head), im, n_im * sizeof(*im));
}

/* False: there is no room left. */
static bool add(struct asked *a, struct hp_import *import)
{
	size_t name = strlen(import->name) + 1;
	size_t version = import->version ? strlen(import->version) + 2 : 1;
	char *at = a->bytes + a->n_bytes;

	if (a->n == NAMES_MAX || name > QUESTION_MAX || version > QUESTION_MAX ||
	    name + version > QUESTION_MAX - a->n_bytes)
		return false;
	memcpy(at, import->name, name);
	at += name;
	if (import->version) {
		*at = VERSIONED;
		memcpy(at + 1, import->version, version - 1);
	} else {
		*at = 0;
	}
	a->n_bytes += name + version;
	a->import[a->n++] = import;
	return true;
}

static int accept(const struct asked *a, const struct hp_told *told, struct hp_err *err)
{
	struct hp_reader *reader = hp_reader_of(a->im[0]);
	const struct told_definition *t = told->record;

	for (size_t i = 0; i < told->n; i++, t++) {
		struct hp_import *import;
		Elf64_Sym e;

		if (t->name >= a->n || t->image >= a->n_im || (i && t->name <= t[-1].name))
			return hp_reader_distrust(reader, &verb, err, "record %zu is of no name", i);
		import = a->import[t->name];
		/* Of a section that is one: what is wanted of the index was asked by the reader. */
		e = (Elf64_Sym){.st_value = t->value,
				.st_size = t->size,
				.st_info = (uint8_t)t->info,
				.st_other = (uint8_t)t->other,
				.st_shndx = 1};
		if (t->info > UINT8_MAX || t->other > UINT8_MAX ||
		    !hp_dynsym_has_place(a->im[t->image], &e))
			return hp_reader_distrust(reader, &verb, err, "%s has no place",
						  import->name);
		import->im = a->im[t->image];
		import->sym = e;
	}
	return 0;
}

static int ask(struct asked *a, struct hp_err *err)
{
	const struct ask_head head = {a->n_im, a->n};
	struct hp_question q = {.verb = &verb, .bytes = a->bytes, .n_bytes = a->n_bytes};
	struct hp_told told;
	int r;

	if (!a->n)
		return 0;
	memcpy(a->bytes, &head, sizeof(head));
	/* A reader that knows the one that joined last knows all. */
	for (size_t i = 0; i < a->n_im; i++)
		if (!q.im || a->im[i]->joined_as > q.im->joined_as)
			q.im = a->im[i];
	r = hp_reader_ask(hp_reader_of(q.im), &q, &told, err);
	if (r < 0)
		return r;
	r = accept(a, &told, err);
	hp_told_free(&told);
	return r;
}

/* Those that are not found yet. */
static int resolve_in(struct asked *a, const struct hp_image *const *im, size_t n_im,
		      struct hp_import *import, size_t n, struct hp_err *err)
{
	int r = 0;

	begin(a, im, n_im);
	for (size_t i = 0; i < n && r >= 0; i++) {
		if (import[i].im || add(a, &import[i]))
			continue;
		r = ask(a, err);
		begin(a, im, n_im);
		(void)add(a, &import[i]); /* no file has a name that does not fit, or nobody finds it */
	}
	return r < 0 ? r : ask(a, err);
}

int hp_dynsym_resolve(const struct hp_image *const *im, size_t n_im, struct hp_import *import,
		      size_t n, struct hp_err *err)
{
	struct asked *a = malloc(sizeof(*a));
	int r = a ? 0 : hp_err_sys(err, ENOMEM, "dynamic symbols");

	for (size_t i = 0; i < n; i++)
		import[i].im = NULL;
	for (size_t i = 0; i < n_im && r >= 0; i += IMAGES_MAX)
		r = resolve_in(a, im + i, n_im - i < IMAGES_MAX ? n_im - i : IMAGES_MAX, import, n,
			       err);
	free(a);
	return r;
}

/* --- imports ------------------------------------------------------------------------------------ */

static bool is_one_of(const char *name, const char *const *names, size_t n, uint64_t *ret)
{
	for (*ret = 0; *ret < n; ++*ret)
		if (!strcmp(name, names[*ret]))
			return true;
	return false;
}

static int answer_imports(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	const char *name, *version;
	uint64_t at, *slot = NULL;
	struct hp_dynsym d;
	bool hidden;
	Elf64_Sym e;
	int r = hp_dynsym_open(&d, q->im, err);

	if (r < 0)
		return r;
	for (size_t i = 0; !slot && hp_dynsym_at(&d, i, &e, &name, &version, &hidden); i++)
		if (e.st_shndx == SHN_UNDEF && is_one_of(name, q->arg, q->number, &at) &&
		    (slot = hp_reply_add(reply)))
			*slot = at;
	hp_dynsym_close(&d);
	return 0;
}

static const struct hp_verb imports_verb = {
	.what = "imports",
	.record_size = sizeof(uint64_t),
	.max_records = 1,
	.answer = answer_imports,
};

int hp_dynsym_imports(const struct hp_image *im, const char *const *names, size_t n, size_t *ret,
		      struct hp_err *err)
{
	const struct hp_question q = {.verb = &imports_verb, .im = im, .arg = names, .number = n};
	struct hp_reader *reader = hp_reader_of(im);
	struct hp_told a;
	uint64_t at;
	int r = hp_reader_ask(reader, &q, &a, err);

	if (r < 0)
		return r;
	r = a.n == 1;
	if (r) {
		memcpy(&at, a.record, sizeof(at));
		*ret = at;
		if (at >= n)
			r = hp_reader_distrust(reader, &imports_verb, err, "the place of a name");
	}
	hp_told_free(&a);
	return r;
}
