/* SPDX-License-Identifier: MIT */
#include "restart/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"
#include "service/cgroup.h"
#include "target/procfs.h"

#define USUAL_UMASK 022

static const struct {
	const char *name;
	int flag;
} entered[HP_NS_COUNT] = {
	[HP_NS_MNT] = {"mnt", CLONE_NEWNS},
	[HP_NS_UTS] = {"uts", CLONE_NEWUTS},
	[HP_NS_IPC] = {"ipc", CLONE_NEWIPC},
};

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static bool same_namespace(pid_t pid, const char *name, char path[64])
{
	char ours[64];

	(void)snprintf(path, 64, "/proc/%d/ns/%s", (int)pid, name);
	(void)snprintf(ours, sizeof(ours), "/proc/self/ns/%s", name);
	return same_file(path, ours);
}

/* The pids of another pid namespace mean nothing here, the sockets of another network are not seen,
 * and in a user namespace nobody may do what hp does. */
static int refuse_namespaces(pid_t pid, struct hp_err *err)
{
	static const char *const names[] = {"net", "pid", "user"};
	char path[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!same_namespace(pid, names[i], path))
			return hp_err_set(err, -HP_E_TARGET,
					  "process %d is in another %s namespace than hpd; run hpd there",
					  (int)pid, names[i]);
	return 0;
}

static int open_namespaces(struct hp_spec *s, pid_t pid, struct hp_err *err)
{
	char path[64];

	for (int i = 0; i < HP_NS_COUNT; i++) {
		if (same_namespace(pid, entered[i].name, path))
			continue;
		s->ns[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (s->ns[i] < 0)
			return hp_err_sys(err, errno, "cannot open %s", path);
	}
	return 0;
}

static int open_dirs(struct hp_spec *s, pid_t pid, uid_t uid, struct hp_err *err)
{
	char path[64], advice[64] = "";

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, s->rises ? "root" : "cwd");
	s->cwd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->cwd < 0)
		return hp_err_sys(err, errno, "working directory of process %d", (int)pid);
	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	if (same_file(path, "/proc/self/root"))
		return 0;
	s->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0)
		return hp_err_sys(err, errno, "root of process %d", (int)pid);
	if (!s->rises)
		return 0;
	if (uid)
		(void)snprintf(advice, sizeof(advice), "; --user %u restarts it as who it is", (unsigned)uid);
	return hp_err_set(err, -HP_E_TARGET,
			  "process %d has gone to another root directory, where it may have put what the "
			  "new one would execute with rights that it has not itself%s",
			  (int)pid, advice);
}

/* What the old one has closed is /dev/null, or the new one's first files would become it. */
static int open_stdio(struct hp_spec *s, pid_t pid, struct hp_err *err)
{
	hp_autoclose int pidfd = pidfd_open(pid, 0);

	if (pidfd < 0)
		return hp_err_sys(err, errno, "pidfd of %d", (int)pid);
	for (int i = 0; i < 3; i++) {
		s->stdio[i] = pidfd_getfd(pidfd, i, 0);
		if (s->stdio[i] < 0 && errno == EBADF)
			s->stdio[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (s->stdio[i] < 0)
			return hp_err_sys(err, errno, "descriptor %d of process %d", i, (int)pid);
	}
	return 0;
}

/* By their names in /proc/PID/limits: prlimit(2) takes CAP_SYS_RESOURCE where the user is another. */
static const char *const limit_names[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = "Max cpu time",
	[RLIMIT_FSIZE] = "Max file size",
	[RLIMIT_DATA] = "Max data size",
	[RLIMIT_STACK] = "Max stack size",
	[RLIMIT_CORE] = "Max core file size",
	[RLIMIT_RSS] = "Max resident set",
	[RLIMIT_NPROC] = "Max processes",
	[RLIMIT_NOFILE] = "Max open files",
	[RLIMIT_MEMLOCK] = "Max locked memory",
	[RLIMIT_AS] = "Max address space",
	[RLIMIT_LOCKS] = "Max file locks",
	[RLIMIT_SIGPENDING] = "Max pending signals",
	[RLIMIT_MSGQUEUE] = "Max msgqueue size",
	[RLIMIT_NICE] = "Max nice priority",
	[RLIMIT_RTPRIO] = "Max realtime priority",
	[RLIMIT_RTTIME] = "Max realtime timeout",
};

static int read_limits(struct hp_spec *s, pid_t pid, struct hp_err *err)
{
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		uint64_t soft, hard;

		if (!hp_limit_read(pid, limit_names[i], &soft, &hard))
			return hp_err_set(err, -HP_E_GONE, "process %d has no line '%s' in its limits",
					  (int)pid, limit_names[i]);
		s->limits[i] = (struct rlimit){soft, hard};
	}
	return 0;
}

static int read_numbers(struct hp_spec *s, pid_t pid, struct hp_err *err)
{
	char path[64], *text;
	uint64_t mask;
	int r;

	if (!hp_status_number(pid, "Umask", 8, &mask))
		return hp_err_set(err, -HP_E_GONE, "process %d is gone", (int)pid);
	s->umask = s->rises ? USUAL_UMASK : (mode_t)mask;
	(void)snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
	r = hp_read_file(AT_FDCWD, path, 32, &text, NULL);
	if (r < 0)
		return hp_err_sys(err, -r, "%s", path);
	s->oom_score_adj = atoi(text);
	free(text);
	errno = 0;
	s->nice = getpriority(PRIO_PROCESS, (id_t)pid);
	return errno ? hp_err_sys(err, errno, "priority of process %d", (int)pid) : 0;
}

