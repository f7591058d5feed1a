/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "elf/image.h"
#include "elf/reader.h"
#include "elf/section.h"
#include "hp/err.h"

struct told_section {
	uint64_t vaddr, offset, size;
};

/* The bytes of the question are the name. */
static int answer(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	struct told_section *slot;
	size_t n;

	if (hp_section_count(q->im, &n, NULL))
		return 0;
	for (size_t i = 1; i < n; i++) {
		struct hp_section s;

		if (!hp_section_at(q->im, i, &s) || strcmp(s.name, q->bytes))
			continue;
		if (s.bytes && (slot = hp_reply_add(reply)))
			*slot = (struct told_section){s.header.sh_addr, s.header.sh_offset,
						      s.header.sh_size};
		break;
	}
	return 0;
}

static const struct hp_verb verb = {
	.what = "sections",
	.record_size = sizeof(struct told_section),
	.max_records = 1,
	.answer = answer,
};

const uint8_t *hp_image_section(const struct hp_image *im, const char *name, uint64_t *vaddr,
				size_t *n)
{
	const struct hp_question q = {
		.verb = &verb, .im = im, .bytes = name, .n_bytes = strlen(name)};
	struct hp_reader *reader = hp_reader_of(im);
	const struct told_section *s;
	const uint8_t *bytes = NULL;
	struct hp_told a;

	if (hp_reader_ask(reader, &q, &a, NULL) < 0) {
		/* Not to be taken for a file without: hp_reader_check() tells. */
		if (reader && hp_reader_check(reader, NULL) == 0)
			(void)hp_reader_distrust(reader, &verb, NULL, "nothing of %s", name);
		return NULL;
	}
	s = a.record;
	if (a.n && (s->offset > im->size || s->size > im->size - s->offset)) {
		(void)hp_reader_distrust(reader, &verb, NULL, "%s lies outside the file", name);
	} else if (a.n) {
		bytes = im->bytes + s->offset;
		if (vaddr)
			*vaddr = s->vaddr;
		if (n)
			*n = s->size;
	}
	hp_told_free(&a);
	return bytes;
}
