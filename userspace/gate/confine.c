/* SPDX-License-Identifier: MIT */
/*
 * The gatekeeper's seccomp filter.  It keeps its capabilities, for it takes a userfaultfd out of
 * the agent at every arming; everything else that they would allow is shut off here.
 */
#include "gate/gatekeeper.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define UNDER_SANITIZER 1
#endif

/* The runtime of a sanitizer makes calls of its own. */
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER 0
#endif

static const uint32_t allowed[] = {
	SYS_read,
	SYS_write,
	SYS_poll,
	SYS_ppoll,
	SYS_sendmsg,
	SYS_recvmsg,
	SYS_close,
	SYS_futex,
	SYS_clock_gettime,
	SYS_clock_nanosleep,
	SYS_pidfd_open,
	SYS_pidfd_getfd,
	SYS_restart_syscall,
	SYS_rt_sigreturn,
	SYS_exit,
	SYS_exit_group,
};

static const uint32_t allowed_ioctl[] = {
	UFFDIO_API, UFFDIO_REGISTER, UFFDIO_COPY, UFFDIO_ZEROPAGE, FIONBIO,
};

#define N_ALLOWED (sizeof(allowed) / sizeof(*allowed))
#define N_IOCTL	  (sizeof(allowed_ioctl) / sizeof(*allowed_ioctl))
#define OFFSET(f) ((uint32_t)offsetof(struct seccomp_data, f))

struct program {
	struct sock_filter v[6 + 2 * N_ALLOWED + 2 * N_IOCTL];
	unsigned short n;
};

static void add(struct program *p, uint16_t code, uint32_t k, uint8_t otherwise_skip)
{
	p->v[p->n++] = (struct sock_filter){.code = code, .jf = otherwise_skip, .k = k};
}

static void allow_if(struct program *p, uint32_t value)
{
	add(p, BPF_JMP | BPF_JEQ | BPF_K, value, 1);
	add(p, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0);
}

static void fill(struct program *p)
{
	/* Another ABI's numbers mean other calls; x32's are above all of these. */
	add(p, BPF_LD | BPF_W | BPF_ABS, OFFSET(arch), 0);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 3 + 2 * N_ALLOWED + 2 * N_IOCTL);
	add(p, BPF_LD | BPF_W | BPF_ABS, OFFSET(nr), 0);
	for (size_t i = 0; i < N_ALLOWED; i++)
		allow_if(p, allowed[i]);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1 + 2 * N_IOCTL);
	/* The kernel takes the low half of the argument only. */
	add(p, BPF_LD | BPF_W | BPF_ABS, OFFSET(args[1]), 0);
	for (size_t i = 0; i < N_IOCTL; i++)
		allow_if(p, allowed_ioctl[i]);
	add(p, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0);
}

int hp_gatekeeper_confine(void)
{
	struct program p = {.n = 0};
	struct sock_fprog prog = {.filter = p.v};
	long r;

	if (UNDER_SANITIZER)
		return 0;
	fill(&p);
	prog.len = p.n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog);
	/* A positive result is the thread that could not follow. */
	return r < 0 ? -errno : r ? -ESRCH : 0;
}
