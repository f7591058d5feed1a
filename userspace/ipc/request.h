/* SPDX-License-Identifier: MIT */
/* ipc/request.h – what a job is asked for: read out of JSON in front, checked and kept in the monitor. */
#ifndef HP_IPC_REQUEST_H
#define HP_IPC_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "patch/ops.h"
#include "restart/restart.h"

enum hp_job_kind {
	HP_JOB_LOAD,
	HP_JOB_CHECK,
	HP_JOB_UNLOAD,
	HP_JOB_EXPLAIN,
	HP_JOB_LIST,
	HP_JOB_WATCH,
	HP_JOB_RECOVER,
	HP_JOB_DOCTOR,
	HP_JOB_SELECT,
	HP_JOB_RESTART,
	HP_JOB_GUARD,
	HP_JOB_KINDS,
};

/* What is asked for.  Its strings are its own (hp_job_request_keep()), or outlive it. */
struct hp_job_request {
	enum hp_job_kind kind;
	pid_t pid; /* 0: no one process */
	bool dry_run;	/* a load that is a check */
	bool by_target; /* the file is named as the process itself would */
	uid_t of;	/* not 0: only while the process is that user's */
	bool by_owner;	/* … and that is who asks */
	bool traces;	/* LIST: agents that were left are listed as well */
	struct hp_selector sel;	/* without @pid: the processes; all zero: every one, or none */
	pid_t *pids;		/* of @sel */
	bool all_or_nothing;
	struct hp_load_request load;
	struct hp_unload_request unload;
	struct hp_restart_request restart;
	bool wait; /* answer a restart when the old process is gone */
	const char **fns; /* of an explain; the command of a restart */
	size_t n_fns;
	struct {
		char **v;
		size_t n, room;
	} kept;
};

/* The times that are usual, no file yet. */
void hp_job_request_init(struct hp_job_request *r, enum hp_job_kind kind);
void hp_job_request_free(struct hp_job_request *r);

/* Makes *@to a copy of @s that lives as long as @r. 0 or -ENOMEM. */
int hp_job_request_keep(struct hp_job_request *r, const char *s, const char **to);
/* Makes the parts agree: pids, arguments. */
void hp_job_request_settle(struct hp_job_request *r);
/* A load or unload like @from, of @pid alone.  0 or -ENOMEM. */
int hp_job_request_for(const struct hp_job_request *from, pid_t pid, struct hp_job_request *ret);

/* It is for any number of processes. */
bool hp_job_request_is_family(const struct hp_job_request *r);

#endif
