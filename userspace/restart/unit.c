/* SPDX-License-Identifier: MIT */
#include "restart/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/notify.h"
#include "hp/err.h"
#include "restart/bus.h"
#include "service/cgroup.h"

/* Where the manager of the system listens; a unit whose NotifyAccess= is none is not told. */
#define MANAGER_SOCKET "/run/systemd/notify"
#define UNITS	       "/run/systemd/system"
#define DROP_IN	       "50-hp-restart.conf"

#define TRIES	3
#define TRY_NS	(2 * HP_S)
#define LOOK_NS (2 * HP_MS)

static int get(sd_bus *bus, const struct hp_unit *u, const char *interface, const char *name,
	       char *buf, size_t n, struct hp_err *err)
{
	return hp_bus_string(bus, u->path, interface, name, buf, n, err);
}

/* A bus name is one process's, and a job that ends is not restarted but run again. */
static int refuse_type(const struct hp_unit *u, const char *type, const char *state,
		       struct hp_err *err)
{
	if (!strcmp(type, "dbus") || !strcmp(type, "oneshot"))
		return hp_err_set(err, -HP_E_TARGET,
				  "%s is of Type=%s, which cannot be handed over from one process to "
				  "another",
				  u->name, type);
	if (strcmp(state, "active") != 0)
		return hp_err_set(err, -HP_E_TARGET,
				  "%s is %s: systemd takes a new main process while it is active",
				  u->name, state);
	return 0;
}

static int read_service(sd_bus *bus, struct hp_unit *u, struct hp_err *err)
{
	char type[32], state[32];
	uint32_t securebits = 0;
	int r = get(bus, u, "Service", "Type", type, sizeof(type), err);

	if (r == 0)
		r = get(bus, u, "Unit", "ActiveState", state, sizeof(state), err);
	if (r == 0)
		r = get(bus, u, "Service", "PIDFile", u->pidfile, sizeof(u->pidfile), err);
	if (r == 0)
		r = get(bus, u, "Service", "User", u->user, sizeof(u->user), err);
	if (r == 0)
		r = hp_bus_number(bus, u->path, "Service", "SecureBits", 'i', &securebits, err);
	if (r == 0)
		r = refuse_type(u, type, state, err);
	u->noroot = securebits & SECBIT_NOROOT;
	u->tells = !strncmp(type, "notify", 6);
	return r;
}

/* A service of a user's own manager: the one of the system knows the whole of it as user@UID. */
static int refuse_user(const struct hp_unit *u, pid_t pid, const char *inner, struct hp_err *err)
{
	if (strncmp(u->name, "user@", 5) != 0)
		return 0;
	return hp_err_set(err, -HP_E_TARGET,
			  "process %d belongs to %s of a user's own systemd (%s), which hp cannot tell "
			  "of a new main process",
			  (int)pid, inner, u->name);
}

static int read_unit(sd_bus *bus, struct hp_unit *u, pid_t pid, const char *inner,
		     struct hp_err *err)
{
	uint32_t main_pid = 0;
	int r = hp_bus_unit_of(bus, pid, u->path, sizeof(u->path), err);

	if (r == 0)
		r = get(bus, u, "Unit", "Id", u->name, sizeof(u->name), err);
	if (r == 0)
		r = refuse_user(u, pid, inner, err);
	if (r == 0)
		r = hp_bus_number(bus, u->path, "Service", "MainPID", 'u', &main_pid, err);
	if (r == 0 && main_pid != (uint32_t)pid) {
		*u = (struct hp_unit){0};
		return 0;
	}
	return r == 0 ? read_service(bus, u, err) : r;
}

int hp_unit_read(struct hp_unit *ret, pid_t pid, const char *cgroups, struct hp_err *err)
{
	struct hp_unit u = {0};
	char inner[256];
	sd_bus *bus;
	int r;

	*ret = u;
	/* sd_booted(3) */
	if (access("/run/systemd/system", F_OK) || !*hp_cgroups_unit(cgroups, inner, sizeof(inner)))
		return 0;
	r = hp_bus_open(&bus, err);
	if (r < 0)
		return r;
	r = read_unit(bus, &u, pid, inner, err);
	sd_bus_flush_close_unref(bus);
	if (r == 0)
		*ret = u;
	return r;
}

static void drop_in_path(const struct hp_unit *u, char *dir, char *path, size_t n)
{
	(void)snprintf(dir, n, UNITS "/%s.d", u->name);
	(void)snprintf(path, n, UNITS "/%s.d/" DROP_IN, u->name);
}

