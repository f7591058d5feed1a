/* SPDX-License-Identifier: MIT */
/*
 * The probe keeper.  A SIGKILL during attach or detach leaks the uprobe in the kernel, and the
 * controller is the process that gets killed: so the links belong to this one, which has no work
 * but to wait for the end of its socket, and which takes its time then.
 *
 * Under an int3 that it holds, the job writes the rest of an instruction.  When a probe goes, the
 * kernel puts the file's byte back over the int3; over half of another instruction, if the job was
 * killed in between.  So the keeper has what belongs there, and writes it while the int3 stands.
 *
 * The keeper may be killed with the job (a whole cgroup is).  So such a probe is pinned before the
 * job hears of it; it lasts until a keeper, or a new hpd's job, has made whole what is behind it.
 * One that the job did not hear of any more is left so: by the time that something is written there,
 * the int3 may be a successor's.
 */
#include "watch/keeper.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/helper.h"
#include "base/kernel.h"
#include "base/log.h"
#include "hp/err.h"
#include "watch/watch_priv.h"

#define ANSWER_NS  (10 * HP_S)
#define PROBES_MAX (1u << 20) /* MAX_UPROBE_MULTI_CNT of the kernel */

#define INT3	   0xcc
#define HELD	   HP_PINS "/held"
#define HELD_PATH  64

enum { FD_PROGRAM, FD_FILE, FD_SITES, FD_MEM, N_FDS };

struct held {
	struct hp_held site;
	size_t link; /* index */
};

struct keeper {
	int sock;
	HP_ARRAY(int) links;
	HP_ARRAY(struct held) held;
	uint32_t pid; /* whose memory @mem is */
	int mem;
	bool ended; /* in order */
};

static int link_id(int link, uint32_t *ret)
{
	struct bpf_link_info info = {0};
	uint32_t n_info = sizeof(info);

	if (bpf_obj_get_info_by_fd(link, &info, &n_info))
		return -errno;
	*ret = info.id;
	return 0;
}

static int make_link(const struct probes_request *q, const int *fd, const uint64_t *sites)
{
	char path[32];
	struct hp_bpf_uprobe_multi_attr attr = {
		.prog_fd = (uint32_t)fd[FD_PROGRAM],
		.attach_type = HP_BPF_TRACE_UPROBE_MULTI,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)sites,
		.cookies = (uintptr_t)(sites + q->n),
		.cnt = q->n,
		.pid = q->pid,
	};
	long r;

	/* The file itself, whatever its name points to by now. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd[FD_FILE]);
	r = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return r < 0 ? -errno : (int)r;
}

static void held_path(char path[HELD_PATH], uint32_t pid, uint32_t link)
{
	(void)snprintf(path, HELD_PATH, HELD "/%u-%u", pid, link);
}

/* Of a link that was not pinned there is none. */
static void unpin(const struct keeper *k, int link)
{
	char path[HELD_PATH];
	uint32_t id = 0;

	if (k->mem >= 0 && link_id(link, &id) == 0) {
		held_path(path, k->pid, id);
		(void)unlink(path); /* or a recovery was faster */
	}
}

static void drop(struct keeper *k, size_t n)
{
	while (n-- && k->links.n) {
		unpin(k, k->links.v[--k->links.n]);
		hp_close(&k->links.v[k->links.n]);
	}
	while (k->held.n && k->held.v[k->held.n - 1].link >= k->links.n)
		k->held.n--;
}

static int pin(const struct keeper *k, uint32_t id)
{
	char path[HELD_PATH];

	held_path(path, k->pid, id);
	if ((mkdir(HP_PINS, 0750) && errno != EEXIST) || (mkdir(HELD, 0750) && errno != EEXIST) ||
	    bpf_obj_pin(k->links.v[k->links.n - 1], path))
		return -errno;
	return 0;
}

/* @pid: those of it. True: there was one. */
static bool each_held(pid_t pid, bool release)
{
	DIR *d = opendir(HELD);
	struct dirent *e;
	bool any = false;

	while (d && (e = readdir(d))) {
		char *end;

		if (strtol(e->d_name, &end, 10) != pid || *end != '-')
			continue;
		any = true;
		if (release && unlinkat(dirfd(d), e->d_name, 0))
			hp_debug(HELD "/%s stays: %s", e->d_name, strerror(errno));
	}
	if (d)
		closedir(d);
	return any;
}

