/* SPDX-License-Identifier: MIT */
/*
 * hp/upgrade.h – for services that replace themselves and drop nothing.
 *
 *	cc service.c $(pkg-config --cflags --libs hp-upgrade)
 *
 * An upgrade starts the program on disk again, with the sockets of this process.  When the new
 * process says that it is ready, this one is told to exit: it stops accepting, finishes what it has
 * begun, and ends.  A new process that crashes, exits or takes too long changes nothing.
 *
 *	hp_upgrade_open(&u, NULL, &err);
 *	hp_upgrade_signals(u, &err);			SIGHUP upgrades, SIGTERM and SIGINT stop
 *	fd = hp_upgrade_listen(u, "tcp", ":8080", &err);	inherited, or made
 *	…						load, warm up, start threads that accept
 *	hp_upgrade_ready(u, &err);			now the old process may go
 *	while (hp_upgrade_wait(u, &err) < 0)
 *		…					an upgrade failed; err.text says why
 *	hp_upgrade_drain(u, 30000, &err);		what is under way ends
 *
 * Functions return 0 (or what they say) or a negated errno, with a sentence in @err, which may be
 * NULL.  All but hp_upgrade_open() and hp_upgrade_free() may be called by any thread at any time.
 * No thread is made, nothing is printed.  See hp-upgrade(3).
 */
#ifndef HP_UPGRADE_H
#define HP_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>

#include "hp/err.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hp_upgrade;

#define HP_UPGRADE_TIMEOUT_MS 60000

struct hp_upgrade_options {
	size_t size;	      /* sizeof(struct hp_upgrade_options) */
	unsigned timeout_ms;  /* for the new process to become ready; 0: HP_UPGRADE_TIMEOUT_MS */
	const char *pid_file; /* of the ready process; NULL: none */
	bool generations;     /* upgrade again while the process before this one still drains */
	/* Called for every socket that hp_upgrade_listen() makes, before bind(2), for its options.  A
	 * negative errno refuses.  It must not call functions of this header with the same handle.
	 * May be NULL. */
	int (*prepare)(void *arg, int fd, const char *network, const char *address);
	void *arg;
};

/* What is handed over has a name: its kind, its network and its address. */
enum hp_upgrade_kind {
	HP_UPGRADE_LISTENER,
	HP_UPGRADE_PACKET,
	HP_UPGRADE_CONN,
	HP_UPGRADE_FILE, /* the network is its name, the address "" */
};

/* Takes what the parent process (or systemd) hands over, out of the environment: call it before
 * threads are made.  @o may be NULL.  A process has one: -EEXIST. */
int hp_upgrade_open(struct hp_upgrade **ret, const struct hp_upgrade_options *o,
		    struct hp_err *err);
/* The last call; after it another may be opened.  Ends an upgrade that is under way, and leaves
 * sockets in the file system alone (hp_upgrade_stop() does not). */
void hp_upgrade_free(struct hp_upgrade *u);

/* --- descriptors ----------------------------------------------------------------------------------
 * Each is the caller's own duplicate, to close when it likes, close-on-exec.  Flags such as
 * O_NONBLOCK belong to the socket, and so to both processes. */

/* The inherited socket, or a new one, bound (and listening), which the next process inherits.
 * Networks: tcp, tcp4, tcp6, unix, unixpacket; for packets udp, udp4, udp6, unixgram.  Addresses:
 * "host:port", ":port", "[::1]:port", a path, "@abstract".  With port 0 it is always a new one,
 * under the port that it got: hp_upgrade_address(). */
int hp_upgrade_listen(struct hp_upgrade *u, const char *network, const char *address,
		      struct hp_err *err);
int hp_upgrade_listen_packet(struct hp_upgrade *u, const char *network, const char *address,
			     struct hp_err *err);
/* The same for any network: @make returns a new descriptor, which is taken, or a negated errno.  It
 * must not call functions of this header with the same @u. */
int hp_upgrade_listen_with(struct hp_upgrade *u, enum hp_upgrade_kind kind, const char *network,
			   const char *address,
			   int (*make)(void *arg, const char *network, const char *address),
			   void *arg, struct hp_err *err);

/* The inherited one of that name; -ENOENT when there is none. */
int hp_upgrade_inherited(struct hp_upgrade *u, enum hp_upgrade_kind kind, const char *network,
			 const char *address, struct hp_err *err);
