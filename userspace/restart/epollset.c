/* SPDX-License-Identifier: MIT */
/*
 * An epoll knows what it waits for by the open file and by the number that it had when it was added,
 * and the program will name it by that number.  So it is added by a child of ours, in which the
 * duplicate has the same number as in the program.
 */
#include "restart/epollset.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/fd.h"

int hp_epollset_save(struct hp_interests *ret, pid_t pid, int fd, ino_t ino)
{
	struct hp_interests all = {0};
	int r = hp_interests_read(&all, pid);

	for (size_t i = 0; r == 0 && i < all.n; i++) {
		struct hp_interest *v;

		if (all.v[i].fd != fd || all.v[i].ino != ino)
			continue;
		v = HP_ARRAY_ADD(ret);
		if (v)
			*v = all.v[i];
		else
			r = -ENOMEM;
	}
	hp_interests_free(&all);
	return r;
}

/* In the child: the exit status is the errno. */
_Noreturn static void add(const struct hp_interest *i, int epoll, int fd, int sock)
{
	struct epoll_event event = {.events = i->events, .data.u64 = i->data};
	/* Out of the way of the number that is needed. */
	int e = fcntl(epoll, F_DUPFD_CLOEXEC, fd + 1), s = fcntl(sock, F_DUPFD_CLOEXEC, fd + 1);

	if (e < 0 || s < 0 || dup2(s, fd) < 0 || epoll_ctl(e, EPOLL_CTL_ADD, fd, &event))
		_exit(errno);
	_exit(0);
}

static int restore(const struct hp_interest *i, int pidfd, int fd, int sock)
{
	hp_autoclose int epoll = pidfd_getfd(pidfd, i->epoll, 0);
	int status;
	pid_t pid;

	if (epoll < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		add(i, epoll, fd, sock);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

int hp_epollset_restore(const struct hp_interests *saved, int pidfd, int fd, int sock)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < saved->n; i++)
		r = restore(&saved->v[i], pidfd, fd, sock);
	return r;
}
