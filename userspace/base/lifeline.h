/* SPDX-License-Identifier: MIT */
/*
 * base/lifeline.h – a process that the kernel kills when its parent dies, but not in the middle of a
 * step that nobody else could end well.
 */
#ifndef HP_BASE_LIFELINE_H
#define HP_BASE_LIFELINE_H

#include <sys/types.h>

/* SIGKILL when @parent, who forked us, is dead; at once if it is so already. */
void hp_lifeline_tie(pid_t parent);

/* In a fork of a tied process, which the kernel does not tie: it is not, and the two below do nothing. */
void hp_lifeline_cut(void);

/* Between the two the death of the parent waits; for what ends by itself, soon.  They do nothing in a
 * process that is not tied. */
void hp_lifeline_hold(void);
void hp_lifeline_resume(void);

#endif
