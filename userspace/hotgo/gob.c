/* SPDX-License-Identifier: MIT */
#include "hotgo/gob.h"


bool hp_gob_uint(struct hp_gob_in *in, uint64_t *ret)
{
	uint64_t n = 0;
	size_t bytes;

	if (in->at == in->end)
		return false;
	if (*in->at < 0x80) {
		*ret = *in->at++;
		return true;
	}
	bytes = 256u - *in->at++;
	if (bytes > 8 || bytes > (size_t)(in->end - in->at))
		return false;
	while (bytes--)
		n = n << 8 | *in->at++;
	*ret = n;
	return true;
}

bool hp_gob_int(struct hp_gob_in *in, int64_t *ret)
{
	uint64_t n;

	if (!hp_gob_uint(in, &n))
		return false;
	*ret = (int64_t)(n & 1 ? ~(n >> 1) : n >> 1);
	return true;
}

bool hp_gob_bytes(struct hp_gob_in *in, const char **ret, size_t *n)
{
	uint64_t len;

	if (!hp_gob_uint(in, &len) || len > (size_t)(in->end - in->at))
		return false;
	*ret = (const char *)in->at;
	*n = len;
	in->at += len;
	return true;
}

int hp_gob_put_uint(struct hp_buf *out, uint64_t n)
{
	uint8_t b[9];
	unsigned bytes = 8;

	if (n < 0x80) {
		b[0] = (uint8_t)n;
		return hp_buf_add(out, b, 1);
	}
	for (unsigned i = 8; i; i--, n >>= 8)
		b[i] = (uint8_t)n;
	while (!b[9 - bytes])
		bytes--;
	b[8 - bytes] = (uint8_t)(256 - bytes);
	return hp_buf_add(out, b + 8 - bytes, bytes + 1);
}

int hp_gob_put_int(struct hp_buf *out, int64_t n)
{
	uint64_t u = (uint64_t)n;

	return hp_gob_put_uint(out, n < 0 ? ~u << 1 | 1 : u << 1);
}

int hp_gob_put_string(struct hp_buf *out, const char *s, size_t n)
{
	int k = hp_gob_put_uint(out, n);

	return k < 0 ? k : hp_buf_add(out, s, n);
}

int hp_gob_put_message(struct hp_buf *out, const struct hp_buf *item)
{
	return hp_gob_put_string(out, item->v, item->n);
}
