/* SPDX-License-Identifier: MIT */
/* hostile_states.c – how to get into each state. */
#include "hostile.h"
#include "svc.h"
#include "tied.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOBODY	  65534
#define STORM_NS  1000000 /* 1 kHz */
#define SKIP	  77

#ifndef PR_SET_MDWE
#define PR_SET_MDWE		65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

void hostile_cannot(const char *what)
{
	fprintf(stderr, "hostile: %s: %s\n", what, strerror(errno));
	_exit(SKIP);
}

static void must(bool good, const char *what)
{
	if (!good)
		hostile_cannot(what);
}

/* --- seccomp ------------------------------------------------------------------------------------ */
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IS(nr, act) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), BPF_STMT(BPF_RET | BPF_K, (act))
#define KILL	    SECCOMP_RET_KILL_PROCESS
#define ALLOW	    SECCOMP_RET_ALLOW

static void filter(struct sock_filter *f, size_t n)
{
	struct sock_fprog prog = {(unsigned short)n, f};

	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog) == 0,
	     "seccomp");
}

/* Deadly: whatever hp has its agent do. */
static void filter_deny(void)
{
	static struct sock_filter f[] = {
		LOAD(nr),
		IS(SYS_mmap, KILL), IS(SYS_munmap, KILL), IS(SYS_mprotect, KILL), IS(SYS_madvise, KILL),
		IS(SYS_userfaultfd, KILL), IS(SYS_clone3, KILL), IS(SYS_memfd_create, KILL),
		IS(SYS_close_range, KILL), IS(SYS_socketpair, KILL), IS(SYS_recvmsg, KILL),
		BPF_STMT(BPF_RET | BPF_K, ALLOW),
	};

	filter(f, sizeof(f) / sizeof(f[0]));
}

/* Allows what the service itself needs, and nothing else. */
static void filter_allow(void)
{
	static struct sock_filter f[] = {
		LOAD(nr),
		IS(SYS_read, ALLOW), IS(SYS_write, ALLOW), IS(SYS_poll, ALLOW), IS(SYS_futex, ALLOW),
		IS(SYS_nanosleep, ALLOW), IS(SYS_clock_nanosleep, ALLOW), IS(SYS_brk, ALLOW),
		IS(SYS_epoll_wait, ALLOW), IS(SYS_restart_syscall, ALLOW),
		IS(SYS_rt_sigreturn, ALLOW), IS(SYS_getpid, ALLOW), IS(SYS_exit_group, ALLOW),
		IS(SYS_mmap, ALLOW), IS(SYS_munmap, ALLOW), IS(SYS_rt_sigaction, ALLOW),
		IS(SYS_pipe2, ALLOW), IS(SYS_newfstatat, ALLOW), IS(SYS_fstat, ALLOW),
		IS(SYS_lseek, ALLOW), IS(SYS_getrandom, ALLOW),
		/* a thread that is just starting */
		IS(SYS_rseq, ALLOW), IS(SYS_set_robust_list, ALLOW),
		BPF_STMT(BPF_RET | BPF_K, KILL),
	};

	filter(f, sizeof(f) / sizeof(f[0]));
}

/* Only read, write, _exit and sigreturn, for this thread. */
static void strict(void)
{
	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) == 0, "strict seccomp");
}

/* A system call made in this program's own code. */
static long call(long nr, long a, const void *b, size_t c)
{
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return r;
}

static void say(const char *text)
{
	call(SYS_write, STDOUT_FILENO, text, strlen(text)); /* nobody can be told */
}

/* The commands with nothing but read and write. */
static void serve_plainly(long exit_call)
{
	char line[64], text[128];

	for (;;) {
		size_t n = 0;

		while (n < sizeof(line) - 1 && call(SYS_read, STDIN_FILENO, &line[n], 1) == 1 &&
		       line[n] != '\n')
			n++;
		line[n] = 0;
		hostile_check((int)n);
		if (!strncmp(line, "ask ", 4)) {
			snprintf(text, sizeof(text), "answer %d\n", answer(atoi(line + 4)));
			say(text);
			continue;
		}
		snprintf(text, sizeof(text), "{\"service\":\"hostile\",\"ok\":%s}\n",
			 hostile_wrong ? "false" : "true");
		say(text);
		if (strcmp(line, "verdict") != 0)
			call(exit_call, hostile_wrong ? 1 : 0, NULL, 0);
	}
}

