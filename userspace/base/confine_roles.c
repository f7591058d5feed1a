/* SPDX-License-Identifier: MIT */
/*
 * The table of docs/SECURITY.md.
 *
 * Each role has a uid of its own, from the range that Debian and systemd leave alone (65520-65533):
 * a process of the same uid could stop it, and a gatekeeper that is stopped keeps threads parked.
 */
#include "base/confine.h"

#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/userfaultfd.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define CAP(c)	    (1ull << (c))
#define N(array)    (sizeof(array) / sizeof((array)[0]))
#define WHOLE	    (~0ull)
#define CALLS(list) .calls = (list), .n_calls = N(list)
#define NARROW(list) .narrowed = (list), .n_narrowed = N(list)

/* Requests come on its ring, which takes nothing else either (ipc/ring.h); what goes to the monitor and
 * comes from it, by sendmsg and recvmsg on the one socket: a client may pass it descriptors in vain. */
static const int front[] = {
	SCMP_SYS(io_uring_enter), SCMP_SYS(shutdown), SCMP_SYS(close), SCMP_SYS(poll),
};
static const struct hp_narrowed front_narrowed[] = {
	{SCMP_SYS(sendmsg), 0, WHOLE, HP_FRONT_SOCKET},
	{SCMP_SYS(recvmsg), 0, WHOLE, HP_FRONT_SOCKET},
};

/* Its input was mapped before; qsort(3) asks how much memory there is, libdw where a file lies. */
static const int reader[] = {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(sysinfo)};
static const int reader_refused[] = {SCMP_SYS(readlink)};

/* It takes a userfaultfd out of the agent at every arming: that is what pidfd_getfd is for. */
static const int gatekeeper[] = {
	SCMP_SYS(read),	 SCMP_SYS(write),   SCMP_SYS(poll),
	SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(close),
	SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_getfd),
};
static const struct hp_narrowed gatekeeper_narrowed[] = {
	{SCMP_SYS(ioctl), 1, WHOLE, UFFDIO_API},  {SCMP_SYS(ioctl), 1, WHOLE, UFFDIO_REGISTER},
	{SCMP_SYS(ioctl), 1, WHOLE, UFFDIO_COPY}, {SCMP_SYS(ioctl), 1, WHOLE, UFFDIO_ZEROPAGE},
	{SCMP_SYS(ioctl), 1, WHOLE, FIONBIO},
};

/* Its probes are pinned in bpffs, by name, so that it keeps its root and is root; files of others are
 * as closed to it as to anybody. */
static const int keeper[] = {
	SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(close),	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64), SCMP_SYS(mkdir),  SCMP_SYS(unlink), SCMP_SYS(membarrier),
};
static const struct hp_narrowed keeper_narrowed[] = {
	{SCMP_SYS(bpf), 0, WHOLE, BPF_LINK_CREATE},
	{SCMP_SYS(bpf), 0, WHOLE, BPF_OBJ_GET_INFO_BY_FD},
	{SCMP_SYS(bpf), 0, WHOLE, BPF_OBJ_PIN},
	{SCMP_SYS(bpf), 0, WHOLE, BPF_MAP_UPDATE_ELEM},
};

const struct hp_confinement hp_confinements[HP_ROLES] = {
	[HP_ROLE_FRONT] = {.name = "front", .uid = 65530, CALLS(front), NARROW(front_narrowed)},
	[HP_ROLE_READER] = {.name = "reader",
			    .uid = 65531,
			    CALLS(reader),
			    .refused = reader_refused,
			    .n_refused = N(reader_refused)},
	[HP_ROLE_GATEKEEPER] = {.name = "gatekeeper",
				.uid = 65532,
				.caps = CAP(CAP_SYS_PTRACE) | CAP(CAP_IPC_LOCK),
				CALLS(gatekeeper),
				NARROW(gatekeeper_narrowed)},
	[HP_ROLE_KEEPER] = {.name = "keeper",
			    .caps = CAP(CAP_BPF) | CAP(CAP_PERFMON),
			    CALLS(keeper),
			    NARROW(keeper_narrowed)},
};
