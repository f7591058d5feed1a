/* SPDX-License-Identifier: MIT */
/* patch/list.h – what is told of the patches in one process, and in many. */
#ifndef HP_PATCH_LIST_H
#define HP_PATCH_LIST_H

#include <errno.h>

#include "base/buf.h"
#include "patch/ops.h"

/* All patches in @pid. */
int hp_list_process(struct hp_ops *ops, pid_t pid, struct hp_patch_list *ret, struct hp_err *err);

/* A list that is put together of those of processes, and does not grow without bound. */
struct hp_list_part {
	pid_t pid;
	char comm[17];
	struct hp_patch_list list;
	size_t bytes; /* as it is told, at most */
};

struct hp_list_parts {
	struct hp_list_part *v;
	size_t n, room;
	size_t bytes, bytes_max;
	struct hp_patch_list left; /* .unknown: processes for which there was no room */
};

/* Takes @pid with what is in @list; while there is no room for all, the largest leaves.  -ENOMEM. */
int hp_list_take(struct hp_list_parts *p, pid_t pid, struct hp_patch_list *list);
/* Makes one list of them; they are freed.  -ENOMEM. */
int hp_list_join(struct hp_list_parts *p, struct hp_patch_list *ret);
void hp_list_parts_free(struct hp_list_parts *p);

#define HP_LIST_LOST (-ECHILD) /* a look came to no end; the sentence goes on: "process 7 is …" */

/* How processes are looked at by another one, which any of them may hold up, or end. */
struct hp_list_looks {
	/* There: 1: nothing of hp's is in @pid. */
	int (*look)(void *arg, pid_t pid, struct hp_patch_list *ret, struct hp_err *err);
	/* Here, of each other one, in turn: what @look said, or HP_LIST_LOST; *list is to be taken or freed.
	 * 0 or -ENOMEM. */
	int (*told)(void *arg, pid_t pid, int code, struct hp_patch_list *list,
		    const struct hp_err *why);
	void *arg;
	/* It may be at one process for a quarter of what others have not lost of this yet, … */
	uint64_t lost_max_ns;
	uint64_t least_ns; /* … or so long */
};

int hp_list_look(const struct hp_list_looks *how, const struct hp_pids *pids, struct hp_err *err);

/* -ENOMEM; -EBADMSG: that is no list. */
int hp_list_pack(struct hp_buf *to, const struct hp_patch_list *list);
int hp_list_unpack(const char *bytes, size_t n, struct hp_patch_list *ret);

#endif