static void serve_strict(void)
{
	strict();
	serve_plainly(SYS_exit);
}

/* Every system call is a SIGSYS but those of this program's own code. */
static void serve_dispatching(void)
{
	static char selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	extern const char __executable_start[], etext[];

	must(prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, __executable_start,
		   etext - __executable_start, &selector) == 0,
	     "Syscall User Dispatch");
	serve_plainly(SYS_exit_group);
}

/* --- rights, namespaces ----------------------------------------------------------------------------- */
static void other_uid(void)
{
	must(setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
		     setresuid(NOBODY, NOBODY, NOBODY) == 0,
	     "setresuid");
}

static void other_uid_dumpable(void)
{
	other_uid();
	must(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0, "dumpable");
}

/* The next child is the first of a namespace. */
static void unshared(void)
{
	must(unshare(CLONE_NEWPID) == 0, "unshare");
}

static void not_dumpable(void)
{
	must(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "dumpable");
}

static void no_new_privs(void)
{
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
}

/* What follows, a fork, is alone in the world: no user but its own, no file but the open ones. */
static void jail(void)
{
	char root[] = "/tmp/hostile.XXXXXX";

	must(mkdtemp(root) != NULL, "mkdtemp");
	must(unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
		     CLONE_NEWUTS) == 0,
	     "unshare");
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		     mount("none", root, "tmpfs", MS_NOSUID, NULL) == 0,
	     "mount");
	must(chroot(root) == 0 && chdir("/") == 0, "chroot");
}

/* Of the pid namespace: a memfd is one that nobody executes (1), or is refused (2). */
static void memfd_noexec(char level)
{
	int fd = open("/proc/sys/vm/memfd_noexec", O_WRONLY | O_CLOEXEC);

	must(fd >= 0 && write(fd, &level, 1) == 1, "vm.memfd_noexec");
	close(fd);
}

static void memfd_sealed(void)
{
	memfd_noexec('1');
}

static void memfd_enforced(void)
{
	memfd_noexec('2');
}

/* --- memory, limits --------------------------------------------------------------------------------- */
static void mdwe(void)
{
	must(prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0, "MDWE");
}

static void lock_all(void)
{
	must(mlockall(MCL_CURRENT | MCL_FUTURE) == 0, "mlockall");
}

static void limit(int what, rlim_t n)
{
	struct rlimit l = {n, n};

	must(setrlimit(what, &l) == 0, "setrlimit");
}

static unsigned long status_kb(const char *key)
{
	unsigned long n = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			n = strtoul(line + strlen(key), NULL, 10);
	if (f)
		fclose(f);
	return n;
}

/* Three pages are left for stdio's buffers. */
static void no_memory(void)
{
	limit(RLIMIT_AS, (status_kb("VmSize:") + 12) * 1024);
}

static void no_locked_memory(void)
{
	limit(RLIMIT_MEMLOCK, (rlim_t)(status_kb("VmSize:") + 1024) * 1024);
	lock_all();
	limit(RLIMIT_MEMLOCK, (rlim_t)(status_kb("VmLck:") + 12) * 1024);
}

static void no_processes(void)
{
	limit(RLIMIT_NPROC, 1);
}

/* poll(2) takes no more descriptors than may be open. */
static void few_descriptors(void)
{
	struct rlimit l;

	must(getrlimit(RLIMIT_NOFILE, &l) == 0, "getrlimit");
	l.rlim_cur = 2;
	must(setrlimit(RLIMIT_NOFILE, &l) == 0, "setrlimit");
}

static void no_descriptors(void)
{
	limit(RLIMIT_NOFILE, 2);
}

/* --- signals, restartable sequences ----------------------------------------------------------------- */
static void on_storm(int sig)
{
	int saved = errno;

	hostile_check(sig);
	errno = saved;
}

static void storm(void)
{
	struct sigaction sa = {.sa_handler = on_storm, .sa_flags = SA_RESTART | SA_ONSTACK};

	must(sigaction(SIGPROF, &sa, NULL) == 0, "sigaction");
}

