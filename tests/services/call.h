/* SPDX-License-Identifier: MIT */
/* call.h – speaking to hpd's socket without hpctl, for what must be fast or strange. */
#ifndef CALL_H
#define CALL_H

#include <jansson.h>
#include <sys/types.h>

/* How long a thread may be parked; hpd's default until it is set. */
extern int call_park_ms;

/* Connects; ends the program when it cannot. */
int call_connect(const char *socket_path);

/* One request on a connection that stays: POST, or GET when @body is NULL; @body is taken.  The
 * answer, to be freed; *status: of HTTP.  Ends the program when hpd does not speak HTTP. */
json_t *call_hpd(int fd, const char *path, json_t *body, int *status);

/* The hp_id of a load, or NULL; @patch_path absolute.  *answer: the whole of it, borrowed until the
 * next call. */
const char *call_load(int fd, pid_t pid, const char *patch_path, const char *quiesce,
		      const json_t **answer);
/* 0, 1 when the patch is retained, or -1 */
int call_unload(int fd, pid_t pid, const char *id, const char *quiesce, const json_t **answer);

#endif
