/* SPDX-License-Identifier: MIT */
#include "patch/attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fault.h"
#include "elf/reader.h"
#include "gate/gate.h"
#include "hp/err.h"
#include "target/agent.h"

/* mman-common.h since Linux 5.18, commit 9457056ac426; mlockall(MCL_FUTURE) makes the page
 * resident, and plain MADV_DONTNEED is refused then. */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

static hp_addr page_of(const struct hp_live *lv, enum hp_path gate)
{
	return gate == HP_PATH_GATE ? lv->l->fixed.gate : lv->l->fixed.gate_back;
}

int hp_attempt_arm(struct hp_attempt *at, struct hp_live *lv, enum hp_side from,
		   struct hp_err *err)
{
	hp_addr page = page_of(lv, hp_gate_of(from));
	int64_t fd;
	int r;

	*at = (struct hp_attempt){.lv = lv, .from = from, .gate = hp_gate_of(from)};
	r = hp_pidns_read(&at->names, lv->t, err);
	if (r < 0)
		return r;
	r = (int)hp_agent_syscall(lv->agent, SYS_madvise, page, HP_PAGE, MADV_DONTNEED_LOCKED, 0, 0,
				  0);
	if (r == -HP_E_GONE)
		return hp_err_set(err, r, "the agent died before the gate was armed");
	if (r < 0)
		return hp_err_sys(err, -r, "the gate page cannot be taken away");
	fd = hp_agent_syscall(lv->agent, SYS_userfaultfd,
			      O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY, 0, 0, 0, 0, 0);
	if (fd < 0)
		return hp_err_sys(err, (int)-fd, "userfaultfd in the target");
	r = hp_gate_arm(lv->gate, hp_agent_tid(lv->agent), (int)fd, page, err);
	/* The gatekeeper's must be the only reference: its death opens the gate. */
	if (hp_agent_close_fd(lv->agent, (int)fd) < 0 && r >= 0)
		r = hp_err_set(err, -HP_E_GONE, "the agent died while the gate was armed");
	return r < 0 ? r : hp_fault(HP_FAULT_GATE_ARMED, err);
}

/* Of this process and of the reader, for which it waits. */
static void set_nice(const struct hp_attempt *at, int nice)
{
	pid_t reader = hp_reader_pid(at->lv->t->reader);

	(void)setpriority(PRIO_PROCESS, 0, nice); /* see hurry(); upwards is always allowed */
	if (reader)
		(void)setpriority(PRIO_PROCESS, (id_t)reader, nice); /* as above */
}

/* While the gate is closed threads wait for this process: it must not wait for them, however many
 * are runnable.  Before and after it takes its turn like everybody.  Where it is not allowed, a busy
 * target is quiescent later. */
static void hurry(struct hp_attempt *at)
{
	at->usual_nice = getpriority(PRIO_PROCESS, 0);
	set_nice(at, -20);
}

int hp_attempt_close(struct hp_attempt *at, uint64_t budget_ns, struct hp_err *err)
{
	int r;

	hp_live_report(at->lv, "gate", 0, "closing"); /* while it costs nobody anything */
	hurry(at);
	at->closed_ns = hp_now_ns();
	r = hp_gate_close(at->lv->gate, budget_ns, err);
	return r < 0 ? r : hp_fault(HP_FAULT_GATE_CLOSED, err);
}

static int parked(struct hp_attempt *at, const struct hp_gate_event *ev)
{
	pid_t *tid = HP_ARRAY_ADD(&at->parked);

	if (!tid)
		return -ENOMEM;
	*tid = hp_pidns_tid(&at->names, at->lv->t, ev->tid);
	if (!at->first_park_ns)
		at->first_park_ns = ev->time_ns;
	at->lv->threads_parked++;
	return 0;
}

int hp_attempt_events(struct hp_attempt *at, struct hp_err *err)
{
	struct hp_gate_event ev;
	int r;

	while ((r = hp_gate_next(at->lv->gate, &ev, err)) == 1) {
		if (ev.kind == HP_GATE_DEADLINE)
			at->over = true;
		else if (parked(at, &ev) < 0)
			return hp_err_set(err, -ENOMEM, "no memory for parked threads");
	}
	return r;
}

int hp_attempt_pass(struct hp_attempt *at, pid_t tid, struct hp_err *err)
{
	struct user_regs_struct regs;
	int r, fn;

	r = hp_thread_stop_sharer(at->lv->t->pid, tid, err);
	if (r < 0)
		return r == -ESRCH ? 0 : r;
	/* It may have gone on meanwhile: only one that still stands on the test is moved. */
	if (hp_thread_regs(tid, &regs) == 0 &&
	    (fn = hp_live_fn_of_block(at->lv, regs.rip)) >= 0) {
		hp_addr block = hp_live_block(at->lv, (unsigned)fn);

		if (regs.rip == block + hp_gate_test_offset(at->gate)) {
			regs.rip = block + hp_gate_hit_offset(at->gate);
			r = hp_thread_set_regs(tid, &regs);
		}
	}
	(void)hp_thread_release(tid); /* it can only fail for a thread that died, which is fine */
	return r == -ESRCH ? 0 : r;
}

static void account(struct hp_attempt *at)
{
	struct hp_live *lv = at->lv;
	uint64_t now = hp_now_ns(), park = at->first_park_ns ? now - at->first_park_ns : 0;

	if (!at->closed_ns)
		return;
	set_nice(at, at->usual_nice);
	lv->gate_ns += now - at->closed_ns;
	lv->park_left_ns = park < lv->park_left_ns ? lv->park_left_ns - park : 0;
	if (park > lv->longest_park_ns)
		lv->longest_park_ns = park;
}

int hp_attempt_commit(struct hp_attempt *at, struct hp_err *err)
{
	int r = hp_fault(HP_FAULT_GATE_PROVEN, err);

	if (r == 0 && (r = hp_gate_commit(at->lv->gate, err)) == 0)
		r = hp_fault(HP_FAULT_GATE_COMMITTED, err);
	/* It may have died between the deed and the word. */
	if (r == -HP_E_FAILED && hp_live_gate_byte(at->lv, at->gate, NULL) == 1)
		r = 0;
	if (r == 0)
		account(at);
	else if (r == -ETIME)
		at->over = true;
	return r;
}

int hp_attempt_give_up(struct hp_attempt *at, struct hp_err *err)
{
	int r = at->over ? 0 : hp_gate_cancel(at->lv->gate, err);

	account(at);
	hp_fault_pass(HP_FAULT_GATE_GIVEN_UP);
	return r == -ETIME ? 0 : r;
}

void hp_attempt_free(struct hp_attempt *at)
{
	HP_ARRAY_FREE(&at->parked);
	hp_pidns_free(&at->names);
}

uint64_t hp_attempt_slice(const struct hp_live *lv)
{
	uint64_t slice = lv->park_left_ns / 2;

	if (slice < 2 * HP_MS)
		slice = 2 * HP_MS;
	return slice < lv->park_left_ns ? slice : lv->park_left_ns;
}

void hp_attempt_backoff(unsigned try)
{
	hp_pause_ns(HP_MS << (try < 6 ? try : 6));
}
