/* SPDX-License-Identifier: MIT */
/*
 * The counting rules, on a victim that calls a probed function in every way that can leave it.
 *
 * The victim is a fork of this program; it does what it is told and answers when it is done, or
 * when it stands inside and waits.  Probes lie on 1-byte nops and RETs of this program's file.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <link.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "hp/err.h"
#include "watch/watch.h"

/* void f(void (*fn)(long), long arg): probed at its first nop and its ret. */
#define PROBED(name)                                                                               \
	__asm__(".pushsection .text\n"                                                             \
		".globl " #name ", " #name "_ret\n"                                                \
		".type " #name ", @function\n" #name ":\n"                                         \
		"	nop\n"                                                                     \
		"	subq $8, %rsp\n"                                                           \
		"	movq %rdi, %rax\n"                                                         \
		"	movq %rsi, %rdi\n"                                                         \
		"	call *%rax\n"                                                              \
		"	addq $8, %rsp\n" #name "_ret:\n"                                           \
		"	ret\n"                                                                     \
		".size " #name ", . - " #name "\n"                                                 \
		".popsection\n");                                                                  \
	void name(void (*fn)(long), long arg);                                                     \
	extern const char name##_ret[]

PROBED(first);
PROBED(second);

enum { FN_FIRST, FN_SECOND, N_FNS };

#define MIX_THREADS 8

static const char *const names[] = {"first", "second"};

/* --- the victim ---------------------------------------------------------------------------- */

static int sock; /* in the victim */

static void answer(void)
{
	if (hp_send_fds(sock, "", 1, NULL, 0))
		_exit(1);
}

static void stand(long unused)
{
	char c;

	answer();
	if (hp_recv_fds(sock, &c, 1, NULL, NULL))
		_exit(1);
}

static void nothing(long unused)
{
}

static void recurse(long n)
{
	if (n > 1)
		(n & 1 ? first : second)(recurse, n - 1);
	else
		stand(0);
}

static void recurse_and_return(long n)
{
	if (n > 1)
		first(recurse_and_return, n - 1);
}

static jmp_buf jump;

static void jump_out(long unused)
{
	longjmp(jump, 1);
}

static void jump_out_of_two(long unused)
{
	second(jump_out, 0);
}

/* Both calls come from one call instruction in one frame, so that they have one stack pointer. */
static void jump_then_call(void (*out)(long))
{
	void (*volatile fn)(long) = out;

	for (volatile int i = 0; i < 2; i++) {
		if (!setjmp(jump))
			first(fn, 0);
		stand(0);
		fn = nothing;
	}
}

static void end_thread(long unused)
{
	pthread_exit(NULL);
}

static void *thread(void *arg)
{
	first(arg ? stand : end_thread, 0);
	return NULL;
}

/* Calls of every kind, by a generator of its own so that every run is the same. */
static void mix(long n)
{
	static __thread unsigned seed;
	unsigned r;

	if (n < 0)
		seed = (unsigned)-n;
	seed = seed * 1103515245 + 12345;
	r = seed >> 16 & 15;
	if (r == 0)
		pthread_exit(NULL);
	if (n > 20 || r < 6)
		return;
	(r & 1 ? first : second)(mix, n < 0 ? 1 : n + 1);
	if (r > 10)
		(r & 1 ? second : first)(nothing, 0);
}

static __thread jmp_buf mix_jump;

static void mix_jump_out(long n)
{
	if (n)
		second(mix_jump_out, n - 1);
	else
		longjmp(mix_jump, 1);
}

static void *mixing_thread(void *arg)
{
	for (volatile long i = 1; i < 400; i++) {
		if (!setjmp(mix_jump))
			first(mix_jump_out, i % 5);
		first(mix, -((long)arg * 1000 + i));
	}
	return NULL;
}

