/* SPDX-License-Identifier: MIT */
/*
 * daemon/caps.h – the capabilities of the monitor and of its jobs.
 *
 * The monitor uses few.  It has to keep the others, unused: a program that is restarted is started by a
 * job of its, and has what the old one had.  Every other job gives up for good what patching does not
 * take.
 */
#ifndef HP_DAEMON_CAPS_H
#define HP_DAEMON_CAPS_H

#include <stdbool.h>

struct hp_err;

/* In the monitor: only what it uses is in force. */
int hp_caps_monitor(struct hp_err *err);
/* In a job. */
int hp_caps_job(bool restarts, struct hp_err *err);

#endif
