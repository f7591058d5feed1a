/* SPDX-License-Identifier: MIT */
#include "target_truth.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "hp/err.h"
#include "target/resolve.h"
#include "../../services/tied.h"

struct truth *truth;
const struct hp_look_progs *truth_progs;

NOINLINE void truth_wait(void)
{
	truth->tid = (int)syscall(SYS_gettid);
	truth->ready = 1;
	for (;;)
		(void)syscall(SYS_futex, &truth->never, FUTEX_WAIT, 0, NULL, NULL, 0);
}

/* In every frame of the recursion something is done after the call, so none is a tail call. */
NOINLINE int watched_fn(int depth, void (*then)(void))
{
	volatile int r = depth;

	if (depth > 0) {
		r += watched_fn(depth - 1, then);
	} else {
		then();
		r++;
	}
	return r;
}

NOINLINE int watched_first(int depth)
{
	volatile int r;

	truth->cfa = (uint64_t)(uintptr_t)__builtin_dwarf_cfa();
	r = watched_fn(depth, truth_wait);
	return r + 1;
}

NOINLINE int bystander(void)
{
	int (*volatile misleading[4])(int, void (*)(void)) = {watched_fn, watched_fn, watched_fn,
							      watched_fn};

	truth_wait();
	return misleading[0] != NULL;
}

static struct hp_part truth_part(struct hp_target *t, const char *name, unsigned fn)
{
	struct hp_resolved f;
	struct hp_err err = {0};

	if (hp_resolve_function(t, name, &f, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(f.size > 0);
	return (struct hp_part){{f.addr, f.addr + f.size}, fn};
}

void truth_open(struct truth_rig *r, void (*child)(void))
{
	struct hp_err err = {0};

	truth = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(truth != MAP_FAILED);
	r->pid = tied_fork();
	if (r->pid == 0) {
		child();
		_exit(0);
	}
	for (int i = 0; i < 5000 && !truth->ready; i++)
		hp_pause_ns(HP_MS);
	assert_int_equal(truth->ready, 1);
	hp_pause_ns(20 * HP_MS); /* into the wait; a look in between is right as well */
	if (hp_target_open(&r->t, r->pid, &err) < 0 ||
	    hp_looker_open(&r->l, r->t, truth_progs, &err) < 0)
		fail_msg("%s", err.text);
	r->part[0] = truth_part(r->t, "watched_fn", 0);
	r->part[1] = truth_part(r->t, "watched_first", 1);
	r->scene = (struct hp_scene){.part = r->part, .n_parts = 2};
}

void truth_close(struct truth_rig *r)
{
	hp_looker_free(r->l);
	hp_target_free(r->t);
	kill(r->pid, SIGKILL);
	assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
	munmap(truth, 4096);
}

enum hp_verdict truth_look(struct truth_rig *r, struct hp_seen *seen)
{
	struct hp_err err = {0};

	if (hp_look(r->l, truth->tid, &r->scene, seen, NULL, NULL, &err) < 0)
		fail_msg("%s", err.text);
	return seen->verdict;
}
