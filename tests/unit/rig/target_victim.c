/* SPDX-License-Identifier: MIT */
#include "target_victim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hp/err.h"
#include "target/target.h"
#include "../../services/tied.h"

const char *const victim_names[VICTIM_KINDS] = {
	"futex", "epoll_wait", "epoll_pwait", "clock_nanosleep", "sigtimedwait", "semop",
	"poll",	 "ppoll",      "pselect6",    "accept4",	 "read",	 "spin",
};

/* rbx r12 r13 r14 r15 r8 r9 r10 rdi rsi rdx, and xmm0-15 */
struct victim_regs {
	uint64_t general[11];
	_Alignas(16) uint8_t xmm[16][16];
};

static int64_t victim_raw(long nr, struct victim_regs *r, const uint64_t a[6])
{
	struct victim_regs in, *from = &in, *to = r;
	int64_t result;

	memset(&in, 0, sizeof(in));
	for (unsigned i = 0; i < 16; i++)
		memset(in.xmm[i], (int)(0x10 + i), 16);
	in.general[0] = a[0];
	in.general[1] = a[1];
	in.general[2] = a[2];
	in.general[3] = a[3];
	in.general[4] = a[4];
	in.general[5] = a[5];
	__asm__ volatile(
		"push %%rbx\n\tpush %%rbp\n\tpush %%r12\n\tpush %%r13\n\tpush %%r14\n\tpush %%r15\n\t"
		"mov %[in], %%rbp\n\t"
		"movaps 0x60(%%rbp), %%xmm0\n\tmovaps 0x70(%%rbp), %%xmm1\n\t"
		"movaps 0x80(%%rbp), %%xmm2\n\tmovaps 0x90(%%rbp), %%xmm3\n\t"
		"movaps 0xa0(%%rbp), %%xmm4\n\tmovaps 0xb0(%%rbp), %%xmm5\n\t"
		"movaps 0x140(%%rbp), %%xmm14\n\tmovaps 0x150(%%rbp), %%xmm15\n\t"
		"push %[out]\n\t"
		"mov %[nr], %%rax\n\t"
		"mov 0(%%rbp), %%rdi\n\tmov 8(%%rbp), %%rsi\n\tmov 16(%%rbp), %%rdx\n\t"
		"mov 24(%%rbp), %%r10\n\tmov 32(%%rbp), %%r8\n\tmov 40(%%rbp), %%r9\n\t"
		"mov $0xb1, %%ebx\n\tmov $0xc2, %%r12d\n\tmov $0xd3, %%r13d\n\t"
		"mov $0xe4, %%r14d\n\tmov $0xf5, %%r15d\n\t"
		"syscall\n\t"
		"pop %%rbp\n\t"
		"mov %%rbx, 0(%%rbp)\n\tmov %%r12, 8(%%rbp)\n\tmov %%r13, 16(%%rbp)\n\t"
		"mov %%r14, 24(%%rbp)\n\tmov %%r15, 32(%%rbp)\n\t"
		"mov %%r8, 40(%%rbp)\n\tmov %%r9, 48(%%rbp)\n\tmov %%r10, 56(%%rbp)\n\t"
		"mov %%rdi, 64(%%rbp)\n\tmov %%rsi, 72(%%rbp)\n\tmov %%rdx, 80(%%rbp)\n\t"
		"movaps %%xmm0, 0x60(%%rbp)\n\tmovaps %%xmm1, 0x70(%%rbp)\n\t"
		"movaps %%xmm2, 0x80(%%rbp)\n\tmovaps %%xmm3, 0x90(%%rbp)\n\t"
		"movaps %%xmm4, 0xa0(%%rbp)\n\tmovaps %%xmm5, 0xb0(%%rbp)\n\t"
		"movaps %%xmm14, 0x140(%%rbp)\n\tmovaps %%xmm15, 0x150(%%rbp)\n\t"
		"pop %%r15\n\tpop %%r14\n\tpop %%r13\n\tpop %%r12\n\tpop %%rbp\n\tpop %%rbx\n\t"
		: "=&a"(result), [in] "+c"(from), [out] "+d"(to), [nr] "+S"(nr)
		:
		: "rdi", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3",
		  "xmm4", "xmm5", "xmm14", "xmm15");
	return result;
}

static bool victim_regs_kept(const struct victim_regs *r, const uint64_t a[6])
{
	static const uint8_t checked[] = {0, 1, 2, 3, 4, 5, 14, 15};
	const uint64_t want[11] = {0xb1, 0xc2, 0xd3, 0xe4, 0xf5, a[4], a[5], a[3], a[0], a[1], a[2]};

	for (unsigned i = 0; i < sizeof(checked); i++)
		for (unsigned j = 0; j < 16; j++)
			if (r->xmm[checked[i]][j] != 0x10 + checked[i])
				return false;
	return memcmp(r->general, want, sizeof(want)) == 0;
}

