/* SPDX-License-Identifier: MIT */
/* base/defaults.h – what hpd and hpctl must agree on. */
#ifndef HP_BASE_DEFAULTS_H
#define HP_BASE_DEFAULTS_H

#define HP_VERSION	  "0.1.0"
#define HP_DEFAULT_SOCKET "/run/hp/hpd.sock"
#define HP_DEFAULT_STATE  "/var/lib/hp"

#endif