bool hp_held_is(pid_t pid)
{
	return each_held(pid, false);
}

void hp_held_release(pid_t pid)
{
	(void)each_held(pid, true); /* there need not be one */
}

static int remember_held(struct keeper *k, const struct probes_request *q, int *mem,
			 const struct hp_held *site)
{
	if (k->mem >= 0 && k->pid != q->pid)
		return -EINVAL;
	for (uint32_t i = 0; i < q->n; i++) {
		struct held *h = HP_ARRAY_ADD(&k->held);

		if (!h)
			return -ENOMEM;
		*h = (struct held){site[i], k->links.n - 1};
	}
	if (k->mem < 0)
		k->mem = HP_TAKE_FD(*mem);
	k->pid = q->pid;
	return 0;
}

/* The link, and what it is called. */
static int add_link(struct keeper *k, int made, uint32_t *ret_id)
{
	hp_autoclose int link = made;
	int *room, r = link_id(link, ret_id);

	if (r)
		return r;
	room = HP_ARRAY_ADD(&k->links);
	if (!room)
		return -ENOMEM;
	*room = HP_TAKE_FD(link);
	return 0;
}

static int attach(struct keeper *k, const struct probes_request *q, int *fd, uint32_t *ret_id)
{
	bool hold = q->op == PROBES_HOLD;
	size_t bytes = q->n * (2 * sizeof(uint64_t) + (hold ? sizeof(struct hp_held) : 0));
	uint64_t *sites;
	int r;

	if (!q->n || q->n > PROBES_MAX)
		return -EINVAL;
	sites = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd[FD_SITES], 0);
	if (sites == MAP_FAILED)
		return -errno;
	r = make_link(q, fd, sites);
	if (r >= 0)
		r = add_link(k, r, ret_id);
	if (r >= 0 && (r = hp_fault(HP_FAULT_KEEPER_PROBED, NULL)) < 0)
		drop(k, 1);
	if (r >= 0 && hold) {
		r = remember_held(k, q, &fd[FD_MEM], (const void *)(sites + 2ul * q->n));
		if (r >= 0)
			r = pin(k, *ret_id);
		if (r < 0)
			drop(k, 1);
	}
	(void)munmap(sites, bytes); /* EINVAL only */
	return r;
}

/* Pinned: the recovery's, which knows what belongs there. */
static void leave_last(struct keeper *k)
{
	hp_close(&k->links.v[--k->links.n]);
	while (k->held.n && k->held.v[k->held.n - 1].link >= k->links.n)
		k->held.n--;
}

static bool serve(struct keeper *k)
{
	struct probes_request q;
	struct probes_reply reply = {0};
	int fd[N_FDS];
	size_t n_fds = N_FDS;
	bool attaches, heard;

	if (hp_recv_fds(k->sock, &q, sizeof(q), fd, &n_fds))
		return false;
	attaches = (q.op == PROBES_ATTACH && n_fds == FD_MEM) ||
		   (q.op == PROBES_HOLD && n_fds == N_FDS);
	k->ended = q.op == PROBES_END;
	if (attaches)
		reply.rc = attach(k, &q, fd, &reply.link_id);
	else if (q.op == PROBES_DROP)
		drop(k, q.n);
	else
		reply.rc = -EBADMSG;
	for (size_t i = 0; i < n_fds; i++)
		hp_close(&fd[i]);
	if (k->ended)
		return false;
	heard = hp_send_fds(k->sock, &reply, sizeof(reply), NULL, 0) == 0;
	if (!heard && attaches && !reply.rc) {
		if (q.op == PROBES_HOLD)
			leave_last(k);
		else
			drop(k, 1);
	}
	return heard;
}

