/* SPDX-License-Identifier: MIT */
#include "daemon/doc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/job_record.h"
#include "ipc/json.h"

int hp_doc_put(struct hp_buf *ret, json_t *own)
{
	char *text = own ? json_dumps(own, JSON_COMPACT) : NULL;
	int k = text ? hp_buf_add(ret, text, strlen(text)) : -ENOMEM;

	free(text);
	json_decref(own);
	return k;
}

int hp_doc_add(struct hp_buf *ret, const char *name, const char *value, size_t n)
{
	int k;

	if (!n || !ret->n) /* a value that was not made */
		return -ENOMEM;
	ret->n--; /* the brace */
	k = hp_buf_printf(ret, ",\"%s\":", name);
	if (k == 0)
		k = hp_buf_add(ret, value, n);
	return k == 0 ? hp_buf_add(ret, "}", 1) : k;
}

int hp_doc_answer(struct hp_buf *ret, const struct hp_job_said *said)
{
	const struct hp_job_head *h = said->head;
	int k = hp_doc_put(ret, h->code ? hp_json_error(h->code, h->text)
					: json_pack("{s:i}", "schema", 1));

	if (k == 0 && (said->n_doc || !h->code))
		k = hp_doc_add(ret, "result", said->doc, said->n_doc);
	return k;
}
