/* SPDX-License-Identifier: MIT */
/* The part of hp/upgrade.h that is about descriptors and their names. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "upgrade/address.h"
#include "upgrade/upgrade.h"

static bool same(const struct hp_handed *h, enum hp_upgrade_kind kind, const char *network,
		 const char *address)
{
	return h->kind == kind && !strcmp(h->network, network) && !strcmp(h->address, address);
}

/* What systemd handed over has the name that its unit gave it, whatever it was taken as since. */
static bool labelled(const struct hp_handed *h, enum hp_upgrade_kind kind, const char *network)
{
	return kind == HP_UPGRADE_FILE && h->label && !strcmp(h->label, network);
}

/* A socket of systemd's under its address: that is how a program asks for it which does not know of
 * systemd. */
static bool bound(const struct hp_handed *h, enum hp_upgrade_kind kind, const char *network,
		  const char *address)
{
	return h->label && h->kind == HP_UPGRADE_FILE &&
	       hp_address_matches(h->fd, kind, network, address);
}

/* Its index, or -1. */
static ssize_t find(const struct hp_handed_list *l, enum hp_upgrade_kind kind, const char *network,
		    const char *address)
{
	for (size_t i = 0; i < l->a.n; i++)
		if (same(&l->a.v[i], kind, network, address) ||
		    labelled(&l->a.v[i], kind, network))
			return (ssize_t)i;
	if (kind == HP_UPGRADE_LISTENER || kind == HP_UPGRADE_PACKET)
		for (size_t i = 0; i < l->a.n; i++)
			if (bound(&l->a.v[i], kind, network, address))
				return (ssize_t)i;
	return -1;
}

/* --- taking --------------------------------------------------------------------------------------- */

static int check_kind(const struct hp_handed *h, enum hp_upgrade_kind kind, struct hp_err *err)
{
	struct stat st;

	if (kind == HP_UPGRADE_FILE)
		return 0;
	if (fstat(h->fd, &st) < 0)
		return hp_err_sys(err, errno, "descriptor %d", h->fd);
	if (!S_ISSOCK(st.st_mode))
		return hp_err_set(err, -ENOTSOCK, "it is no socket");
	if (kind == HP_UPGRADE_LISTENER && !hp_address_listens(h->fd))
		return hp_err_set(err, -EINVAL, "it does not listen");
	return 0;
}

static int duplicate(int fd, struct hp_err *err)
{
	int dup = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return dup < 0 ? hp_err_sys(err, errno, "can't dup fd using fcntl") : dup;
}

/* Moves the @i-th from inherited to used, under the name that was asked for, and returns a
 * duplicate. */
static int take(struct hp_fds *f, size_t i, enum hp_upgrade_kind kind, const char *network,
		const char *address, struct hp_err *err)
{
	struct hp_handed *h = &f->inherited.a.v[i];
	hp_autoclose int dup = -1;
	int k = check_kind(h, kind, err);

	if (k == 0)
		k = dup = duplicate(h->fd, err);
	if (k >= 0 && hp_handed_add(&f->used, kind, network, address, h->label, h->fd) < 0)
		k = hp_err_set(err, -ENOMEM, "no memory");
	if (k < 0)
		return hp_err_prefix(err, k, "can't inherit %s %s %s", hp_fds_kind_name(kind),
				     network, address);
	h->fd = -1;
	hp_handed_remove(&f->inherited, i);
	return HP_TAKE_FD(dup);
}

static int inherited_locked(struct hp_fds *f, enum hp_upgrade_kind kind, const char *network,
			    const char *address, struct hp_err *err)
{
	ssize_t i = find(&f->inherited, kind, network, address);

	if (i < 0)
		return hp_err_set(err, -ENOENT, "no %s %s %s was inherited", hp_fds_kind_name(kind),
				  network, address);
	return take(f, (size_t)i, kind, network, address, err);
}

int hp_upgrade_inherited(struct hp_upgrade *u, enum hp_upgrade_kind kind, const char *network,
			 const char *address, struct hp_err *err)
{
	int fd;

	pthread_mutex_lock(&u->fds.lock);
	fd = inherited_locked(&u->fds, kind, network, address, err);
	pthread_mutex_unlock(&u->fds.lock);
	return fd;
}

/* --- adding --------------------------------------------------------------------------------------- */

/* The first of that very name among the first @n goes. */
static void drop(struct hp_handed_list *l, size_t n, enum hp_upgrade_kind kind, const char *network,
		 const char *address)
{
	for (size_t i = 0; i < n; i++)
		if (same(&l->a.v[i], kind, network, address)) {
			hp_handed_remove(l, i);
			return;
		}
}

static int add_locked(struct hp_fds *f, enum hp_upgrade_kind kind, const char *network,
		      const char *address, int fd, struct hp_err *err)
{
	int dup = duplicate(fd, err), k = dup;

	if (k >= 0 && hp_handed_add(&f->used, kind, network, address, NULL, dup) < 0) {
		close(dup);
		k = hp_err_set(err, -ENOMEM, "no memory");
	}
	if (k < 0)
		return hp_err_prefix(err, k, "can't dup %s (%s %s)", hp_fds_kind_name(kind), network,
				     address);
	drop(&f->used, f->used.a.n - 1, kind, network, address);
	drop(&f->inherited, f->inherited.a.n, kind, network, address);
	return 0;
}

