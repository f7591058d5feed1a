/* SPDX-License-Identifier: MIT */
/* What is under way, and its end. */
#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "upgrade/upgrade.h"

int hp_work_init(struct hp_work *w)
{
	pthread_condattr_t a;
	int k = pthread_mutex_init(&w->lock, NULL);

	if (k == 0)
		k = pthread_condattr_init(&a);
	if (k)
		return -k;
	(void)pthread_condattr_setclock(&a, CLOCK_MONOTONIC); /* a clock that every Linux has */
	k = pthread_cond_init(&w->idle, &a);
	pthread_condattr_destroy(&a);
	return -k;
}

void hp_work_free(struct hp_work *w)
{
	HP_ARRAY_FREE(&w->hooks);
	pthread_cond_destroy(&w->idle);
	pthread_mutex_destroy(&w->lock);
}

void hp_upgrade_enter(struct hp_upgrade *u)
{
	pthread_mutex_lock(&u->work.lock);
	u->work.n++;
	pthread_mutex_unlock(&u->work.lock);
}

void hp_upgrade_leave(struct hp_upgrade *u)
{
	pthread_mutex_lock(&u->work.lock);
	if (--u->work.n == 0)
		pthread_cond_broadcast(&u->work.idle);
	pthread_mutex_unlock(&u->work.lock);
}

int hp_upgrade_on_drain(struct hp_upgrade *u, void (*hook)(void *arg), void *arg,
			struct hp_err *err)
{
	struct hp_drain_hook *at;

	pthread_mutex_lock(&u->work.lock);
	at = HP_ARRAY_ADD(&u->work.hooks);
	if (at)
		*at = (struct hp_drain_hook){hook, arg};
	pthread_mutex_unlock(&u->work.lock);
	return at ? 0 : hp_err_set(err, -ENOMEM, "no memory");
}

/* One at a time and without the lock: a hook may leave, and wait for those who do. */
static bool next_hook(struct hp_work *w, struct hp_drain_hook *ret)
{
	bool any;

	pthread_mutex_lock(&w->lock);
	any = w->hooks.n > 0;
	if (any)
		*ret = w->hooks.v[--w->hooks.n];
	pthread_mutex_unlock(&w->lock);
	return any;
}

static struct timespec deadline(int timeout_ms)
{
	uint64_t ns = hp_now_ns() + (uint64_t)timeout_ms * HP_MS;

	return (struct timespec){(time_t)(ns / HP_S), (long)(ns % HP_S)};
}

int hp_upgrade_drain(struct hp_upgrade *u, int timeout_ms, struct hp_err *err)
{
	struct hp_work *w = &u->work;
	struct timespec until = deadline(timeout_ms < 0 ? 0 : timeout_ms);
	struct hp_drain_hook hook;
	unsigned long left;
	int k = 0;

	while (next_hook(w, &hook))
		hook.fn(hook.arg);
	pthread_mutex_lock(&w->lock);
	while (w->n && k == 0)
		k = timeout_ms < 0 ? pthread_cond_wait(&w->idle, &w->lock)
				   : pthread_cond_timedwait(&w->idle, &w->lock, &until);
	left = w->n;
	pthread_mutex_unlock(&w->lock);
	if (left)
		return hp_err_set(err, -ETIMEDOUT, "%lu still under way after %d ms", left,
				  timeout_ms);
	return 0;
}
