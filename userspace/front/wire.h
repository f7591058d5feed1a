/* SPDX-License-Identifier: MIT */
/*
 * front/wire.h – hotgo's requests, carried out: what its HTTP and its RPC have in common.
 *
 * Who speaks with the client gives a struct hp_wire_voice; one of its functions is called once for
 * every request, at once or later.
 */
#ifndef HP_FRONT_WIRE_H
#define HP_FRONT_WIRE_H

#include "front/conn.h"
#include "hotgo/hotgo.h"

struct hp_wire_voice {
	void (*loaded)(struct hp_conn *c, const char *id);
	void (*unloaded)(struct hp_conn *c, const char *error); /* "": it was */
	void (*listed)(struct hp_conn *c, const struct hp_hotgo_patch *v, size_t n);
	void (*failed)(struct hp_conn *c, const char *error); /* a load or a list */
};

extern const struct hp_wire_voice hp_wire_http_voice, hp_wire_rpc_voice;
/* For connections of a TCP entrance. */
extern const struct hp_face hp_wire_face;

/* What goes with an answer of the monitor's: the kind of the job, or that it was for CONNECT. */
#define HP_WIRE_ALLOW (-1)

/* hp_face.answer */
void hp_wire_told(struct hp_conn *c, const struct hp_tell_head *head, const char *text, size_t n);
/* May this client use the listener?  hp_wire_rpc_begin() if so. */
void hp_wire_allow(struct hp_conn *c);
/* @config is taken. */
void hp_wire_load(struct hp_conn *c, struct hp_hotgo_config *config);
void hp_wire_unload(struct hp_conn *c, const char *id);
void hp_wire_info(struct hp_conn *c);

/* The client is turned away. */
void hp_wire_http_denied(struct hp_conn *c, int status, const char *error);
/* Answers CONNECT, and speaks gob from then on. */
void hp_wire_rpc_begin(struct hp_conn *c);

#endif
