/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "hp/err.h"
#include "rig/target_victim.h"
#include "target/agent.h"
#include "target/agent_priv.h"
#include "target/borrow.h"
#include "target/procfs.h"
#include "target/target.h"
#include "../services/tied.h"

#define SOON (hp_now_ns() + 3 * HP_S)

static struct hp_agent *start(struct hp_target *t)
{
	struct hp_agent *a;
	struct hp_err err = {0};

	if (hp_agent_start(&a, t, NULL, SOON, &err) < 0)
		fail_msg("%s", err.text);
	return a;
}

static void end(struct hp_agent *a)
{
	struct hp_err err = {0};

	if (hp_agent_end(a, &err) < 0)
		fail_msg("%s", err.text);
}

/* A process of one thread, so that this one is borrowed. */
static void one_kind(unsigned kind)
{
	struct victim *v = victim_start(&kind, 1);
	struct hp_target *t = victim_target(v);
	char *before = victim_maps(v), *after;
	int fds = victim_count(v, "fd");

	for (int i = 0; i < 20; i++) {
		struct hp_agent *a = start(t);

		assert_int_equal(victim_children(v), 1);
		end(a);
	}
	after = victim_maps(v);
	assert_string_equal(before, after);
	assert_int_equal(victim_count(v, "fd"), fds);
	assert_int_equal(victim_children(v), 0);
	victim_finish(v, &kind);
	free(before);
	free(after);
	hp_target_free(t);
	victim_free(v);
}

static void every_blocked_call_is_restarted(void **state)
{
	for (unsigned kind = 0; kind < VICTIM_KINDS; kind++)
		one_kind(kind);
}

static void hundred_agents_leave_nothing(void **state)
{
	static const unsigned kinds[] = {VICTIM_SPIN,	      VICTIM_FUTEX, VICTIM_EPOLL,
					 VICTIM_SIGTIMEDWAIT, VICTIM_SLEEP, VICTIM_READ};
	struct victim *v = victim_start(kinds, 6);
	struct hp_target *t = victim_target(v);
	int fds = victim_count(v, "fd"), tasks = victim_count(v, "task");
	char *before = victim_maps(v), *after;

	for (int i = 0; i < 100; i++)
		end(start(t));
	after = victim_maps(v);
	assert_string_equal(before, after);
	assert_int_equal(victim_count(v, "fd"), fds);
	assert_int_equal(victim_count(v, "task"), tasks);
	assert_int_equal(victim_children(v), 0);
	victim_finish(v, kinds);
	free(before);
	free(after);
	hp_target_free(t);
	victim_free(v);
}

/* … so that whoever waits for it wakes no other CPU. */
static void agent_runs_where_hp_waits(void **state)
{
	const unsigned kind = VICTIM_EPOLL;
	struct victim *v = victim_start(&kind, 1);
	struct hp_target *t = victim_target(v);
	cpu_set_t all, one, its;
	struct hp_agent *a;

	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	a = start(t);
	assert_int_equal(sched_getaffinity(hp_agent_tid(a), sizeof(its), &its), 0);
	assert_true(CPU_EQUAL(&its, &one));
	end(a);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	/* … and the target where it did */
	assert_int_equal(sched_getaffinity(v->pid, sizeof(its), &its), 0);
	assert_true(CPU_EQUAL(&its, &all));
	victim_finish(v, &kind);
	hp_target_free(t);
	victim_free(v);
}

/* Before Linux 6.3 everybody may. */
static void nobody_executes_its_memory(void **state)
{
	const unsigned kind = VICTIM_EPOLL;
	struct victim *v = victim_start(&kind, 1);
	struct hp_target *t = victim_target(v);
	struct hp_agent *a = start(t);
	char *maps = victim_maps(v), *line = strstr(maps, "/memfd:hp-agent"), path[96];
	struct stat st;

	assert_non_null(line);
	while (line > maps && line[-1] != '\n')
		line--;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%.*s", (int)v->pid,
		 (int)strcspn(line, " "), line);
	assert_int_equal(stat(path, &st), 0);
	end(a);
	victim_finish(v, &kind);
	free(maps);
	hp_target_free(t);
	victim_free(v);
	if (access("/proc/sys/vm/memfd_noexec", F_OK) == 0)
		assert_int_equal(st.st_mode & 0111, 0);
}

