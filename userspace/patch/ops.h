/* SPDX-License-Identifier: MIT */
/*
 * patch/ops.h – what hp does to a target: the only face of this folder towards daemon/.
 *
 * Each operation runs to its end in one job (a process forked from hpd, one at a time a target).
 * What is patched is read from the target's own ledger every time; hpd keeps no second copy.
 */
#ifndef HP_PATCH_OPS_H
#define HP_PATCH_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "elf/patchinfo.h"
#include "target/look.h"
#include "target/processes.h"

struct hp_err;
struct hp_target;
struct hp_watch;
struct hp_view;
struct hp_work;

#define HP_ID_LEN 64 /* hex digits of a SHA-256 */

enum hp_mode { HP_MODE_QUIESCE, HP_MODE_RELAXED };
enum hp_quiesce { HP_QUIESCE_AUTO, HP_QUIESCE_WATCH, HP_QUIESCE_GATE };

#define HP_DEFAULT_TIMEOUT_NS (5 * 1000000000ull)
#define HP_DEFAULT_PARK_NS    (50 * 1000000ull)

/* Which processes an operation is for: one of @pids, @exe, @all. */
struct hp_selector {
	const pid_t *pids;
	size_t n_pids;
	bool children;	 /* … and what descends from @pids */
	const char *exe; /* that run this file (target/processes.h) */
	bool all;	 /* every one; for a load: that map the file the patch is for */
};

struct hp_load_request {
	pid_t pid;
	const char *file;	  /* as the client named it; for messages and the ledger */
	int file_fd;		  /* opened by whoever checked the client's right to it; not owned */
	const char *id;		  /* what its SHA-256 must be; NULL: anything */
	struct hp_pairs replace;  /* added to the patch's own */
	struct hp_pairs ref;
	enum hp_mode mode;
	enum hp_quiesce quiesce;
	uint64_t timeout_ns; /* for becoming quiescent, hooks and safe points included */
	uint64_t park_ns;    /* longest time a thread may be parked, summed over the load */
	bool no_stop;	     /* refuse entries that need all threads stopped */
};

struct hp_unload_request {
	pid_t pid;
	const char *id; /* a prefix that names one patch */
	enum hp_quiesce quiesce;
	uint64_t timeout_ns;
	uint64_t park_ns;
	bool discard; /* unmap even when pointers into the patch are left */
	bool active_only; /* what is only retained does not count as loaded */
};

/* What an operation says while it runs.  @step: "plan", "map", "entry", "watch", "baseline",
 * "gate", "commit", "hook", "retry", "detach", …; @ns: how long it took (0: it begins now). */
struct hp_ops_report {
	void (*step)(void *arg, const char *step, uint64_t ns, const char *detail);
	void *arg;
};

/*
 * Whether the operation may be done to @t: asked when its identity is held by a pidfd, before anything
 * in it is touched; -HP_E_DENIED, -HP_E_SIGNATURE.  @patch_fd: of a load, the sealed copy that will
 * be mapped, else -1.  What goes into @seal is written in the ledger and listed.
 */
struct hp_ops_permit {
	int (*ask)(void *arg, const struct hp_target *t, int patch_fd, struct hp_pairs *seal,
		   struct hp_err *err); /* NULL: everything may */
	void *arg;
	int fd; /* by which it tells who is meant: a helper that asks has to keep it; -1: none */
};

/* What a job works with; owned by the caller. */
struct hp_ops {
	struct hp_watch *watch;	   /* NULL: no BPF: every look stops the thread, gate only */
	struct hp_view *view;	   /* of the target; NULL with watch NULL and for list, check, explain */
	const char *state_dir;	   /* "/var/lib/hp": patches/, template */
	struct hp_ops_report report;
	struct hp_ops_permit permit;
	struct hp_work *rest; /* NULL; what operations leave for hp_ops_end() */
};

/* Frees what took part in an operation but need not hold up its answer; to be called after it. */
void hp_ops_end(struct hp_ops *ops);

/* What stands at a patched entry. */
enum hp_guard_found {
	HP_GUARD_RIGHT,
	HP_GUARD_PROBE,	   /* an int3: another tool's uprobe */
	HP_GUARD_DEBUGGER, /* an int3, and somebody traces the process */
	HP_GUARD_ORIGINAL, /* what the file has */
	HP_GUARD_OTHER,
	HP_GUARD_UNREADABLE,
	HP_GUARD_FOUNDS,
};
const char *hp_guard_name(enum hp_guard_found f); /* "probe", … */