int hp_upgrade_add(struct hp_upgrade *u, enum hp_upgrade_kind kind, const char *network,
		   const char *address, int fd, struct hp_err *err)
{
	int k;

	pthread_mutex_lock(&u->fds.lock);
	k = add_locked(&u->fds, kind, network, address, fd, err);
	pthread_mutex_unlock(&u->fds.lock);
	return k;
}

/* --- listening ------------------------------------------------------------------------------------ */

struct making {
	const struct hp_upgrade *u;
	enum hp_upgrade_kind kind;
	int (*make)(void *arg, const char *network, const char *address);
	void *arg;
};

static int make_one(const struct making *m, const char *network, const char *address,
		    struct hp_err *err)
{
	int fd;

	if (!m->make) {
		fd = hp_address_listen(&m->u->options, m->kind, network, address, err);
	} else {
		fd = m->make(m->arg, network, address);
		if (fd < 0)
			(void)hp_err_sys(err, -fd, "%s %s", network, address); /* returned below */
	}
	return fd < 0 ? hp_err_prefix(err, fd, "can't create new listener") : fd;
}

static int listen_locked(struct hp_fds *f, const struct making *m, const char *network,
			 const char *address, struct hp_err *err)
{
	bool dynamic = hp_address_is_dynamic(network, address);
	char real[HP_UPGRADE_ADDRESS_MAX];
	hp_autoclose int fd = -1;
	int k;

	if (!dynamic && find(&f->inherited, m->kind, network, address) >= 0)
		return inherited_locked(f, m->kind, network, address, err);
	k = fd = make_one(m, network, address, err);
	if (k >= 0 && dynamic) {
		k = hp_address_format(fd, real, sizeof(real), err);
		address = real;
	}
	if (k >= 0)
		k = add_locked(f, m->kind, network, address, fd, err);
	return k < 0 ? k : HP_TAKE_FD(fd);
}

int hp_upgrade_listen_with(struct hp_upgrade *u, enum hp_upgrade_kind kind, const char *network,
			   const char *address,
			   int (*make)(void *arg, const char *network, const char *address),
			   void *arg, struct hp_err *err)
{
	struct making m = {u, kind, make, arg};
	int fd;

	pthread_mutex_lock(&u->fds.lock);
	fd = listen_locked(&u->fds, &m, network, address, err);
	pthread_mutex_unlock(&u->fds.lock);
	return fd;
}

int hp_upgrade_listen(struct hp_upgrade *u, const char *network, const char *address,
		      struct hp_err *err)
{
	return hp_upgrade_listen_with(u, HP_UPGRADE_LISTENER, network, address, NULL, NULL, err);
}

int hp_upgrade_listen_packet(struct hp_upgrade *u, const char *network, const char *address,
			     struct hp_err *err)
{
	return hp_upgrade_listen_with(u, HP_UPGRADE_PACKET, network, address, NULL, NULL, err);
}

int hp_upgrade_address(int fd, char *ret, size_t size, struct hp_err *err)
{
	return hp_address_format(fd, ret, size, err);
}

/* --- files ---------------------------------------------------------------------------------------- */

int hp_upgrade_file(struct hp_upgrade *u, const char *name, struct hp_err *err)
{
	return hp_upgrade_inherited(u, HP_UPGRADE_FILE, name, "", err);
}

int hp_upgrade_add_file(struct hp_upgrade *u, const char *name, int fd, struct hp_err *err)
{
	return hp_upgrade_add(u, HP_UPGRADE_FILE, name, "", fd, err);
}

/* One file at a time, so that @each may call what it likes. */
static int next_file(struct hp_fds *f, char **ret_name, struct hp_err *err)
{
	size_t i = 0;
	int fd;

	while (i < f->inherited.a.n && f->inherited.a.v[i].kind != HP_UPGRADE_FILE)
		i++;
	if (i == f->inherited.a.n)
		return -ENOENT;
	*ret_name = strdup(f->inherited.a.v[i].network);
	if (!*ret_name)
		return hp_err_set(err, -ENOMEM, "no memory");
	fd = take(f, i, HP_UPGRADE_FILE, *ret_name, "", err);
	if (fd < 0) {
		free(*ret_name);
		*ret_name = NULL;
	}
	return fd;
}

int hp_upgrade_files(struct hp_upgrade *u, void (*each)(void *arg, const char *name, int fd),
		     void *arg, struct hp_err *err)
{
	for (;;) {
		char *name = NULL;
		int fd;

		pthread_mutex_lock(&u->fds.lock);
		fd = next_file(&u->fds, &name, err);
		pthread_mutex_unlock(&u->fds.lock);
		if (fd < 0)
			return fd == -ENOENT ? 0 : fd;
		each(arg, name, fd);
		free(name);
	}
}
