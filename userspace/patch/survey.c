/* SPDX-License-Identifier: MIT */
#include "patch/survey.h"

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
#include "patch/ops.h"

#define DEATH_NS HP_S /* so long one that was killed is waited for: the kernel may be waiting in its name */

struct answer {
	uint32_t i; /* of the pids */
	int32_t code;
	uint64_t n; /* bytes behind it */
	uint64_t ns;
};

struct survey {
	const struct hp_survey *how;
	const struct hp_pids *pids;
	uint32_t *at; /* of the pids; shared with the fork, which alone moves it while it lives */
	size_t seen;	  /* where it was, … */
	uint64_t since_ns; /* … and since when */
	size_t answered;  /* of the pids the first so many were told of, or have nothing of hp's */
	uint64_t lost_ns; /* by those that were not looked at to the end */
	int sock;
	pid_t fork;
	struct hp_buf heard;
};

static size_t at(const struct survey *s)
{
	return __atomic_load_n(s->at, __ATOMIC_ACQUIRE);
}

static void set_at(struct survey *s, size_t i)
{
	__atomic_store_n(s->at, (uint32_t)i, __ATOMIC_RELEASE);
}

/* --- the fork ----------------------------------------------------------------------------------------- */

static int say(int sock, const struct answer *a, const void *bytes)
{
	int r = hp_write_all(sock, a, sizeof(*a));

	return r < 0 ? r : hp_write_all(sock, bytes, a->n);
}

static int look(const struct survey *s, size_t i)
{
	struct answer a = {.i = (uint32_t)i, .ns = hp_now_ns()};
	struct hp_err why = {.text = ""};
	struct hp_buf bytes = {0};
	int k = s->how->look(s->how->arg, s->pids->v[i], &bytes, &why);

	a.code = k;
	a.ns = hp_now_ns() - a.ns;
	a.n = k < 0 ? strlen(why.text) + 1 : bytes.n;
	if (k <= 0)
		k = say(s->sock, &a, k < 0 ? why.text : bytes.v);
	hp_buf_free(&bytes);
	return k;
}

static void look_on(struct survey *s, pid_t parent)
{
	hp_lifeline_tie(parent);
	(void)prctl(PR_SET_NAME, "hpd-look"); /* for ps(1) only */
	for (size_t i = at(s); i < s->pids->n; i++) {
		set_at(s, i);
		if (look(s, i) < 0)
			_exit(1);
	}
	set_at(s, s->pids->n);
	_exit(0);
}

static int begin(struct survey *s, struct hp_err *err)
{
	pid_t parent = getpid();
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return hp_err_sys(err, errno, "socket of a look");
	s->fork = fork();
	if (s->fork == 0) {
		close(sv[0]);
		s->sock = sv[1];
		look_on(s, parent);
	}
	close(sv[1]);
	s->sock = sv[0];
	if (s->fork > 0)
		return 0;
	hp_close(&s->sock);
	return hp_err_sys(err, errno, "process for a look");
}

/* --- who listens -------------------------------------------------------------------------------------- */

static int take(struct survey *s, const struct answer *a, const char *bytes)
{
	struct hp_survey_answer said = {
		.code = a->code, .bytes = bytes, .n = a->n, .ns = a->ns};

	if (a->i >= s->pids->n || a->code > 0 || (a->code && strnlen(bytes, a->n) == a->n))
		return -EBADMSG;
	s->answered = a->i + 1u;
	said.pid = s->pids->v[a->i];
	return s->how->told(s->how->arg, &said);
}

/* What is whole of what was heard. */
static int take_all(struct survey *s)
{
	struct answer a;
	int r = 0;

	while (r >= 0 && s->heard.n >= sizeof(a)) {
		memcpy(&a, s->heard.v, sizeof(a));
		if (a.n > s->heard.n - sizeof(a))
			break;
		r = take(s, &a, s->heard.v + sizeof(a));
		hp_buf_drop(&s->heard, sizeof(a) + a.n);
	}
	return r;
}

