/* SPDX-License-Identifier: MIT */
/*
 * patch/survey.h – a look at many processes, none of which can hold it up.
 *
 * Who is looked at can make whoever looks wait for hours, by code that is long to follow or memory that does
 * not answer, and perhaps end him.  So a fork looks; where it stays too long, or ends, it is said of that
 * process that nothing is known, and another fork goes on behind it.
 */
#ifndef HP_PATCH_SURVEY_H
#define HP_PATCH_SURVEY_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

struct hp_err;
struct hp_pids;

#define HP_SURVEY_LOST (-ECHILD) /* a look came to no end; the sentence goes on: "process 7 is …" */

/* What is said of one process. */
struct hp_survey_answer {
	pid_t pid;
	int code; /* 0, what the look said, or HP_SURVEY_LOST */
	const char *bytes; /* with 0: what it found; else a sentence, with its NUL */
	size_t n;
	uint64_t ns; /* so long it was looked at */
};

struct hp_survey {
	/* In the fork: adds to @ret what is to be told of @pid.  1: nothing. */
	int (*look)(void *arg, pid_t pid, struct hp_buf *ret, struct hp_err *err);
	/* Here, of each for which there is something, in turn.  0, -ENOMEM or -EBADMSG: no look says that. */
	int (*told)(void *arg, const struct hp_survey_answer *a);
	void *arg;
	/* It may be at one process for a quarter of what others have not lost of this yet, … */
	uint64_t lost_max_ns;
	uint64_t least_ns; /* … or so long */
};

/* One process after the other; all that they cost others is time.  0 when each was looked at or told of as
 * lost; -HP_E_FAILED, -ENOMEM, or that there could be no fork: some were told of. */
int hp_survey_do(const struct hp_survey *how, const struct hp_pids *pids, struct hp_err *err);

#endif
