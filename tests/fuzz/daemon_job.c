/* SPDX-License-Identifier: MIT */
/* What a job says to the monitor: a byte for the kind of the job, then the packet. */
#include <stdlib.h>
#include <string.h>

#include "daemon/job_record.h"
#include "fuzz.h"
#include "hp/err.h"

/* What came through must hold whatever the rest of the monitor takes for granted. */
static void check(const struct hp_job_said *s, const struct hp_buf *b, size_t size)
{
	const uint32_t *n = s->head->n;

	if (size > b->n || s->doc + s->n_doc != b->v + size ||
	    !memchr(s->head->text, 0, sizeof(s->head->text)))
		abort();
	for (uint32_t i = 0; i < n[HP_FACT_PATCH]; i++)
		if (s->patch[i].pid <= 0 || s->patch[i].state >= HP_STATES)
			abort();
	for (uint32_t i = 0; i < n[HP_FACT_SITE]; i++)
		if (s->site[i].pid <= 0 || !memchr(s->site[i].fn, 0, sizeof(s->site[i].fn)))
			abort();
	for (uint32_t i = 0; i < n[HP_FACT_PID]; i++)
		if (s->pid[i] <= 0)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct hp_buf b = {0};
	struct hp_job_said said;
	struct hp_err err;
	size_t size;

	if (!n || hp_buf_add(&b, bytes + 1, n - 1) < 0)
		return 0;
	while (hp_job_hear(&b, (enum hp_job_kind)(bytes[0] % HP_JOB_KINDS), &said, &size,
			   &err) == 1) {
		check(&said, &b, size);
		hp_buf_drop(&b, size);
	}
	hp_buf_free(&b);
	return 0;
}