/* What fails here fails because the process, or its memory, is gone. */
static void mend(const struct keeper *k)
{
	bool wrote = false;

	for (size_t i = 0; i < k->held.n; i++) {
		const struct hp_held *h = &k->held.v[i].site;
		uint8_t head;

		/* Without an int3 the job has written the whole. */
		if (hp_pread_all(k->mem, &head, 1, (off_t)h->addr) || head != INT3)
			continue;
		wrote |= !hp_pwrite_all(k->mem, h->tail, HP_HELD_TAIL, (off_t)h->addr + 1);
	}
	/* Every core has been in the kernel since, and come back by an IRET, which serialises (Intel
	 * SDM 3A, 10.3): none has the old bytes fetched when the int3 goes.  Where it is not to be
	 * had (EINVAL with nohz_full=) the kernel's own TLB flush before it changes the byte does. */
	if (wrote)
		(void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

_Noreturn static void keeper_run(int sock, const struct probe_keeper_end *end)
{
	const int keep[] = {sock, end->fd[0], end->fd[1]};
	struct probes_reply hello = {.link_id = (uint32_t)getpid()};
	struct keeper k = {.sock = sock, .mem = -1};
	hp_autoclose int self = -1;

	if (hp_helper_begin("hp-probes", keep, 3))
		_exit(1);
	self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (self < 0 || hp_confine_rights(HP_ROLE_KEEPER, NULL) ||
	    hp_confine_calls(HP_ROLE_KEEPER, NULL) ||
	    hp_send_fds(sock, &hello, sizeof(hello), &self, 1))
		_exit(1);
	hp_fault_pass(HP_FAULT_KEEPER_READY);
	while (serve(&k))
		;
	hp_fault_pass(HP_FAULT_KEEPER_END);
	if (!k.ended)
		mend(&k);
	hp_fault_pass(HP_FAULT_KEEPER_MENDED);
	/* While the process is whole: what the kernel closes for a killed one may leak. */
	drop(&k, k.links.n);
	hp_fault_pass(HP_FAULT_KEEPER_DETACHED);
	end->call(end->arg);
	_exit(0);
}

/* Two forks, so that init reaps the keeper and the job need not wait for its detach. */
static int fork_keeper(int sock, int other_end, const struct probe_keeper_end *end)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (!child) {
		pid_t keeper;

		close(other_end); /* before anything else: its end must be seen by the keeper */
		keeper = fork();
		if (keeper)
			_exit(keeper < 0 ? errno : 0);
		keeper_run(sock, end);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (!WIFEXITED(status))
		return -ECHILD;
	return -WEXITSTATUS(status);
}

int probe_keeper_receive(int sock, struct probes_reply *ret, int *fd)
{
	uint64_t deadline = hp_now_ns() + ANSWER_NS;
	size_t n_fds = fd ? 1 : 0;
	int r;

	for (;;) {
		uint64_t now = hp_now_ns();
		struct pollfd p = {.fd = sock, .events = POLLIN};

		if (now >= deadline)
			return -ETIMEDOUT;
		r = poll(&p, 1, (int)((deadline - now) / HP_MS) + 1);
		if (r > 0)
			break;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
	r = hp_recv_fds(sock, ret, sizeof(*ret), fd, &n_fds);
	return r || !fd || n_fds ? r : -EBADMSG;
}

int probe_keeper_start(int *ret_sock, int *ret_pidfd, pid_t *ret_pid,
		       const struct probe_keeper_end *end, struct hp_err *err)
{
	hp_autoclose int mine = -1;
	hp_autoclose int its = -1;
	struct probes_reply hello;
	int sv[2], pidfd, r;

	r = hp_socketpair(sv);
	if (r)
		return hp_err_sys(err, -r, "socketpair for the probe keeper");
	mine = sv[0];
	its = sv[1];
	r = fork_keeper(its, mine, end);
	if (r)
		return hp_err_sys(err, -r, "fork of the probe keeper");
	hp_close(&its);
	r = probe_keeper_receive(mine, &hello, &pidfd);
	if (r)
		return hp_err_sys(err, -r, "the probe keeper did not start");
	*ret_sock = HP_TAKE_FD(mine);
	*ret_pidfd = pidfd;
	*ret_pid = (pid_t)hello.link_id;
	return 0;
}
