/* SPDX-License-Identifier: MIT */
#include "watch_victim.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "base/fd.h"
#include "watch/watch.h"

#define PROBED(name)                                                                               \
	__asm__(".pushsection .text\n"                                                             \
		".globl " #name ", " #name "_ret\n"                                                \
		".type " #name ", @function\n" #name ":\n"                                         \
		"	nop\n"                                                                           \
		"	subq $8, %rsp\n"                                                                 \
		"	movq %rdi, %rax\n"                                                               \
		"	movq %rsi, %rdi\n"                                                               \
		"	call *%rax\n"                                                                    \
		"	addq $8, %rsp\n" #name "_ret:\n"                                           \
		"	ret\n"                                                                           \
		".size " #name ", . - " #name "\n"                                                 \
		".popsection\n")

PROBED(first);
PROBED(second);

static int sock;

static void answer(void)
{
	if (hp_send_fds(sock, "", 1, NULL, 0))
		_exit(1);
}

static void stand(long unused)
{
	char c;

	answer();
	if (hp_recv_fds(sock, &c, 1, NULL, NULL))
		_exit(1);
}

static void nothing(long unused)
{
}

static void recurse(long n)
{
	if (n > 1)
		(n & 1 ? first : second)(recurse, n - 1);
	else
		stand(0);
}

static void recurse_and_return(long n)
{
	if (n > 1)
		first(recurse_and_return, n - 1);
}

static jmp_buf jump;

static void jump_out(long unused)
{
	longjmp(jump, 1);
}

static void jump_out_of_two(long unused)
{
	second(jump_out, 0);
}

/* Both calls come from one call instruction in one frame, so that they have one stack pointer. */
static void jump_then_call(void (*out)(long))
{
	void (*volatile fn)(long) = out;

	for (volatile int i = 0; i < 2; i++) {
		if (!setjmp(jump))
			first(fn, 0);
		stand(0);
		fn = nothing;
	}
}

static void end_thread(long unused)
{
	pthread_exit(NULL);
}

static void *thread(void *arg)
{
	first(arg ? stand : end_thread, 0);
	return NULL;
}

/* Calls of every kind, by a generator of its own so that every run is the same. */
static void mix(long n)
{
	static __thread unsigned seed;
	unsigned r;

	if (n < 0)
		seed = (unsigned)-n;
	seed = seed * 1103515245 + 12345;
	r = seed >> 16 & 15;
	if (r == 0)
		pthread_exit(NULL);
	if (n > 20 || r < 6)
		return;
	(r & 1 ? first : second)(mix, n < 0 ? 1 : n + 1);
	if (r > 10)
		(r & 1 ? second : first)(nothing, 0);
}

static __thread jmp_buf mix_jump;

static void mix_jump_out(long n)
{
	if (n)
		second(mix_jump_out, n - 1);
	else
		longjmp(mix_jump, 1);
}

static void *mixing_thread(void *arg)
{
	for (volatile long i = 1; i < 400; i++) {
		if (!setjmp(mix_jump))
			first(mix_jump_out, i % 5);
		first(mix, -((long)arg * 1000 + i));
	}
	return NULL;
}

static void run_mix(void)
{
	pthread_t t[MIX_THREADS];

	/* Most threads end early; then others take their place. */
	for (long round = 0; round < 10; round++) {
		for (long i = 0; i < MIX_THREADS; i++)
			if (pthread_create(&t[i], NULL, mixing_thread,
					   (void *)(round * MIX_THREADS + i + 1)))
				_exit(1);
		for (long i = 0; i < MIX_THREADS; i++)
			pthread_join(t[i], NULL);
	}
}

static void run_thread(void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, thread, arg))
		_exit(1);
	pthread_join(t, NULL);
}

_Noreturn void watch_victim(int fd)
{
	char c;

	sock = fd;
	while (hp_recv_fds(sock, &c, 1, NULL, NULL) == 0) {
		switch (c) {
		case 'c':
			first(nothing, 0);
			break;
		case 'r':
			first(recurse, 5);
			break;
		case 'o':
			first(recurse_and_return, HP_THREAD_MAX + 6);
			break;
		case 'j':
			jump_then_call(jump_out);
			break;
		case 'J':
			jump_then_call(jump_out_of_two);
			break;
		case 'e':
			run_thread(NULL);
			break;
		case 't':
			run_thread("stand");
			break;
		case 'm':
			run_mix();
			break;
		}
		answer();
	}
	_exit(0);
}
