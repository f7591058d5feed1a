/* SPDX-License-Identifier: MIT */
#include "base/fault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

#define HANGING	     HP_FAULTS /* behind the counts: which process hangs */
#define COUNTS_BYTES ((HP_FAULTS + 1) * sizeof(uint32_t))

enum action { KILL, ERROR, HANG, ACTIONS };
static const char *const action_name[ACTIONS] = {"kill", "error", "hang"};

static const struct hp_fault_info points[HP_FAULTS] = {
#define X(id, name_, who_, code_, text_)                                                           \
	[HP_FAULT_##id] = {.name = (name_), .who = (who_), .text = (text_), .code = (code_)},
	HP_FAULT_POINTS(X)
#undef X
};

static struct {
	uint32_t *counts; /* shared by all forks; NULL: no fault points */
	enum hp_fault_point point; /* HP_FAULTS: only counted */
	enum action action;
	uint32_t nth;
} fault = {.point = HP_FAULTS};

const struct hp_fault_info *hp_fault_info(enum hp_fault_point p)
{
	return &points[p];
}

/* POINT:ACTION[:N] */
static int parse(const char *text, struct hp_err *err)
{
	const char *action = strchr(text, ':'), *nth = action ? strchr(action + 1, ':') : NULL;
	size_t n_name = action ? (size_t)(action - text) : strlen(text), n_action;
	char *end = NULL;

	for (fault.point = 0; fault.point < HP_FAULTS; fault.point++)
		if (!strncmp(points[fault.point].name, text, n_name) &&
		    !points[fault.point].name[n_name])
			break;
	if (fault.point == HP_FAULTS)
		return hp_err_set(err, -HP_E_USAGE,
				  "HP_FAULT: no fault point is called '%.*s' (see hpd --fault-points)",
				  (int)n_name, text);
	action = action ? action + 1 : "";
	n_action = nth ? (size_t)(nth - action) : strlen(action);
	for (fault.action = 0; fault.action < ACTIONS; fault.action++)
		if (strlen(action_name[fault.action]) == n_action &&
		    !strncmp(action_name[fault.action], action, n_action))
			break;
	fault.nth = nth ? (uint32_t)strtoul(nth + 1, &end, 10) : 1;
	if (fault.action == ACTIONS || !fault.nth || (end && *end))
		return hp_err_set(err, -HP_E_USAGE,
				  "HP_FAULT=%s: should be POINT:kill|error|hang[:N], N from 1", text);
	if (fault.action == ERROR && !points[fault.point].code)
		return hp_err_set(err, -HP_E_USAGE, "HP_FAULT: nothing can fail at '%s'",
				  points[fault.point].name);
	return 0;
}

static int map_counts(const char *file, struct hp_err *err)
{
	hp_autoclose int fd = -1;
	int flags = MAP_SHARED;

	if (file) {
		fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0 || ftruncate(fd, COUNTS_BYTES) < 0)
			return hp_err_sys(err, errno, "HP_FAULT_COUNTS=%s", file);
	} else {
		flags |= MAP_ANONYMOUS;
	}
	fault.counts = mmap(NULL, COUNTS_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (fault.counts == MAP_FAILED) {
		fault.counts = NULL;
		return hp_err_sys(err, errno, "counts of fault points");
	}
	return 0;
}

int hp_fault_arm(bool *armed, struct hp_err *err)
{
	const char *what = secure_getenv("HP_FAULT"), *file = secure_getenv("HP_FAULT_COUNTS");
	int r = what ? parse(what, err) : 0;

	*armed = what || file;
	return r < 0 || !*armed ? r : map_counts(file, err);
}

/* Not by SIGSTOP: hpd would let a job go on.  Helpers have a filter that forbids all of this. */
static void hang(enum hp_fault_point p)
{
	sigset_t go_on, was;

	if (!strcmp(points[p].who, "gatekeeper") || !strcmp(points[p].who, "keeper") ||
	    !strcmp(points[p].who, "reader"))
		for (;;)
			hp_pause_ns(HP_S);
	sigemptyset(&go_on);
	sigaddset(&go_on, SIGCONT);
	(void)sigprocmask(SIG_BLOCK, &go_on, &was);
	__atomic_store_n(&fault.counts[HANGING], (uint32_t)getpid(), __ATOMIC_SEQ_CST);
	while (sigwaitinfo(&go_on, NULL) < 0 && errno == EINTR)
		; /* io_uring's work in hpd interrupts it */
	__atomic_store_n(&fault.counts[HANGING], 0, __ATOMIC_SEQ_CST);
	(void)sigprocmask(SIG_SETMASK, &was, NULL); /* none of these can fail */
}

static int strike(enum hp_fault_point p, struct hp_err *err)
{
	switch (fault.action) {
	case HANG:
		hang(p);
		return 0;
	case ERROR:
		return hp_err_set(err, -points[p].code, "fault point %s", points[p].name);
	default:
		/* A filter against it ends the process as well. */
		(void)kill(getpid(), SIGKILL);
		_exit(1);
	}
}

int hp_fault(enum hp_fault_point p, struct hp_err *err)
{
	uint32_t n;

	if (!fault.counts)
		return 0;
	n = __atomic_add_fetch(&fault.counts[p], 1, __ATOMIC_SEQ_CST);
	return p == fault.point && n == fault.nth ? strike(p, err) : 0;
}
