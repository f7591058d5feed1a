/* SPDX-License-Identifier: MIT */
/* A server's threads are stopped while none of them has a datagram in hand, and begin their calls anew. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "hp/err.h"
#include "restart/quiet.h"
#include "../services/tied.h"

#define CLIENTS 4
#define ROUNDS	50

/* What the server says of itself. */
static struct word {
	_Atomic unsigned served, in_hand, waits, faults;
} *word;

static int at;
static struct sockaddr_in addr;

static int set_up(void **state)
{
	socklen_t n = sizeof(addr);

	word = mmap(NULL, sizeof(*word), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	at = socket(AF_INET, SOCK_DGRAM, 0);
	addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	return word == MAP_FAILED || at < 0 || bind(at, (struct sockaddr *)&addr, sizeof(addr)) ||
	       getsockname(at, (struct sockaddr *)&addr, &n);
}

static int tear_down(void **state)
{
	munmap(word, sizeof(*word));
	return close(at);
}

static void answer(void)
{
	struct sockaddr_in from;
	socklen_t n = sizeof(from);
	char byte;

	word->in_hand = 1; /* or will be in a moment */
	if (recvfrom(at, &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&from, &n) == 1) {
		word->faults += sendto(at, &byte, 1, 0, (struct sockaddr *)&from, n) != 1;
		word->served++;
	}
	word->in_hand = 0;
}

static void serve(void)
{
	struct pollfd p = {.fd = at, .events = POLLIN};

	for (;;) {
		word->faults += poll(&p, 1, -1) != 1;
		answer();
	}
}

/* Takes from the same socket, as a new generation does. */
static void take_part(void)
{
	struct sockaddr_in from;
	socklen_t n = sizeof(from);
	char byte;

	for (; recvfrom(at, &byte, 1, 0, (struct sockaddr *)&from, &n) == 1; n = sizeof(from))
		(void)sendto(at, &byte, 1, 0, (struct sockaddr *)&from, n); /* a client waits a while only */
}

static void ask(void)
{
	struct timeval patience = {.tv_usec = 100000};
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	char byte = 0;

	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(s, (struct sockaddr *)&addr, sizeof(addr)))
		_exit(1);
	for (;;) {
		(void)!send(s, &byte, 1, 0);
		(void)!recv(s, &byte, 1, 0); /* who answers does not matter */
	}
}

static pid_t start(void (*fn)(void))
{
	pid_t pid = tied_fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		fn();
		_exit(1);
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void wait_for(_Atomic unsigned *what, unsigned atleast)
{
	for (int i = 0; i < 20000 && *what < atleast; i++)
		hp_pause_ns(HP_MS);
	assert_true(*what >= atleast);
}

static void open_target(struct hp_quiet *q, struct hp_target **t, pid_t pid)
{
	struct hp_err err;

	if (hp_target_open(t, pid, &err) < 0)
		fail_msg("%s", err.text);
	*q = (struct hp_quiet){.t = *t};
}

static void a_busy_server_has_nothing_in_hand_when_it_is_quiet(void **state)
{
	pid_t server = start(serve), other = start(take_part), client[CLIENTS];
	struct hp_target *t;
	struct hp_quiet q;
	struct hp_err err;

	for (int i = 0; i < CLIENTS; i++)
		client[i] = start(ask);
	wait_for(&word->served, 100);
	open_target(&q, &t, server);
	for (int i = 0; i < ROUNDS; i++) {
		unsigned served;

		if (hp_quiet_begin(&q, hp_now_ns() + 10 * HP_S, &err) < 0)
			fail_msg("%s", err.text);
		served = word->served;
		assert_int_equal(word->in_hand, 0);
		hp_pause_ns(HP_MS);
		assert_int_equal(word->served, served);
		hp_quiet_end(&q);
		wait_for(&word->served, served + 1);
	}
	assert_int_equal(word->faults, 0);
	hp_target_free(t);
	for (int i = 0; i < CLIENTS; i++)
		end(client[i]);
	end(other);
	end(server);
}

/* It has one, and looks for more before it answers. */
static void collect(void)
{
	char byte;

	word->waits = 1;
	for (;;)
		word->faults += recv(at, &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

static void who_looks_for_more_is_not_quiet(void **state)
{
	pid_t server = start(collect);
	struct hp_target *t;
	struct hp_quiet q;
	struct hp_err err;

	wait_for(&word->waits, 1);
	open_target(&q, &t, server);
	assert_int_equal(hp_quiet_begin(&q, hp_now_ns() + 200 * HP_MS, &err), -HP_E_TARGET);
	assert_non_null(strstr(err.text, "never seen without a datagram in hand"));
	assert_int_equal(word->faults, 0);
	hp_target_free(t);
	end(server);
}

static bool by_recvfrom(char *byte)
{
	return recvfrom(at, byte, 1, 0, NULL, NULL) == 1;
}

static bool by_recvmsg(char *byte)
{
	struct iovec to = {byte, 1};
	struct msghdr m = {.msg_iov = &to, .msg_iovlen = 1};

	return recvmsg(at, &m, 0) == 1;
}

static bool by_recvmmsg(char *byte)
{
	struct iovec to = {byte, 1};
	struct mmsghdr m = {.msg_hdr = {.msg_iov = &to, .msg_iovlen = 1}};

	return recvmmsg(at, &m, 1, 0, NULL) == 1;
}

static bool (*hear)(char *byte);

/* With a time-out of the socket's such a call answers a stop with EINTR. */
static void hear_one(void)
{
	struct timeval patience = {.tv_sec = 100};
	char byte;

	setsockopt(at, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	word->waits++;
	word->faults += !hear(&byte);
	word->served++;
	for (;;)
		pause();
}

static void who_waits_with_a_time_out_waits_on(void **state)
{
	bool (*const ways[])(char *) = {by_recvfrom, by_recvmsg, by_recvmmsg};

	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct hp_target *t;
		struct hp_quiet q;
		struct hp_err err;
		char byte = 0;
		pid_t server;

		*word = (struct word){0};
		hear = ways[i];
		server = start(hear_one);
		wait_for(&word->waits, 1);
		open_target(&q, &t, server);
		for (int k = 0; k < 20; k++) {
			if (hp_quiet_begin(&q, hp_now_ns() + 5 * HP_S, &err) < 0)
				fail_msg("%u: %s", i, err.text);
			hp_quiet_end(&q);
		}
		assert_int_equal(word->served, 0);
		assert_int_equal(sendto(at, &byte, 1, 0, (struct sockaddr *)&addr, sizeof(addr)), 1);
		wait_for(&word->served, 1);
		if (word->faults)
			fail_msg("%u: the call failed", i);
		hp_target_free(t);
		end(server);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_busy_server_has_nothing_in_hand_when_it_is_quiet,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_looks_for_more_is_not_quiet, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_waits_with_a_time_out_waits_on, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