/* How long it may stay at one process: what is lost already leaves less for those to come. */
static uint64_t longest(const struct survey *s)
{
	uint64_t all = s->how->lost_max_ns, part = s->lost_ns < all ? (all - s->lost_ns) / 4 : 0;

	return part > s->how->least_ns ? part : s->how->least_ns;
}

static int cannot_take(int r, struct hp_err *err)
{
	return r == -ENOMEM ? hp_err_set(err, r, "no memory for a look at processes")
			    : hp_err_set(err, -HP_E_FAILED, "a look at processes says what cannot be");
}

/* Until it has ended, 1, or stays too long, 0. */
static int listen_to(struct survey *s, struct hp_err *err)
{
	uint64_t most = longest(s);

	s->since_ns = hp_now_ns();
	s->seen = at(s);
	for (;;) {
		struct pollfd p = {.fd = s->sock, .events = POLLIN};
		uint64_t now = hp_now_ns();
		char piece[16384];
		ssize_t n;
		int r;

		if (at(s) != s->seen) {
			s->seen = at(s);
			s->since_ns = now;
		}
		if (now - s->since_ns >= most)
			return 0;
		if (poll(&p, 1, (int)((most - (now - s->since_ns)) / HP_MS + 1)) <= 0)
			continue;
		n = read(s->sock, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			s->seen = at(s);
			return 1;
		}
		if ((r = hp_buf_add(&s->heard, piece, (size_t)n)) < 0 || (r = take_all(s)) < 0)
			return cannot_take(r, err);
	}
}

/* How it ended; 0: it exited, or does not die. */
static int end(struct survey *s)
{
	uint64_t until = hp_now_ns() + DEATH_NS;
	int status = 0;

	hp_close(&s->sock);
	(void)kill(s->fork, SIGKILL); /* our child that is not reaped: it is there */
	while (waitpid(s->fork, &status, WNOHANG) == 0 && hp_now_ns() < until)
		hp_pause_ns(HP_MS);
	hp_buf_drop(&s->heard, s->heard.n);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* Tells of the one at which it was, if that is not told of, and goes past it. */
static int pass(struct survey *s, bool ended, int sig)
{
	struct hp_survey_answer lost = {.code = HP_SURVEY_LOST};
	char text[128] = "perhaps patched by hp, but to look at it takes too long";
	size_t i = s->seen;

	if (i >= s->pids->n)
		return 0;
	set_at(s, i + 1);
	if (i < s->answered)
		return 0;
	if (ended)
		snprintf(text, sizeof(text),
			 "perhaps patched by hp, but the process that looked at it %s%s",
			 sig ? "died by SIG" : "ended", sig ? sigabbrev_np(sig) ?: "?" : "");
	lost.pid = s->pids->v[i];
	lost.ns = hp_now_ns() - s->since_ns;
	s->lost_ns += lost.ns;
	lost.bytes = text;
	lost.n = strlen(text) + 1;
	return s->how->told(s->how->arg, &lost);
}

int hp_survey_do(const struct hp_survey *how, const struct hp_pids *pids, struct hp_err *err)
{
	struct survey s = {.how = how, .pids = pids, .sock = -1};
	int r = 0;

	s.at = mmap(NULL, sizeof(*s.at), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s.at == MAP_FAILED)
		return hp_err_sys(err, errno, "memory for a look");
	while (r >= 0 && at(&s) < pids->n) {
		int ended, sig;

		r = begin(&s, err);
		if (r < 0)
			break;
		ended = r = listen_to(&s, err);
		sig = end(&s);
		if (r >= 0 && (r = pass(&s, ended, sig)) < 0)
			r = cannot_take(r, err);
	}
	hp_buf_free(&s.heard);
	munmap(s.at, sizeof(*s.at));
	return r < 0 ? r : 0;
}
