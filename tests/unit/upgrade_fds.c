/* SPDX-License-Identifier: MIT */
/* Descriptors by name: made, inherited, added, given up. */
#include "upgrade_rig.h"

static const struct {
	const char *network, *address;
	bool packet;
} sockets[] = {
	{"tcp", "localhost:0", false},	   {"tcp4", "127.0.0.1:0", false},
	{"tcp6", "[::1]:0", false},	   {"tcp", ":0", false},
	{"udp", "localhost:0", true},	   {"udp4", ":0", true},
	{"udp6", "[::1]:0", true},	   {"unix", "stream", false},
	{"unixpacket", "packet", false},   {"unixgram", "gram", true},
	{"unix", "", false},		   {"unixpacket", "", false},
	{"unixgram", "", true},		   {"unix", "@hp-test-stream", false},
	{"unixgram", "@hp-test-gram", true},
};
#define N_SOCKETS (sizeof(sockets) / sizeof(sockets[0]))

/* Of the unix networks what has no '@' and is not empty is a path in our folder. */
static const char *address_of(size_t i)
{
	const char *a = sockets[i].address;

	return !strncmp(sockets[i].network, "unix", 4) && *a && *a != '@' ? in_dir(a) : a;
}

static int made(struct hp_upgrade *u, size_t i, const char *address)
{
	return good(sockets[i].packet ? hp_upgrade_listen_packet(u, sockets[i].network, address, &err)
				      : hp_upgrade_listen(u, sockets[i].network, address, &err));
}

/* Each is inherited under the address that it really has, also when the system chose it. */
static void listens_and_inherits(void **state)
{
	struct hp_upgrade *u = opened(NULL), *next;
	char real[N_SOCKETS][HP_UPGRADE_ADDRESS_MAX];
	int fd[N_SOCKETS];

	for (size_t i = 0; i < N_SOCKETS; i++) {
		fd[i] = made(u, i, address_of(i));
		assert_int_equal(hp_upgrade_address(fd[i], real[i], sizeof(real[i]), &err), 0);
		assert_int_equal(fcntl(fd[i], F_GETFD), FD_CLOEXEC);
	}
	next = next_of(u);
	for (size_t i = 0; i < N_SOCKETS; i++) {
		enum hp_upgrade_kind kind =
			sockets[i].packet ? HP_UPGRADE_PACKET : HP_UPGRADE_LISTENER;
		int got = good(hp_upgrade_inherited(next, kind, sockets[i].network, real[i], &err));

		assert_true(same_file(fd[i], got));
		assert_int_not_equal(fd[i], got);
		/* It is taken once. */
		assert_int_equal(hp_upgrade_inherited(next, kind, sockets[i].network, real[i], &err),
				 -ENOENT);
		close(got);
		close(fd[i]);
	}
	hp_upgrade_free(next);
	hp_upgrade_free(u);
}

static void listen_inherits_too(void **state)
{
	struct hp_upgrade *u = opened(NULL), *next;
	int a = good(hp_upgrade_listen(u, "unix", in_dir("again"), &err)), b;

	next = next_of(u);
	b = good(hp_upgrade_listen(next, "unix", in_dir("again"), &err));
	assert_true(same_file(a, b));
	close(a);
	close(b);
	hp_upgrade_free(next);
	hp_upgrade_free(u);
	unlink(in_dir("again"));
}

/* Port 0 is a new socket each time, also for one who could inherit. */
static void port_zero_is_new(void **state)
{
	struct hp_upgrade *u = opened(NULL), *next;
	int a = good(hp_upgrade_listen(u, "tcp", "127.0.0.1:0", &err));
	int b = good(hp_upgrade_listen(u, "tcp", "127.0.0.1:0", &err)), c;

	assert_false(same_file(a, b));
	assert_int_equal(u->fds.used.a.n, 2);
	next = next_of(u);
	c = good(hp_upgrade_listen(next, "tcp", "127.0.0.1:0", &err));
	assert_false(same_file(a, c));
	assert_false(same_file(b, c));
	assert_int_equal(next->fds.inherited.a.n, 2);
	close(a);
	close(b);
	close(c);
	hp_upgrade_free(next);
	hp_upgrade_free(u);
}

