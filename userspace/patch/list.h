/* SPDX-License-Identifier: MIT */
/* patch/list.h – what is told of the patches in one process, and in many. */
#ifndef HP_PATCH_LIST_H
#define HP_PATCH_LIST_H

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

/* -ENOMEM; -EBADMSG: that is no list. */
int hp_list_pack(struct hp_buf *to, const struct hp_patch_list *list);
int hp_list_unpack(const char *bytes, size_t n, struct hp_patch_list *ret);

#endif
