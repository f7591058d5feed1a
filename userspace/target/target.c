/* SPDX-License-Identifier: MIT */
#include "target/target.h"

#define VDSO_MAX (64u << 10)

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "elf/reader.h"
#include "hp/err.h"
#include "target/module.h"
#include "target/procfs.h"

#define PF_KTHREAD 0x00200000 /* linux/sched.h; stable since 2.6.27 */

static int gone(pid_t pid, struct hp_err *err)
{
	return hp_err_set(err, -HP_E_GONE, "process %d is gone", (int)pid);
}

static int refuse_odd(pid_t pid, const struct hp_stat *st, struct hp_err *err)
{
	uint64_t tgid;

	if (st->field[HP_STAT_FLAGS] & PF_KTHREAD)
		return hp_err_set(err, -HP_E_TARGET, "%d (%s) is a kernel thread", (int)pid,
				  st->comm);
	if (hp_status_number(pid, "Tgid", 10, &tgid) && (pid_t)tgid != pid)
		return hp_err_set(err, -HP_E_TARGET, "%d is a thread of process %d; name that one",
				  (int)pid, (int)tgid);
	if (st->state == 'Z' && st->field[HP_STAT_THREADS] > 1)
		return hp_err_set(err, -HP_E_TARGET,
				  "the main thread of process %d (%s) has ended, and with it what /proc "
				  "tells of the process",
				  (int)pid, st->comm);
	if (st->state == 'Z' || st->state == 'X')
		return hp_err_set(err, st->field[HP_STAT_THREADS] > 1 ? -HP_E_TARGET : -HP_E_GONE,
				  "process %d (%s) has exited and is a zombie", (int)pid, st->comm);
	if (pid == getpid() || pid == getppid())
		return hp_err_set(err, -HP_E_TARGET, "process %d is hp itself", (int)pid);
	return 0;
}

/* hpd works in forks of itself, so its own process is told by its program. */
static bool is_hpd(const struct stat *exe)
{
	struct stat self;
	const char *name = strrchr(program_invocation_name, '/');

	name = name ? name + 1 : program_invocation_name;
	return strcmp(name, "hpd") == 0 && stat("/proc/self/exe", &self) == 0 &&
	       self.st_ino == exe->st_ino && self.st_dev == exe->st_dev;
}

static int check_exe(struct hp_target *t, struct hp_err *err)
{
	unsigned char ident[EI_NIDENT];
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)t->pid);
	hp_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return hp_err_set(err, -HP_E_DENIED, "may not look into process %d (%s): %s",
				  (int)t->pid, t->comm, strerror(errno));
	if (fd < 0)
		return gone(t->pid, err);
	if (fstat(fd, &st))
		return hp_err_sys(err, errno, "fstat of %s", path);
	if (is_hpd(&st))
		return hp_err_set(err, -HP_E_TARGET, "process %d is hp itself", (int)t->pid);
	if (hp_pread_all(fd, ident, sizeof(ident), 0) < 0 || memcmp(ident, ELFMAG, SELFMAG) != 0)
		return hp_err_set(err, -HP_E_TARGET, "the program of process %d (%s) is no ELF file",
				  (int)t->pid, t->comm);
	if (ident[EI_CLASS] != ELFCLASS64)
		return hp_err_set(err, -HP_E_TARGET,
				  "process %d (%s) is a 32-bit program; only 64-bit ones are supported",
				  (int)t->pid, t->comm);
	t->exe_dev = st.st_dev;
	t->exe_ino = st.st_ino;
	return 0;
}

static int open_mem(struct hp_target *t, struct hp_err *err)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)t->pid);
	t->mem_fd = open(path, O_RDWR | O_CLOEXEC);
	if (t->mem_fd >= 0)
		return 0;
	if (errno == EACCES || errno == EPERM)
		return hp_err_set(err, -HP_E_DENIED,
				  "may not trace process %d (%s): CAP_SYS_PTRACE is needed", (int)t->pid,
				  t->comm);
	return errno == ENOENT || errno == ESRCH ? gone(t->pid, err)
						 : hp_err_sys(err, errno, "cannot open %s", path);
}

