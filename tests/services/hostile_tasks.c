/* SPDX-License-Identifier: MIT */
/*
 * hostile_tasks.c – states of tasks: who shares the memory, who waits where, who runs on what stack.
 *
 * What runs in a task that is no thread makes no call of libc's that could use its TLS, which it
 * shares with the thread that made it.
 */
#include "hostile.h"
#include "svc.h"
#include "tied.h"

#include <errno.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_BYTES (256 * 1024)
#define VFORK_CALLS 200

/* --- other processes in the same memory ------------------------------------------------------------ */
static void raw_nap(void)
{
	struct timespec t = {0, 100000};

	(void)!syscall(SYS_nanosleep, &t, NULL); /* nobody interrupts it */
}

static int share(void *arg)
{
	tied_to((pid_t)(intptr_t)arg);
	for (int x = 0;; x = (x + 1) & 0xfff) {
		hostile_check(x);
		raw_nap();
	}
	return 0;
}

static int share_inside(void *arg)
{
	tied_to((pid_t)(intptr_t)arg);
	(void)linger(1, raw_nap);
	return share(arg);
}

static void *new_stack(void)
{
	void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	if (stack == MAP_FAILED)
		hostile_cannot("mmap");
	return stack;
}

static void sharer(int (*fn)(void *))
{
	if (clone(fn, (char *)new_stack() + STACK_BYTES, CLONE_VM | SIGCHLD,
		  (void *)(intptr_t)getpid()) < 0)
		hostile_cannot("clone");
}

/* A process of its own, which calls answer() in this one's memory. */
void hostile_share(void)
{
	sharer(share);
}

/* The same, in linger() first. */
void hostile_share_inside(void)
{
	sharer(share_inside);
}

static void *vfork_again(void *arg)
{
	for (;;) {
		pid_t p = vfork();

		if (p < 0)
			hostile_cannot("vfork");
		if (!p) {
			for (int x = 0; x < VFORK_CALLS; x++) {
				hostile_check(x);
				if (x % 16 == 0)
					raw_nap();
			}
			_exit(0);
		}
		while (waitpid(p, NULL, 0) < 0 && errno == EINTR)
			__atomic_add_fetch(&svc_eintr, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* One child of vfork(2) after the other, each calling answer(). */
void hostile_vfork(void)
{
	svc_thread(vfork_again, NULL);
}

/* The only thread waits for such a child, uninterruptibly, until a byte comes. */
void hostile_wait_for_vfork(void)
{
	pid_t p = vfork();
	char byte;

	if (p < 0)
		hostile_cannot("vfork");
	if (!p)
		_exit(syscall(SYS_read, STDIN_FILENO, &byte, 1) == 1 ? 0 : 1);
	while (waitpid(p, NULL, 0) < 0 && errno == EINTR)
		__atomic_add_fetch(&svc_eintr, 1, __ATOMIC_RELAXED);
}

/* --- the main thread ----------------------------------------------------------------------------------- */
static void *serve(void *arg)
{
	while (svc_step(-1))
		;
	exit(svc_end());
}

void hostile_end_main_thread(void)
{
	svc_thread(serve, NULL);
	pthread_exit(NULL);
}

/* It never rests either. */
void hostile_serve_busily(void)
{
	while (svc_step(0))
		hostile_check(0);
	exit(svc_end());
}

/* --- restartable sequences ------------------------------------------------------------------------------ */
#define CPUS	 1024
#define SEQUENCE 2000 /* iterations */

static struct {
	unsigned long v;
} per_cpu[CPUS];
static unsigned long committed, in_sequences;
static int rest_asked;

/* Counts on this CPU, without a lock; false: the sequence was aborted. */
static bool count_here(struct rseq *rs)
{
	asm volatile goto(".pushsection __rseq_cs, \"aw\"\n\t"
			  ".balign 32\n"
			  "3:\t.long 0, 0\n\t"
			  ".quad 1f, 2f - 1f, 4f\n\t"
			  ".popsection\n\t"
			  "leaq 3b(%%rip), %%rax\n\t"
			  "movq %%rax, %c[cs](%[rs])\n"
			  "1:\tmovl %c[cpu](%[rs]), %%edx\n\t"
			  "movq (%[v], %%rdx, 8), %%rax\n\t"
			  "movl %[n], %%ecx\n"
			  "5:\tdecl %%ecx\n\t"
			  "jnz 5b\n\t"
			  "incq %%rax\n\t"
			  "movq %%rax, (%[v], %%rdx, 8)\n"
			  "2:\t.pushsection .text.aborted, \"ax\"\n\t"
			  ".byte 0x0f, 0xb9, 0x3d\n\t"
			  ".long %c[sig]\n"
			  "4:\tjmp %l[aborted]\n\t"
			  ".popsection\n"
			  :
			  : [rs] "r"(rs), [v] "r"(per_cpu), [n] "i"(SEQUENCE), [sig] "i"(RSEQ_SIG),
			    [cs] "i"(offsetof(struct rseq, rseq_cs)),
			    [cpu] "i"(offsetof(struct rseq, cpu_id))
			  : "memory", "cc", "rax", "rcx", "rdx"
			  : aborted);
	return true;
aborted:
	return false;
}

void hostile_sequence(void)
{
	struct rseq *rs = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);

	if (!__rseq_size)
		hostile_cannot("rseq");
	__atomic_add_fetch(&in_sequences, 1, __ATOMIC_SEQ_CST);
	for (int x = 0;; x = (x + 1) & 0xfff) {
		hostile_check(x);
		if (count_here(rs))
			__atomic_add_fetch(&committed, 1, __ATOMIC_RELAXED);
		if (!__atomic_load_n(&rest_asked, __ATOMIC_RELAXED))
			continue;
		__atomic_sub_fetch(&in_sequences, 1, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&rest_asked, __ATOMIC_RELAXED))
			sched_yield();
		__atomic_add_fetch(&in_sequences, 1, __ATOMIC_SEQ_CST);
	}
}

/* What a sequence was let go on with that should have been aborted is lost. */
bool hostile_sequences_whole(void)
{
	unsigned long sum = 0;

	__atomic_store_n(&rest_asked, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&in_sequences, __ATOMIC_SEQ_CST))
		sched_yield();
	for (int i = 0; i < CPUS; i++)
		sum += per_cpu[i].v;
	if (sum != committed)
		fprintf(stderr, "hostile: %lu sequences, %lu counted\n", committed, sum);
	__atomic_store_n(&rest_asked, 0, __ATOMIC_SEQ_CST);
	return sum == committed;
}

