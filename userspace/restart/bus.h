/* SPDX-License-Identifier: MIT */
/* restart/bus.h – asking systemd's manager, by D-Bus. */
#ifndef HP_RESTART_BUS_H
#define HP_RESTART_BUS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

struct hp_err;

#define HP_BUS_MANAGER "/org/freedesktop/systemd1"

/* To be closed by sd_bus_flush_close_unref(). */
int hp_bus_open(sd_bus **ret, struct hp_err *err);

/* The object of the unit that @pid belongs to. */
int hp_bus_unit_of(sd_bus *bus, pid_t pid, char *path, size_t n, struct hp_err *err);
/* Has all unit files read again. */
int hp_bus_reload(sd_bus *bus, struct hp_err *err);

/* A property of @path; @interface is "Unit", "Service" or "Manager". */
int hp_bus_string(sd_bus *bus, const char *path, const char *interface, const char *name, char *buf,
		  size_t n, struct hp_err *err);
/* Of @type 'u', or 'i'. */
int hp_bus_number(sd_bus *bus, const char *path, const char *interface, const char *name, char type,
		  uint32_t *ret, struct hp_err *err);
/* An "as", to be given to hp_bus_strings_free(); NULL where there is none. */
int hp_bus_strings(sd_bus *bus, const char *path, const char *interface, const char *name,
		   char ***ret, struct hp_err *err);
void hp_bus_strings_free(char **v);
/* Of @type; the message is to be released by sd_bus_message_unref(). */
int hp_bus_message(sd_bus *bus, const char *path, const char *interface, const char *name,
		   const char *type, sd_bus_message **ret, struct hp_err *err);

#endif
