/* SPDX-License-Identifier: MIT */
/* The life of a job: tied to hpd's, with no more rights than it needs, asking whether it may. */
#include "daemon/job.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "access/access.h"
#include "base/fault.h"
#include "base/lifeline.h"
#include "daemon/caps.h"
#include "daemon/daemon.h"
#include "daemon/job_do.h"
#include "daemon/job_tell.h"
#include "hp/err.h"

static enum hp_right right_for(enum hp_job_kind kind)
{
	switch (kind) {
	case HP_JOB_LOAD:
		return HP_RIGHT_LOAD;
	case HP_JOB_UNLOAD:
	case HP_JOB_RECOVER:
		return HP_RIGHT_UNLOAD;
	case HP_JOB_RESTART:
		return HP_RIGHT_RESTART;
	case HP_JOB_CHECK:
	case HP_JOB_EXPLAIN:
	case HP_JOB_LIST:
	case HP_JOB_WATCH:
	case HP_JOB_DOCTOR:
	case HP_JOB_GUARD:
	case HP_JOB_SELECT: /* whatever is done to what it finds asks again */
	case HP_JOB_KINDS:
		break;
	}
	return HP_RIGHT_SEE;
}

/* Ties the job's life to hpd's and gives up what is hpd's alone. */
static void begin(struct hp_job *job, pid_t parent)
{
	char name[16];
	sigset_t none;

	hp_lifeline_tie(parent);
	snprintf(name, sizeof(name), "hpd-%s", hp_job_kind_name(job->req.kind));
	(void)prctl(PR_SET_NAME, name); /* for ps(1) only */
	hp_daemon_forget(job->d);
	/* Ctrl-Z is for hpd: threads of the target may wait for a job. */
	(void)signal(SIGTSTP, SIG_IGN);
	/* hpd reads signals from a descriptor; here they work as usual. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void hp_job_child(struct hp_job *job, int sock, pid_t parent)
{
	struct hp_daemon *d = job->d;
	struct hp_err err = {.text = ""};
	struct hp_ops ops = {
		.watch = d->watch,
		.view = job->subject ? job->subject->view : NULL,
		.state_dir = d->opt.state_dir,
		.report = {hp_job_tell_step, job},
	};
	struct hp_access_question question = {
		.access = &d->access,
		.peer = job->peer,
		.process = job->subject ? fcntl(job->subject->pidfd, F_DUPFD_CLOEXEC, 0) : -1,
		.of = job->req.of,
		.by_owner = job->req.by_owner,
		.by_target = job->req.by_target ? job->req.pid : 0,
	};
	struct hp_job_saying said = {.head = {.word = HP_WORD_ANSWER}};
	int k;

	hp_fault_pass(HP_FAULT_JOB_FORKED);
	begin(job, parent);
	job->sock = sock;
	k = hp_caps_job(job->req.kind == HP_JOB_RESTART, &err);
	/* Without a subject there is no process; whatever finds that out needs no view. */
	if (job->req.pid && !job->subject)
		ops.watch = NULL;
	if (k == 0 && job->peer) {
		question.right = right_for(job->req.kind);
		ops.permit = (struct hp_ops_permit){hp_access_permit, &question, question.process};
		if (question.right == HP_RIGHT_LOAD) {
			question.patch = job->req.load.file;
			k = hp_access_read_signature(&question, &err);
		}
	}
	hp_fault_pass(HP_FAULT_JOB_BEGUN);
	if (k == 0)
		k = hp_job_do(job, &ops, &said, &err);
	hp_fault_pass(HP_FAULT_JOB_DONE);
	if (k == 0)
		hp_job_tell_result(job, &said);
	else
		hp_job_tell_error(job, k, err.text[0] ? err.text : strerror(k > -4096 ? -k : 0), NULL);
	hp_fault_pass(HP_FAULT_JOB_TOLD);
	hp_ops_end(&ops);
	_exit(0);
}
