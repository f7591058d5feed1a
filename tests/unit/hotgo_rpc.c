/* SPDX-License-Identifier: MIT */
/* Gob and net/rpc: the recorded session byte for byte, other clients' types, and lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hotgo/gob.h"
#include "hotgo/rpc.h"

#define GOLDEN "tests/golden/hotgo/"
#define ID     "2ecdc9f8d0c8a27073a814c11cfb95db53f3bcf0ab0a290610f37bdf9888e9e0"

static struct hp_buf golden(const char *name)
{
	struct hp_buf b = {0};
	char path[128], piece[512];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), GOLDEN "%s", name);
	f = fopen(path, "re");
	assert_non_null(f);
	while ((n = fread(piece, 1, sizeof(piece), f)))
		assert_int_equal(hp_buf_add(&b, piece, n), 0);
	fclose(f);
	return b;
}

/* What hotgo was when it was recorded: one patch, loaded and listed. */
struct played {
	struct hp_hotgo_patch patch;
	bool loaded;
};

static void play_load(struct played *p, struct hp_rpc *r, struct hp_rpc_call *c, struct hp_buf *out)
{
	if (p->loaded) {
		assert_int_equal(hp_rpc_fail(r, out, "patch " ID " already loaded"), 0);
		return;
	}
	p->loaded = true;
	p->patch = (struct hp_hotgo_patch){ID, c->config};
	c->config = (struct hp_hotgo_config){0};
	assert_int_equal(hp_rpc_loaded(r, out, ID), 0);
}

static void play_unload(struct played *p, struct hp_rpc *r, struct hp_rpc_call *c,
			struct hp_buf *out)
{
	char text[256] = "";

	if (p->loaded && !strcmp(c->id, ID))
		p->loaded = false;
	else
		snprintf(text, sizeof(text), "patch %s not loaded", c->id);
	assert_int_equal(hp_rpc_unloaded(r, out, text), 0);
}

static void play(struct played *p, struct hp_rpc *r, struct hp_rpc_call *c, struct hp_buf *out)
{
	if (*c->refused)
		assert_int_equal(hp_rpc_fail(r, out, c->refused), 0);
	else if (c->method == HP_RPC_LOAD)
		play_load(p, r, c, out);
	else if (c->method == HP_RPC_UNLOAD)
		play_unload(p, r, c, out);
	else
		assert_int_equal(hp_rpc_info(r, out, &p->patch, p->loaded), 0);
}

/* Feeds @n bytes in pieces of @piece. */
static int feed(struct played *p, struct hp_rpc *r, const char *data, size_t n, size_t piece,
		struct hp_buf *out)
{
	struct hp_rpc_call *c;
	size_t from = 0, to = 0, used;
	int k = 0;

	while (to < n && k >= 0) {
		to = to + piece < n ? to + piece : n;
		while ((k = hp_rpc_take(r, data + from, to - from, &used, &c)) == 1) {
			from += used;
			play(p, r, c, out);
		}
		from += used;
	}
	return k;
}

static void answers_as_recorded(void **state)
{
	struct hp_buf client = golden("rpc_client.bin"), server = golden("rpc_server.bin");
	size_t request = strlen("CONNECT /hp HTTP/1.0\n\n"), head = strlen(HP_RPC_CONNECTED);
	static const size_t pieces[] = {1, 2, 7, 1000};

	assert_memory_equal(server.v, HP_RPC_CONNECTED, head);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct played p = {0};
		struct hp_buf out = {0};
		struct hp_rpc *r;

		assert_int_equal(hp_rpc_new(&r), 0);
		assert_int_equal(feed(&p, r, client.v + request, client.n - request, pieces[i], &out),
				 0);
		assert_int_equal(out.n, server.n - head);
		assert_memory_equal(out.v, server.v + head, out.n);
		hp_hotgo_config_clear(&p.patch.config);
		hp_buf_free(&out);
		hp_rpc_free(r);
	}
	hp_buf_free(&client);
	hp_buf_free(&server);
}

/* Bytes cut short, and one byte changed to each value, at every place. */
static void survives_lies(void **state)
{
	struct hp_buf client = golden("rpc_client.bin");
	size_t request = strlen("CONNECT /hp HTTP/1.0\n\n"), n = client.n - request;
	char *bytes = client.v + request;

	for (size_t i = 0; i < n; i++) {
		char was = bytes[i];

		for (unsigned v = 0; v < 256; v += 5) {
			struct played p = {0};
			struct hp_buf out = {0};
			struct hp_rpc *r;

			bytes[i] = (char)v;
			assert_int_equal(hp_rpc_new(&r), 0);
			(void)feed(&p, r, bytes, v ? n : i, 1000, &out);
			hp_hotgo_config_clear(&p.patch.config);
			hp_buf_free(&out);
			hp_rpc_free(r);
		}
		bytes[i] = was;
	}
	hp_buf_free(&client);
}

static void numbers(void **state)
{
	static const uint64_t u[] = {0, 1, 127, 128, 255, 256, 65535, 1u << 31, UINT64_MAX};
	static const int64_t s[] = {0, 1, -1, 63, 64, -64, -65, 1000000, INT64_MIN, INT64_MAX};

	for (size_t i = 0; i < sizeof(u) / sizeof(u[0]); i++) {
		struct hp_buf b = {0};
		struct hp_gob_in in;
		uint64_t back;

		assert_int_equal(hp_gob_put_uint(&b, u[i]), 0);
		in = (struct hp_gob_in){(uint8_t *)b.v, (uint8_t *)b.v + b.n};
		assert_true(hp_gob_uint(&in, &back));
		assert_true(back == u[i] && in.at == in.end);
		hp_buf_free(&b);
	}
	for (size_t i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
		struct hp_buf b = {0};
		struct hp_gob_in in;
		int64_t back;

		assert_int_equal(hp_gob_put_int(&b, s[i]), 0);
		in = (struct hp_gob_in){(uint8_t *)b.v, (uint8_t *)b.v + b.n};
		assert_true(hp_gob_int(&in, &back));
		assert_true(back == s[i] && in.at == in.end);
		hp_buf_free(&b);
	}
}

