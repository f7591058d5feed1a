/* SPDX-License-Identifier: MIT */
/*
 * overlap.h – do calls of two kinds overlap, of old and of new code?  Each registers itself at its
 * begin and its end, so that two that overlap see each other.
 */
#ifndef OVERLAP_H
#define OVERLAP_H

static inline void overlap_look(const long *other, unsigned long *seen)
{
	if (__atomic_load_n(other, __ATOMIC_SEQ_CST))
		__atomic_add_fetch(seen, 1, __ATOMIC_RELAXED);
}

static inline void overlap_enter(long *mine, const long *other, unsigned long *seen)
{
	__atomic_add_fetch(mine, 1, __ATOMIC_SEQ_CST);
	overlap_look(other, seen);
}

static inline void overlap_leave(long *mine, const long *other, unsigned long *seen)
{
	overlap_look(other, seen);
	__atomic_sub_fetch(mine, 1, __ATOMIC_SEQ_CST);
}

#endif
