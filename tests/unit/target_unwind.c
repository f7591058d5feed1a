/* SPDX-License-Identifier: MIT */
/*
 * Readers that lie about stacks: the walk ends, the fault is told in words, and nothing is read, kept or
 * waited for beyond its bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "hp/err.h"
#include "reader_liar.h"
#include "target/module.h"
#include "target/unwind_priv.h"
#include "../services/tied.h"

#define KERNEL 0xffffffff81000000ull

static pid_t pid;
static struct hp_target *t;

static int set_up(void **state)
{
	pid = tied_fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	return hp_target_open(&t, pid, NULL);
}

static int tear_down(void **state)
{
	hp_target_free(t);
	kill(pid, SIGKILL);
	return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

/* --- what is said --------------------------------------------------------------------------------- */

static void put(struct reader_answer *h, void *record, enum walk_kind kind, uint32_t flags, hp_addr pc)
{
	struct walk_record *r = record;

	r[h->n++] = (struct walk_record){.kind = kind, .flags = flags, .pc = pc, .sp = pc};
}

static void of_no_kind(unsigned turn, struct reader_answer *h, void *r)
{
	put(h, r, (enum walk_kind)9, 0, 0);
}

static void pause_in_the_middle(unsigned turn, struct reader_answer *h, void *r)
{
	h->rc = 1;
	put(h, r, WALK_NEED, 0, 0);
	put(h, r, WALK_FRAME, 0, 0);
}

static void pause_at_the_end(unsigned turn, struct reader_answer *h, void *r)
{
	put(h, r, WALK_NEED, 0, 0);
}

static void end_in_the_middle(unsigned turn, struct reader_answer *h, void *r)
{
	put(h, r, WALK_DONE, HP_WALK_END, 0);
	put(h, r, WALK_FRAME, 0, 0);
}

static void end_that_goes_on(unsigned turn, struct reader_answer *h, void *r)
{
	h->rc = 1;
	put(h, r, WALK_DONE, HP_WALK_END, 0);
}

static void end_of_no_kind(unsigned turn, struct reader_answer *h, void *r)
{
	put(h, r, WALK_DONE, 77, 0);
}

/* It is the asker's to say that. */
static void end_by_the_asker(unsigned turn, struct reader_answer *h, void *r)
{
	put(h, r, WALK_DONE, HP_WALK_STOPPED, 0);
}

static void no_end(unsigned turn, struct reader_answer *h, void *r)
{
	put(h, r, WALK_FRAME, 0, 0);
}

static void nothing(unsigned turn, struct reader_answer *h, void *r)
{
}

static void a_batch_too_many(unsigned turn, struct reader_answer *h, void *r)
{
	for (unsigned i = 0; i < HP_WALK_BATCH + 2; i++)
		put(h, r, WALK_FRAME, 0, 0);
}

static void another_state(unsigned turn, struct reader_answer *h, void *r)
{
	h->rc = 2;
}

static void text(unsigned turn, struct reader_answer *h, void *r)
{
	h->n_text = 1;
}

static void endless_stack(unsigned turn, struct reader_answer *h, void *r)
{
	h->rc = 1;
	put(h, r, WALK_NEED, 0, turn * 8);
}

static void endless_frames(unsigned turn, struct reader_answer *h, void *r)
{
	h->rc = 1;
	for (unsigned i = 0; i < HP_WALK_BATCH; i++)
		put(h, r, WALK_FRAME, 0, i);
	put(h, r, WALK_MORE, 0, 0);
}

static void death(unsigned turn, struct reader_answer *h, void *r)
{
	_exit(3);
}

static void silence(unsigned turn, struct reader_answer *h, void *r)
{
	for (;;)
		pause();
}

/* The symbols that are asked for then are told as frames. */
static void frame_without_cfi(unsigned turn, struct reader_answer *h, void *r)
{
	if (turn == 0) {
		put(h, r, WALK_FRAME, WALK_NO_CFI, t->module[0].span.lo + 0x1000);
		put(h, r, WALK_DONE, HP_WALK_END, 0);
	} else {
		memset(r, 0xff, LIAR_BYTES / 2);
		h->n = 100;
	}
}

