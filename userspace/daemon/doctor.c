/* SPDX-License-Identifier: MIT */
/* Every check tries the thing itself; versions tell nothing about what was configured away. */
#include "daemon/doctor.h"

#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/confined.h"
#include "daemon/daemon.h"

struct check {
	const char *name;
	bool essential;
	/* True when it is there; @found says what is. */
	bool (*try)(const struct hp_daemon *d, char *found, size_t n);
	const char *cost; /* of its lack */
};

#define FOUND(...) snprintf(found, n, __VA_ARGS__)

static bool by_errno(bool ok, char *found, size_t n)
{
	FOUND("%s", ok ? "works" : strerror(errno));
	return ok;
}

static bool try_caps(const struct hp_daemon *d, char *found, size_t n)
{
	static const struct {
		unsigned bit;
		const char *name;
	} needed[] = {{CAP_SYS_PTRACE, "SYS_PTRACE"},
		      {CAP_SYS_ADMIN, "SYS_ADMIN"},
		      {CAP_BPF, "BPF"},
		      {CAP_PERFMON, "PERFMON"},
		      {CAP_CHECKPOINT_RESTORE, "CHECKPOINT_RESTORE"}};
	char *text = NULL, *at;
	uint64_t caps = 0;
	bool all = true;

	if (hp_read_file(AT_FDCWD, "/proc/self/status", 65536, &text, NULL) == 0) {
		at = strstr(text, "CapEff:");
		caps = at ? strtoull(at + 7, NULL, 16) : 0;
		free(text);
	}
	FOUND("uid %u", geteuid());
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		size_t len = strlen(found);

		if (caps >> needed[i].bit & 1)
			continue;
		snprintf(found + len, n - len, "%s%s", all ? ", lacks CAP_" : ", CAP_",
			 needed[i].name);
		all = false;
	}
	return all;
}

static bool try_btf(const struct hp_daemon *d, char *found, size_t n)
{
	return by_errno(access("/sys/kernel/btf/vmlinux", R_OK) == 0, found, n);
}

static bool try_bpffs(const struct hp_daemon *d, char *found, size_t n)
{
	struct statfs fs;
	bool ok = statfs("/sys/fs/bpf", &fs) == 0 && fs.f_type == BPF_FS_MAGIC;

	FOUND("%s", ok ? "mounted on /sys/fs/bpf" : "not mounted on /sys/fs/bpf");
	return ok;
}

static bool try_bpf(const struct hp_daemon *d, char *found, size_t n)
{
	FOUND("%s", d->watch ? "loaded and verified" : d->watch_why);
	return d->watch;
}

static bool try_uprobe_multi(const struct hp_daemon *d, char *found, size_t n)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool ok = btf && btf__find_by_name_kind(btf, "bpf_uprobe_multi_link", BTF_KIND_STRUCT) > 0;

	btf__free(btf);
	FOUND("%s", ok ? "in this kernel" : "not in this kernel");
	return ok;
}

static bool try_uffd(const struct hp_daemon *d, char *found, size_t n)
{
	hp_autoclose int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_THREAD_ID};

	return by_errno(fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0, found, n);
}

static bool try_pidfd(const struct hp_daemon *d, char *found, size_t n)
{
	hp_autoclose int self = pidfd_open(getpid(), 0);
	hp_autoclose int dup = self >= 0 ? pidfd_getfd(self, self, 0) : -1;

	return by_errno(dup >= 0, found, n);
}

static bool try_ring(const struct hp_daemon *d, char *found, size_t n)
{
	FOUND("%s", hp_ring_features(d->ring));
	return true; /* hpd does not run without */
}

static bool try_seccomp(const struct hp_daemon *d, char *found, size_t n)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;

	return by_errno(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0, found, n);
}

static bool try_state_dir(const struct hp_daemon *d, char *found, size_t n)
{
	bool ok = access(d->opt.state_dir, W_OK | X_OK) == 0;

	FOUND("%s: %s", d->opt.state_dir, ok ? "writable" : strerror(errno));
	return ok;
}

