/* SPDX-License-Identifier: MIT */
/*
 * libseccomp makes the program, the kernel's own call loads it: version 2.5 cannot ask for
 * SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, without which a signal (Go sends itself many) would make
 * the call begin anew while it is being answered.
 */
#include "restart/filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#define INSNS_MAX 256

static int add_rules(scmp_filter_ctx ctx)
{
	static const int told[] = {SCMP_SYS(bind), SCMP_SYS(unlink), SCMP_SYS(unlinkat)};
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));

	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]) && !r; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, told[i], 0);
	return r;
}

/* Into @insns; their number. */
static int make_program(struct sock_filter *insns)
{
	hp_autoclose int fd = hp_memfd("hp-filter", 0);
	scmp_filter_ctx ctx;
	struct stat st;
	int r;

	if (fd < 0)
		return -errno;
	ctx = seccomp_init(SCMP_ACT_ALLOW);
	if (!ctx)
		return -ENOMEM;
	r = add_rules(ctx);
	if (!r)
		r = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	if (r)
		return r;
	if (fstat(fd, &st))
		return -errno;
	if ((size_t)st.st_size > INSNS_MAX * sizeof(*insns))
		return -E2BIG;
	r = hp_pread_all(fd, insns, (size_t)st.st_size, 0);
	return r < 0 ? r : (int)((size_t)st.st_size / sizeof(*insns));
}

int hp_filter_install(void)
{
	struct sock_filter insns[INSNS_MAX];
	struct sock_fprog program = {.filter = insns};
	int n = make_program(insns);
	long fd;

	if (n < 0)
		return n;
	program.len = (unsigned short)n;
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		     SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
		     &program);
	return fd < 0 ? -errno : (int)fd;
}
