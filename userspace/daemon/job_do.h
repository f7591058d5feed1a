/* SPDX-License-Identifier: MIT */
/*
 * daemon/job_do.h – in a job: what each kind of it does.  The only place of daemon/ that calls
 * hp_op_*().
 */
#ifndef HP_DAEMON_JOB_DO_H
#define HP_DAEMON_JOB_DO_H

#include "daemon/job.h"
#include "patch/ops.h"

/* Does what @job asks for; 0: @ret is the answer, which the caller tells. */
int hp_job_do(struct hp_job *job, struct hp_ops *ops, struct hp_job_saying *ret, struct hp_err *err);

/* What it does for a restart (job_restart.c).  That answers at the switch, follows the drain and does
 * not return; where the answer waits for the end of the drain, it returns as the others do. */
int hp_job_do_restart(struct hp_job *job, struct hp_ops *ops, struct hp_job_saying *ret,
		      struct hp_err *err);

#endif
