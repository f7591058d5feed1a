/* SPDX-License-Identifier: MIT */
#include "service/fds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/fd.h"

#define FDINFO_MAX (4u << 20) /* an epoll has a line for each of its descriptors */

static bool classify(const char *link, struct hp_fd *ret)
{
	unsigned long ino;

	if (sscanf(link, "socket:[%lu]", &ino) == 1) {
		ret->kind = HP_FD_SOCKET;
		ret->ino = ino;
		return true;
	}
	ret->ino = 0;
	ret->kind = HP_FD_EPOLL;
	if (!strcmp(link, "anon_inode:[eventpoll]"))
		return true;
	ret->kind = HP_FD_URING;
	return !strcmp(link, "anon_inode:[io_uring]");
}

int hp_fd_list_read(struct hp_fd_list *ret, pid_t pid)
{
	char path[64], link[64];
	struct dirent *e;
	int r = 0;
	DIR *d;

	ret->n = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	if (!d)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	while (r == 0 && (e = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		struct hp_fd one = {.fd = atoi(e->d_name)}, *v;

		if (n < 0)
			continue;
		link[n] = 0;
		if (!classify(link, &one))
			continue;
		v = HP_ARRAY_ADD(ret);
		if (v)
			*v = one;
		else
			r = -ENOMEM;
	}
	closedir(d);
	return r;
}

void hp_fd_list_free(struct hp_fd_list *fds)
{
	HP_ARRAY_FREE(fds);
}

static int read_fdinfo(pid_t pid, int fd, char **ret)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)pid, fd);
	return hp_read_file(AT_FDCWD, path, FDINFO_MAX, ret, NULL);
}

bool hp_fd_is_cloexec(pid_t pid, int fd)
{
	unsigned flags = 0;
	char *text, *at;

	if (read_fdinfo(pid, fd, &text) < 0)
		return false;
	at = strstr(text, "flags:");
	if (at)
		flags = (unsigned)strtoul(at + strlen("flags:"), NULL, 8);
	free(text);
	return flags & O_CLOEXEC;
}

/* "tfd:        8 events:       19 data: 7f…  pos:0 ino:1a2b sdev:8": ep_show_fdinfo().  Nothing
 * when it is gone. */
static int add_interests(struct hp_interests *to, pid_t pid, int epoll)
{
	char *text, *line, *rest;
	int r = 0;

	if (read_fdinfo(pid, epoll, &text) < 0)
		return 0;
	for (line = strtok_r(text, "\n", &rest); line && r == 0; line = strtok_r(NULL, "\n", &rest)) {
		unsigned long long data, pos, ino;
		struct hp_interest *v;
		unsigned events;
		int fd;

		if (sscanf(line, "tfd: %d events: %x data: %llx pos:%lli ino:%llx", &fd, &events,
			   &data, (long long *)&pos, &ino) != 5)
			continue;
		v = HP_ARRAY_ADD(to);
		if (v)
			*v = (struct hp_interest){epoll, fd, events, data, (ino_t)ino};
		else
			r = -ENOMEM;
	}
	free(text);
	return r;
}

int hp_interests_read(struct hp_interests *ret, pid_t pid)
{
	struct hp_fd_list fds = {0};
	int r = hp_fd_list_read(&fds, pid);

	ret->n = 0;
	for (size_t i = 0; r == 0 && i < fds.n; i++)
		if (fds.v[i].kind == HP_FD_EPOLL)
			r = add_interests(ret, pid, fds.v[i].fd);
	hp_fd_list_free(&fds);
	return r;
}

void hp_interests_free(struct hp_interests *i)
{
	HP_ARRAY_FREE(i);
}
