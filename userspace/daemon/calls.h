/* SPDX-License-Identifier: MIT */
/* daemon/calls.h – the counts of a target's functions, from its view. */
#ifndef HP_DAEMON_CALLS_H
#define HP_DAEMON_CALLS_H

#include <jansson.h>

struct hp_subject;

/* {"event":"calls","pid":…,"functions":[{"name","in_flight","calls"}]}; NULL: nothing to tell. */
json_t *hp_calls_event(const struct hp_subject *s);

#endif
