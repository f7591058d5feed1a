/* SPDX-License-Identifier: MIT */
/*
 * A server that was not written to be restarted: netsvc WAY OPTION… ADDRESS…
 *
 *	threads		four threads in accept
 *	reuseport	four threads in accept, each with a SO_REUSEPORT socket of its own
 *	prefork		the parent binds, three children are in accept
 *	workers		three children, each with a SO_REUSEPORT socket of its own (workers=N)
 *	epoll, poll, select	one loop, nothing blocks
 *
 * It answers each line with "<pid> <tag>".  After "one" it closes; after any other it goes on
 * reading.  A datagram is answered with a datagram.
 *
 *	tag=TEXT	what it answers
 *	early		it is put into the epoll before it is bound
 *	uring		io_uring binds it
 *	inherit=FD	it has it from its parent, as that descriptor, and listening
 *	unlink		it removes its unix socket when it ends
 *	daemon		it goes into the background; pidfile=PATH is written then
 *	forks=N		it goes on in its Nth descendant, without a session of its own
 *	linger=FILE	… and who forks ends when FILE is there
 *	user=UID	it gives up its rights when it has bound
 *	shorn		… or stays root, and gives up its capabilities and their return
 *	chroot=DIR	it goes there first
 *	environ=TEXT	it writes TEXT over its environment, as /proc shows it
 *	v6only		IPv6 sockets take no IPv4
 *	seize=PID:FILE	a child of it traces PID until FILE is there
 *	die=STAGE, hang=STAGE	ends, or does nothing more, at start, bind, listen
 *	hold=STAGE:FILE	goes on when FILE is there
 *	notify=FILE	says READY=1 when FILE is there
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net.h"
#include "tied.h"

#define LISTENERS_MAX 16
#define THREADS	      4
#define CHILDREN      3
#define EVENTS	      64

static struct {
	const char *way, *tag, *die, *hang, *hold, *notify, *pidfile, *linger,
		*seize, *chroot, *environ;
	bool early, uring, unlink_at_end, daemon, v6only, shorn;
	int user, forks, workers, inherit;
} opt = {.tag = "1", .user = -1, .inherit = -1, .workers = CHILDREN};

static struct net_addr addr[LISTENERS_MAX];
static int listener[LISTENERS_MAX], n_addr, epoll_fd = -1;

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "netsvc %d: %s: %s\n", (int)getpid(), what, strerror(errno));
	exit(3);
}

static bool is_way(const char *way)
{
	return !strcmp(opt.way, way);
}

static void wait_for_file(const char *path)
{
	while (access(path, F_OK))
		usleep(2000);
}

/* Something may have been ordered to happen here. */
static void stage(const char *name)
{
	size_t n = strlen(name);

	if (opt.hold && !strncmp(opt.hold, name, n) && opt.hold[n] == ':') {
		printf("%s %d\n", name, (int)getpid());
		wait_for_file(opt.hold + n + 1);
	}
	if (opt.die && !strcmp(opt.die, name))
		abort();
	if (opt.hang && !strcmp(opt.hang, name))
		for (;;)
			pause();
}

/* --- answering ----------------------------------------------------------------------------------- */

/* False: the connection is over. */
static bool answer(int fd)
{
	char line[256], text[300];
	ssize_t n = recv(fd, line, sizeof(line) - 1, 0);
	int len;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	line[n] = 0;
	len = snprintf(text, sizeof(text), "%d %s\n", (int)getpid(), opt.tag);
	if (send(fd, text, (size_t)len, MSG_NOSIGNAL) != len)
		return false;
	return strncmp(line, "one", 3) != 0;
}

static void answer_datagram(int fd, int flags)
{
	struct sockaddr_storage from;
	socklen_t n = sizeof(from);
	char line[256], text[300];
	int len;

	if (recvfrom(fd, line, sizeof(line), flags, (struct sockaddr *)&from, &n) < 0)
		return;
	len = snprintf(text, sizeof(text), "%d %s\n", (int)getpid(), opt.tag);
	(void)sendto(fd, text, (size_t)len, 0, (struct sockaddr *)&from, n);
}

