/* SPDX-License-Identifier: MIT */
/*
 * jumper – a function that is left in every way but by its return: longjmp, pthread_exit,
 * cancellation.
 */
#include "jumper.h"
#include "svc.h"

#include <pthread.h>
#include <time.h>

unsigned long new_calls;

static unsigned long returns, jumps, exits, cancels, wrong;

__attribute__((noipa)) int jumpy(enum way way, jmp_buf *env)
{
	volatile int frame[16] = {way};

	switch (way) {
	case BY_RETURN:
		break;
	case BY_LONGJMP:
		longjmp(*env, 1);
	case BY_PTHREAD_EXIT:
		pthread_exit(env);
	case BY_CANCEL:
		jumper_wait();
	}
	return frame[0] + 1;
}

/* A cancellation point. */
void jumper_wait(void)
{
	for (;;) {
		struct timespec t = {.tv_sec = 1000};

		nanosleep(&t, NULL);
	}
}

static void *caller(void *arg)
{
	for (;;) {
		jmp_buf env;

		if (!setjmp(env)) {
			jumpy(BY_LONGJMP, &env);
			wrong++;
		} else {
			jumps++;
		}
		if (jumpy(BY_RETURN, NULL) != 1)
			wrong++;
		returns++;
		svc_nap_us(100);
	}
	return NULL;
}

static void *leaver(void *arg)
{
	enum way way = (enum way)(uintptr_t)arg;

	jumpy(way, arg);
	wrong++;
	return NULL;
}

static void *spawner(void *arg)
{
	for (;;) {
		void *result = NULL;
		pthread_t t;

		if (pthread_create(&t, NULL, leaver, (void *)BY_PTHREAD_EXIT) ||
		    pthread_join(t, &result) || result != (void *)BY_PTHREAD_EXIT)
			wrong++;
		exits++;
		if (pthread_create(&t, NULL, leaver, (void *)BY_CANCEL))
			wrong++;
		svc_nap_us(1000);
		if (pthread_cancel(t) || pthread_join(t, &result) || result != PTHREAD_CANCELED)
			wrong++;
		cancels++;
	}
	return NULL;
}

static bool verdict(FILE *out)
{
	fprintf(out,
		",\"returns\":%lu,\"jumps\":%lu,\"exits\":%lu,\"cancels\":%lu,\"new_calls\":%lu"
		",\"wrong\":%lu",
		returns, jumps, exits, cancels, new_calls, wrong);
	return !wrong;
}

int main(void)
{
	static const struct svc jumper = {"jumper", verdict, NULL};

	svc_thread(caller, NULL);
	svc_thread(caller, NULL);
	svc_thread(spawner, NULL);
	svc_ready(&jumper);
	while (svc_step(-1))
		;
	return svc_end();
}
