/* SPDX-License-Identifier: MIT */
/* The word to systemd: to a path, to an abstract name, and to nobody; and hearing it. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/notify.h"

#define WAIT_MS 20000

/* A socket as systemd has one, at @name ("@…" is abstract). */
static int listen_at(const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, name);
	if (*name == '@')
		a.sun_path[0] = 0;
	assert_int_equal(bind(fd, (struct sockaddr *)&a,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	return fd;
}

static void expect(int fd, const char *wanted)
{
	char got[256];
	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);

	assert_true(n >= 0);
	got[n] = 0;
	assert_string_equal(got, wanted);
}

static void tells_a_path(void **state)
{
	char dir[] = "/tmp/hp-notify.XXXXXX", path[64];
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/notify", dir);
	fd = listen_at(path);
	assert_int_equal(hp_notify(path, "READY=1\nMAINPID=7"), 0);
	expect(fd, "READY=1\nMAINPID=7");
	close(fd);
	assert_int_equal(hp_notify(path, "READY=1"), -ECONNREFUSED);
	unlink(path);
	assert_int_equal(hp_notify(path, "READY=1"), -ENOENT);
	rmdir(dir);
}

static void tells_an_abstract_name(void **state)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "@hp-notify-%d", (int)getpid());
	fd = listen_at(name);
	assert_int_equal(hp_notify(name, "STOPPING=1"), 0);
	expect(fd, "STOPPING=1");
	close(fd);
}

static void tells_nobody(void **state)
{
	assert_int_equal(hp_notify(NULL, "READY=1"), 0);
	assert_int_equal(hp_notify("", "READY=1"), 0);
}

static void refuses_what_is_no_address(void **state)
{
	char lengthy[200] = "/";

	memset(lengthy + 1, 'x', sizeof(lengthy) - 2);
	assert_int_equal(hp_notify("relative", "READY=1"), -EINVAL);
	assert_int_equal(hp_notify(lengthy, "READY=1"), -EINVAL);
}

static void hears_what_is_said(void **state)
{
	const struct ucred other = {getppid(), 65534, 65533};
	struct hp_notify_socket n = {.fd = -1};
	struct hp_notified said;
	char name[64];

	snprintf(name, sizeof(name), "@hp-notify-test-%d", (int)getpid());
	assert_int_equal(hp_notify_listen(&n, "nowhere"), -EINVAL);
	assert_int_equal(hp_notify_listen(&n, name), 0);
	assert_string_equal(n.name, name);
	assert_false(hp_notify_take(&n, &said));
	assert_int_equal(hp_notify(name, "STATUS=READY=1\nMAINPID=77\n"), 0);
	assert_int_equal(hp_notify(name, "READY=1"), 0);
	assert_true(hp_notify_take(&n, &said));
	assert_false(said.ready);
	assert_int_equal(said.main_pid, 77);
	assert_int_equal(said.from.pid, getpid());
	assert_int_equal(said.from.uid, getuid());
	assert_true(hp_notify_take(&n, &said));
	assert_true(said.ready);
	assert_int_equal(said.main_pid, 0);
	assert_string_equal(said.text, "READY=1");
	assert_false(hp_notify_take(&n, &said));
	assert_int_equal(hp_notify_as(name, &other, "WATCHDOG=1"), 0);
	assert_true(hp_notify_take(&n, &said));
	assert_memory_equal(&said.from, &other, sizeof(other));
	close(n.fd);
}

/* Says BARRIER=1 to @n, with @fd beside it. */
static void say_with(struct hp_notify_socket *n, int fd)
{
	struct iovec iov = {"BARRIER=1", 9};
	char room[CMSG_SPACE(sizeof(int))] = "";
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room,
			     .msg_controllen = sizeof(room)};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int sock = socket(AF_UNIX, SOCK_DGRAM, 0);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	memcpy(a.sun_path + 1, n->name + 1, strlen(n->name) - 1);
	msg.msg_name = &a;
	msg.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(n->name));
	assert_int_equal(sendmsg(sock, &msg, 0), 9);
	close(sock);
}

