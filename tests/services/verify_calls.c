/* SPDX-License-Identifier: MIT */
/*
 * The blocked calls of verify.  Each kind is a thread that makes one call again and again, in
 * verify_run() and so with a value in every register, and one that wakes it, when the kind has one.
 * A call never ends by EINTR, for no signal has a handler here; never brings less than was asked
 * for; never ends before its time.
 */
#include "verify.h"
#include "svc.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BIG	 4096
#define TICK_NS	 5000000
#define WAIT_MS	 7
#define NS_A_MS	 1000000

unsigned long verify_blocked, verify_short, verify_early;

struct kind {
	const char *name;
	void (*open)(struct kind *k);
	void (*block)(struct kind *k, uint64_t seed);
	void (*wake)(struct kind *k);
	int fd[2];
	int word, id;
	pid_t tid;
	aio_context_t aio;
};

/* The kind of the calling thread. */
static _Thread_local const char *mine;

static void count(unsigned long *what)
{
	__atomic_add_fetch(what, 1, __ATOMIC_RELAXED);
}

/* The call, with a value in each register that is no argument; its result. */
static long blocked(uint64_t seed, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
		    uint64_t e, uint64_t f)
{
	struct verify_regs in, out;
	long r;

	verify_fill(&in, seed);
	out.avx = in.avx;
	in.rax = (uint64_t)nr;
	in.rdi = a;
	in.rsi = b;
	in.rdx = c;
	in.r10 = d;
	in.r8 = e;
	in.r9 = f;
	verify_run(&in, &out, 0);
	if (verify_differ(&in, &out, true))
		count(&verify_regs_bad);
	r = (long)out.rax;
	if (r == -EINTR) {
		count(&svc_eintr);
		fprintf(stderr, "verify: %s was interrupted\n", mine);
	}
	count(&verify_blocked);
	return r;
}

static uint64_t to(const void *p)
{
	return (uintptr_t)p;
}

static void wants(long r, long wanted)
{
	if (r == wanted || r == -EINTR)
		return;
	count(&verify_short);
	fprintf(stderr, "verify: %s brought %ld, not %ld\n", mine, r, wanted);
}

static void not_before(uint64_t begin, uint64_t ns)
{
	if (svc_now_ns() - begin < ns)
		count(&verify_early);
}

static void open_pipe(struct kind *k)
{
	if (pipe(k->fd))
		abort();
}

static void open_sockets(struct kind *k)
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, k->fd))
		abort();
}

static void open_none(struct kind *k)
{
}

static void wake_none(struct kind *k)
{
	svc_nap_us(100000);
}

static void write_byte(struct kind *k)
{
	if (write(k->fd[1], "x", 1) != 1)
		count(&verify_short);
}

static void block_futex(struct kind *k, uint64_t seed)
{
	long r = blocked(seed, SYS_futex, to(&k->word), FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);

	if (r != -EAGAIN)
		wants(r, 0);
	__atomic_store_n(&k->word, 0, __ATOMIC_SEQ_CST);
}

