/* SPDX-License-Identifier: MIT */
/*
 * A front that was taken over, played by this program: hpd runs it in front's place.  What it is to
 * do a client tells it by a word; then the monitor must have refused it, killed it where no front that
 * is whole could have said that, and let no operation begin.
 */
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/intake.h"
#include "rig/daemon_rig.h"

#define MONITOR 3
#define OTHER_UID 65534

/* --- the forged front ----------------------------------------------------------------------------- */

static struct hp_record rec;
static uint64_t last_conn;
static int listener = -1, kept = -1;

static void say(const void *packet, size_t n, const int *fds, size_t n_fds)
{
	if (hp_send_fds(MONITOR, packet, n, fds, n_fds) < 0)
		_exit(0);
}

/* The next message; its text in @text.  It goes with the monitor. */
static struct hp_tell_head hear(char *text, size_t room, int *fd)
{
	struct hp_tell_head head = {0};
	struct iovec v[] = {{&head, sizeof(head)}, {text, room - 1}};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} c;
	struct msghdr m = {
		.msg_iov = v, .msg_iovlen = 2, .msg_control = &c, .msg_controllen = sizeof(c)};
	ssize_t n = recvmsg(MONITOR, &m, 0);

	if (n < (ssize_t)sizeof(head))
		_exit(0);
	text[(size_t)n - sizeof(head)] = 0;
	if (CMSG_FIRSTHDR(&m))
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(*fd));
	return head;
}

static void make_load(pid_t pid)
{
	memset(&rec, 0, sizeof(rec));
	rec.ask = HP_ASK_JOB;
	rec.kind = HP_JOB_LOAD;
	rec.conn = ++last_conn;
	rec.pid = pid;
	rec.timeout_ns = rec.park_ns = HP_S;
	snprintf(rec.file, sizeof(rec.file), "/proc/self/exe");
}

static void load_by(int fd)
{
	say(&rec, sizeof(rec), &fd, 1);
}

/* "load, by a socket of @type that somebody at @path has accepted" */
static void load_by_other(const char *path, int type)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int l = socket(AF_UNIX, type, 0), c = socket(AF_UNIX, type, 0), s;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	(void)unlink(path);
	if (bind(l, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(l, 1) < 0 ||
	    connect(c, (struct sockaddr *)&a, sizeof(a)) < 0 || (s = accept(l, NULL, NULL)) < 0)
		_exit(9);
	(void)unlink(path);
	load_by(s);
}

static void load_by_own_connection(void)
{
	struct sockaddr_un a;
	socklen_t n = sizeof(a);
	int c = socket(AF_UNIX, SOCK_STREAM, 0);

	if (getsockname(listener, (struct sockaddr *)&a, &n) < 0 ||
	    connect(c, (struct sockaddr *)&a, n) < 0)
		_exit(9);
	load_by(c);
}

static void load_by_pair(int type)
{
	int sv[2];

	if (socketpair(AF_UNIX, type, 0, sv) < 0)
		_exit(9);
	load_by(sv[0]);
}

static void load_by_pipe(void)
{
	int p[2];

	if (pipe(p) < 0)
		_exit(9);
	load_by(p[0]);
}

static void load_by_tcp(void)
{
	load_by(socket(AF_INET, SOCK_STREAM, 0));
}

/* Descriptors of other kinds, of which there is nobody at the other end. */
static void load_by_thing(const char *what)
{
	struct sockaddr_un a;
	socklen_t n = sizeof(a);
	int fd = !strcmp(what, "memfd")	   ? memfd_create("x", 0)
		 : !strcmp(what, "eventfd") ? eventfd(0, 0)
		 : !strcmp(what, "epoll")   ? epoll_create1(0)
		 : !strcmp(what, "pidfd")   ? pidfd_open(getpid(), 0)
		 : !strcmp(what, "null")    ? open("/dev/null", O_RDWR)
					    : -1;

	if (!strcmp(what, "socket's-path") && getsockname(listener, (struct sockaddr *)&a, &n) == 0)
		fd = open(a.sun_path, O_PATH);
	if (fd < 0)
		_exit(9);
	load_by(fd);
}

/* What front says behind a lie is not taken any more, were it the best of requests. */
static void lie_and_load(int fd)
{
	rec.pad[0] = 1;
	load_by(fd);
	make_load(rec.pid);
	load_by(fd);
}

/* An item that lies, in the middle of a request; then the rest of it. */
static void lie_amid_items(int fd)
{
	struct hp_item item = {.conn = rec.conn, .list = HP_LIST_REPLACE};

	rec.n_items = 2;
	load_by(fd);
	say(&item, sizeof(item), NULL, 0);
	strcpy(item.key, "k");
	strcpy(item.value, "v");
	say(&item, sizeof(item), NULL, 0);
	say(&item, sizeof(item), NULL, 0);
}

