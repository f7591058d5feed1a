/* SPDX-License-Identifier: MIT */
#include "daemon/confined.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"
#include "target/procfs.h"

static uint64_t number(pid_t pid, const char *key, int base)
{
	uint64_t v = 0;

	return hp_status_number(pid, key, base, &v) ? v : 0;
}

static bool has_filter(pid_t pid)
{
	return number(pid, "Seccomp", 10) == 2;
}

bool hp_confined_is(pid_t pid, enum hp_role role, char *buf, size_t n)
{
	const struct hp_confinement *c = &hp_confinements[role];
	uint64_t uid = number(pid, "Uid", 10), caps = number(pid, "CapEff", 16);
	bool no_new = number(pid, "NoNewPrivs", 10) == 1;
	char path[64], root[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	if (readlink(path, root, sizeof(root) - 1) < 0) {
		snprintf(buf, n, "process %d: %s", (int)pid, strerror(errno));
		return false;
	}
	snprintf(buf, n, "uid %" PRIu64 ", root %s, %s %d, %s, %s", uid, root, "capabilities",
		 __builtin_popcountll(caps), no_new ? "no new privileges" : "new privileges",
		 has_filter(pid) ? "system calls filtered" : "no filter");
	return uid == c->uid && !(caps & ~c->caps) && no_new && has_filter(pid) &&
	       (!c->uid || !strcmp(root, HP_EMPTY_ROOT));
}

/* Says by a byte that it is in its role, and waits to be killed. */
static _Noreturn void take_on(enum hp_role role, int told)
{
	struct hp_err err;

	if (dup2(told, STDERR_FILENO) < 0 || hp_confine_rights(role, &err) < 0 ||
	    hp_confine_calls(role, &err) < 0)
		_exit(1);
	(void)!write(STDERR_FILENO, "", 1); /* nobody waits: then it is killed */
	for (;;)
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_sec = 60}, NULL);
}

bool hp_confined_try(enum hp_role role, char *buf, size_t n)
{
	hp_autoclose int reading = -1;
	hp_autoclose int writing = -1;
	bool ok = false;
	pid_t child;
	int p[2];
	char c;

	if (pipe(p) < 0) {
		snprintf(buf, n, "%s", strerror(errno));
		return false;
	}
	reading = p[0];
	writing = p[1];
	child = fork();
	if (child == 0)
		take_on(role, writing);
	hp_close(&writing);
	if (child < 0)
		snprintf(buf, n, "%s", strerror(errno));
	else if (read(reading, &c, 1) == 1)
		ok = hp_confined_is(child, role, buf, n);
	else
		snprintf(buf, n, "a process cannot be confined so");
	if (child > 0) {
		kill(child, SIGKILL);
		(void)waitpid(child, NULL, 0); /* ours: it is dead, or dies */
	}
	return ok;
}

void hp_confined_monitor(pid_t pid, char *buf, size_t n)
{
	snprintf(buf, n, "uid %" PRIu64 ", %d of %d capabilities in force", number(pid, "Uid", 10),
		 __builtin_popcountll(number(pid, "CapEff", 16)),
		 __builtin_popcountll(number(pid, "CapPrm", 16)));
}
