/* SPDX-License-Identifier: MIT */
/* Loads the programs, which are one set for all targets; see slot.c and view.c for what a target has. */
#include "watch/watch.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/kernel.h"
#include "base/log.h"
#include "bpf/inflight.skel.h"
#include "hp/err.h"
#include "watch/watch_priv.h"

#define BPFFS "/sys/fs/bpf"

__attribute__((format(printf, 2, 0))) static int print(enum libbpf_print_level level,
						       const char *fmt, va_list ap)
{
	char line[512];
	int n;

	if (level != LIBBPF_WARN)
		return 0;
	n = vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = 0;
	hp_debug("%s", line);
	return n;
}

static int mount_bpffs(struct hp_err *err)
{
	struct statfs fs;

	if (statfs(BPFFS, &fs))
		return hp_err_sys(err, errno, "no " BPFFS " to mount bpffs on");
	if (fs.f_type == BPF_FS_MAGIC)
		return 0;
	if (mount("bpffs", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return hp_err_sys(err, errno, "cannot mount bpffs on " BPFFS);
	return 0;
}

/* libbpf 1.1 knows no uprobe_multi: type and attach type are set by hand, links made by hand. */
static void prepare_programs(struct inflight *skel)
{
	struct bpf_program *probe[] = {skel->progs.entry, skel->progs.leave, skel->progs.hold};
	struct bpf_map *template[] = {skel->maps.inflight_of_slot, skel->maps.session_of_slot,
				      skel->maps.names_of_slot, skel->maps.edges_of_slot};

	for (size_t i = 0; i < sizeof(probe) / sizeof(*probe); i++) {
		bpf_program__set_type(probe[i], BPF_PROG_TYPE_KPROBE);
		bpf_program__set_expected_attach_type(probe[i], HP_BPF_TRACE_UPROBE_MULTI);
	}
	for (size_t i = 0; i < sizeof(template) / sizeof(*template); i++)
		bpf_map__set_autocreate(template[i], false);
}

static int load_failed(int r, struct hp_err *err)
{
	if (r == -EPERM || r == -EACCES)
		return hp_err_set(
			err, -HP_E_DENIED,
			"loading BPF programs is not permitted: hpd needs root, or CAP_BPF, "
			"CAP_PERFMON and CAP_SYS_ADMIN");
	return hp_err_sys(err, -r,
			  "the kernel does not take hp's BPF programs (hpctl doctor says more)");
}

static int load(struct hp_watch *w, struct hp_err *err)
{
	int r;

	w->skel = inflight__open();
	if (!w->skel)
		return load_failed(-errno, err);
	prepare_programs(w->skel);
	r = inflight__load(w->skel);
	if (r)
		return load_failed(r, err);
	w->skel->links.thread_exit = bpf_program__attach(w->skel->progs.thread_exit);
	return w->skel->links.thread_exit ? 0 : load_failed(-errno, err);
}

static void remember(struct hp_watch *w)
{
	struct inflight *skel = w->skel;

	w->btf_fd = bpf_object__btf_fd(skel->obj);
	w->prog[HP_PROBE_ENTRY] = bpf_program__fd(skel->progs.entry);
	w->prog[HP_PROBE_EXIT] = bpf_program__fd(skel->progs.leave);
	w->prog[HP_PROBE_HOLD] = bpf_program__fd(skel->progs.hold);
	w->threads = bpf_map__fd(skel->maps.threads);
	w->outer[MAP_INFLIGHT] = bpf_map__fd(skel->maps.inflight);
	w->outer[MAP_SESSION] = bpf_map__fd(skel->maps.session);
	w->outer[MAP_EDGES] = bpf_map__fd(skel->maps.edges);
	w->outer[MAP_NAMES] = -1;
	w->of_slot[MAP_INFLIGHT] = skel->maps.inflight_of_slot;
	w->of_slot[MAP_SESSION] = skel->maps.session_of_slot;
	w->of_slot[MAP_EDGES] = skel->maps.edges_of_slot;
	w->of_slot[MAP_NAMES] = skel->maps.names_of_slot;
}

/* By its number in another namespace another thread would be found. */
static int refuse_namespace(struct hp_err *err)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) == 0 && st.st_ino == HP_PROC_PID_INIT_INO)
		return 0;
	return hp_err_set(err, -HP_E_DENIED,
			  "hpd is in a pid namespace of its own, and BPF programs know threads by their "
			  "numbers outside of it");
}

int hp_watch_open(struct hp_watch **ret, struct hp_err *err)
{
	struct hp_watch *w;
	int r = refuse_namespace(err);

	if (r)
		return r;
	w = calloc(1, sizeof(*w));
	if (!w)
		return hp_err_sys(err, ENOMEM, "watch");
	libbpf_set_print(print);
	w->shared = mmap(NULL, sizeof(*w->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w->shared == MAP_FAILED) {
		free(w);
		return hp_err_sys(err, errno, "memory shared with the jobs");
	}
	r = load(w, err);
	if (!r)
		r = mount_bpffs(err);
	if (r) {
		hp_watch_close(w);
		return r;
	}
	remember(w);
	hp_watch_spare(w);
	*ret = w;
	return 0;
}

void hp_watch_close(struct hp_watch *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < w->n_pairs; i++)
		watch_pair_free(w, w->pair[i]);
	inflight__destroy(w->skel);
	(void)munmap(w->shared, sizeof(*w->shared)); /* EINVAL only */
	free(w);
}

int hp_watch_snap_prog(const struct hp_watch *w)
{
	return bpf_program__fd(w->skel->progs.snap);
}

int hp_watch_sharer_prog(const struct hp_watch *w)
{
	return bpf_program__fd(w->skel->progs.sharer);
}
