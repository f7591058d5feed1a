/* SPDX-License-Identifier: MIT */
/*
 * An entry whose writer dies: a thread of the victim calls held() all the while, and judges every
 * value that comes back.  The new code is a jump; half of it behind the old first byte gives a value
 * that nobody has.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/fd.h"
#include "hp/err.h"
#include "watch/watch.h"
#include "../services/tied.h"

#define LEN    5
#define OLD    0x1234567
#define NEW    0x7654321
#define ROUNDS 10
#define CALLS  1000

__asm__(".pushsection .text\n"
	".globl held, instead\n"
	".type held, @function\n"
	"held:	movl $0x1234567, %eax\n"
	"	ret\n"
	".size held, . - held\n"
	".balign 64\n"
	".type instead, @function\n"
	"instead: movl $0x7654321, %eax\n"
	"	ret\n"
	".size instead, . - instead\n"
	".popsection\n");
int held(void);
int instead(void);

struct shared {
	_Atomic bool stop, stopped; /* asked not to call, and it does not */
	_Atomic bool new_is_right;
	_Atomic uint64_t calls, wrong;
	_Atomic int last_wrong;
};

struct lab {
	struct hp_watch *w;
	struct hp_view *v;
	pid_t pid;
	int mem, self;
	struct shared *shared;
	uint8_t old[LEN], new[LEN];
};

_Noreturn static void victim_main(struct shared *s)
{
	for (;;) {
		bool new_is_right;
		int got;

		s->stopped = s->stop;
		if (s->stopped)
			continue;
		new_is_right = s->new_is_right;
		got = held();
		if (got != OLD && !(got == NEW && new_is_right)) {
			s->last_wrong = got;
			s->wrong++;
		}
		s->calls++;
	}
}

static int lab_begin(void **state)
{
	struct lab *l = calloc(1, sizeof(*l));
	int32_t far = (int32_t)((intptr_t)instead - ((intptr_t)held + LEN));
	struct hp_err err = {0};
	char path[64];

	if (!l)
		return -1;
	l->shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	l->self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	memcpy(l->old, (const void *)held, LEN);
	l->new[0] = 0xe9;
	memcpy(l->new + 1, &far, sizeof(far));
	l->pid = tied_fork();
	if (!l->pid)
		victim_main(l->shared);
	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)l->pid);
	l->mem = open(path, O_RDWR | O_CLOEXEC);
	if (l->mem < 0 || hp_watch_open(&l->w, &err) || hp_view_open(&l->v, l->w, l->pid, &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	*state = l;
	return 0;
}

static int lab_end(void **state)
{
	struct lab *l = *state;

	kill(l->pid, SIGKILL);
	waitpid(l->pid, NULL, 0);
	hp_view_close(l->v);
	hp_watch_close(l->w);
	close(l->mem);
	close(l->self);
	munmap(l->shared, 4096);
	free(l);
	return 0;
}

static void poke(const struct lab *l, const uint8_t bytes[LEN], size_t from, size_t n)
{
	assert_int_equal(hp_pwrite_all(l->mem, bytes + from, n, (off_t)(intptr_t)held + (off_t)from), 0);
}

static void assert_entry(const struct lab *l, uint8_t head, const uint8_t *tail)
{
	uint8_t now[LEN];

	assert_int_equal(hp_pread_all(l->mem, now, LEN, (off_t)(intptr_t)held), 0);
	assert_int_equal(now[0], head);
	assert_memory_equal(now + 1, tail + 1, LEN - 1);
}

static void stop_calls(const struct lab *l, bool stop)
{
	l->shared->stop = stop;
	while (l->shared->stopped != stop)
		assert_int_equal(kill(l->pid, 0), 0);
}

/* That many that began after this. */
static void await_calls(const struct lab *l)
{
	uint64_t until = l->shared->calls + CALLS;

	while (l->shared->calls < until)
		assert_int_equal(waitpid(l->pid, NULL, WNOHANG), 0);
	if (l->shared->wrong)
		print_error("0x%x\n", (unsigned)l->shared->last_wrong);
	assert_int_equal(l->shared->wrong, 0);
}

static uint64_t offset_of(const struct lab *l)
{
	uint64_t offset = 0, lo, hi, at;
	char path[64], line[512], perms[8];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)l->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s %lx", &lo, &hi, perms, &at) == 4 &&
		    (uintptr_t)held >= lo && (uintptr_t)held < hi)
			offset = (uintptr_t)held - lo + at;
	(void)fclose(f);
	assert_true(offset != 0);
	return offset;
}

static struct hp_session *hold(const struct lab *l)
{
	struct hp_probe probe = {.offset = offset_of(l)};
	struct hp_held site = {.addr = (uintptr_t)held};
	const struct hp_probe_set set = {
		.role = HP_PROBE_HOLD, .file_fd = l->self, .v = &probe, .n = 1, .held = &site,
		.mem_fd = l->mem};
	struct hp_session *s = NULL;
	struct hp_err err = {0};