static int choose_creds(struct hp_spec *s, const struct hp_restart_request *req,
			const struct hp_creds *creds, struct hp_err *err)
{
	bool of_root = *s->unit.name && !*s->unit.user;
	const char *user = req->user;
	int r = 0;

	if (hp_creds_copy(&s->creds, creds) < 0)
		return hp_err_sys(err, ENOMEM, "groups of process %d", (int)req->pid);
	/* systemd says whose it was before it gave up what it had. */
	if (!user && of_root && creds->uid[0])
		user = "root";
	if (user)
		r = hp_creds_of_user(&s->creds, user, err);
	else if (of_root)
		hp_creds_take_all(&s->creds);
	if (!req->user && s->unit.noroot)
		s->creds.permitted = creds->permitted;
	s->rises = !hp_creds_suffice(creds, &s->creds);
	return r;
}

static int read_all(struct hp_spec *s, const struct hp_restart_request *req,
		    const struct hp_creds *creds, struct hp_err *err)
{
	pid_t pid = req->pid;
	int r = refuse_namespaces(pid, err);

	if (r == 0)
		r = hp_cgroups_read(&s->cgroups, pid, err);
	if (r == 0)
		r = hp_unit_read(&s->unit, pid, s->cgroups, err);
	if (r == 0)
		r = choose_creds(s, req, creds, err);
	if (r == 0)
		r = hp_environ_read(s, req, err);
	if (r == 0)
		r = open_namespaces(s, pid, err);
	if (r == 0)
		r = open_dirs(s, pid, creds->uid[0], err);
	if (r == 0)
		r = read_numbers(s, pid, err);
	if (r == 0)
		r = hp_unit_surroundings(s, req, err);
	if (r == 0)
		r = hp_command_read(s, req, err);
	if (r == 0)
		r = open_stdio(s, pid, err);
	if (r == 0)
		r = read_limits(s, pid, err);
	return r;
}

int hp_spec_read(struct hp_spec *ret, const struct hp_restart_request *req,
		 const struct hp_creds *creds, struct hp_err *err)
{
	struct hp_spec s = {.root = -1, .cwd = -1, .stdio = {-1, -1, -1}};
	int r;

	for (int i = 0; i < HP_NS_COUNT; i++)
		s.ns[i] = -1;
	r = read_all(&s, req, creds, err);
	if (r < 0)
		hp_spec_free(&s);
	else
		*ret = s;
	return r;
}

void hp_spec_free(struct hp_spec *s)
{
	hp_strings_free(&s->argv);
	hp_strings_free(&s->envp);
	hp_close(&s->root);
	hp_close(&s->cwd);
	for (int i = 0; i < HP_NS_COUNT; i++)
		hp_close(&s->ns[i]);
	for (int i = 0; i < 3; i++)
		hp_close(&s->stdio[i]);
	free(s->cgroups);
	s->cgroups = NULL;
	hp_creds_free(&s->creds);
}

static int write_number(const char *path, int number)
{
	hp_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", number);
	return fd < 0 ? -errno : hp_write_all(fd, text, strlen(text));
}

static int enter(const struct hp_spec *s)
{
	for (int i = 0; i < HP_NS_COUNT; i++)
		if (s->ns[i] >= 0 && setns(s->ns[i], entered[i].flag))
			return -errno;
	if (s->root >= 0 && (fchdir(s->root) || chroot(".")))
		return -errno;
	return fchdir(s->cwd) ? -errno : 0;
}

static int set_limits(const struct hp_spec *s)
{
	for (int i = 0; i < RLIM_NLIMITS; i++)
		if (setrlimit((enum __rlimit_resource)i, &s->limits[i]))
			return -errno;
	return 0;
}

static int set_stdio(const struct hp_spec *s)
{
	for (int i = 0; i < 3; i++)
		if (dup2(s->stdio[i], i) < 0)
			return -errno;
	return 0;
}

int hp_spec_apply(const struct hp_spec *s, const char **what)
{
	int r;

	*what = "the control groups";
	r = hp_cgroups_join(s->cgroups);
	if (r < 0)
		return r;
	*what = "oom_score_adj";
	r = write_number("/proc/self/oom_score_adj", s->oom_score_adj);
	if (r < 0)
		return r;
	*what = "the security label";
	r = hp_creds_set_label(&s->creds);
	if (r < 0)
		return r;
	*what = "its namespaces, root and working directory";
	r = enter(s);
	if (r < 0)
		return r;
	*what = "standard input and output";
	r = set_stdio(s);
	if (r < 0)
		return r;
	*what = "the resource limits";
	r = set_limits(s);
	if (r < 0)
		return r;
	*what = "the priority";
	if (setpriority(PRIO_PROCESS, 0, s->nice))
		return -errno;
	(void)umask(s->umask); /* cannot fail */
	return 0;
}

int hp_spec_go(const struct hp_spec *s, const char **what)
{
	*what = "its unit's WorkingDirectory=";
	return *s->dir && chdir(s->dir) && !s->dir_may_miss ? -errno : 0;
}
