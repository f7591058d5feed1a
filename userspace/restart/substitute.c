/* SPDX-License-Identifier: MIT */
/*
 * The arguments are copied once and then believed.  What is read by the number of a process may be
 * another's by then, until told->put() or the answer, which are for a call that waits or for none;
 * what is done to the process after that is done by a pidfd.
 *
 * What is not ours is left to the kernel, which reads the arguments anew: another thread may have
 * written ours there.  Then it finds the address taken and the path busy (shield.h), or, in a group of
 * SO_REUSEPORT, has a socket that is refused when it is seen (judge.c).
 *
 * A call may be told twice, when a signal came in between; then the socket is ours already.
 */
#include "restart/substitute.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "restart/epollset.h"
#include "restart/options.h"
#include "restart/ready.h"
#include "service/fds.h"
#include "service/path.h"

struct call {
	struct hp_substitution *s;
	const struct hp_told_call *told;
};

static bool still_waits(const struct call *c)
{
	return c->told->waits(c->told);
}

static bool copy(const struct call *c, uint64_t from, void *to, size_t n)
{
	struct iovec here = {to, n}, there = {(void *)(uintptr_t)from, n};

	return process_vm_readv(c->told->process, &here, 1, &there, 1, 0) == (ssize_t)n;
}

/* A string of unknown length, which may end just before memory that is not there. */
static bool copy_path(const struct call *c, uint64_t from, char *to, size_t room)
{
	for (size_t n = 0; n < room;) {
		size_t step = 64 - (from + n) % 64;

		if (step > room - n)
			step = room - n;
		if (!copy(c, from + n, to + n, step))
			return false;
		if (memchr(to + n, 0, step))
			return true;
		n += step;
	}
	return false;
}

/* Its pidfd, or -1. */
static int hold(const struct call *c)
{
	hp_autoclose int pidfd = pidfd_open(c->told->process, 0);

	/* Asked afterwards, so the number is still that process's. */
	return pidfd >= 0 && still_waits(c) ? HP_TAKE_FD(pidfd) : -1;
}

/* What the program asks for: the socket as it is, with the address that it is to get. */
static bool read_bind(const struct call *c, int sock, struct hp_listener *ret)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&ret->addr;
	socklen_t n = (socklen_t)c->told->args[2];
	char path[sizeof(un->sun_path) + 1] = "";

	if (hp_listener_describe(ret, sock) < 0 || n > sizeof(ret->addr) || n < sizeof(sa_family_t))
		return false;
	memset(&ret->addr, 0, sizeof(ret->addr));
	if (!copy(c, c->told->args[1], &ret->addr, n) || !still_waits(c))
		return false;
	ret->addr_len = n;
	/* The kernel takes AF_UNSPEC and a zero address for AF_INET (inet_bind()). */
	if (ret->addr.ss_family != ret->family)
		return false;
	if (ret->family == AF_UNIX && un->sun_path[0]) {
		memcpy(path, un->sun_path, sizeof(un->sun_path));
		return hp_path_id(c->told->tid, AT_FDCWD, path, &ret->file) == 0;
	}
	return ret->family != AF_UNIX || n > sizeof(sa_family_t);
}

static bool is_held(const struct hp_listener *l, const struct hp_procs *procs)
{
	struct hp_fd_list fds = {0};
	bool held = false;

	for (size_t i = 0; i < procs->n && !held; i++) {
		if (hp_fd_list_read(&fds, procs->v[i]) < 0)
			break;
		for (size_t k = 0; k < fds.n && !held; k++)
			held = fds.v[k].kind == HP_FD_SOCKET && fds.v[k].ino == l->ino;
	}
	hp_fd_list_free(&fds);
	return held;
}

/* One of a SO_REUSEPORT group goes to each that asks; one that was handed out and dropped again (a
 * bind to try, a worker that crashed) goes out anew.  Where there is only one, it is always that. */
static struct hp_listener *choose(const struct hp_substitution *s, const struct hp_listener *asked)
{
	struct hp_listener *used = NULL;
	struct hp_procs procs = {0};

	for (size_t i = 0; i < s->listeners->n; i++) {
		struct hp_listener *l = &s->listeners->v[i];

		if (!hp_listener_same_address(l, asked))
			continue;
		if (!l->handed)
			return l;
		used = l;
	}
	if (!used || !asked->reuseport)
		return used;
	used = NULL;
	if (hp_procs_below(&procs, getpid(), false) == 0)
		for (size_t i = 0; i < s->listeners->n && !used; i++)
			if (hp_listener_same_address(&s->listeners->v[i], asked) &&
			    !is_held(&s->listeners->v[i], &procs))
				used = &s->listeners->v[i];
	hp_procs_free(&procs);
	return used;
}

