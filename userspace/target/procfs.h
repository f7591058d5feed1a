/* SPDX-License-Identifier: MIT */
/* target/procfs.h – who is listed in /proc, and the small files below /proc/PID. */
#ifndef HP_TARGET_PROCFS_H
#define HP_TARGET_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Fields of proc_pid_stat(5) by their numbers there. */
enum {
	HP_STAT_PPID = 4,
	HP_STAT_SESSION = 6,
	HP_STAT_FLAGS = 9,
	HP_STAT_THREADS = 20,
	HP_STAT_START_TIME = 22,
	HP_STAT_START_STACK = 28,
	HP_STAT_EXIT_SIGNAL = 38,
	HP_STAT_EXIT_CODE = 52,
	HP_STAT_FIELDS = 53,
};

struct hp_stat {
	char comm[64];
	char state;
	uint64_t field[HP_STAT_FIELDS]; /* of the numeric ones */
};

/* Of processes, or of threads.  Whoever fills one that is given does not free what it held. */
struct hp_pids {
	pid_t *v;
	size_t n, room;
};
void hp_pids_free(struct hp_pids *pids);

/* Adds who is listed in @folder: "/proc", "/proc/PID/task".  Processes come in the order of their pids, so
 * that one that stays is not skipped; hp_threads_of() says what threads need.  0 or -errno. */
int hp_procfs_list(const char *folder, struct hp_pids *ret);

/* /proc/@pid/stat, which works for a thread's id as well; -ESRCH. */
int hp_stat_read(pid_t pid, struct hp_stat *ret);

/* The value behind "@key:\t" of /proc/@pid/status, as a number in @base; false: no such line. */
bool hp_status_number(pid_t pid, const char *key, int base, uint64_t *ret);

/* Soft and hard limit in the line "@name" of /proc/@pid/limits, UINT64_MAX for none.  prlimit(2) would
 * take CAP_SYS_RESOURCE for another user's process. */
bool hp_limit_read(pid_t pid, const char *name, uint64_t *soft, uint64_t *hard);

/* The value as text. */
bool hp_status_text(pid_t pid, const char *key, char *buf, size_t n);

#endif
