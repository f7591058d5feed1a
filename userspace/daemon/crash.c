/* SPDX-License-Identifier: MIT */
/*
 * daemon/crash.c – on x86 the kernel logs a fault that nobody handles with the name of the mapped file
 * ("name[tid]: segfault at … in <sha256>.so[…]", arch/x86/mm/fault.c and kernel/traps.c), and that of
 * a patch is its id.  That is all that is known afterwards: the memory is gone, ledger and all.  The
 * log may be off (debug.exception-trace) or rate-limited, so silence says nothing.
 */
#include "daemon/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "patch/ops.h"

#define RECORD_MAX  8192
#define RECORDS_MAX 100000
#define RECENT_US   10000000u
#define SUFFIX	    ".so["

/* "6,339,5140900,-;text": its text, if it is recent. */
static char *recent(char *record)
{
	char *text = strchr(record, ';'), *p = record;
	uint64_t us = 0;

	for (int i = 0; i < 2 && p; i++)
		p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL;
	if (p)
		us = strtoull(p, NULL, 10);
	if (!text || us + RECENT_US < hp_now_ns() / 1000)
		return NULL;
	text++;
	text[strcspn(text, "\n")] = 0;
	return text;
}

static const char *id_in(const char *text)
{
	const char *end = strstr(text, SUFFIX);

	if (!end || end - text < HP_ID_LEN)
		return NULL;
	return strspn(end - HP_ID_LEN, "0123456789abcdef") == HP_ID_LEN ? end - HP_ID_LEN : NULL;
}

/* A thread's number is not known to have been the process', but that it is nobody else's can be. */
static bool is_of(const char *text, pid_t pid)
{
	const char *bracket = strchr(text, '[');
	pid_t tid = bracket ? (pid_t)strtol(bracket + 1, NULL, 10) : 0;

	return tid > 0 && (tid == pid || (kill(tid, 0) && errno == ESRCH));
}

json_t *hp_crash_find(pid_t pid)
{
	hp_autoclose int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char record[RECORD_MAX + 1];
	json_t *found = NULL;

	for (unsigned i = 0; fd >= 0 && i < RECORDS_MAX; i++) {
		ssize_t n = read(fd, record, RECORD_MAX);
		const char *id;
		char *text;

		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue; /* overwritten meanwhile: the next is older than most */
		if (n <= 0)
			break;
		record[n] = 0;
		text = recent(record);
		id = text ? id_in(text) : NULL;
		if (!id || !is_of(text, pid))
			continue;
		json_decref(found);
		found = json_pack("{s:s%,s:s}", "hp_id", id, (size_t)HP_ID_LEN, "detail", text);
	}
	return found;
}
