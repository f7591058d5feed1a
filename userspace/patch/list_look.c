/* SPDX-License-Identifier: MIT */
/*
 * A process that is looked at can make whoever looks wait for hours, by code that is long to follow or files
 * that do not answer, and perhaps end him.  So a fork looks; where it stays too long, or ends, it is said of
 * that process that nothing is known, and another fork goes on behind it.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/lifeline.h"
#include "hp/err.h"
#include "patch/list.h"

#define DEATH_NS HP_S /* so long one that was killed is waited for: the kernel may be waiting in its name */

struct answer {
	uint32_t i; /* of the pids */
	int32_t code;
	uint64_t n; /* bytes behind it: a list, or why there is none */
};

struct looks {
	const struct hp_list_looks *how;
	const struct hp_pids *pids;
	uint32_t *at; /* of the pids; shared with the fork, which alone moves it while it lives */
	size_t seen;	  /* where it was */
	size_t answered;  /* of the pids the first so many were told of, or have nothing of hp's */
	uint64_t lost_ns; /* by those that were not looked at to the end */
	int sock;
	pid_t fork;
	struct hp_buf heard;
};

static size_t at(const struct looks *l)
{
	return __atomic_load_n(l->at, __ATOMIC_ACQUIRE);
}

static void set_at(struct looks *l, size_t i)
{
	__atomic_store_n(l->at, (uint32_t)i, __ATOMIC_RELEASE);
}

/* --- the fork ----------------------------------------------------------------------------------------- */

static int say(int sock, size_t i, int code, const void *bytes, size_t n)
{
	const struct answer a = {.i = (uint32_t)i, .code = code, .n = n};
	int r = hp_write_all(sock, &a, sizeof(a));

	return r < 0 ? r : hp_write_all(sock, bytes, n);
}

static int look(const struct looks *l, size_t i)
{
	struct hp_patch_list list = {0};
	struct hp_err why = {.text = ""};
	struct hp_buf bytes = {0};
	int k = l->how->look(l->how->arg, l->pids->v[i], &list, &why);

	if (k > 0)
		return 0;
	if (k == 0)
		k = hp_list_pack(&bytes, &list);
	hp_patch_list_free(&list);
	k = k < 0 ? say(l->sock, i, k, why.text, strlen(why.text) + 1)
		  : say(l->sock, i, 0, bytes.v, bytes.n);
	hp_buf_free(&bytes);
	return k;
}

static void look_on(struct looks *l, pid_t parent)
{
	hp_lifeline_tie(parent);
	(void)prctl(PR_SET_NAME, "hpd-look"); /* for ps(1) only */
	for (size_t i = at(l); i < l->pids->n; i++) {
		set_at(l, i);
		if (look(l, i) < 0)
			_exit(1);
	}
	set_at(l, l->pids->n);
	_exit(0);
}

static int begin(struct looks *l, struct hp_err *err)
{
	pid_t parent = getpid();
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return hp_err_sys(err, errno, "socket of a look");
	l->fork = fork();
	if (l->fork == 0) {
		close(sv[0]);
		l->sock = sv[1];
		look_on(l, parent);
	}
	close(sv[1]);
	l->sock = sv[0];
	if (l->fork > 0)
		return 0;
	hp_close(&l->sock);
	return hp_err_sys(err, errno, "process for a look");
}

/* --- who listens -------------------------------------------------------------------------------------- */

static int take(struct looks *l, const struct answer *a, const char *bytes)
{
	struct hp_patch_list list = {0};
	struct hp_err why = {.code = a->code};
	int r;

	if (a->i >= l->pids->n || (a->code && strnlen(bytes, a->n) == a->n))
		return -EBADMSG;
	l->answered = a->i + 1u;
	r = a->code ? 0 : hp_list_unpack(bytes, a->n, &list);
	if (r < 0)
		return r;
	if (a->code)
		snprintf(why.text, sizeof(why.text), "%s", bytes);
	return l->how->told(l->how->arg, l->pids->v[a->i], a->code, &list, &why);
}

