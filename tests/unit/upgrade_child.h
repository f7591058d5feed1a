/* SPDX-License-Identifier: MIT */
/*
 * The new process of the tests: the test's own program, started again by an upgrade.  $UPGRADE_CHILD
 * says what it does; what it has to say goes to the file "state", and it ends when "exit" does.
 */
#ifndef TESTS_UNIT_UPGRADE_CHILD_H
#define TESTS_UNIT_UPGRADE_CHILD_H

#include <dirent.h>
#include <sys/wait.h>

#include "upgrade_rig.h"

static int child_state = -1, child_exit = -1;

static inline void child_say(const char *text)
{
	if (write(child_state, text, strlen(text)) < 0)
		_exit(9);
}

static inline void child_say_fds(void)
{
	DIR *d = opendir("/proc/self/fd");

	for (struct dirent *e; (e = readdir(d));) {
		if (*e->d_name == '.' || atoi(e->d_name) == dirfd(d))
			continue;
		child_say(e->d_name);
		child_say(" ");
	}
	closedir(d);
}

static inline void child_say_status(const char *what)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");

	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, what, strlen(what)))
			child_say(line);
	fclose(f);
}

static inline void child_say_result(int k)
{
	char text[HP_ERR_TEXT_MAX + 32];

	snprintf(text, sizeof(text), "%d %s", k, k ? err.text : "");
	child_say(text);
}

/* A program that knows of systemd and not of hp. */
static inline int child_of_systemd(void)
{
	char text[512];

	if (atoi(getenv("LISTEN_PID")) != getpid())
		return 7;
	snprintf(text, sizeof(text), "%s %s", getenv("LISTEN_FDS"), getenv("LISTEN_FDNAMES"));
	child_state = 3 + atoi(getenv("LISTEN_FDS")); /* where the test puts it */
	child_say(text);
	return 0;
}

static inline void child_serve(struct hp_upgrade *u, const char *what)
{
	char pid[32];

	if (!strcmp(what, "pid")) {
		snprintf(pid, sizeof(pid), "%d", (int)getpid());
		child_say(pid);
	} else if (!strcmp(what, "fds")) {
		child_say_fds();
	} else if (!strcmp(what, "mask")) {
		child_say_status("SigBlk");
		child_say_status("SigIgn");
	} else if (!strcmp(what, "wait")) {
		child_say("r");
		child_say_result(hp_upgrade_wait_for_parent(u, -1, &err));
	} else if (!strcmp(what, "upgrade")) {
		child_say_result(hp_upgrade_now(u, &err));
	}
}

static inline int child_main(void)
{
	const char *what = getenv("UPGRADE_CHILD");
	struct hp_upgrade *u;
	char byte;

	if (!strcmp(what, "systemd"))
		return child_of_systemd();
	if (!strcmp(what, "exit"))
		return 0;
	if (!strcmp(what, "fail"))
		return 3;
	if (!strcmp(what, "crash"))
		raise(SIGKILL);
	if (!strcmp(what, "hang"))
		pause();
	if (hp_upgrade_open(&u, NULL, &err) < 0 || !hp_upgrade_has_parent(u))
		return 8;
	child_state = hp_upgrade_file(u, "state", &err);
	child_exit = hp_upgrade_file(u, "exit", &err);
	if (hp_upgrade_ready(u, &err) < 0)
		return 9;
	child_serve(u, what);
	hp_upgrade_stop(u); /* it has "state" as well, for a process after it */
	close(child_state);
	(void)!read(child_exit, &byte, 1); /* its end */
	hp_upgrade_free(u);
	return 0;
}

/* --- the test's side ------------------------------------------------------------------------------ */

struct child {
	int state, exit;
};

/* What the child has to say goes to a pipe; it lives until child_done(). */
static inline void child_pipes(struct hp_upgrade *u, struct child *c)
{
	int s[2], e[2];

	assert_int_equal(pipe2(s, O_CLOEXEC), 0);
	assert_int_equal(pipe2(e, O_CLOEXEC), 0);
	assert_int_equal(hp_upgrade_add_file(u, "state", s[1], &err), 0);
	assert_int_equal(hp_upgrade_add_file(u, "exit", e[0], &err), 0);
	close(s[1]);
	close(e[0]);
	c->state = s[0];
	c->exit = e[1];
}

/* All that it says until it closes its end. */
static inline const char *child_said(struct child *c)
{
	static char text[2048];
	size_t n = 0;
	ssize_t k;

	while (is_readable(c->state, PATIENCE_MS) &&
	       (k = read(c->state, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)k;
	text[n] = 0;
	return text;
}

static inline void child_done(struct hp_upgrade *u, struct child *c)
{
	close(c->state);
	close(c->exit);
	if (u->successor >= 0)
		close(u->successor);
	while (wait(NULL) > 0)
		;
	hp_upgrade_free_in(u);
}

/* A ready handle whose child will do @what. */
static inline struct hp_upgrade *before(const char *what, unsigned timeout_ms, struct child *c)
{
	struct hp_upgrade_options o = {.size = sizeof(o), .timeout_ms = timeout_ms};
	struct hp_upgrade *u = opened(&o);

	setenv("UPGRADE_CHILD", what, 1);
	child_pipes(u, c);
	assert_int_equal(hp_upgrade_ready(u, &err), 0);
	return u;
}

#endif
