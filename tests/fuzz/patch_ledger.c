/* SPDX-License-Identifier: MIT */
/*
 * A ledger that the target has scribbled on.  The fuzzer itself is the target.  An even first byte
 * has address and checksums put right, as a target would that means it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "hp/err.h"
#include "patch/ledger.h"

static uint8_t *area;

/* The counts are what they are: with too large ones nothing can be sealed. */
static void put_right(void)
{
	static struct hp_ledger l;
	struct hp_ledger_fixed *f = &l.fixed;
	uint64_t *const part[] = {&f->area_lo, &f->area_hi, &f->table, &f->gate,
				  &f->gate_back, &f->data, &f->code};
	uint64_t moved;

	memcpy(&l, area, offsetof(struct hp_ledger, fixed.fn));
	if (f->n_fns > HP_LEDGER_FNS || f->n_ranges > HP_LEDGER_RANGES || f->text_n > HP_LEDGER_TEXT)
		return;
	memcpy(f->fn, area + hp_ledger_size(0, 0, 0), f->n_fns * sizeof(f->fn[0]));
	memcpy(f->range, area + hp_ledger_size(f->n_fns, 0, 0), f->n_ranges * sizeof(f->range[0]));
	memcpy(f->text, area + hp_ledger_size(f->n_fns, f->n_ranges, 0), f->text_n);
	moved = (uintptr_t)area - f->area_lo;
	f->magic = HP_LEDGER_MAGIC;
	f->version = HP_LEDGER_VERSION;
	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++)
		*part[i] += moved;
	hp_ledger_seal(&l);
	hp_ledger_pack(&l, area);
}

static void use(const struct hp_ledger *l, const struct hp_target *t)
{
	static const char kinds[] = "rvms";
	const struct hp_ledger_fixed *f = &l->fixed;
	struct hp_pairs pairs;

	if (strlen(f->id) != HP_ID_LEN || strlen(f->file) >= sizeof(f->file))
		abort();
	(void)hp_ledger_phase(l);     /* for the sanitizers */
	(void)hp_ledger_is_own(l, t); /* likewise */
	for (size_t i = 0; kinds[i]; i++) {
		pairs = (struct hp_pairs){0};
		(void)hp_ledger_get_text(l, kinds[i], &pairs); /* likewise */
		hp_pairs_free(&pairs);
	}
	for (unsigned i = 0; i < f->n_fns; i++)
		if (hp_ledger_fn_on(l, f->fn[i].addr) < 0 || f->fn[i].bank >= f->n_banks)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	size_t room = (sizeof(struct hp_ledger) + HP_PAGE) & ~(HP_PAGE - 1);
	struct hp_map map = {.path = HP_MEMFD_PREFIX "x"};
	struct hp_target t = {.pid = getpid(), .mem_fd = -1, .maps = {.v = &map, .n = 1}};
	struct hp_err err = {0};
	struct hp_ledgers ls;

	if (!area)
		area = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED || !n)
		return 0;
	memset(area, 0, room);
	memcpy(area, bytes + 1, n - 1 < room ? n - 1 : room);
	if (bytes[0] % 2 == 0)
		put_right();
	map.lo = (uintptr_t)area;
	map.hi = map.lo + room;
	if (hp_ledgers_read(&t, &ls, &err) < 0)
		abort();
	if (ls.n + ls.unknown.n != 1)
		abort();
	if (ls.n)
		use(ls.v[0], &t);
	hp_ledgers_free(&ls);
	return 0;
}