/* One function of a patch. */
struct hp_site_info {
	char new_name[256];
	char old_name[256];  /* as resolved */
	char module[256];    /* the file it is in */
	hp_addr addr;
	uint64_t size;
	hp_addr stub;
	char method[8];	     /* "pun", "int3", "stop" */
	bool watchable;	     /* false: its exits cannot be told, gate only */
	size_t call_sites;   /* direct calls examined */
	char *notes;	     /* lines; what check says beside; NULL: nothing.  Owned. */
	/* list only */
	char superseded_by[HP_ID_LEN + 1]; /* the topmost patch on the function; "": this one */
	enum hp_guard_found entry; /* of an active patch */
	int64_t old_calls;   /* threads still inside the old code (relaxed mode), -1: not counted */
};

struct hp_patch_info {
	char id[HP_ID_LEN + 1];
	pid_t pid;
	char comm[17];
	char file[4096];
	uint64_t loaded_wall_ns;
	enum hp_mode mode;
	/* "active", "superseded" (on all functions), "retained", "loading", "unloading", "inactive" (a
	 * copy that a fork made in the middle) */
	char state[16];
	char detail[256];   /* "retained: 3 pointers in [heap]" */
	bool inherited;	    /* loaded into an ancestor before a fork */
	struct hp_site_info *site;
	size_t n_sites;
	struct hp_pairs replace, ref, meta;
	struct hp_pairs seal; /* who signed it: key_id, key, expires; empty: nobody */
	size_t asked_replace, asked_ref; /* the first so many came with the request */
	size_t memory_bytes; /* mapped in the target */
};

/* A patch of which only another version of hp knows what it did. */
struct hp_unknown_info {
	pid_t pid;
	char comm[17];
	char id[HP_ID_LEN + 1]; /* the beginning of it */
	unsigned version;	/* of its ledger; 0: unknown */
	char detail[256];
};

struct hp_patch_list {
	struct hp_patch_info *v;
	size_t n, room;
	struct {
		struct hp_unknown_info *v;
		size_t n, room;
	} unknown;
};
void hp_patch_info_clear(struct hp_patch_info *p);
void hp_patch_list_free(struct hp_patch_list *l);

/* What became of a patch that a loaded one supersedes. */
#define HP_SUPERSEDES_MAX 8
struct hp_superseded {
	char id[HP_ID_LEN + 1];
	char state[16];	  /* "unloaded", "retained", or "superseded": it stays below */
	char detail[256]; /* why */
};

/* What a load did. */
struct hp_load_result {
	char id[HP_ID_LEN + 1];
	enum hp_quiesce used;	  /* WATCH or GATE */
	uint64_t total_ns;
	uint64_t quiesce_ns;	  /* until no call was in flight and the code was exchanged */
	uint64_t gate_ns;	  /* the gate was closed so long */
	uint64_t longest_park_ns; /* of one thread */
	uint64_t borrowed_ns;	  /* the borrowed thread was away so long, for the agent's birth */
	unsigned tries;
	unsigned threads_parked;
	unsigned on_old_code;	  /* relaxed: threads inside old code at the flip */
	size_t memory_bytes;
	struct hp_superseded superseded[HP_SUPERSEDES_MAX];
	size_t n_superseded;
	size_t patches_left; /* in the target, this one included */
	size_t functions_left; /* that they replace, but for retained ones */
};

/* Loads.  On an error the target is as before (or -HP_E_PARTIAL).  When the patch is in force those that
 * it supersedes are unloaded, one by one, each with time and park budget of its own. */
int hp_op_load(struct hp_ops *ops, const struct hp_load_request *req, struct hp_load_result *ret,
	       struct hp_err *err);

/* What hp_op_load() would do, site by site; changes nothing.  @ret: one patch_info in state
 * "planned".  An error is what load would refuse. */
int hp_op_check(struct hp_ops *ops, const struct hp_load_request *req, struct hp_patch_list *ret,
		struct hp_err *err);

