/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int hp_buf_add(struct hp_buf *b, const void *data, size_t n)
{
	size_t want = b->room ? b->room : 512;
	char *bigger;

	if (!n)
		return 0;
	if (b->n + n > b->room) {
		while (want < b->n + n)
			want *= 2;
		bigger = realloc(b->v, want);
		if (!bigger)
			return -ENOMEM;
		b->v = bigger;
		b->room = want;
	}
	memcpy(b->v + b->n, data, n);
	b->n += n;
	return 0;
}

int hp_buf_printf(struct hp_buf *b, const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n, r;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	r = hp_buf_add(b, s, (size_t)n);
	free(s);
	return r;
}

void hp_buf_drop(struct hp_buf *b, size_t n)
{
	if (!n) /* perhaps there is no memory yet */
		return;
	b->n -= n;
	memmove(b->v, b->v + n, b->n);
}

void hp_buf_free(struct hp_buf *b)
{
	free(b->v);
	*b = (struct hp_buf){0};
}
