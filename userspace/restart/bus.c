/* SPDX-License-Identifier: MIT */
#include "restart/bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hp/err.h"

#define SYSTEMD	   "org.freedesktop.systemd1"
#define MANAGER	   SYSTEMD ".Manager"
#define TIMEOUT_US (30 * 1000000ull)

int hp_bus_open(sd_bus **ret, struct hp_err *err)
{
	sd_bus *bus = NULL;
	int r = sd_bus_open_system(&bus);

	if (r >= 0)
		r = sd_bus_set_method_call_timeout(bus, TIMEOUT_US);
	if (r < 0) {
		sd_bus_unref(bus);
		return hp_err_set(err, -HP_E_FAILED, "systemd cannot be asked: the system bus: %s",
				  strerror(-r));
	}
	*ret = bus;
	return 0;
}

/* Frees @e. */
static int failed(int r, sd_bus_error *e, const char *what, struct hp_err *err)
{
	if (r < 0)
		r = hp_err_set(err, -HP_E_FAILED, "systemd: %s: %s", what,
			       e->message ?: strerror(-r));
	sd_bus_error_free(e);
	return r < 0 ? r : 0;
}

int hp_bus_unit_of(sd_bus *bus, pid_t pid, char *path, size_t n, struct hp_err *err)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	sd_bus_message *m = NULL;
	const char *text = "";
	int r = sd_bus_call_method(bus, SYSTEMD, HP_BUS_MANAGER, MANAGER, "GetUnitByPID", &e, &m,
				   "u", (uint32_t)pid);

	if (r >= 0)
		r = sd_bus_message_read(m, "o", &text);
	(void)snprintf(path, n, "%s", text);
	sd_bus_message_unref(m);
	return failed(r, &e, "unit of the process", err);
}

int hp_bus_reload(sd_bus *bus, struct hp_err *err)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	int r = sd_bus_call_method(bus, SYSTEMD, HP_BUS_MANAGER, MANAGER, "Reload", &e, NULL, NULL);

	return failed(r, &e, "reload", err);
}

static const char *full(const char *interface, char buf[64])
{
	(void)snprintf(buf, 64, "%s.%s", SYSTEMD, interface);
	return buf;
}

int hp_bus_string(sd_bus *bus, const char *path, const char *interface, const char *name, char *buf,
		  size_t n, struct hp_err *err)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	char of[64], *text = NULL;
	int r = sd_bus_get_property_string(bus, SYSTEMD, path, full(interface, of), name, &e, &text);

	(void)snprintf(buf, n, "%s", r < 0 ? "" : text);
	free(text);
	return failed(r, &e, name, err);
}

int hp_bus_number(sd_bus *bus, const char *path, const char *interface, const char *name, char type,
		  uint32_t *ret, struct hp_err *err)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	char of[64];
	int r = sd_bus_get_property_trivial(bus, SYSTEMD, path, full(interface, of), name, &e,
					    type, ret);

	return failed(r, &e, name, err);
}

int hp_bus_message(sd_bus *bus, const char *path, const char *interface, const char *name,
		   const char *type, sd_bus_message **ret, struct hp_err *err)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	char of[64];
	int r = sd_bus_get_property(bus, SYSTEMD, path, full(interface, of), name, &e, ret, type);

	return failed(r, &e, name, err);
}

int hp_bus_strings(sd_bus *bus, const char *path, const char *interface, const char *name,
		   char ***ret, struct hp_err *err)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	char of[64];
	int r = sd_bus_get_property_strv(bus, SYSTEMD, path, full(interface, of), name, &e, ret);

	return failed(r, &e, name, err);
}

void hp_bus_strings_free(char **v)
{
	for (char **p = v; p && *p; p++)
		free(*p);
	free(v);
}
