/* SPDX-License-Identifier: MIT */
/* daemon/client_job.h – an operation that a client waits for. */
#ifndef HP_DAEMON_CLIENT_JOB_H
#define HP_DAEMON_CLIENT_JOB_H

struct hp_client;
struct hp_err;
struct hp_job;
struct hp_job_request;
struct hp_job_said;
struct hp_peer;

/* Makes a job of what is in @req, which is taken, with the rights of @peer.  @on_answer tells the
 * client, which it gets from hp_client_job_answered(); @on_step may be NULL.  hp_job_submit() begins
 * it. */
int hp_client_job_new(struct hp_client *c, struct hp_job_request *req, const struct hp_peer *peer,
		      void (*on_step)(struct hp_job *job, const struct hp_job_said *said),
		      void (*on_answer)(struct hp_job *job, const struct hp_job_said *said),
		      struct hp_job **ret, struct hp_err *err);
/* Who waits for the answer, and no longer after that; NULL: the client has left. */
struct hp_client *hp_client_job_answered(struct hp_job *job);

#endif
