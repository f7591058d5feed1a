/* SPDX-License-Identifier: MIT */
/*
 * base/fault.h – named places at which a test lets hp die, fail or hang.  (docs/TESTING.md)
 *
 *	HP_FAULT=POINT:kill|error|hang[:N]	at the Nth passage (the first), once
 *	HP_FAULT_COUNTS=FILE			how often each point was passed: a uint32_t each, and
 *						one more: the pid of the process that hangs
 *
 * Both are read once, from the environment that hpd was started with.  All forks of hpd share the
 * counts, so that what puts a fault right does not meet it again.  Without them a point costs the
 * reading of a word.
 *
 *	kill	SIGKILL to the own process
 *	error	the step fails, as far as its caller can tell, in the way in which it really could
 *	hang	the process sleeps until SIGCONT; one whose filter forbids that, for ever
 *
 * A point lies behind the step that its text says.
 */
#ifndef HP_BASE_FAULT_H
#define HP_BASE_FAULT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "hp/err.h"

/* name, whose process, the code of an error (0: it cannot fail there), what has been done */
#define HP_FAULT_POINTS(X)                                                                         \
	X(PLANNED, "planned", "job", ENOMEM, "a load is planned; the target is untouched")         \
	X(STORED, "stored", "job", EIO, "the patch is in the store; the target is untouched")      \
	X(BORROWED, "borrowed", "job", HP_E_TARGET, "a thread is stopped, its frame is written")   \
	X(BORROW_CALL, "borrow-call", "job", 0, "it is about to make a call of hp's")              \
	X(BORROW_MASK, "borrow-mask", "job", 0, "its signal mask is its own again")                \
	X(BORROW_REGS, "borrow-regs", "job", 0, "its registers are its own again, it is stopped")  \
	X(AGENT_BORN, "agent-born", "job", HP_E_GONE, "the agent is born, its parent stopped")     \
	X(AGENT_ALONE, "agent-alone", "job", HP_E_GONE, "it holds no descriptor of the target's")  \
	X(AGENT_READY, "agent-ready", "job", HP_E_GONE, "it has its scratch memory")               \
	X(MAP_LEDGER, "map-ledger", "job", ENOMEM, "the ledger is in the target")                  \
	X(MAP_CONTROL, "map-control", "job", ENOMEM, "so are gate, draining table and data")       \
	X(MAP_BANKS, "map-banks", "job", ENOMEM, "so are slots, paths and moved heads")            \
	X(MAP_STUBS, "map-stubs", "job", ENOMEM, "so are stubs")                                   \
	X(MAP_PATCH, "map-patch", "job", ENOMEM, "so is the patch, relocated")                     \
	X(CALL_BEGUN, "call-begun", "job", 0, "a borrowed thread is about to run a hook")          \
	X(CALL_BACK, "call-back", "job", HP_E_HOOK, "the hook is back, its thread still borrowed") \
	X(PHASE_ENTRY, "phase-entry", "job", HP_E_FAILED, "the ledger says: entry")                \
	X(PHASE_LOADING, "phase-loading", "job", HP_E_FAILED, "the ledger says: loading")          \
	X(PHASE_LOADED, "phase-loaded", "job", HP_E_FAILED, "the ledger says: loaded")             \
	X(PHASE_ACTIVE, "phase-active", "job", HP_E_FAILED, "the ledger says: active")             \
	X(PHASE_UNLOADING, "phase-unloading", "job", HP_E_FAILED, "the ledger says: unloading")    \
	X(PHASE_REMOVING, "phase-removing", "job", HP_E_FAILED, "the ledger says: removing")       \
	X(PHASE_RETAINED, "phase-retained", "job", HP_E_FAILED, "the ledger says: retained")       \
	X(ENTRY_HELD, "entry-held", "job", HP_E_FAILED, "a uprobe holds an int3 on the entry")     \
	X(ENTRY_TAIL, "entry-tail", "job", HP_E_FAILED, "bytes 1-4 are written under the int3")    \
	X(ENTRY_HEAD, "entry-head", "job", HP_E_FAILED, "the entry is a jump under a uprobe")      \
	X(ENTRY_STOPPED, "entry-stopped", "job", HP_E_FAILED, "all threads are stopped for it")    \
	X(ENTRY_STOP, "entry-stop", "job", HP_E_FAILED, "one is written, threads are stopped")     \
	X(ENTRY_PUN, "entry-pun", "job", HP_E_FAILED, "the first byte of one is written")          \
	X(CHAIN_OPEN, "chain-open", "job", HP_E_FAILED, "doors and old words can be written")       \
	X(CHAIN_STORED, "chain-stored", "job", HP_E_FAILED, "they lead past a patch, or to it")     \
	X(BYPASS_OPEN, "bypass-open", "job", HP_E_FAILED, "doors can be written")                  \
	X(BYPASS_STORED, "bypass-stored", "job", HP_E_FAILED, "they lead past the blocks, or not") \
	X(ENTRY_PAGE, "entry-page", "job", HP_E_FAILED, "a page of text is its file's again")      \
	X(ENTRIES_BACK, "entries-back", "job", HP_E_FAILED, "all entries are the program's again") \
	X(WATCH_PROBED, "watch-probed", "job", HP_E_FAILED, "probes are attached, paths are old")  \
	X(WATCH_SHOWN, "watch-shown", "job", HP_E_FAILED, "slots lead to the watch path")          \
	X(WATCH_BASELINE, "watch-baseline", "job", HP_E_FAILED, "earlier calls are counted too")   \
	X(GATE_ARMED, "gate-armed", "job", HP_E_FAILED, "the gate page is away, nobody leads there") \
	X(GATE_CLOSED, "gate-closed", "job", HP_E_FAILED, "the deadline runs")                     \
	X(GATE_SECOND, "gate-second", "job", HP_E_FAILED, "the second slots lead to the gate")     \
	X(GATE_SHOWN, "gate-shown", "job", HP_E_FAILED, "all slots do; threads may park")          \
	X(GATE_PROVEN, "gate-proven", "job", EIO, "nobody is in the set, not committed")   \
	X(GATE_COMMITTED, "gate-committed", "job", HP_E_FAILED, "the gate page says 1")            \
	X(GATE_GIVEN_UP, "gate-given-up", "job", 0, "an attempt was given up, slots show the gate") \
	X(SETTLE_SECOND, "settle-second", "job", HP_E_FAILED, "the second slots are at rest")      \
	X(THREADS_OUT, "threads-out", "job", HP_E_FAILED, "all threads are outside the patch")     \
	X(UNREFERENCED, "unreferenced", "job", HP_E_FAILED, "nothing points into the patch")       \
	X(UNMAP_RANGES, "unmap-ranges", "job", HP_E_FAILED, "all is unmapped but the ledger")      \
	X(UNMAP_LEDGER, "unmap-ledger", "job", HP_E_FAILED, "the ledger is unmapped")              \
	X(AGENT_ENDING, "agent-ending", "job", 0, "the agent is about to end")                     \
	X(AGENT_DEAD, "agent-dead", "job", HP_E_NO_SAFE_POINT, "it is dead, not reaped")           \
	X(AGENT_REAPED, "agent-reaped", "job", 0, "it is reaped, the thread still borrowed")       \
	X(CLEANED, "cleaned", "job", HP_E_FAILED, "a recovery has reaped what agents were left")   \
	X(JOB_FORKED, "job-forked", "job", 0, "the job is forked, and has all that hpd has")       \
	X(JOB_BEGUN, "job-begun", "job", 0, "the job is born")                                     \
	X(JOB_DONE, "job-done", "job", 0, "all is done, hpd has not heard of it")                  \
	X(JOB_TOLD, "job-told", "job", 0, "hpd has been told")                                     \
	X(HPD_CLAIMED, "hpd-claimed", "hpd", HP_E_FAILED, "hpd has claimed the target")            \
	X(HPD_FORKED, "hpd-forked", "hpd", 0, "hpd has started a job")                             \
	X(HPD_HEARD, "hpd-heard", "hpd", 0, "hpd has its answer, the client has not")              \
	X(HPD_FOUND, "hpd-found", "hpd", 0, "a new hpd has found patches, nothing is put right")   \
	X(GATEKEEPER_READY, "gatekeeper-ready", "gatekeeper", EPERM, "it is set up")               \
	X(GATEKEEPER_ARMED, "gatekeeper-armed", "gatekeeper", ENOMEM, "it has the userfaultfd")    \
	X(GATEKEEPER_CLOSED, "gatekeeper-closed", "gatekeeper", 0, "it has the deadline")          \
	X(GATEKEEPER_COMMIT, "gatekeeper-commit", "gatekeeper", ENOMEM, "it is about to commit")   \
	X(GATEKEEPER_DONE, "gatekeeper-done", "gatekeeper", 0, "the page is filled, nobody knows") \
	X(GATEKEEPER_LATE, "gatekeeper-late", "gatekeeper", 0, "the deadline is about to fill it") \
	X(READER_ASKED, "reader-asked", "reader", HP_E_BAD_ELF, "the reader has a question")       \
	X(KEEPER_READY, "keeper-ready", "keeper", 0, "the probe keeper has started")               \
	X(KEEPER_PROBED, "keeper-probed", "keeper", ENOMEM, "it has attached a probe")             \
	X(KEEPER_END, "keeper-end", "keeper", 0, "its job is gone, it has done nothing")           \
	X(KEEPER_MENDED, "keeper-mended", "keeper", 0, "the held tails are right, probes are there") \
	X(KEEPER_DETACHED, "keeper-detached", "keeper", 0, "all its probes are gone")

enum hp_fault_point {
#define X(id, name, who, code, text) HP_FAULT_##id,
	HP_FAULT_POINTS(X)
#undef X
	HP_FAULTS
};

struct hp_fault_info {
	const char *name, *who, *text;
	int code;
};
const struct hp_fault_info *hp_fault_info(enum hp_fault_point p);

/* Reads the environment.  *armed: there was something in it. */
int hp_fault_arm(bool *armed, struct hp_err *err);

/* 0, or the failure of the step. */
int hp_fault(enum hp_fault_point p, struct hp_err *err);

/* Where nothing can fail. */
static inline void hp_fault_pass(enum hp_fault_point p)
{
	(void)hp_fault(p, NULL); /* 0: no error is declared for it */
}

#endif
