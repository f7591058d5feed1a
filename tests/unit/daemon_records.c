/* SPDX-License-Identifier: MIT */
/* What jobs say to the monitor: read as said, and refused where it cannot be; the JSON goes by unread. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "daemon/doc.h"
#include "daemon/job_record.h"
#include "hp/err.h"
#include "rig/daemon_rig.h"

static struct {
	struct hp_job_head head;
	char rest[8192];
} packet;
static size_t length;
static struct hp_job_said said;

static int hear(enum hp_job_kind kind)
{
	struct hp_err err = {0};
	struct hp_buf b = {0};
	size_t n = 0;
	int k;

	assert_int_equal(hp_buf_add(&b, &packet, length), 0);
	k = hp_job_hear(&b, kind, &said, &n, &err);
	assert_true(k >= 0 || err.text[0]);
	assert_true(k != 1 || n <= length);
	hp_buf_free(&b);
	return k;
}

/* @n bytes of a fact behind the head. */
static void add(enum hp_fact which, const void *fact, size_t n)
{
	memcpy((char *)&packet + length, fact, n);
	length += n;
	packet.head.n[which]++;
}

static void make(enum hp_job_word word)
{
	memset(&packet, 0, sizeof(packet));
	length = sizeof(packet.head);
	packet.head.word = word;
}

static void make_answer(void)
{
	make(HP_WORD_ANSWER);
}

static void make_step(void)
{
	make(HP_WORD_STEP);
}

static void make_list(void)
{
	const struct hp_fact_patch patch = {.pid = 7, .state = HP_STATE_LOADING};
	const struct hp_fact_unknown unknown = {.pid = 8};

	make_answer();
	add(HP_FACT_PATCH, &patch, sizeof(patch));
	add(HP_FACT_UNKNOWN, &unknown, sizeof(unknown));
	add(HP_FACT_PID, &(int32_t){9}, sizeof(int32_t));
}

static void make_guard(void)
{
	const struct hp_fact_target target = {.pid = 7, .patches = 1};
	const struct hp_fact_site site = {.pid = 7, .found = HP_GUARD_PROBE, .mended = 1};

	make_answer();
	add(HP_FACT_TARGET, &target, sizeof(target));
	add(HP_FACT_SITE, &site, sizeof(site));
}

#define FIRST(type) ((type *)packet.rest)

