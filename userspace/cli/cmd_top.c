/* SPDX-License-Identifier: MIT */
/*
 * Three conversations with hpd at once: its status, asked for every second; the events; and, while
 * somebody looks at a process, the counts of its calls.  The last one is hung up to end the counting.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/top.h"
#include "cli/values.h"
#include "hp/err.h"

struct conversation {
	int fd; /* -1: none */
	bool asked;
	struct hp_call call;
	struct hp_answer answer;
	json_t *body;
	char path[64];
};

struct top {
	const struct hp_cli *cli;
	struct hp_top model;
	struct conversation status, events, counts;
	uint64_t next_ns; /* when the status is asked for again */
};

static volatile sig_atomic_t told_to_end;

static void on_signal(int sig)
{
	told_to_end = 1;
}

static void on_event(void *arg, const json_t *line)
{
	/* What patches there are the status tells. */
	if (strcmp(hp_get_text(line, "event"), "patches"))
		hp_top_take_event(arg, line);
}

static void on_counts(void *arg, const json_t *line)
{
	/* The same stream carries what else happens to the process: the other one tells that. */
	if (!strcmp(hp_get_text(line, "event"), "calls"))
		hp_top_take_counts(arg, line);
}

/* --- conversations ------------------------------------------------------------------------------- */

static void hang_up(struct conversation *c)
{
	if (c->asked)
		hp_answer_free(&c->answer);
	hp_close(&c->fd);
	json_decref(c->body);
	c->body = NULL;
	c->asked = false;
}

static int ask(const struct hp_cli *cli, struct conversation *c, struct hp_err *err)
{
	int k = c->fd < 0 ? hp_connect(&c->fd, cli, err) : 0;

	if (k < 0)
		return k;
	c->call.path = c->path;
	c->call.body = c->body;
	k = hp_answer_begin(&c->answer, c->fd, &c->call);
	if (k < 0)
		return hp_err_set(err, -HP_E_UNREACHABLE, "hpd went away: %s", strerror(-k));
	c->asked = true;
	return 0;
}

/* 1: the answer is there, in c->answer.answer. */
static int listen_to(struct conversation *c, struct hp_err *err)
{
	int k = hp_answer_read(&c->answer, c->fd);

	if (k < 0)
		return hp_err_set(err, -HP_E_UNREACHABLE, "hpd went away: %s", strerror(-k));
	return c->answer.done;
}

static int ask_status(struct top *t, struct hp_err *err)
{
	struct conversation *c = &t->status;

	t->next_ns = hp_now_ns() + HP_S;
	if (c->asked)
		return 0; /* it takes long */
	snprintf(c->path, sizeof(c->path),
		 t->model.only ? "/hp/v2/status?pid=%d" : "/hp/v2/status", t->model.only);
	c->call = (struct hp_call){.method = "GET"};
	return ask(t->cli, c, err);
}

static int take_status(struct top *t, struct hp_err *err)
{
	struct conversation *c = &t->status;
	int k = listen_to(c, err);

	if (k <= 0)
		return k;
	k = hp_wire_error(c->answer.answer, err);
	if (k == 0)
		hp_top_take_status(&t->model, c->answer.answer);
	hp_answer_free(&c->answer);
	c->asked = false;
	hp_top_measure(&t->model);
	return k;
}

static int ask_events(struct top *t, struct hp_err *err)
{
	struct conversation *c = &t->events;

	snprintf(c->path, sizeof(c->path),
		 t->model.only ? "/hp/v2/events?pid=%d" : "/hp/v2/events", t->model.only);
	c->call = (struct hp_call){
		.method = "GET", .stream = true, .line = on_event, .arg = &t->model};
	return ask(t->cli, c, err);
}

static int take_events(struct top *t, struct hp_err *err)
{
	int k = listen_to(&t->events, err);

	return k == 1 ? hp_err_set(err, -HP_E_UNREACHABLE, "hpd ends") : k;
}

static void look_at(struct top *t, pid_t pid)
{
	struct conversation *c = &t->counts;
	struct hp_err err;

	hang_up(c);
	hp_top_look(&t->model, pid);
	if (!pid)
		return;
	snprintf(c->path, sizeof(c->path), "/hp/v2/watch");
	c->body = json_pack("{s:i}", "pid", (int)pid);
	c->call = (struct hp_call){
		.method = "POST", .stream = true, .line = on_counts, .arg = &t->model};
	if (ask(t->cli, c, &err) < 0) {
		snprintf(t->model.look_error, sizeof(t->model.look_error), "%.200s", err.text);
		hang_up(c);
	}
}

