/* SPDX-License-Identifier: MIT */
/* Lines on stderr, and as fields to a journal: one that is played, in a mount namespace of its own. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"

#define JOURNAL "/run/systemd/journal"

static void write_three(void)
{
	const struct hp_log_about about = {
		.message_id = HP_MESSAGE_LOADED, .pid = 42, .id = "abcd"};

	hp_debug("not shown");
	hp_log(HP_LOG_WARNING, "plain %d", 1);
	hp_log_about(HP_LOG_INFO, &about, "with\nfields");
	hp_log_about(HP_LOG_ERROR, &(struct hp_log_about){.pid = 7}, "some");
}

/* What write_three() says on an stderr that is @fd. */
static void run_with_stderr(int fd)
{
	pid_t child;
	int status;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		dup2(fd, STDERR_FILENO);
		write_three();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void says_on_stderr(void **state)
{
	char text[512] = "";
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	unsetenv("JOURNAL_STREAM");
	run_with_stderr(p[1]);
	close(p[1]);
	assert_true(read(p[0], text, sizeof(text) - 1) > 0);
	close(p[0]);
	assert_string_equal(text, "<4>hpd: plain 1\n<6>hpd: with fields\n<3>hpd: some\n");
}

static void set_stream(int fd)
{
	char value[64];
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	snprintf(value, sizeof(value), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	assert_int_equal(setenv("JOURNAL_STREAM", value, 1), 0);
}

static void expect_datagram(int sock, const char *want)
{
	char got[512];
	ssize_t n = recv(sock, got, sizeof(got) - 1, MSG_DONTWAIT);

	assert_true(n > 0);
	got[n] = 0;
	assert_string_equal(got, want);
}

static void sends_fields_to_the_journal(void **state)
{
	const struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = JOURNAL "/socket"};
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), p[2];
	char text[64];

	if (unshare(CLONE_NEWNS) < 0)
		skip();
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("none", "/run", "tmpfs", 0, NULL), 0);
	assert_int_equal(mkdir("/run/systemd", 0755), 0);
	assert_int_equal(mkdir(JOURNAL, 0755), 0);
	assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	set_stream(p[1]);
	/* Nobody is there: the line is not lost. */
	run_with_stderr(p[1]);
	assert_int_equal(read(p[0], text, 16), 16);
	assert_memory_equal(text, "<4>hpd: plain 1\n", 16);
	while (read(p[0], text, sizeof(text)) > 0)
		;
	assert_int_equal(bind(sock, (const struct sockaddr *)&a, sizeof(a)), 0);
	run_with_stderr(p[1]);
	expect_datagram(sock, "PRIORITY=4\nSYSLOG_IDENTIFIER=hpd\nMESSAGE=plain 1\n");
	expect_datagram(sock, "PRIORITY=6\nSYSLOG_IDENTIFIER=hpd\nMESSAGE=with fields\n"
			      "MESSAGE_ID=" HP_MESSAGE_LOADED "\nPID=42\nHP_ID=abcd\n");
	expect_datagram(sock, "PRIORITY=3\nSYSLOG_IDENTIFIER=hpd\nMESSAGE=some\nPID=7\n");
	assert_int_equal(read(p[0], text, sizeof(text)), -1);
	/* Another stderr than the one that the journal gave is not the journal. */
	assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
	run_with_stderr(p[1]);
	assert_true(read(p[0], text, sizeof(text)) > 0);
	close(sock);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_on_stderr),
		cmocka_unit_test(sends_fields_to_the_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
