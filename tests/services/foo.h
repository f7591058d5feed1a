/* SPDX-License-Identifier: MIT */
/* foo.h – what libfoo.so.1 and the program that uses it share. */
#ifndef FOO_H
#define FOO_H

int foo(int x);        /* x + 1 */
int foo_helper(int x); /* x + 10, by a static helper() of foo.c */
int bar_helper(int x); /* x + 20, by a static helper() of bar.c */

extern int foo_bias; /* 0; added by foo() */

#endif
