/* SPDX-License-Identifier: MIT */
/*
 * restart/unit.h – the service of systemd whose main process is to be replaced.
 *
 * systemd is asked by D-Bus, and told by sd_notify(3) which process is the main one now.  It hears
 * that only from who is it, so hp speaks in the name of the old one, and only where NotifyAccess=
 * lets that one speak: where it does not, a drop-in in /run does, for the time of the restart.
 */
#ifndef HP_RESTART_UNIT_H
#define HP_RESTART_UNIT_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

struct hp_err;
struct hp_restart_request;
struct hp_spec;

struct hp_unit {
	char name[256]; /* "nginx.service"; "": there is none */
	char path[512]; /* its object on the bus */
	bool tells;	/* Type=notify: it says when it is ready */
	char user[64];	/* User=: "" is root */
	bool noroot;	/* SecureBits=: root is a user like others */
	char pidfile[256];
};

/* The service whose main process is @pid, a process with these @cgroups.  None for another process
 * of a service: systemd does not look at those.  Refuses a service to which systemd could not be
 * told a new main process. */
int hp_unit_read(struct hp_unit *ret, pid_t pid, const char *cgroups, struct hp_err *err);

/* Makes @to the main process, instead of @from; it is so when this returns.  Nothing is changed by
 * one that fails. */
int hp_unit_set_main(const struct hp_unit *u, pid_t from, pid_t to, struct hp_err *err);
/* Nobody but @main is left: the drop-in goes, unless another restart is using it. */
int hp_unit_settle(const struct hp_unit *u, pid_t main, struct hp_err *err);

/* Passes on what @who says by sd_notify(3), with the weight that it has from that one: of root systemd
 * takes any process as the main one. */
void hp_unit_pass_on(const struct ucred *who, const char *text);

/* restart/unit_exec.c: ExecStart= in @s, a unit's, with the environment that is there expanded. */
int hp_unit_command(struct hp_spec *s, struct hp_err *err);

/* restart/unit_around.c: what systemd gives the unit of @s, if it has one, where the command is the unit's or
 * the old process's word is not taken: variables that are not there yet, the working directory. */
int hp_unit_surroundings(struct hp_spec *s, const struct hp_restart_request *req, struct hp_err *err);

#endif