static void *serve_connection(void *arg)
{
	int fd = (int)(intptr_t)arg;

	while (answer(fd))
		;
	close(fd);
	return NULL;
}

static void start_thread(void *(*fn)(void *), intptr_t arg)
{
	pthread_t t;

	check(pthread_create(&t, NULL, fn, (void *)arg) == 0, "thread");
	pthread_detach(t);
}

static void *accept_loop(void *arg)
{
	int i = (int)(intptr_t)arg;

	for (;;) {
		int fd;

		if (addr[i].type == SOCK_DGRAM) {
			answer_datagram(listener[i], 0);
			continue;
		}
		fd = accept(listener[i], NULL, NULL);
		check(fd >= 0 || errno == ECONNABORTED, "accept");
		if (fd >= 0)
			start_thread(serve_connection, fd);
	}
	return NULL;
}

/* --- the ways ------------------------------------------------------------------------------------ */

static int open_one(const struct net_addr *a)
{
	bool own = is_way("reuseport") || is_way("workers");
	bool block = own || is_way("threads") || is_way("prefork");
	int fd = socket(a->family, a->type | SOCK_CLOEXEC | (block ? 0 : SOCK_NONBLOCK), 0), on = 1;

	check(fd >= 0, "socket");
	if (a->family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){opt.v6only}, sizeof(on));
	if (a->family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, own ? SO_REUSEPORT : SO_REUSEADDR, &on, sizeof(on));
	return fd;
}

static void watch(int fd, int ep)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	check(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0, "epoll_ctl");
}

static void seize_all(const char *pid_file)
{
	char path[64];
	int pid = atoi(pid_file);
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	check(d != NULL, path);
	while ((e = readdir(d)))
		check(e->d_name[0] == '.' || ptrace(PTRACE_SEIZE, atoi(e->d_name), 0, 0) == 0,
		      "PTRACE_SEIZE");
	closedir(d);
}

static void seize(void)
{
	int said[2];
	char byte;

	check(pipe(said) == 0, "pipe");
	if (fork() == 0) {
		seize_all(opt.seize);
		check(write(said[1], "", 1) == 1, "pipe");
		wait_for_file(strchr(opt.seize, ':') + 1);
		_exit(0);
	}
	check(read(said[0], &byte, 1) == 1, "the tracer");
	close(said[0]);
	close(said[1]);
}

/* Linux 6.11's, which liburing 2.3 does not know. */
static int ring_bind(int fd, const struct sockaddr *to, socklen_t n)
{
	const struct io_uring_sqe op = {.opcode = 56, .fd = fd, .addr = (uintptr_t)to, .off = n};
	struct io_uring ring;
	struct io_uring_cqe *done;

	check(io_uring_queue_init(1, &ring, 0) == 0, "io_uring");
	*io_uring_get_sqe(&ring) = op;
	check(io_uring_submit_and_wait(&ring, 1) == 1 && io_uring_peek_cqe(&ring, &done) == 0,
	      "io_uring");
	errno = -done->res;
	io_uring_queue_exit(&ring);
	return errno ? -1 : 0;
}

static void open_all(void)
{
	if (opt.seize)
		seize();

	if (is_way("epoll"))
		epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	stage("start");
	if (opt.inherit >= 0) {
		listener[0] = opt.inherit;
		return;
	}
	for (int i = 0; i < n_addr; i++) {
		listener[i] = open_one(&addr[i]);
		if (opt.early)
			watch(listener[i], epoll_fd);
		if (addr[i].path)
			(void)unlink(addr[i].path);
		check((opt.uring ? ring_bind : bind)(listener[i], (struct sockaddr *)&addr[i].sa,
						     addr[i].len) == 0,
		      "bind");
	}
	stage("bind");
	for (int i = 0; i < n_addr; i++)
		check(addr[i].type == SOCK_DGRAM || listen(listener[i], 1024) == 0, "listen");
	stage("listen");
}

static bool is_listener(int fd, int *which)
{
	for (int i = 0; i < n_addr; i++)
		if (listener[i] == fd) {
			*which = i;
			return true;
		}
	return false;
}

