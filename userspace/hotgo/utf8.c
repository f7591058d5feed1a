/* SPDX-License-Identifier: MIT */
#include <stdbool.h>

#include "hotgo/json.h"

#define REPLACEMENT 0xfffd

static bool is_continuation(const char *s, size_t i, size_t n)
{
	return i < n && ((unsigned char)s[i] & 0xc0) == 0x80;
}

size_t hp_utf8_next(const char *s, size_t n, unsigned *ret)
{
	static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = (unsigned char)s[0];
	size_t len = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3
									: first < 0xf5	 ? 4
											 : 0;
	unsigned c = len <= 1 ? first : first & (0x7fu >> len);

	for (size_t i = 1; i < len; i++) {
		if (!is_continuation(s, i, n)) {
			len = 0;
			break;
		}
		c = c << 6 | ((unsigned char)s[i] & 0x3f);
	}
	if (!len || c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
		*ret = REPLACEMENT;
		return 1;
	}
	*ret = c;
	return len;
}

int hp_utf8_add(struct hp_buf *out, unsigned c)
{
	char b[4];

	if (c && c < 0x80) {
		b[0] = (char)c;
		return hp_buf_add(out, b, 1);
	}
	if (c < 0x800) {
		b[0] = (char)(0xc0 | c >> 6);
		b[1] = (char)(0x80 | (c & 0x3f));
		return hp_buf_add(out, b, 2);
	}
	if (c < 0x10000) {
		b[0] = (char)(0xe0 | c >> 12);
		b[1] = (char)(0x80 | (c >> 6 & 0x3f));
		b[2] = (char)(0x80 | (c & 0x3f));
		return hp_buf_add(out, b, 3);
	}
	b[0] = (char)(0xf0 | c >> 18);
	b[1] = (char)(0x80 | (c >> 12 & 0x3f));
	b[2] = (char)(0x80 | (c >> 6 & 0x3f));
	b[3] = (char)(0x80 | (c & 0x3f));
	return hp_buf_add(out, b, 4);
}

char *hp_utf8_dup(const char *s, size_t n)
{
	struct hp_buf out = {0};
	int k = 0;

	for (size_t at = 0; at < n && k == 0;) {
		unsigned c;

		at += hp_utf8_next(s + at, n - at, &c);
		k = hp_utf8_add(&out, c);
	}
	if (k == 0)
		k = hp_buf_add(&out, "", 1);
	if (k < 0)
		hp_buf_free(&out);
	return out.v;
}
