/* SPDX-License-Identifier: MIT */
/* Clients of every kind against the real loop: none may harm hpd or another client. */
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "access/peer.h"
#include "base/clock.h"
#include "base/defaults.h"
#include "base/kernel.h"
#include "front/http.h"
#include "hp/err.h"
#include "rig/daemon_rig.h"

/* hpd still answers. */
static void rig_alive(void)
{
	rig_expect(rig_ask("GET", "/hp/v2/health", "", ""), 200, "\"ok\":true");
}

static void answers_and_keeps_alive(void **state)
{
	int fd = rig_connect();

	for (int i = 0; i < 3; i++) {
		rig_request(fd, "GET", "/hp/v2/health", "", "");
		rig_expect(rig_read(fd, "}\n"), 200, "\"version\":\"" HP_VERSION "\"");
	}
	close(fd);
}

static void answers_pipelined_in_order(void **state)
{
	const char *two = "GET /hp/v2/health HTTP/1.1\r\n\r\n"
			  "GET /hp/v2/none HTTP/1.1\r\nConnection: close\r\n\r\n";
	int fd = rig_connect();
	char *answer;

	rig_send(fd, two, strlen(two));
	answer = rig_read(fd, NULL);
	rig_expect(answer, 200, "\"ok\":true");
	assert_non_null(strstr(strstr(answer, "\"ok\":true"), "HTTP/1.1 404 Not Found"));
	close(fd);
}

/* A thousand requests in one write: answered one by one, without recursion. */
static void answers_many_pipelined(void **state)
{
	static const char one[] = "GET /hp/v2/x HTTP/1.1\r\n\r\n";
	static const char last[] = "GET /hp/v2/health HTTP/1.0\r\n\r\n";
	char all[1000 * (sizeof(one) - 1)];
	int fd = rig_connect(), n = 0;
	char *answer;

	for (int i = 0; i < 1000; i++)
		memcpy(all + (size_t)i * (sizeof(one) - 1), one, sizeof(one) - 1);
	rig_send(fd, all, sizeof(all));
	rig_send(fd, last, sizeof(last) - 1);
	answer = rig_read(fd, NULL);
	for (char *p = answer; (p = strstr(p, "404 Not Found")); p++)
		n++;
	assert_int_equal(n, 1000);
	assert_non_null(strstr(answer, "\"ok\":true"));
	close(fd);
}

static void takes_byte_by_byte(void **state)
{
	const char *request = "POST /hp/v2/unload HTTP/1.1\r\nContent-Length: 2\r\n"
			      "Connection: close\r\n\r\n{}";
	int fd = rig_connect();

	for (const char *p = request; *p; p++)
		rig_send(fd, p, 1);
	rig_expect(rig_read(fd, NULL), 400, "field \\\"pid\\\" is missing");
	close(fd);
}

static void takes_chunked_body(void **state)
{
	const char *request = "POST /hp/v2/unload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
			      "Connection: close\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
	int fd = rig_connect();

	rig_send(fd, request, strlen(request));
	rig_expect(rig_read(fd, NULL), 400, "field \\\"pid\\\" is missing");
	close(fd);
}

static void says_continue(void **state)
{
	int fd = rig_connect();
	const char *head = "POST /hp/v2/unload HTTP/1.1\r\nExpect: 100-continue\r\n"
			   "Connection: close\r\nContent-Length: 2\r\n\r\n";

	rig_send(fd, head, strlen(head));
	rig_expect(rig_read(fd, "\r\n\r\n"), 100, "Continue");
	rig_send(fd, "{}", 2);
	rig_expect(rig_read(fd, NULL), 400, "missing");
	close(fd);
}

static void refuses(const char *request, size_t n, int status, const char *part)
{
	int fd = rig_connect();

	/* hpd may have closed before all was sent; its answer is there all the same. */
	if (send(fd, request, n, MSG_NOSIGNAL) < 0)
		assert_int_equal(errno, EPIPE);
	rig_expect(rig_read(fd, NULL), status, part);
	close(fd);
	rig_alive();
}