static void tell(const struct hp_substitution *s, bool warning, const struct hp_listener *l,
		 const char *text)
{
	char line[512];

	(void)snprintf(line, sizeof(line), "%s%s%s", l->text, *text ? ": " : "", text);
	s->tell(s->arg, warning, line);
}

/* The open file is one for both generations, and so are its flags: O_NONBLOCK is left as it is until
 * the old one is done with it (hp_substitution_settle()).  It is never cleared: many programs set it
 * after their bind. */
static void note_nonblocking(const struct call *c, struct hp_listener *l,
			     const struct hp_listener *asked)
{
	if (l->status & O_NONBLOCK || !(asked->status & O_NONBLOCK))
		return;
	l->to_nonblock = true;
	tell(c->s, true, l,
	     "the new program wants it not to block, which the old one would see too: it does until "
	     "the old one has left it");
}

static bool hand_over(const struct call *c, int pidfd, struct hp_listener *l,
		      const struct hp_listener *asked, int *sock)
{
	const struct hp_told_call *told = c->told;
	int fd = (int)told->args[0];
	struct hp_interests waits = {0};
	char differs[256];

	if (hp_options_differ(*sock, l->fd, differs, sizeof(differs)))
		tell(c->s, true, l, differs);
	if (hp_epollset_save(&waits, told->process, fd, asked->ino) < 0)
		tell(c->s, true, l, "what an epoll waited for before the bind is lost: no memory");
	note_nonblocking(c, l, asked);
	if (!told->put(told, l->fd, fd, hp_fd_is_cloexec(told->process, fd))) {
		hp_interests_free(&waits);
		return false;
	}
	/* With the last reference to it the old registration goes.  That may take its SO_LINGER, and the
	 * process end meanwhile, and its number be another's. */
	hp_close(sock);
	if (hp_epollset_restore(&waits, pidfd, fd, l->fd) < 0)
		tell(c->s, true, l, "an epoll that waited for it before the bind does no more");
	hp_interests_free(&waits);
	if (!l->handed)
		tell(c->s, false, l, "");
	l->handed = true;
	return true;
}

/* True: answered with success, and the kernel is not to do anything. */
static bool on_bind(const struct call *c)
{
	hp_autoclose int pidfd = hold(c), sock = -1;
	struct hp_listener asked, *l;

	if (pidfd < 0)
		return false;
	sock = pidfd_getfd(pidfd, (int)c->told->args[0], 0);
	if (sock < 0 || !read_bind(c, sock, &asked))
		return false;
	if (hp_listeners_find(c->s->listeners, asked.ino))
		return true;
	l = choose(c->s, &asked);
	return l && hand_over(c, pidfd, l, &asked, &sock);
}

/* Programs remove what a predecessor may have left, before they bind. */
static bool on_unlink(const struct call *c, int dirfd, uint64_t path_at)
{
	struct hp_file_id id;
	char path[4096];

	if (!copy_path(c, path_at, path, sizeof(path)) || !still_waits(c) ||
	    hp_path_id(c->told->tid, dirfd, path, &id) < 0)
		return false;
	for (size_t i = 0; i < c->s->listeners->n; i++) {
		const struct hp_file_id *file = &c->s->listeners->v[i].file;

		if (file->ino && hp_file_id_same(file, &id))
			return true;
	}
	return false;
}

bool hp_substitute(struct hp_substitution *s, const struct hp_told_call *told)
{
	const struct call c = {s, told};

	if (s->closed)
		return false;
	switch (told->nr) {
	case SYS_bind:
		return on_bind(&c);
	case SYS_unlink:
		return on_unlink(&c, AT_FDCWD, told->args[0]);
	case SYS_unlinkat:
		return !told->args[2] && on_unlink(&c, (int)told->args[0], told->args[1]);
	}
	return false;
}

/* A thread of the new generation that was about to take a connection, and was overtaken, is blocked
 * where it did not want to be: its call begins anew. */
static void wake(const struct hp_listener *l, pid_t pid)
{
	struct hp_fd_list fds = {0};

	if (hp_fd_list_read(&fds, pid) == 0)
		for (size_t i = 0; i < fds.n; i++)
			if (fds.v[i].kind == HP_FD_SOCKET && fds.v[i].ino == l->ino)
				hp_wake_acceptors(pid, fds.v[i].fd);
	hp_fd_list_free(&fds);
}

void hp_substitution_settle(const struct hp_listeners *listeners, const struct hp_procs *procs)
{
	for (size_t i = 0; i < listeners->n; i++) {
		const struct hp_listener *l = &listeners->v[i];

		if (!l->to_nonblock || l->fd < 0)
			continue;
		(void)fcntl(l->fd, F_SETFL, l->status | O_NONBLOCK); /* of a socket: cannot fail */
		for (size_t k = 0; k < procs->n; k++)
			wake(l, procs->v[k]);
	}
}
