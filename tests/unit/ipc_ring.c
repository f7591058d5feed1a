/* SPDX-License-Identifier: MIT */
/* What the rings of front and monitor take, and what they refuse: asked of the ring itself, past its
 * functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "ipc/ring.c"

static struct hp_ring *ring;

static int open_front(void **state)
{
	return hp_ring_open(&ring, HP_RING_FRONT, NULL);
}

static int open_monitor(void **state)
{
	return hp_ring_open(&ring, HP_RING_MONITOR, NULL);
}

static int free_ring(void **state)
{
	hp_ring_free(ring);
	return 0;
}

/* The result of what was prepared. */
static int result(void)
{
	struct io_uring_cqe *cqe;
	int res;

	assert_int_equal(io_uring_submit_and_wait(&ring->uring, 1), 1);
	assert_int_equal(io_uring_peek_cqe(&ring->uring, &cqe), 0);
	res = cqe->res;
	io_uring_cqe_seen(&ring->uring, cqe);
	return res;
}

static void reaches_nothing_else(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "/run/hp/hpd.sock"};
	static char path[] = "/etc/passwd";
	struct io_uring_sqe *sqe;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	io_uring_prep_openat(io_uring_get_sqe(&ring->uring), AT_FDCWD, path, O_RDONLY, 0);
	assert_int_equal(result(), -EACCES);
	io_uring_prep_socket(io_uring_get_sqe(&ring->uring), AF_UNIX, SOCK_STREAM, 0, 0);
	assert_int_equal(result(), -EACCES);
	io_uring_prep_connect(io_uring_get_sqe(&ring->uring), fd, (struct sockaddr *)&addr,
			      sizeof(addr));
	assert_int_equal(result(), -EACCES);
	io_uring_prep_unlink(io_uring_get_sqe(&ring->uring), "/nowhere", 0);
	assert_int_equal(result(), -EACCES);
	/* A chain could put off what is refused alone. */
	sqe = io_uring_get_sqe(&ring->uring);
	io_uring_prep_poll_add(sqe, fd, POLLIN);
	sqe->flags |= IOSQE_ASYNC;
	assert_int_equal(result(), -EACCES);
	close(fd);
}

static void can_be_given_nothing_more(void **state)
{
	int fds[1] = {0};

	assert_int_equal(register_ring(ring, IORING_REGISTER_FILES, fds, 1), -EACCES);
	assert_int_equal(register_ring(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0), -EACCES);
}

static void reads(bool may)
{
	char got[4] = "";
	int p[2];

	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "abc", 3), 3);
	io_uring_prep_read(io_uring_get_sqe(&ring->uring), p[0], got, 3, 0);
	assert_int_equal(result(), may ? 3 : -EACCES);
	assert_string_equal(got, may ? "abc" : "");
	close(p[0]);
	close(p[1]);
}

static void sends(bool may)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	io_uring_prep_send(io_uring_get_sqe(&ring->uring), sv[0], "abc", 3, 0);
	assert_int_equal(result(), may ? 3 : -EACCES);
	close(sv[0]);
	close(sv[1]);
}

static void front_sends_and_does_not_read(void **state)
{
	reads(false);
	sends(true);
}

static void monitor_reads_and_does_not_send(void **state)
{
	reads(true);
	sends(false);
}

int main(void)
{
#define TEST(f, open) cmocka_unit_test_setup_teardown(f, open, free_ring)
	const struct CMUnitTest tests[] = {
		TEST(reaches_nothing_else, open_front),
		TEST(reaches_nothing_else, open_monitor),
		TEST(can_be_given_nothing_more, open_front),
		TEST(can_be_given_nothing_more, open_monitor),
		TEST(front_sends_and_does_not_read, open_front),
		TEST(monitor_reads_and_does_not_send, open_monitor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
