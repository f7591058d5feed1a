/* SPDX-License-Identifier: MIT */
#include "upgrade/inherit.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define MAGIC	   "hp-upgrade 1"
#define NAMES_MAX  (16u << 20)
#define FDS_MAX	   (1 << 20)
#define LABEL_MAX  255 /* sd_listen_fds_with_names(3) */
#define LABEL_NONE "unknown"

/* Not getenv(3): a program that runs with somebody else's rights takes nothing from them. */
static const char *get_own(const char *name)
{
	return secure_getenv(name);
}

static void unset_own(const char *name)
{
	(void)unsetenv(name); /* fails for a bad name only */
}

const struct hp_environ hp_environ_own = {get_own, unset_own, HP_INHERIT_FIRST};

static int keep_to_ourselves(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	return flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0 ? -errno : 0;
}

/* A decimal number up to @max, and what follows it. */
static bool number(const char **at, long max, long *ret)
{
	char *end;

	if (!isdigit((unsigned char)**at))
		return false;
	errno = 0;
	*ret = strtol(*at, &end, 10);
	*at = end;
	return !errno && *ret <= max;
}

/* --- from a process that uses hp -------------------------------------------------------------------- */

static const char *next(const char **at, const char *end)
{
	const char *s = *at, *nul = s < end ? memchr(s, 0, (size_t)(end - s)) : NULL;

	if (!nul)
		return NULL;
	*at = nul + 1;
	return s;
}

static int kind_of(const char *name)
{
	for (int k = HP_UPGRADE_LISTENER; k <= HP_UPGRADE_FILE; k++)
		if (!strcmp(hp_fds_kind_name((enum hp_upgrade_kind)k), name))
			return k;
	return -1;
}

static int take_name(struct hp_fds *f, const char **at, const char *end, int fd, struct hp_err *err)
{
	const char *begin = next(at, end), *kind = next(at, end), *network = next(at, end);
	const char *address = next(at, end), *label = next(at, end);
	int k;

	if (!label || *begin != '@' || kind_of(kind) < 0)
		return hp_err_set(err, -EBADMSG, "descriptor %d has no name", fd);
	k = keep_to_ourselves(fd);
	if (k < 0)
		return hp_err_sys(err, -k, "descriptor %d", fd);
	k = hp_handed_add(&f->inherited, (enum hp_upgrade_kind)kind_of(kind), network, address,
			  *label ? label : NULL, fd);
	return k < 0 ? hp_err_set(err, k, "no memory") : 0;
}

/* From its beginning, wherever somebody else has read to. */
static int read_names(int fd, char **ret, size_t *ret_n, struct hp_err *err)
{
	struct stat st;
	char *text;
	int k;

	if (fstat(fd, &st) < 0)
		return hp_err_sys(err, errno, "descriptor %d", fd);
	if (!S_ISREG(st.st_mode) || st.st_size > NAMES_MAX)
		return hp_err_set(err, -EBADMSG, "descriptor %d is not the file of names", fd);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return hp_err_set(err, -ENOMEM, "no memory");
	k = hp_pread_all(fd, text, (size_t)st.st_size, 0);
	if (k < 0) {
		free(text);
		return hp_err_sys(err, -k, "descriptor %d", fd);
	}
	*ret = text;
	*ret_n = (size_t)st.st_size;
	return 0;
}

static int take_names(struct hp_fds *f, int first, long n, struct hp_err *err)
{
	hp_autoclose int file = first + (int)n + 1;
	const char *at, *magic;
	char *text = NULL;
	size_t size = 0;
	int k = read_names(file, &text, &size, err);

	if (k < 0)
		return k;
	at = text;
	magic = next(&at, text + size);
	if (!magic || strcmp(magic, MAGIC) != 0)
		k = hp_err_set(err, -EBADMSG, "they are not in a form that this version knows");
	for (long i = 0; i < n && k == 0; i++)
		k = take_name(f, &at, text + size, first + (int)i, err);
	free(text);
	return k;
}

/* "<n> <pid>".  One for another process, inherited by mistake, is nobody's parent. */
static int take_marker(struct hp_fds *f, const char *text, int first, int *ret_sock,
		       struct hp_err *err)
{
	const char *at = text;
	long n, pid;
	int k;

	if (!number(&at, FDS_MAX, &n) || *at++ != ' ' || !number(&at, INT_MAX, &pid) || *at)
		return hp_err_set(err, -EBADMSG,
				  "can't decode names from parent process: %s is '%s'",
				  HP_INHERIT_MARKER, text);
	if (pid != getpid())
		return 0;
	k = take_names(f, first, n, err);
	if (k == 0) {
		k = keep_to_ourselves(first + (int)n);
		if (k < 0)
			(void)hp_err_sys(err, -k, "the parent's socket"); /* returned below */
	}
	if (k < 0)
		return hp_err_prefix(err, k, "can't decode names from parent process");
	*ret_sock = first + (int)n;
	return 0;
}

