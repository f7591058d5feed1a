/* SPDX-License-Identifier: MIT */
/* target/look_priv.h – what the parts of the look share. */
#ifndef HP_TARGET_LOOK_PRIV_H
#define HP_TARGET_LOOK_PRIV_H

#include "base/clock.h"
#include "target/gadget.h"
#include "target/look.h"
#include "target/unwind.h"

#define HP_LOOK_CHUNK (256u << 10)

struct hp_looker {
	struct hp_target *t;
	struct hp_look_progs progs; /* -1: none */
	struct hp_unwind *unwind;
	hp_addr restorer[HP_RESTORERS_MAX];
	size_t n_restorers;
	struct hp_look_stats stats;
	struct hp_pace pace;
	uint8_t chunk[HP_LOOK_CHUNK]; /* the stack from rsp on */
	uint8_t more[HP_LOOK_CHUNK];  /* what follows, piece by piece */
};

/* One reading of a thread that is off the CPU. */
struct hp_reading {
	struct user_regs_struct regs;
	struct hp_range altstack;
	uint64_t switches;
	bool on_cpu;
	unsigned cpu;
};

/* 0; -ESRCH: no such thread; another code: the program cannot be run. */
int hp_looker_read(struct hp_looker *l, pid_t tid, struct hp_reading *ret, struct hp_err *err);

/* The verdict on a thread with these registers.  @still (NULL: it is stopped) says whether it has
 * not run since they were read; it is asked when its stack was read and has to be walked, which takes
 * a while.  Fills all of @ret but stopped and switches.
 * True: the verdict stands, whatever the thread does by now; false: if it has not run meanwhile. */
typedef bool (*hp_still_fn)(void *arg);
bool hp_looker_judge(struct hp_looker *l, const struct user_regs_struct *regs,
		     const struct hp_scene *scene, hp_still_fn still, void *arg,
		     struct hp_seen *ret);

#endif
