/* SPDX-License-Identifier: MIT */
/* daemon/json_out.h – the structures of patch/ops.h as JSON.  Addresses are hex strings, points in
 * time RFC 3339, spans integers with the unit in the name.  NULL: no memory. */
#ifndef HP_DAEMON_JSON_OUT_H
#define HP_DAEMON_JSON_OUT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/job_record.h"
#include "patch/ops.h"
#include "restart/restart.h"

json_t *hp_json_time(uint64_t wall_ns);
json_t *hp_json_load_result(pid_t pid, const struct hp_load_result *r);
json_t *hp_json_unload_result(pid_t pid, const struct hp_unload_result *r);
json_t *hp_json_patches(const struct hp_patch_list *l);
/* Those that only another version of hp knows. */
json_t *hp_json_unknown_ledgers(const struct hp_patch_list *l);
json_t *hp_json_restart_result(const struct hp_restart_result *r);
json_t *hp_json_restart_drained(const struct hp_restart_drained *d);
/* [{"function","addr","found","mended"}] */
json_t *hp_json_guard(const struct hp_fact_site *sites, size_t n);
json_t *hp_json_explain(pid_t pid, const struct hp_explain *e);

#endif
