/* SPDX-License-Identifier: MIT */
#include "box.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADDRESS_END  0x7ffffffff000ull
#define SLICE_US     100000 /* of CPU time; a run that meets the end of two has a loop */
#define XSTATE_BV    512    /* Intel SDM 1, 13.4.2 */
#define RSEQ_AREA    32	    /* what glibc registers, whatever it uses of it */
#define SYSCALL_STOP (SIGTRAP | 0x80) /* PTRACE_O_TRACESYSGOOD */

static struct {
	pid_t pid; /* 0: none */
	int memfd;
	uint8_t *page;
	uint8_t xstate[HP_XSTATE_MAX];
	size_t xstate_n;
} box;

static void must(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	abort();
}

uint8_t *box_page(enum box_area a)
{
	size_t n = BOX_PAGES * BOX_PAGE;

	if (!box.page) {
		box.memfd = memfd_create("box", MFD_CLOEXEC);
		must(box.memfd >= 0 && ftruncate(box.memfd, (off_t)n) == 0, "memfd");
		box.page = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, box.memfd, 0);
		must(box.page != MAP_FAILED, "mmap");
	}
	return box.page + a * BOX_PAGE;
}

/* --- its life ------------------------------------------------------------------------------------- */

static const struct {
	uint64_t at;
	enum box_area page;
	size_t n;
	int prot;
} area[] = {
	{BOX_CODE, BOX_IN_CODE, 4, PROT_READ | PROT_EXEC},
	{BOX_OTHER, BOX_IN_OTHER, 1, PROT_READ | PROT_EXEC},
	{BOX_OTHER_BELOW, BOX_IN_OTHER, 1, PROT_READ | PROT_EXEC},
	{BOX_OTHER_ABOVE, BOX_IN_OTHER, 1, PROT_READ | PROT_EXEC},
	{BOX_DATA, BOX_IN_DATA, 2, PROT_READ | PROT_WRITE},
	{BOX_DATA_BELOW, BOX_IN_DATA, 2, PROT_READ | PROT_WRITE},
	{BOX_DATA_ABOVE, BOX_IN_DATA, 2, PROT_READ | PROT_WRITE},
	{BOX_STACK, BOX_IN_STACK, 2, PROT_READ | PROT_WRITE},
};

static void be_the_box(void)
{
	const struct itimerval slice = {{0, SLICE_US}, {0, SLICE_US}};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < sizeof(area) / sizeof(area[0]); i++)
		if (mmap((void *)area[i].at, area[i].n * BOX_PAGE, area[i].prot,
			 MAP_SHARED | MAP_FIXED_NOREPLACE, box.memfd,
			 (off_t)(area[i].page * BOX_PAGE)) != (void *)area[i].at)
			_exit(1);
	/* The kernel writes there, and it will be unmapped. */
	if (__rseq_size)
		syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, RSEQ_AREA,
			RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
	setitimer(ITIMER_VIRTUAL, &slice, NULL);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	syscall(SYS_kill, getpid(), SIGSTOP);
	_exit(1);
}

static int wait_stop(void)
{
	int status;
	pid_t r;

	do
		r = waitpid(box.pid, &status, __WALL);
	while (r < 0 && errno == EINTR); /* libFuzzer's clock */
	must(r == box.pid, "waitpid");
	if (WIFSTOPPED(status))
		return WSTOPSIG(status);
	box.pid = 0;
	return 0;
}

static void in_box(long nr, uint64_t a, uint64_t b)
{
	static const uint8_t code[] = {0x0f, 0x05, 0xcc};
	struct user_regs_struct r = {0};

	memcpy(box_page(BOX_IN_OTHER), code, sizeof(code));
	must(ptrace(PTRACE_GETREGS, box.pid, NULL, &r) == 0, "PTRACE_GETREGS");
	r.rip = BOX_OTHER;
	r.rax = (uint64_t)nr;
	r.orig_rax = UINT64_MAX;
	r.rdi = a;
	r.rsi = b;
	must(ptrace(PTRACE_SETREGS, box.pid, NULL, &r) == 0 &&
		     ptrace(PTRACE_CONT, box.pid, NULL, NULL) == 0 && wait_stop() == SIGTRAP &&
		     ptrace(PTRACE_GETREGS, box.pid, NULL, &r) == 0 && r.rax == 0,
	     "a system call in the box");
}

static void keep_xstate(void)
{
	struct iovec v = {box.xstate, sizeof(box.xstate)};
	const uint32_t mxcsr = 0x1f80;
	const uint16_t fcw = 0x37f;

	must(ptrace(PTRACE_GETREGSET, box.pid, NT_X86_XSTATE, &v) == 0, "PTRACE_GETREGSET");
	box.xstate_n = v.iov_len;
	/* x87 and SSE; what else there is, is in its initial state. */
	memset(box.xstate, 0, 464); /* the rest is the kernel's word about itself */
	memcpy(box.xstate, &fcw, sizeof(fcw));
	memcpy(box.xstate + 24, &mxcsr, sizeof(mxcsr));
	for (unsigned i = 0; i < 16 * 16; i++)
		box.xstate[160 + i] = (uint8_t)(i * 7 + 1);
	box.xstate[XSTATE_BV] = 3;
	memset(box.xstate + XSTATE_BV + 1, 0, 7);
}

static void start(void)
{
	(void)box_page(BOX_IN_CODE);
	box.pid = fork();
	must(box.pid >= 0, "fork");
	if (!box.pid)
		be_the_box();
	must(wait_stop() == SIGSTOP, "the box");
	must(ptrace(PTRACE_SETOPTIONS, box.pid, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD) == 0,
	     "PTRACE_SETOPTIONS");
	in_box(SYS_munmap, 0, BOX_OTHER_BELOW);
	in_box(SYS_munmap, BOX_OTHER_ABOVE + BOX_PAGE, ADDRESS_END - BOX_OTHER_ABOVE - BOX_PAGE);
	keep_xstate();
}

/* --- a run ---------------------------------------------------------------------------------------- */

static int go(void)
{
	for (unsigned slices = 0; slices < 2; slices++) {
		int sig;

		must(ptrace(PTRACE_SYSEMU, box.pid, NULL, NULL) == 0, "PTRACE_SYSEMU");
		sig = wait_stop();
		if (sig != SIGVTALRM)
			return sig;
	}
	return 0;
}

int box_run(struct box_state *s)
{
	struct iovec v;

	if (!box.pid)
		start();
	v = (struct iovec){box.xstate, box.xstate_n};
	s->regs.orig_rax = UINT64_MAX;
	must(ptrace(PTRACE_SETREGS, box.pid, NULL, &s->regs) == 0, "PTRACE_SETREGS");
	must(ptrace(PTRACE_SETREGSET, box.pid, NT_X86_XSTATE, &v) == 0, "PTRACE_SETREGSET");
	s->signal = go();
	if (!s->signal)
		return 0;
	v = (struct iovec){s->xstate, sizeof(s->xstate)};
	memset(s->xstate, 0, sizeof(s->xstate));
	memset(&s->info, 0, sizeof(s->info));
	must(ptrace(PTRACE_GETREGS, box.pid, NULL, &s->regs) == 0, "PTRACE_GETREGS");
	must(ptrace(PTRACE_GETREGSET, box.pid, NT_X86_XSTATE, &v) == 0, "PTRACE_GETREGSET");
	/* A stop at a system call has no signal of its own. */
	if (s->signal != SYSCALL_STOP)
		must(ptrace(PTRACE_GETSIGINFO, box.pid, NULL, &s->info) == 0, "PTRACE_GETSIGINFO");
	return 1;
}
