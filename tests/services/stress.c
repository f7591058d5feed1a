/* SPDX-License-Identifier: MIT */
/*
 * stress [THREADS [SIGNAL_US [FORK [CALLS [NAP_US]]]]] – two functions that call each other, called
 * all the time by many threads (that nap for NAP_US after so many CALLS), out of a signal handler
 * and in forked children, each call checked.
 *
 * Beside them threads that must not notice anything: one in futex(2) for ever, one that receives
 * with MSG_WAITALL and counts short counts.
 *
 * "expect old|new|any" answers "expecting …"; a call that begins after the answer and is of the
 * other kind is counted as late.  "relaxed" allows old and new to overlap.
 */
#include "stress.h"
#include "svc.h"
#include "tied.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIGNAL_LEVEL 3
#define CHILD_ROUNDS 400
#define MESSAGE      4096
#define SLICE        512

enum kind { ANY, OLD, NEW };

struct stress_truth truth;

static unsigned long calls, wrong, mixed, late, signals, shorts, forks, forkbad;
static int expect = ANY;
static bool relaxed;
static int signal_us, calls_a_nap, nap_us;
static pid_t signalled;

__attribute__((noipa)) int f1(int level)
{
	int r = STRESS_OLD_F1;

	overlap_enter(&truth.old_active, &truth.new_active, &truth.overlap);
	stress_work(level);
	if (level)
		r += f2(level - 1);
	overlap_leave(&truth.old_active, &truth.new_active, &truth.overlap);
	return r;
}

__attribute__((noipa)) int f2(int level)
{
	int r = STRESS_OLD_F2;

	overlap_enter(&truth.old_active, &truth.new_active, &truth.overlap);
	stress_work(level);
	if (level)
		r += f1(level - 1);
	overlap_leave(&truth.old_active, &truth.new_active, &truth.overlap);
	return r;
}

static void count(unsigned long *what)
{
	__atomic_add_fetch(what, 1, __ATOMIC_RELAXED);
}

/* One call, judged.  Async-signal-safe. */
static void call_and_judge(int level, bool first_f2)
{
	int expected = __atomic_load_n(&expect, __ATOMIC_SEQ_CST);
	int r = first_f2 ? f2(level) : f1(level);
	int mine = level / 2 + 1, other = (level + 1) / 2;
	int n1 = first_f2 ? other : mine, n2 = first_f2 ? mine : other;
	bool old = r == n1 * STRESS_OLD_F1 + n2 * STRESS_OLD_F2;
	bool new = r == n1 *STRESS_NEW_F1 + n2 *STRESS_NEW_F2;

	count(&calls);
	if (!old && !new) {
		int got1 = (r & 0xff) + (r >> 16 & 0xff), got2 = (r >> 8 & 0xff) + (r >> 24 & 0xff);

		count(got1 == n1 && got2 == n2 ? &mixed : &wrong);
		return;
	}
	if (expected != ANY && expected == __atomic_load_n(&expect, __ATOMIC_SEQ_CST) &&
	    expected != (new ? NEW : OLD))
		count(&late);
}

static void *caller(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	if (!seed)
		__atomic_store_n(&signalled, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	for (unsigned long n = 0;; n++) {
		call_and_judge((int)(n * 7 + seed) % 8, n & 1);
		if (n % (unsigned)calls_a_nap == 0) {
			struct timespec t = {.tv_nsec = nap_us * 1000L};

			(void)nanosleep(&t, NULL); /* cut short by the signals meant to be */
		}
	}
	return NULL;
}

static void on_signal(int sig)
{
	int saved = errno;

	call_and_judge(SIGNAL_LEVEL, false);
	count(&signals);
	errno = saved;
}

static void *signaller(void *arg)
{
	for (;;) {
		pid_t tid = __atomic_load_n(&signalled, __ATOMIC_SEQ_CST);

		svc_nap_us((unsigned)signal_us);
		if (tid)
			syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
	}
	return NULL;
}

static void *sleeper(void *arg)
{
	static int word;

	for (;;)
		if (syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) < 0 &&
		    errno == EINTR)
			count(&svc_eintr);
	return NULL;
}

