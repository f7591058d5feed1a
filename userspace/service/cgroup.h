/* SPDX-License-Identifier: MIT */
/* service/cgroup.h – the control groups of a process. */
#ifndef HP_SERVICE_CGROUP_H
#define HP_SERVICE_CGROUP_H

#include <sys/types.h>

struct hp_err;

/* /proc/PID/cgroup, to be freed. */
int hp_cgroups_read(char **ret, pid_t pid, struct hp_err *err);

/* This process joins those of @text that it is not in. */
int hp_cgroups_join(const char *text);

/* The unit of systemd that a process with these groups belongs to, "" when none; returns @buf. */
const char *hp_cgroups_unit(const char *text, char *buf, size_t n);

#endif
