/* SPDX-License-Identifier: MIT */
/*
 * A child stands still; the tracer fills its vector registers, lays a frame below its stack, ruins them
 * all, and lets it return through the frame: every one of them must be back, however large the child's
 * state is.  It is larger in a thread that has used AMX, from then on (arch/x86/kernel/fpu/xstate.c,
 * fpstate_realloc()).
 */
#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "arch/sigframe.h"

#define ARCH_GET_XCOMP_SUPP 0x1021
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURES_AT	    464 /* in what PTRACE_GETREGSET gives: XCR0 */
#define XSTATE_BV	    512
#define XMM		    160
#define TILE_DATA	    18
#define FIRST_VECTOR	    2 /* AVX */
#define LAST_VECTOR	    7 /* AVX-512 */

enum tiles { NO_TILES, TILES_IN_USE, TILES_RELEASED };

void stand(void);
void a_ret(void);
void restorer(void);

__asm__(".text\n.globl stand, a_ret, restorer\n"
	"stand: int3\n"
	"a_ret: ret\n"
	"restorer: mov $15,%eax\nsyscall\n");

static bool has_component(unsigned i, unsigned *at, unsigned *n)
{
	unsigned eax, ebx, ecx, edx;

	if (!__get_cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx) || !eax)
		return false;
	*at = ebx;
	*n = eax;
	return true;
}

static bool use_tiles(void)
{
	static const struct {
		uint8_t palette, start_row, reserved[14];
		uint16_t bytes[16];
		uint8_t rows[16];
	} config = {.palette = 1, .bytes = {64}, .rows = {16}};
	static uint8_t tile[16][64];

	if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA))
		return false;
	memset(tile, 0x5a, sizeof(tile));
	__asm__ volatile("ldtilecfg %0" ::"m"(config));
	__asm__ volatile("tileloadd (%0,%1,1), %%tmm0" ::"r"(tile), "r"(64ul) : "memory");
	return true;
}

static void child(enum tiles tiles)
{
	if (ptrace(PTRACE_TRACEME, 0, 0, 0) || (tiles != NO_TILES && !use_tiles()))
		_exit(1);
	if (tiles == TILES_RELEASED)
		__asm__ volatile("tilerelease");
	stand();
	_exit(1);
}

struct state {
	uint8_t v[HP_XSTATE_MAX];
	size_t n;
};

static void get(pid_t pid, struct state *s)
{
	struct iovec io = {s->v, sizeof(s->v)};

	memset(s, 0, sizeof(*s));
	assert_int_equal(ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &io), 0);
	s->n = io.iov_len;
}

static void set(pid_t pid, struct state *s)
{
	struct iovec io = {s->v, s->n};

	assert_int_equal(ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &io), 0);
}

static void fill(struct state *s)
{
	uint64_t has, used;

	memcpy(&has, s->v + XFEATURES_AT, sizeof(has));
	memcpy(&used, s->v + XSTATE_BV, sizeof(used));
	memset(s->v + XMM, 0x11, 256);
	used |= 3;
	for (unsigned i = FIRST_VECTOR; i <= LAST_VECTOR; i++) {
		unsigned at, n;

		if (!(has >> i & 1) || !has_component(i, &at, &n))
			continue;
		memset(s->v + at, 0x11 * (int)i, n);
		used |= 1ull << i;
	}
	memcpy(s->v + XSTATE_BV, &used, sizeof(used));
}

static void to_stop(pid_t pid, int sig)
{
	int st;

	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFSTOPPED(st));
	assert_int_equal(WSTOPSIG(st), sig);
}

/* Into the frame, until the system call that restores has done it. */
static void go_through(pid_t pid, hp_addr frame)
{
	struct user_regs_struct r;

	assert_int_equal(ptrace(PTRACE_GETREGS, pid, 0, &r), 0);
	r.rip = (uintptr_t)a_ret;
	r.rsp = frame;
	assert_int_equal(ptrace(PTRACE_SETREGS, pid, 0, &r), 0);
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL),
			 0);
	for (unsigned stops = 0; stops < 2; stops++) {
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, 0, 0), 0);
		to_stop(pid, SIGTRAP | 0x80);
	}
}

static bool uses(const struct state *s, unsigned component)
{
	return s->v[XSTATE_BV + component / 8] >> component % 8 & 1;
}

static void all_is_back(enum tiles tiles)
{
	struct state full, empty, back;
	struct user_regs_struct r;
	struct hp_sigframe f;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		child(tiles);
	to_stop(pid, SIGTRAP);
	get(pid, &full);
	assert_int_equal(uses(&full, TILE_DATA), tiles == TILES_IN_USE);
	fill(&full);
	set(pid, &full);
	get(pid, &full);
	assert_int_equal(ptrace(PTRACE_GETREGS, pid, 0, &r), 0);
	assert_int_equal(hp_sigframe_build(&f, r.rsp - HP_RED_ZONE, &r, 0, full.v, full.n,
					   (uintptr_t)restorer),
			 0);
	assert_true(f.base + f.n <= r.rsp - HP_RED_ZONE);
	assert_int_equal(process_vm_writev(pid, &(struct iovec){f.bytes, f.n}, 1,
					   &(struct iovec){(void *)f.base, f.n}, 1, 0),
			 (ssize_t)f.n);
	empty = full;
	memset(empty.v + XSTATE_BV, 0, 8);
	set(pid, &empty);
	get(pid, &empty);
	assert_memory_not_equal(empty.v, full.v, full.n);
	go_through(pid, f.frame);
	get(pid, &back);
	assert_int_equal(back.n, full.n);
	assert_memory_equal(back.v, full.v, full.n);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static bool threads_may_have_tiles(void)
{
	uint64_t all = 0;

	return !syscall(SYS_arch_prctl, ARCH_GET_XCOMP_SUPP, &all) && all >> TILE_DATA & 1;
}

/* In every state that a thread of this machine may be in. */
static void all_registers_are_back(void **state)
{
	all_is_back(NO_TILES);
	if (!threads_may_have_tiles()) {
		print_message("# no thread of this machine may have tiles\n");
		return;
	}
	all_is_back(TILES_IN_USE);
	all_is_back(TILES_RELEASED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_registers_are_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
