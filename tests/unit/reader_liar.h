/* SPDX-License-Identifier: MIT */
/* tests/unit/reader_liar.h – a process in a reader's place that says what a test has it say. */
#ifndef HP_TESTS_READER_LIAR_H
#define HP_TESTS_READER_LIAR_H

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "elf/reader_priv.h"

#define LIAR_BYTES 65536

/* The answer to the @turn-th question that has something in it: @head, whose sequence is right, and
 * head->n records. */
typedef void (*liar_fn)(unsigned turn, struct reader_answer *head, void *record);

static inline void liar_serve(int sock, liar_fn say)
{
	static char room[LIAR_BYTES], question[LIAR_BYTES];
	struct reader_request q;
	unsigned turn = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (hp_read_all(sock, &q, sizeof(q)) == 0 && q.question.n_bytes <= sizeof(question) &&
	       hp_read_all(sock, question, q.question.n_bytes) == 0) {
		struct reader_answer head = {.seq = q.seq};

		memset(room, 0, sizeof(room));
		/* A walk's first question is only whether it can be made. */
		if (!q.question.verb->turns || q.question.n_bytes || q.step == READER_TELL)
			say(turn++, &head, room);
		if (hp_write_all(sock, &head, sizeof(head)) < 0 ||
		    hp_write_all(sock, room, head.n * q.question.verb->record_size) < 0)
			break;
	}
	_exit(0);
}

/* It knows of every file, and of @more that join, so that no other takes its place. */
static inline void liar_put(struct hp_reader *r, unsigned more, liar_fn say)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	r->pid = fork();
	if (r->pid == 0) {
		close(sv[0]);
		liar_serve(sv[1], say);
	}
	close(sv[1]);
	r->sock = sv[0];
	r->known = r->joined + more;
	r->outdated = false;
	r->posted = NULL;
}

#endif
