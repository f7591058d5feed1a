/* SPDX-License-Identifier: MIT */
#include "target/gadget.h"

#include <emmintrin.h>
#include <stddef.h>
#include <string.h>

#include "elf/image.h"
#include "hp/err.h"
#include "target/module.h"

struct pattern {
	uint8_t bytes[9];
	size_t n;
};

static const struct pattern syscall_ret = {{0x0f, 0x05, 0xc3}, 3};

/* mov $15,%rax; syscall (glibc, musl), and mov $15,%eax; syscall */
static const struct pattern restorer[] = {
	{{0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05}, 9},
	{{0xb8, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05}, 7},
};
#define N_RESTORER (sizeof(restorer) / sizeof(restorer[0]))

/* What all of those end in: …0f 00 00 00, syscall. */
static const struct pattern core = {{0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05}, 6};

struct search {
	struct hp_target *t;
	const struct pattern *p;
	hp_addr *out;
	size_t n, max;
};

/* The file says where it is, the memory whether it is still there. */
static bool verified(const struct hp_target *t, hp_addr at, const struct pattern *p)
{
	uint8_t now[sizeof(p->bytes)];

	return hp_mem_read(t, at, now, p->n, NULL) == 0 && memcmp(now, p->bytes, p->n) == 0;
}

/* Sixteen places at a time, by the last three bytes: every load searches, and programs are large. */
static const uint8_t *next_match(const uint8_t *p, const uint8_t *end, const struct pattern *want)
{
	const size_t tail = want->n - 3;
	const __m128i t0 = _mm_set1_epi8((char)want->bytes[tail]),
		      t1 = _mm_set1_epi8((char)want->bytes[tail + 1]),
		      t2 = _mm_set1_epi8((char)want->bytes[tail + 2]);

	for (; end - p >= 16 + (ptrdiff_t)want->n; p += 16) {
		const uint8_t *at = p + tail;
		__m128i b0 = _mm_loadu_si128((const __m128i *)at),
			b1 = _mm_loadu_si128((const __m128i *)(at + 1)),
			b2 = _mm_loadu_si128((const __m128i *)(at + 2));
		unsigned hits = (unsigned)_mm_movemask_epi8(_mm_and_si128(
			_mm_cmpeq_epi8(b0, t0),
			_mm_and_si128(_mm_cmpeq_epi8(b1, t1), _mm_cmpeq_epi8(b2, t2))));

		for (; hits; hits &= hits - 1)
			if (!memcmp(p + __builtin_ctz(hits), want->bytes, want->n))
				return p + __builtin_ctz(hits);
	}
	return memmem(p, (size_t)(end - p), want->bytes, want->n);
}

static int search_text(void *arg, hp_addr at, const uint8_t *bytes, size_t n)
{
	struct search *s = arg;
	const uint8_t *end = bytes + n, *p = bytes;

	for (; s->n < s->max && (p = next_match(p, end, s->p)); p++)
		if (verified(s->t, at + (hp_addr)(p - bytes), s->p))
			s->out[s->n++] = at + (hp_addr)(p - bytes);
	return s->n == s->max;
}

static size_t search(struct hp_target *t, const struct pattern *p, hp_addr *out, size_t max)
{
	struct search s = {.t = t, .p = p, .out = out, .max = max};

	/* libc has both, and need not be searched as long as a large program. */
	for (int libc = 1; libc >= 0; libc--)
		for (size_t i = 0; i < t->n_modules; i++)
			if (hp_module_is_libc(&t->module[i]) == libc &&
			    hp_module_each_text(&t->module[i], search_text, &s))
				return s.n;
	return s.n;
}

static bool find(struct hp_target *t, hp_addr *at, const struct pattern *p)
{
	if (*at && verified(t, *at, p))
		return true;
	*at = 0;
	return search(t, p, at, 1) == 1;
}

int hp_gadgets_find(struct hp_target *t, struct hp_err *err)
{
	if (!find(t, &t->gadget, &syscall_ret))
		return hp_err_set(err, -HP_E_TARGET,
				  "process %d (%s) has no `syscall; ret` in its code to borrow",
				  (int)t->pid, t->comm);
	for (size_t i = 0; i < N_RESTORER; i++)
		if (find(t, &t->restorer, &restorer[i]))
			return 0;
	return hp_err_set(err, -HP_E_TARGET,
			  "process %d (%s) has no signal return trampoline in its code to borrow",
			  (int)t->pid, t->comm);
}

static int search_restorers(void *arg, hp_addr at, const uint8_t *bytes, size_t n)
{
	const uint8_t *end = bytes + n, *p = bytes;
	struct search *s = arg;

	for (; s->n < s->max && (p = next_match(p, end, &core)); p++)
		for (size_t i = 0; i < N_RESTORER; i++) {
			size_t before = restorer[i].n - core.n;
			hp_addr found = at + (hp_addr)(p - bytes) - before;

			if ((size_t)(p - bytes) >= before && verified(s->t, found, &restorer[i])) {
				s->out[s->n++] = found;
				break;
			}
		}
	return s->n == s->max;
}

size_t hp_restorers_all(struct hp_target *t, hp_addr out[HP_RESTORERS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_modules; i++) {
		struct hp_module *m = &t->module[i];
		struct search s = {.t = t, .out = m->restorer, .max = HP_MODULE_RESTORERS};

		if (!m->restorers_sought) {
			/* (It tells whether there is room for more.) */
			(void)hp_module_each_text(m, search_restorers, &s);
			m->n_restorers = s.n;
			m->restorers_sought = true;
		}
		for (size_t k = 0; k < m->n_restorers && n < HP_RESTORERS_MAX; k++)
			out[n++] = m->restorer[k];
	}
	return n;
}
