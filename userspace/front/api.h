/* SPDX-License-Identifier: MIT */
/* front/api.h – what can be asked on the control socket: the table of routes is in api.c. */
#ifndef HP_FRONT_API_H
#define HP_FRONT_API_H

#include "front/conn.h"

/* For connections of the control socket. */
extern const struct hp_face hp_api_face;

#endif
