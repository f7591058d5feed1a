/* SPDX-License-Identifier: MIT */
/*
 * callsite.h – overwrites the entry of a function of this program the way that a patcher does
 * which asks nothing: the proof that the callers here do break.
 */
#ifndef CALLSITE_H
#define CALLSITE_H

/* The entry of @old becomes a jump to @replacement. */
void callsite_overwrite(void *old, void *replacement);

#endif
