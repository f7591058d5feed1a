/* SPDX-License-Identifier: MIT */
/* What a supervisor waits for: calls under its filter, ends of processes, READY=1, and the end of
 * whoever asked. */
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "restart/supervisor.h"

int hp_supervisor_below(const struct hp_supervisor *s, struct hp_procs *ret)
{
	return hp_procs_below(ret, s->disowned ? s->generation.pid : getpid(), s->disowned);
}

/* Until the switch it speaks to hp alone: systemd has another main process. */
static void take_ready(struct hp_supervisor *s)
{
	struct hp_procs below = {0};
	struct hp_notified said;

	while (hp_notify_take(&s->notify, &said)) {
		if (hp_supervisor_below(s, &below) < 0 || !hp_procs_have(&below, said.from))
			continue;
		if (s->disowned)
			hp_unit_pass_on(said.from, said.text);
		s->said_ready |= said.ready;
		if (said.main_pid && hp_procs_have(&below, said.main_pid))
			s->said_main = said.main_pid;
		s->look_ns = 0;
	}
	hp_procs_free(&below);
}

void hp_supervisor_reap(struct hp_supervisor *s)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	(void)!read(s->signal_fd, &info, sizeof(info)); /* waitpid() tells all there is */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == s->first) {
			s->first_ended = true;
			s->first_status = status;
		}
}

bool hp_supervisor_wait(struct hp_supervisor *s, uint64_t deadline_ns)
{
	struct pollfd p[] = {
		{.fd = s->sock, .events = POLLIN},
		{.fd = s->substitution.notify_fd, .events = POLLIN},
		{.fd = s->signal_fd, .events = POLLIN},
		{.fd = s->notify.fd, .events = POLLIN},
	};
	uint64_t now = hp_now_ns();
	int64_t ms = deadline_ns > now ? (int64_t)((deadline_ns - now + HP_MS - 1) / HP_MS) : 0;

	if (poll(p, 4, deadline_ns == UINT64_MAX ? -1 : (int)(ms < 1000 ? ms : 1000)) < 0)
		return true;
	if (p[1].revents & POLLIN)
		(void)hp_substitute(&s->substitution);
	else if (p[1].revents)
		s->all_ended = true;
	if (p[2].revents)
		hp_supervisor_reap(s);
	if (p[3].revents)
		take_ready(s);
	return !p[0].revents;
}
