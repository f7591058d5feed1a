/* SPDX-License-Identifier: MIT */
/*
 * daemon/doc.h – JSON as text: what the monitor says itself, with what jobs said put into it unread.
 *
 * All return 0 or -ENOMEM; @ret is grown, and after an error of no use.
 */
#ifndef HP_DAEMON_DOC_H
#define HP_DAEMON_DOC_H

#include <jansson.h>
#include <stddef.h>

#include "base/buf.h"

struct hp_job_said;

/* The text of @own, which is taken; NULL: no memory. */
int hp_doc_put(struct hp_buf *ret, json_t *own);
/* One more member of the object, which has one already, that @ret ends with; its value is the text
 * @value. */
int hp_doc_add(struct hp_buf *ret, const char *name, const char *value, size_t n);
/* {"schema":1,"result":…} or {"schema":1,"error":…}, or both. */
int hp_doc_answer(struct hp_buf *ret, const struct hp_job_said *said);

#endif
