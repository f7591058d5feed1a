/* SPDX-License-Identifier: MIT */
#include "daemon/calls.h"

#include <bpf/bpf.h>
#include <stdio.h>

#include "base/fd.h"
#include "daemon/events.h"
#include "daemon/targets.h"
#include "watch/watch.h"

/* The names are read from the pinned map, as anybody else would: they are written by the job. */
static int open_names(const struct hp_subject *s)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/names", hp_view_dir(s->view));
	return bpf_obj_get(path);
}

json_t *hp_calls_event(const struct hp_subject *s)
{
	hp_autoclose int names = s->view ? open_names(s) : -1;
	const struct hp_inflight *counts;
	json_t *functions;

	if (names < 0)
		return NULL;
	counts = hp_view_inflight(s->view);
	functions = json_array();
	for (unsigned i = 0; i < HP_SLOT_FNS; i++) {
		struct hp_fn_name name;
		json_t *fn;

		if (bpf_map_lookup_elem(names, &i, &name) < 0 || !name.name[0])
			break;
		name.name[sizeof(name.name) - 1] = 0;
		fn = json_pack("{s:s,s:I,s:I}", "name", name.name, "in_flight",
			       (json_int_t)counts[i].in_flight, "calls",
			       (json_int_t)counts[i].calls);
		if (fn && json_array_append_new(functions, fn) < 0)
			break;
	}
	return hp_event_new("calls", s->pid, json_pack("{s:o}", "functions", functions));
}