	memcpy(site.tail, l->old + 1, sizeof(site.tail));
	if (hp_session_begin(&s, l->v, NULL, 0, &err) ||
	    hp_session_attach(s, l->pid, &set, 1, &err))
		fail_msg("%s", err.text);
	return s;
}

static void await_end(int keeper)
{
	struct pollfd p = {.fd = keeper, .events = POLLIN};

	assert_true(keeper >= 0);
	assert_int_equal(poll(&p, 1, 20000), 1);
	close(keeper);
}

/* A job that holds the entry, writes @tail behind it unless NULL, and is killed. */
static void kill_a_job(const struct lab *l, const uint8_t *tail)
{
	pid_t job, keeper_pid;
	int to_us[2], keeper;

	assert_int_equal(pipe2(to_us, O_CLOEXEC), 0);
	hp_view_fork(l->v, true);
	job = tied_fork();
	if (!job) {
		keeper_pid = hp_session_keeper(hold(l));
		if (tail)
			poke(l, tail, 1, LEN - 1);
		if (hp_write_all(to_us[1], &keeper_pid, sizeof(keeper_pid)))
			_exit(1);
		for (;;)
			pause();
	}
	hp_view_fork(l->v, false);
	close(to_us[1]);
	assert_int_equal(hp_read_all(to_us[0], &keeper_pid, sizeof(keeper_pid)), 0);
	close(to_us[0]);
	assert_entry(l, 0xcc, tail ? tail : l->new);
	keeper = (int)syscall(SYS_pidfd_open, keeper_pid, 0);
	kill(job, SIGKILL);
	waitpid(job, NULL, 0);
	await_end(keeper);
}

static void killed_load_leaves_the_old_code(void **state)
{
	struct lab *l = *state;

	for (int i = 0; i < ROUNDS; i++) {
		await_calls(l);
		kill_a_job(l, l->new);
		assert_entry(l, l->old[0], l->old);
		await_calls(l);
	}
}

static void killed_unload_leaves_the_old_code(void **state)
{
	struct lab *l = *state;

	for (int i = 0; i < ROUNDS; i++) {
		/* what a load left: nobody is in held() while it is written */
		stop_calls(l, true);
		poke(l, l->new, 0, LEN);
		l->shared->new_is_right = true;
		stop_calls(l, false);
		await_calls(l);
		kill_a_job(l, i % 2 ? l->old : NULL);
		l->shared->new_is_right = false;
		assert_entry(l, l->old[0], l->old);
		await_calls(l);
	}
}

static void what_was_written_whole_stays(void **state)
{
	struct lab *l = *state;
	struct hp_session *s;
	int keeper;

	l->shared->new_is_right = true;
	await_calls(l);
	s = hold(l);
	poke(l, l->new, 1, LEN - 1);
	poke(l, l->new, 0, 1);
	hp_session_abandon(s, &keeper);
	await_end(keeper);
	assert_entry(l, l->new[0], l->new);
	await_calls(l);
}

static void abandoning_is_like_being_killed(void **state)
{
	struct lab *l = *state;
	struct hp_session *s = hold(l);
	int keeper;

	poke(l, l->new, 1, LEN - 1);
	hp_session_abandon(s, &keeper);
	await_end(keeper);
	assert_entry(l, l->old[0], l->old);
	await_calls(l);
}

static void an_orderly_end_changes_nothing(void **state)
{
	struct lab *l = *state;
	struct hp_session *s;
	int keeper;

	stop_calls(l, true);
	s = hold(l);
	poke(l, l->new, 1, LEN - 1);
	hp_session_end(s, &keeper);
	await_end(keeper);
	assert_entry(l, l->old[0], l->new);
}

/* Nothing is written to a process that has another memory by now. */
static void a_dead_victim_is_no_reason_to_wait(void **state)
{
	struct lab *l = *state;
	struct hp_session *s = hold(l);
	int keeper;

	kill(l->pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)l->pid, NULL, WEXITED | WNOWAIT), 0);
	assert_int_equal(hp_pwrite_all(l->mem, l->old, LEN, (off_t)(intptr_t)held), -ENODATA);
	hp_session_abandon(s, &keeper);
	await_end(keeper);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, lab_begin, lab_end)
	const struct CMUnitTest tests[] = {
		TEST(killed_load_leaves_the_old_code),
		TEST(killed_unload_leaves_the_old_code),
		TEST(what_was_written_whole_stays),
		TEST(abandoning_is_like_being_killed),
		TEST(an_orderly_end_changes_nothing),
		TEST(a_dead_victim_is_no_reason_to_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
