/* SPDX-License-Identifier: MIT */
#include "daemon/caps.h"

#include <linux/capability.h>

#include "base/confine.h"

#define CAP(c) (1ull << CAP_##c)

/* Files of others in /proc, the control socket; BPF; the kernel's log; signals to front; ports of
 * hpctl serve. */
#define MONITOR                                                                                    \
	(CAP(SYS_PTRACE) | CAP(DAC_OVERRIDE) | CAP(DAC_READ_SEARCH) | CAP(CHOWN) | CAP(FOWNER) |   \
	 CAP(BPF) | CAP(PERFMON) | CAP(SYS_ADMIN) | CAP(SYSLOG) | CAP(KILL) | CAP(SYS_RESOURCE) |  \
	 CAP(CHECKPOINT_RESTORE) | CAP(NET_BIND_SERVICE))

/* … namespaces and files of the target; a file opened as its user, and the roles of the small
 * processes; priorities while a gate is closed. */
#define JOB                                                                                        \
	((MONITOR & ~(CAP(SYSLOG) | CAP(NET_BIND_SERVICE))) | CAP(SETUID) | CAP(SETGID) |          \
	 CAP(SETPCAP) | CAP(SYS_CHROOT) | CAP(SYS_NICE) | CAP(IPC_LOCK))

int hp_caps_monitor(struct hp_err *err)
{
	return hp_confine_effective(MONITOR, err);
}

int hp_caps_job(bool restarts, struct hp_err *err)
{
	return restarts ? hp_confine_effective(~0ull, err) : hp_confine_caps(JOB, err);
}