static void run_mix(void)
{
	pthread_t t[MIX_THREADS];

	/* Most threads end early; then others take their place. */
	for (long round = 0; round < 10; round++) {
		for (long i = 0; i < MIX_THREADS; i++)
			if (pthread_create(&t[i], NULL, mixing_thread,
					   (void *)(round * MIX_THREADS + i + 1)))
				_exit(1);
		for (long i = 0; i < MIX_THREADS; i++)
			pthread_join(t[i], NULL);
	}
}

static void run_thread(void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, thread, arg))
		_exit(1);
	pthread_join(t, NULL);
}

_Noreturn static void victim_main(void)
{
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (hp_recv_fds(sock, &c, 1, NULL, NULL) == 0) {
		switch (c) {
		case 'c':
			first(nothing, 0);
			break;
		case 'r':
			first(recurse, 5);
			break;
		case 'o':
			first(recurse_and_return, HP_THREAD_MAX + 6);
			break;
		case 'j':
			jump_then_call(jump_out);
			break;
		case 'J':
			jump_then_call(jump_out_of_two);
			break;
		case 'e':
			run_thread(NULL);
			break;
		case 't':
			run_thread("stand");
			break;
		case 'm':
			run_mix();
			break;
		}
		answer();
	}
	_exit(0);
}

/* --- the test's side ----------------------------------------------------------------------- */

struct lab {
	struct hp_watch *w;
	struct hp_view *v;
	struct hp_session *s;
	pid_t pid;
	int sock;
	int self; /* this program's file */
};

static void tell(const struct lab *l, char c)
{
	assert_int_equal(hp_send_fds(l->sock, &c, 1, NULL, 0), 0);
}

static void await_answer(const struct lab *l)
{
	char c;

	assert_int_equal(hp_recv_fds(l->sock, &c, 1, NULL, NULL), 0);
}

/* Told and answered; then the victim either waits for the next word or stands inside. */
static void let(const struct lab *l, char c)
{
	tell(l, c);
	await_answer(l);
}

struct place {
	uintptr_t addr;
	uint64_t offset;
};

static int find_offset(struct dl_phdr_info *info, size_t n, void *arg)
{
	struct place *p = arg;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_LOAD && p->addr >= at && p->addr < at + ph->p_filesz)
			p->offset = p->addr - at + ph->p_offset;
	}
	return 1; /* the first one is the program */
}

static uint64_t offset_of(const void *code)
{
	struct place p = {.addr = (uintptr_t)code};

	dl_iterate_phdr(find_offset, &p);
	assert_true(p.offset != 0);
	return p.offset;
}

static int attach_all(const struct lab *l, struct hp_session *s, struct hp_err *err)
{
	const struct hp_probe entry[] = {{offset_of(first), FN_FIRST},
					 {offset_of(second), FN_SECOND}};
	const struct hp_probe leave[] = {{offset_of(first_ret), FN_FIRST},
					 {offset_of(second_ret), FN_SECOND}};
	const struct hp_probe_set sets[] = {
		{.role = HP_PROBE_EXIT, .file_fd = l->self, .v = leave, .n = N_FNS},
		{.role = HP_PROBE_ENTRY, .file_fd = l->self, .v = entry, .n = N_FNS}};

	return hp_session_attach(s, l->pid, sets, 2, err);
}

static struct hp_session *begin(const struct lab *l)
{
	struct hp_session *s = NULL;
	struct hp_err err = {0};

	if (hp_session_begin(&s, l->v, names, N_FNS, &err) || attach_all(l, s, &err))
		fail_msg("%s", err.text);
	return s;
}

static void await_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 20000), 1);
}

static void end(struct lab *l)
{
	int keeper;

	hp_session_end(l->s, &keeper);
	l->s = NULL;
	await_readable(keeper);
	close(keeper);
}

static unsigned char first_byte(const struct lab *l)
{
	char path[32];
	unsigned char byte;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)l->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &byte, 1, (off_t)(uintptr_t)first), 1);
	close(fd);
	return byte;
}

static int victim_begin(struct lab *l)
{
	int sv[2];

	if (hp_socketpair(sv))
		return -1;
	l->pid = fork();
	if (!l->pid) {
		close(sv[0]);
		sock = sv[1];
		victim_main();
	}
	close(sv[1]);
	l->sock = sv[0];
	return l->pid < 0 ? -1 : 0;
}