static void item_with_socket(int fd)
{
	struct hp_item item = {.conn = rec.conn, .list = HP_LIST_REPLACE, .key = "k", .value = "v"};

	rec.n_items = 1;
	load_by(fd);
	say(&item, sizeof(item), &fd, 1);
}

/* One connection under more names than there are connections: each would cost the monitor memory. */
static void multiply(int fd)
{
	for (int i = 0; i < HP_CONNS_CONTROL + HP_CONNS_TCP + 1; i++) {
		rec = (struct hp_record){.ask = HP_ASK_EVENTS, .conn = ++last_conn};
		load_by(fd);
	}
}

static void ask_of_listener(int fd)
{
	rec.listener = 17;
	rec.pid = 0;
	rec.timeout_ns = rec.park_ns = 0;
	load_by(fd);
}

static void load_with_two(int fd)
{
	const int fds[] = {fd, fd};

	say(&rec, sizeof(rec), fds, 2);
}

static void ask_twice(int fd)
{
	rec.ask = HP_ASK_EVENTS;
	rec.kind = rec.pid = 0;
	rec.timeout_ns = rec.park_ns = rec.file[0] = 0;
	memset(rec.file, 0, sizeof(rec.file));
	load_by(fd);
	load_by(fd);
}

static void load_without_end(int fd)
{
	memset(rec.file, '/', sizeof(rec.file));
	load_by(fd);
}

static void load_too_long(int fd)
{
	static char long_one[sizeof(rec) + 100];

	memcpy(long_one, &rec, sizeof(rec));
	say(long_one, sizeof(long_one), &fd, 1);
}

/* What the monitor says to it goes to the client as it is. */
static void relay(int fd)
{
	static char text[HP_TELL_BYTES + 1];
	int none;

	for (;;) {
		struct hp_tell_head head = hear(text, sizeof(text), &none);

		if (head.conn != rec.conn)
			continue;
		(void)!write(fd, text, strlen(text));
		if (head.tell == HP_TELL_REPLY || head.tell == HP_TELL_LAST)
			return;
	}
}

/* What no front that is whole says.  False: it is none of these. */
static bool forge(const char *word, int fd)
{
	if (!strcmp(word, "no-socket"))
		say(&rec, sizeof(rec), NULL, 0);
	else if (!strcmp(word, "two-sockets"))
		load_with_two(fd);
	else if (!strcmp(word, "listening-socket"))
		load_by(listener);
	else if (!strcmp(word, "monitor's-socket"))
		load_by(MONITOR);
	else if (!strcmp(word, "stream-pair"))
		load_by_pair(SOCK_STREAM);
	else if (!strcmp(word, "other-path"))
		load_by_other("/tmp/hp-unit-forged.sock", SOCK_STREAM);
	else if (!strcmp(word, "other-type"))
		load_by_other("/tmp/hp-unit-forged.sock", SOCK_SEQPACKET);
	else if (!strcmp(word, "own-connection"))
		load_by_own_connection();
	else if (!strcmp(word, "pipe"))
		load_by_pipe();
	else if (!strcmp(word, "tcp"))
		load_by_tcp();
	else if (!strcmp(word, "unknown-listener"))
		ask_of_listener(fd);
	else if (!strcmp(word, "twice"))
		ask_twice(fd);
	else if (!strcmp(word, "without-end"))
		load_without_end(fd);
	else if (!strcmp(word, "truncated"))
		say(&rec, sizeof(rec) - 1, &fd, 1);
	else if (!strcmp(word, "too-long"))
		load_too_long(fd);
	else if (!strcmp(word, "second-greeting"))
		rec = (struct hp_record){.ask = HP_ASK_HELLO}, say(&rec, sizeof(rec), NULL, 0);
	else if (!strcmp(word, "internal"))
		rec.kind = HP_JOB_RECOVER, load_by(fd);
	else if (!strcmp(word, "lie-and-load"))
		lie_and_load(fd);
	else if (!strcmp(word, "lie-amid-items"))
		lie_amid_items(fd);
	else if (!strcmp(word, "item-with-socket"))
		item_with_socket(fd);
	else if (!strcmp(word, "many-names"))
		multiply(fd);
	else if (!strncmp(word, "thing:", 6))
		load_by_thing(word + 6);
	else if (!strcmp(word, "item-first"))
		say(&(struct hp_item){.conn = 1}, sizeof(struct hp_item), NULL, 0);
	else
		return false;
	return true;
}

static void act(const char *word, pid_t pid, int fd)
{
	char pong[32];

	make_load(pid);
	if (forge(word, fd))
		for (;;)
			pause(); /* until it is killed for that */
	if (!strcmp(word, "ping"))
		(void)!write(fd, pong, (size_t)snprintf(pong, sizeof(pong), "%d", getpid()));
	else if (!strcmp(word, "load"))
		load_by(fd), relay(fd);
	else if (!strcmp(word, "keep"))
		kept = dup(fd), (void)!write(fd, "kept", 4);
	else if (!strcmp(word, "load-by-kept")) /* whose other end is closed: no answer comes */
		load_by(kept), (void)!write(fd, "asked", 5);
	else
		_exit(7); /* "exit" */
}

