/* SPDX-License-Identifier: MIT */
/*
 * target/stack.c – a thread's own stack is told by what lies at its top.
 *
 * glibc (nptl/allocatestack.c) and musl (pthread_create.c) put struct pthread at the upper end of a
 * thread's stack.  Its first word points to itself; glibc's third one too; musl has a list of all
 * threads there.  That needs no register of the thread (fs_base), which a snapshot has not.
 *
 * The upper end is where reading ends: the mapping's, or the guard page of the next stack in it.  A
 * page that cannot be read for another reason has no control block right below it, so what lies
 * above it is not taken for read.
 */
#include "target/stack.h"

#include <stdlib.h>
#include <string.h>

#include "target/readable.h"

#define TCB_WORDS  4
#define TCB_SEARCH (128u << 10)

bool hp_stack_range(struct hp_target *t, hp_addr sp, struct hp_range *ret, bool *main_stack)
{
	const struct hp_map *m = hp_maps_find(&t->maps, sp);

	if (!m && hp_maps_read(&t->maps, t->pid, NULL) == 0)
		m = hp_maps_find(&t->maps, sp);
	if (!m)
		return false;
	*ret = (struct hp_range){m->lo, m->hi};
	*main_stack = strcmp(m->path, "[stack]") == 0;
	return true;
}

static bool is_tcb(const struct hp_target *t, hp_addr at, const uint64_t word[TCB_WORDS])
{
	uint64_t next;

	if (word[0] != at || word[1] == 0 || word[1] == at)
		return false;
	if (word[2] == at)
		return true; /* glibc: tcb, dtv, self */
	/* musl: self, dtv, prev, next with prev->next == self */
	return word[2] && hp_mem_read(t, word[2] + 24, &next, sizeof(next), NULL) == 0 && next == at;
}

static hp_addr find_tcb(const struct hp_target *t, hp_addr from, hp_addr to)
{
	uint64_t *word;
	hp_addr found = 0;
	size_t n;

	from = (from + 7) & ~7ull;
	if (to <= from || to - from > TCB_SEARCH)
		return 0;
	word = malloc(to - from);
	n = word ? hp_mem_read_some(t, from, word, to - from) / sizeof(*word) : 0;
	for (size_t i = 0; i + TCB_WORDS <= n && !found; i++)
		if (is_tcb(t, from + i * sizeof(*word), &word[i]))
			found = from + i * sizeof(*word);
	free(word);
	return found;
}

bool hp_stack_has_tcb(const struct hp_target *t, hp_addr from, hp_addr to)
{
	return find_tcb(t, from, to) != 0;
}

hp_addr hp_stack_first_tcb(const struct hp_target *t, hp_addr from, hp_addr to)
{
	const hp_addr step = TCB_SEARCH - TCB_WORDS * sizeof(uint64_t);
	hp_addr found = 0;

	for (; from < to && !found; from += step)
		found = find_tcb(t, from, to - from < TCB_SEARCH ? to : from + TCB_SEARCH);
	return found;
}

bool hp_stack_ends_at(const struct hp_target *t, hp_addr sp, hp_addr top)
{
	return hp_stack_has_tcb(t, top - sp > HP_TCB_WITHIN ? top - HP_TCB_WITHIN : sp, top);
}

bool hp_stack_is_own(struct hp_target *t, hp_addr sp, struct hp_range *ret)
{
	bool main_stack;
	hp_addr top, end;

	if (!hp_stack_range(t, sp, ret, &main_stack))
		return false;
	if (main_stack)
		return true;
	end = ret->hi - sp < HP_STACK_MAX ? ret->hi : sp + HP_STACK_MAX;
	top = hp_mem_readable_to(t, sp, end);
	if (top == end && end < ret->hi)
		return false;
	ret->hi = top;
	return hp_stack_ends_at(t, sp, top);
}

bool hp_stack_recognised(struct hp_target *t, hp_addr sp, struct hp_range *ret)
{
	struct hp_range r;

	if (hp_stack_is_own(t, sp, ret))
		return true;
	/* The maps may be older than the stack. */
	if (hp_maps_read(&t->maps, t->pid, NULL) < 0 || !hp_stack_is_own(t, sp, &r))
		return false;
	*ret = r;
	return true;
}
