/* SPDX-License-Identifier: MIT */
/*
 * What a front that was taken over says to the monitor: pieces of
 *
 *	KIND [OFFSET LENGTH BYTES…]	KIND: the size of the packet, and how many descriptors; each
 *					triple writes into the packet before, 0 ends it
 *
 * so that the packets have the right sizes mostly, and everything in them may be wrong.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "hp/err.h"
#include "ipc/intake.h"

struct input {
	const uint8_t *p;
	size_t n;
};

static unsigned byte(struct input *i)
{
	if (!i->n)
		return 0;
	i->n--;
	return *i->p++;
}

static void fill(struct input *i, char *packet, size_t size)
{
	for (;;) {
		size_t off = byte(i), len;

		off |= (size_t)byte(i) << 8;
		len = byte(i);
		if (!len)
			return;
		for (size_t k = 0; k < len; k++) {
			char c = (char)byte(i);

			if (off + k < size)
				packet[off + k] = c;
		}
	}
}

/* What came through must hold whatever the rest of the monitor takes for granted. */
static void check(const struct hp_intake *in)
{
	const struct hp_job_request *r = &in->req;

	if (in->rec.ask == HP_ASK_JOB) {
		if (r->pid < 0 || r->sel.n_pids > 65536 || r->load.replace.n > 1024 ||
		    r->n_fns > 1024 || (r->load.file && strlen(r->load.file) >= HP_RECORD_PATH) ||
		    (!in->rec.listener && r->load.file && *r->load.file != '/'))
			abort();
		for (size_t i = 0; i < r->sel.n_pids; i++)
			if (r->sel.pids[i] <= 0)
				abort();
	}
	if (!memchr(in->rec.file, 0, sizeof(in->rec.file)) ||
	    !memchr(in->rec.token, 0, sizeof(in->rec.token)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static struct {
		uint64_t align;
		char room[sizeof(struct hp_record) + 1];
	} packet;
	struct hp_intake in = {0};
	struct input input = {bytes, n};
	struct hp_err err;
	int k = 0;

	memset(&packet, 0, sizeof(packet));
	while (input.n && k >= 0) {
		unsigned kind = byte(&input);
		size_t size = kind & 4   ? kind
			      : kind & 2 ? sizeof(struct hp_item)
					 : sizeof(struct hp_record);

		fill(&input, packet.room, sizeof(packet.room));
		k = hp_intake_take(&in, packet.room, size, kind & 1, &err);
		if (k == 1) {
			check(&in);
			hp_job_request_free(&in.req);
		}
	}
	hp_intake_free(&in);
	return 0;
}