/* --- coroutines ---------------------------------------------------------------------------------- */
static ucontext_t thread_context, coroutine_context;

static void yield(void)
{
	swapcontext(&coroutine_context, &thread_context);
}

static void linger_in_coroutine(void)
{
	(void)linger(1, yield);
}

static void check_in_coroutine(void)
{
	for (int x = 0;; x = (x + 1) & 0xfff) {
		hostile_check(x);
		raw_nap();
	}
}

static void resume(void (*fn)(void))
{
	getcontext(&coroutine_context);
	coroutine_context.uc_stack.ss_sp = new_stack();
	coroutine_context.uc_stack.ss_size = STACK_BYTES;
	coroutine_context.uc_link = &thread_context;
	makecontext(&coroutine_context, fn, 0);
	swapcontext(&thread_context, &coroutine_context);
}

static void *leave_it_suspended(void *arg)
{
	resume(linger_in_coroutine);
	while (!__atomic_load_n(&hostile_leave, __ATOMIC_SEQ_CST))
		raw_nap();
	swapcontext(&thread_context, &coroutine_context); /* it returns from linger() */
	pthread_exit(NULL);
}

static void *run_it(void *arg)
{
	resume(check_in_coroutine);
	return NULL;
}

/* A call of linger() lies on a stack on which nobody runs. */
void hostile_suspend_inside(void)
{
	svc_thread(leave_it_suspended, NULL);
}

/* A thread runs on a stack that is not its own. */
void hostile_run_coroutine(void)
{
	svc_thread(run_it, NULL);
}

/* --- locks --------------------------------------------------------------------------------------- */
pthread_mutex_t hostile_lock = PTHREAD_MUTEX_INITIALIZER;

static void *hold_lock(void *arg)
{
	sigset_t let_go;
	int sig;

	sigemptyset(&let_go);
	sigaddset(&let_go, SIGUSR1);
	pthread_mutex_lock(&hostile_lock);
	__atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
	sigwait(&let_go, &sig);
	pthread_mutex_unlock(&hostile_lock);
	return NULL;
}

/* For the thread that waits for it, and for no other. */
void hostile_block_signal(void)
{
	sigset_t let_go;

	sigemptyset(&let_go);
	sigaddset(&let_go, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &let_go, NULL);
}

/* Until SIGUSR1, since the thread that takes commands may be the one that wants it. */
void hostile_hold_lock(void)
{
	static int held;

	svc_thread(hold_lock, &held);
	while (!__atomic_load_n(&held, __ATOMIC_SEQ_CST))
		raw_nap();
}
