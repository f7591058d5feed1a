/* SPDX-License-Identifier: MIT */
/* Operations that are played: a stand-in for the faces of watch/ and patch/. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "daemon_rig.h"
#include "hp/err.h"
#include "watch/watch.h"

struct stub *stub;

struct hp_view {
	pid_t pid;
};
static int stub_watch;

int hp_watch_open(struct hp_watch **ret, struct hp_err *err)
{
	if (!stub->bpf)
		return hp_err_set(err, -HP_E_DENIED, "played without BPF");
	*ret = (struct hp_watch *)&stub_watch;
	return 0;
}

void hp_watch_close(struct hp_watch *w)
{
}

void hp_watch_sweep(bool (*keep)(void *arg, pid_t pid), void *arg)
{
}

void hp_watch_spare(struct hp_watch *w)
{
	__atomic_add_fetch(&stub->spared, 1, __ATOMIC_SEQ_CST);
}

int hp_view_open(struct hp_view **ret, struct hp_watch *w, pid_t pid, struct hp_err *err)
{
	*ret = calloc(1, sizeof(**ret));
	(*ret)->pid = pid;
	stub->views_open++;
	return 0;
}

void hp_view_close(struct hp_view *v)
{
	stub->views_open -= v != NULL;
	free(v);
}

const char *hp_view_dir(const struct hp_view *v)
{
	return "/nonexistent";
}

const struct hp_inflight *hp_view_inflight(const struct hp_view *v)
{
	return NULL;
}

void hp_view_fork(const struct hp_view *v, bool too)
{
}

const struct hp_session_state *hp_view_state(const struct hp_view *v)
{
	return NULL;
}

static void stub_step(struct hp_ops *ops, const char *step)
{
	ops->report.step(ops->report.arg, step, 1000, "played");
}

/* "…/wait.so": until the FIFO "…/wait.so.go" is opened for writing and closed. */
static void stub_wait(const char *file)
{
	char path[256], c;
	int fd;

	snprintf(path, sizeof(path), "%s.go", file);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, &c, 1) < 0)
		_exit(9);
	close(fd);
}

static void stub_hold(void)
{
	for (int i = 0; i < PATIENCE_MS && __atomic_load_n(&stub->hold, __ATOMIC_SEQ_CST); i++)
		hp_pause_ns(HP_MS);
}

/* What no job says, and then nothing for ever. */
static _Noreturn void stub_forge(const struct hp_ops *ops)
{
	static const char junk[4096] = "{\"result\":{}}\n";
	const struct hp_job *job = ops->report.arg;

	(void)hp_write_all(job->sock, junk, sizeof(junk));
	for (;;)
		pause();
}

void hp_ops_end(struct hp_ops *ops)
{
}

int hp_op_load(struct hp_ops *ops, const struct hp_load_request *req, struct hp_load_result *ret,
	       struct hp_err *err)
{
	const char *name = strrchr(req->file, '/') + 1;
	int running = __atomic_add_fetch(&stub->running, 1, __ATOMIC_SEQ_CST);

	if (running > stub->most_running)
		stub->most_running = running;
	stub->last_load = *req;
	__atomic_add_fetch(&stub->loads, 1, __ATOMIC_SEQ_CST);
	stub_step(ops, "plan");
	if (!strcmp(name, "crash.so"))
		raise(SIGKILL);
	if (!strcmp(name, "forge.so"))
		stub_forge(ops);
	if (!strncmp(name, "wait", 4))
		stub_wait(req->file);
	/* "four.so": until four run, or it is plain that they will not. */
	for (int i = 0; !strcmp(name, "four.so") && i < PATIENCE_MS && stub->most_running < 4; i++)
		hp_pause_ns(HP_MS);
	stub_step(ops, "gate");
	__atomic_sub_fetch(&stub->running, 1, __ATOMIC_SEQ_CST);
	if (!strcmp(name, "refuse.so") || req->pid == stub->refuse)
		return hp_err_set(err, -HP_E_NO_SYMBOL, "no function 'f' in /bin/x");
	if (!strcmp(name, "busy.so"))
		return hp_err_set(err, -HP_E_NOT_QUIESCENT, "thread 7 is inside f");
	if (!strcmp(name, "partial.so"))
		return hp_err_set(err, -HP_E_PARTIAL, "half");
	*ret = (struct hp_load_result){
		.id = STUB_ID,
		.used = HP_QUIESCE_GATE,
		.tries = 1,
		.patches_left = (size_t)__atomic_add_fetch(&stub->patches, 1, __ATOMIC_SEQ_CST)};
	return 0;
}

static void stub_patch(struct hp_patch_list *l, pid_t pid, const char *state)
{
	struct hp_patch_info *p = HP_ARRAY_ADD(l);

	*p = (struct hp_patch_info){.id = STUB_ID, .pid = pid, .comm = "s\xff", .file = "/p.so"};
	snprintf(p->state, sizeof(p->state), "%s", state);
	p->n_sites = 1;
	p->site = calloc(1, sizeof(*p->site));
	*p->site = (struct hp_site_info){.new_name = "new",
					 .old_name = "old",
					 .module = "/bin/x",
					 .addr = 0x401000,
					 .size = 32,
					 .method = "pun",
					 .notes = strdup("one\ntwo\n"),
					 .old_calls = -1};
}

void hp_patch_list_free(struct hp_patch_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].site->notes);
		free(l->v[i].site);
	}
	free(l->v);
	*l = (struct hp_patch_list){0};
}

int hp_op_check(struct hp_ops *ops, const struct hp_load_request *req, struct hp_patch_list *ret,
		struct hp_err *err)
{
	stub->last_load = *req;
	stub_patch(ret, req->pid, "planned");
	return 0;
}

