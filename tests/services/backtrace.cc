/* SPDX-License-Identifier: MIT */
/*
 * backtrace – a thread calls outer() > middle() > step() all the time; another waits inside step()
 * when it is told to "hold", so that a load parks the first.  "trace" has the first one print its
 * own stack by backtrace(3) from a signal handler, "throw" throws an exception out of one, which
 * middle() catches if it is inside; "busy" lets it call without a rest.
 */
#include "svc.h"

#include <cstdlib>
#include <cstring>
#include <execinfo.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

static unsigned long calls, wrong, caught;
static volatile bool busy;
static sem_t hold, released;
static pthread_t caller_thread;

extern "C" {
__attribute__((noipa)) void wait_released(void)
{
	while (sem_wait(&released))
		;
}

/* Its first instruction is a push, and its frame is larger than that. */
__attribute__((noipa)) int step(int x)
{
	volatile char room[64] = {};

	if (x < 0)
		wait_released();
	return x + 1 + room[x & 63];
}

__attribute__((noipa)) int middle(int x)
{
	try {
		return step(x) + 1;
	} catch (int) {
		__atomic_fetch_add(&caught, 1, __ATOMIC_RELAXED);
		return x + 2;
	}
}

__attribute__((noipa)) int outer(int x)
{
	return middle(x) + 1;
}
}

static void *caller(void *)
{
	try {
		throw 0; /* the first one takes memory */
	} catch (int) {
	}
	for (int x = 0;; x = (x + 1) & 0xfff) {
		int r = outer(x);

		if (r != x + 3 && r != x + 1003 && !caught)
			wrong++;
		calls++;
		if (!busy && x % 16 == 0)
			svc_nap_us(100);
	}
	return nullptr;
}

static void *holder(void *)
{
	for (;;) {
		while (sem_wait(&hold))
			;
		outer(-1);
		printf("held\n");
	}
	return nullptr;
}

static void on_trace(int)
{
	void *frame[64];
	char head[] = "trace begins\n", tail[] = "trace ends\n";

	(void)!write(STDOUT_FILENO, head, sizeof(head) - 1);
	backtrace_symbols_fd(frame, backtrace(frame, 64), STDOUT_FILENO);
	(void)!write(STDOUT_FILENO, tail, sizeof(tail) - 1);
}

static void on_throw(int)
{
	throw 1;
}

static bool verdict(FILE *out)
{
	fprintf(out, ",\"calls\":%lu,\"wrong\":%lu,\"caught\":%lu", calls, wrong, caught);
	return !wrong;
}

static bool command(const char *line)
{
	if (!strcmp(line, "hold"))
		sem_post(&hold);
	else if (!strcmp(line, "release"))
		sem_post(&released);
	else if (!strcmp(line, "busy"))
		busy = true;
	else if (!strcmp(line, "trace"))
		pthread_kill(caller_thread, SIGUSR1);
	else if (!strcmp(line, "throw"))
		pthread_kill(caller_thread, SIGUSR2);
	else
		return false;
	return true;
}

int main()
{
	static const struct svc backtrace_service = {"backtrace", verdict, command};
	struct sigaction sa = {};
	void *frame[1];

	(void)backtrace(frame, 1); /* loads libgcc, which a handler must not */
	sem_init(&hold, 0, 0);
	sem_init(&released, 0, 0);
	sa.sa_flags = SA_RESTART | SA_NODEFER;
	sa.sa_handler = on_trace;
	sigaction(SIGUSR1, &sa, nullptr);
	sa.sa_handler = on_throw;
	sigaction(SIGUSR2, &sa, nullptr);
	if (pthread_create(&caller_thread, nullptr, caller, nullptr))
		abort();
	svc_thread(holder, nullptr);
	svc_ready(&backtrace_service);
	while (svc_step(-1))
		;
	return svc_end();
}
