/* SPDX-License-Identifier: MIT */
/*
 * The asking side.  One question at a time, answered or the end: there is no state in which a lying
 * reader could make this process wait, allocate or read beyond what the verb says.
 */
#include "elf/reader.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/fd.h"
#include "base/near.h"
#include "elf/image.h"
#include "elf/reader_priv.h"

int hp_reader_new(struct hp_reader **ret, const char *name, struct hp_err *err)
{
	struct hp_reader *r = calloc(1, sizeof(*r));

	if (!r || !(r->name = strdup(name))) {
		free(r);
		return hp_err_sys(err, ENOMEM, "a reader of %s", name);
	}
	r->sock = -1;
	r->silence_ns = HP_READER_SILENCE_NS;
	*ret = r;
	return 0;
}

/* It has nothing to put in order: it is killed, and how it ended if it did so before is told. */
static int stop(struct hp_reader *r)
{
	int status = 0;

	hp_close(&r->sock);
	if (r->pid <= 0)
		return 0;
	(void)kill(r->pid, SIGKILL); /* our child that is not reaped: it is there */
	while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
		;
	r->pid = 0;
	return status;
}

void hp_reader_free(struct hp_reader *r)
{
	if (!r)
		return;
	(void)stop(r); /* how it ended is of no more interest */
	free(r->name);
	free(r);
}

void hp_reader_join(struct hp_reader *r, struct hp_image *im)
{
	im->reader = r;
	im->joined_as = ++r->joined;
}

void hp_reader_twin(struct hp_image *im, const struct hp_image *of)
{
	im->reader = of->reader;
	im->twin = of;
}

void hp_reader_left(struct hp_reader *r)
{
	r->outdated = true;
}

pid_t hp_reader_pid(const struct hp_reader *r)
{
	return r->pid;
}

int hp_reader_check(const struct hp_reader *r, struct hp_err *err)
{
	return r->fault.code ? hp_err_set(err, r->fault.code, "%s", r->fault.text) : 0;
}

/* --- faults ------------------------------------------------------------------------------------- */

/* Nothing is asked any more of a reader that had one. */
static int fault(struct hp_reader *r, struct hp_err *err)
{
	(void)stop(r); /* why is in the sentence already */
	return hp_reader_check(r, err);
}

static int died(struct hp_reader *r, const struct hp_verb *verb, struct hp_err *err)
{
	int status = stop(r); /* that of its death, unless it closed its end and lives on */

	if (WIFSIGNALED(status))
		(void)hp_err_set(&r->fault, -HP_E_READER,
				 "%s: the process that reads it was killed by signal %d (%s) over "
				 "its %s",
				 r->name, WTERMSIG(status), strsignal(WTERMSIG(status)), verb->what);
	else
		(void)hp_err_set(&r->fault, -HP_E_READER,
				 "%s: the process that reads it ended (status %d) over its %s",
				 r->name, WEXITSTATUS(status), verb->what);
	return hp_reader_check(r, err);
}

int hp_reader_distrust(struct hp_reader *r, const struct hp_verb *verb, struct hp_err *err,
		       const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (!r)
		return hp_err_set(err, -HP_E_BAD_ELF, "its %s cannot be: %s", verb->what, what);
	(void)hp_err_set(&r->fault, -HP_E_READER,
			 "%s: the process that reads it says of its %s what cannot be: %s", r->name,
			 verb->what, what);
	return fault(r, err);
}

static int silent(struct hp_reader *r, const struct hp_verb *verb, struct hp_err *err)
{
	(void)hp_err_set(&r->fault, -HP_E_READER,
			 "%s: the process that reads it said nothing of its %s for %llu s", r->name,
			 verb->what, (unsigned long long)(r->silence_ns / HP_S));
	return fault(r, err);
}

/* --- the fork ----------------------------------------------------------------------------------- */