static void kill_victim(struct lab *l)
{
	kill(l->pid, SIGKILL);
	waitpid(l->pid, NULL, 0);
}

static int lab_begin(void **state)
{
	struct lab *l = calloc(1, sizeof(*l));
	struct hp_err err = {0};

	if (!l)
		return -1;
	l->self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (hp_watch_open(&l->w, &err) || victim_begin(l) ||
	    hp_view_open(&l->v, l->w, l->pid, &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	l->s = begin(l);
	*state = l;
	return 0;
}

static int lab_end(void **state)
{
	struct lab *l = *state;

	hp_session_end(l->s, NULL);
	kill_victim(l);
	hp_view_close(l->v);
	hp_watch_close(l->w);
	close(l->sock);
	close(l->self);
	free(l);
	return 0;
}

static int64_t in_flight(const struct lab *l, unsigned fn)
{
	return hp_view_inflight(l->v)[fn].in_flight;
}

/* --- tests --------------------------------------------------------------------------------- */

static void counts_recursion_and_lists_it(void **state)
{
	struct lab *l = *state;
	/* let in by first, recurse() takes first when its argument is odd: 5, 4, 3, 2 */
	const unsigned expected[] = {FN_FIRST, FN_FIRST, FN_SECOND, FN_FIRST, FN_SECOND};
	struct hp_thread_calls calls;

	let(l, 'r');
	assert_int_equal(hp_session_total(l->s), 5);
	assert_int_equal(in_flight(l, FN_FIRST), 3);
	assert_int_equal(in_flight(l, FN_SECOND), 2);
	assert_int_equal(hp_session_thread_get(l->s, l->pid, &calls), 0);
	assert_int_equal(calls.depth, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(calls.call[i].fn, expected[i]);
		assert_true(!i || calls.call[i].sp < calls.call[i - 1].sp);
	}
	let(l, '.');
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(in_flight(l, FN_FIRST), 0);
	assert_int_equal(in_flight(l, FN_SECOND), 0);
	assert_int_equal(hp_view_state(l->v)->entries, 5);
	assert_int_equal(hp_view_state(l->v)->exits, 5);
	assert_int_equal(hp_view_inflight(l->v)[FN_FIRST].calls, 3);
	assert_int_equal(hp_session_thread_get(l->s, l->pid, &calls), 0);
	assert_int_equal(calls.depth, 0);
	assert_true(hp_session_alive(l->s));
	assert_false(hp_session_overflowed(l->s));
}

static void longjmp_stays_until_an_entry_replaces_it(void **state)
{
	struct lab *l = *state;

	let(l, 'j');
	assert_int_equal(hp_session_total(l->s), 1);
	let(l, '.');
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(hp_view_state(l->v)->replaced, 1);
	assert_int_equal(hp_view_state(l->v)->exits, 1);
	let(l, '.');
}

static void an_audit_removes_what_stays(void **state)
{
	struct lab *l = *state;
	struct hp_thread_calls calls, none = {0};

	let(l, 'J');
	assert_int_equal(hp_session_total(l->s), 2);
	let(l, '.');
	/* first was replaced and has returned; second, deeper, was not */
	assert_int_equal(hp_session_total(l->s), 1);
	assert_int_equal(in_flight(l, FN_SECOND), 1);
	assert_int_equal(hp_session_thread_get(l->s, l->pid, &calls), 0);
	assert_int_equal(calls.depth, 1);
	assert_int_equal(calls.call[0].fn, FN_SECOND);
	assert_int_equal(hp_session_thread_set(l->s, l->pid, &none), 0);
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(in_flight(l, FN_SECOND), 0);
	let(l, '.');
}

static void thread_that_ends_inside_takes_its_calls_along(void **state)
{
	struct lab *l = *state;

	let(l, 'e');
	assert_int_equal(hp_view_state(l->v)->dead, 1);
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(in_flight(l, FN_FIRST), 0);
}

static void killed_process_takes_its_calls_along(void **state)
{
	struct lab *l = *state;

	let(l, 't');
	assert_int_equal(hp_session_total(l->s), 1);
	kill_victim(l);
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(hp_view_state(l->v)->dead, 1);
	l->pid = fork();
	if (!l->pid)
		_exit(0);
}

static void too_many_calls_make_the_count_unknown(void **state)
{
	struct lab *l = *state;

	let(l, 'o');
	assert_true(hp_session_overflowed(l->s));
	assert_int_equal(hp_view_state(l->v)->overflow, 6);
	/* those six had no place on the list, so their exits take nothing away: upwards only */
	assert_int_equal(hp_view_state(l->v)->unmatched, 6);
	assert_int_equal(hp_session_total(l->s), 6);
}

static void gated_entries_are_counted_apart(void **state)
{
	struct lab *l = *state;

	hp_session_gate(l->s, true);
	let(l, 'c');
	let(l, 'c');
	assert_int_equal(hp_view_state(l->v)->gate_calls, 2);
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(hp_view_state(l->v)->entries, 0);
	hp_session_gate(l->s, false);
	let(l, 'c');
	assert_int_equal(hp_view_state(l->v)->entries, 1);
}

static void edges_tell_when_the_last_call_ends(void **state)
{
	struct lab *l = *state;
	struct pollfd p = {.fd = hp_session_fd(l->s), .events = POLLIN};

	let(l, 'r');
	assert_int_equal(poll(&p, 1, 0), 0);
	hp_session_gate(l->s, true);
	let(l, '.');
	await_readable(hp_session_fd(l->s));
	assert_int_equal(hp_session_edges(l->s), 2); /* zero, and this thread is out */
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(hp_session_edges(l->s), 0);
}

static void baseline_is_matched_by_its_exits(void **state)
{
	struct lab *l = *state;
	struct hp_thread_calls calls;

	/* where the stack pointer is at the entry, from a session that saw it */
	let(l, 'r');
	assert_int_equal(hp_session_thread_get(l->s, l->pid, &calls), 0);
	assert_int_equal(calls.depth, 5);
	end(l);
	assert_int_equal(first_byte(l), 0x90);

	/* to the next one these calls are unknown until the baseline says so */
	l->s = begin(l);
	assert_int_equal(first_byte(l), 0xcc);
	assert_int_equal(hp_session_total(l->s), 0);
	calls.depth = 3;
	assert_int_equal(hp_session_thread_set(l->s, l->pid, &calls), 0);
	assert_int_equal(hp_session_total(l->s), 3);
	let(l, '.');
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(hp_view_state(l->v)->exits, 3);
	assert_int_equal(hp_view_state(l->v)->unmatched, 2);
}

static void thread_set_refuses_nonsense(void **state)
{
	struct lab *l = *state;
	struct hp_thread_calls calls = {.depth = HP_THREAD_MAX + 1};

	assert_int_equal(hp_session_thread_set(l->s, l->pid, &calls), -E2BIG);
	calls.depth = 1;
	calls.call[0].fn = HP_SLOT_FNS;
	assert_int_equal(hp_session_thread_set(l->s, l->pid, &calls), -EINVAL);
	kill_victim(l);
	assert_int_equal(hp_session_thread_get(l->s, l->pid, &calls), -ESRCH);
	assert_int_equal(hp_session_total(l->s), 0);
	l->pid = fork();
	if (!l->pid)
		_exit(0);
}

/* Its keeper is held up, so that the old probes are there while the new session counts. */
static void probes_of_an_earlier_session_count_nothing(void **state)
{
	struct lab *l = *state;
	pid_t keeper = hp_session_keeper(l->s);
	int pidfd;

	let(l, 'c');
	assert_int_equal(kill(keeper, SIGSTOP), 0);
	hp_session_end(l->s, &pidfd);
	l->s = begin(l);
	assert_int_equal(hp_view_state(l->v)->entries, 0);
	let(l, 'c');
	assert_int_equal(hp_view_state(l->v)->entries, 1);
	assert_int_equal(hp_view_state(l->v)->exits, 1);
	assert_int_equal(hp_view_state(l->v)->unmatched, 0);
	assert_int_equal(hp_view_inflight(l->v)[FN_FIRST].calls, 1);
	assert_int_equal(kill(keeper, SIGCONT), 0);
	await_readable(pidfd);
	close(pidfd);
	assert_true(hp_session_alive(l->s));
	let(l, 'c');
	assert_int_equal(hp_view_state(l->v)->entries, 2);
}

/* Ends the session, but its probes stay until resume(). */
static int end_and_stop_keeper(struct hp_session *s, pid_t *keeper)
{
	int pidfd;

	*keeper = hp_session_keeper(s);
	assert_int_equal(kill(*keeper, SIGSTOP), 0);
	hp_session_end(s, &pidfd);
	return pidfd;
}

static void resume(pid_t keeper, int pidfd)
{
	assert_int_equal(kill(keeper, SIGCONT), 0);
	await_readable(pidfd);
	close(pidfd);
}

/* As above, but with the victim's view closed and its slots taken by the view of another one. */
static void probes_of_an_earlier_view_count_nothing(void **state)
{
	struct lab *l = *state, other = {.w = l->w, .self = l->self};
	const struct hp_session_state *was = hp_view_state(l->v);
	struct hp_view *clean[HP_SLOTS];
	pid_t keeper[4];
	int pidfd[4];
	size_t n = 0;

	let(l, 'r');
	assert_int_equal(hp_session_total(l->s), 5);
	pidfd[0] = end_and_stop_keeper(l->s, &keeper[0]);
	hp_view_close(l->v);
	l->s = NULL;

	assert_int_equal(victim_begin(&other), 0);
	/* Slots that no probe may write to are taken first. */
	do
		assert_int_equal(hp_view_open(&clean[n], l->w, (pid_t)(1 << 22) + (pid_t)n, NULL), 0);
	while (hp_view_state(clean[n++]) != was && n < HP_SLOTS);
	hp_view_close(clean[--n]);
	assert_int_equal(hp_view_open(&l->v, l->w, other.pid, NULL), 0);
	other.v = l->v;
	while (n)
		hp_view_close(clean[--n]);
	assert_ptr_equal(hp_view_state(other.v), was);
	assert_int_equal(was->session, 0);
	assert_int_equal(was->total, 0);
	assert_int_equal(in_flight(&other, FN_FIRST), 0);
	for (int i = 1; i < 4; i++) {
		other.s = begin(&other);
		assert_true((hp_view_state(other.v) == was) == (i == 2));
		let(l, '.'); /* out of five calls of the old session … */
		let(l, 'r'); /* … and into five more */
		assert_int_equal(hp_view_state(other.v)->entries, 0);
		let(&other, 'c');
		assert_int_equal(hp_view_state(other.v)->entries, 1);
		assert_int_equal(hp_view_state(other.v)->exits, 1);
		assert_int_equal(hp_view_state(other.v)->unmatched, 0);
		assert_int_equal(hp_view_inflight(other.v)[FN_FIRST].calls, 1);
		assert_int_equal(hp_session_total(other.s), 0);
		pidfd[i] = end_and_stop_keeper(other.s, &keeper[i]);
	}
	for (int i = 0; i < 4; i++)
		resume(keeper[i], pidfd[i]);
	kill_victim(&other);
	close(other.sock);
}

/* No keeper of theirs has come to its detach, so that both slots are still in use by probes. */
static void sessions_in_quick_succession_do_not_mix(void **state)
{
	struct lab *l = *state;
	pid_t keeper[4];
	int pidfd[4];

	for (unsigned i = 0; i < 4; i++) {
		if (i)
			l->s = begin(l);
		assert_int_equal(hp_view_state(l->v)->entries, 0);
		let(l, 'c');
		let(l, 'r');
		assert_int_equal(hp_view_state(l->v)->entries, 6);
		assert_int_equal(hp_view_inflight(l->v)[FN_FIRST].calls, 4);
		assert_int_equal(hp_session_total(l->s), 5);
		pidfd[i] = end_and_stop_keeper(l->s, &keeper[i]);
		let(l, '.');
		assert_int_equal(hp_view_state(l->v)->exits, 1);
		assert_int_equal(hp_view_state(l->v)->unmatched, 0);
	}
	l->s = NULL;
	for (unsigned i = 0; i < 4; i++)
		resume(keeper[i], pidfd[i]);
	assert_int_equal(first_byte(l), 0x90);
}

static void dead_keeper_is_noticed(void **state)
{
	struct lab *l = *state;
	struct hp_err err = {0};
	int pidfd;

	assert_true(hp_session_alive(l->s));
	pidfd = (int)syscall(SYS_pidfd_open, hp_session_keeper(l->s), 0);
	assert_true(pidfd >= 0);
	kill(hp_session_keeper(l->s), SIGKILL);
	await_readable(pidfd);
	close(pidfd);
	assert_false(hp_session_alive(l->s));
	assert_int_equal(attach_all(l, l->s, &err), -HP_E_FAILED);
	assert_non_null(strstr(err.text, "probe keeper"));
	let(l, 'c');
	assert_int_equal(hp_view_state(l->v)->entries, 0);
}

static void attaches_all_or_nothing(void **state)
{
	struct lab *l = *state;
	const struct hp_probe entry = {offset_of(first), FN_FIRST};
	struct hp_probe_set sets[] = {
		{.role = HP_PROBE_ENTRY, .file_fd = l->self, .v = &entry, .n = 1},
		{.role = HP_PROBE_EXIT, .file_fd = l->sock, .v = &entry, .n = 1}};
	struct hp_err err = {0};

	end(l);
	assert_int_equal(hp_session_begin(&l->s, l->v, names, N_FNS, &err), 0);
	assert_true(hp_session_attach(l->s, l->pid, sets, 2, &err) < 0);
	assert_non_null(strstr(err.text, "1 exit probes"));
	assert_int_equal(first_byte(l), 0x90);
	assert_true(hp_session_alive(l->s));
	/* and the keeper goes on */
	assert_int_equal(hp_session_attach(l->s, l->pid, sets, 1, &err), 0);
	assert_int_equal(first_byte(l), 0xcc);
	let(l, 'c');
	assert_int_equal(hp_session_total(l->s), 1);
}

static void hold_does_nothing(void **state)
{
	struct lab *l = *state;
	const struct hp_probe at = {offset_of(first), FN_FIRST};
	const struct hp_probe_set set = {
		.role = HP_PROBE_HOLD, .file_fd = l->self, .v = &at, .n = 1};

	end(l);
	assert_int_equal(hp_session_begin(&l->s, l->v, names, N_FNS, NULL), 0);
	assert_int_equal(hp_session_attach(l->s, l->pid, &set, 1, NULL), 0);
	assert_int_equal(first_byte(l), 0xcc);
	let(l, 'c');
	assert_int_equal(hp_view_state(l->v)->entries, 0);
}

static void refuses_what_cannot_be_probed(void **state)
{
	struct lab *l = *state;
	static const char *many[HP_SLOT_FNS + 1];
	struct hp_session *s = NULL;
	struct hp_err err = {0};
	pid_t pid = l->pid;

	assert_int_equal(hp_session_begin(&s, l->v, many, HP_SLOT_FNS + 1, &err), -E2BIG);
	assert_null(s);
	l->pid = fork();
	if (!l->pid)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)l->pid, NULL, WEXITED | WNOWAIT), 0);
	assert_int_equal(attach_all(l, l->s, &err), -HP_E_TARGET); /* a zombie's main thread */
	waitpid(l->pid, NULL, 0);
	assert_int_equal(attach_all(l, l->s, &err), -HP_E_GONE);
	l->pid = pid;
	assert_true(hp_session_alive(l->s));
}

