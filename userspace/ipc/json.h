/* SPDX-License-Identifier: MIT */
/* ipc/json.h – what front and monitor both say.  NULL: no memory. */
#ifndef HP_IPC_JSON_H
#define HP_IPC_JSON_H

#include <jansson.h>

/* {"schema":1,"error":…}, and what stands there: {"code","text","status"} */
json_t *hp_json_error(int code, const char *sentence);
json_t *hp_json_error_body(int code, const char *sentence);

/* Names come from other people's files and processes: what is not UTF-8 is shown by '?'. */
json_t *hp_json_text(const char *s);

#endif
