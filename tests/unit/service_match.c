/* SPDX-License-Identifier: MIT */
/* Which bind is answered with which listener of the old generation. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "service/inventory.h"

static struct hp_listener inet4(const char *host, in_port_t port)
{
	struct hp_listener l = {.fd = -1, .family = AF_INET, .type = SOCK_STREAM, .protocol = IPPROTO_TCP};
	struct sockaddr_in *in = (struct sockaddr_in *)&l.addr;

	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	assert_int_equal(inet_pton(AF_INET, host, &in->sin_addr), 1);
	l.addr_len = sizeof(*in);
	return l;
}

static struct hp_listener inet6(const char *host, in_port_t port, bool v6only)
{
	struct hp_listener l = {
		.fd = -1, .family = AF_INET6, .type = SOCK_STREAM, .protocol = IPPROTO_TCP, .v6only = v6only};
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&l.addr;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	assert_int_equal(inet_pton(AF_INET6, host, &in6->sin6_addr), 1);
	l.addr_len = sizeof(*in6);
	return l;
}

static struct hp_listener local(const char *name, size_t n)
{
	struct hp_listener l = {.fd = -1, .family = AF_UNIX, .type = SOCK_STREAM};
	struct sockaddr_un *un = (struct sockaddr_un *)&l.addr;

	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, name, n);
	l.addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	return l;
}

static bool same(struct hp_listener a, struct hp_listener b)
{
	bool r = hp_listener_same_address(&a, &b);

	assert_int_equal(hp_listener_same_address(&b, &a), r);
	return r;
}

static void ipv4(void **state)
{
	struct hp_listener udp = inet4("127.0.0.1", 80);

	udp.type = SOCK_DGRAM;
	udp.protocol = IPPROTO_UDP;
	assert_true(same(inet4("127.0.0.1", 80), inet4("127.0.0.1", 80)));
	assert_false(same(inet4("127.0.0.1", 80), inet4("127.0.0.1", 81)));
	assert_false(same(inet4("127.0.0.1", 80), inet4("127.0.0.2", 80)));
	assert_false(same(inet4("127.0.0.1", 80), inet4("0.0.0.0", 80)));
	assert_false(same(inet4("127.0.0.1", 80), udp));
	assert_true(same(udp, udp));
}

static void ipv6(void **state)
{
	struct hp_listener scoped = inet6("fe80::1", 80, true);

	((struct sockaddr_in6 *)&scoped.addr)->sin6_scope_id = 2;
	assert_true(same(inet6("::", 80, false), inet6("::", 80, false)));
	assert_true(same(inet6("::", 80, true), inet6("::", 80, true)));
	/* One takes the clients of IPv4, the other does not. */
	assert_false(same(inet6("::", 80, true), inet6("::", 80, false)));
	assert_false(same(inet6("::", 80, false), inet4("0.0.0.0", 80)));
	/* The option says nothing where the address is IPv6's alone. */
	assert_true(same(inet6("::1", 80, true), inet6("::1", 80, false)));
	assert_false(same(inet6("::1", 80, true), inet6("::", 80, true)));
	assert_false(same(scoped, inet6("fe80::1", 80, true)));
	assert_true(same(scoped, scoped));
	/* How it is written is the kernel's affair; flow labels are no part of an address. */
	((struct sockaddr_in6 *)&scoped.addr)->sin6_flowinfo = 7;
	assert_false(same(scoped, inet6("fe80::1", 80, true)));
}

static void unix_names(void **state)
{
	struct hp_listener a = local("/run/a", 7), b = local("./a", 4);

	/* A path is the file that it leads to, whoever writes it how. */
	a.file = b.file = (struct hp_file_id){.dev = 1, .ino = 2};
	assert_true(same(a, b));
	b.file.ino = 3;
	assert_false(same(a, b));
	b.file = (struct hp_file_id){.dev = 2, .ino = 2};
	assert_false(same(a, b));
	b.file.ino = 0;
	assert_false(same(a, b));
	/* An abstract name is its bytes, and how many they are. */
	assert_true(same(local("\0name", 5), local("\0name", 5)));
	assert_false(same(local("\0name", 5), local("\0name", 6)));
	assert_false(same(local("\0name", 5), local("\0nome", 5)));
}

/* What the kernel makes of a bind is what it is compared with. */
static void as_bound(void **state)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct hp_listener l, asked;

	if (fd < 0 && errno == EAFNOSUPPORT)
		skip();
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int)), 0);
	assert_int_equal(hp_listener_describe(&asked, fd), 0);
	assert_false(asked.v6only);
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(hp_listener_describe(&l, fd), 0);
	assert_true(l.v6only);
	asked.addr = l.addr;
	assert_true(same(asked, l));
	assert_int_equal(strncmp(l.text, "tcp [::1]:", 10), 0);
	close(fd);
	assert_int_equal(hp_listener_describe(&l, fd), -EBADF);
}

static void texts(void **state)
{
	char buf[HP_ADDR_TEXT];
	struct hp_listener l;

	l = inet4("127.0.0.1", 8080);
	assert_string_equal(hp_address_text(&l, buf), "tcp 127.0.0.1:8080");
	l = inet6("::", 53, true);
	l.type = SOCK_DGRAM;
	assert_string_equal(hp_address_text(&l, buf), "udp [::]:53 (IPv6 only)");
	l = inet6("::", 53, false);
	assert_string_equal(hp_address_text(&l, buf), "tcp [::]:53");
	l = local("\0name", 5);
	assert_string_equal(hp_address_text(&l, buf), "unix @name");
	l = local("/run/a", 7);
	assert_string_equal(hp_address_text(&l, buf), "unix /run/a");
}

static struct hp_listener *add(struct hp_listeners *l, struct hp_listener one, ino_t ino)
{
	one.ino = ino;
	l->v = realloc(l->v, (l->n + 1) * sizeof(one));
	assert_non_null(l->v);
	l->room = l->n + 1;
	l->v[l->n] = one;
	return &l->v[l->n++];
}

static void what_nobody_took_is_forgotten(void **state)
{
	struct hp_listeners l = {0};

	add(&l, inet4("127.0.0.1", 1), 11);
	add(&l, inet4("127.0.0.1", 2), 12)->handed = true;
	add(&l, inet4("127.0.0.1", 3), 13);
	add(&l, inet4("127.0.0.1", 4), 14)->handed = true;
	assert_ptr_equal(hp_listeners_find(&l, 13), &l.v[2]);
	assert_null(hp_listeners_find(&l, 15));
	hp_listeners_drop_unhanded(&l);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.v[0].ino, 12);
	assert_int_equal(l.v[1].ino, 14);
	hp_listeners_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4),
		cmocka_unit_test(ipv6),
		cmocka_unit_test(unix_names),
		cmocka_unit_test(as_bound),
		cmocka_unit_test(texts),
		cmocka_unit_test(what_nobody_took_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
