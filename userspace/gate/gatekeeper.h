/* SPDX-License-Identifier: MIT */
/* gate/gatekeeper.h – the gatekeeper's process and what is said to it; for gate/ only. */
#ifndef HP_GATE_GATEKEEPER_H
#define HP_GATE_GATEKEEPER_H

#include <stdint.h>

enum gate_op { GATE_ARM = 1, GATE_CLOSE, GATE_COMMIT, GATE_CANCEL };

struct gate_request {
	uint32_t op;
	uint32_t generation; /* of the arming: events of an earlier one are stale */
	int32_t agent_tid, agent_fd;
	uint64_t page;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC */
};

/* Where an arming failed. */
enum gate_step { GATE_STEP_PIDFD = 1, GATE_STEP_GETFD, GATE_STEP_API, GATE_STEP_REGISTER };

struct gate_reply {
	int32_t rc;
	uint32_t step;
};

/* On the event pipe; smaller than PIPE_BUF, so it comes whole. */
struct gate_record {
	uint32_t kind; /* enum hp_gate_event_kind */
	int32_t tid;
	uint64_t time_ns;
	uint64_t generation;
};

/* The life of the gatekeeper, in a fork.  Its first reply on @cmd says that it is ready. */
_Noreturn void hp_gatekeeper_run(int cmd, int events);

#endif
