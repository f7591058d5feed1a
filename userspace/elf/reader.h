/* SPDX-License-Identifier: MIT */
/*
 * elf/reader.h – the reader: a process that parses strangers' files for one that has rights.
 *
 * It is a fork, made at the first question or by hp_reader_start(), with the images mapped that
 * joined it before; a question about another image makes a new one.  It gives up every
 * descriptor but its socket, every right and every system call that opens, sends or changes
 * anything (reader_confine.c).  What goes to it may be addresses, which mean the same there.
 * What comes from it is records of one size and a block of text, and is believed in nothing: the
 * counts are bounded here, what the records say by whoever asked.
 *
 * An image without a reader is parsed in place: in the reader itself, and where nothing is at stake.
 */
#ifndef HP_ELF_READER_H
#define HP_ELF_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"

/* One that is asked may be silent for so long: whoever waits for whoever asks waits longer. */
#define HP_READER_SILENCE_NS (90 * HP_S)

struct hp_err;
struct hp_image;
struct hp_reader;
struct hp_reply;

struct hp_question {
	const struct hp_verb *verb;
	const struct hp_image *im, *debug; /* joined; both may be NULL */
	const void *arg;		   /* anything that was there at the fork */
	uint64_t number;
	const void *bytes; /* in the reader: a copy, NUL behind it */
	size_t n_bytes;
};

/* A kind of question. */
struct hp_verb {
	const char *what;   /* is asked for: "symbols" */
	size_t record_size; /* of its answer's records */
	size_t max_records, max_text;
	bool turns; /* the answer may ask back */
	/* In the reader: 0, or a negative code with its sentence; then the reply is not sent.  A
	 * code that is neither a refusal (HP_EXIT_REFUSED) nor -ENOMEM or -EFBIG is taken for a
	 * lie. */
	int (*answer)(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err);
};

/* Ours: nobody else has it mapped.  To be freed with hp_told_free(). */
struct hp_told {
	void *record; /* n of verb->record_size */
	size_t n;
	char *text; /* its last byte is NUL; "" without any */
	size_t n_text;
};

/* @name for messages, copied: whose files. */
int hp_reader_new(struct hp_reader **ret, const char *name, struct hp_err *err);
void hp_reader_free(struct hp_reader *r);

/* For the scheduler; 0: none runs. */
pid_t hp_reader_pid(const struct hp_reader *r);

/* From now on what @im is asked is asked the reader, which the image must not outlive. */
void hp_reader_join(struct hp_reader *r, struct hp_image *im);

/* From now on what @im is asked is asked about @of, whose bytes are the same: its reader need not be
 * another one for it.  @of must outlive the asking. */
void hp_reader_twin(struct hp_image *im, const struct hp_image *of);

/* An image that joined is no more: what the reader has of it is not to be relied on. */
void hp_reader_left(struct hp_reader *r);

/* Has it run with all that joined, so that it gets ready while its asker does something else. */
int hp_reader_start(struct hp_reader *r, struct hp_err *err);

/* A question whose answer does not matter but for a fault, which the next one tells: it is worked on
 * while its asker does something else.  Its bytes are not needed afterwards. */
int hp_reader_post(struct hp_reader *r, const struct hp_question *q, struct hp_err *err);

/* Was @im mapped already when the reader was forked that runs?  NULL: does one run? */
bool hp_reader_knows(const struct hp_reader *r, const struct hp_image *im);

/* Who is to be asked about @im; NULL: it is to be parsed here, also since here is the reader. */
struct hp_reader *hp_reader_of(const struct hp_image *im);

/* 0; 1: the reader waits to be told more before it goes on: hp_reader_tell().  A refusal of the
 * file is the reader's own, in its words.  -HP_E_READER when it died, says nothing, or what cannot
 * be; -ENOMEM when its answer had no room.  Either is so for every further question.  Without a
 * reader (NULL) the answer is made here. */
int hp_reader_ask(struct hp_reader *r, const struct hp_question *q, struct hp_told *ret,
		  struct hp_err *err);
int hp_reader_tell(struct hp_reader *r, const struct hp_question *q, const void *bytes, size_t n,
		   struct hp_told *ret, struct hp_err *err);
void hp_told_free(struct hp_told *a);

/* For whoever finds that an answer cannot be: @fmt says what in it.  Returns -HP_E_READER, or, where
 * there is no reader, -HP_E_BAD_ELF. */
int hp_reader_distrust(struct hp_reader *r, const struct hp_verb *verb, struct hp_err *err,
		       const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* 0, or why nothing more can be asked (-HP_E_READER, -ENOMEM), with the sentence: for what was
 * asked by somebody who cannot fail. */
int hp_reader_check(const struct hp_reader *r, struct hp_err *err);

/* The string at @offset of the answer, or NULL. */
const char *hp_told_string(const struct hp_told *a, uint32_t offset);

/* --- in the reader ------------------------------------------------------------------------------ */

/* Room for one more record, zeroed, until the next is added; NULL when there is none, in memory or
 * in what the verb allows. */
void *hp_reply_add(struct hp_reply *reply);
/* Where @s is in the text; false as above. */
bool hp_reply_string(struct hp_reply *reply, const char *s, uint32_t *ret);
/* Sends what there is and waits to be told more: @q->bytes then. */
void hp_reply_turn(struct hp_reply *reply, struct hp_question *q);

#endif
