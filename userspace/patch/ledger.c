/* SPDX-License-Identifier: MIT */
#include "patch/ledger.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "arch/block.h"
#include "base/fault.h"
#include "hp/err.h"

#define AREA_MAX (HP_LEDGER_AREA_MAX + 16 * HP_PAGE)

/* An error check, not a signature: the target can write it as well as we can.  Keyed so that a page
 * of zeroes does not pass. */
static uint64_t checksum(const void *p, size_t n)
{
	static const uint8_t key[crypto_shorthash_KEYBYTES] = "hp ledger sum 1";
	uint8_t sum[crypto_shorthash_BYTES];
	uint64_t r;

	(void)crypto_shorthash(sum, p, n, key); /* documented to return 0 always */
	memcpy(&r, sum, sizeof(r));
	return r;
}

static uint64_t fixed_sum(const struct hp_ledger_fixed *f)
{
	size_t from = offsetof(struct hp_ledger_fixed, version);
	size_t head = hp_ledger_size(f->n_fns, 0, 0) - offsetof(struct hp_ledger, fixed);
	const uint64_t parts[] = {
		checksum((const uint8_t *)f + from, head - from),
		checksum(f->range, f->n_ranges * sizeof(*f->range)),
		checksum(f->text, f->text_n),
	};

	return checksum(parts, sizeof(parts));
}

void hp_ledger_pack(const struct hp_ledger *l, void *to)
{
	const struct hp_ledger_fixed *f = &l->fixed;
	size_t head = hp_ledger_size(f->n_fns, 0, 0), both = hp_ledger_size(f->n_fns, f->n_ranges, 0);

	memcpy(to, l, head);
	memcpy((uint8_t *)to + head, f->range, both - head);
	memcpy((uint8_t *)to + both, f->text, f->text_n);
}

size_t hp_ledger_text_bytes(const struct hp_pairs *pairs)
{
	size_t n = 0;

	for (size_t i = 0; i < pairs->n; i++)
		n += 1 + strlen(pairs->v[i].key) + 1 + strlen(pairs->v[i].value) + 1;
	return n;
}

void hp_ledger_seal(struct hp_ledger *l)
{
	l->fixed.checksum = fixed_sum(&l->fixed);
}

static bool state_holds(const struct hp_ledger_state *s)
{
	return s->sequence && s->phase >= HP_PHASE_MAPPED && s->phase <= HP_PHASE_RETAINED &&
	       s->checksum == checksum(s, offsetof(struct hp_ledger_state, checksum));
}

static const struct hp_ledger_state *current(const struct hp_ledger *l)
{
	const struct hp_ledger_state *a = &l->state[0], *b = &l->state[1];

	if (!state_holds(a))
		return state_holds(b) ? b : NULL;
	if (!state_holds(b))
		return a;
	return a->sequence > b->sequence ? a : b;
}

enum hp_phase hp_ledger_phase(const struct hp_ledger *l)
{
	const struct hp_ledger_state *s = current(l);

	return s ? (enum hp_phase)s->phase : HP_PHASE_MAPPED;
}

int hp_ledger_set_phase(struct hp_ledger *l, const struct hp_target *t, enum hp_phase phase,
			struct hp_err *err)
{
	const struct hp_ledger_state *s = current(l);
	struct hp_ledger_state next = {.sequence = s ? s->sequence + 1 : 1, .phase = phase};
	unsigned i = next.sequence & 1;
	int r;

	next.checksum = checksum(&next, offsetof(struct hp_ledger_state, checksum));
	l->state[i] = next;
	if (!t)
		return 0; /* the area is still being filled */
	r = hp_mem_poke(t, l->fixed.area_lo + offsetof(struct hp_ledger, state[i]), &next,
			sizeof(next), err);
	return r < 0 ? r : hp_fault(HP_FAULT_PHASE_ENTRY + phase - HP_PHASE_ENTRY, err);
}

int hp_ledger_runs_new(const struct hp_ledger *l, const struct hp_target *t, struct hp_err *err)
{
	uint8_t byte;
	int r;

	switch (hp_ledger_phase(l)) {
	case HP_PHASE_LOADING:
		r = hp_mem_read(t, l->fixed.gate, &byte, 1, err);
		return r < 0 ? r : byte == 1;
	case HP_PHASE_UNLOADING:
		r = hp_mem_read(t, l->fixed.gate_back, &byte, 1, err);
		return r < 0 ? r : byte != 1;
	case HP_PHASE_LOADED:
	case HP_PHASE_ACTIVE:
		return 1;
	case HP_PHASE_MAPPED:
	case HP_PHASE_ENTRY:
	case HP_PHASE_REMOVING:
	case HP_PHASE_RETAINED:
		break;
	}
	return 0;
}

int hp_ledger_fn_in(const struct hp_ledger *l, unsigned bank, uint64_t slot)
{
	for (unsigned i = 0; i < l->fixed.n_fns; i++)
		if (l->fixed.fn[i].bank == bank && l->fixed.fn[i].slot == slot)
			return (int)i;
	return -1;
}

int hp_ledger_fn_on(const struct hp_ledger *l, hp_addr addr)
{
	for (unsigned i = 0; i < l->fixed.n_fns; i++)
		if (l->fixed.fn[i].addr == addr)
			return (int)i;
	return -1;
}

int hp_ledger_put_text(struct hp_ledger *l, char kind, const struct hp_pairs *pairs,
		       struct hp_err *err)
{
	struct hp_ledger_fixed *f = &l->fixed;