struct hp_unload_result {
	char id[HP_ID_LEN + 1];
	uint64_t total_ns;
	uint64_t quiesce_ns, gate_ns, longest_park_ns; /* as for a load */
	unsigned threads_parked;
	bool retained;	  /* inactive, but still mapped */
	char detail[256]; /* where the pointers are; or what HPAfterUnload returned */
	size_t patches_left; /* patches still in the target */
	size_t functions_left; /* that they replace, but for retained ones */
};
int hp_op_unload(struct hp_ops *ops, const struct hp_unload_request *req,
		 struct hp_unload_result *ret, struct hp_err *err);

/* Every patch in the processes of @s: from their maps and ledgers.  A process that cannot be read
 * fails a list of it alone, but not the list of many. */
int hp_op_list(struct hp_ops *ops, const struct hp_selector *s, struct hp_patch_list *ret,
	       struct hp_err *err);

/* The processes that @s means now; -HP_E_GONE or -HP_E_NOT_LOADED when there are none.
 * @load: for a load of this file, whose id goes to @id.
 * @prefix: for an unload of the patch with this prefix, of whose id more goes to @id; @s->all is
 * those that have it.
 * Both NULL: for anything else. */
int hp_op_select(const struct hp_selector *s, const struct hp_load_request *load,
		 const char *prefix, struct hp_pids *ret, char id[HP_ID_LEN + 1],
		 struct hp_err *err);

/* Whether @pid has a mapping of hp's; cheap, and no target is opened for it.  Before Linux 6.17 the process
 * itself can make this wait. */
bool hp_op_is_patched(pid_t pid);

/* Of the processes @s names those in which a killed hpd left an agent or a held entry:
 * there may be no patch. */
int hp_op_traces(const struct hp_selector *s, struct hp_pids *ret, struct hp_err *err);

struct hp_guard_site {
	pid_t pid;
	char fn[256];
	hp_addr addr;
	enum hp_guard_found found;
	bool mended;
};
enum hp_guard_outcome {
	HP_GUARD_LOOKED,
	HP_GUARD_LOST,	      /* the look came to no end */
	HP_GUARD_PASSED_OVER, /* others took its time */
	HP_GUARD_OUTCOMES,
};
struct hp_guard_target {
	pid_t pid;
	enum hp_guard_outcome outcome;
	size_t patches;
	uint64_t ns; /* so long it was looked at */
	char why[128]; /* of one that is lost: the sentence goes on: "process 7 is …" */
};
struct hp_guard {
	struct {
		struct hp_guard_target *v;
		size_t n, room;
	} targets; /* those that are there, and may be looked at */
	struct {
		struct hp_guard_site *v;
		size_t n, room;
	} sites; /* the entries that were not right */
};

/* Looks at the entry of every function that is patched in @pids, none of which can hold it up. */
int hp_op_guard_look(const struct hp_pids *pids, struct hp_guard *ret, struct hp_err *err);
/* … in @pid, and puts it right where that can be done: only by the one job that works on the target. */
int hp_op_guard_mend(struct hp_ops *ops, pid_t pid, struct hp_guard *ret, struct hp_err *err);
void hp_guard_free(struct hp_guard *g);

/* Puts right what a killed hpd left in @pid: rolls a half-done load back, finishes a half-done
 * unload, reaps agents.  *did says what was found ("nothing"). */
int hp_op_recover(struct hp_ops *ops, pid_t pid, char *did, size_t n, struct hp_err *err);

/* Counts calls of the functions of all patches in @pid while *stop_fd has nothing to read; pins
 * stay live.  Probes sit on hp's own watch paths and on the new functions' exits. */
int hp_op_watch_calls(struct hp_ops *ops, pid_t pid, int stop_fd, struct hp_err *err);

/* Which threads are inside @fn (specs as in target/resolve.h), with their stacks. */
struct hp_explain_thread {
	pid_t tid;
	char name[16 + 1];
	char fn[256];
	struct hp_stack stack;
};
struct hp_explain {
	struct hp_explain_thread *v;
	size_t n, room;
	size_t threads; /* looked at */
	size_t unknown; /* of them, not told */
	char detail[256]; /* who is not among them: suspended coroutines; "": the program has none */
};
int hp_op_explain(struct hp_ops *ops, pid_t pid, const char *const *fns, size_t n_fns,
		  struct hp_explain *ret, struct hp_err *err);
void hp_explain_free(struct hp_explain *e);

#endif