static bool try_yama(const struct hp_daemon *d, char *found, size_t n)
{
	hp_autoclose int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
	char c = '0';

	if (fd < 0 || read(fd, &c, 1) != 1) {
		FOUND("no Yama");
		return true;
	}
	FOUND("ptrace_scope %c", c);
	return c < '3';
}

/* proc_mem.force_override=never (Linux 6.12) forbids what text is written with. */
static bool try_proc_mem(const struct hp_daemon *d, char *found, size_t n)
{
	hp_autoclose int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool ok;

	if (page == MAP_FAILED)
		return by_errno(false, found, n);
	ok = fd >= 0 && pwrite(fd, "x", 1, (off_t)(uintptr_t)page) == 1;
	by_errno(ok, found, n);
	munmap(page, 4096);
	return ok;
}

static bool try_kcmp(const struct hp_daemon *d, char *found, size_t n)
{
	return by_errno(syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0) == 0, found, n);
}

/* --- hp's own processes -------------------------------------------------------------------------- */

static bool try_front(const struct hp_daemon *d, char *found, size_t n)
{
	return hp_confined_is(d->front.pid, HP_ROLE_FRONT, found, n);
}

static bool try_reader(const struct hp_daemon *d, char *found, size_t n)
{
	return hp_confined_try(HP_ROLE_READER, found, n);
}

static bool try_gatekeeper(const struct hp_daemon *d, char *found, size_t n)
{
	return hp_confined_try(HP_ROLE_GATEKEEPER, found, n);
}

static bool try_keeper(const struct hp_daemon *d, char *found, size_t n)
{
	return hp_confined_try(HP_ROLE_KEEPER, found, n);
}

/* The process that forked us. */
static bool try_monitor(const struct hp_daemon *d, char *found, size_t n)
{
	hp_confined_monitor(getppid(), found, n);
	return true;
}

static const struct check checks[] = {
	{"capabilities", true, try_caps, "no process can be patched"},
	{"pidfd", true, try_pidfd, "no process can be patched"},
	{"userfaultfd", true, try_uffd, "no gate: functions cannot go live together"},
	{"seccomp", true, try_seccomp, "hp's small processes would not be confined: nothing starts"},
	{"io_uring", true, try_ring, "hpd does not run"},
	{"state-dir", true, try_state_dir, "patches cannot be stored"},
	{"yama", true, try_yama, "ptrace is off until the next boot"},
	{"proc-mem", true, try_proc_mem,
	 "no process can be patched: its text cannot be written (proc_mem.force_override=)"},
	{"btf", false, try_btf, "the BPF programs cannot be loaded"},
	{"bpf", false, try_bpf,
	 "calls are not counted: --quiesce gate only, and every look stops its thread"},
	{"uprobe-multi", false, try_uprobe_multi,
	 "calls are not counted: --quiesce gate only (Linux 6.6)"},
	{"bpffs", false, try_bpffs, "counts are not to be seen with bpftool"},
	{"monitor", false, try_monitor, ""},
	{"front", true, try_front, "what clients send is read with more rights than it takes"},
	{"reader", true, try_reader, "no patch is read"},
	{"gatekeeper", true, try_gatekeeper, "no gate: functions cannot go live together"},
	{"keeper", false, try_keeper, "calls are not counted: --quiesce gate only"},
	{"kcmp", false, try_kcmp, "vfork children that share the memory are not found"},
};

json_t *hp_doctor(const struct hp_daemon *d)
{
	json_t *list = json_array();
	struct utsname uts;

	for (size_t i = 0; list && i < sizeof(checks) / sizeof(checks[0]); i++) {
		const struct check *c = &checks[i];
		char found[256] = "";
		bool ok = c->try(d, found, sizeof(found));

		if (json_array_append_new(list, json_pack("{s:s,s:b,s:b,s:s,s:s}", "name", c->name,
							  "ok", ok, "essential", c->essential,
							  "found", found, "cost", c->cost)) < 0) {
			json_decref(list);
			list = NULL;
		}
	}
	uname(&uts);
	return json_pack("{s:i,s:s,s:s,s:o}", "schema", 1, "kernel", uts.release, "machine",
			 uts.machine, "checks", list);
}