static _Noreturn void be_front(void)
{
	static char text[HP_TELL_BYTES + 1];
	const struct hp_record hello = {.ask = HP_ASK_HELLO};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	say(&hello, sizeof(hello), NULL, 0);
	while (listener < 0)
		(void)hear(text, sizeof(text), &listener);
	for (;;) {
		struct pollfd p[] = {{.fd = MONITOR, .events = POLLIN},
				     {.fd = listener, .events = POLLIN}};
		char line[128] = "", word[64] = "";
		int pid = 0, fd, none;

		(void)poll(p, 2, -1);
		if (p[0].revents && hear(text, sizeof(text), &none).tell == HP_TELL_STOP)
			_exit(0);
		if (!p[1].revents)
			continue;
		fd = accept(listener, NULL, NULL);
		if (fd >= 0 && read(fd, line, sizeof(line) - 1) > 0 &&
		    sscanf(line, "%63s %d", word, &pid) == 2)
			act(word, pid, fd);
		close(fd);
	}
}

/* --- the test ------------------------------------------------------------------------------------- */

static int setup(void **state)
{
	rig_prepare();
	rig.opt.front = "/proc/self/exe";
	rig_start();
	return 0;
}

/* What comes back until the end. */
static char *tell(const char *word)
{
	int fd = rig_connect();
	char line[128];
	char *answer;

	rig_send(fd, line, (size_t)snprintf(line, sizeof(line), "%s %d\n", word, rig.target));
	answer = rig_read(fd, NULL);
	close(fd);
	return answer;
}

/* Waits for one that answers. */
static int ping(void)
{
	int pid;

	do {
		pid = atoi(tell("ping"));
	} while (!pid);
	return pid;
}

static void the_way_is_open(void **state)
{
	assert_non_null(strstr(tell("load"), "\"hp_id\""));
	assert_int_equal(stub->loads, 1);
}

static void no_forgery_is_carried_out(void **state)
{
	static const char *const forgeries[] = {
		"no-socket",	   "two-sockets",      "listening-socket", "monitor's-socket",
		"stream-pair",	   "other-path",       "other-type",	   "own-connection",
		"pipe",		   "tcp",	       "unknown-listener", "twice",
		"without-end",	   "truncated",	       "too-long",	   "second-greeting",
		"internal",	   "item-first",       "lie-and-load",	   "lie-amid-items",
		"item-with-socket", "many-names",      "thing:memfd",	   "thing:eventfd",
		"thing:epoll",	   "thing:pidfd",      "thing:null",	   "thing:socket's-path",
	};
	int before = ping(), after;

	for (size_t i = 0; i < sizeof(forgeries) / sizeof(forgeries[0]); i++) {
		assert_string_equal(tell(forgeries[i]), "");
		after = ping();
		if (after == before)
			fail_msg("%s: the front that said it lives", forgeries[i]);
		before = after;
	}
	assert_int_equal(kill(rig.hpd, 0), 0);
	assert_int_equal(stub->loads + stub->unloads + stub->recovers, 0);
}

static void a_front_that_ends_is_started_again(void **state)
{
	int before = ping();

	assert_string_equal(tell("exit"), "");
	assert_int_not_equal(ping(), before);
}

static void nobody_acts_for_who_has_left(void **state)
{
	int before = ping(), fd = rig_connect();

	rig_send(fd, "keep 1\n", strlen("keep 1\n"));
	assert_string_equal(rig_read(fd, "kept"), "kept");
	close(fd);
	assert_string_equal(tell("load-by-kept"), "asked");
	/* Its client may just have left: that is no forgery. */
	assert_int_equal(ping(), before);
	assert_non_null(strstr(tell("load"), "\"hp_id\""));
	assert_int_equal(stub->loads, 1);
}

/* A peer is who it is, whatever front says. */
static void a_user_may_not_more_than_before(void **state)
{
	int before = ping(), status;
	pid_t child;

	assert_int_equal(chmod(rig.dir, 0755), 0);
	assert_int_equal(chmod(rig.socket, 0666), 0);
	fflush(NULL);
	child = fork();
	if (child == 0) {
		if (setgroups(0, NULL) < 0 || setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
		    setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
			_exit(2);
		_exit(strstr(tell("load"), "\"denied\"") ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(ping(), before);
	assert_int_equal(stub->loads, 0);
}

int main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_way_is_open),
		TEST(no_forgery_is_carried_out),
		TEST(a_front_that_ends_is_started_again),
		TEST(nobody_acts_for_who_has_left),
		TEST(a_user_may_not_more_than_before),
	};

	if (!strcmp(argv[0], "hpd-front"))
		be_front();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