#define REFUSED(make, kind, change)                                                                \
	do {                                                                                       \
		make();                                                                            \
		assert_int_equal(hear(kind), 1);                                                   \
		change;                                                                            \
		if (hear(kind) != -HP_E_FAILED)                                                    \
			fail_msg("taken: %s", #change);                                            \
	} while (0)

static void takes_what_was_said(void **state)
{
	struct hp_job_saying s = {.head = {.word = HP_WORD_ANSWER, .patches_left = 3}};
	struct hp_err err = {0};
	struct hp_buf b = {0};
	struct hp_fact_patch *patch;
	int sv[2], pids[] = {4, 5, 6};
	char piece[512];
	ssize_t got;
	size_t n = 0;

	for (size_t i = 0; i < 3; i++)
		*(int32_t *)hp_job_add_fact(&s, HP_FACT_PID) = pids[i];
	patch = hp_job_add_fact(&s, HP_FACT_PATCH);
	patch->pid = 4;
	patch->functions = 11;
	strcpy(patch->id, STUB_ID);
	s.doc = json_pack("{s:i}", "a", 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(hp_job_say(sv[0], &s), 0);
	assert_null(s.doc);
	close(sv[0]);
	/* Byte by byte as it may come: nothing is taken before its end. */
	while ((got = read(sv[1], piece, sizeof(piece))) > 0) {
		for (ssize_t i = 0; i < got; i++) {
			assert_int_equal(n, 0);
			assert_int_equal(hp_buf_add(&b, piece + i, 1), 0);
			assert_true(hp_job_hear(&b, HP_JOB_LIST, &said, &n, &err) >= 0);
		}
	}
	close(sv[1]);
	assert_int_equal(n, b.n);
	assert_int_equal(said.head->patches_left, 3);
	assert_int_equal(said.head->n[HP_FACT_PID], 3);
	assert_int_equal(said.pid[2], 6);
	assert_int_equal(said.patch->functions, 11);
	assert_string_equal(said.patch->id, STUB_ID);
	assert_int_equal(said.n_doc, strlen("{\"a\":1}"));
	assert_memory_equal(said.doc, "{\"a\":1}", said.n_doc);
	hp_buf_free(&b);
}

static void refuses_a_head_that_cannot_be(void **state)
{
	REFUSED(make_answer, HP_JOB_LOAD, packet.head.word = 0);
	REFUSED(make_answer, HP_JOB_LOAD, packet.head.word = HP_WORD_ANSWER + 1);
	REFUSED(make_answer, HP_JOB_LOAD, packet.head.code = 1);
	REFUSED(make_step, HP_JOB_LOAD, packet.head.code = -1);
	REFUSED(make_answer, HP_JOB_LOAD, packet.head.retained = 2);
	REFUSED(make_answer, HP_JOB_LOAD, packet.head.pad = 1);
	REFUSED(make_answer, HP_JOB_LOAD, memset(packet.head.id, 'a', sizeof(packet.head.id)));
	REFUSED(make_answer, HP_JOB_LOAD, memset(packet.head.step, 'a', sizeof(packet.head.step)));
	REFUSED(make_answer, HP_JOB_LOAD, memset(packet.head.text, 'a', sizeof(packet.head.text)));
	REFUSED(make_answer, HP_JOB_LOAD, packet.head.n_doc = 64u << 20);
	REFUSED(make_answer, HP_JOB_LOAD, packet.head.n_doc = ~0u);
	REFUSED(make_list, HP_JOB_LIST, packet.head.n[HP_FACT_PID] = ~0u);
	REFUSED(make_list, HP_JOB_LIST, packet.head.n[HP_FACT_UNKNOWN] = ~0u);
	/* Its end is to come. */
	make_list();
	packet.head.n[HP_FACT_PATCH]++;
	assert_int_equal(hear(HP_JOB_LIST), 0);
}

/* Every kind of job with every kind of fact, in an answer and in a step. */
static void facts_come_from_whom_they_may(void **state)
{
	static const unsigned may[HP_JOB_KINDS] = {
		[HP_JOB_LIST] = 1u << HP_FACT_PATCH | 1u << HP_FACT_UNKNOWN | 1u << HP_FACT_PID,
		[HP_JOB_SELECT] = 1u << HP_FACT_PID,
		[HP_JOB_GUARD] = 1u << HP_FACT_TARGET | 1u << HP_FACT_SITE,
	};
	static const int32_t fact[100] = {7};
	static const size_t size[HP_FACTS] = {
		[HP_FACT_PATCH] = sizeof(struct hp_fact_patch),
		[HP_FACT_UNKNOWN] = sizeof(struct hp_fact_unknown),
		[HP_FACT_TARGET] = sizeof(struct hp_fact_target),
		[HP_FACT_SITE] = sizeof(struct hp_fact_site),
		[HP_FACT_PID] = sizeof(int32_t),
	};

	for (enum hp_job_kind kind = 0; kind < HP_JOB_KINDS; kind++)
		for (enum hp_fact which = 0; which < HP_FACTS; which++) {
			make_answer();
			add(which, fact, size[which]);
			assert_int_equal(hear(kind),
					 may[kind] & (1u << which) ? 1 : -HP_E_FAILED);
			packet.head.word = HP_WORD_STEP;
			assert_int_equal(hear(kind), -HP_E_FAILED);
		}
}

static void refuses_facts_that_cannot_be(void **state)
{
#define PATCH FIRST(struct hp_fact_patch)
#define SITE  ((struct hp_fact_site *)(packet.rest + sizeof(struct hp_fact_target)))
#define UNKNOWN ((struct hp_fact_unknown *)(packet.rest + sizeof(struct hp_fact_patch)))
#define PID	((int32_t *)(packet.rest + sizeof(struct hp_fact_patch) + sizeof(struct hp_fact_unknown)))
	REFUSED(make_list, HP_JOB_LIST, PATCH->pid = 0);
	REFUSED(make_list, HP_JOB_LIST, PATCH->pid = -1);
	REFUSED(make_list, HP_JOB_LIST, PATCH->pid = (1 << 22) + 1);
	REFUSED(make_list, HP_JOB_LIST, PATCH->state = HP_STATES);
	REFUSED(make_list, HP_JOB_LIST, memset(PATCH->id, 'a', sizeof(PATCH->id)));
	REFUSED(make_list, HP_JOB_LIST, UNKNOWN->pid = 0);
	REFUSED(make_list, HP_JOB_LIST, memset(UNKNOWN->detail, 'a', sizeof(UNKNOWN->detail)));
	REFUSED(make_list, HP_JOB_LIST, *PID = 0);
	REFUSED(make_guard, HP_JOB_GUARD, FIRST(struct hp_fact_target)->pid = -7);
	REFUSED(make_guard, HP_JOB_GUARD, SITE->pid = 0);
	REFUSED(make_guard, HP_JOB_GUARD, SITE->found = HP_GUARD_FOUNDS);
	REFUSED(make_guard, HP_JOB_GUARD, SITE->mended = 2);
	REFUSED(make_guard, HP_JOB_GUARD, memset(SITE->fn, 'a', sizeof(SITE->fn)));
}

static void puts_texts_together(void **state)
{
	struct hp_job_head head = {.word = HP_WORD_ANSWER};
	const struct hp_job_said done = {.head = &head, .doc = "{\"x\":1}", .n_doc = 7};
	struct hp_buf b = {0};

	assert_int_equal(hp_doc_answer(&b, &done), 0);
	assert_int_equal(hp_buf_add(&b, "", 1), 0);
	assert_string_equal(b.v, "{\"schema\":1,\"result\":{\"x\":1}}");
	hp_buf_free(&b);
	head.code = -HP_E_PARTIAL;
	strcpy(head.text, "half \xff\"");
	assert_int_equal(hp_doc_answer(&b, &done), 0);
	assert_int_equal(hp_buf_add(&b, "", 1), 0);
	assert_string_equal(b.v, "{\"schema\":1,\"error\":{\"code\":\"partial\",\"text\":\"half ?\\\"\","
				 "\"status\":6},\"result\":{\"x\":1}}");
	hp_buf_free(&b);
}

/* One that says what cannot be is killed, what it did is put right, and hpd goes on. */
static void a_job_that_lies_is_killed(void **state)
{
	char path[160], body[512];
	int fd;

	snprintf(path, sizeof(path), "%s/forge.so", rig.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	snprintf(body, sizeof(body), "{\"pid\":%d,\"file\":\"%s\"}", rig.target, path);
	rig_expect(rig_ask("POST", "/hp/v2/load", "", body), 500, "died by SIGKILL");
	snprintf(body, sizeof(body), "{\"pid\":%d}", rig.target);
	rig_expect(rig_ask("POST", "/hp/v2/list", "", body), 200, "\"patches\":[]");
	assert_int_equal(stub->recovers, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_was_said),
		cmocka_unit_test(refuses_a_head_that_cannot_be),
		cmocka_unit_test(facts_come_from_whom_they_may),
		cmocka_unit_test(refuses_facts_that_cannot_be),
		cmocka_unit_test(puts_texts_together),
		cmocka_unit_test_setup_teardown(a_job_that_lies_is_killed, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