/* "tcp" without a host takes both protocols, "tcp6" does not. */
static void takes_both_protocols(void **state)
{
	struct hp_upgrade *u = opened(NULL);
	char real[HP_UPGRADE_ADDRESS_MAX];
	int only, on;
	socklen_t n = sizeof(on);

	for (only = 0; only < 2; only++) {
		int fd = good(hp_upgrade_listen(u, only ? "tcp6" : "tcp", ":0", &err));

		assert_int_equal(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, &n), 0);
		assert_int_equal(on, only);
		assert_int_equal(hp_upgrade_address(fd, real, sizeof(real), &err), 0);
		assert_int_equal(strncmp(real, "[::]:", 5), 0);
		close(fd);
	}
	hp_upgrade_free(u);
}

static int calls;

static int count_calls(void *arg, int fd, const char *network, const char *address)
{
	calls++;
	assert_string_equal(network, "tcp");
	assert_ptr_equal(arg, &calls);
	return fd >= 0 ? 0 : -EBADF;
}

static int refuse(void *arg, int fd, const char *network, const char *address)
{
	return -EPERM;
}

static void prepares_before_bind(void **state)
{
	struct hp_upgrade_options o = {
		.size = sizeof(o), .prepare = count_calls, .arg = &calls};
	struct hp_upgrade *u = opened(&o);

	close(good(hp_upgrade_listen(u, "tcp", "127.0.0.1:0", &err)));
	assert_int_equal(calls, 1);
	hp_upgrade_free(u);
	o.prepare = refuse;
	u = opened(&o);
	expect_error(hp_upgrade_listen(u, "tcp", "127.0.0.1:0", &err), -EPERM,
		     "can't create new listener: tcp 127.0.0.1:0: Operation not permitted");
	hp_upgrade_free(u);
}

static int make_one(void *arg, const char *network, const char *address)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	++*(int *)arg;
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static int make_none(void *arg, const char *network, const char *address)
{
	return -ENETDOWN;
}

static void calls_back_for_new_ones_only(void **state)
{
	struct hp_upgrade *u = opened(NULL), *next;
	int made_ones = 0, a, b;

	a = good(hp_upgrade_listen_with(u, HP_UPGRADE_LISTENER, "mine", "there", make_one,
					&made_ones, &err));
	next = next_of(u);
	b = good(hp_upgrade_listen_with(next, HP_UPGRADE_LISTENER, "mine", "there", make_one,
					&made_ones, &err));
	assert_true(same_file(a, b));
	assert_int_equal(made_ones, 1);
	expect_error(hp_upgrade_listen_with(u, HP_UPGRADE_LISTENER, "mine", "else", make_none, NULL,
					    &err),
		     -ENETDOWN, "can't create new listener: mine else: Network is down");
	close(a);
	close(b);
	hp_upgrade_free(next);
	hp_upgrade_free(u);
}

static void add_overwrites(void **state)
{
	struct hp_upgrade *u = opened(NULL), *next;
	int p[2], got;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(hp_upgrade_add_file(u, "x", p[0], &err), 0);
	assert_int_equal(hp_upgrade_add_file(u, "x", p[1], &err), 0);
	assert_int_equal(u->fds.used.a.n, 1);
	next = next_of(u);
	got = good(hp_upgrade_file(next, "x", &err));
	assert_true(same_file(got, p[1]));
	assert_int_equal(fcntl(got, F_GETFL) & O_ACCMODE, O_WRONLY);
	close(got);
	/* What was inherited under the name is overwritten as well. */
	hp_upgrade_free(next);
	next = next_of(u);
	assert_int_equal(hp_upgrade_add_file(next, "x", p[0], &err), 0);
	assert_int_equal(next->fds.inherited.a.n, 0);
	assert_int_equal(hp_upgrade_file(next, "x", &err), -ENOENT);
	hp_upgrade_free(next);
	hp_upgrade_free(u);
	close(p[0]);
	close(p[1]);
}

