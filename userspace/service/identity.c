/* SPDX-License-Identifier: MIT */
/*
 * The rights are read between two looks at the program: to have them taken for those of another one it
 * would have to execute that one and come back, within microseconds, each time.
 */
#include "service/identity.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "hp/err.h"
#include "target/target.h"

/* Without asking a file system that takes its time, which may be the process's own. */
static int refuse_set_id(const struct hp_target *t, struct hp_err *err)
{
	struct statx st;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)t->pid);
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_MODE, &st))
		return hp_err_set(err, -HP_E_GONE, "process %d (%s) is exiting", (int)t->pid, t->comm);
	if (!(st.stx_mode & S_ISUID) && (st.stx_mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP))
		return 0;
	return hp_err_set(err, -HP_E_TARGET,
			  "process %d (%s) runs a set-user-id or set-group-id program: how to start it is "
			  "the word of whoever did, and is not repeated with the rights that it got",
			  (int)t->pid, t->comm);
}

static int read_creds(const struct hp_target *t, struct hp_creds *ret, struct hp_err *err)
{
	struct hp_creds c;
	int r = refuse_set_id(t, err);

	if (r < 0 || (r = hp_creds_read(&c, t->pid, err)) < 0)
		return r;
	r = refuse_set_id(t, err);
	if (r == 0)
		r = hp_target_check(t, err);
	if (r < 0)
		hp_creds_free(&c);
	else
		*ret = c;
	return r;
}

int hp_identity_take(struct hp_identity *ret, pid_t pid, struct hp_err *err)
{
	struct hp_identity id;
	int r = hp_target_open(&id.t, pid, err);

	if (r < 0)
		return r;
	r = read_creds(id.t, &id.creds, err);
	if (r < 0)
		hp_target_free(id.t);
	else
		*ret = id;
	return r;
}

int hp_identity_confirm(const struct hp_identity *id, struct hp_err *err)
{
	struct hp_creds now;
	int r = read_creds(id->t, &now, err);

	if (r < 0)
		return r;
	if (!hp_creds_same(&id->creds, &now))
		r = hp_err_set(err, -HP_E_TARGET,
			       "process %d (%s) changed its rights while it was looked at: try again",
			       (int)id->t->pid, id->t->comm);
	hp_creds_free(&now);
	return r;
}

void hp_identity_free(struct hp_identity *id)
{
	hp_target_free(id->t);
	id->t = NULL;
	hp_creds_free(&id->creds);
}
