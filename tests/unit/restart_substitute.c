/* SPDX-License-Identifier: MIT */
/* A bind that is answered with a listener: what is done in the process that made it, and in no other. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "restart/substitute.h"
#include "rig/reborn.h"
#include "rig/sleeper.h"
#include "service/fds.h"

#define DATA 0x666

/* The program, which has what we have, by the same numbers: a socket that its epoll waits for. */
static pid_t pid;
static int sock, epoll;
static struct sockaddr_in addr;

static struct hp_listener listener;
static struct hp_listeners listeners = {.v = &listener, .n = 1};
static unsigned put, told;
static bool waiting;

static void tell(void *arg, bool warning, const char *text)
{
	told += warning;
}

static bool waits(const struct hp_told_call *c)
{
	return waiting;
}

static bool put_it(const struct hp_told_call *c, int from, int to, bool cloexec)
{
	assert_int_equal(from, listener.fd);
	assert_int_equal(to, sock);
	put++;
	return true;
}

/* As if letting go of its socket had taken as long as that takes. */
static bool put_and_lose(const struct hp_told_call *c, int from, int to, bool cloexec)
{
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid = reborn_fork(pid);
	if (pid == 0) {
		int own = epoll_create1(EPOLL_CLOEXEC);

		if (dup2(own, epoll) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	waiting = false;
	return put_it(c, from, to, cloexec);
}

static bool bind_with(bool (*way)(const struct hp_told_call *c, int from, int to, bool cloexec))
{
	const struct hp_told_call c = {.tid = pid,
				       .process = pid,
				       .nr = SYS_bind,
				       .args = {(uint64_t)sock, (uintptr_t)&addr, sizeof(addr)},
				       .waits = waits,
				       .put = way};
	struct hp_substitution s = {.listeners = &listeners, .tell = tell};

	return hp_substitute(&s, &c);
}

/* What the process of that number waits for by its epoll, at the listener. */
static unsigned interests(void)
{
	struct hp_interests all = {0};
	unsigned n = 0;

	assert_int_equal(hp_interests_read(&all, pid), 0);
	for (size_t i = 0; i < all.n; i++)
		n += all.v[i].epoll == epoll && all.v[i].fd == sock && all.v[i].data == DATA &&
		     all.v[i].ino == listener.ino;
	hp_interests_free(&all);
	return n;
}

static int set_up(void **state)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = DATA};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof(addr);

	addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &n), 0);
	assert_int_equal(hp_listener_describe(&listener, fd), 0);
	listener.fd = fd;
	sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, sock, &e), 0);
	put = told = 0;
	waiting = true;
	pid = sleeper_start();
	return pid > 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	sleeper_end(pid);
	close(listener.fd);
	close(epoll);
	return close(sock);
}

static void its_epoll_goes_on(void **state)
{
	assert_true(bind_with(put_it));
	assert_int_equal(put, 1);
	assert_int_equal(told, 0);
	assert_true(listener.handed);
	assert_int_equal(interests(), 1);
}

static void another_one_by_then(void **state)
{
	assert_true(bind_with(put_and_lose));
	assert_int_equal(put, 1);
	assert_int_equal(interests(), 0);
	assert_int_equal(told, 1);
}

static void another_one_before(void **state)
{
	waiting = false;
	assert_false(bind_with(put_it));
	assert_int_equal(put, 0);
	assert_false(listener.handed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(its_epoll_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_one_by_then, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_one_before, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
