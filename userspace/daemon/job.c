/* SPDX-License-Identifier: MIT */
/*
 * The answer counts, not the process's end: after it the next job of the target may start.  A
 * process that ends without an answer crashed or was killed; then its target is put right first.
 *
 * The end of a job is told by its pidfd, never by the end of its socket: what the job leaves
 * behind (a probe keeper that detaches) may hold that for a while.
 */
#include "daemon/job.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/doc.h"
#include "daemon/events.h"
#include "elf/reader.h"
#include "hp/err.h"
#include "ipc/json.h"
#include "watch/watch.h"

#define STOPS_MAX 3 /* by somebody's SIGSTOP, before it is ended */
/* What a job may take beyond the request's own time-out before it is taken for hung: it outlives a reader
 * that is, and says so. */
#define GRACE_NS (HP_READER_SILENCE_NS + 30 * HP_S)
#define GUARD_NS (10 * HP_S) /* a status waits for it */
/* … and how long a watch may take to stop. */
#define STOP_NS (10 * HP_S)
/* One that dies in its turn leaves no less than it found. */
#define RECOVERIES 3

const char *hp_job_kind_name(enum hp_job_kind kind)
{
	static const char *const names[HP_JOB_KINDS] = {
		[HP_JOB_LOAD] = "load",	      [HP_JOB_CHECK] = "check",
		[HP_JOB_UNLOAD] = "unload",   [HP_JOB_EXPLAIN] = "explain",
		[HP_JOB_LIST] = "list",	      [HP_JOB_WATCH] = "watch",
		[HP_JOB_RECOVER] = "recover", [HP_JOB_DOCTOR] = "doctor",
		[HP_JOB_SELECT] = "select",   [HP_JOB_RESTART] = "restart",
		[HP_JOB_GUARD] = "guard",
	};

	return names[kind];
}

void hp_job_free(struct hp_job *job)
{
	hp_turn_end(job);
	hp_timer_clear(job->d->ring, &job->deadline);
	hp_close(&job->process);
	hp_close(&job->pidfd);
	hp_close(&job->sock);
	hp_buf_free(&job->heard);
	hp_job_request_free(&job->req);
	free(job->peer);
	free(job);
}

static bool is_denied(int code)
{
	return hp_err_exit(code) == HP_EXIT_DENIED;
}

static void log_answer(const struct hp_job *job, const struct hp_job_head *said)
{
	const char *verb = hp_job_kind_name(job->req.kind);
	struct hp_log_about about = {
		.message_id = said->code		      ? HP_MESSAGE_FAILED
			      : job->req.kind == HP_JOB_LOAD ? HP_MESSAGE_LOADED
			      : job->req.kind == HP_JOB_RESTART
				      ? HP_MESSAGE_RESTARTED
				      : HP_MESSAGE_UNLOADED,
		.pid = job->req.pid,
		.id = *said->id ? said->id : NULL,
	};
	double ms = (double)(hp_now_ns() - job->since_ns) / (double)HP_MS;

	if (job->peer && is_denied(said->code)) {
		about.message_id = HP_MESSAGE_DENIED;
		hp_log_about(HP_LOG_WARNING, &about,
			     "%s in process %d, asked for by process %d of uid %u: %s", verb,
			     job->req.pid, job->peer->pid, job->peer->uid, said->text);
		return;
	}
	if (job->req.kind != HP_JOB_LOAD && job->req.kind != HP_JOB_UNLOAD &&
	    job->req.kind != HP_JOB_RESTART)
		return;
	if (said->code)
		hp_log_about(HP_LOG_INFO, &about, "%s in process %d: %s", verb, job->req.pid,
			     said->text);
	else if (job->req.kind == HP_JOB_RESTART)
		hp_log_about(HP_LOG_INFO, &about, "restart of process %d: done in %.1f ms",
			     job->req.pid, ms);
	else
		hp_log_about(HP_LOG_INFO, &about, "%s of %s in process %d: done in %.1f ms", verb,
		       job->req.kind == HP_JOB_LOAD ? job->req.load.file : job->req.unload.id,
		       job->req.pid, ms);
}