static void agent_maps_and_takes_descriptors(void **state)
{
	const unsigned kind = VICTIM_EPOLL;
	struct victim *v = victim_start(&kind, 1);
	struct hp_target *t = victim_target(v);
	struct hp_agent *a = start(t);
	int fds = victim_count(v, "fd"), mfd = memfd_create("given", MFD_CLOEXEC), there;
	char text[16] = "", name[] = "hello";
	struct hp_err err = {0};
	hp_addr scratch, at;
	size_t n;

	/* the scratch page is writable, and the agent's */
	scratch = hp_agent_scratch(a, &n);
	assert_true(n >= 2048);
	assert_int_equal(hp_mem_poke(t, scratch, name, sizeof(name), &err), 0);
	assert_int_equal(hp_agent_syscall(a, SYS_getppid, 0, 0, 0, 0, 0, 0), v->pid);
	assert_int_equal(hp_agent_syscall(a, SYS_getpid, 0, 0, 0, 0, 0, 0), hp_agent_tid(a));
	/* it has none of the target's descriptors */
	assert_int_equal(hp_agent_syscall(a, SYS_fcntl, (uint64_t)v->event[0], F_GETFD, 0, 0, 0, 0),
			 -EBADF);

	assert_int_equal(write(mfd, "content", 7), 7);
	assert_int_equal(ftruncate(mfd, 4096), 0);
	for (int i = 0; i < 3; i++) {
		there = hp_agent_give_fd(a, mfd, &err);
		assert_true(there >= 0);
		assert_int_equal(hp_agent_close_fd(a, there), 0);
	}
	there = hp_agent_give_fd(a, mfd, &err);
	assert_int_equal(hp_target_refresh(t, &err), 0);
	at = hp_maps_find_room(&t->maps, 4096, hp_target_exe(t)->span, 1ull << 31);
	assert_true(at != 0);
	assert_int_equal(hp_agent_map(a, at, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, there,
				      0, &err),
			 0);
	assert_int_equal(hp_mem_read(t, at, text, 8, &err), 0);
	assert_string_equal(text, "content");
	/* taken now */
	assert_true(hp_agent_map(a, at, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, there, 0,
				 &err) < 0);
	assert_int_equal(hp_agent_protect(a, at, 4096, PROT_NONE, &err), 0);
	assert_true(hp_mem_read(t, at, text, 8, &err) < 0);
	assert_int_equal(hp_mem_poke(t, at, "X", 1, &err), 0);
	assert_int_equal(hp_agent_unmap(a, at, 4096, &err), 0);
	assert_int_equal(victim_count(v, "fd"), fds);
	end(a);
	close(mfd);
	victim_finish(v, &kind);
	hp_target_free(t);
	victim_free(v);
}

