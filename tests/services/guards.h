/* SPDX-License-Identifier: MIT */
/*
 * guards.h – guard pages and thread stacks as glibc 2.42 makes them on Linux 6.13 and later: a guard
 * is no mapping of its own, and stacks that lie side by side are one mapping.
 */
#ifndef GUARDS_H
#define GUARDS_H

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#define GUARD_BYTES 4096

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* Older kernels have them only as mappings of their own. */
static inline void guard_page(void *page)
{
	if (madvise(page, GUARD_BYTES, MADV_GUARD_INSTALL) && mprotect(page, GUARD_BYTES, PROT_NONE))
		abort();
}

/* @n of @bytes each, the lowest page of each a guard, in a mapping that ends above the last. */
static inline char *guarded_stacks(size_t n, size_t bytes)
{
	char *m = mmap(NULL, n * bytes + GUARD_BYTES, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	if (m == MAP_FAILED || mprotect(m, n * bytes, PROT_READ | PROT_WRITE))
		abort();
	for (size_t i = 0; i < n; i++)
		guard_page(m + i * bytes);
	return m;
}

/* As pthread_create(3), on such a stack. */
static inline int guarded_thread(char *stack, size_t bytes, void *(*fn)(void *), void *arg)
{
	pthread_attr_t a;
	pthread_t t;
	int r;

	pthread_attr_init(&a);
	pthread_attr_setstack(&a, stack, bytes);
	r = pthread_create(&t, &a, fn, arg);
	pthread_attr_destroy(&a);
	return r;
}

#endif