static void hear(struct hp_notify_socket *n)
{
	struct hp_notified said;

	assert_true(hp_notify_take(n, &said));
	assert_string_equal(said.text, "BARRIER=1");
	assert_int_equal(said.from.pid, getpid());
}

static void hear_with(struct hp_notify_socket *n, int fd)
{
	say_with(n, fd);
	hear(n);
}

static void listen_for_descriptors(struct hp_notify_socket *n)
{
	char name[64];

	snprintf(name, sizeof(name), "@hp-notify-fds-%d", (int)getpid());
	assert_int_equal(hp_notify_listen(n, name), 0);
}

/* sd_notify_barrier(3) waits for the end of a pipe that it has sent. */
static void lets_go_of_descriptors(void **state)
{
	struct hp_notify_socket n;
	struct pollfd end;
	int p[2];

	listen_for_descriptors(&n);
	assert_int_equal(pipe(p), 0);
	end = (struct pollfd){.fd = p[0]};
	assert_int_equal(poll(&end, 1, 0), 0);
	hear_with(&n, p[1]);
	close(p[1]);
	assert_int_equal(poll(&end, 1, WAIT_MS), 1);
	assert_int_equal(end.revents, POLLHUP);
	close(p[0]);
	close(n.fd);
}

/* Whether another process finds it locked. */
static bool is_locked(int fd)
{
	struct flock l = {.l_type = F_WRLCK};
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fcntl(fd, F_GETLK, &l) || l.l_type == F_UNLCK);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status == 0;
}

/* Who closes a file has to wait until that is flushed, and loses his locks of it. */
static void does_not_take_and_close_them(void **state)
{
	struct flock l = {.l_type = F_WRLCK};
	struct hp_notify_socket n;
	char path[] = "/tmp/hp-notify.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	listen_for_descriptors(&n);
	assert_int_equal(fcntl(fd, F_SETLK, &l), 0);
	assert_true(is_locked(fd));
	hear_with(&n, fd);
	assert_true(is_locked(fd));
	close(fd);
	close(n.fd);
}

/* A connection whose end waits for long, since nobody reads what it has sent. */
static int open_lingering(int *far)
{
	const struct linger l = {.l_onoff = 1, .l_linger = 600};
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(a);
	static char much[1 << 20];
	int on = socket(AF_INET, SOCK_STREAM, 0), near = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(on, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(on, 1), 0);
	assert_int_equal(getsockname(on, (struct sockaddr *)&a, &n), 0);
	assert_int_equal(connect(near, (struct sockaddr *)&a, sizeof(a)), 0);
	*far = accept(on, NULL, NULL);
	assert_true(*far >= 0);
	close(on);
	while (send(near, much, sizeof(much), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(setsockopt(near, SOL_SOCKET, SO_LINGER, &l, sizeof(l)), 0);
	return near;
}

/* The kernel's end of the last descriptor is the receiver's affair. */
static void does_not_wait_for_a_connection(void **state)
{
	struct hp_notify_socket n;
	uint64_t since = hp_now_ns();
	int far, near = open_lingering(&far);

	listen_for_descriptors(&n);
	say_with(&n, near);
	close(near);
	alarm(WAIT_MS / 1000);
	hear(&n);
	alarm(0);
	assert_true(hp_now_ns() - since < 5 * HP_S);
	close(far);
	close(n.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_a_path),
		cmocka_unit_test(tells_an_abstract_name),
		cmocka_unit_test(tells_nobody),
		cmocka_unit_test(refuses_what_is_no_address),
		cmocka_unit_test(hears_what_is_said),
		cmocka_unit_test(lets_go_of_descriptors),
		cmocka_unit_test(does_not_take_and_close_them),
		cmocka_unit_test(does_not_wait_for_a_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