static void victim_judge(struct victim *v, unsigned kind, int64_t got, int64_t want,
				bool regs_kept)
{
	if (v->asked && got == want && regs_kept) {
		v->back++;
		return;
	}
	v->last_result = got;
	v->last_kind = kind;
	v->faults++;
}

static void victim_spin(struct victim *v)
{
	v->ready++;
	while (!v->asked) {
		uint64_t a = 0x1234, b = 0;

		/* the red zone, a vector register and the flags must survive as well */
		__asm__ volatile("mov %1, -8(%%rsp)\n\tmov %1, -128(%%rsp)\n\t"
				 "movq %1, %%xmm7\n\tmov $20000, %%ecx\n\t"
				 "1: dec %%ecx\n\tjnz 1b\n\t"
				 "movq %%xmm7, %0\n\txor -8(%%rsp), %0\n\tadd -128(%%rsp), %0"
				 : "=&r"(b)
				 : "r"(a)
				 : "rcx", "xmm7", "memory", "cc");
		if (b != a)
			v->faults++;
		v->spins++;
	}
	v->back++;
}

static void victim_sleep(struct victim *v, unsigned kind)
{
	static const struct timespec hour = {3600, 0};
	struct pollfd p = {.fd = v->event[0], .events = POLLIN};
	struct sembuf op = {0, -1, 0};
	struct epoll_event ev = {.events = EPOLLIN}, out;
	struct victim_regs r;
	uint64_t usr2 = 1ull << (SIGUSR2 - 1), a[6] = {0};
	int64_t got, want = 1;
	fd_set set;
	char byte;
	long nr;

	if (kind == VICTIM_SPIN) {
		victim_spin(v);
		return;
	}
	/* Waits with a time-out are restarted by number, which must stand in the code: libc's. */
	if (kind == VICTIM_SLEEP) {
		v->sleeper = (int)syscall(SYS_gettid);
		v->ready++;
		got = clock_nanosleep(CLOCK_MONOTONIC, 0, &hour, NULL);
		victim_judge(v, kind, got, EINTR, true); /* ended by a signal with a handler */
		return;
	}
	if (kind == VICTIM_POLL) {
		v->ready++;
		got = poll(&p, 1, 3600 * 1000);
		victim_judge(v, kind, got, 1, true);
		return;
	}
	FD_ZERO(&set);
	FD_SET(v->event[0], &set);
	switch (kind) {
	case VICTIM_FUTEX:
		nr = SYS_futex;
		a[0] = (uintptr_t)&v->futex;
		a[1] = FUTEX_WAIT;
		want = 0;
		break;
	case VICTIM_EPOLL:
	case VICTIM_EPOLL_PWAIT:
		nr = kind == VICTIM_EPOLL ? SYS_epoll_wait : SYS_epoll_pwait;
		a[0] = (uint64_t)epoll_create1(0);
		(void)epoll_ctl((int)a[0], EPOLL_CTL_ADD, v->event[0], &ev);
		a[1] = (uintptr_t)&out;
		a[2] = 1;
		a[3] = (uint64_t)-1;
		a[4] = kind == VICTIM_EPOLL ? 0 : (uintptr_t)&usr2;
		a[5] = 8;
		break;
	case VICTIM_SIGTIMEDWAIT:
		nr = SYS_rt_sigtimedwait;
		a[0] = (uintptr_t)&usr2;
		a[3] = 8;
		want = SIGUSR2;
		break;
	case VICTIM_SEMOP:
		nr = SYS_semop;
		a[0] = (uint64_t)v->sem;
		a[1] = (uintptr_t)&op;
		a[2] = 1;
		want = 0;
		break;
	case VICTIM_PPOLL:
		nr = SYS_ppoll;
		a[0] = (uintptr_t)&p;
		a[1] = 1;
		a[3] = (uintptr_t)&usr2;
		a[4] = 8;
		break;
	case VICTIM_SELECT:
		nr = SYS_pselect6;
		a[0] = (uint64_t)v->event[0] + 1;
		a[1] = (uintptr_t)&set;
		break;
	case VICTIM_ACCEPT:
		nr = SYS_accept4;
		a[0] = (uint64_t)v->listener;
		want = -2; /* any descriptor */
		break;
	default:
		nr = SYS_read;
		a[0] = (uint64_t)v->event[0];
		a[1] = (uintptr_t)&byte;
		a[2] = 1;
		break;
	}
	v->ready++;
	got = victim_raw(nr, &r, a);
	if (kind == VICTIM_FUTEX && got == -EAGAIN && v->asked)
		got = 0; /* restarted after the word had changed */
	if (want == -2 && got >= 0)
		want = got;
	victim_judge(v, kind, got, want, victim_regs_kept(&r, a));
}

static void victim_on_usr1(int sig)
{
}

struct victim_thread {
	struct victim *v;
	unsigned kind;
};

static void *victim_thread_main(void *arg)
{
	struct victim_thread *t = arg;

	victim_sleep(t->v, t->kind);
	return NULL;
}

