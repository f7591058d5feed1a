/* SPDX-License-Identifier: MIT */
/*
 * A real hpd main loop in a child, on a socket in a temporary directory, over operations that are
 * played: what they do is told by the name of the patch, and what was called is counted in shared
 * memory.
 */
#ifndef HP_TESTS_DAEMON_RIG_H
#define HP_TESTS_DAEMON_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "daemon/daemon.h"
#include "patch/ops.h"

#define PATIENCE_MS 20000
#define STUB_ID	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* What the played operations (daemon_ops.c) share with the test. */
extern struct stub {
	bool bpf;
	int patches; /* in every process */
	bool stale;  /* they were there, and are no more */
	pid_t lost;  /* to look at that one comes to no end */
	pid_t slow;  /* … takes half a second, it is said */
	pid_t passed_over;
	int loads, unloads, recovers, watches, running, most_running;
	struct hp_load_request last_load;
	int views_open, spared;
	pid_t refuse; /* loads into it are refused */
	enum hp_guard_found wrong; /* with every entry */
	bool mendable, stubborn;   /* … which comes back */
	bool execed;
	bool hold; /* lists of all do not end, nor does the guard's look */
	int lists, listing, most_listing;
	int guards, mends;
	size_t looked; /* at so many, the last time … */
	pid_t first;   /* … and at that one first */
} *stub;

extern struct rig {
	char dir[64], socket[96], state[96], front[256];
	pid_t hpd, target;
	struct hp_daemon_options opt;
} rig;

/* For cmocka: hpd runs, and so does rig.target, a process to be operated on. */
int rig_setup(void **state);
/* hpd ends, well, and everything is removed. */
int rig_teardown(void **state);

/* The steps of the two, for a test that changes rig.opt, or ends hpd by itself. */
void rig_prepare(void);
void rig_start(void);
void rig_start_target(void);
/* hpd must have come through everything, and leave nothing. */
void rig_wait_exit(void);
/* Ends the target, and removes the directory. */
void rig_remove(void);

/* --- a client ------------------------------------------------------------------------------------- */

int rig_connect(void);
bool rig_readable(int fd);
/* Reads until @until is there, or with NULL until the end; what was read stays valid until the next
 * call. */
char *rig_read(int fd, const char *until);
void rig_send(int fd, const void *data, size_t n);
void rig_request(int fd, const char *method, const char *path, const char *headers,
		 const char *body);
/* One exchange on a connection of its own. */
char *rig_ask(const char *method, const char *path, const char *headers, const char *body);
/* Until @part is in the status: its changes come from events that a test does not see. */
void rig_wait_status(const char *part);
/* @answer has this status, and @part in it. */
void rig_expect(const char *answer, int status, const char *part);

#endif