/* A new connection, or a datagram; what is accepted, or -1. */
static int take(int i)
{
	if (addr[i].type != SOCK_DGRAM)
		return accept4(listener[i], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	answer_datagram(listener[i], MSG_DONTWAIT);
	return -1;
}

static void epoll_loop(void)
{
	struct epoll_event e[EVENTS];

	for (int i = 0; i < n_addr && !opt.early; i++)
		watch(listener[i], epoll_fd);
	for (;;) {
		int n = epoll_wait(epoll_fd, e, EVENTS, -1), which;

		check(n >= 0, "epoll_wait");
		for (int i = 0; i < n; i++) {
			int fd = e[i].data.fd;

			if (is_listener(fd, &which)) {
				fd = take(which);
				if (fd >= 0)
					watch(fd, epoll_fd);
			} else if (!answer(fd)) {
				close(fd);
			}
		}
	}
}

static void poll_loop(void)
{
	static struct pollfd p[1024];
	int n = n_addr;

	for (int i = 0; i < n; i++)
		p[i] = (struct pollfd){.fd = listener[i], .events = POLLIN};
	for (;;) {
		check(poll(p, (nfds_t)n, -1) >= 0, "poll");
		for (int i = n - 1; i >= 0; i--) {
			if (!p[i].revents)
				continue;
			if (i < n_addr) {
				int fd = take(i);

				if (fd >= 0 && n < 1024)
					p[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
			} else if (!answer(p[i].fd)) {
				close(p[i].fd);
				p[i] = p[--n];
			}
		}
	}
}

static void select_loop(void)
{
	fd_set all, now;
	int which;

	FD_ZERO(&all);
	for (int i = 0; i < n_addr; i++)
		FD_SET(listener[i], &all);
	for (;;) {
		now = all;
		check(select(FD_SETSIZE, &now, NULL, NULL, NULL) >= 0, "select");
		for (int fd = 0; fd < FD_SETSIZE; fd++) {
			if (!FD_ISSET(fd, &now))
				continue;
			if (is_listener(fd, &which)) {
				int new = take(which);

				if (new >= 0)
					FD_SET(new, &all);
			} else if (!answer(fd)) {
				FD_CLR(fd, &all);
				close(fd);
			}
		}
	}
}

/* Each calls @begin, and then says a byte to @told (-1: nobody). */
static void fork_children(int n, void (*begin)(void), int told)
{
	for (int c = 0; c < n; c++) {
		pid_t pid = tied_fork();

		check(pid >= 0, "fork");
		if (pid)
			continue;
		if (begin)
			begin();
		check(told < 0 || write(told, "", 1) == 1, "pipe");
		for (int i = 1; i < n_addr; i++)
			start_thread(accept_loop, i);
		accept_loop(0);
	}
}

/* Returns when each of them listens. */
static void fork_workers(void)
{
	int said[2];
	char byte;

	check(pipe(said) == 0, "pipe");
	fork_children(opt.workers, open_all, said[1]);
	for (int c = 0; c < opt.workers; c++)
		check(read(said[0], &byte, 1) == 1, "a worker");
	close(said[0]);
	close(said[1]);
}

static void notify_ready(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	wait_for_file(opt.notify);
	if (!name)
		return;
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", name);
	if (*name == '@')
		un.sun_path[0] = 0;
	check(sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&un,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) == 7,
	      "READY=1");
	close(fd);
}

/* --- the beginning and the end ---------------------------------------------------------------------- */

static void end(int signal)
{
	for (int i = 0; i < n_addr; i++)
		if (opt.unlink_at_end && addr[i].path)
			(void)unlink(addr[i].path);
	if (opt.unlink_at_end && opt.pidfile)
		(void)unlink(opt.pidfile);
	_exit(0);
}

/* The child goes on. */
static void leave_parent(void)
{
	pid_t pid = fork();

	check(pid >= 0, "fork");
	if (!pid)
		return;
	if (opt.linger)
		wait_for_file(opt.linger);
	_exit(0);
}

static void go_into_background(void)
{
	FILE *f;

	if (opt.daemon) {
		leave_parent();
		setsid();
	}
	for (int i = 0; i < opt.forks; i++)
		leave_parent();
	if (!opt.pidfile)
		return;
	f = fopen(opt.pidfile, "we");
	check(f != NULL, opt.pidfile);
	fprintf(f, "%d\n", (int)getpid());
	fclose(f);
}

/* NAME=VALUE: the value. */
static const char *value(const char *arg, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(arg, name, n) && arg[n] == '=' ? arg + n + 1 : NULL;
}

static void read_option(const char *arg)
{
	const struct {
		const char *name;
		const char **to;
	} texts[] = {{"tag", &opt.tag},	  {"die", &opt.die},	   {"hang", &opt.hang},
		     {"hold", &opt.hold}, {"notify", &opt.notify}, {"pidfile", &opt.pidfile},
		     {"linger", &opt.linger}, {"seize", &opt.seize},
		     {"chroot", &opt.chroot}, {"environ", &opt.environ}};
	const struct {
		const char *name;
		bool *to;
	} flags[] = {{"early", &opt.early},
		     {"uring", &opt.uring},
		     {"unlink", &opt.unlink_at_end},
		     {"daemon", &opt.daemon},
		     {"v6only", &opt.v6only},
		     {"shorn", &opt.shorn}};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (value(arg, texts[i].name)) {
			*texts[i].to = value(arg, texts[i].name);
			return;
		}
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (!strcmp(arg, flags[i].name)) {
			*flags[i].to = true;
			return;
		}
	if (value(arg, "user"))
		opt.user = atoi(value(arg, "user"));
	else if (value(arg, "forks"))
		opt.forks = atoi(value(arg, "forks"));
	else if (value(arg, "inherit"))
		opt.inherit = atoi(value(arg, "inherit"));
	else if (value(arg, "workers"))
		opt.workers = atoi(value(arg, "workers"));
	else
		addr[n_addr++] = net_parse(arg);
}

/* Each thread its own. */
static void multiply(void)
{
	int n = n_addr;

	for (int t = 1; t < THREADS; t++)
		for (int i = 0; i < n; i++)
			addr[n_addr++] = addr[i];
}

static void write_environment(void)
{
	char *from = environ[0], *to = from;

	for (char **e = environ; *e; e++)
		to = *e + strlen(*e) + 1;
	memset(from, 0, (size_t)(to - from));
	(void)snprintf(from, (size_t)(to - from), "%s", opt.environ);
}

static void shear(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {0};

	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_capset, &head, none) == 0,
	      "capset");
}

