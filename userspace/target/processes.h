/* SPDX-License-Identifier: MIT */
/* target/processes.h – which processes there are, and which of them somebody means. */
#ifndef HP_TARGET_PROCESSES_H
#define HP_TARGET_PROCESSES_H

#include <stddef.h>
#include <sys/types.h>

#include "target/procfs.h"

struct hp_err;

/* All that are there now, threads and zombies left out.  One that lives all the while is in it. */
int hp_processes_all(struct hp_pids *ret, struct hp_err *err);

/* @roots, each once, and what descends from them now: an ancestor before its descendants.  One whose
 * parent has ended is somebody else's child by then. */
int hp_processes_family(const pid_t *roots, size_t n_roots, struct hp_pids *ret,
			struct hp_err *err);

/* Whose executable is the file @path, by device and inode, or was called so until it was deleted or
 * replaced (a package upgrade).  An absolute path without symbolic links; -HP_E_NO_FILE when
 * something else than a file is there. */
int hp_processes_of_exe(const char *path, struct hp_pids *ret, struct hp_err *err);

/* That have mapped an ELF file with this build-id (lower-case hex). */
int hp_processes_of_build_id(const char *hex, struct hp_pids *ret, struct hp_err *err);

#endif
