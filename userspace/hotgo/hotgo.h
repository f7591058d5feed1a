/* SPDX-License-Identifier: MIT */
/*
 * hotgo/hotgo.h – what hotgo's clients ask for and are told, whichever way they speak.
 *
 * This folder knows hotgo's and Go's formats: bytes in, requests out, and back.  It knows no
 * sockets, and nothing of how a request is carried out.
 */
#ifndef HP_HOTGO_HOTGO_H
#define HP_HOTGO_HOTGO_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "elf/patchinfo.h"

struct hp_err;

/* hotgo's Config.  The strings as hotgo/json.h has them. */
struct hp_hotgo_config {
	char *file; /* never NULL after decoding */
	struct hp_pairs replace, ref;
};
void hp_hotgo_config_clear(struct hp_hotgo_config *c);

/* One patch that is loaded. */
struct hp_hotgo_patch {
	const char *id;
	struct hp_hotgo_config config;
};

/* Bodies of HTTP requests.  -HP_E_BAD_REQUEST with Go's sentence, -ENOMEM; nothing is to be freed
 * then. */
int hp_hotgo_read_load(const char *body, size_t n, struct hp_hotgo_config *ret, struct hp_err *err);
int hp_hotgo_read_unload(const char *body, size_t n, char **ret_id, struct hp_err *err);

/* {"hp_id":…,"error":…} and a newline: the answer of load and of unload. */
int hp_hotgo_write_answer(struct hp_buf *out, const char *id, const char *error);
/* The answer of info: a list, or null. */
int hp_hotgo_write_info(struct hp_buf *out, const struct hp_hotgo_patch *v, size_t n);

/* What hotgo would say of the failure with the name @code ("no-file") and hp's sentence @text when
 * the client had asked for @file (NULL: an unload): where hotgo has no such failure, @text. */
void hp_hotgo_error(char *buf, size_t n, const char *code, const char *text, const char *file);

/* An id as hotgo takes it: whole, lower case. */
bool hp_hotgo_is_id(const char *id);

#endif
