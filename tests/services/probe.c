/* SPDX-License-Identifier: MIT */
/*
 * probe PID ADDR – another tool: a uprobe of perf_event_open(2) in the process, at the file and offset
 * that are mapped at ADDR.  Prints "attached"; detaches at the end of its stdin, prints how often it
 * was hit, and ends.
 */
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned pmu_type(void)
{
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	unsigned type = 0;

	if (!f || fscanf(f, "%u", &type) != 1)
		type = 0;
	if (f)
		fclose(f);
	return type;
}

/* Where in which file is @addr? */
static unsigned long long find(int pid, unsigned long long addr, char path[4096])
{
	char maps[64], line[4352];
	FILE *f;

	snprintf(maps, sizeof(maps), "/proc/%d/maps", pid);
	f = fopen(maps, "re");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long long lo, hi, offset;
		int at = 0;

		if (sscanf(line, "%llx-%llx %*s %llx %*s %*s %n", &lo, &hi, &offset, &at) == 3 && at &&
		    lo <= addr && addr < hi) {
			line[strcspn(line, "\n")] = 0;
			snprintf(path, 4096, "%s", line + at);
			fclose(f);
			return addr - lo + offset;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct perf_event_attr a = {.size = sizeof(a), .type = pmu_type()};
	unsigned long long offset, addr = argc == 3 ? strtoull(argv[2], NULL, 16) : 0;
	int fd, pid = argc == 3 ? atoi(argv[1]) : 0;
	static char path[4096];
	uint64_t hits = 0;
	char c;

	offset = find(pid, addr, path);
	a.config1 = (uint64_t)(uintptr_t)path;
	a.config2 = offset;
	fd = (int)syscall(SYS_perf_event_open, &a, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (!offset || fd < 0 || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0)) {
		fprintf(stderr, "probe: %s+0x%llx: %m\n", path, offset);
		return 1;
	}
	printf("attached\n");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	if (read(fd, &hits, sizeof(hits)) != sizeof(hits))
		return 1;
	close(fd);
	printf("hits %llu\n", (unsigned long long)hits);
	return 0;
}
