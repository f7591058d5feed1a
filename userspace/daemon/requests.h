/* SPDX-License-Identifier: MIT */
/* daemon/requests.h – what clients ask for, carried out.  (docs/ARCHITECTURE.md: Two processes) */
#ifndef HP_DAEMON_REQUESTS_H
#define HP_DAEMON_REQUESTS_H

struct hp_daemon;
struct hp_err;
struct hp_job_request;
struct hp_record;

/* @rec, which was checked, of the client behind @sock, which is looked at and closed; @req of HP_ASK_JOB
 * is taken.  A negative code: no front that is whole brings this. */
int hp_request_take(struct hp_daemon *d, const struct hp_record *rec, struct hp_job_request *req,
		    int sock, struct hp_err *err);

#endif