static void refuses_malformed(void **state)
{
	static const struct {
		const char *request;
		int status;
		const char *part;
	} table[] = {
		{"hello\r\n\r\n", 400, "malformed HTTP"},
		{"GET / HTTP/9.9\r\n\r\n", 505, "HTTP/9.9 is not spoken"},
		{"GET /\r\nx\r\n", 400, "malformed HTTP"},
		{"\x16\x03\x01\x02\x00\x01", 400, "malformed HTTP"},
		{"POST /hp/v2/load HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "malformed HTTP"},
		{"POST /hp/v2/load HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400,
		 "malformed HTTP"},
		{"POST /hp/v2/load HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400,
		 "malformed HTTP"},
		{"POST /hp/v2/load HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413,
		 "larger than 1048576"},
		{"CONNECT /hp HTTP/1.1\r\n\r\n", 404, "there is no /hp"},
		{"GET /hp/v2/health HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
		 400, "upgrading"},
		{"BREW /hp/v2/health HTTP/1.1\r\n\r\n", 400, "malformed HTTP"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		refuses(table[i].request, strlen(table[i].request), table[i].status,
			table[i].part);
}

static void refuses_nul_and_garbage(void **state)
{
	unsigned seed = 1;
	char junk[4096];

	memset(junk, 0, sizeof(junk));
	refuses(junk, sizeof(junk), 400, "malformed HTTP");
	for (int round = 0; round < 50; round++) {
		int fd = rig_connect();

		for (size_t i = 0; i < sizeof(junk); i++) {
			seed = seed * 1103515245 + 12345;
			junk[i] = (char)(seed >> 16);
		}
		(void)!send(fd, junk, sizeof(junk), MSG_NOSIGNAL); /* may be cut off */
		close(fd);
	}
	rig_alive();
}

static void refuses_too_much(void **state)
{
	size_t room = 3 << 20, n;
	char *big = malloc(room);

	n = (size_t)sprintf(big, "GET /hp/v2/health HTTP/1.1\r\n");
	for (int i = 0; i <= HP_HTTP_HEADER_MAX; i++)
		n += (size_t)sprintf(big + n, "X-%d: y\r\n", i);
	n += (size_t)sprintf(big + n, "\r\n");
	refuses(big, n, 431, "more than 64 headers");

	n = (size_t)sprintf(big, "GET /hp/v2/health HTTP/1.1\r\nX: ");
	memset(big + n, 'x', HP_HTTP_HEAD_MAX);
	refuses(big, n + HP_HTTP_HEAD_MAX, 431, "larger than 16384");

	n = (size_t)sprintf(big, "GET /");
	memset(big + n, 'u', HP_HTTP_URL_MAX);
	refuses(big, n + HP_HTTP_URL_MAX, 414, "longer than 1023");

	n = (size_t)sprintf(big, "POST /hp/v2/load HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
				 "100001\r\n");
	memset(big + n, ' ', 0x100001);
	refuses(big, n + 0x100001, 413, "larger than 1048576");
	free(big);
}

static void takes_the_largest_body(void **state)
{
	char *body = malloc(HP_HTTP_BODY_MAX + 1);

	memset(body, ' ', HP_HTTP_BODY_MAX);
	memcpy(body, "{\"pid\":0}", 9);
	body[HP_HTTP_BODY_MAX] = 0;
	rig_expect(rig_ask("POST", "/hp/v2/load", "", body), 400,
		   "field \\\"pid\\\" must be a process id");
	free(body);
}

static void knows_paths_and_methods(void **state)
{
	rig_expect(rig_ask("GET", "/", "", ""), 404, "there is no /");
	rig_expect(rig_ask("GET", "/hp/v2/health/", "", ""), 404, "there is no");
	rig_expect(rig_ask("GET", "/hp/v2/load", "", ""), 405, "Allow: POST\r\n");
	rig_expect(rig_ask("DELETE", "/hp/v2/patches", "", ""), 405, "takes GET, not DELETE");
	rig_expect(rig_ask("GET", "/hp/v2/status?pid=x", "", ""), 400, "must be a process id");
	rig_expect(rig_ask("POST", "/hp/v2/load", "", ""), 400, "no body");
}

static void refuses_other_users(void **state)
{
	pid_t child;
	int status;

	assert_int_equal(chmod(rig.dir, 0755), 0);
	assert_int_equal(chmod(rig.socket, 0666), 0);
	fflush(NULL);
	child = fork();
	if (child == 0) {
		if (setuid(65534) < 0)
			_exit(9);
		_exit(strncmp(rig_ask("GET", "/hp/v2/health", "", ""), "HTTP/1.1 403 ", 13) != 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	rig_alive();
}

/* Who has more groups than the kernel tells of through a socket's buffer of ours. */
static void ask_with_many_groups(void)
{
	static gid_t gid[2 * HP_PEER_GIDS];
	pid_t child;
	int status;

	for (size_t i = 0; i < sizeof(gid) / sizeof(gid[0]); i++)
		gid[i] = (gid_t)i + 1000;
	fflush(NULL);
	child = fork();
	if (child == 0) {
		if (setgroups(sizeof(gid) / sizeof(gid[0]), gid) < 0)
			_exit(9);
		_exit(!strstr(rig_ask("GET", "/hp/v2/health", "", ""), "SO_PEERGROUPS"));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* The monitor ends a front that lies, and with it every connection: none of what a client may say makes
 * front say what is taken for a lie. */
static void odd_requests_cost_nobody_else(void **state)
{
	static const char *const bodies[] = {
		"\"file\":\"/x\",\"timeout_ms\":1e-9",
		"\"file\":\"/x\",\"park_ms\":1e-300",
		"\"file\":\"/x\",\"dry_run\":true,\"all_or_nothing\":true",
	};
	int other = rig_connect();
	char body[256];

	rig_request(other, "GET", "/hp/v2/health", "", "");
	rig_expect(rig_read(other, "}\n"), 200, "\"ok\":true");
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		snprintf(body, sizeof(body), "{\"pid\":%d,%s}", rig.target, bodies[i]);
		rig_expect(rig_ask("POST", "/hp/v2/load", "", body), 500, "/x");
	}
	ask_with_many_groups();
	rig_request(other, "GET", "/hp/v2/health", "", "");
	rig_expect(rig_read(other, "}\n"), 200, "\"ok\":true");
	close(other);
}

static void makes_the_socket_private(void **state)
{
	struct stat st;

	assert_int_equal(stat(rig.socket, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(st.st_uid, 0);
}

static void survives_early_disconnects(void **state)
{
	static const char request[] = "POST /hp/v2/load HTTP/1.1\r\nContent-Length: 9\r\n\r\n{\"pid\":1";

	for (size_t n = 0; n < sizeof(request) - 1; n++) {
		int fd = rig_connect();

		if (n)
			rig_send(fd, request, n);
		close(fd);
	}
	rig_alive();
}

static void answers_the_half_closed(void **state)
{
	int fd = rig_connect();

	rig_request(fd, "GET", "/hp/v2/patches", "", "");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	rig_expect(rig_read(fd, NULL), 200, "\"patches\":[]");
	close(fd);
}

static void holds_200_idle_clients(void **state)
{
	int fd[200];

	for (size_t i = 0; i < 200; i++)
		fd[i] = rig_connect();
	rig_alive();
	for (size_t i = 0; i < 200; i += 13) {
		rig_request(fd[i], "GET", "/hp/v2/health", "", "");
		rig_expect(rig_read(fd[i], "}\n"), 200, "\"ok\":true");
	}
	for (size_t i = 0; i < 200; i++)
		close(fd[i]);
	rig_alive();
}

/* @fd beside a byte: 0, or a negative errno. */
static int send_with(int sock, int fd)
{
	struct iovec iov = {"G", 1};
	char room[CMSG_SPACE(sizeof(int))] = "";
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room,
			     .msg_controllen = sizeof(room)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(sock, &msg, 0) < 0 ? -errno : 0;
}

/* The last one of a connection that lingers would have kept hpd for as long as it does. */
static void takes_no_descriptors(void **state)
{
	int fd = rig_connect(), on;
	socklen_t n = sizeof(on);

	if (getsockopt(fd, SOL_SOCKET, HP_SO_PASSRIGHTS, &on, &n) < 0)
		skip(); /* an older kernel */
	assert_int_equal(send_with(fd, 0), -EPERM);
	rig_request(fd, "GET", "/hp/v2/health", "", "");
	rig_expect(rig_read(fd, "}\n"), 200, "\"ok\":true");
	close(fd);
}

static int setup_impatient(void **state)
{
	rig_prepare();
	rig.opt.client_timeout_ns = 50 * HP_MS;
	rig_start();
	return 0;
}

static void cuts_off_slow_clients(void **state)
{
	int begun = rig_connect(), silent = rig_connect(), deaf = rig_connect();

	rig_send(begun, "GET /hp", 7);
	rig_expect(rig_read(begun, NULL), 408, "not complete in time");
	/* One that sends nothing is only hung up on. */
	assert_string_equal(rig_read(silent, NULL), "");
	/* One that reads nothing: more answers than the socket takes. */
	for (int i = 0; i < 20000; i++)
		if (send(deaf, "GET /x HTTP/1.1\r\n\r\n", 19, MSG_NOSIGNAL) < 0)
			break;
	assert_int_not_equal(send(deaf, "x", 1, MSG_NOSIGNAL), 1);
	close(begun);
	close(silent);
	close(deaf);
	rig_alive();
}

static int setup_private(void **state)
{
	rig_prepare();
	rig.opt.idle_exit = true;
	rig.opt.idle_ns = 1 * HP_MS;
	rig_start();
	return 0;
}

static int setup_narrow(void **state)
{
	rig_prepare();
	rig.opt.answers_max = 1 << 20;
	rig_start();
	return 0;
}

/* An answer that nobody takes costs memory for as long as a byte of it is taken now and then. */
static void bounds_what_is_not_taken(void **state)
{
	enum { N = 12 };
	int fd[N], whole = 0;
	char list[64];

	stub->patches = 1000;
	snprintf(list, sizeof(list), "/hp/v2/patches?pid=%d", rig.target);
	for (int i = 0; i < N; i++) {
		struct pollfd p = {.fd = fd[i] = rig_connect(), .events = POLLIN};

		rig_request(fd[i], "GET", list, "Connection: close\r\n", "");
		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1); /* it is front's by now */
	}
	for (int i = 0; i < N; i++) {
		const char *answer = rig_read(fd[i], NULL);
		size_t n = strlen(answer);

		whole += n > 2 && !strcmp(answer + n - 2, "}\n");
		close(fd[i]);
	}
	assert_in_range(whole, 1, N - 1);
	rig_expect(rig_ask("GET", list, "", ""), 200, "\"patches\":[{");
}

static void ends_when_nobody_needs_it(void **state)
{
	rig_wait_exit();
}

static void refuses_a_second_hpd(void **state)
{
	struct hp_daemon_options second = rig.opt;
	struct hp_err err;

	second.ready_fd = -1;
	assert_int_equal(hp_daemon_run(&second, &err), -HP_E_FAILED);
	assert_non_null(strstr(err.text, "another hpd serves"));
	rig_alive();
}

static void replaces_a_dead_hpds_socket(void **state)
{
	kill(rig.hpd, SIGKILL);
	waitpid(rig.hpd, NULL, 0);
	assert_int_equal(access(rig.socket, F_OK), 0);
	kill(rig.target, SIGKILL);
	waitpid(rig.target, NULL, 0);
	rig_start();
	rig_alive();
}

#define RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(answers_and_keeps_alive),
		RIG(answers_pipelined_in_order),
		RIG(answers_many_pipelined),
		RIG(takes_byte_by_byte),
		RIG(takes_chunked_body),
		RIG(says_continue),
		RIG(refuses_malformed),
		RIG(refuses_nul_and_garbage),
		RIG(refuses_too_much),
		RIG(takes_the_largest_body),
		RIG(knows_paths_and_methods),
		RIG(refuses_other_users),
		RIG(odd_requests_cost_nobody_else),
		RIG(makes_the_socket_private),
		RIG(survives_early_disconnects),
		RIG(takes_no_descriptors),
		RIG(answers_the_half_closed),
		RIG(holds_200_idle_clients),
		cmocka_unit_test_setup_teardown(cuts_off_slow_clients, setup_impatient,
						rig_teardown),
		cmocka_unit_test_setup_teardown(bounds_what_is_not_taken, setup_narrow, rig_teardown),
		cmocka_unit_test_setup_teardown(ends_when_nobody_needs_it, setup_private,
						rig_teardown),
		RIG(refuses_a_second_hpd),
		RIG(replaces_a_dead_hpds_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
