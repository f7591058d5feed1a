/* SPDX-License-Identifier: MIT */
/* base/buf.h – bytes on their way: appended at the end, taken from the front. */
#ifndef HP_BASE_BUF_H
#define HP_BASE_BUF_H

#include <stddef.h>

struct hp_buf {
	char *v;
	size_t n, room;
};

/* -ENOMEM leaves the buffer as it was. */
int hp_buf_add(struct hp_buf *b, const void *data, size_t n);
int hp_buf_printf(struct hp_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void hp_buf_drop(struct hp_buf *b, size_t n); /* the first @n bytes */
void hp_buf_free(struct hp_buf *b);

#endif
