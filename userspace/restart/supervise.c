/* SPDX-License-Identifier: MIT */
/* The supervisor: a process of its own, from its birth until the last process of what it started is
 * gone. */
#include "restart/report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/helper.h"
#include "hp/err.h"
#include "restart/supervisor.h"

/* Or what is opened next would become somebody's standard output. */
static int fill_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd < 3);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* In no file, for the program may have another root; and a name that can be guessed can be taken by
 * anybody before. */
static int hear_from_it(struct hp_supervisor *s)
{
	uint64_t chance;
	char name[32];

	if (getrandom(&chance, sizeof(chance), 0) < 0)
		return -errno;
	(void)snprintf(name, sizeof(name), HP_NOTIFY_PREFIX "%016" PRIx64, chance);
	return hp_notify_listen(&s->notify, name);
}

static int begin(struct hp_supervisor *s)
{
	sigset_t child;
	const int keep[] = {s->sock, s->permit->fd};
	size_t n = s->permit->ask && s->permit->fd >= 0 ? 2 : 1;
	int r = hp_helper_begin("hpd-supervise", keep, n);

	if (r == 0)
		r = fill_stdio();
	if (r < 0)
		return r;
	/* A helper ignores it, and then children leave no status. */
	(void)signal(SIGCHLD, SIG_DFL); /* cannot fail */
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &child, NULL); /* cannot fail */
	s->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1))
		return -errno;
	return hear_from_it(s);
}

static void on_substitution(void *arg, bool warning, const char *text)
{
	struct hp_supervisor *s = arg;

	if (warning)
		hp_supervisor_warn(s, text);
	else
		hp_supervisor_step(s, "bind", text);
	s->look_ns = HP_LOOK_MIN_NS; /* something happens */
}

static void on_retire(void *arg, const char *step, const char *text)
{
	hp_supervisor_step(arg, step, text);
}

void hp_supervise(const struct hp_restart_request *req, const struct hp_ops_permit *permit, int sock)
{
	static struct hp_supervisor s;
	struct hp_report failed = {.kind = HP_REPORT_FAILED};
	struct hp_err err = {.text = ""};
	int r;

	s = (struct hp_supervisor){.req = req,
				   .permit = permit,
				   .sock = sock,
				   .signal_fd = -1,
				   .notify = {.fd = -1},
				   .begun_ns = hp_now_ns(),
				   .substitution = {.listeners = &s.listeners,
						    .tell = on_substitution,
						    .arg = &s},
				   .notify_fd = -1,
				   .traced = {.substitution = &s.substitution},
				   .retire = {.tell = on_retire, .arg = &s}};
	r = begin(&s);
	if (r < 0)
		(void)hp_err_sys(&err, -r, "supervisor of the restart");
	else
		r = hp_supervisor_start(&s, &err);
	if (r < 0) {
		hp_supervisor_undo(&s);
		failed.code = r;
		(void)snprintf(failed.text, sizeof(failed.text), "%s", err.text);
		hp_supervisor_say(&s, &failed);
		_exit(1);
	}
	hp_supervisor_switch(&s);
	_exit(0);
}