int hp_op_unload(struct hp_ops *ops, const struct hp_unload_request *req,
		 struct hp_unload_result *ret, struct hp_err *err)
{
	stub_step(ops, "gate");
	__atomic_add_fetch(&stub->unloads, 1, __ATOMIC_SEQ_CST);
	if (!stub->patches)
		return hp_err_set(err, -HP_E_NOT_LOADED, "patch %s not loaded", req->id);
	*ret = (struct hp_unload_result){
		.id = STUB_ID,
		.patches_left = (size_t)__atomic_sub_fetch(&stub->patches, 1, __ATOMIC_SEQ_CST)};
	return 0;
}

int hp_op_traces(const struct hp_selector *s, struct hp_pids *ret, struct hp_err *err)
{
	*ret = (struct hp_pids){0};
	return 0;
}

int hp_op_select(const struct hp_selector *s, const struct hp_load_request *load,
		 const char *prefix, struct hp_pids *ret, char id[HP_ID_LEN + 1],
		 struct hp_err *err)
{
	if (s->exe)
		return hp_err_set(err, -HP_E_GONE, "no process runs %s", s->exe);
	if (load || prefix)
		snprintf(id, HP_ID_LEN + 1, "%s", STUB_ID);
	for (size_t i = 0; i < s->n_pids; i++)
		*HP_ARRAY_ADD(ret) = s->pids[i];
	return 0;
}

int hp_op_list(struct hp_ops *ops, const struct hp_selector *s, struct hp_patch_list *ret,
	       struct hp_err *err)
{
	pid_t pid = s->n_pids ? s->pids[0] : 0;
	int listing;

	__atomic_add_fetch(&stub->lists, 1, __ATOMIC_SEQ_CST);
	listing = __atomic_add_fetch(&stub->listing, 1, __ATOMIC_SEQ_CST);
	if (listing > stub->most_listing)
		stub->most_listing = listing;
	if (!pid)
		stub_hold();
	__atomic_sub_fetch(&stub->listing, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; pid && i < stub->patches; i++)
		stub_patch(ret, pid, "active");
	return 0;
}

static void guard_one(pid_t pid, bool mended, struct hp_guard *ret)
{
	struct hp_guard_target t = {.pid = pid, .patches = !stub->execed && !stub->stale};

	t.outcome = pid == stub->lost	       ? HP_GUARD_LOST
		    : pid == stub->passed_over ? HP_GUARD_PASSED_OVER
					       : HP_GUARD_LOOKED;
	t.ns = pid == stub->slow ? 500 * HP_MS : 0;
	*HP_ARRAY_ADD(&ret->targets) = t;
	if (stub->wrong && t.outcome == HP_GUARD_LOOKED)
		*HP_ARRAY_ADD(&ret->sites) =
			(struct hp_guard_site){pid, "f", 0x401000, stub->wrong, mended};
}

int hp_op_guard_look(const struct hp_pids *pids, struct hp_guard *ret, struct hp_err *err)
{
	__atomic_add_fetch(&stub->guards, 1, __ATOMIC_SEQ_CST);
	stub->looked = pids->n;
	stub->first = pids->v[0];
	stub_hold();
	for (size_t i = 0; i < pids->n; i++)
		guard_one(pids->v[i], false, ret);
	return 0;
}

int hp_op_guard_mend(struct hp_ops *ops, pid_t pid, struct hp_guard *ret, struct hp_err *err)
{
	stub_hold();
	guard_one(pid, stub->mendable, ret);
	__atomic_add_fetch(&stub->mends, 1, __ATOMIC_SEQ_CST);
	if (stub->mendable && !stub->stubborn)
		stub->wrong = HP_GUARD_RIGHT;
	return 0;
}

void hp_guard_free(struct hp_guard *g)
{
	HP_ARRAY_FREE(&g->targets);
	HP_ARRAY_FREE(&g->sites);
}

const char *hp_guard_name(enum hp_guard_found f)
{
	return f == HP_GUARD_PROBE ? "probe" : f == HP_GUARD_ORIGINAL ? "original" : "other";
}

int hp_op_recover(struct hp_ops *ops, pid_t pid, char *did, size_t n, struct hp_err *err)
{
	__atomic_add_fetch(&stub->recovers, 1, __ATOMIC_SEQ_CST);
	snprintf(did, n, "nothing");
	return 0;
}

int hp_op_watch_calls(struct hp_ops *ops, pid_t pid, int stop_fd, struct hp_err *err)
{
	struct pollfd p = {.fd = stop_fd, .events = POLLIN};

	__atomic_add_fetch(&stub->watches, 1, __ATOMIC_SEQ_CST);
	if (!stub->patches)
		return hp_err_set(err, -HP_E_NOT_LOADED, "no patch in process %d", pid);
	stub_step(ops, "watch");
	poll(&p, 1, -1);
	return 0;
}

int hp_op_explain(struct hp_ops *ops, pid_t pid, const char *const *fns, size_t n_fns,
		  struct hp_explain *ret, struct hp_err *err)
{
	struct hp_explain_thread *t = HP_ARRAY_ADD(ret);

	*t = (struct hp_explain_thread){.tid = pid, .name = "main"};
	snprintf(t->fn, sizeof(t->fn), "%s", fns[n_fns - 1]);
	*HP_ARRAY_ADD(&t->stack) = (struct hp_stack_line){.pc = 0x401234, .text = "f (/bin/x)"};
	ret->threads = 3;
	return 0;
}

void hp_explain_free(struct hp_explain *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->v[i].stack.v);
	free(e->v);
}
