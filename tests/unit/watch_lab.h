/* SPDX-License-Identifier: MIT */
/*
 * watch_lab.h – a session of probes on a victim that calls a probed function in every way that can
 * leave it.
 *
 * The victim is a fork of this program; it does what it is told and answers when it is done, or
 * when it stands inside and waits.  Probes lie on 1-byte nops and RETs of this program's file.
 */
#ifndef HP_TESTS_WATCH_LAB_H
#define HP_TESTS_WATCH_LAB_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <link.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "hp/err.h"
#include "watch/watch.h"

/* void f(void (*fn)(long), long arg): probed at its first nop and its ret. */
#define PROBED(name)                                                                               \
	__asm__(".pushsection .text\n"                                                             \
		".globl " #name ", " #name "_ret\n"                                                \
		".type " #name ", @function\n" #name ":\n"                                         \
		"	nop\n"                                                                     \
		"	subq $8, %rsp\n"                                                           \
		"	movq %rdi, %rax\n"                                                         \
		"	movq %rsi, %rdi\n"                                                         \
		"	call *%rax\n"                                                              \
		"	addq $8, %rsp\n" #name "_ret:\n"                                           \
		"	ret\n"                                                                     \
		".size " #name ", . - " #name "\n"                                                 \
		".popsection\n");                                                                  \
	void name(void (*fn)(long), long arg);                                                     \
	extern const char name##_ret[]

PROBED(first);
PROBED(second);

enum { FN_FIRST, FN_SECOND, N_FNS };

#define MIX_THREADS 8

static const char *const names[] = {"first", "second"};

/* --- the victim ---------------------------------------------------------------------------- */

static int sock; /* in the victim */

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

_Noreturn static void victim_main(void)
{
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
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

/* --- the test's side ----------------------------------------------------------------------- */

struct lab {
	struct hp_watch *w;
	struct hp_view *v;
	struct hp_session *s;
	pid_t pid;
	int sock;
	int self; /* this program's file */
};

static void tell(const struct lab *l, char c)
{
	assert_int_equal(hp_send_fds(l->sock, &c, 1, NULL, 0), 0);
}

static void await_answer(const struct lab *l)
{
	char c;

	assert_int_equal(hp_recv_fds(l->sock, &c, 1, NULL, NULL), 0);
}

/* Told and answered; then the victim either waits for the next word or stands inside. */
static void let(const struct lab *l, char c)
{
	tell(l, c);
	await_answer(l);
}

struct place {
	uintptr_t addr;
	uint64_t offset;
};

static int find_offset(struct dl_phdr_info *info, size_t n, void *arg)
{
	struct place *p = arg;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_LOAD && p->addr >= at && p->addr < at + ph->p_filesz)
			p->offset = p->addr - at + ph->p_offset;
	}
	return 1; /* the first one is the program */
}

static uint64_t offset_of(const void *code)
{
	struct place p = {.addr = (uintptr_t)code};

	dl_iterate_phdr(find_offset, &p);
	assert_true(p.offset != 0);
	return p.offset;
}

static int attach_all(const struct lab *l, struct hp_session *s, struct hp_err *err)
{
	const struct hp_probe entry[] = {{offset_of(first), FN_FIRST},
					 {offset_of(second), FN_SECOND}};
	const struct hp_probe leave[] = {{offset_of(first_ret), FN_FIRST},
					 {offset_of(second_ret), FN_SECOND}};
	const struct hp_probe_set sets[] = {
		{.role = HP_PROBE_EXIT, .file_fd = l->self, .v = leave, .n = N_FNS},
		{.role = HP_PROBE_ENTRY, .file_fd = l->self, .v = entry, .n = N_FNS}};

	return hp_session_attach(s, l->pid, sets, 2, err);
}

static struct hp_session *begin(const struct lab *l)
{
	struct hp_session *s = NULL;
	struct hp_err err = {0};

	if (hp_session_begin(&s, l->v, names, N_FNS, &err) || attach_all(l, s, &err))
		fail_msg("%s", err.text);
	return s;
}

static void await_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 20000), 1);
}

static void end(struct lab *l)
{
	int keeper;

	hp_session_end(l->s, &keeper);
	l->s = NULL;
	await_readable(keeper);
	close(keeper);
}

static unsigned char first_byte(const struct lab *l)
{
	char path[32];
	unsigned char byte;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)l->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &byte, 1, (off_t)(uintptr_t)first), 1);
	close(fd);
	return byte;
}

static int victim_begin(struct lab *l)
{
	int sv[2];

	if (hp_socketpair(sv))
		return -1;
	l->pid = fork();
	if (!l->pid) {
		close(sv[0]);
		sock = sv[1];
		victim_main();
	}
	close(sv[1]);
	l->sock = sv[0];
	return l->pid < 0 ? -1 : 0;
}

static void kill_victim(struct lab *l)
{
	kill(l->pid, SIGKILL);
	waitpid(l->pid, NULL, 0);
}

static int lab_begin(void **state)
{
	struct lab *l = calloc(1, sizeof(*l));
	struct hp_err err = {0};

	if (!l)
		return -1;
	l->self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (hp_watch_open(&l->w, &err) || victim_begin(l) ||
	    hp_view_open(&l->v, l->w, l->pid, &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	l->s = begin(l);
	*state = l;
	return 0;
}

static int lab_end(void **state)
{
	struct lab *l = *state;

	hp_session_end(l->s, NULL);
	kill_victim(l);
	hp_view_close(l->v);
	hp_watch_close(l->w);
	close(l->sock);
	close(l->self);
	free(l);
	return 0;
}

static int64_t in_flight(const struct lab *l, unsigned fn)
{
	return hp_view_inflight(l->v)[fn].in_flight;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, lab_begin, lab_end)

#endif
