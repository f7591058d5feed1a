/* SPDX-License-Identifier: MIT */
#include "patch/calls.h"

#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "hp/err.h"
#include "patch/control.h"
#include "target/borrow.h"

static int call(struct hp_live *lv, struct hp_borrow *b, const char *what, hp_addr fn,
		const uint64_t *args, size_t n_args, enum hp_word word, uint64_t *value,
		struct hp_err *err)
{
	const struct hp_ledger_fixed *f = &lv->l->fixed;
	struct hp_range patch = {f->patch_lo, f->patch_hi};
	uint64_t since = hp_now_ns();
	int r = hp_borrow_call(b, fn, args, n_args, hp_word_stub(f, word), hp_word_addr(f, word),
			       lv->deadline_ns, patch, value, err);

	if (r < 0)
		return hp_err_prefix(err, r, "%s", what);
	hp_live_report(lv, "hook", since, what);
	return hp_fault(HP_FAULT_CALL_BACK, err);
}

static bool came_back(const struct hp_live *lv, unsigned word)
{
	uint64_t value;

	return hp_mem_read(lv->t, hp_word_addr(&lv->l->fixed, word), &value, sizeof(value), NULL) ==
		       0 &&
	       value != HP_WORD_UNSET;
}

/* The code runs with the thread borrowed once; its end comes in every case, and a failure of the end
 * is the graver one. */
static int end(struct hp_borrow *b, int r, struct hp_err *err)
{
	struct hp_err more;
	int e = hp_borrow_end(b, &more);

	return e < 0 ? hp_err_set(err, e, "%s", more.text) : r;
}

int hp_calls_init(struct hp_live *lv, const struct hp_plan *p, struct hp_err *err)
{
	const struct hp_ledger_fixed *f = &lv->l->fixed;
	struct hp_borrow *b;
	uint64_t value;
	int r;

	if (!f->n_frames && !p->n_init)
		return 0;
	if ((r = hp_borrow_begin(&b, lv->t, lv->looker, HP_BORROW_CALL, lv->deadline_ns, err)) < 0)
		return r;
	for (unsigned i = 0; i < f->n_frames && r >= 0; i++) {
		const uint64_t args[] = {f->frames[i],
					 f->data + HP_FRAME_OBJECT + i * HP_FRAME_OBJECT_SIZE};

		r = call(lv, b, "__register_frame_info", f->register_frame, args, 2,
			 HP_WORD_FRAMES + i, &value, err);
	}
	for (size_t i = 0; i < p->n_init && r >= 0; i++) {
		/* As ld.so calls them: argc, argv, envp; a patch has no command line. */
		const uint64_t args[] = {0, 0, 0};
		hp_addr fn;

		r = hp_mem_read(lv->t, p->bias + p->init[i], &fn, sizeof(fn), err);
		if (r >= 0)
			r = call(lv, b, "init_array", fn, args, 3, HP_WORD_HOOK, &value, err);
	}
	return end(b, r, err);
}

/* The first table from @i on that libgcc has; n_frames: none. */
static uint32_t next_frames(const struct hp_live *lv, uint32_t i)
{
	while (i < lv->l->fixed.n_frames && (!came_back(lv, HP_WORD_FRAMES + i) ||
					     came_back(lv, HP_WORD_FRAMES_GONE + i)))
		i++;
	return i;
}

int hp_calls_fini(struct hp_live *lv, bool initialised, struct hp_err *err)
{
	const struct hp_ledger_fixed *f = &lv->l->fixed;
	uint32_t n_fini = initialised ? f->n_fini : 0, first = 0, frames = next_frames(lv, 0);
	struct hp_borrow *b;
	uint64_t value;
	int r;

	while (first < n_fini && came_back(lv, HP_WORD_FINI + first))
		first++;
	if (first == n_fini && frames == f->n_frames)
		return 0;
	if ((r = hp_borrow_begin(&b, lv->t, lv->looker, HP_BORROW_CALL, lv->deadline_ns, err)) < 0)
		return r;
	for (uint32_t i = first; i < n_fini && r >= 0; i++)
		r = call(lv, b, "fini_array", f->fini[i], NULL, 0, HP_WORD_FINI + i, &value, err);
	for (; frames < f->n_frames && r >= 0; frames = next_frames(lv, frames + 1)) {
		const uint64_t args[] = {f->frames[frames]};

		r = call(lv, b, "__deregister_frame_info", f->deregister_frame, args, 1,
			 HP_WORD_FRAMES_GONE + frames, &value, err);
	}
	return end(b, r, err);
}

/* With what the hook wrote into the patch's HPError, as far as that can be shown. */
static int refused(const struct hp_live *lv, enum hp_hook hook, int value, struct hp_err *err)
{
	const struct hp_ledger_fixed *f = &lv->l->fixed;
	char text[256] = "";
	size_t n = f->hook_text_bytes;

	if (n > sizeof(text))
		n = sizeof(text);
	if (f->hook_text && hp_mem_read(lv->t, f->hook_text, text, n, NULL) < 0)
		text[0] = 0;
	text[sizeof(text) - 1] = 0;
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = ' ';
	return hp_err_set(err, -HP_E_HOOK, "%s returned %d%s%s", hp_hook_name(hook), value,
			  *text ? ": " : "", text);
}

int hp_calls_hook(struct hp_live *lv, enum hp_hook hook, struct hp_err *err)
{
	hp_addr fn = lv->l->fixed.hook[hook];
	struct hp_borrow *b;
	uint64_t value;
	int r;

	if (!fn)
		return 0;
	if ((r = hp_borrow_begin(&b, lv->t, lv->looker, HP_BORROW_CALL, lv->deadline_ns, err)) < 0)
		return hp_err_prefix(err, r, "%s", hp_hook_name(hook));
	r = call(lv, b, hp_hook_name(hook), fn, NULL, 0, HP_WORD_HOOK, &value, err);
	r = end(b, r, err);
	if (r == 0 && (int)value)
		return refused(lv, hook, (int)value, err);
	return r;
}
