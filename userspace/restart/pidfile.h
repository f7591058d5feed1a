/* SPDX-License-Identifier: MIT */
/* restart/pidfile.h – the file in which a service writes its pid (--pidfile). */
#ifndef HP_RESTART_PIDFILE_H
#define HP_RESTART_PIDFILE_H

#include <stdint.h>
#include <sys/types.h>

/* The pid in the absolute @path, as process @as sees that path; 0: none, or no regular file.  A link at its
 * end is not followed, nor one on the way that others than root could have put there. */
pid_t hp_pidfile_read(pid_t as, const char *path);

/* What ends removes its file, or has left it: it says @pid afterwards, and belongs to whom its directory
 * belongs to, or in one of root's to whom it belonged.  0 or a negative errno; -EINVAL: what is there is no
 * regular file; -ELOOP: a link that is not followed; -ESRCH: @pid is not the process any more that began
 * at @start. */
int hp_pidfile_restore(const char *path, pid_t pid, uint64_t start);

#endif