/* @fd is duplicated; another of that name is replaced. */
int hp_upgrade_add(struct hp_upgrade *u, enum hp_upgrade_kind kind, const char *network,
		   const char *address, int fd, struct hp_err *err);

/* The same for HP_UPGRADE_FILE.  What systemd hands over and hp_upgrade_listen() has not taken is a
 * file too, under its FileDescriptorName=. */
int hp_upgrade_file(struct hp_upgrade *u, const char *name, struct hp_err *err);
int hp_upgrade_add_file(struct hp_upgrade *u, const char *name, int fd, struct hp_err *err);
/* All inherited files that nobody has taken yet; the descriptors are @each's. */
int hp_upgrade_files(struct hp_upgrade *u, void (*each)(void *arg, const char *name, int fd),
		     void *arg, struct hp_err *err);

/* The address to which a socket is bound, as the functions above write it. */
#define HP_UPGRADE_ADDRESS_MAX 128
int hp_upgrade_address(int fd, char *ret, size_t size, struct hp_err *err);

/* --- the new process ------------------------------------------------------------------------------ */

/* This process serves.  Inherited descriptors that nobody took are closed, and their sockets in the
 * file system removed; the pid file is written; then the parent is told, or systemd.  A second call
 * does nothing, unless the first failed. */
int hp_upgrade_ready(struct hp_upgrade *u, struct hp_err *err);

/* True: this process was started by an upgrade. */
bool hp_upgrade_has_parent(const struct hp_upgrade *u);
/* Until the parent has exited; at once without one.  @timeout_ms -1: for ever; else -ETIMEDOUT. */
int hp_upgrade_wait_for_parent(struct hp_upgrade *u, int timeout_ms, struct hp_err *err);

/* --- the old process ------------------------------------------------------------------------------ */

/* Upgrades.  0: the new process serves, this one is to exit.  Else a negated errno:
 *	-ECANCELED	terminating
 *	-EALREADY	already upgraded
 *	-EINPROGRESS	upgrade in progress
 *	-EAGAIN		process is not ready yet
 *	-EBUSY		parent hasn't exited
 *	-ECHILD		child pid=N exited
 *	-ETIMEDOUT	new child pid=N timed out
 *	others		can't start child: … */
int hp_upgrade_now(struct hp_upgrade *u, struct hp_err *err);

/* For event loops: begins an upgrade, whose end comes by hp_upgrade_process(). */
int hp_upgrade_begin(struct hp_upgrade *u, struct hp_err *err);
/* Readable when hp_upgrade_process() has something to do, and for ever once it is time to exit. */
int hp_upgrade_fd(const struct hp_upgrade *u);
/* Never waits.  1: it is time to exit.  0: go on.  Negative: an upgrade failed; go on. */
int hp_upgrade_process(struct hp_upgrade *u, struct hp_err *err);
/* The same for a thread with nothing else to do.  0: it is time to exit.  Negative: an upgrade
 * failed; call it again. */
int hp_upgrade_wait(struct hp_upgrade *u, struct hp_err *err);
/* Readable for ever once it is time to exit: after an upgrade, or a stop.  Only to be waited on. */
int hp_upgrade_exit_fd(const struct hp_upgrade *u);

/* From now on hp_upgrade_process() and hp_upgrade_wait() upgrade at SIGHUP and stop at SIGTERM and
 * SIGINT.  Blocks the three in this thread: call it before others are made. */
int hp_upgrade_signals(struct hp_upgrade *u, struct hp_err *err);

/* It is time to exit, and no upgrade will be.  One that is under way is ended.  Sockets in the file
 * system are removed, unless a new process has them. */
void hp_upgrade_stop(struct hp_upgrade *u);

/* --- what is under way ---------------------------------------------------------------------------- */

/* Around each piece of work that is to be finished: a request, a message of a queue, a task. */
void hp_upgrade_enter(struct hp_upgrade *u);
void hp_upgrade_leave(struct hp_upgrade *u);
/* hp_upgrade_drain() calls the hooks, the last added first: they stop whatever takes new work. */
int hp_upgrade_on_drain(struct hp_upgrade *u, void (*hook)(void *arg), void *arg,
			struct hp_err *err);
/* Calls the hooks, then waits until all work is left.  -ETIMEDOUT; -1: for ever. */
int hp_upgrade_drain(struct hp_upgrade *u, int timeout_ms, struct hp_err *err);

#ifdef __cplusplus
}
#endif

#endif
