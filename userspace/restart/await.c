/* SPDX-License-Identifier: MIT */
/* What a supervisor waits for: calls that it is told of, ends of processes, READY=1, and the end of
 * whoever asked. */
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "restart/notified.h"
#include "restart/supervisor.h"

#define REAP_NS	  (1 * HP_MS)
#define WORDS_MAX 64 /* of what is said, taken at a time */

/* What waitpid(2) says. */
struct change {
	pid_t pid;
	int status;
};

int hp_supervisor_below(const struct hp_supervisor *s, struct hp_procs *ret)
{
	return hp_procs_below(ret, s->disowned ? s->generation.pid : getpid(), s->disowned);
}

/* Until the switch it speaks to hp alone: systemd has another main process. */
static void heed(struct hp_supervisor *s, const struct hp_notified *said,
		 const struct hp_procs *below)
{
	if (!hp_procs_have(below, said->from.pid))
		return;
	if (s->disowned)
		hp_unit_pass_on(&said->from, said->text);
	s->said_ready |= said->ready;
	if (said->main_pid && hp_procs_have(below, said->main_pid))
		s->said_main = said->main_pid;
	s->look_ns = 0;
}

/* Anybody can send, as fast as it is read, so there is an end to it.  Who they are is asked once, and
 * when all of them have spoken: one may have been born a moment ago. */
static void take_words(struct hp_supervisor *s)
{
	static struct hp_notified said[WORDS_MAX];
	struct hp_procs below = {0};
	size_t n = 0;

	while (n < WORDS_MAX && hp_notify_take(&s->notify, &said[n]))
		n++;
	if (n && hp_supervisor_below(s, &below) == 0)
		for (size_t i = 0; i < n; i++)
			heed(s, &said[i], &below);
	hp_procs_free(&below);
}

static void take(struct hp_supervisor *s, pid_t pid, int status)
{
	if (s->traced.n)
		hp_traced_take(&s->traced, pid, status);
	if (pid == s->first && !WIFSTOPPED(status)) {
		s->first_ended = true;
		s->first_status = status;
	}
}

/* All that there is to be told, and then none of it is dealt with before the rest is known: the same
 * thread would be the first to stop again.  False: there was nothing. */
static bool take_all(struct hp_supervisor *s)
{
	HP_ARRAY(struct change) changes = {0};
	struct change c, *v = &c;
	bool any;

	while (v && (c.pid = waitpid(-1, &c.status, WNOHANG | (s->traced.n ? __WALL : 0))) > 0) {
		v = HP_ARRAY_ADD(&changes);
		if (s->traced.n && WIFSTOPPED(c.status))
			hp_traced_expect(&s->traced, c.pid);
		if (v)
			*v = c;
		else
			take(s, c.pid, c.status);
	}
	for (size_t i = 0; i < changes.n; i++)
		take(s, changes.v[i].pid, changes.v[i].status);
	any = changes.n || !v;
	HP_ARRAY_FREE(&changes);
	return any;
}

void hp_supervisor_reap(struct hp_supervisor *s)
{
	uint64_t until = hp_now_ns() + REAP_NS;
	struct signalfd_siginfo info;

	(void)!read(s->signal_fd, &info, sizeof(info)); /* waitpid() tells all there is */
	do /* Who is traced may stop again and again. */
		s->more = take_all(s);
	while (s->more && hp_now_ns() < until);
}

bool hp_supervisor_wait(struct hp_supervisor *s, uint64_t deadline_ns)
{
	struct pollfd p[] = {
		{.fd = s->sock, .events = POLLIN},
		{.fd = s->notify_fd, .events = POLLIN},
		{.fd = s->signal_fd, .events = POLLIN},
		{.fd = s->notify.fd, .events = POLLIN},
	};
	uint64_t now = hp_now_ns();
	int64_t ms = deadline_ns > now ? (int64_t)((deadline_ns - now + HP_MS - 1) / HP_MS) : 0;

	if (ms > 1000)
		ms = 1000;
	if (deadline_ns == UINT64_MAX)
		ms = -1;
	if (poll(p, 4, s->more ? 0 : (int)ms) < 0)
		return true;
	if (p[1].revents & POLLIN)
		hp_notified_answer(&s->substitution, s->notify_fd);
	else if (p[1].revents)
		s->all_ended = true;
	if (p[2].revents || s->more)
		hp_supervisor_reap(s);
	if (p[3].revents)
		take_words(s);
	return !p[0].revents;
}