/* Where we may open no more, the target does not keep what was to bring it a descriptor of ours. */
static void giving_fails_without_a_trace(void **state)
{
	const unsigned kind = VICTIM_EPOLL;
	struct victim *v = victim_start(&kind, 1);
	struct hp_target *t = victim_target(v);
	int fds = victim_count(v, "fd"), next, mfd = memfd_create("given", MFD_CLOEXEC);
	struct rlimit was, two_more;
	struct hp_err err = {0};
	struct hp_agent *a;

	if (hp_agent_start_sharing(&a, t, SOON, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(victim_count(v, "fd"), fds);
	next = dup(mfd);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	two_more = (struct rlimit){(rlim_t)next + 2, was.rlim_max}; /* its memory, a pidfd */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &two_more), 0);
	assert_int_equal(hp_agent_give_fd(a, mfd, &err), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_non_null(strstr(err.text, "taking a socket"));
	assert_int_equal(victim_count(v, "fd"), fds);
	/* and another time it works */
	assert_true(hp_agent_give_fd(a, mfd, &err) >= 0);
	end(a);
	assert_int_equal(victim_count(v, "fd"), fds + 1);
	close(mfd);
	victim_finish(v, &kind);
	hp_target_free(t);
	victim_free(v);
}

/* The target may have put anything in the place of what hp takes for its end of the pair. */
static void a_socket_that_is_full_holds_nobody(void **state)
{
	const unsigned kind = VICTIM_EPOLL;
	struct victim *v = victim_start(&kind, 1);
	struct hp_target *t = victim_target(v);
	int mfd = memfd_create("given", MFD_CLOEXEC);
	struct hp_err err = {0};
	struct hp_agent *a;

	if (hp_agent_start_sharing(&a, t, SOON, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(hp_agent_give_fd(a, mfd, &err) >= 0);
	while (send(a->give.sock, "", 1, MSG_DONTWAIT) == 1)
		;
	assert_int_equal(hp_agent_give_fd(a, mfd, &err), -EAGAIN);
	end(a);
	close(mfd);
	victim_finish(v, &kind);
	hp_target_free(t);
	victim_free(v);
}

__attribute__((noinline)) static uint64_t resolver(void)
{
	return 0x123456789abcull;
}

static uint64_t crashing(void)
{
	__asm__ volatile("movl $1, 8");
	return 1;
}

static uint64_t endless(void)
{
	static volatile int never;

	while (!never)
		;
	return 1;
}

/* As one is that gets no CPU time meanwhile. */
static uint64_t slow(void)
{
	const struct timespec t = {.tv_nsec = 400 * HP_MS};
	long r = SYS_nanosleep;

	__asm__ volatile("syscall" : "+a"(r) : "D"(&t), "S"(0) : "rcx", "r11", "memory");
	return (uint64_t)r;
}

static uint64_t difference(uint64_t x, uint64_t y)
{
	return x - y;
}

void back_here(void);
__asm__(".text\n.globl back_here\nback_here: int3\n");

static int call(struct hp_agent *a, const void *fn, uint64_t *value, struct hp_err *err)
{
	const uint64_t args[2] = {44, 2};

	return hp_agent_call(a, (uintptr_t)fn, args, (uintptr_t)back_here, value, err);
}

static void agent_runs_resolvers(void **state)
{
	const unsigned kind = VICTIM_FUTEX;
	struct victim *v = victim_start(&kind, 1);
	struct hp_target *t = victim_target(v);
	struct hp_agent *a = start(t);
	struct hp_err err = {0};
	uint64_t value = 0;

	for (int i = 0; i < 3; i++) {
		value = 0;
		assert_int_equal(call(a, resolver, &value, &err), 0);
		assert_int_equal(value, 0x123456789abcull);
		assert_int_equal(call(a, difference, &value, &err), 0);
		assert_int_equal(value, 42);
		assert_int_equal(call(a, crashing, &value, &err), -HP_E_RELOC);
		assert_non_null(strstr(err.text, "crashed"));
		assert_int_equal(call(a, endless, &value, &err), -HP_E_RELOC);
		assert_int_equal(hp_agent_syscall(a, SYS_getppid, 0, 0, 0, 0, 0, 0), v->pid);
	}
	assert_int_equal(call(a, slow, &value, &err), 0);
	assert_int_equal(value, 0);
	end(a);
	victim_finish(v, &kind);
	hp_target_free(t);
	victim_free(v);
}

/* Until @agent is dead the call that hp's agent makes leads nowhere. */
struct trap {
	struct hp_target *t;
	pid_t agent;
	uint8_t was[2];
};

static void *mend_when_dead(void *arg)
{
	struct trap *trap = arg;
	struct hp_stat st;

	while (hp_stat_read(trap->agent, &st) == 0 && st.state != 'Z')
		hp_pause_ns(HP_MS);
	return hp_mem_poke(trap->t, trap->t->gadget, trap->was, 2, NULL) < 0 ? arg : NULL;
}

static void one_that_does_not_end_is_killed(void **state)
{
	static const uint8_t jump_to_itself[] = {0xeb, 0xfe};
	const unsigned kind = VICTIM_EPOLL;
	struct victim *v = victim_start(&kind, 1);
	struct trap trap = {.t = victim_target(v)};
	struct hp_agent *a = start(trap.t);
	struct hp_err err = {0};
	void *failed = NULL;
	pthread_t mender;

	trap.agent = hp_agent_tid(a);
	assert_int_equal(hp_mem_read(trap.t, trap.t->gadget, trap.was, 2, &err), 0);
	assert_int_equal(hp_mem_poke(trap.t, trap.t->gadget, jump_to_itself, 2, &err), 0);
	assert_int_equal(pthread_create(&mender, NULL, mend_when_dead, &trap), 0);
	end(a);
	assert_int_equal(pthread_join(mender, &failed), 0);
	assert_null(failed);
	assert_int_equal(victim_children(v), 0);
	victim_finish(v, &kind);
	hp_target_free(trap.t);
	victim_free(v);
}

/* Mapped before the victim is forked. */
static _Atomic int *policy_of_child;

static long raw(long nr, long arg)
{
	__asm__ volatile("syscall" : "+a"(nr) : "D"(arg) : "rcx", "r11", "memory");
	return nr;
}

static uint64_t forking(void)
{
	long pid = raw(SYS_fork, 0);

	if (pid == 0) {
		*policy_of_child = (int)raw(SYS_sched_getscheduler, 0);
		raw(SYS_exit, 0);
	}
	return (uint64_t)pid;
}

/* The agent is ahead of the target's threads; what code of the target's begins there is not. */
static void what_the_agent_forks_has_no_priority(void **state)
{
	const unsigned kind = VICTIM_FUTEX;
	struct hp_err err = {0};
	struct hp_target *t;
	struct hp_agent *a;
	struct victim *v;
	uint64_t child;

	policy_of_child = mmap(NULL, HP_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			       -1, 0);
	assert_true(policy_of_child != MAP_FAILED);
	*policy_of_child = -1;
	v = victim_start(&kind, 1);
	t = victim_target(v);
	a = start(t);
	assert_int_equal(call(a, forking, &child, &err), 0);
	assert_true((int64_t)child > 0);
	for (int i = 0; i < 5000 && *policy_of_child < 0; i++)
		hp_pause_ns(HP_MS);
	assert_int_equal(*policy_of_child, SCHED_OTHER);
	end(a);
	victim_finish(v, &kind);
	hp_target_free(t);
	victim_free(v);
	munmap((void *)policy_of_child, HP_PAGE);
}

/* A sleeper with a filter that kills for each of @killing. */
static pid_t confined(const int *killing, unsigned n)
{
	struct sock_filter f[32] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)};
	struct sock_fprog prog = {.filter = f};
	pid_t pid = tied_fork();

	if (pid)
		return pid;
	prog.len = 1;
	for (unsigned i = 0; i < n; i++) {
		f[prog.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							     (uint32_t)killing[i], 0, 1);
		f[prog.len++] =
			(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	}
	f[prog.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &prog))
		_exit(1);
	for (;;)
		pause();
}

static void wait_for_sleep(pid_t pid)
{
	struct hp_stat st = {0};

	for (int i = 0; i < 5000; i++) {
		uint64_t mode = 0;

		if (hp_status_number(pid, "Seccomp", 10, &mode) && mode == 2 &&
		    hp_stat_read(pid, &st) == 0 && st.state == 'S')
			return;
		hp_pause_ns(HP_MS);
	}
	fail_msg("process %d is not asleep", (int)pid);
}

static void filters_are_respected(void **state)
{
	static const int needed_once[] = {SYS_clone, SYS_wait4, SYS_rt_sigreturn};
	static const char *const says[] = {"clone", "wait4", "could be borrowed"};
	static const int agents[] = {SYS_memfd_create, SYS_mmap,   SYS_close_range, SYS_prctl,
				     SYS_ftruncate,    SYS_munmap, SYS_getpid,	    SYS_madvise};
	struct hp_err err = {0};
	struct hp_target *t;
	struct hp_agent *a;
	pid_t pid;

	/* What only the agent calls, its filter is suspended for. */
	pid = confined(agents, sizeof(agents) / sizeof(agents[0]));
	wait_for_sleep(pid);
	assert_int_equal(hp_target_open(&t, pid, &err), 0);
	for (int i = 0; i < 10; i++) {
		a = start(t);
		assert_int_equal(hp_agent_syscall(a, SYS_getpid, 0, 0, 0, 0, 0, 0), hp_agent_tid(a));
		end(a);
	}
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	hp_target_free(t);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);

	/* What a thread of the target would have to call is refused, and it lives. */
	for (unsigned i = 0; i < 3; i++) {
		pid = confined(&needed_once[i], 1);
		wait_for_sleep(pid);
		assert_int_equal(hp_target_open(&t, pid, &err), 0);
		assert_true(hp_agent_start(&a, t, NULL, hp_now_ns() + 20 * HP_MS, &err) < 0);
		if (!strstr(err.text, says[i]))
			fail_msg("%s", err.text);
		wait_for_sleep(pid);
		assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
		hp_target_free(t);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

static void target_that_exits_is_told(void **state)
{
	const unsigned kind = VICTIM_FUTEX;
	struct victim *v = victim_start(&kind, 1);
	struct hp_target *t = victim_target(v);
	struct hp_agent *a = start(t), *none = NULL;
	struct hp_err err = {0};
	siginfo_t info;

	kill(v->pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)v->pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(hp_agent_end(a, &err), -HP_E_GONE);
	assert_int_equal(hp_agent_start(&none, t, NULL, SOON, &err), -HP_E_GONE);
	assert_null(none);
	hp_target_free(t);
	victim_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_blocked_call_is_restarted),
		cmocka_unit_test(hundred_agents_leave_nothing),
		cmocka_unit_test(agent_runs_where_hp_waits),
		cmocka_unit_test(nobody_executes_its_memory),
		cmocka_unit_test(agent_maps_and_takes_descriptors),
		cmocka_unit_test(giving_fails_without_a_trace),
		cmocka_unit_test(a_socket_that_is_full_holds_nobody),
		cmocka_unit_test(agent_runs_resolvers),
		cmocka_unit_test(one_that_does_not_end_is_killed),
		cmocka_unit_test(what_the_agent_forks_has_no_priority),
		cmocka_unit_test(filters_are_respected),
		cmocka_unit_test(target_that_exits_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
