/* SPDX-License-Identifier: MIT */
/* cli/top.h – what hpctl top knows (top_model.c), and how it looks (top_screen.c). */
#ifndef HP_CLI_TOP_H
#define HP_CLI_TOP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HP_TOP_EVENTS 256
#define HP_TOP_LINE   240

struct hp_top_target {
	pid_t pid;
	char comm[64], work[64];
	int64_t patches, functions, in_flight;
	bool gate_closed, counting;
};

struct hp_top_fn {
	char name[160]; /* HP_NAME_MAX */
	int64_t calls, in_flight;
	double per_second;
	bool rated; /* per_second is known */
};

/* The last transition of a process that was seen. */
struct hp_top_last {
	pid_t pid;
	int64_t quiesce_ns, gate_ns, park_ns;
};

struct hp_top {
	pid_t only; /* 0: every process */
	char hpd[128];
	struct {
		struct hp_top_target *v;
		size_t n, room;
	} targets;
	struct {
		struct hp_top_fn *v;
		size_t n, room;
	} fns; /* of @looked */
	struct {
		struct hp_top_last *v;
		size_t n, room;
	} lasts;
	char event[HP_TOP_EVENTS][HP_TOP_LINE];
	size_t n_events; /* so far; the last HP_TOP_EVENTS are there */

	pid_t selected;
	pid_t looked; /* whose calls are counted; 0: nobody's */
	uint64_t counts_ns; /* when the last counts came; 0: none yet */
	char look_error[HP_TOP_LINE];
	double cpu, cpu_before; /* of @selected, per cent; below 0: not known */
	uint64_t cpu_ticks, cpu_ns;
	bool ended; /* hpd is gone */
};

void hp_top_free(struct hp_top *t);

/* What hpd tells. */
void hp_top_take_status(struct hp_top *t, const json_t *status);
void hp_top_take_event(struct hp_top *t, const json_t *event);
void hp_top_take_counts(struct hp_top *t, const json_t *event);

/* Whose calls are counted from now on. */
void hp_top_look(struct hp_top *t, pid_t pid);
/* The one @by below the one that is selected. */
void hp_top_select(struct hp_top *t, int by);
/* How much CPU the one that is selected takes. */
void hp_top_measure(struct hp_top *t);

const struct hp_top_last *hp_top_last_of(const struct hp_top *t, pid_t pid);

/* False: the terminal is none that can be drawn on. */
bool hp_screen_open(void);
void hp_screen_close(void);
void hp_screen_draw(const struct hp_top *t);
/* What was typed: 0 when there is nothing (more). */
enum hp_key { HP_KEY_NONE, HP_KEY_OTHER, HP_KEY_UP, HP_KEY_DOWN, HP_KEY_LOOK, HP_KEY_QUIT };
enum hp_key hp_screen_key(void);

#endif
