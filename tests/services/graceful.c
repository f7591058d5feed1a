/* SPDX-License-Identifier: MIT */
/*
 * graceful ADDRESS [PIDFILE] – an HTTP service that restarts itself and drops nothing; the example
 * of hp-upgrade(3).
 *
 *	cc -o graceful graceful.c $(pkg-config --cflags --libs hp-upgrade)
 *
 * SIGHUP starts the program on disk in its place, SIGTERM ends it.  Both let requests under way end.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <hp/upgrade.h>

#ifndef VERSION
#define VERSION 1
#endif
#define DRAIN_MS 60000
#define STEPS	 20

static struct hp_upgrade *u;
static int listener;

__attribute__((noreturn)) static void die(const char *what, const struct hp_err *err)
{
	fprintf(stderr, "graceful: %s: %s\n", what, err->text);
	exit(1);
}

static int put(int c, const char *text)
{
	size_t n = strlen(text);

	return send(c, text, n, MSG_NOSIGNAL) == (ssize_t)n ? 0 : -1;
}

/* @steps lines, each but a single one after a second's work. */
static void answer(int c, int steps)
{
	char text[128];
	int k;

	snprintf(text, sizeof(text),
		 "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", steps * 40);
	k = put(c, text);
	for (int i = 1; i <= steps && k == 0; i++) {
		sleep(steps > 1);
		snprintf(text, sizeof(text), "step %2d, version %2d, process %10d\n", i, VERSION,
			 (int)getpid());
		k = put(c, text);
	}
}

static void finish(int c)
{
	close(c);
	hp_upgrade_leave(u);
}

static void *serve(void *arg)
{
	int c = (int)(intptr_t)arg;
	char request[4096] = "";
	ssize_t n = 0, k = 1;

	while (k > 0 && !strstr(request, "\r\n\r\n")) {
		k = recv(c, request + n, sizeof(request) - 1 - (size_t)n, 0);
		n += k > 0 ? k : 0;
		request[n] = 0;
	}
	if (k > 0)
		answer(c, strncmp(request, "GET /slow ", 10) ? 1 : STEPS);
	finish(c);
	return NULL;
}

static void *accept_all(void *arg)
{
	struct pollfd p[2] = {{listener, POLLIN, 0}, {hp_upgrade_exit_fd(u), POLLIN, 0}};
	pthread_t t;

	while (!p[1].revents) {
		int c = accept(listener, NULL, NULL);

		if (c < 0) { /* the other process was faster, or there is nothing yet */
			poll(p, 2, -1);
			continue;
		}
		hp_upgrade_enter(u);
		if (pthread_create(&t, NULL, serve, (void *)(intptr_t)c) == 0)
			pthread_detach(t);
		else
			finish(c);
	}
	return NULL;
}

static void stop_accepting(void *arg)
{
	pthread_join(*(pthread_t *)arg, NULL);
}

int main(int argc, char **argv)
{
	struct hp_upgrade_options o = {.size = sizeof(o), .generations = true};
	struct hp_err err = {0};
	pthread_t acceptor;

	if (argc < 2)
		return 2;
	o.pid_file = argv[2];
	if (hp_upgrade_open(&u, &o, &err) < 0 || hp_upgrade_signals(u, &err) < 0)
		die("start", &err);
	listener = hp_upgrade_listen(u, *argv[1] == '/' ? "unix" : "tcp", argv[1], &err);
	if (listener < 0)
		die("listen", &err);
	fcntl(listener, F_SETFL, O_NONBLOCK);

	/* Here the new process loads and warms up what it needs: the old one still serves. */
	if (pthread_create(&acceptor, NULL, accept_all, NULL) ||
	    hp_upgrade_on_drain(u, stop_accepting, &acceptor, &err) < 0 ||
	    hp_upgrade_ready(u, &err) < 0)
		die("ready", &err);

	while (hp_upgrade_wait(u, &err) < 0)
		fprintf(stderr, "graceful: upgrade failed: %s\n", err.text);

	if (hp_upgrade_drain(u, DRAIN_MS, &err) < 0)
		die("drain", &err);
	hp_upgrade_free(u);
	return 0;
}
