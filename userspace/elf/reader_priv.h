/* SPDX-License-Identifier: MIT */
/* elf/reader_priv.h – the reader's socket, and what is said there; for reader*.c and their tests. */
#ifndef HP_ELF_READER_PRIV_H
#define HP_ELF_READER_PRIV_H

#include <sys/types.h>

#include "elf/reader.h"
#include "hp/err.h"

/* CPU seconds of a reader, over all questions; what a file makes it take beyond is a lie. */
#define HP_READER_CPU_S	     60
#define HP_READER_RT_US	     200000 /* at a stretch, at real-time priority */
#define HP_READER_BYTES	     (2ull << 30) /* of memory that it writes to */

enum reader_step { READER_ASK = 1, READER_TELL };

struct reader_request {
	uint32_t seq;
	uint32_t step; /* enum reader_step */
	struct hp_question question; /* its bytes follow */
};

struct reader_answer {
	uint32_t seq;
	int32_t rc; /* 1: to be continued; negative: the text is the sentence */
	uint64_t n; /* records follow, then the text */
	uint64_t n_text;
};

struct hp_reader {
	char *name;
	int sock; /* -1: not running */
	pid_t pid;
	uint32_t seq;
	int cpu; /* where it has been put; -1: nowhere */
	unsigned joined, known; /* images: so far, and when the reader was forked */
	bool outdated;		/* one of the known ones is no more */
	const struct hp_verb *posted; /* whose answer is to come before the next one */
	uint64_t silence_ns;	/* how long it may take for an answer */
	struct hp_err fault;	/* code 0: none */
};

/* Answers here and now. */
int hp_reader_answer(const struct hp_question *q, struct hp_told *ret, struct hp_err *err);

/* The life of the reader, in a fork. */
_Noreturn void hp_reader_run(int sock);

/* Gives up rights and system calls; 0 or a negative code. */
int hp_reader_confine(void);

#endif