/* It ends by itself when there is nothing to be counted. */
static void take_counts(struct top *t)
{
	struct conversation *c = &t->counts;
	struct hp_err err;
	int k = listen_to(c, &err);

	if (k == 0)
		return;
	if (k == 1 && hp_wire_error(c->answer.answer, &err) == 0)
		(void)hp_err_set(&err, -HP_E_FAILED, "nobody counts any more");
	snprintf(t->model.look_error, sizeof(t->model.look_error), "%.200s", err.text);
	hang_up(c);
}

/* --- the loop ------------------------------------------------------------------------------------ */

/* True: the end. */
static bool take_keys(struct top *t)
{
	enum hp_key key;

	while ((key = hp_screen_key()) != HP_KEY_NONE) {
		pid_t before = t->model.selected;

		if (key == HP_KEY_QUIT)
			return true;
		if (key == HP_KEY_UP || key == HP_KEY_DOWN)
			hp_top_select(&t->model, key == HP_KEY_UP ? -1 : 1);
		if (key == HP_KEY_LOOK)
			look_at(t, t->model.looked ? 0 : t->model.selected);
		else if (t->model.looked && t->model.selected != before)
			look_at(t, 0);
	}
	return false;
}

static int wait_ms(const struct top *t)
{
	uint64_t now = hp_now_ns();

	return t->next_ns > now ? (int)((t->next_ns - now) / HP_MS) + 1 : 0;
}

static int turn(struct top *t, const sigset_t *open, struct hp_err *err)
{
	struct pollfd p[] = {{.fd = STDIN_FILENO, .events = POLLIN},
			     {.fd = t->status.asked ? t->status.fd : -1, .events = POLLIN},
			     {.fd = t->events.fd, .events = POLLIN},
			     {.fd = t->counts.fd, .events = POLLIN}};
	int ms = wait_ms(t), k = 0;
	struct timespec wait = {ms / 1000, ms % 1000 * 1000000L};

	/* A signal is taken here only, so that none comes between looking and waiting. */
	if (ppoll(p, 4, &wait, open) < 0 && errno != EINTR)
		return hp_err_sys(err, errno, "ppoll");
	if (p[0].revents & (POLLHUP | POLLERR))
		told_to_end = 1; /* the terminal is gone */
	if (p[1].revents)
		k = take_status(t, err);
	if (k == 0 && p[2].revents)
		k = take_events(t, err);
	if (p[3].revents)
		take_counts(t);
	if (k == 0 && hp_now_ns() >= t->next_ns)
		k = ask_status(t, err);
	return k;
}

/* SIGWINCH is ncurses' own. */
static void catch_signals(sigset_t *open)
{
	static const int end[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	const struct sigaction sa = {.sa_handler = on_signal};
	sigset_t closed;

	sigemptyset(&closed);
	for (size_t i = 0; i < sizeof(end) / sizeof(end[0]); i++) {
		sigaction(end[i], &sa, NULL);
		sigaddset(&closed, end[i]);
	}
	sigaddset(&closed, SIGWINCH);
	sigprocmask(SIG_BLOCK, &closed, open);
	for (size_t i = 0; i < sizeof(end) / sizeof(end[0]); i++)
		sigdelset(open, end[i]);
	sigdelset(open, SIGWINCH);
}

static int run(struct top *t, struct hp_err *err)
{
	sigset_t open;
	int k = ask_status(t, err);

	if (k == 0)
		k = ask_events(t, err);
	if (k < 0)
		return k;
	if (!hp_screen_open())
		return hp_err_set(err, -HP_E_FAILED, "this terminal cannot be drawn on (TERM)");
	catch_signals(&open);
	while (k == 0 && !told_to_end && !take_keys(t)) {
		hp_screen_draw(&t->model);
		k = turn(t, &open, err);
	}
	hp_screen_close();
	return k;
}

int hp_cmd_top(struct hp_cli *cli, const struct hp_args *args)
{
	static struct top t; /* the events make it big */
	struct hp_err err;
	int k;

	if (!hp_value_pid(cli, args, false, &t.model.only))
		return HP_EXIT_USAGE;
	if (hp_args_words(args))
		return hp_cli_usage(cli, "takes no argument: '%s'", hp_args_word(args, 0));
	if (cli->json || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return hp_cli_usage(cli, "needs a terminal; for programs there is hpctl watch --json");
	t.cli = cli;
	t.status.fd = t.events.fd = t.counts.fd = -1;
	t.model.cpu = t.model.cpu_before = -1;
	k = run(&t, &err);
	hang_up(&t.status);
	hang_up(&t.events);
	hang_up(&t.counts);
	hp_top_free(&t.model);
	return k < 0 ? hp_tell_error(cli, &err) : HP_EXIT_DONE;
}