/* A header for @method, with the definition of Request before it. */
static struct hp_buf header(const char *method)
{
	static const char request[] = "\x2f\xff\x81\x03\x01\x01\x07Request\x01\xff\x82\x00\x01\x02"
				      "\x01\x0dServiceMethod\x01\x0c\x00\x01\x03Seq\x01\x06\x00\x00\x00";
	struct hp_buf b = {0}, item = {0};

	assert_int_equal(hp_buf_add(&b, request, sizeof(request) - 1), 0);
	assert_int_equal(hp_gob_put_int(&item, 65), 0);
	assert_int_equal(hp_buf_add(&item, "\x01", 1), 0);
	assert_int_equal(hp_gob_put_string(&item, method, strlen(method)), 0);
	assert_int_equal(hp_buf_add(&item, "\x01\x07\x00", 3), 0);
	assert_int_equal(hp_gob_put_message(&b, &item), 0);
	hp_buf_free(&item);
	return b;
}

static void refuses(const char *method, const char *argument, size_t n, const char *why)
{
	struct hp_buf b = header(method);
	struct hp_rpc_call *c;
	struct hp_rpc *r;
	size_t used;

	assert_int_equal(hp_buf_add(&b, argument, n), 0);
	assert_int_equal(hp_rpc_new(&r), 0);
	assert_int_equal(hp_rpc_take(r, b.v, b.n, &used, &c), 1);
	assert_int_equal(used, b.n);
	assert_string_equal(c->refused, why);
	hp_rpc_free(r);
	hp_buf_free(&b);
}

#define ARG(bytes) bytes, sizeof(bytes) - 1

static void refuses_calls_by_gos_sentences(void **state)
{
	refuses("Nope", ARG("\x02\x0c\x00"),
		"rpc: service/method request ill-formed: Nope");
	refuses("Other.LoadHP", ARG("\x02\x0c\x00"), "rpc: can't find service Other.LoadHP");
	refuses("HPRpcService.X", ARG("\x02\x0c\x00"), "rpc: can't find method HPRpcService.X");
	/* A number where the struct should be. */
	refuses("HPRpcService.LoadHP", ARG("\x03\x04\x00\x02"),
		"gob: type mismatch in decoder: want struct type hotgo.Config; got non-struct");
	/* {HPFile int} */
	refuses("HPRpcService.LoadHP",
		ARG("\x1f\xff\x83\x03\x01\x01\x06" "Config\x01\xff\x84\x00\x01\x01\x01\x06HPFile\x01\x04"
		    "\x00\x00\x00\x05\xff\x84\x01\x02\x00"),
		"gob: wrong type (string) for received field Config.HPFile");
}

/* A client's own struct: a member more, of a type that refers to itself, and the members in another
 * order. */
static void skips_what_it_does_not_know(void **state)
{
	static const char args[] =
		/* 66 = struct {Tree 67; HPID string}, 67 = struct {Next []67 (68)} */
		"\x1f\xff\x83\x03\x01\x02\xff\x84\x00\x01\x02\x01\x04Tree\x01\xff\x86\x00\x01\x04HPID"
		"\x01\x0c\x00\x00\x00"
		"\x16\xff\x85\x03\x01\x02\xff\x86\x00\x01\x01\x01\x04Next\x01\xff\x88\x00\x00\x00"
		"\x0d\xff\x87\x02\x01\x02\xff\x88\x00\x01\xff\x86\x00\x00"
		/* {Tree: {Next: [{}, {Next: [{}]}]}, HPID: "zz"} */
		"\x10\xff\x84\x01\x01\x02\x00\x01\x01\x00\x00\x00\x01\x02zz\x00";
	struct hp_buf b = header("HPRpcService.UnloadHP");
	struct hp_rpc_call *c;
	struct hp_rpc *r;
	size_t used;
	int k;

	assert_int_equal(hp_buf_add(&b, args, sizeof(args) - 1), 0);
	assert_int_equal(hp_rpc_new(&r), 0);
	k = hp_rpc_take(r, b.v, b.n, &used, &c);
	assert_int_equal(k, 1);
	assert_string_equal(c->refused, "");
	assert_string_equal(c->id, "zz");
	hp_rpc_free(r);
	hp_buf_free(&b);
}

static void closes_on_malformed(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} table[] = {
		{ARG("\xfb\x7f\xff\xff\xff\xff")}, /* a length of 2 GB */
		{ARG("\x90")},			   /* a length of 112 bytes */
		{ARG("\x00")},			   /* an empty message */
		{ARG("\x02\x0c\x00")},		   /* a string for a header */
		{ARG("\x03\xff\x82\x00")},	   /* of a type that nobody defined */
		{ARG("\x02\x0b\x00")},		   /* defines a type of the language */
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct hp_rpc_call *c;
		struct hp_rpc *r;
		size_t used;

		assert_int_equal(hp_rpc_new(&r), 0);
		assert_true(hp_rpc_take(r, table[i].bytes, table[i].n, &used, &c) < 0);
		hp_rpc_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_as_recorded),
		cmocka_unit_test(survives_lies),
		cmocka_unit_test(numbers),
		cmocka_unit_test(refuses_calls_by_gos_sentences),
		cmocka_unit_test(skips_what_it_does_not_know),
		cmocka_unit_test(closes_on_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