/* What watchers are told when something was done, or was not. */
static void send_end(const struct hp_job *job, const struct hp_job_said *said)
{
	const struct hp_job_head *h = said->head;
	const char *kind = hp_job_kind_name(job->req.kind);
	struct hp_buf event = {0};
	int k;

	if (h->code)
		k = hp_doc_put(&event, hp_event_new("failed", job->req.pid,
						    json_pack("{s:s,s:o}", "job", kind, "error",
							      hp_json_error_body(h->code, h->text))));
	else
		k = hp_doc_put(&event, hp_event_new("done", job->req.pid,
						    json_pack("{s:s}", "job", kind)));
	if (k == 0 && !h->code)
		k = hp_doc_add(&event, "result", said->doc, said->n_doc);
	if (k == 0)
		hp_events_send_text(job->d, job->req.pid, event.v, event.n);
	hp_buf_free(&event);
}

/* Gives the answer to whom it concerns, once. */
static void answer(struct hp_job *job, const struct hp_job_said *said)
{
	int code = said->head->code;

	if (job->answered)
		return;
	hp_fault_pass(HP_FAULT_HPD_HEARD);
	job->answered = true;
	log_answer(job, said->head);
	hp_metrics_job(job->d, job, said->head);
	if (!code)
		hp_targets_learn(job->d, job, said);
	if (job->on_answer)
		job->on_answer(job, said);
	if (job->req.kind == HP_JOB_LOAD || job->req.kind == HP_JOB_UNLOAD ||
	    job->req.kind == HP_JOB_RESTART)
		send_end(job, said);
	if (job->subject && code)
		hp_subject_failed(job->subject, code);
	if (job->subject)
		hp_subject_answered(job->subject, job);
	hp_turn_end(job);
}

static void answer_error(struct hp_job *job, int code, const char *text)
{
	struct hp_job_head head = {.word = HP_WORD_ANSWER, .code = code};
	const struct hp_job_said said = {.head = &head};

	snprintf(head.text, sizeof(head.text), "%s", text);
	answer(job, &said);
}

static void log_step(const struct hp_job *job, const struct hp_job_head *said)
{
	const struct hp_log_about about = {.message_id = HP_MESSAGE_STEP, .pid = job->req.pid};

	hp_log_about(HP_LOG_DEBUG, &about, "%s in process %d: %s: %.1f ms %s",
		     hp_job_kind_name(job->req.kind), job->req.pid, job->step,
		     (double)said->ns / (double)HP_MS, said->text);
}

static void step(struct hp_job *job, const struct hp_job_said *said)
{
	snprintf(job->step, sizeof(job->step), "%s", said->head->step);
	job->gate_closed = !strcmp(job->step, "gate") && !said->head->ns;
	log_step(job, said->head);
	if (job->on_step)
		job->on_step(job, said);
	hp_events_send_text(job->d, job->req.pid, said->doc, said->n_doc);
}

static void take(struct hp_job *job, const struct hp_job_said *said)
{
	if (said->head->word == HP_WORD_ANSWER)
		answer(job, said);
	else if (!job->answered || job->req.kind == HP_JOB_RESTART)
		step(job, said);
}

static void hear(struct hp_job *job, const void *data, size_t n)
{
	struct hp_job_said said;
	struct hp_err err;
	size_t size;
	int k;

	if (job->distrusted)
		return;
	k = hp_buf_add(&job->heard, data, n);
	if (k < 0)
		(void)hp_err_sys(&err, -k, "hear it");
	while (k >= 0 && (k = hp_job_hear(&job->heard, job->req.kind, &said, &size, &err)) == 1) {
		take(job, &said);
		hp_buf_drop(&job->heard, size);
	}
	if (k >= 0)
		return;
	hp_log(HP_LOG_ERROR, "job %d is killed: %s", job->child, err.text);
	job->distrusted = true;
	hp_job_stop(job, true);
}