/* --- by systemd's convention ------------------------------------------------------------------------ */

/* The name up to the next colon. */
static char *next_label(const char **names)
{
	size_t n = *names ? strcspn(*names, ":") : 0;
	char *label = n ? strndup(*names, n) : strdup(LABEL_NONE);

	if (*names)
		*names = (*names)[n] ? *names + n + 1 : NULL;
	return label;
}

static int take_listen_fds(struct hp_fds *f, const struct hp_environ *env, struct hp_err *err)
{
	const char *pid_text = env->get("LISTEN_PID"), *n_text = env->get("LISTEN_FDS");
	const char *names = env->get("LISTEN_FDNAMES");
	long pid, n;
	int k = 0;

	if (!pid_text || !n_text || !number(&pid_text, INT_MAX, &pid) || *pid_text ||
	    pid != getpid())
		return 0;
	if (!number(&n_text, FDS_MAX, &n) || *n_text)
		return hp_err_set(err, -EBADMSG, "LISTEN_FDS is no number");
	for (int fd = env->first; fd < env->first + (int)n && k == 0; fd++) {
		char *label = next_label(&names);

		k = keep_to_ourselves(fd);
		if (k < 0)
			(void)hp_err_sys(err, -k, "LISTEN_FDS=%ld: descriptor %d", n, fd);
		else if (!label || hp_handed_add(&f->inherited, HP_UPGRADE_FILE, label, "", label,
						 fd) < 0)
			k = hp_err_set(err, -ENOMEM, "no memory");
		free(label);
	}
	return k;
}

int hp_inherit_take(struct hp_fds *f, const struct hp_environ *env, int *ret_sock,
		    struct hp_err *err)
{
	const char *marker = env->get(HP_INHERIT_MARKER);
	int sock = -1, k = 0;

	if (marker)
		k = take_marker(f, marker, env->first, &sock, err);
	if (k == 0 && sock < 0)
		k = take_listen_fds(f, env, err);
	env->unset(HP_INHERIT_MARKER);
	env->unset("LISTEN_PID");
	env->unset("LISTEN_FDS");
	env->unset("LISTEN_FDNAMES");
	if (k == 0)
		*ret_sock = sock;
	return k;
}

/* --- to the next process ---------------------------------------------------------------------------- */

static bool offered(const struct hp_handed *h)
{
	return h->kind == HP_UPGRADE_LISTENER || h->kind == HP_UPGRADE_PACKET || h->label;
}

size_t hp_inherit_sort(struct hp_fds *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->used.a.n; i++) {
		struct hp_handed h = f->used.a.v[i];

		if (!offered(&h))
			continue;
		memmove(&f->used.a.v[n + 1], &f->used.a.v[n], (i - n) * sizeof(h));
		f->used.a.v[n++] = h;
	}
	return n;
}

static void put(FILE *out, const char *s)
{
	(void)fwrite(s, 1, strlen(s) + 1, out); /* fclose() tells */
}

static void put_name(FILE *out, const struct hp_handed *h)
{
	put(out, "@");
	put(out, hp_fds_kind_name(h->kind));
	put(out, h->network);
	put(out, h->address);
	put(out, h->label ? h->label : "");
}

int hp_inherit_names(const struct hp_fds *f, struct hp_err *err)
{
	hp_autoclose int fd = -1;
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	int k;

	if (!out)
		return hp_err_set(err, -ENOMEM, "no memory");
	put(out, MAGIC);
	for (size_t i = 0; i < f->used.a.n; i++)
		put_name(out, &f->used.a.v[i]);
	k = fclose(out) ? -errno : 0;
	if (k == 0) {
		fd = hp_memfd("hp-upgrade-names", 0);
		k = fd < 0 ? -errno : hp_write_all(fd, text, n);
	}
	free(text);
	return k < 0 ? hp_err_sys(err, -k, "the names") : HP_TAKE_FD(fd);
}

/* What systemd calls it, or what hp does, without what systemd forbids in a name. */
static void put_label(FILE *out, const struct hp_handed *h)
{
	char label[LABEL_MAX + 1];

	if (h->label)
		snprintf(label, sizeof(label), "%s", h->label);
	else
		snprintf(label, sizeof(label), "%s-%s", h->network, h->address);
	for (char *p = label; *p; p++)
		if (*p == ':' || *p < ' ' || *p > '~')
			*p = '-';
	fputs(label, out);
}

char *hp_inherit_labels(const struct hp_fds *f, size_t n)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (i)
			fputc(':', out);
		put_label(out, &f->used.a.v[i]);
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
