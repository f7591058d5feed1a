/* SPDX-License-Identifier: MIT */
#include "upgrade/fds.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "upgrade/address.h"

const char *hp_fds_kind_name(enum hp_upgrade_kind kind)
{
	static const char *const names[] = {
		[HP_UPGRADE_LISTENER] = "listener",
		[HP_UPGRADE_PACKET] = "packet",
		[HP_UPGRADE_CONN] = "conn",
		[HP_UPGRADE_FILE] = "fd",
	};

	return names[kind];
}

static void clear(struct hp_handed *h)
{
	free(h->network);
	free(h->address);
	free(h->label);
	hp_close(&h->fd);
}

int hp_handed_add(struct hp_handed_list *l, enum hp_upgrade_kind kind, const char *network,
		  const char *address, const char *label, int fd)
{
	struct hp_handed h = {.kind = kind,
			      .network = strdup(network),
			      .address = strdup(address),
			      .label = label ? strdup(label) : NULL,
			      .fd = -1};
	struct hp_handed *at = NULL;

	if (h.network && h.address && (h.label || !label))
		at = HP_ARRAY_ADD(&l->a);
	if (!at) {
		clear(&h);
		return -ENOMEM;
	}
	*at = h;
	at->fd = fd;
	return 0;
}

void hp_handed_remove(struct hp_handed_list *l, size_t i)
{
	clear(&l->a.v[i]);
	l->a.n--;
	memmove(&l->a.v[i], &l->a.v[i + 1], (l->a.n - i) * sizeof(l->a.v[0]));
}

/* Their socket of the file system is removed by hp, when nobody has it any more. */
static bool is_ours(const struct hp_handed *h)
{
	return !h->label && (h->kind == HP_UPGRADE_LISTENER || h->kind == HP_UPGRADE_PACKET) &&
	       hp_address_is_path(h->network, h->address);
}

/* Not what somebody else has put there meanwhile. */
static void remove_socket(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path); /* there is nobody left to tell */
}

static void close_all(struct hp_handed_list *l, bool remove)
{
	for (size_t i = 0; i < l->a.n; i++) {
		if (remove && is_ours(&l->a.v[i]))
			remove_socket(l->a.v[i].address);
		clear(&l->a.v[i]);
	}
	HP_ARRAY_FREE(&l->a);
}

void hp_fds_close_inherited(struct hp_fds *f)
{
	pthread_mutex_lock(&f->lock);
	close_all(&f->inherited, true);
	pthread_mutex_unlock(&f->lock);
}

void hp_fds_close_used(struct hp_fds *f, bool remove)
{
	pthread_mutex_lock(&f->lock);
	close_all(&f->used, remove);
	pthread_mutex_unlock(&f->lock);
}

int hp_fds_init(struct hp_fds *f)
{
	return -pthread_mutex_init(&f->lock, NULL);
}

void hp_fds_free(struct hp_fds *f)
{
	close_all(&f->inherited, false);
	close_all(&f->used, false);
	pthread_mutex_destroy(&f->lock);
}