/* Its process is gone and all it said was heard. */
static void ended(struct hp_job *job)
{
	struct hp_daemon *d = job->d;
	struct hp_subject *s = job->subject;
	siginfo_t info = {0};
	char text[256];

	(void)waitid(P_PIDFD, (id_t)job->pidfd, &info, WEXITED | WNOHANG); /* readable: it is dead */
	TAILQ_REMOVE(&d->jobs, job, link);
	if (!job->answered) {
		const char *verb = hp_job_kind_name(job->req.kind);

		if (job->late)
			snprintf(text, sizeof(text), "%s did not end in time and was stopped", verb);
		else if (info.si_code == CLD_EXITED)
			snprintf(text, sizeof(text), "the process that did the %s exited with %d",
				 verb, info.si_status);
		else
			snprintf(text, sizeof(text), "the process that did the %s died by SIG%s",
				 verb, sigabbrev_np(info.si_status) ?: "?");
		hp_log(HP_LOG_ERROR, "process %d: %s", job->req.pid, text);
		if (s && (job->req.kind != HP_JOB_RECOVER || ++s->lost_recoveries < RECOVERIES))
			hp_subject_recover(s);
		answer_error(job, -HP_E_FAILED, text);
	}
	hp_job_free(job);
	if (s)
		hp_subject_ended(s);
	hp_daemon_settle(d);
}

static void maybe_ended(struct hp_job *job)
{
	if (!job->recv.armed && !job->exited.armed)
		ended(job);
}

static void recv_done(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_job *job = (struct hp_job *)((char *)op - offsetof(struct hp_job, recv));

	if (res > 0)
		hear(job, data, (size_t)res);
	if (!op->armed && (res > 0 || res == -ENOBUFS))
		hp_ring_recv(job->d->ring, op, job->sock);
	maybe_ended(job);
}

static void exit_done(struct hp_ring_op *op, int res, const void *data)
{
	struct hp_job *job = (struct hp_job *)((char *)op - offsetof(struct hp_job, exited));

	/* What is queued is still received, then comes the end (unix_stream_read_generic()). */
	(void)shutdown(job->sock, SHUT_RDWR); /* fails only when it is so already */
	maybe_ended(job);
}

static void deadline_fired(struct hp_timer *t)
{
	struct hp_job *job = (struct hp_job *)((char *)t - offsetof(struct hp_job, deadline));

	job->late = true;
	hp_job_stop(job, true);
}

struct hp_job *hp_job_new(struct hp_daemon *d, struct hp_job_request *req,
			  const struct hp_peer *peer)
{
	struct hp_job *job = calloc(1, sizeof(*job));
	struct hp_peer *copy = peer ? malloc(sizeof(*copy)) : NULL;

	if (!job || (peer && !copy)) {
		free(job);
		free(copy);
		hp_job_request_free(req);
		return NULL;
	}
	if (copy)
		*copy = *peer;
	job->peer = copy;
	job->d = d;
	job->req = *req;
	*req = (struct hp_job_request){0};
	job->process = job->pidfd = job->sock = -1;
	job->recv.done = recv_done;
	job->exited.done = exit_done;
	job->deadline.fire = deadline_fired;
	job->since_ns = hp_now_ns();
	return job;
}

void hp_job_refuse(struct hp_job *job, const struct hp_err *why)
{
	/* Nothing of it was running at its target: that one goes on by itself. */
	job->subject = NULL;
	answer_error(job, why->code, why->text);
	hp_job_free(job);
}

static int start(struct hp_job *job, struct hp_err *err)
{
	enum hp_job_kind kind = job->req.kind;
	pid_t parent = getpid();
	const struct hp_view *view;
	int sv[2], k;

	if (job->subject && kind != HP_JOB_LIST && kind != HP_JOB_CHECK && kind != HP_JOB_EXPLAIN) {
		k = hp_subject_claim(job->subject, kind != HP_JOB_RESTART, err);
		if (k < 0)
			return k;
	}
	view = job->subject ? job->subject->view : NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return hp_err_sys(err, errno, "socket of a job");
	job->sock = sv[0];
	if (view)
		hp_view_fork(view, true);
	job->child = fork();
	if (view)
		hp_view_fork(view, false);
	if (job->child == 0) {
		hp_close(&job->sock);
		hp_job_child(job, sv[1], parent);
	}
	k = job->child < 0 ? -errno : 0;
	close(sv[1]);
	if (k < 0)
		return hp_err_sys(err, -k, "process for a job");
	job->pidfd = pidfd_open(job->child, 0);
	if (job->pidfd < 0) {
		k = hp_err_sys(err, errno, "pidfd of a job");
		kill(job->child, SIGKILL);
		waitpid(job->child, NULL, 0);
		return k;
	}
	hp_fault_pass(HP_FAULT_HPD_FORKED);
	return 0;
}