static const struct lie {
	const char *name;
	liar_fn say;
	const char *says;
} lies[] = {
	{"kind", of_no_kind, "a record of no kind"},
	{"pause in the middle", pause_in_the_middle, "a pause in the middle"},
	{"pause at the end", pause_at_the_end, "a pause in the middle"},
	{"end in the middle", end_in_the_middle, "an end in the middle"},
	{"end that goes on", end_that_goes_on, "an end in the middle"},
	{"end of no kind", end_of_no_kind, "an end in the middle"},
	{"end by the asker", end_by_the_asker, "an end in the middle"},
	{"no end", no_end, "frames without an end"},
	{"nothing", nothing, "frames without an end"},
	{"count", a_batch_too_many, "66 records"},
	{"state", another_state, "a state of 2"},
	{"text", text, "1 bytes of text"},
	{"endless stack", endless_stack, "an endless stack"},
	{"endless frames", endless_frames, "too many frames"},
	{"death", death, "ended (status 3) over its stack frames"},
	{"silence", silence, "said nothing of its stack frames"},
	{"symbols", frame_without_cfi, "of its symbols what cannot be"},
};

static int count(void *arg, const struct hp_frame *f)
{
	struct user_regs_struct regs;

	hp_frame_regs(f, &regs);
	++*(size_t *)arg;
	return 0;
}

static enum hp_walk walk(liar_fn say, size_t *frames, struct hp_err *err)
{
	struct user_regs_struct regs = {.rsp = KERNEL};
	struct hp_unwind *u;
	enum hp_walk result;

	*frames = 0;
	assert_int_equal(hp_unwind_open(&u, t, NULL), 0);
	liar_put(t->reader, 0, say);
	if (say == silence)
		t->reader->silence_ns = 300 * HP_MS;
	result = hp_unwind_walk(u, &regs, count, frames);
	err->code = hp_unwind_check(u, err);
	hp_unwind_free(u);
	return result;
}

static void finds_lies_out(void **state)
{
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct hp_err err = {.text = ""};
		size_t frames;

		assert_int_equal(set_up(NULL), 0);
		if (walk(lies[i].say, &frames, &err) != HP_WALK_BROKEN || err.code != -HP_E_READER ||
		    !strstr(err.text, lies[i].says))
			fail_msg("%s: %d, \"%s\"", lies[i].name, err.code, err.text);
		assert_int_equal(hp_reader_pid(t->reader), 0);
		assert_int_equal(tear_down(NULL), 0);
	}
}

/* What it may lie about: where a thread stands.  It is told nothing but this target's memory for it. */
static void need_of_anything(unsigned turn, struct reader_answer *h, void *r)
{
	static const hp_addr where[] = {KERNEL, 0, ~0ull - 7, 0x7ffffffff000ull};

	h->rc = turn < 4;
	if (turn < 4)
		put(h, r, WALK_NEED, 0, where[turn]);
	else
		put(h, r, WALK_DONE, HP_WALK_END, 0);
}

static void frames_anywhere(unsigned turn, struct reader_answer *h, void *r)
{
	put(h, r, WALK_FRAME, WALK_ACTIVATION, ~0ull);
	put(h, r, WALK_FRAME, 0, KERNEL);
	put(h, r, WALK_FRAME, ~0u & ~WALK_NO_CFI, 0);
	put(h, r, WALK_DONE, HP_WALK_END, 0);
}

static void bears_what_it_cannot_know(void **state)
{
	struct hp_err err = {.text = ""};
	size_t frames;

	assert_int_equal(walk(need_of_anything, &frames, &err), HP_WALK_END);
	assert_int_equal(err.code, 0);
	assert_int_equal(frames, 0);
	assert_int_equal(walk(frames_anywhere, &frames, &err), HP_WALK_END);
	assert_int_equal(err.code, 0);
	assert_int_equal(frames, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_lies_out),
		cmocka_unit_test_setup_teardown(bears_what_it_cannot_know, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
