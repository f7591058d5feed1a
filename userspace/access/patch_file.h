/* SPDX-License-Identifier: MIT */
/* access/patch_file.h – opening the file that a load names. */
#ifndef HP_ACCESS_PATCH_FILE_H
#define HP_ACCESS_PATCH_FILE_H

#include <sys/types.h>

struct hp_err;
struct hp_peer;

/* Both change the calling process's rights for a moment (access/open_as.h).  -HP_E_NO_FILE: "open
 * PATH: <why>". */

/* As @peer may. */
int hp_patch_file_open(const struct hp_peer *peer, const char *path, int *ret, struct hp_err *err);

/* As process @pid would open it itself: from its directory, below its root, with its user's rights.
 * Where its root is not ours a relative name may not leave its directory.  Where @of is not 0, whoever
 * asks may do what that user may, and the process must be his alone: -HP_E_DENIED. */
int hp_patch_file_open_as(pid_t pid, uid_t of, const char *path, int *ret, struct hp_err *err);

#endif
