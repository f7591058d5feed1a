/* SPDX-License-Identifier: MIT */
/*
 * A process gets another parent when its own ends.  systemd, which hears of its children's ends
 * only, learns of that of another main process when its control group is empty, and never how it
 * ended: Restart=on-failure would do nothing.
 */
#include <poll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "restart/supervisor.h"

#define ANSWER_MS 5000

/* Whoever asked collects our orphans too, until now (restart.c). */
static void ask_for_it(struct hp_supervisor *s)
{
	struct hp_report r = {.kind = HP_REPORT_DISOWN};
	struct pollfd p = {.fd = s->sock, .events = POLLIN};
	char answer;

	hp_supervisor_say(s, &r);
	if (poll(&p, 1, ANSWER_MS) > 0)
		(void)!read(s->sock, &answer, 1); /* who is gone collects nobody */
}

/* In the child: until its parent, the supervisor so far, has ended. */
static void take_over(struct hp_supervisor *s, int parent)
{
	struct pollfd p = {.fd = parent, .events = POLLIN};

	(void)poll(&p, 1, ANSWER_MS); /* it is about to */
	s->disowned = true;
}

void hp_supervisor_disown(struct hp_supervisor *s)
{
	hp_autoclose int self = pidfd_open(getpid(), 0);
	pid_t pid;

	ask_for_it(s);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 0); /* cannot fail */
	pid = fork();
	if (pid == 0)
		return take_over(s, self);
	if (pid < 0) {
		hp_supervisor_warn(s, "systemd will not hear how the new process ends: no process");
		return;
	}
	/* There is a file at any time. */
	(void)hp_generation_write(&s->generation, pid);
	hp_generation_remove();
	_exit(0);
}
