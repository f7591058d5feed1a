/* SPDX-License-Identifier: MIT */
#include "daemon_rig.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "hp/err.h"
#include "../../services/tied.h"

struct rig rig;

/* The test is $(O)/tests/unit/NAME. */
static void rig_find_front(void)
{
	char self[200] = "";
	char *end = self;

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	for (int i = 0; i < 3; i++) {
		end = strrchr(self, '/');
		assert_non_null(end);
		*end = 0;
	}
	snprintf(rig.front, sizeof(rig.front), "%s/hpd-front", self);
}

void rig_prepare(void)
{
	stub = mmap(NULL, sizeof(*stub), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(stub != MAP_FAILED);
	snprintf(rig.dir, sizeof(rig.dir), "/tmp/hp-unit-XXXXXX");
	assert_non_null(mkdtemp(rig.dir));
	snprintf(rig.socket, sizeof(rig.socket), "%s/hpd.sock", rig.dir);
	snprintf(rig.state, sizeof(rig.state), "%s/state", rig.dir);
	rig_find_front();
	rig.opt = (struct hp_daemon_options){
		.socket = rig.socket,
		.state_dir = rig.state,
		.policy = HP_POLICY_FILE,
		.front = rig.front,
		.ready_fd = -1,
		.client_timeout_ns = 10 * HP_S,
		.answers_max = 256 << 20,
		.idle_ns = 5 * HP_S,
	};
}

/* A process to be operated on. */
void rig_start_target(void)
{
	rig.target = tied_fork();
	if (rig.target == 0) {
		for (;;)
			pause();
	}
}

void rig_start(void)
{
	struct hp_err err = {0};
	int p[2];
	char c;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	fflush(NULL);
	rig.hpd = tied_fork();
	if (rig.hpd == 0) {
		hp_log_set_level(getenv("V") ? HP_LOG_DEBUG : HP_LOG_ERROR);
		close(p[0]);
		rig.opt.ready_fd = p[1];
		if (hp_daemon_run(&rig.opt, &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			_exit(1);
		}
		exit(0); /* not _exit(): leaks are looked for */
	}
	close(p[1]);
	assert_int_equal(hp_read_all(p[0], &c, 1), 0);
	close(p[0]);
	rig_start_target();
}

void rig_wait_exit(void)
{
	int status;

	assert_int_equal(waitpid(rig.hpd, &status, 0), rig.hpd);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(access(rig.socket, F_OK), -1);
	rig.hpd = 0;
}

void rig_remove(void)
{
	char cmd[128];

	kill(rig.target, SIGKILL);
	waitpid(rig.target, NULL, 0);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", rig.dir);
	assert_int_equal(system(cmd), 0);
	munmap(stub, sizeof(*stub));
}

int rig_setup(void **state)
{
	rig_prepare();
	rig_start();
	return 0;
}

int rig_teardown(void **state)
{
	if (rig.hpd) {
		kill(rig.hpd, SIGTERM);
		rig_wait_exit();
	}
	rig_remove();
	return 0;
}

int rig_connect(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", rig.socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

bool rig_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, PATIENCE_MS) == 1;
}

char *rig_read(int fd, const char *until)
{
	static char buf[1 << 20];
	size_t n = 0;

	buf[0] = 0;
	while (!until || !strstr(buf, until)) {
		ssize_t r;

		assert_true(rig_readable(fd));
		r = recv(fd, buf + n, sizeof(buf) - 1 - n, 0);
		if (r <= 0) {
			if (until)
				print_error("no '%s' in: %s\n", until, buf);
			assert_null(until);
			break;
		}
		n += (size_t)r;
		buf[n] = 0;
	}
	return buf;
}

void rig_send(int fd, const void *data, size_t n)
{
	assert_int_equal(send(fd, data, n, MSG_NOSIGNAL), n);
}

void rig_request(int fd, const char *method, const char *path, const char *headers,
			const char *body)
{
	char *text;
	int n = asprintf(&text, "%s %s HTTP/1.1\r\n%sContent-Length: %zu\r\n\r\n%s", method, path,
			 headers, strlen(body), body);

	rig_send(fd, text, (size_t)n);
	free(text);
}

char *rig_ask(const char *method, const char *path, const char *headers,
				const char *body)
{
	char all[256];
	char *answer;
	int fd = rig_connect();

	snprintf(all, sizeof(all), "%sConnection: close\r\n", headers);
	rig_request(fd, method, path, all, body);
	answer = rig_read(fd, NULL);
	close(fd);
	return answer;
}

void rig_wait_status(const char *part)
{
	for (int i = 0; i < 10000; i++) {
		if (strstr(rig_ask("GET", "/hp/v2/status", "", ""), part))
			return;
		hp_pause_ns(HP_MS);
	}
	fail_msg("never in the status: %s", part);
}

void rig_expect(const char *answer, int status, const char *part)
{
	char head[32];

	snprintf(head, sizeof(head), "HTTP/1.1 %d ", status);
	if (strncmp(answer, head, strlen(head)) != 0 || !strstr(answer, part))
		print_error("wanted %d and '%s', got: %s\n", status, part, answer);
	assert_memory_equal(answer, head, strlen(head));
	assert_non_null(strstr(answer, part));
}
