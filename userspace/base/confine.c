/* SPDX-License-Identifier: MIT */
#include "base/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"

#define FILTER_MAX 256 /* instructions */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define UNDER_SANITIZER 1
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER 0
#endif

/* What libc does by itself: memory, time, locks, the end. */
static const int everybodys[] = {
	SCMP_SYS(futex),	   SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigreturn),  SCMP_SYS(exit),
	SCMP_SYS(exit_group),	   SCMP_SYS(munmap),	    SCMP_SYS(madvise),
	SCMP_SYS(mremap),	   SCMP_SYS(brk),
};

/* … and memory that is not code; the last words of libc. */
static const struct hp_narrowed everybodys_narrowed[] = {
	{SCMP_SYS(mmap), 2, PROT_EXEC, 0},
	{SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
	{SCMP_SYS(write), 0, ~0ull, STDERR_FILENO},
};

/* --- rights -------------------------------------------------------------------------------------- */

static int set_caps(uint64_t permitted, uint64_t effective, struct hp_err *err)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct v[2];

	if (syscall(SYS_capget, &head, v) < 0)
		return hp_err_sys(err, errno, "read one's capabilities");
	for (int i = 0; i < 2; i++) {
		v[i].permitted &= (uint32_t)(permitted >> (32 * i));
		v[i].effective = v[i].permitted & (uint32_t)(effective >> (32 * i));
		v[i].inheritable &= v[i].permitted;
	}
	if (syscall(SYS_capset, &head, v) < 0)
		return hp_err_sys(err, errno, "set one's capabilities");
	return 0;
}

/* With it an execve gives root nothing that it had not (security/commoncap.c,
 * cap_bprm_creds_from_file()): the bounding set, 40 system calls to empty, need not be touched. */
static int no_new_privileges(struct hp_err *err)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
		       ? hp_err_sys(err, errno, "forgo new privileges")
		       : 0;
}

int hp_confine_caps(uint64_t keep, struct hp_err *err)
{
	int k = no_new_privileges(err);

	return k < 0 ? k : set_caps(keep, keep, err);
}

int hp_confine_effective(uint64_t keep, struct hp_err *err)
{
	return set_caps(~0ull, keep, err);
}

/* A directory of root's that nobody else writes to. */
static int enter_empty_root(struct hp_err *err)
{
	struct stat st;

	if ((mkdir("/run/hp", 0755) < 0 && errno != EEXIST) ||
	    (mkdir(HP_EMPTY_ROOT, 0555) < 0 && errno != EEXIST))
		return hp_err_sys(err, errno, "make " HP_EMPTY_ROOT);
	if (chdir(HP_EMPTY_ROOT) < 0 || stat(".", &st) < 0)
		return hp_err_sys(err, errno, "enter " HP_EMPTY_ROOT);
	if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return hp_err_set(err, -HP_E_FAILED,
				  HP_EMPTY_ROOT " must be a directory of root's, which nobody else may "
				  "write to");
	if (chroot(".") < 0)
		return hp_err_sys(err, errno, "make " HP_EMPTY_ROOT " the root");
	return 0;
}

static int become(const struct hp_confinement *c, struct hp_err *err)
{
	if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setgroups(0, NULL) < 0 ||
	    setresgid(c->uid, c->uid, c->uid) < 0 || setresuid(c->uid, c->uid, c->uid) < 0)
		return hp_err_sys(err, errno, "become user %u", c->uid);
	return hp_confine_caps(c->caps, err);
}

/* What its calls shut off too, but a descriptor that it was given does not. */
static int limit(struct hp_err *err)
{
	static const int none[] = {RLIMIT_FSIZE, RLIMIT_NPROC, RLIMIT_CORE, RLIMIT_MSGQUEUE};
	const struct rlimit zero = {0, 0};

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (setrlimit((enum __rlimit_resource)none[i], &zero) < 0)
			return hp_err_sys(err, errno, "limit %d of its own", none[i]);
	return 0;
}

int hp_confine_rights(enum hp_role role, struct hp_err *err)
{
	const struct hp_confinement *c = &hp_confinements[role];
	int k = c->uid ? enter_empty_root(err) : 0;

	if (k == 0)
		k = c->uid ? become(c, err) : hp_confine_caps(c->caps, err);
	if (k == 0 && prctl(PR_SET_DUMPABLE, 0) < 0)
		k = hp_err_sys(err, errno, "forbid others to look inside");
	return k;
}

/* --- calls --------------------------------------------------------------------------------------- */

static int allow(scmp_filter_ctx ctx, const int *call, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && !r; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call[i], 0);
	return r;
}

static int allow_narrowed(scmp_filter_ctx ctx, const struct hp_narrowed *v, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && !r; i++) {
		struct scmp_arg_cmp cmp =
			SCMP_CMP64(v[i].arg, SCMP_CMP_MASKED_EQ, v[i].mask, v[i].value);

		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, v[i].call, 1, &cmp);
		r = r == -EEXIST ? 0 : r; /* it is allowed with any argument */
	}
	return r;
}

static int refuse(scmp_filter_ctx ctx, const int *call, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && !r; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOENT), call[i], 0);
	return r;
}

static int add_rules(scmp_filter_ctx ctx, const struct hp_confinement *c)
{
	int r = allow(ctx, everybodys, sizeof(everybodys) / sizeof(everybodys[0]));

	if (!r)
		r = allow(ctx, c->calls, c->n_calls);
	if (!r)
		r = allow_narrowed(ctx, everybodys_narrowed,
				   sizeof(everybodys_narrowed) / sizeof(everybodys_narrowed[0]));
	if (!r)
		r = allow_narrowed(ctx, c->narrowed, c->n_narrowed);
	return r ? r : refuse(ctx, c->refused, c->n_refused);
}

/* --- the program --------------------------------------------------------------------------------- */

/* Made once for all forks: libseccomp takes longer for it than the fork does. */
static struct {
	struct sock_filter code[FILTER_MAX];
	unsigned short n; /* 0: not made yet */
} prepared[HP_ROLES];

static int read_program(enum hp_role role, int fd)
{
	size_t one = sizeof(prepared[role].code[0]);
	ssize_t n = pread(fd, prepared[role].code, sizeof(prepared[role].code), 0);

	if (n <= 0 || (size_t)n == sizeof(prepared[role].code) || (size_t)n % one)
		return -E2BIG;
	prepared[role].n = (unsigned short)((size_t)n / one);
	return 0;
}

int hp_confine_prepare(enum hp_role role, struct hp_err *err)
{
	const struct hp_confinement *c = &hp_confinements[role];
	scmp_filter_ctx ctx;
	int r;

	if (prepared[role].n)
		return 0;
	ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	hp_autoclose int fd = hp_memfd("filter", 0);
	r = fd < 0 ? -errno : ctx ? add_rules(ctx, c) : -ENOMEM;
	if (!r)
		r = seccomp_export_bpf(ctx, fd);
	if (!r)
		r = read_program(role, fd);
	seccomp_release(ctx);
	return r ? hp_err_sys(err, -r, "seccomp filter of the %s", c->name) : 0;
}

int hp_confine_calls(enum hp_role role, struct hp_err *err)
{
	struct sock_fprog program = {.filter = prepared[role].code};
	/* The filter comes in a file, and the limits let none be written. */
	int r = hp_confine_prepare(role, err);

	if (r == 0)
		r = limit(err);
	if (r < 0 || UNDER_SANITIZER)
		return r;
	program.len = prepared[role].n;
	/* In all threads. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program))
		return hp_err_sys(err, errno, "seccomp filter of the %s",
				  hp_confinements[role].name);
	return 0;
}
