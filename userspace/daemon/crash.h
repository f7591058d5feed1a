/* SPDX-License-Identifier: MIT */
/* daemon/crash.h – did a process that ended crash in the code of a patch? */
#ifndef HP_DAEMON_CRASH_H
#define HP_DAEMON_CRASH_H

#include <jansson.h>
#include <sys/types.h>

/* What the kernel's log said in the last seconds of a crash of @pid, or of a thread that is no more,
 * in the file of a patch: {"hp_id":…,"detail":<the line>}; NULL: nothing, or it cannot be read. */
json_t *hp_crash_find(pid_t pid);

#endif
