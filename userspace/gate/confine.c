/* SPDX-License-Identifier: MIT */
/*
 * The gatekeeper's seccomp filter.  It keeps its capabilities, for it takes a userfaultfd out of
 * the agent at every arming; everything else that they would allow is shut off here.
 */
#include "gate/gatekeeper.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>

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

static const int allowed[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(close),
	SCMP_SYS(futex),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	/* libseccomp frees memory of its own after the filter is in force. */
	SCMP_SYS(munmap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
};

static const unsigned long allowed_ioctl[] = {
	UFFDIO_API, UFFDIO_REGISTER, UFFDIO_COPY, UFFDIO_ZEROPAGE, FIONBIO,
};

static int add_rules(scmp_filter_ctx ctx)
{
	int r = 0;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed) && !r; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; i < sizeof(allowed_ioctl) / sizeof(*allowed_ioctl) && !r; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_EQ, allowed_ioctl[i], 0));
	return r;
}

int hp_gatekeeper_confine(void)
{
	scmp_filter_ctx ctx;
	int r;

	if (UNDER_SANITIZER)
		return 0;
	ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!ctx)
		return -ENOMEM;
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!r)
		r = add_rules(ctx);
	if (!r)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}
