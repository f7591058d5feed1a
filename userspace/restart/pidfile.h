/* SPDX-License-Identifier: MIT */
/* restart/pidfile.h – the file in which a service writes its pid (--pidfile). */
#ifndef HP_RESTART_PIDFILE_H
#define HP_RESTART_PIDFILE_H

#include <sys/types.h>

/* The pid in @path, as process @as sees that path; 0: none. */
pid_t hp_pidfile_read(pid_t as, const char *path);

/* What ends removes its file, or has left it: it says @pid afterwards.  0 or a negative errno. */
int hp_pidfile_restore(const char *path, pid_t pid);

#endif
