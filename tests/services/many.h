/* SPDX-License-Identifier: MIT */
/* many.h – the functions that many_gen.sh writes: fn_0 … and new_fn_0 …. */
#ifndef MANY_H
#define MANY_H

#define MANY 1000

#define MANY_OLD(i, x) ((x) + (i) + 1)
#define MANY_NEW(i, x) ((x) + (i) + 1001)

int fn_0(int x);

extern int (*const many_fn[MANY])(int x);

#endif