/* The first kind is the main thread's. */
static void victim_main(struct victim *v, const unsigned *kinds, unsigned n)
{
	static struct victim_thread threads[64];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGUSR1, &(struct sigaction){.sa_handler = victim_on_usr1}, NULL);
	for (unsigned i = 1; i < n; i++) {
		pthread_t id;

		threads[i] = (struct victim_thread){v, kinds[i]};
		if (pthread_create(&id, NULL, victim_thread_main, &threads[i]))
			_exit(3);
	}
	victim_sleep(v, kinds[0]);
	for (;;)
		pause();
}

bool victim_asleep(const struct victim *v, unsigned spinners)
{
	char path[64], line[512];
	unsigned asleep = 0, n = 0;
	struct dirent *e;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", v->pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		FILE *f;

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%.20s/stat", v->pid, e->d_name);
		f = fopen(path, "re");
		if (f && fgets(line, sizeof(line), f)) {
			n++;
			asleep += strrchr(line, ')') && strrchr(line, ')')[2] == 'S';
		}
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return n == v->n && asleep + spinners >= n;
}

struct victim *victim_start(const unsigned *kinds, unsigned n)
{
	struct victim *v = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned spinners = 0;
	pid_t pid;

	assert_true(v != MAP_FAILED);
	v->n = n;
	assert_int_equal(pipe2(v->event, O_CLOEXEC), 0);
	v->sem = semget(IPC_PRIVATE, 1, 0600);
	v->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(v->listener, &(struct sockaddr){.sa_family = AF_UNIX}, 2), 0);
	assert_int_equal(listen(v->listener, 8), 0);
	pid = tied_fork();
	if (pid == 0)
		victim_main(v, kinds, n);
	v->pid = pid;
	for (unsigned i = 0; i < n; i++)
		spinners += kinds[i] == VICTIM_SPIN;
	for (int i = 0; i < 5000 && !(v->ready == n && victim_asleep(v, spinners)); i++)
		hp_pause_ns(HP_MS);
	assert_int_equal(v->ready, n);
	return v;
}

static void victim_wake(struct victim *v)
{
	struct sembuf op = {0, 64, 0};
	struct sockaddr_un_any {
		sa_family_t family;
		char room[126];
	} at;
	socklen_t len = sizeof(at);
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	v->asked = 1;
	v->futex = 1;
	(void)syscall(SYS_futex, &v->futex, FUTEX_WAKE, 64, NULL, NULL, 0);
	assert_int_equal(write(v->event[1], "xxxxxxxx", 8), 8);
	assert_int_equal(semop(v->sem, &op, 1), 0);
	assert_int_equal(getsockname(v->listener, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(connect(s, (struct sockaddr *)&at, len), 0);
	close(s);
}

void victim_finish(struct victim *v, const unsigned *kinds)
{
	if (v->faults)
		print_error("%s came back with %lld\n", victim_names[v->last_kind],
			    (long long)v->last_result);
	assert_int_equal(v->faults, 0);
	assert_int_equal(v->back, 0);
	victim_wake(v);
	for (unsigned i = 0; i < v->n; i++) {
		if (kinds[i] == VICTIM_SIGTIMEDWAIT)
			assert_int_equal(kill(v->pid, SIGUSR2), 0);
		if (kinds[i] == VICTIM_SLEEP)
			assert_int_equal(syscall(SYS_tgkill, v->pid, v->sleeper, SIGUSR1), 0);
	}
	for (int i = 0; i < 5000 && v->back + v->faults < v->n; i++)
		hp_pause_ns(HP_MS);
	if (v->faults)
		print_error("%s came back with %lld\n", victim_names[v->last_kind],
			    (long long)v->last_result);
	assert_int_equal(v->faults, 0);
	assert_int_equal(v->back, v->n);
}

void victim_free(struct victim *v)
{
	kill(v->pid, SIGKILL);
	assert_int_equal(waitpid(v->pid, NULL, 0), v->pid);
	semctl(v->sem, 0, IPC_RMID);
	close(v->listener);
	close(v->event[0]);
	close(v->event[1]);
	munmap(v, 4096);
}

int victim_count(const struct victim *v, const char *what)
{
	char path[64];
	int n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", v->pid, what);
	d = opendir(path);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

char *victim_maps(const struct victim *v)
{
	char path[64], *text = calloc(1, 1 << 20);
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", v->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	return text;
}

struct hp_target *victim_target(const struct victim *v)
{
	struct hp_target *t;
	struct hp_err err = {0};

	if (hp_target_open(&t, v->pid, &err) < 0)
		fail_msg("%s", err.text);
	return t;
}

int victim_children(const struct victim *v)
{
	struct dirent *e;
	int n = 0;
	DIR *d = opendir("/proc");

	while ((e = readdir(d))) {
		char path[300], line[512], *p;
		FILE *f;

		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		f = fopen(path, "re");
		if (f && fgets(line, sizeof(line), f) && (p = strrchr(line, ')')))
			n += atoi(p + 4) == v->pid;
		if (f)
			fclose(f);
	}
	closedir(d);
	return n;
}
