/* SPDX-License-Identifier: MIT */
/* What takes the place of a listener: of its type, and reached by nobody, not by root either. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "hp/err.h"
#include "restart/dummy.h"
#include "service/inventory.h"

#define NOBODY	65534
#define WAIT_MS 20000

static struct hp_err err;

struct place {
	struct sockaddr_storage addr;
	socklen_t len;
	int domain, type;
};

static int open_for(int family, int type, int status, struct place *ret)
{
	struct hp_listener l = {.fd = -1, .family = family, .type = type, .status = status,
				.text = "the listener"};
	int fd = hp_dummy_open(&l, &err);
	socklen_t n = sizeof(int);

	if (fd < 0)
		fail_msg("%s", err.text);
	*ret = (struct place){.len = sizeof(ret->addr)};
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ret->addr, &ret->len), 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &ret->domain, &n), 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_TYPE, &ret->type, &n), 0);
	assert_int_equal(ret->type, type);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, status & O_NONBLOCK);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	return fd;
}

/* 0: it was let in. */
static int call(const struct place *at)
{
	int fd = socket(at->domain, at->type, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&at->addr, at->len))
		return errno;
	return send(fd, "hello", 5, MSG_DONTWAIT) == 5 ? 0 : errno;
}

static int call_as_nobody(const struct place *at)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(setresuid(NOBODY, NOBODY, NOBODY) ? 255 : call(at));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool is_readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

static void refuses_everybody(int family, int type)
{
	struct place at;
	int fd = open_for(family, type, 0, &at);

	assert_int_not_equal(call_as_nobody(&at), 0);
	assert_int_not_equal(call_as_nobody(&at), 255);
	assert_int_not_equal(call(&at), 0);
	assert_false(is_readable(fd, 0));
	close(fd);
}

static void streams_are_refused(void **state)
{
	refuses_everybody(AF_INET, SOCK_STREAM);
	refuses_everybody(AF_INET6, SOCK_STREAM);
	refuses_everybody(AF_UNIX, SOCK_STREAM);
	refuses_everybody(AF_UNIX, SOCK_SEQPACKET);
	refuses_everybody(AF_UNIX, SOCK_DGRAM);
}

/* What was sent behind it has arrived by then, where somebody is there. */
static void wait_for_another(int family)
{
	struct place at = {.len = sizeof(at.addr), .domain = family, .type = SOCK_DGRAM};
	int fd = socket(family, SOCK_DGRAM, 0);

	at.addr.ss_family = (sa_family_t)family;
	assert_int_equal(bind(fd, (struct sockaddr *)&at.addr, at.len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at.addr, &at.len), 0);
	assert_int_equal(call(&at), 0);
	assert_true(is_readable(fd, WAIT_MS));
	close(fd);
}

static void drops_what_arrives(int family)
{
	struct place at;
	int fd = open_for(family, SOCK_DGRAM, 0, &at);

	assert_int_equal(call_as_nobody(&at), 0);
	assert_int_equal(call(&at), 0);
	wait_for_another(family);
	assert_false(is_readable(fd, 0));
	close(fd);
}

static void datagrams_are_dropped(void **state)
{
	drops_what_arrives(AF_INET);
	drops_what_arrives(AF_INET6);
}

static void blocks_as_the_listener_did(void **state)
{
	struct place at;
	int fd = open_for(AF_INET, SOCK_STREAM, O_NONBLOCK, &at);

	assert_int_equal(accept(fd, NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	close(fd);
}

static void leaves_no_file(void **state)
{
	struct sockaddr_un *un;
	struct place at;
	int fd = open_for(AF_UNIX, SOCK_STREAM, 0, &at), again;

	un = (struct sockaddr_un *)&at.addr;
	assert_int_equal(un->sun_path[0], '/');
	assert_int_equal(access(un->sun_path, F_OK), -1);
	assert_int_equal(errno, ENOENT);
	/* Nor does one that was left by who was killed stand in the way. */
	again = open(un->sun_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
	assert_true(again >= 0);
	close(again);
	close(fd);
	close(open_for(AF_UNIX, SOCK_STREAM, 0, &at));
	assert_int_equal(access(un->sun_path, F_OK), -1);
}

static int make_dir(void **state)
{
	return mkdir("/run/hp", 0755) && errno != EEXIST ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_are_refused),
		cmocka_unit_test(datagrams_are_dropped),
		cmocka_unit_test(blocks_as_the_listener_did),
		cmocka_unit_test(leaves_no_file),
	};

	return cmocka_run_group_tests(tests, make_dir, NULL);
}
