/* SPDX-License-Identifier: MIT */
/*
 * What a client sends: the first byte says in pieces of what size, the rest is HTTP.  The body of
 * each request is then read as every kind of operation that has one.
 */
#include <stdlib.h>
#include <string.h>

#include "front/http.h"
#include "front/json_in.h"
#include "fuzz.h"
#include "hp/err.h"

static void read_body(const struct hp_http *h)
{
	static const enum hp_job_kind kinds[] = {HP_JOB_LOAD, HP_JOB_CHECK, HP_JOB_UNLOAD,
						 HP_JOB_EXPLAIN};
	struct hp_job_request req;
	struct hp_err err;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		err.text[0] = 0;
		if (hp_json_request(&req, kinds[i], h->body.v, h->body.n, &err) == 0)
			hp_job_request_free(&req);
		else if (!err.text[0])
			abort(); /* a refusal says why */
	}
}

static void read_request(const struct hp_http *h)
{
	struct hp_err err;
	char value[32];
	pid_t pid;

	if (h->url_n >= HP_HTTP_URL_MAX || h->body.n > HP_HTTP_BODY_MAX || !h->path || !h->query)
		abort();
	if (hp_http_query(h, "pid", value, sizeof(value)) &&
	    hp_json_pid(value, &pid, &err) == 0 && pid <= 0)
		abort();
	read_body(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	size_t piece = n && bytes[0] ? bytes[0] : 1;
	struct hp_http h;

	hp_http_init(&h);
	for (size_t at = 1; at < n && h.state != HP_HTTP_BAD;) {
		size_t k = n - at < piece ? n - at : piece;
		size_t taken = hp_http_feed(&h, (const char *)bytes + at, k);

		if (taken > k || (h.state == HP_HTTP_MORE && taken != k))
			abort();
		at += taken;
		if (h.state != HP_HTTP_REQUEST)
			continue;
		read_request(&h);
		hp_http_next(&h);
	}
	if (h.state == HP_HTTP_BAD && (!h.text[0] || h.status < 400))
		abort();
	hp_http_free(&h);
	return 0;
}
