/* SPDX-License-Identifier: MIT */
/*
 * base/kernel.h – interfaces of the kernel that the installed headers and libraries (Debian 12:
 * Linux 6.1 headers, libbpf 1.1, glibc 2.36) do not know yet.  The one place for them.
 */
#ifndef HP_BASE_KERNEL_H
#define HP_BASE_KERNEL_H

#include <stdint.h>

/* pidfd_open(2) of a thread: Linux 6.9, commit 64bef697d33b; the value of O_EXCL. */
#ifndef PIDFD_THREAD
#define PIDFD_THREAD 0200
#endif

/* BPF_TRACE_UPROBE_MULTI: Linux 6.6, commit 89ae89f53d20. */
#define HP_BPF_TRACE_UPROBE_MULTI 48

/* union bpf_attr for BPF_LINK_CREATE with link_create.uprobe_multi. */
struct hp_bpf_uprobe_multi_attr {
	uint32_t prog_fd;
	uint32_t target_fd;
	uint32_t attach_type; /* HP_BPF_TRACE_UPROBE_MULTI */
	uint32_t flags;
	uint64_t path;		  /* const char * */
	uint64_t offsets;	  /* const uint64_t * */
	uint64_t ref_ctr_offsets; /* or 0 */
	uint64_t cookies;	  /* const uint64_t *, or 0 */
	uint32_t cnt;
	uint32_t multi_flags;
	uint32_t pid; /* 0: every process */
	uint32_t pad;
};

/* UFFD_USER_MODE_ONLY is in Linux 5.11's headers; UFFD_FEATURE_THREAD_ID in 4.14's: not here. */

#endif
