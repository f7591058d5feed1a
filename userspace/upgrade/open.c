/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/abi.h"
#include "base/fd.h"
#include "upgrade/upgrade.h"

#define CMDLINE_MAX (64u << 20)

/* What is handed over exists once in a process: this one word is not a handle's but the process's. */
static atomic_flag claimed = ATOMIC_FLAG_INIT;

/* The command line as the kernel has it: with argv[0], by which the program is looked up again. */
static int read_argv(struct hp_upgrade *u)
{
	size_t n, words = 0;
	int k = hp_read_file(AT_FDCWD, "/proc/self/cmdline", CMDLINE_MAX, &u->argv_text, &n);

	if (k < 0)
		return k;
	for (size_t i = 0; i < n; i++)
		words += !u->argv_text[i];
	u->argv = calloc(words + 1, sizeof(*u->argv));
	if (!u->argv)
		return -ENOMEM;
	words = 0;
	for (char *p = u->argv_text; p < u->argv_text + n; p += strlen(p) + 1)
		u->argv[words++] = p;
	return words ? 0 : -ENOENT;
}

static int read_options(struct hp_upgrade *u, const struct hp_upgrade_options *o,
			struct hp_err *err)
{
	struct hp_upgrade_options *mine = &u->options;
	char *path = NULL;
	int k = o ? hp_abi_copy(mine, sizeof(*mine), o, "options", err) : 0;

	if (k < 0)
		return k;
	if (!mine->timeout_ms)
		mine->timeout_ms = HP_UPGRADE_TIMEOUT_MS;
	if (mine->pid_file && *mine->pid_file == '/')
		path = strdup(mine->pid_file);
	else if (mine->pid_file && asprintf(&path, "%s/%s", u->cwd, mine->pid_file) < 0)
		path = NULL;
	if (mine->pid_file && !path) {
		mine->pid_file = NULL;
		return hp_err_set(err, -ENOMEM, "no memory");
	}
	mine->pid_file = path;
	return 0;
}

static int watch(const struct hp_upgrade *u, int fd)
{
	struct epoll_event e = {.events = EPOLLIN};

	return epoll_ctl(u->events, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

static int open_events(struct hp_upgrade *u)
{
	u->exit = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	u->events = epoll_create1(EPOLL_CLOEXEC);
	if (u->exit < 0 || u->events < 0)
		return -errno;
	return watch(u, u->exit);
}

static int init(struct hp_upgrade *u, const struct hp_upgrade_options *o,
		const struct hp_environ *env, struct hp_err *err)
{
	const char *notify = env->get("NOTIFY_SOCKET");
	int k;

	/* By its path, as $PWD has it: what lies behind a link may be another release next time. */
	u->cwd = get_current_dir_name();
	if (!u->cwd)
		return hp_err_sys(err, errno, "couldn't determine initial working directory");
	k = read_options(u, o, err);
	if (k < 0)
		return k;
	if (notify && !(u->notify = strdup(notify)))
		return hp_err_set(err, -ENOMEM, "no memory");
	k = read_argv(u);
	if (k < 0)
		return hp_err_sys(err, -k, "couldn't determine the command line");
	pthread_sigmask(SIG_SETMASK, NULL, &u->mask);
	k = open_events(u);
	if (k < 0)
		return hp_err_sys(err, -k, "descriptors");
	k = hp_inherit_take(&u->fds, env, &u->parent, err);
	u->has_parent = u->parent >= 0;
	return k;
}

int hp_upgrade_open_in(struct hp_upgrade **ret, const struct hp_upgrade_options *o,
		       const struct hp_environ *env, struct hp_err *err)
{
	struct hp_upgrade *u = calloc(1, sizeof(*u));
	int k;

	if (!u)
		return hp_err_set(err, -ENOMEM, "no memory");
	u->parent = u->successor = u->events = u->exit = u->signals = -1;
	/* Linux's default mutexes and conditions cannot fail to be made. */
	(void)pthread_mutex_init(&u->lock, NULL);
	(void)hp_fds_init(&u->fds);
	(void)hp_work_init(&u->work);
	k = init(u, o, env, err);
	if (k < 0) {
		hp_upgrade_free_in(u);
		return k;
	}
	*ret = u;
	return 0;
}

int hp_upgrade_open(struct hp_upgrade **ret, const struct hp_upgrade_options *o, struct hp_err *err)
{
	int k;

	if (atomic_flag_test_and_set(&claimed))
		return hp_err_set(err, -EEXIST, "only a single hp_upgrade allowed");
	k = hp_upgrade_open_in(ret, o, &hp_environ_own, err);
	if (k < 0)
		atomic_flag_clear(&claimed);
	return k;
}

void hp_upgrade_free_in(struct hp_upgrade *u)
{
	if (!u)
		return;
	hp_child_end(&u->child);
	hp_fds_free(&u->fds);
	hp_work_free(&u->work);
	hp_close(&u->parent);
	hp_close(&u->events);
	hp_close(&u->exit);
	hp_close(&u->signals);
	free((char *)u->options.pid_file);
	free(u->cwd);
	free(u->notify);
	free(u->argv);
	free(u->argv_text);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

void hp_upgrade_free(struct hp_upgrade *u)
{
	if (!u)
		return;
	hp_upgrade_free_in(u);
	atomic_flag_clear(&claimed);
}

int hp_upgrade_fd(const struct hp_upgrade *u)
{
	return u->events;
}

int hp_upgrade_exit_fd(const struct hp_upgrade *u)
{
	return u->exit;
}

bool hp_upgrade_has_parent(const struct hp_upgrade *u)
{
	return u->has_parent;
}