static char files_seen[64];

static void each_file(void *arg, const char *name, int fd)
{
	strcat(files_seen, name);
	strcat(files_seen, ",");
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

static void gives_all_files(void **state)
{
	struct hp_upgrade *u = opened(NULL), *next;
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(hp_upgrade_add_file(u, "one", p[0], &err), 0);
	assert_int_equal(hp_upgrade_add(u, HP_UPGRADE_LISTENER, "unix", "@no-file", p[0], &err), 0);
	assert_int_equal(hp_upgrade_add_file(u, "two", p[1], &err), 0);
	next = next_of(u);
	assert_int_equal(hp_upgrade_files(next, each_file, NULL, &err), 0);
	assert_string_equal(files_seen, "one,two,");
	/* They are used, so the process after that gets them too. */
	assert_int_equal(next->fds.used.a.n, 2);
	assert_int_equal(next->fds.inherited.a.n, 1);
	hp_upgrade_free(next);
	hp_upgrade_free(u);
	close(p[0]);
	close(p[1]);
}

static void hands_connections_over(void **state)
{
	struct hp_upgrade *u = opened(NULL), *next;
	int pair[2], got;
	char byte = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(hp_upgrade_add(u, HP_UPGRADE_CONN, "unix", "", pair[0], &err), 0);
	close(pair[0]);
	next = next_of(u);
	got = good(hp_upgrade_inherited(next, HP_UPGRADE_CONN, "unix", "", &err));
	assert_int_equal(write(got, "x", 1), 1);
	assert_int_equal(read(pair[1], &byte, 1), 1);
	close(got);
	close(pair[1]);
	hp_upgrade_free(next);
	hp_upgrade_free(u);
}

/* What is inherited is what it is taken for. */
static void refuses_the_wrong_kind(void **state)
{
	struct hp_upgrade *u = opened(NULL), *next;
	int p[2], pair[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(hp_upgrade_add(u, HP_UPGRADE_LISTENER, "tcp", "a:1", p[0], &err), 0);
	assert_int_equal(hp_upgrade_add(u, HP_UPGRADE_LISTENER, "tcp", "b:1", pair[0], &err), 0);
	next = next_of(u);
	expect_error(hp_upgrade_listen(next, "tcp", "a:1", &err), -ENOTSOCK,
		     "can't inherit listener tcp a:1: it is no socket");
	expect_error(hp_upgrade_listen(next, "tcp", "b:1", &err), -EINVAL,
		     "can't inherit listener tcp b:1: it does not listen");
	assert_int_equal(next->fds.inherited.a.n, 2);
	hp_upgrade_free(next);
	hp_upgrade_free(u);
	close(p[0]);
	close(p[1]);
	close(pair[0]);
	close(pair[1]);
}

static void tells_what_is_wrong(void **state)
{
	struct hp_upgrade *u = opened(NULL);
	int fd = good(hp_upgrade_listen(u, "unix", in_dir("taken"), &err));
	char sentence[256], lengthy[200] = "/";

	memset(lengthy + 1, 'x', sizeof(lengthy) - 2);
	snprintf(sentence, sizeof(sentence), "can't create new listener: unix %s: Address already in use",
		 in_dir("taken"));
	expect_error(hp_upgrade_listen(u, "unix", in_dir("taken"), &err), -EADDRINUSE, sentence);
	expect_error(hp_upgrade_listen(u, "udp", ":1", &err), -EPROTONOSUPPORT,
		     "can't create new listener: 'udp' is no network for a listener");
	expect_error(hp_upgrade_listen_packet(u, "tcp", ":1", &err), -EPROTONOSUPPORT,
		     "can't create new listener: 'tcp' is no network for a packet socket");
	expect_error(hp_upgrade_listen(u, "tcp", "localhost", &err), -EINVAL,
		     "can't create new listener: address 'localhost' has no port");
	expect_error(hp_upgrade_listen(u, "tcp", "::1:80", &err), -EINVAL,
		     "can't create new listener: address '::1:80' has too many colons: write [::1]:80");
	assert_int_equal(hp_upgrade_listen(u, "unix", lengthy, &err), -ENAMETOOLONG);
	assert_int_equal(hp_upgrade_listen(u, "tcp", "localhost:no-such-service", &err), -EINVAL);
	expect_error(hp_upgrade_inherited(u, HP_UPGRADE_CONN, "tcp", "c:1", &err), -ENOENT,
		     "no conn tcp c:1 was inherited");
	expect_error(hp_upgrade_add(u, HP_UPGRADE_PACKET, "udp", "d:1", 9999, &err), -EBADF,
		     "can't dup packet (udp d:1): can't dup fd using fcntl: Bad file descriptor");
	assert_int_equal(hp_upgrade_address(9999, sentence, sizeof(sentence), &err), -EBADF);
	assert_int_equal(hp_upgrade_address(fd, sentence, 3, &err), -ENOSPC);
	assert_int_equal(u->fds.used.a.n, 1);
	close(fd);
	hp_upgrade_free(u);
	unlink(in_dir("taken"));
}

/* --- sockets in the file system ------------------------------------------------------------------- */

static const char *const unix_networks[] = {"unix", "unixpacket", "unixgram"};

static struct hp_upgrade *with_paths(void)
{
	struct hp_upgrade *u = opened(NULL);

	for (int i = 0; i < 3; i++) {
		const char *path = in_dir(unix_networks[i]);

		close(good(i == 2 ? hp_upgrade_listen_packet(u, unix_networks[i], path, &err)
				  : hp_upgrade_listen(u, unix_networks[i], path, &err)));
		assert_true(exists(path));
	}
	return u;
}

static void expect_paths(bool there)
{
	for (int i = 0; i < 3; i++) {
		assert_int_equal(exists(in_dir(unix_networks[i])), there);
		unlink(in_dir(unix_networks[i]));
	}
}

static void stop_removes_paths(void **state)
{
	struct hp_upgrade *u = with_paths();

	hp_upgrade_stop(u);
	expect_paths(false);
	hp_upgrade_free(u);
}

static void free_leaves_paths(void **state)
{
	hp_upgrade_free(with_paths());
	expect_paths(true);
}

static void ready_removes_unclaimed_paths(void **state)
{
	struct hp_upgrade *u = with_paths(), *next = next_of(u);

	close(good(hp_upgrade_listen(next, "unix", in_dir("unix"), &err)));
	assert_int_equal(hp_upgrade_ready(next, &err), 0);
	assert_true(exists(in_dir("unix")));
	assert_false(exists(in_dir("unixpacket")));
	assert_false(exists(in_dir("unixgram")));
	assert_int_equal(next->fds.inherited.a.n, 0);
	hp_upgrade_free(next);
	hp_upgrade_free(u);
	unlink(in_dir("unix"));
}

/* A file that has taken the path's place is nobody's to remove. */
static void only_sockets_are_removed(void **state)
{
	struct hp_upgrade *u = with_paths();
	FILE *f;

	unlink(in_dir("unix"));
	f = fopen(in_dir("unix"), "w");
	fclose(f);
	hp_upgrade_stop(u);
	assert_true(exists(in_dir("unix")));
	unlink(in_dir("unix"));
	expect_paths(false);
	hp_upgrade_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listens_and_inherits),
		cmocka_unit_test(listen_inherits_too),
		cmocka_unit_test(port_zero_is_new),
		cmocka_unit_test(takes_both_protocols),
		cmocka_unit_test(prepares_before_bind),
		cmocka_unit_test(calls_back_for_new_ones_only),
		cmocka_unit_test(add_overwrites),
		cmocka_unit_test(gives_all_files),
		cmocka_unit_test(hands_connections_over),
		cmocka_unit_test(refuses_the_wrong_kind),
		cmocka_unit_test(tells_what_is_wrong),
		cmocka_unit_test(stop_removes_paths),
		cmocka_unit_test(free_leaves_paths),
		cmocka_unit_test(ready_removes_unclaimed_paths),
		cmocka_unit_test(only_sockets_are_removed),
	};

	return cmocka_run_group_tests(tests, rig_begin, rig_end);
}
