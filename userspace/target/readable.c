/* SPDX-License-Identifier: MIT */
#include "target/readable.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"

#define PROBES	 512 /* IOV_MAX is 1,024 */
#define ENTRIES	 512
#define PM_GUARD (1ull << 58) /* Documentation/admin-guide/mm/pagemap.rst */

size_t hp_mem_read_some(const struct hp_target *t, hp_addr at, void *buf, size_t n)
{
	struct iovec here = {buf, n}, there = {(void *)(uintptr_t)at, n};
	ssize_t r = process_vm_readv(t->pid, &here, 1, &there, 1, 0);

	/* The leader has exited (target.c), or memory that may only be written. */
	if (r < 0)
		r = pread(t->mem_fd, buf, n, (off_t)at);
	return r < 0 ? 0 : (size_t)r;
}

static bool readable(const struct hp_target *t, hp_addr at)
{
	uint8_t byte;

	return pread(t->mem_fd, &byte, 1, (off_t)at) == 1;
}

hp_addr hp_mem_readable_to(const struct hp_target *t, hp_addr at, hp_addr hi)
{
	struct iovec page[PROBES];
	uint8_t byte[PROBES];

	while (at < hi) {
		size_t n = 0, good;
		ssize_t r;

		for (hp_addr a = at; a < hi && n < PROBES; a = HP_PAGE_DOWN(a) + HP_PAGE)
			page[n++] = (struct iovec){(void *)(uintptr_t)a, 1};
		r = process_vm_readv(t->pid, &(struct iovec){byte, n}, 1, page, n, 0);
		good = r < 0 ? 0 : (size_t)r;
		while (good < n && readable(t, (uintptr_t)page[good].iov_base))
			good++;
		if (good < n)
			return (uintptr_t)page[good].iov_base;
		at = HP_PAGE_DOWN((uintptr_t)page[n - 1].iov_base) + HP_PAGE;
	}
	return hi;
}

hp_addr hp_mem_above_guard(const struct hp_target *t, hp_addr lo, hp_addr hi)
{
	hp_autoclose int fd = -1;
	uint64_t entry[ENTRIES];
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)t->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	lo = HP_PAGE_DOWN(lo);
	hi = HP_PAGE_DOWN(hi);
	while (fd >= 0 && lo < hi) {
		size_t n = (hi - lo) / HP_PAGE < ENTRIES ? (hi - lo) / HP_PAGE : ENTRIES;

		hi -= n * HP_PAGE;
		if (hp_pread_all(fd, entry, n * sizeof(*entry),
				 (off_t)(hi / HP_PAGE * sizeof(*entry))) < 0)
			return 0;
		while (n-- > 0)
			if (entry[n] & PM_GUARD)
				return hi + (n + 1) * HP_PAGE;
	}
	return 0;
}
