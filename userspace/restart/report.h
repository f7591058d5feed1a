/* SPDX-License-Identifier: MIT */
/* restart/report.h – what a supervisor says to the process that started it.  Records of one size. */
#ifndef HP_RESTART_REPORT_H
#define HP_RESTART_REPORT_H

#include <stdint.h>

#include "restart/restart.h"

enum hp_report_kind {
	HP_REPORT_STEP,
	HP_REPORT_DISOWN, /* be no subreaper any more, and answer with a byte */
	HP_REPORT_SWITCHED,
	HP_REPORT_FAILED,
	HP_REPORT_GONE,
};

#define HP_REPORT_TEXT 1024

struct hp_report {
	enum hp_report_kind kind;
	int code;      /* HP_REPORT_FAILED, and HP_REPORT_SWITCHED with -HP_E_PARTIAL */
	char step[16]; /* HP_REPORT_STEP */
	uint64_t ns;
	char text[HP_REPORT_TEXT];
	struct hp_restart_result result;   /* HP_REPORT_SWITCHED */
	struct hp_restart_drained drained; /* HP_REPORT_GONE */
};

/* Restarts, and then keeps what it has started.  In a fork: never returns. */
_Noreturn void hp_supervise(const struct hp_restart_request *req,
			    const struct hp_ops_permit *permit, int sock);

#endif
