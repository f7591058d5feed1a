/* SPDX-License-Identifier: MIT */
/*
 * The probe keeper.  A SIGKILL during attach or detach leaks the uprobe in the kernel, and the
 * controller is the process that gets killed: so the links belong to this one, which has no work
 * but to wait for the end of its socket, and which takes its time then.
 */
#include "watch/keeper.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/helper.h"
#include "base/kernel.h"
#include "hp/err.h"

#define ANSWER_NS  (10 * HP_S)
#define PROBES_MAX (1u << 20) /* MAX_UPROBE_MULTI_CNT of the kernel */

typedef HP_ARRAY(int) link_list;

enum { FD_PROGRAM, FD_FILE, FD_SITES, N_FDS };

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

static int attach(link_list *links, const struct probes_request *q, const int *fd, uint32_t *ret_id)
{
	size_t bytes = 2ul * q->n * sizeof(uint64_t);
	struct bpf_link_info info = {0};
	uint32_t n_info = sizeof(info);
	hp_autoclose int link = -1;
	void *sites;
	int *room, r;

	if (!q->n || q->n > PROBES_MAX)
		return -EINVAL;
	sites = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd[FD_SITES], 0);
	if (sites == MAP_FAILED)
		return -errno;
	r = make_link(q, fd, sites);
	(void)munmap(sites, bytes); /* EINVAL only */
	if (r < 0)
		return r;
	link = r;
	if (bpf_obj_get_info_by_fd(link, &info, &n_info))
		return -errno;
	room = HP_ARRAY_ADD(links);
	if (!room)
		return -ENOMEM;
	*room = HP_TAKE_FD(link);
	*ret_id = info.id;
	return 0;
}

static void drop(link_list *links, size_t n)
{
	while (n-- && links->n)
		hp_close(&links->v[--links->n]);
}

static bool serve(int sock, link_list *links)
{
	struct probes_request q;
	struct probes_reply reply = {0};
	int fd[N_FDS];
	size_t n_fds = N_FDS;

	if (hp_recv_fds(sock, &q, sizeof(q), fd, &n_fds))
		return false;
	if (q.op == PROBES_ATTACH && n_fds == N_FDS)
		reply.rc = attach(links, &q, fd, &reply.link_id);
	else if (q.op == PROBES_DROP)
		drop(links, q.n);
	else
		reply.rc = -EBADMSG;
	for (size_t i = 0; i < n_fds; i++)
		hp_close(&fd[i]);
	return hp_send_fds(sock, &reply, sizeof(reply), NULL, 0) == 0;
}

_Noreturn static void keeper_run(int sock, const struct probe_keeper_end *end)
{
	const int keep[] = {sock, end->fd[0], end->fd[1]};
	struct probes_reply hello = {.link_id = (uint32_t)getpid()};
	link_list links = {0};
	hp_autoclose int self = -1;

	if (hp_helper_begin("hp-probes", keep, 3))
		_exit(1);
	self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (self < 0 || hp_send_fds(sock, &hello, sizeof(hello), &self, 1))
		_exit(1);
	while (serve(sock, &links))
		;
	/* While the process is whole: what the kernel closes for a killed one may leak. */
	drop(&links, links.n);
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
