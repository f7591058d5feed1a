/* SPDX-License-Identifier: MIT */
#include "daemon/front.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/front_priv.h"
#include "daemon/serve.h"
#include "hp/err.h"

/* One that ends so soon is not started again at once. */
#define SOON_NS (200 * HP_MS)

void hp_front_kill(struct hp_front *f, const char *why)
{
	if (f->pidfd < 0)
		return;
	f->distrusted = true;
	hp_log(HP_LOG_ERROR, "front (process %d) is killed: %s", f->pid, why);
	(void)pidfd_send_signal(f->pidfd, SIGKILL, NULL, 0); /* or it is dead */
}

static _Noreturn void become(const char *program, int sock)
{
	char *const argv[] = {"hpd-front", NULL};
	char *const env[] = {NULL};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (sock == HP_FRONT_SOCKET ? fcntl(sock, F_SETFD, 0) == 0
				    : dup2(sock, HP_FRONT_SOCKET) == HP_FRONT_SOCKET)
		execve(program, argv, env);
	dprintf(STDERR_FILENO, "hpd: %s: %s\n", program, strerror(errno));
	_exit(127);
}

static int spawn(struct hp_front *f, struct hp_err *err)
{
	const struct hp_tell_begin begin = {.client_timeout_ns = f->d->opt.client_timeout_ns,
					    .answers_max = f->d->opt.answers_max,
					    .log_level = hp_log_level()};
	const struct hp_tell_head head = {.tell = HP_TELL_BEGIN};
	hp_autoclose int its = -1;
	int sv[2], k = hp_socketpair(sv);

	if (k < 0)
		return hp_err_sys(err, -k, "socket of front");
	f->sock = sv[0];
	its = sv[1];
	f->pid = fork();
	if (f->pid == 0)
		become(f->d->opt.front, its);
	if (f->pid < 0)
		return hp_err_sys(err, errno, "process for front");
	f->pidfd = pidfd_open(f->pid, 0);
	if (f->pidfd < 0)
		return hp_err_sys(err, errno, "pidfd of front");
	f->since_ns = hp_now_ns();
	f->ended = f->distrusted = false;
	f->last_words[0] = 0;
	hp_front_queue(f, &head, &begin, sizeof(begin), -1);
	hp_front_flush(f);
	return 0;
}

static void tell_listen(struct hp_front *f, uint32_t listener, int fd)
{
	const struct hp_tell_head head = {.tell = HP_TELL_LISTEN, .conn = listener};

	hp_front_queue(f, &head, "", 0, fd);
	hp_front_flush(f);
}

static void listen_all(struct hp_front *f)
{
	const struct hp_serve *l;

	tell_listen(f, 0, f->d->listen_fd);
	TAILQ_FOREACH(l, &f->d->listeners, link)
		if (!l->closing)
			tell_listen(f, l->id, l->fd);
}

void hp_front_forget(struct hp_front *f)
{
	hp_front_drop_queue(f);
	hp_close(&f->client_fd);
	hp_close(&f->sock);
	hp_close(&f->pidfd);
}

/* All that hangs on the process; the ring has let go of it. */
static void forget(struct hp_front *f)
{
	hp_front_drop_queue(f);
	hp_intake_free(&f->intake);
	hp_close(&f->client_fd);
	hp_close(&f->sock);
	hp_close(&f->pidfd);
	f->pid = 0;
}

static void start_again(struct hp_front *f)
{
	struct hp_err err;

	if (spawn(f, &err) < 0) {
		hp_log(HP_LOG_ERROR, "front is not started again: %s", err.text);
		forget(f);
		hp_timer_set(f->d->ring, &f->again, hp_now_ns() + SOON_NS);
		return;
	}
	hp_front_attend(f);
	if (f->listens)
		listen_all(f);
}

static void again_fired(struct hp_timer *t)
{
	start_again((struct hp_front *)((char *)t - offsetof(struct hp_front, again)));
}

/* Its process has ended, and no operation refers to its socket. */
static void buried(struct hp_front *f)
{
	struct hp_daemon *d = f->d;
	bool greeted = f->intake.greeted, soon = hp_now_ns() - f->since_ns < SOON_NS;

	forget(f);
	hp_clients_leave(d);
	hp_daemon_uncount(d);
	if (d->stopping || d->ended)
		return;
	if (!greeted && !f->listens) {
		hp_daemon_fail(d, f->last_words);
		return;
	}
	if (soon)
		hp_timer_set(d->ring, &f->again, hp_now_ns() + SOON_NS);
	else
		start_again(f);
}

void hp_front_maybe_buried(struct hp_front *f)
{
	if (f->ended && !f->heard.armed && !f->room.armed)
		buried(f);
}

static void exit_done(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_front *f = (struct hp_front *)((char *)op - offsetof(struct hp_front, exited));
	siginfo_t info = {0};
	struct hp_err err;

	if (res < 0)
		return; /* cancelled */
	while (!f->d->stopping && !f->distrusted && hp_front_hear(f, &err) == 1)
		; /* its last words */
	f->ended = true;
	(void)waitid(P_PIDFD, (id_t)f->pidfd, &info, WEXITED | WNOHANG); /* readable: it is dead */
	if (!f->d->stopping && info.si_code == CLD_EXITED)
		hp_log(HP_LOG_ERROR, "front (process %d) ended with %d", f->pid, info.si_status);
	else if (!f->d->stopping)
		hp_log(HP_LOG_ERROR, "front (process %d) died by SIG%s", f->pid,
		       sigabbrev_np(info.si_status) ?: "?");
	hp_ring_cancel(f->d->ring, &f->heard);
	hp_ring_cancel(f->d->ring, &f->room);
	hp_front_maybe_buried(f);
}

int hp_front_start(struct hp_front *f, struct hp_daemon *d, struct hp_err *err)
{
	f->d = d;
	f->heard.done = hp_front_heard_done;
	f->room.done = hp_front_room_done;
	f->exited.done = exit_done;
	f->again.fire = again_fired;
	return spawn(f, err);
}

void hp_front_attend(struct hp_front *f)
{
	hp_ring_poll(f->d->ring, &f->heard, f->sock);
	hp_ring_poll(f->d->ring, &f->exited, f->pidfd);
	hp_front_flush(f);
}

void hp_front_begin(struct hp_front *f)
{
	f->listens = true;
	listen_all(f);
}

void hp_front_listen(struct hp_front *f, const struct hp_serve *l)
{
	tell_listen(f, l->id, l->fd);
}

void hp_front_unlisten(struct hp_front *f, const struct hp_serve *l)
{
	const struct hp_tell_head head = {.tell = HP_TELL_UNLISTEN, .conn = l->id};

	hp_front_tell(f, &head, "", 0);
}

void hp_front_stop(struct hp_front *f)
{
	const struct hp_tell_head head = {.tell = HP_TELL_STOP};

	hp_timer_clear(f->d->ring, &f->again);
	hp_front_tell(f, &head, "", 0);
}

void hp_front_free(struct hp_front *f)
{
	pid_t pid = f->pid;

	if (pid > 0)
		(void)kill(pid, SIGKILL); /* ours, and not reaped: it is that process */
	forget(f);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
}
