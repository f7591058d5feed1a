/* SPDX-License-Identifier: MIT */
#include "service/sockets.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/array.h"
#include "hp/err.h"
#include "service/tcpdiag.h"

#define READINGS	 5
#define UNIX_LISTENS	 0x10000 /* __SO_ACCEPTCON, linux/net.h */
#define UNIX_UNCONNECTED 1	 /* SS_UNCONNECTED */

/* Each: is this line one of a socket that clients call? */
static bool datagram_line(const char *line, unsigned long *ino)
{
	unsigned state, port;

	return sscanf(line, "%*s %*[^:]:%x %*s %x %*s %*s %*s %*s %*s %lu", &port, &state, ino) ==
		       3 &&
	       state == TCP_CLOSE && port;
}

/* "ffff…: 00000002 00000000 00010000 0001 01 12345 /run/x"; names that the kernel made up for
 * clients are "@" and five hex digits (unix_autobind()). */
static bool unix_line(const char *line, unsigned long *ino)
{
	unsigned flags, type, state;
	char name[128] = "";

	if (sscanf(line, "%*s %*s %*s %x %x %x %lu %127s", &flags, &type, &state, ino, name) < 4)
		return false;
	if (type != SOCK_DGRAM)
		return flags & UNIX_LISTENS;
	return *name && state == UNIX_UNCONNECTED &&
	       !(*name == '@' && strlen(name) == 6 && strspn(name + 1, "0123456789abcdef") == 5);
}

static const struct {
	const char *file;
	bool (*line)(const char *line, unsigned long *ino);
} tables[] = {
	{"udp", datagram_line},
	{"udp6", datagram_line},
	{"unix", unix_line},
};

static int add(struct hp_inodes *to, ino_t ino)
{
	ino_t *v = HP_ARRAY_ADD(to);

	if (!v)
		return -ENOMEM;
	*v = ino;
	return 0;
}

static int add_stream(void *arg, const struct inet_diag_msg *m, size_t n)
{
	return m->idiag_inode ? add(arg, m->idiag_inode) : 0;
}

static int read_streams(struct hp_inodes *to, struct hp_err *err)
{
	struct hp_tcp_ask ask = {.family = AF_INET, .states = HP_TCP_BIT(TCP_LISTEN)};
	int r = hp_tcp_diag(&ask, add_stream, to);

	ask.family = AF_INET6;
	if (r == 0)
		r = hp_tcp_diag(&ask, add_stream, to);
	return r < 0 ? hp_err_sys(err, -r, "sock_diag of the TCP sockets that listen") : 0;
}

static int read_table(struct hp_inodes *to, FILE *f, bool (*is)(const char *, unsigned long *))
{
	char line[512];

	while (fgets(line, sizeof(line), f)) {
		unsigned long ino;

		if (is(line, &ino) && ino && add(to, ino) < 0)
			return -ENOMEM;
	}
	return ferror(f) ? -EIO : 0;
}

static int compare(const void *a, const void *b)
{
	const ino_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int read_all(struct hp_inodes *to, pid_t pid, struct hp_err *err)
{
	int r = read_streams(to, err);

	for (size_t i = 0; r == 0 && i < sizeof(tables) / sizeof(tables[0]); i++) {
		char path[64];
		FILE *f;

		(void)snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, tables[i].file);
		f = fopen(path, "re");
		if (!f && errno == ENOENT)
			continue; /* a kernel without IPv6 */
		r = f ? read_table(to, f, tables[i].line) : -errno;
		if (f)
			fclose(f);
		if (r < 0)
			r = hp_err_sys(err, -r, "cannot read %s", path);
	}
	return r;
}

/* A table that is longer than one read(2) goes on by counting, and skips one when another before it
 * is closed meanwhile: whoever was in any of several readings counts. */
int hp_sockets_read(struct hp_inodes *ret, pid_t pid, struct hp_err *err)
{
	int r = 0;

	ret->n = 0;
	for (int i = 0; r == 0 && i < READINGS; i++)
		r = read_all(ret, pid, err);
	hp_inodes_sort(ret);
	return r;
}

void hp_inodes_sort(struct hp_inodes *inodes)
{
	if (inodes->n)
		qsort(inodes->v, inodes->n, sizeof(inodes->v[0]), compare);
}

bool hp_inodes_have(const struct hp_inodes *inodes, ino_t ino)
{
	return inodes->n &&
	       bsearch(&ino, inodes->v, inodes->n, sizeof(inodes->v[0]), compare) != NULL;
}

void hp_inodes_free(struct hp_inodes *inodes)
{
	HP_ARRAY_FREE(inodes);
}