static int start(struct hp_reader *r, struct hp_err *err)
{
	int sv[2], k = hp_confine_prepare(HP_ROLE_READER, err);

	if (k < 0)
		return k;
	(void)stop(r); /* one that does not know the latest images */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return hp_err_sys(err, errno, "%s: a socket for its reader", r->name);
	r->pid = fork();
	if (r->pid == 0)
		hp_reader_run(sv[1]);
	hp_close(&sv[1]);
	if (r->pid < 0) {
		int e = errno;

		hp_close(&sv[0]);
		r->pid = 0;
		return hp_err_sys(err, e, "%s: forking its reader", r->name);
	}
	r->sock = sv[0];
	r->seq = 0;
	r->cpu = -1;
	r->known = r->joined;
	r->outdated = false;
	r->posted = NULL;
	return 0;
}

bool hp_reader_knows(const struct hp_reader *r, const struct hp_image *im)
{
	return r->sock >= 0 && !r->outdated && (!im || im->joined_as <= r->known);
}

int hp_reader_start(struct hp_reader *r, struct hp_err *err)
{
	int k = hp_reader_check(r, err);

	if (k < 0 || (hp_reader_knows(r, NULL) && r->known == r->joined))
		return k;
	return start(r, err);
}

/* --- one answer --------------------------------------------------------------------------------- */