static void give_up_rights(void)
{
	if (opt.chroot)
		check(chroot(opt.chroot) == 0 && chdir("/") == 0, "chroot");
	if (opt.user >= 0)
		check(setresuid((uid_t)opt.user, (uid_t)opt.user, (uid_t)opt.user) == 0, "setuid");
	if (opt.shorn)
		shear();
}

int main(int argc, char **argv)
{
	struct sigaction terminated = {.sa_handler = end};

	if (argc < 3)
		return 2;
	opt.way = argv[1];
	for (int i = 2; i < argc && n_addr < LISTENERS_MAX / THREADS; i++)
		read_option(argv[i]);
	if (is_way("reuseport"))
		multiply();
	sigaction(SIGTERM, &terminated, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!is_way("workers"))
		open_all();
	go_into_background();
	give_up_rights();
	if (opt.environ)
		write_environment();
	if (is_way("prefork"))
		fork_children(CHILDREN, NULL, -1);
	if (is_way("workers"))
		fork_workers();
	if (is_way("threads") || is_way("reuseport"))
		for (int t = 0; t < (is_way("threads") ? THREADS : 1); t++)
			for (int i = 0; i < n_addr; i++)
				start_thread(accept_loop, i);
	printf("ready %d\n", (int)getpid());
	if (opt.notify)
		notify_ready();
	if (is_way("epoll"))
		epoll_loop();
	if (is_way("poll"))
		poll_loop();
	if (is_way("select"))
		select_loop();
	for (;;)
		pause();
}
