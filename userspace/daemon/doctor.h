/* SPDX-License-Identifier: MIT */
/* daemon/doctor.h – what hp needs of this machine, what is there, and what each lack costs. */
#ifndef HP_DAEMON_DOCTOR_H
#define HP_DAEMON_DOCTOR_H

#include <jansson.h>

struct hp_daemon;

/* {"schema":1,"kernel":…,"machine":…,"checks":[{"name","ok","essential","found","cost"}]}; to be
 * called in a job, as it tries things out. */
json_t *hp_doctor(const struct hp_daemon *d);

#endif
