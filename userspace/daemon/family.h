/* SPDX-License-Identifier: MIT */
/*
 * daemon/family.h – one request for any number of processes.
 *
 * A select job finds the processes; a few jobs run at a time, one at a time a target; then it is
 * looked again, for children that were forked meanwhile, until nothing is left to be done.  The
 * answer says of each process what became of it, and of all the exit status:
 *
 *	0	wherever it was wanted it is so now
 *	6	done in some, failed in others: they differ
 *	else	done nowhere: the highest status of those that failed
 *
 * A family goes on without its client, as a job does.
 */
#ifndef HP_DAEMON_FAMILY_H
#define HP_DAEMON_FAMILY_H

#include <jansson.h>

struct hp_client;
struct hp_daemon;
struct hp_job_request;

/* Takes what is in @req: a load or unload with a selector. */
void hp_family_begin(struct hp_client *c, struct hp_job_request *req);

/* Those that are under way, for `hpctl status`. */
json_t *hp_families_status(const struct hp_daemon *d);

/* At the end, when there are no jobs any more. */
void hp_families_free(struct hp_daemon *d);

#endif