	for (size_t i = 0; i < pairs->n; i++) {
		size_t k = strlen(pairs->v[i].key) + 1, v = strlen(pairs->v[i].value) + 1;

		if (1 + k + v > sizeof(f->text) - f->text_n)
			return hp_err_set(err, -HP_E_NOT_PATCH,
					  "the patch's maps and metadata are longer than %zu bytes",
					  sizeof(f->text));
		f->text[f->text_n] = kind;
		memcpy(f->text + f->text_n + 1, pairs->v[i].key, k);
		memcpy(f->text + f->text_n + 1 + k, pairs->v[i].value, v);
		f->text_n += 1 + (uint32_t)(k + v);
	}
	return 0;
}

int hp_ledger_get_text(const struct hp_ledger *l, char kind, struct hp_pairs *ret)
{
	const struct hp_ledger_fixed *f = &l->fixed;
	const char *p = f->text, *end = f->text + f->text_n;

	while (p < end) {
		const char *key = p + 1;
		const char *value = memchr(key, 0, (size_t)(end - key));
		const char *stop = value ? memchr(value + 1, 0, (size_t)(end - value - 1)) : NULL;

		if (!stop)
			return -EBADMSG;
		if (*p == kind && hp_pairs_add(ret, key, value + 1) < 0)
			return -ENOMEM;
		p = stop + 1;
	}
	return 0;
}

bool hp_ledger_is_own(const struct hp_ledger *l, const struct hp_target *t)
{
	return l->fixed.pid == t->pid && l->fixed.start_time == t->start_time;
}

static bool in_area(const struct hp_ledger_fixed *f, uint64_t a)
{
	return a >= f->area_lo && a < f->area_hi && a % HP_PAGE == 0;
}

static bool is_id(const char id[HP_ID_LEN + 1])
{
	return !id[HP_ID_LEN] && strspn(id, "0123456789abcdef") == HP_ID_LEN;
}

/* Kind, key, value, over and over. */
static bool text_holds(const struct hp_ledger_fixed *f)
{
	const char *p = f->text, *end = f->text + f->text_n;

	while (p < end) {
		const char *value = memchr(p + 1, 0, (size_t)(end - p - 1));
		const char *stop = value ? memchr(value + 1, 0, (size_t)(end - value - 1)) : NULL;

		if (!stop)
			return false;
		p = stop + 1;
	}
	return true;
}

/* Every address must be where such a thing can be; strings must end. */
static bool fixed_holds(const struct hp_ledger_fixed *f, hp_addr at)
{
	if (!f->n_fns || f->n_fns > HP_LEDGER_FNS || f->n_banks > HP_LEDGER_BANKS ||
	    f->n_ranges > HP_LEDGER_RANGES || f->n_fini > 8 || f->n_frames > HP_LEDGER_FRAMES ||
	    f->text_n > sizeof(f->text))
		return false;
	if (f->area_lo != at || f->area_hi <= at || f->area_hi - at > AREA_MAX)
		return false;
	if (!in_area(f, f->table) || !in_area(f, f->gate) || !in_area(f, f->gate_back) ||
	    !in_area(f, f->data) || !in_area(f, f->code))
		return false;
	if (!is_id(f->id) || !memchr(f->file, 0, sizeof(f->file)) || !text_holds(f))
		return false;
	for (unsigned i = 0; i < f->n_fns; i++) {
		const struct hp_ledger_fn *fn = &f->fn[i];

		if (!memchr(fn->new_name, 0, sizeof(fn->new_name)) ||
		    !memchr(fn->old_name, 0, sizeof(fn->old_name)) || fn->bank >= f->n_banks ||
		    fn->slot >= HP_BANK_FNS || fn->method >= HP_ENTRY_METHODS)
			return false;
	}
	return f->checksum == fixed_sum(f);
}

/* First what says how long it is, then the rest. */
/* The beginning of one is read at once: for most of them that is all. */
struct begun {
	const struct hp_target *t;
	hp_addr at;
	uint8_t bytes[HP_PAGE];
};

static bool piece(const struct begun *b, size_t from, size_t to, void *ret)
{
	if (to <= sizeof(b->bytes))
		memcpy(ret, b->bytes + from, to - from);
	return to <= sizeof(b->bytes) || hp_mem_read(b->t, b->at + from, ret, to - from, NULL) >= 0;
}

bool hp_ledger_read(struct hp_ledger *l, const struct hp_target *t, hp_addr at)
{
	struct begun b = {.t = t, .at = at};
	struct hp_ledger_fixed *f = &l->fixed;
	size_t fns = hp_ledger_size(0, 0, 0), ranges, text;

	if (hp_mem_read(t, at, b.bytes, sizeof(b.bytes), NULL) < 0 || !piece(&b, 0, fns, l) ||
	    f->magic != HP_LEDGER_MAGIC || f->version != HP_LEDGER_VERSION ||
	    f->n_fns > HP_LEDGER_FNS || f->n_ranges > HP_LEDGER_RANGES || f->text_n > HP_LEDGER_TEXT)
		return false;
	ranges = hp_ledger_size(f->n_fns, 0, 0);
	text = hp_ledger_size(f->n_fns, f->n_ranges, 0);
	return piece(&b, fns, ranges, f->fn) && piece(&b, ranges, text, f->range) &&
	       piece(&b, text, text + f->text_n, f->text) && fixed_holds(f, at);
}

size_t hp_ledger_mapped_bytes(const struct hp_ledger *l)
{
	size_t n = l->fixed.area_hi - l->fixed.area_lo;

	for (unsigned i = 0; i < l->fixed.n_ranges; i++)
		n += l->fixed.range[i].hi - l->fixed.range[i].lo;
	return n;
}

const char *hp_entry_method_name(enum hp_entry_method m)
{
	static const char *const name[HP_ENTRY_METHODS] = {"pun", "int3", "stop"};

	return name[m];
}