/* The socket is empty before each question, and a question is shorter than its room. */
static int send_request(struct hp_reader *r, const struct reader_request *q, struct hp_err *err)
{
	struct iovec iov[] = {{(void *)q, sizeof(*q)},
			      {(void *)q->question.bytes, q->question.n_bytes}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n = sendmsg(r->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n == (ssize_t)(sizeof(*q) + q->question.n_bytes))
		return 0;
	if (n < 0 && errno != EAGAIN)
		return died(r, q->question.verb, err);
	return hp_reader_distrust(r, q->question.verb, err, "it does not listen");
}

static int receive(struct hp_reader *r, const struct hp_verb *verb, uint64_t until_ns, void *buf,
		   size_t n, struct hp_err *err)
{
	struct pollfd p = {.fd = r->sock, .events = POLLIN};

	for (size_t done = 0; done < n;) {
		ssize_t k = recv(r->sock, (uint8_t *)buf + done, n - done, MSG_DONTWAIT);
		uint64_t now;

		if (k > 0) {
			done += (size_t)k;
			continue;
		}
		if (k == 0 || (errno != EAGAIN && errno != EINTR))
			return died(r, verb, err);
		now = hp_now_ns();
		if (now >= until_ns)
			return silent(r, verb, err);
		(void)poll(&p, 1, (int)((until_ns - now) / HP_MS) + 1); /* recv() tells */
	}
	return 0;
}

static bool is_refusal(int code)
{
	return code == -ENOMEM || code == -EFBIG || hp_err_exit(code) == HP_EXIT_REFUSED;
}

/* The reader's own words are a stranger's. */
static int refusal(struct hp_reader *r, const struct hp_verb *verb, int code, char *text,
		   struct hp_err *err)
{
	if (!is_refusal(code) || !*text)
		return hp_reader_distrust(r, verb, err, "a refusal with the code %d", code);
	for (char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	return hp_err_set(err, code, "%.*s", HP_ERR_TEXT_MAX - 1, text);
}

static int check_header(struct hp_reader *r, const struct hp_verb *verb,
			const struct reader_answer *a, struct hp_err *err)
{
	if (a->seq != r->seq)
		return hp_reader_distrust(r, verb, err, "answer %u to question %u", a->seq, r->seq);
	if (a->rc > (verb->turns ? 1 : 0))
		return hp_reader_distrust(r, verb, err, "a state of %d", a->rc);
	if (a->n > (a->rc < 0 ? 0 : verb->max_records))
		return hp_reader_distrust(r, verb, err, "%llu records",
					  (unsigned long long)a->n);
	if (a->n_text > (a->rc < 0 ? HP_ERR_TEXT_MAX : verb->max_text))
		return hp_reader_distrust(r, verb, err, "%llu bytes of text",
					  (unsigned long long)a->n_text);
	return 0;
}

static int read_answer(struct hp_reader *r, const struct hp_verb *verb, struct hp_told *ret,
		       struct hp_err *err)
{
	uint64_t until = hp_now_ns() + r->silence_ns;
	struct hp_told a = {0};
	struct reader_answer head;
	int k;

	if ((k = receive(r, verb, until, &head, sizeof(head), err)) < 0 ||
	    (k = check_header(r, verb, &head, err)) < 0)
		return k;
	a.n = head.n;
	a.n_text = head.n_text;
	a.record = malloc(a.n * verb->record_size + 1);
	a.text = malloc(a.n_text + 1);
	if (!a.record || !a.text) {
		/* The rest of the answer is in the socket. */
		(void)hp_err_set(&r->fault, -ENOMEM, "%s: no memory for its %s", r->name,
				 verb->what);
		k = fault(r, err);
	} else if ((k = receive(r, verb, until, a.record, a.n * verb->record_size, err)) == 0 &&
		   (k = receive(r, verb, until, a.text, a.n_text, err)) == 0) {
		a.text[a.n_text] = 0;
		if (a.n_text && a.text[a.n_text - 1])
			k = hp_reader_distrust(r, verb, err, "text without an end");
		else if (head.rc < 0)
			k = refusal(r, verb, head.rc, a.text, err);
		else
			k = head.rc;
	}
	if (k < 0)
		hp_told_free(&a);
	else
		*ret = a;
	return k;
}

void hp_told_free(struct hp_told *a)
{
	free(a->record);
	free(a->text);
	*a = (struct hp_told){0};
}

const char *hp_told_string(const struct hp_told *a, uint32_t offset)
{
	return offset < a->n_text ? a->text + offset : NULL;
}

/* What was asked before it is answered first. */
static int take_posted(struct hp_reader *r, struct hp_err *err)
{
	const struct hp_verb *verb = r->posted;
	struct hp_err why = {.text = ""};
	struct hp_told a;
	int k;

	if (!verb)
		return 0;
	r->posted = NULL;
	k = read_answer(r, verb, &a, &why);
	if (k >= 0)
		hp_told_free(&a);
	if (k == 1)
		return hp_reader_distrust(r, verb, err, "there is more, to one who did not wait");
	return hp_reader_check(r, err);
}

/* Sends a question to a reader that has what it is about. */
static int put(struct hp_reader *r, const struct hp_question *q, enum reader_step step,
	       struct hp_err *err)
{
	struct reader_request request = {.step = step, .question = *q};
	int k = take_posted(r, err);

	if (k < 0)
		return k;
	if (q->im && q->im->twin)
		request.question.im = q->im->twin;
	request.seq = ++r->seq;
	return send_request(r, &request, err);
}

static int ready_for(struct hp_reader *r, const struct hp_question *q, struct hp_err *err)
{
	const struct hp_image *im = q->im && q->im->twin ? q->im->twin : q->im;
	int k = hp_reader_check(r, err);

	if (k == 0 && (!hp_reader_knows(r, im) || !hp_reader_knows(r, q->debug)))
		k = start(r, err);
	return k;
}

int hp_reader_ask(struct hp_reader *r, const struct hp_question *q, struct hp_told *ret,
		  struct hp_err *err)
{
	int k;

	if (!r)
		return hp_reader_answer(q, ret, err);
	if ((k = ready_for(r, q, err)) < 0)
		return k;
	/* What it makes of its beginning, or of a post, it does elsewhere. */
	if (r->seq)
		hp_draw_near(r->pid, &r->cpu);
	if ((k = put(r, q, READER_ASK, err)) < 0)
		return k;
	return read_answer(r, q->verb, ret, err);
}

int hp_reader_post(struct hp_reader *r, const struct hp_question *q, struct hp_err *err)
{
	int k = ready_for(r, q, err);

	if (k == 0)
		k = put(r, q, READER_ASK, err);
	if (k == 0)
		r->posted = q->verb;
	return k;
}

int hp_reader_tell(struct hp_reader *r, const struct hp_question *q, const void *bytes, size_t n,
		   struct hp_told *ret, struct hp_err *err)
{
	struct hp_question more = *q;
	int k = hp_reader_check(r, err);

	more.bytes = bytes;
	more.n_bytes = n;
	if (k < 0 || (k = put(r, &more, READER_TELL, err)) < 0)
		return k;
	return read_answer(r, q->verb, ret, err);
}