static int write_drop_in(const struct hp_unit *u, struct hp_err *err)
{
	static const char text[] = "# Of hpctl restart: it goes when the old process is gone.\n"
				   "[Service]\nNotifyAccess=main\n";
	char dir[512], path[512];
	hp_autoclose int fd = -1;
	int r;

	drop_in_path(u, dir, path, sizeof(path));
	if (mkdir(dir, 0755) && errno != EEXIST)
		return hp_err_sys(err, errno, "%s", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	r = fd < 0 ? -errno : hp_write_all(fd, text, sizeof(text) - 1);
	return r < 0 ? hp_err_sys(err, -r, "%s", path) : 0;
}

static bool remove_drop_in(const struct hp_unit *u)
{
	char dir[512], path[512];

	drop_in_path(u, dir, path, sizeof(path));
	if (unlink(path))
		return false;
	(void)rmdir(dir); /* fails where others have some too */
	return true;
}

/* "all" would do to be heard, but then the old process is heard too, which says at its end that the
 * service stops. */
static int open_ears(sd_bus *bus, const struct hp_unit *u, struct hp_err *err)
{
	char access[32];
	int r = get(bus, u, "Service", "NotifyAccess", access, sizeof(access), err);

	if (r < 0 || !strcmp(access, "main") || !strcmp(access, "exec"))
		return r;
	r = write_drop_in(u, err);
	return r == 0 ? hp_bus_reload(bus, err) : r;
}

static int is_main(sd_bus *bus, const struct hp_unit *u, pid_t pid, struct hp_err *err)
{
	uint32_t now = 0;
	int r = hp_bus_number(bus, u->path, "Service", "MainPID", 'u', &now, err);

	return r < 0 ? r : now == (uint32_t)pid;
}

/* Says it, and waits until it is so.  1; 0: it was not heard. */
static int say(sd_bus *bus, const struct hp_unit *u, pid_t from, pid_t to, struct hp_err *err)
{
	const struct ucred who = {from, getuid(), getgid()}; /* hp's word, with root's weight */
	uint64_t end = hp_now_ns() + TRY_NS;
	char text[64];
	int r;

	/* The watchdog's time begins anew: the new one's next word may be half of it away. */
	(void)snprintf(text, sizeof(text), "MAINPID=%d\nWATCHDOG=1", (int)to);
	r = hp_notify_as(MANAGER_SOCKET, &who, text);
	if (r < 0)
		return hp_err_sys(err, -r, "telling systemd by " MANAGER_SOCKET);
	for (;;) {
		r = is_main(bus, u, to, err);
		if (r || hp_now_ns() > end)
			return r;
		hp_pause_ns(LOOK_NS);
	}
}

/* Another restart, as it ends, may take the drop-in away under us: then it is put there again. */
static int set_main(sd_bus *bus, const struct hp_unit *u, pid_t from, pid_t to, struct hp_err *err)
{
	int r = 0;

	for (int i = 0; r == 0 && i < TRIES; i++) {
		r = open_ears(bus, u, err);
		if (r == 0)
			r = say(bus, u, from, to, err);
	}
	if (r == 0)
		r = hp_err_set(err, -HP_E_FAILED,
			       "systemd does not take process %d as the main one of %s; the old one "
			       "serves on",
			       (int)to, u->name);
	return r < 0 ? r : 0;
}

int hp_unit_set_main(const struct hp_unit *u, pid_t from, pid_t to, struct hp_err *err)
{
	sd_bus *bus;
	int r = hp_bus_open(&bus, err);

	if (r < 0)
		return r;
	r = set_main(bus, u, from, to, err);
	if (r < 0) {
		(void)say(bus, u, to, from, NULL); /* should it be heard late */
		if (remove_drop_in(u))
			(void)hp_bus_reload(bus, NULL); /* the failure is told already */
	}
	sd_bus_flush_close_unref(bus);
	return r;
}

int hp_unit_settle(const struct hp_unit *u, pid_t main, struct hp_err *err)
{
	sd_bus *bus;
	int r = hp_bus_open(&bus, err);

	if (r < 0)
		return r;
	r = is_main(bus, u, main, err);
	if (r == 1 && remove_drop_in(u))
		r = hp_bus_reload(bus, err);
	sd_bus_flush_close_unref(bus);
	return r < 0 ? r : 0;
}

void hp_unit_pass_on(const struct ucred *who, const char *text)
{
	(void)hp_notify_as(MANAGER_SOCKET, who, text); /* as sd_notify(3): nobody serves worse for it */
}
