/* SPDX-License-Identifier: MIT */
/* daemon/serve_api.h – the requests behind hpctl serve. */
#ifndef HP_DAEMON_SERVE_API_H
#define HP_DAEMON_SERVE_API_H

struct hp_conn;

void hp_serve_post(struct hp_conn *c);
void hp_serve_post_end(struct hp_conn *c);
void hp_serve_get(struct hp_conn *c);

#endif
