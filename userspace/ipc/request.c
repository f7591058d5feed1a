/* SPDX-License-Identifier: MIT */
#include "ipc/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

void hp_job_request_init(struct hp_job_request *r, enum hp_job_kind kind)
{
	*r = (struct hp_job_request){.kind = kind, .load.file_fd = -1};
	r->load.timeout_ns = r->unload.timeout_ns = HP_DEFAULT_TIMEOUT_NS;
	r->load.park_ns = r->unload.park_ns = HP_DEFAULT_PARK_NS;
	r->restart.ready_ns = HP_DEFAULT_READY_NS;
	r->restart.drain_ns = HP_DEFAULT_DRAIN_NS;
}

void hp_job_request_free(struct hp_job_request *r)
{
	hp_pairs_free(&r->load.replace);
	hp_pairs_free(&r->load.ref);
	hp_pairs_free(&r->restart.set);
	free(r->fns);
	free(r->pids);
	for (size_t i = 0; i < r->kept.n; i++)
		free(r->kept.v[i]);
	HP_ARRAY_FREE(&r->kept);
	*r = (struct hp_job_request){0};
}

int hp_job_request_keep(struct hp_job_request *r, const char *s, const char **to)
{
	char *copy = strdup(s), **room = copy ? HP_ARRAY_ADD(&r->kept) : NULL;

	if (!room) {
		free(copy);
		return -ENOMEM;
	}
	*room = copy;
	*to = copy;
	return 0;
}

void hp_job_request_settle(struct hp_job_request *r)
{
	r->load.pid = r->unload.pid = r->restart.pid = r->pid;
	r->sel.pids = r->pids;
	r->restart.argv = r->fns;
	r->restart.n_argv = r->n_fns;
}

static int copy_pairs(const struct hp_pairs *from, struct hp_pairs *to)
{
	int k = 0;

	*to = (struct hp_pairs){0};
	for (size_t i = 0; i < from->n && k == 0; i++)
		k = hp_pairs_add(to, from->v[i].key, from->v[i].value);
	return k;
}

int hp_job_request_for(const struct hp_job_request *from, pid_t pid, struct hp_job_request *ret)
{
	struct hp_job_request r;
	int k;

	hp_job_request_init(&r, from->kind);
	r.pid = pid;
	r.load = from->load;
	r.load.file_fd = -1;
	r.unload = from->unload;
	r.load.replace = r.load.ref = (struct hp_pairs){0};
	k = copy_pairs(&from->load.replace, &r.load.replace);
	if (k == 0)
		k = copy_pairs(&from->load.ref, &r.load.ref);
	if (k == 0 && from->load.file)
		k = hp_job_request_keep(&r, from->load.file, &r.load.file);
	if (k == 0 && from->load.id)
		k = hp_job_request_keep(&r, from->load.id, &r.load.id);
	if (k == 0 && from->unload.id)
		k = hp_job_request_keep(&r, from->unload.id, &r.unload.id);
	if (k < 0) {
		hp_job_request_free(&r);
		return -ENOMEM;
	}
	hp_job_request_settle(&r);
	*ret = r;
	return 0;
}

bool hp_job_request_is_family(const struct hp_job_request *r)
{
	return r->sel.n_pids || r->sel.exe || r->sel.all;
}
