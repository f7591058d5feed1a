/* SPDX-License-Identifier: MIT */
/*
 * patch/live.h – a patch that is mapped in a target, while a job works on it.
 *
 * Made from the target's ledger alone, also right after a load has written it: so what a recovery
 * would see is what every operation works with.
 */
#ifndef HP_PATCH_LIVE_H
#define HP_PATCH_LIVE_H

#include "arch/block.h"
#include "arch/code.h"
#include "patch/ledger.h"
#include "patch/ops.h"
#include "target/look.h"
#include "target/target.h"
#include "watch/watch.h"

/* Which code of the patched functions is meant. */
enum hp_side { HP_OLD, HP_NEW };

/* What a function's old code is beside the program's own: a patch that is below this one. */
struct hp_layer {
	struct hp_link link;
	struct hp_flow flow; /* process addresses */
	struct hp_module *module;
};

struct hp_live_fn {
	struct hp_flow flow[2]; /* by side, process addresses */
	struct hp_module *module[2];
	struct hp_head head; /* process address */
	struct hp_layer *layer;
	size_t n_layers;
	bool top;   /* the door leads here */
	bool alone; /* so does the entry: no other patch is on the function (hp_chain_unlink()) */
};

struct hp_live {
	struct hp_ops *ops;
	struct hp_target *t;
	struct hp_looker *looker; /* not owned */
	struct hp_agent *agent;	  /* not owned; NULL in operations that only look */
	struct hp_gate *gate;	  /* not owned; NULL likewise */
	struct hp_ledger *l;	  /* not owned; one of: */
	const struct hp_ledgers *all; /* not owned: every patch in the target */
	struct hp_live_fn *fn;	  /* l->fixed.n_fns */
	struct {
		struct hp_ledger **v;
		size_t n, room;
	} near; /* the patches that share a function with this one */

	/* the set that is looked for: hp_live_set_scene() */
	enum hp_side side;
	enum hp_path gate_path; /* the one that counts as undecided; HP_PATHS: none */
	struct hp_scene scene;
	struct {
		struct hp_part *v;
		size_t n, room;
	} parts;
	struct {
		struct hp_range *v;
		size_t n, room;
	} own; /* hp's code: n_mine of this patch's, then what lies near */
	size_t n_mine;

	unsigned drained;	  /* entries used in the draining table */
	uint64_t deadline_ns;	  /* for becoming quiescent */
	uint64_t park_left_ns;	  /* of the budget */
	uint64_t transition_ns, gate_ns, longest_park_ns;
	unsigned tries, threads_parked;
	enum hp_quiesce used;
};

/* @l, one of @all, must have been read from @t or staged in it, and @t refreshed since. */
int hp_live_open(struct hp_live **ret, struct hp_ops *ops, struct hp_target *t,
		 struct hp_looker *looker, struct hp_ledger *l, const struct hp_ledgers *all,
		 struct hp_err *err);
void hp_live_free(struct hp_live *lv);

/* Says whose calls count: @side of every function; a thread before the decision in @gate's path is
 * outside.  The kernel's [uprobes] mappings are where the maps say that were read last; what is newer
 * is found when a thread stands there. */
int hp_live_set_scene(struct hp_live *lv, enum hp_side side, enum hp_path gate,
		      struct hp_err *err);

/* Moves the first slot of every function, and the door where this patch is on top, or the second
 * slot to @path, one byte each: the doors have to lead through the blocks (hp_chain_bypass()). */
int hp_live_show_first(struct hp_live *lv, enum hp_path path, struct hp_err *err);
int hp_live_show_second(struct hp_live *lv, enum hp_path path, struct hp_err *err);

/* The path of a side at rest. */
static inline enum hp_path hp_side_path(enum hp_side s)
{
	return s == HP_NEW ? HP_PATH_NEW : HP_PATH_OLD;
}

/* The block of @fn, and the function whose block @a is in (-1: none). */
hp_addr hp_live_block(const struct hp_live *lv, unsigned fn);
int hp_live_fn_of_block(const struct hp_live *lv, hp_addr a);

/* The gate byte of a load (HP_PATH_GATE) or an unload: 1, 0, or a negative code. */
int hp_live_gate_byte(struct hp_live *lv, enum hp_path gate, struct hp_err *err);

/* Tells ops->report of a step that began at @since_ns. */
void hp_live_report(struct hp_live *lv, const char *step, uint64_t since_ns, const char *detail);

#endif