static void storm_thread(void)
{
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
	struct itimerspec each = {{0, STORM_NS}, {0, STORM_NS}};
	stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
	timer_t timer;

	ev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	must(stack.ss_sp && sigaltstack(&stack, NULL) == 0, "sigaltstack");
	must(timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0 &&
		     timer_settime(timer, 0, &each, NULL) == 0,
	     "timer");
}

/* --- stopped, traced, ending ------------------------------------------------------------------------ */
/* By a child, from the first thread on. */
static void traced(void)
{
	pid_t parent = getpid(), tracer, tid;
	int ready[2], status;
	char byte;

	must(pipe(ready) == 0, "pipe");
	tracer = tied_fork();
	must(tracer >= 0, "fork");
	if (!tracer) {
		must(ptrace(PTRACE_SEIZE, parent, NULL, PTRACE_O_TRACECLONE) == 0, "PTRACE_SEIZE");
		(void)!write(ready[1], "t", 1);
		while ((tid = waitpid(-1, &status, __WALL)) > 0)
			if (WIFSTOPPED(status))
				ptrace(PTRACE_CONT, tid, NULL, status >> 16 ? 0 : WSTOPSIG(status));
		_exit(0);
	}
	must(read(ready[0], &byte, 1) == 1, "the tracer");
	close(ready[0]);
	close(ready[1]);
}

const struct hostile hostile_table[] = {
	{.name = "plain"},
	{.name = "alone", .alone = true},
	{.name = "stopped", .stopped = true},
	{.name = "filter-deny", .late = filter_deny},
	{.name = "filter-allow", .late = filter_allow},
	{.name = "strict-thread", .thread = strict, .threads = 1, .spin = true},
	{.name = "strict", .alone = true, .serve = serve_strict},
	{.name = "dispatch", .spin = true, .busy = true, .serve = serve_dispatching},
	{.name = "dispatch-alone", .alone = true, .serve = serve_dispatching},
	{.name = "uid", .early = other_uid_dumpable},
	{.name = "not-dumpable", .early = not_dumpable},
	{.name = "uid-not-dumpable", .early = other_uid},
	{.name = "no-new-privs", .early = no_new_privs},
	{.name = "jail", .early = jail, .fork = true},
	{.name = "memfd-sealed", .early = unshared, .late = memfd_sealed, .fork = true},
	{.name = "memfd-enforced", .early = unshared, .late = memfd_enforced, .fork = true},
	{.name = "mdwe", .early = mdwe},
	{.name = "mlockall", .late = lock_all},
	{.name = "no-locked-memory", .early = other_uid_dumpable, .late = no_locked_memory},
	{.name = "no-memory", .late = no_memory},
	{.name = "no-processes", .early = other_uid_dumpable, .late = no_processes},
	{.name = "few-descriptors", .ready = few_descriptors},
	{.name = "no-descriptors", .ready = no_descriptors},
	{.name = "unshared", .alone = true, .ready = unshared},
	{.name = "storm", .early = storm, .thread = storm_thread, .signals = true},
	{.name = "traced", .early = traced},
	{.name = "threads", .threads = 4096},
	{.name = "spin", .threads = 4, .spin = true},
	{.name = "guarded", .guarded = true},
	{.name = "guarded-spin", .guarded = true, .spin = true},
	{.name = "busy", .spin = true, .busy = true, .serve = hostile_serve_busily},
	{.name = "rseq",
	 .busy = true,
	 .thread = hostile_sequence,
	 .serve = hostile_serve_busily,
	 .right = hostile_sequences_whole},
	{.name = "sharer", .late = hostile_share},
	{.name = "sharer-inside", .late = hostile_share_inside},
	{.name = "locked", .early = hostile_block_signal, .late = hostile_hold_lock},
	{.name = "coroutine", .late = hostile_run_coroutine},
	{.name = "suspended", .late = hostile_suspend_inside},
	{.name = "vfork", .late = hostile_vfork},
	{.name = "uninterruptible", .alone = true, .ready = hostile_wait_for_vfork},
	{.name = "no-main-thread", .serve = hostile_end_main_thread},
	{.name = NULL},
};