void hp_job_start(struct hp_job *job)
{
	struct hp_subject *s = job->subject;
	struct hp_daemon *d = job->d;
	uint64_t span = job->req.kind == HP_JOB_GUARD ? GUARD_NS : GRACE_NS;
	struct hp_err err;

	job->since_ns = hp_now_ns();
	if (start(job, &err) < 0) {
		answer_error(job, err.code, err.text);
		hp_job_free(job);
		if (s)
			hp_subject_ended(s);
		return;
	}
	TAILQ_INSERT_TAIL(&d->jobs, job, link);
	hp_ring_recv(d->ring, &job->recv, job->sock);
	hp_ring_poll(d->ring, &job->exited, job->pidfd);
	if (job->req.kind == HP_JOB_LOAD)
		span += job->req.load.timeout_ns;
	if (job->req.kind == HP_JOB_UNLOAD)
		span += job->req.unload.timeout_ns;
	if (job->req.kind == HP_JOB_RESTART)
		span += job->req.restart.ready_ns + job->req.restart.drain_ns + HP_RESTART_STOP_NS;
	if (job->req.kind != HP_JOB_WATCH)
		hp_timer_set(d->ring, &job->deadline, job->since_ns + span);
}

/* Its number is its own as long as it is there, and what the job works on is the subject's. */
static bool is_other(const struct hp_job *job)
{
	return job->process >= 0 && !hp_pidfd_lives(job->process);
}

void hp_job_submit(struct hp_job *job, bool first)
{
	struct hp_subject *s;
	struct hp_err err;

	if (job->peer && !hp_turn_take(job))
		return;
	s = job->req.pid ? hp_subject_get(job->d, job->req.pid) : NULL;
	if (is_other(job)) {
		if (s)
			hp_subject_settle(s);
		(void)hp_err_set(&err, -HP_E_GONE, "the process that is served here has exited");
		hp_job_refuse(job, &err);
		return;
	}
	job->subject = s;
	if (job->subject)
		hp_subject_queue(job->subject, job, first);
	else
		hp_job_start(job);
}

void hp_job_stop(struct hp_job *job, bool force)
{
	job->stop_asked = true;
	if (force) {
		(void)pidfd_send_signal(job->pidfd, SIGKILL, NULL, 0); /* or it is dead */
	} else {
		(void)shutdown(job->sock, SHUT_WR); /* or it is dead */
		hp_timer_set(job->d->ring, &job->deadline, hp_now_ns() + STOP_NS);
	}
}

static void put_on(struct hp_job *job)
{
	siginfo_t info = {0};

	if (waitid(P_PIDFD, (id_t)job->pidfd, &info, WSTOPPED | WNOHANG) < 0 || !info.si_pid)
		return;
	if (++job->stops > STOPS_MAX) {
		hp_log(HP_LOG_WARNING, "%s of process %d: its process %d is stopped again and again: it ends",
		       hp_job_kind_name(job->req.kind), job->req.pid, job->child);
		hp_job_stop(job, true);
		return;
	}
	hp_log(HP_LOG_WARNING, "%s of process %d: its process %d was stopped by SIG%s: it goes on",
	       hp_job_kind_name(job->req.kind), job->req.pid, job->child,
	       sigabbrev_np(info.si_status) ?: "?");
	(void)pidfd_send_signal(job->pidfd, SIGCONT, NULL, 0); /* or it is dead */
}

void hp_jobs_put_on(struct hp_daemon *d)
{
	struct hp_job *job;

	TAILQ_FOREACH(job, &d->jobs, link)
		put_on(job);
}
