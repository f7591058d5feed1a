/* SPDX-License-Identifier: MIT */
/* watch_lab.h – a session of probes on a victim (watch_victim.h) that calls what is probed. */
#ifndef HP_TESTS_WATCH_LAB_H
#define HP_TESTS_WATCH_LAB_H

#include <stdint.h>
#include <sys/types.h>

#include "watch_victim.h"
#include "watch/watch.h"

enum { FN_FIRST, FN_SECOND, N_FNS };

extern const char *const watched_names[N_FNS];

struct lab {
	struct hp_watch *w;
	struct hp_view *v;
	struct hp_session *s;
	pid_t pid;
	int sock;
	int self; /* this program's file */
};

/* For each test: with a session that has attached its probes. */
int lab_begin(void **state);
int lab_end(void **state);
#define TEST(f) cmocka_unit_test_setup_teardown(f, lab_begin, lab_end)

/* Another victim: pid and sock of @l; 0 or -1. */
int lab_victim(struct lab *l);
void lab_kill_victim(struct lab *l);

void lab_tell(const struct lab *l, char c);
/* Told and answered; then the victim either waits for the next word or stands inside. */
void lab_let(const struct lab *l, char c);

struct hp_session *lab_session(const struct lab *l);
/* … and its keeper has detached the probes. */
void lab_session_end(struct lab *l);
int lab_attach(const struct lab *l, struct hp_session *s, struct hp_err *err);

void lab_await(int fd);
/* Of code of this program, in its file. */
uint64_t lab_offset(const void *code);
/* Of first(), in the victim. */
unsigned char lab_first_byte(const struct lab *l);
int64_t lab_in_flight(const struct lab *l, unsigned fn);

#endif