/* hpd opens watch and view; the session is its job's. */
static void job_inherits_watch_and_view(void **state)
{
	struct lab *l = *state;
	int status;
	pid_t job;

	end(l);
	job = fork();
	if (!job) {
		l->s = begin(l);
		let(l, 'r');
		_exit(hp_session_total(l->s) == 5 && in_flight(l, FN_FIRST) == 3 ? 0 : 1);
	}
	waitpid(job, &status, 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	/* the job ended inside its session; the counters are still to be read here */
	assert_int_equal(hp_view_state(l->v)->entries, 5);
	let(l, '.');
	l->s = begin(l);
	assert_int_equal(hp_view_state(l->v)->entries, 0);
	let(l, 'c');
	assert_int_equal(hp_view_state(l->v)->entries, 1);
}

/* The keeper does what a killed job could not. */
static void session_of_a_killed_job_is_over(void **state)
{
	struct lab *l = *state;
	int to_us[2], keeper;
	pid_t job, keeper_pid;

	end(l);
	assert_int_equal(pipe2(to_us, O_CLOEXEC), 0);
	job = fork();
	if (!job) {
		l->s = begin(l);
		let(l, 'r');
		keeper_pid = hp_session_keeper(l->s);
		if (hp_write_all(to_us[1], &keeper_pid, sizeof(keeper_pid)))
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(hp_read_all(to_us[0], &keeper_pid, sizeof(keeper_pid)), 0);
	assert_true(hp_view_state(l->v)->session != 0);
	keeper = (int)syscall(SYS_pidfd_open, keeper_pid, 0);
	assert_true(keeper >= 0);
	kill(job, SIGKILL);
	waitpid(job, NULL, 0);
	await_readable(keeper);
	assert_int_equal(hp_view_state(l->v)->session, 0);
	assert_int_equal(hp_view_state(l->v)->total, 5);
	let(l, '.');
	assert_int_equal(hp_view_state(l->v)->total, 5);
	close(keeper);
	close(to_us[0]);
	close(to_us[1]);
}

/* When all threads have ended, every entry was met by an exit, a replacement or a death. */
static void nothing_is_lost_among_threads(void **state)
{
	struct lab *l = *state;
	const struct hp_session_state *st = hp_view_state(l->v);

	let(l, 'm');
	print_message("entries %llu: exits %llu, replaced %llu, dead %llu\n",
		      (unsigned long long)st->entries, (unsigned long long)st->exits,
		      (unsigned long long)st->replaced, (unsigned long long)st->dead);
	assert_false(hp_session_overflowed(l->s));
	assert_int_equal(hp_session_total(l->s), 0);
	assert_int_equal(in_flight(l, FN_FIRST), 0);
	assert_int_equal(in_flight(l, FN_SECOND), 0);
	assert_true(st->exits > 0 && st->replaced > 0 && st->dead > 0);
	assert_int_equal(st->entries, st->exits + st->replaced + st->dead);
	assert_int_equal(st->unmatched, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, lab_begin, lab_end)
	const struct CMUnitTest tests[] = {
		TEST(counts_recursion_and_lists_it),
		TEST(longjmp_stays_until_an_entry_replaces_it),
		TEST(an_audit_removes_what_stays),
		TEST(thread_that_ends_inside_takes_its_calls_along),
		TEST(killed_process_takes_its_calls_along),
		TEST(too_many_calls_make_the_count_unknown),
		TEST(gated_entries_are_counted_apart),
		TEST(edges_tell_when_the_last_call_ends),
		TEST(baseline_is_matched_by_its_exits),
		TEST(thread_set_refuses_nonsense),
		TEST(probes_of_an_earlier_session_count_nothing),
		TEST(probes_of_an_earlier_view_count_nothing),
		TEST(sessions_in_quick_succession_do_not_mix),
		TEST(dead_keeper_is_noticed),
		TEST(attaches_all_or_nothing),
		TEST(hold_does_nothing),
		TEST(refuses_what_cannot_be_probed),
		TEST(job_inherits_watch_and_view),
		TEST(session_of_a_killed_job_is_over),
		TEST(nothing_is_lost_among_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