static int pair[2];

static void *sender(void *arg)
{
	char slice[SLICE];

	memset(slice, 's', sizeof(slice));
	for (;;) {
		if (send(pair[0], slice, sizeof(slice), 0) != SLICE)
			count(&shorts);
		svc_nap_us(500);
	}
	return NULL;
}

static void *receiver(void *arg)
{
	char message[MESSAGE];

	for (;;)
		if (recv(pair[1], message, sizeof(message), MSG_WAITALL) != MESSAGE)
			count(&shorts);
	return NULL;
}

/* A child goes on calling while its parent is patched and unpatched.  Its memory is its own, and so
 * is its truth: the other threads' calls ended with the fork. */
__attribute__((noreturn)) static void child(void)
{
	truth.old_active = truth.new_active = 0;
	truth.overlap = 0;
	wrong = mixed = 0;
	expect = ANY;
	for (int i = 0; i < CHILD_ROUNDS; i++) {
		call_and_judge(i % 8, i & 1);
		if (i % 16 == 0)
			svc_nap_us(100);
	}
	_exit((wrong ? 1 : 0) | (truth.overlap ? 2 : 0) | (mixed ? 4 : 0));
}

static void *forker(void *arg)
{
	for (;;) {
		pid_t p = tied_fork();
		int status = -1;

		if (!p)
			child();
		if (p > 0)
			while (waitpid(p, &status, 0) < 0 && errno == EINTR)
				count(&svc_eintr);
		count(&forks);
		if (status) {
			count(&forkbad);
			fprintf(stderr, "stress: child %d: status %#x\n", (int)p, status);
		}
		svc_nap_us(2000);
	}
	return NULL;
}

static bool verdict(FILE *out)
{
	fprintf(out,
		",\"calls\":%lu,\"new_calls\":%lu,\"version\":%d,\"wrong\":%lu,\"overlap\":%lu"
		",\"mixed\":%lu,\"late\":%lu,\"signals\":%lu,\"shorts\":%lu,\"forks\":%lu"
		",\"forkbad\":%lu",
		calls, truth.new_calls, truth.version, wrong, truth.overlap, mixed, late, signals,
		shorts, forks, forkbad);
	return !wrong && !late && !shorts && !forkbad && (relaxed || (!truth.overlap && !mixed));
}

static bool command(const char *line)
{
	if (!strcmp(line, "relaxed")) {
		relaxed = true;
		return true;
	}
	if (strncmp(line, "expect ", 7))
		return false;
	__atomic_store_n(&expect,
			 line[7] == 'n'   ? NEW
			 : line[7] == 'o' ? OLD
					  : ANY,
			 __ATOMIC_SEQ_CST);
	printf("expecting %s\n", line + 7);
	return true;
}

int main(int argc, char **argv)
{
	static const struct svc stress = {"stress", verdict, command};
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	int threads = svc_number(argc, argv, 1, 8);

	signal_us = svc_number(argc, argv, 2, 2000);
	calls_a_nap = svc_number(argc, argv, 4, 32);
	nap_us = svc_number(argc, argv, 5, 20);
	if (sigaction(SIGUSR1, &sa, NULL) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return 2;
	for (int i = 0; i < threads; i++)
		svc_thread(caller, (void *)(uintptr_t)i);
	svc_thread(sleeper, NULL);
	svc_thread(sender, NULL);
	svc_thread(receiver, NULL);
	if (signal_us)
		svc_thread(signaller, NULL);
	if (svc_number(argc, argv, 3, 1))
		svc_thread(forker, NULL);
	svc_ready(&stress);
	while (svc_step(-1))
		;
	return svc_end();
}