/* What is whole of what was heard. */
static int take_all(struct looks *l)
{
	struct answer a;
	int r = 0;

	while (r >= 0 && l->heard.n >= sizeof(a)) {
		memcpy(&a, l->heard.v, sizeof(a));
		if (a.n > l->heard.n - sizeof(a))
			break;
		r = take(l, &a, l->heard.v + sizeof(a));
		hp_buf_drop(&l->heard, sizeof(a) + a.n);
	}
	return r;
}

/* How long it may stay at one process: what is lost already leaves less for those to come. */
static uint64_t longest(const struct looks *l)
{
	uint64_t all = l->how->lost_max_ns, part = l->lost_ns < all ? (all - l->lost_ns) / 4 : 0;

	return part > l->how->least_ns ? part : l->how->least_ns;
}

static int cannot_take(int r, struct hp_err *err)
{
	return r == -ENOMEM ? hp_err_set(err, r, "no memory for a list")
			    : hp_err_set(err, -HP_E_FAILED, "a look at processes says what cannot be");
}

/* Until it has ended, 1, or stays too long, 0. */
static int listen_to(struct looks *l, struct hp_err *err)
{
	uint64_t since = hp_now_ns(), most = longest(l);

	l->seen = at(l);
	for (;;) {
		struct pollfd p = {.fd = l->sock, .events = POLLIN};
		uint64_t now = hp_now_ns();
		char piece[16384];
		ssize_t n;
		int r;

		if (at(l) != l->seen) {
			l->seen = at(l);
			since = now;
		}
		if (now - since >= most) {
			l->lost_ns += now - since;
			return 0;
		}
		if (poll(&p, 1, (int)((most - (now - since)) / HP_MS + 1)) <= 0)
			continue;
		n = read(l->sock, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			l->seen = at(l);
			return 1;
		}
		if ((r = hp_buf_add(&l->heard, piece, (size_t)n)) < 0 || (r = take_all(l)) < 0)
			return cannot_take(r, err);
	}
}

/* How it ended; 0: it exited, or does not die. */
static int end(struct looks *l)
{
	uint64_t until = hp_now_ns() + DEATH_NS;
	int status = 0;

	hp_close(&l->sock);
	(void)kill(l->fork, SIGKILL); /* our child that is not reaped: it is there */
	while (waitpid(l->fork, &status, WNOHANG) == 0 && hp_now_ns() < until)
		hp_pause_ns(HP_MS);
	hp_buf_drop(&l->heard, l->heard.n);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* Tells of the one at which it was, if that is not told of, and goes past it. */
static int pass(struct looks *l, bool ended, int sig)
{
	struct hp_err why = {.code = HP_LIST_LOST};
	struct hp_patch_list none = {0};
	size_t i = l->seen;

	if (i >= l->pids->n)
		return 0;
	set_at(l, i + 1);
	if (i < l->answered)
		return 0;
	if (ended)
		snprintf(why.text, sizeof(why.text),
			 "perhaps patched by hp, but the process that looked at it %s%s",
			 sig ? "died by SIG" : "ended", sig ? sigabbrev_np(sig) ?: "?" : "");
	else
		snprintf(why.text, sizeof(why.text),
			 "perhaps patched by hp, but to look at it takes too long");
	return l->how->told(l->how->arg, l->pids->v[i], why.code, &none, &why);
}

int hp_list_look(const struct hp_list_looks *how, const struct hp_pids *pids, struct hp_err *err)
{
	struct looks l = {.how = how, .pids = pids, .sock = -1};
	int r = 0;

	l.at = mmap(NULL, sizeof(*l.at), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (l.at == MAP_FAILED)
		return hp_err_sys(err, errno, "memory for a look");
	while (r >= 0 && at(&l) < pids->n) {
		int ended, sig;

		r = begin(&l, err);
		if (r < 0)
			break;
		ended = r = listen_to(&l, err);
		sig = end(&l);
		if (r >= 0 && pass(&l, ended, sig) < 0)
			r = cannot_take(-ENOMEM, err);
	}
	hp_buf_free(&l.heard);
	munmap(l.at, sizeof(*l.at));
	return r < 0 ? r : 0;
}
