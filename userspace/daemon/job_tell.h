/* SPDX-License-Identifier: MIT */
/*
 * daemon/job_tell.h – in a job: what it says to the monitor.
 *
 * That fails only when hpd is dead, which is the job's death too, or without memory: then the job
 * ends, and hpd tells it from the missing answer.
 */
#ifndef HP_DAEMON_JOB_TELL_H
#define HP_DAEMON_JOB_TELL_H

#include <jansson.h>
#include <stdint.h>

#include "daemon/job.h"

/* A step that took @ns; @kind: of the event (daemon/events.h).  @more: members for it, taken over,
 * or NULL. */
void hp_job_tell_event(const struct hp_job *job, const char *kind, const char *step, uint64_t ns,
		       const char *detail, json_t *more);
/* The same of kind "step", for struct hp_ops: @arg is the job; @detail may be NULL. */
void hp_job_tell_step(void *arg, const char *step, uint64_t ns, const char *detail);

/* Answers; @s is freed. */
void hp_job_tell_result(const struct hp_job *job, struct hp_job_saying *s);
/* @result: what was done all the same, taken over, or NULL. */
void hp_job_tell_error(const struct hp_job *job, int code, const char *text, json_t *result);

#endif
