/* SPDX-License-Identifier: MIT */
/*
 * peek text PID – one line for each executable mapping of a file: where, path, a hash of its bytes
 * peek bytes PID ADDRESS N – N bytes in hex
 * peek rss PID – "Rss Private_Dirty" in kB, summed up
 * peek hp NAMESPACE – "PID STATE NAME" of the processes of that mount namespace (as readlink(1) of
 *	/proc/PID/ns/mnt shows it) that have a name of hp's, hpd itself excepted
 *
 * For the tests' comparison of before and after.  The kernel's own mappings are left out.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int mem_fd;

static uint64_t hash_range(uint64_t lo, uint64_t hi)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
	unsigned char buf[4096];

	for (; lo < hi; lo += sizeof(buf)) {
		if (pread(mem_fd, buf, sizeof(buf), (off_t)lo) != (ssize_t)sizeof(buf))
			return 0;
		for (size_t i = 0; i < sizeof(buf); i++)
			h = (h ^ buf[i]) * 0x100000001b3u;
	}
	return h;
}

static FILE *open_proc(const char *pid, const char *what)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, what);
	f = fopen(path, "re");
	if (!f) {
		perror(path);
		exit(1);
	}
	return f;
}

static void print_text(const char *pid)
{
	FILE *f = open_proc(pid, "maps");
	char line[4352], perms[5], path[4096];
	uint64_t lo, hi;

	while (fgets(line, sizeof(line), f)) {
		path[0] = 0;
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %*s %4095[^\n]", &lo, &hi,
			   perms, path) < 3)
			continue;
		if (perms[2] == 'x' && path[0] == '/')
			printf("%" PRIx64 "-%" PRIx64 " %016" PRIx64 " %s\n", lo, hi,
			       hash_range(lo, hi), path);
	}
	fclose(f);
}

static void print_bytes(const char *address, const char *n)
{
	uint64_t a = strtoull(address, NULL, 16);

	for (long i = 0; i < atol(n); i++) {
		unsigned char c;

		if (pread(mem_fd, &c, 1, (off_t)(a + (uint64_t)i)) != 1)
			exit(1);
		printf("%02x", c);
	}
	printf("\n");
}

static void print_rss(const char *pid)
{
	FILE *f = open_proc(pid, "smaps_rollup");
	unsigned long rss = 0, dirty = 0;
	char line[256];

	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "Rss: %lu", &rss);
		sscanf(line, "Private_Dirty: %lu", &dirty);
	}
	printf("%lu %lu\n", rss, dirty);
	fclose(f);
}

static void print_hp(const char *namespace)
{
	DIR *d = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[64], line[256] = "", mnt[64] = "", *name, *end;
		FILE *f;

		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%.16s/stat", e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		name = fgets(line, sizeof(line), f) ? strchr(line, '(') : NULL;
		end = name ? strrchr(line, ')') : NULL;
		fclose(f);
		if (!end || (strncmp(name, "(hp-", 4) != 0 && strncmp(name, "(hpd-", 5) != 0))
			continue;
		*end = 0;
		snprintf(path, sizeof(path), "/proc/%.16s/ns/mnt", e->d_name);
		if (end[2] != 'Z' && readlink(path, mnt, sizeof(mnt) - 1) > 0 &&
		    !strcmp(mnt, namespace))
			printf("%s %c %s\n", e->d_name, end[2], name + 1);
	}
	if (d)
		closedir(d);
}

int main(int argc, char **argv)
{
	char path[64];

	if (argc < 3) {
		fprintf(stderr, "usage: peek text|rss PID | peek hp NAMESPACE | peek bytes PID ADDRESS N\n");
		return 2;
	}
	if (!strcmp(argv[1], "hp")) {
		print_hp(argv[2]);
		return 0;
	}
	snprintf(path, sizeof(path), "/proc/%s/mem", argv[2]);
	mem_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (mem_fd < 0) {
		perror(path);
		return 1;
	}
	if (!strcmp(argv[1], "text"))
		print_text(argv[2]);
	else if (!strcmp(argv[1], "rss"))
		print_rss(argv[2]);
	else if (argc == 5)
		print_bytes(argv[3], argv[4]);
	else
		return 2;
	return 0;
}
