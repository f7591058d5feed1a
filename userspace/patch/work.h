/* SPDX-License-Identifier: MIT */
/*
 * patch/work.h – the hands an operation has in a target: looker, agent, gatekeeper.
 */
#ifndef HP_PATCH_WORK_H
#define HP_PATCH_WORK_H

#include "patch/file.h"
#include "patch/live.h"

struct hp_work {
	struct hp_ops *ops;
	struct hp_target *t;
	struct hp_looker *looker;
	struct hp_agent *agent;
	struct hp_gate *gate;
	struct hp_file file; /* of the patch that is to be loaded; the target asks its reader too */
	struct hp_ledgers ledgers;
	struct hp_pairs seal; /* what the permit says of the patch */
	uint64_t started_ns, deadline_ns;
	struct hp_work *next; /* in ops->rest */
};

enum hp_work_kind {
	HP_WORK_LOOKS,
	HP_WORK_TOUCHES, /* probably: the gatekeeper sets itself up meanwhile */
};

/* A patch to be loaded: the sealed copy that was hashed, and what the file is called. */
struct hp_work_patch {
	int fd;
	const char *name;
};

/* Opens the target, asks whether that may be (hp_ops.permit), and reads its ledgers: enough to look.
 * @patch: or NULL. */
int hp_work_open(struct hp_work *w, struct hp_ops *ops, pid_t pid,
		 const struct hp_work_patch *patch, enum hp_work_kind kind, uint64_t timeout_ns,
		 struct hp_err *err);
/* The target's reader gets ready to walk stacks, meanwhile; it knows the files that are open by now. */
int hp_work_expect(struct hp_work *w, struct hp_err *err);
/* Starts gatekeeper and agent: from here on the target is touched. */
int hp_work_touch(struct hp_work *w, struct hp_err *err);
/* Starts another agent where the one that was started has died. */
int hp_work_revive(struct hp_work *w, struct hp_err *err);
/* Leaves the target; the rest is freed here, or by hp_ops_end() where the target was touched.
 * -HP_E_GONE: it was touched, and has ended or become another program. */
int hp_work_close(struct hp_work *w, struct hp_err *err);

/* @l as a live patch with the work's hands. */
int hp_work_live(struct hp_work *w, struct hp_ledger *l, uint64_t park_ns, struct hp_live **ret,
		 struct hp_err *err);

void hp_work_report(struct hp_work *w, const char *step, uint64_t since_ns, const char *detail);

#endif