/* One for all of its files: they are one stranger's, who can make no more of one than of another. */
static int open_reader(struct hp_target *t, struct hp_err *err)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "the files of process %d (%s)", (int)t->pid, t->comm);
	return hp_reader_new(&t->reader, name, err);
}

/* Without it a walk from there is broken, and says so. */
static void copy_vdso(struct hp_target *t)
{
	const struct hp_map *m = NULL;
	uint8_t *bytes;

	for (size_t i = 0; i < t->maps.n && !m; i++)
		if (strcmp(t->maps.v[i].path, "[vdso]") == 0)
			m = &t->maps.v[i];
	if (!m || m->hi - m->lo > VDSO_MAX)
		return;
	bytes = malloc(m->hi - m->lo);
	if (!bytes || hp_mem_read(t, m->lo, bytes, m->hi - m->lo, NULL) < 0) {
		free(bytes);
		return;
	}
	t->vdso = bytes;
	t->vdso_at = m->lo;
	t->vdso_n = m->hi - m->lo;
}

static int open_parts(struct hp_target *t, struct hp_err *err)
{
	struct hp_stat st;
	uint64_t uids = 0;
	char text[64];
	int r;

	r = t->pid > 0 ? hp_stat_read(t->pid, &st) : -ESRCH;
	if (r == -ESRCH)
		return hp_err_set(err, -HP_E_GONE, "there is no process %d", (int)t->pid);
	if (r < 0)
		return hp_err_sys(err, -r, "cannot read /proc/%d/stat", (int)t->pid);
	(void)snprintf(t->comm, sizeof(t->comm), "%.16s", st.comm);
	r = refuse_odd(t->pid, &st, err);
	if (r < 0)
		return r;
	t->start_time = st.field[HP_STAT_START_TIME];
	t->start_stack = st.field[HP_STAT_START_STACK];
	t->pidfd = pidfd_open(t->pid, 0);
	if (t->pidfd < 0)
		return errno == ESRCH ? gone(t->pid, err)
				      : hp_err_sys(err, errno, "pidfd_open of %d", (int)t->pid);
	if (hp_status_text(t->pid, "Uid", text, sizeof(text)) && strchr(text, '\t'))
		uids = strtoull(strchr(text, '\t'), NULL, 10); /* real, effective, … */
	t->uid = (uid_t)uids;
	r = check_exe(t, err);
	if (r == 0)
		r = open_mem(t, err);
	if (r == 0)
		r = open_reader(t, err);
	if (r == 0)
		r = hp_target_refresh(t, err);
	if (r < 0)
		return r;
	copy_vdso(t);
	/* The pid could have been given to another process between the first and the last step. */
	if (hp_stat_read(t->pid, &st) < 0 || st.field[HP_STAT_START_TIME] != t->start_time)
		return gone(t->pid, err);
	return hp_target_check(t, err);
}

