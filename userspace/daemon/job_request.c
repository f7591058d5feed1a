/* SPDX-License-Identifier: MIT */
#include "daemon/job.h"

#include <stdlib.h>

void hp_job_request_free(struct hp_job_request *r)
{
	hp_pairs_free(&r->load.replace);
	hp_pairs_free(&r->load.ref);
	hp_pairs_free(&r->restart.set);
	free(r->fns);
	free(r->pids);
	json_decref(r->doc);
	*r = (struct hp_job_request){0};
}

bool hp_job_request_is_family(const struct hp_job_request *r)
{
	return r->sel.n_pids || r->sel.exe || r->sel.all;
}
