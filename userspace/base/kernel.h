/* SPDX-License-Identifier: MIT */
/*
 * base/kernel.h – interfaces of the kernel that the installed headers and libraries (Debian 12:
 * Linux 6.1 headers, libbpf 1.1, glibc 2.36) do not know yet.  The one place for them.
 */
#ifndef HP_BASE_KERNEL_H
#define HP_BASE_KERNEL_H

#include <linux/ioctl.h>
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

/* PROCMAP_QUERY of a descriptor of /proc/PID/maps: Linux 6.11, commit bfc69fd05ef9. */
struct hp_procmap_query {
	uint64_t size;	/* of this */
	uint64_t flags; /* HP_PROCMAP_… */
	uint64_t addr;
	uint64_t vma_start, vma_end;
	uint64_t vma_flags; /* HP_PROCMAP_VMA_… */
	uint64_t vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor;
	uint32_t name_size, build_id_size; /* room; then what is used, the NUL counted; 0: none */
	uint64_t name_addr, build_id_addr;
};
#define HP_PROCMAP_QUERY	   _IOWR('f', 17, struct hp_procmap_query)
#define HP_PROCMAP_VMA_READABLE	   0x01u
#define HP_PROCMAP_VMA_WRITABLE	   0x02u
#define HP_PROCMAP_VMA_EXECUTABLE  0x04u
#define HP_PROCMAP_VMA_SHARED	   0x08u
#define HP_PROCMAP_COVERING_OR_NEXT 0x10u

/* Linux 6.4, commit 3f67987cdc09. */
struct hp_dispatch_config {
	uint64_t mode; /* 0: off */
	uint64_t selector, offset, len;
};
#define HP_PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211

/* memfd_create(2): Linux 6.3, commit 105ff5339f49. */
#define HP_MFD_NOEXEC_SEAL 0x0008u

/* The inode of the first pid namespace: linux/proc_ns.h, which is not installed. */
#define HP_PROC_PID_INIT_INO 0xEFFFFFFCu

/* SOL_SOCKET: 0 has the kernel refuse descriptors (SCM_RIGHTS) to whoever sends: Linux 6.16. */
#define HP_SO_PASSRIGHTS 83

/* UFFD_USER_MODE_ONLY is in Linux 5.11's headers; UFFD_FEATURE_THREAD_ID in 4.14's: not here. */

#endif