static void wake_futex(struct kind *k)
{
	__atomic_store_n(&k->word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &k->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void block_timed_futex(struct kind *k, uint64_t seed)
{
	struct timespec t = {.tv_nsec = WAIT_MS * NS_A_MS};
	uint64_t begin = svc_now_ns();

	wants(blocked(seed, SYS_futex, to(&k->word), FUTEX_WAIT_PRIVATE, 0, to(&t), 0, 0),
	      -ETIMEDOUT);
	not_before(begin, WAIT_MS * NS_A_MS);
}

static void block_nanosleep(struct kind *k, uint64_t seed)
{
	struct timespec t = {.tv_nsec = WAIT_MS * NS_A_MS};
	uint64_t begin = svc_now_ns();

	wants(blocked(seed, SYS_nanosleep, to(&t), 0, 0, 0, 0, 0), 0);
	not_before(begin, WAIT_MS * NS_A_MS);
}

static void open_epoll(struct kind *k)
{
	struct epoll_event e = {.events = EPOLLIN};

	open_pipe(k);
	k->id = epoll_create1(0);
	if (k->id < 0 || epoll_ctl(k->id, EPOLL_CTL_ADD, k->fd[0], &e))
		abort();
}

static void read_byte(struct kind *k)
{
	char c;

	if (read(k->fd[0], &c, 1) != 1)
		count(&verify_short);
}

static void block_epoll(struct kind *k, uint64_t seed)
{
	struct epoll_event e;
	long r = blocked(seed, SYS_epoll_wait, (uint64_t)k->id, to(&e), 1, (uint64_t)-1, 0, 0);

	wants(r, 1);
	if (r == 1)
		read_byte(k);
}

static void block_timed_epoll(struct kind *k, uint64_t seed)
{
	struct epoll_event e;
	uint64_t begin = svc_now_ns();

	wants(blocked(seed, SYS_epoll_wait, (uint64_t)k->id, to(&e), 1, WAIT_MS, 0, 0), 0);
	not_before(begin, WAIT_MS * NS_A_MS);
}

static void block_poll(struct kind *k, uint64_t seed)
{
	struct pollfd p = {.fd = k->fd[0], .events = POLLIN};
	long r = blocked(seed, SYS_poll, to(&p), 1, (uint64_t)-1, 0, 0, 0);

	wants(r, 1);
	if (r == 1)
		read_byte(k);
}

static void block_read(struct kind *k, uint64_t seed)
{
	char c;

	wants(blocked(seed, SYS_read, (uint64_t)k->fd[0], to(&c), 1, 0, 0, 0), 1);
}

/* All of it, though it comes in pieces. */
static void block_recv(struct kind *k, uint64_t seed)
{
	static char buf[BIG];

	wants(blocked(seed, SYS_recvfrom, (uint64_t)k->fd[0], to(buf), BIG, MSG_WAITALL, 0, 0),
	      BIG);
}

static void send_piece(struct kind *k)
{
	static const char piece[BIG / 8];

	if (send(k->fd[1], piece, sizeof(piece), 0) != sizeof(piece))
		count(&verify_short);
}

/* More than the socket holds, so that it waits for its reader in the middle. */
static void block_send(struct kind *k, uint64_t seed)
{
	static const char buf[256 * BIG];

	wants(blocked(seed, SYS_sendto, (uint64_t)k->fd[0], to(buf), sizeof(buf), MSG_NOSIGNAL, 0,
		      0),
	      sizeof(buf));
}

static void receive_piece(struct kind *k)
{
	static char buf[64 * BIG];

	if (recv(k->fd[1], buf, sizeof(buf), 0) <= 0)
		count(&verify_short);
}

static void block_sigtimedwait(struct kind *k, uint64_t seed)
{
	uint64_t set = 1ull << (SIGUSR2 - 1);
	struct timespec t = {.tv_sec = 100};

	if (!k->tid) {
		sigset_t s;

		sigemptyset(&s);
		sigaddset(&s, SIGUSR2);
		pthread_sigmask(SIG_BLOCK, &s, NULL);
		__atomic_store_n(&k->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	}
	wants(blocked(seed, SYS_rt_sigtimedwait, to(&set), 0, to(&t), sizeof(set), 0, 0), SIGUSR2);
}

static void send_signal(struct kind *k)
{
	pid_t tid = __atomic_load_n(&k->tid, __ATOMIC_SEQ_CST);

	if (tid)
		syscall(SYS_tgkill, getpid(), tid, SIGUSR2);
}

static void open_aio(struct kind *k)
{
	open_pipe(k);
	if (syscall(SYS_io_setup, 4, &k->aio))
		abort();
}

static void block_aio(struct kind *k, uint64_t seed)
{
	struct iocb cb = {.aio_lio_opcode = IOCB_CMD_POLL,
			  .aio_fildes = (uint32_t)k->fd[0],
			  .aio_buf = POLLIN};
	struct iocb *list = &cb;
	struct io_event ev;
	long r;

	if (syscall(SYS_io_submit, k->aio, 1, &list) != 1)
		abort();
	while ((r = blocked(seed, SYS_io_getevents, k->aio, 1, 1, to(&ev), 0, 0)) == -EINTR)
		;
	wants(r, 1);
	if (r == 1)
		read_byte(k);
}

/* In a namespace of its own, which goes with the process however that ends. */
static void open_sem(struct kind *k)
{
	(void)unshare(CLONE_NEWIPC); /* root's; for others a killed service leaves a semaphore */
	k->id = semget(IPC_PRIVATE, 1, 0600);
	if (k->id < 0)
		abort();
}

static void block_semop(struct kind *k, uint64_t seed)
{
	struct sembuf down = {.sem_op = -1};

	wants(blocked(seed, SYS_semop, (uint64_t)k->id, to(&down), 1, 0, 0, 0), 0);
}

static void sem_up(struct kind *k)
{
	struct sembuf up = {.sem_op = 1};

	if (semop(k->id, &up, 1))
		count(&verify_short);
}

/* Its expirations, over its life, are those that the clock says. */
static void open_timer(struct kind *k)
{
	struct itimerspec t = {{0, TICK_NS}, {0, TICK_NS}};

	k->fd[0] = timerfd_create(CLOCK_MONOTONIC, 0);
	if (k->fd[0] < 0 || timerfd_settime(k->fd[0], 0, &t, NULL))
		abort();
}

static void block_timer(struct kind *k, uint64_t seed)
{
	static uint64_t begin, ticks;
	uint64_t n = 0, before = svc_now_ns();

	if (!begin)
		begin = before;
	wants(blocked(seed, SYS_read, (uint64_t)k->fd[0], to(&n), sizeof(n), 0, 0, 0), sizeof(n));
	ticks += n;
	/* The first tick is up to one interval before the first reading. */
	if (ticks + 2 < (before - begin) / TICK_NS)
		count(&verify_early);
}

#define KIND(name_, open_, block_, wake_)                                                          \
	{                                                                                          \
		.name = (name_), .open = (open_), .block = (block_), .wake = (wake_)               \
	}
static struct kind kinds[] = {
	KIND("futex", open_none, block_futex, wake_futex),
	KIND("timed-futex", open_none, block_timed_futex, wake_none),
	KIND("nanosleep", open_none, block_nanosleep, wake_none),
	KIND("epoll", open_epoll, block_epoll, write_byte),
	KIND("timed-epoll", open_epoll, block_timed_epoll, wake_none),
	KIND("poll", open_pipe, block_poll, write_byte),
	KIND("read", open_pipe, block_read, write_byte),
	KIND("recv", open_sockets, block_recv, send_piece),
	KIND("send", open_sockets, block_send, receive_piece),
	KIND("sigtimedwait", open_none, block_sigtimedwait, send_signal),
	KIND("io_getevents", open_aio, block_aio, write_byte),
	KIND("semop", open_sem, block_semop, sem_up),
	KIND("timer", open_timer, block_timer, wake_none),
};
#define KINDS (sizeof(kinds) / sizeof(*kinds))

static void *blocker(void *arg)
{
	struct kind *k = arg;
	sigset_t before, after;

	mine = k->name;
	sigemptyset(&before);
	sigaddset(&before, SIGRTMIN + 1 + (int)(k - kinds)); /* each its own mask */
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	for (uint64_t seed = (uint64_t)(k - kinds) << 32;; seed++) {
		pthread_sigmask(SIG_SETMASK, NULL, &before);
		k->block(k, seed);
		pthread_sigmask(SIG_SETMASK, NULL, &after);
		if (memcmp(&before, &after, 8) && seed & 0xffffffff)
			count(&verify_masks_bad);
	}
	return NULL;
}

/* Pauses of up to 16 ms, so that a call is blocked most of the time. */
static void *waker(void *arg)
{
	struct kind *k = arg;

	for (unsigned n = 1;; n = n * 1103515245 + 12345) {
		svc_nap_us((n >> 16 & 0xf) * 1000 + 100);
		k->wake(k);
	}
	return NULL;
}

bool verify_calls_start(const char *names)
{
	bool any = false;

	for (size_t i = 0; i < KINDS; i++) {
		const char *at = strstr(names, kinds[i].name);
		size_t n = strlen(kinds[i].name);

		if (strcmp(names, "all") && (!at || (at != names && at[-1] != ',') || at[n] != ','))
			continue;
		any = true;
		kinds[i].open(&kinds[i]);
		svc_thread(blocker, &kinds[i]);
		svc_thread(waker, &kinds[i]);
	}
	return any || !*names;
}
