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

static int search_text(void *arg, hp_addr at, const uint8_t *bytes, size_t n)
{
	struct search *s = arg;
	const uint8_t *p = bytes;

	while (s->n < s->max) {
		p = memmem(p, n - (size_t)(p - bytes), s->p->bytes, s->p->n);
		if (!p)
			return 0;
		if (verified(s->t, at + (hp_addr)(p - bytes), s->p))
			s->out[s->n++] = at + (hp_addr)(p - bytes);
		p++;
	}
	return 1;
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

/* What all of them end in: …0f 00 00 00, syscall. */
static const uint8_t core[6] = {0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};

/* Sixteen places at a time: every load needs them all, and programs are large. */
static const uint8_t *next_core(const uint8_t *p, const uint8_t *end)
{
	const __m128i zero = _mm_setzero_si128();
	const __m128i lo = _mm_set1_epi8(0x0f), hi = _mm_set1_epi8(0x05);

	for (; end - p >= 16 + (ptrdiff_t)sizeof(core); p += 16) {
		__m128i b3 = _mm_loadu_si128((const __m128i *)(p + 3));
		__m128i b4 = _mm_loadu_si128((const __m128i *)(p + 4));
		__m128i b5 = _mm_loadu_si128((const __m128i *)(p + 5));
		unsigned hits = (unsigned)_mm_movemask_epi8(_mm_and_si128(
			_mm_cmpeq_epi8(b3, zero),
			_mm_and_si128(_mm_cmpeq_epi8(b4, lo), _mm_cmpeq_epi8(b5, hi))));

		for (; hits; hits &= hits - 1) {
			const uint8_t *at = p + __builtin_ctz(hits);

			if (!memcmp(at, core, sizeof(core)))
				return at;
		}
	}
	return memmem(p, (size_t)(end - p), core, sizeof(core));
}

static int search_restorers(void *arg, hp_addr at, const uint8_t *bytes, size_t n)
{
	const uint8_t *end = bytes + n, *p = bytes;
	struct search *s = arg;

	for (; (p = next_core(p, end)) && s->n < s->max; p++)
		for (size_t i = 0; i < N_RESTORER; i++) {
			size_t before = restorer[i].n - sizeof(core);
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
	struct search s = {.t = t, .out = out, .max = HP_RESTORERS_MAX};

	for (size_t i = 0; i < t->n_modules; i++)
		if (hp_module_each_text(&t->module[i], search_restorers, &s))
			break;
	return s.n;
}