int hp_target_open(struct hp_target **ret, pid_t pid, struct hp_err *err)
{
	struct hp_target *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return hp_err_sys(err, ENOMEM, "target %d", (int)pid);
	t->pid = pid;
	t->pidfd = t->mem_fd = -1;
	r = open_parts(t, err);
	if (r < 0) {
		hp_target_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

void hp_target_free(struct hp_target *t)
{
	if (!t)
		return;
	hp_modules_free(t);
	hp_reader_free(t->reader);
	free(t->vdso);
	hp_maps_free(&t->maps);
	hp_close(&t->mem_fd);
	hp_close(&t->pidfd);
	free(t);
}

/* After an exec of the same file: mem_fd is of the memory that the process had when it was opened,
 * and at the end of its last user it reads as empty, whatever the address (mem_rw() in
 * fs/proc/base.c; an address with nothing at it gives EIO).  The agent is a user of it, so the stack
 * is asked as well, which lies elsewhere after an exec, unless randomisation is off. */
static bool has_another_memory(const struct hp_target *t)
{
	struct hp_stat st;
	char byte;

	return hp_pread_all(t->mem_fd, &byte, 1, 0) == -ENODATA ||
	       (hp_stat_read(t->pid, &st) == 0 && st.field[HP_STAT_START_STACK] != t->start_stack);
}

int hp_target_check(const struct hp_target *t, struct hp_err *err)
{
	bool other = has_another_memory(t);
	char path[64];
	struct stat st;

	if (!hp_pidfd_lives(t->pidfd))
		return hp_err_set(err, -HP_E_GONE, "process %d (%s) has exited", (int)t->pid,
				  t->comm);
	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)t->pid);
	if (stat(path, &st))
		return hp_err_set(err, -HP_E_GONE, "process %d (%s) is exiting", (int)t->pid,
				  t->comm);
	if (other || st.st_ino != t->exe_ino || st.st_dev != t->exe_dev)
		return hp_err_set(err, -HP_E_GONE, "process %d executes another program now",
				  (int)t->pid);
	return 0;
}

int hp_target_room(const struct hp_target *t, size_t bytes, struct hp_err *err)
{
	uint64_t kb, soft, hard;

	if (!hp_limit_read(t->pid, "Max address space", &soft, &hard) || soft == UINT64_MAX ||
	    !hp_status_number(t->pid, "VmSize", 10, &kb) || (kb << 10) + bytes <= soft)
		return 0;
	return hp_err_set(err, -HP_E_TARGET,
			  "%zu KB of memory are needed in process %d (%s), which uses %llu KB and may "
			  "have %llu KB (RLIMIT_AS)",
			  bytes >> 10, (int)t->pid, t->comm, (unsigned long long)kb,
			  (unsigned long long)soft >> 10);
}

/* Through the descriptor: it holds the memory itself, so it works when the leader has exited while
 * other threads live on. */
static int mem_by_fd(const struct hp_target *t, hp_addr a, void *buf, size_t n, bool store)
{
	return store ? hp_pwrite_all(t->mem_fd, buf, n, (off_t)a)
		     : hp_pread_all(t->mem_fd, buf, n, (off_t)a);
}

static int mem_failed(const struct hp_target *t, const char *what, hp_addr a, size_t n, int errnum,
		      struct hp_err *err)
{
	if (errnum == ESRCH || hp_target_check(t, NULL) < 0)
		return gone(t->pid, err);
	return hp_err_sys(err, errnum, "cannot %s %zu bytes at 0x%llx of process %d", what, n,
			  (unsigned long long)a, (int)t->pid);
}

int hp_mem_read(const struct hp_target *t, hp_addr a, void *buf, size_t n, struct hp_err *err)
{
	size_t done = 0;

	while (done < n) {
		struct iovec here = {(char *)buf + done, n - done};
		struct iovec there = {(void *)(uintptr_t)(a + done), n - done};
		ssize_t k = process_vm_readv(t->pid, &here, 1, &there, 1, 0);

		if (k < 0 && errno == ESRCH && mem_by_fd(t, a, buf, n, false) == 0)
			return 0;
		if (k <= 0)
			return mem_failed(t, "read", a, n, k < 0 ? errno : EFAULT, err);
		done += (size_t)k;
	}
	return 0;
}

int hp_mem_poke(const struct hp_target *t, hp_addr a, const void *buf, size_t n,
		struct hp_err *err)
{
	int r = mem_by_fd(t, a, (void *)buf, n, true);

	/* EIO: no page there, or /proc/PID/mem may not override protections
	 * (proc_mem.force_override=, Linux 6.12 commit 41e8149c8892). */
	return r < 0 ? mem_failed(t, "poke", a, n, -r, err) : 0;
}

pid_t hp_target_tracer(const struct hp_target *t)
{
	uint64_t tracer;

	return hp_status_number(t->pid, "TracerPid", 10, &tracer) ? (pid_t)tracer : 0;
}
