/* SPDX-License-Identifier: MIT */
/*
 * What a reader keeps: the memory that it has, more of it, its socket, its end.  Everything that it
 * needs beyond that was done before the fork.
 */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/confine.h"
#include "elf/reader_priv.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define MEMORY RLIM_INFINITY
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define MEMORY RLIM_INFINITY /* the runtime has a terabyte mapped */
#endif
#ifndef MEMORY
#define MEMORY HP_READER_BYTES
#endif

static int limit(void)
{
	static const struct {
		int which;
		rlim_t to;
	} all[] = {
		{RLIMIT_CPU, HP_READER_CPU_S},
		{RLIMIT_DATA, MEMORY},
		{RLIMIT_NOFILE, 0},
		/* At real-time priority (target/displace.h) nobody else runs there meanwhile. */
		{RLIMIT_RTTIME, HP_READER_RT_US},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct rlimit l = {all[i].to, all[i].to};

		if (setrlimit((enum __rlimit_resource)all[i].which, &l) < 0)
			return -errno;
	}
	return 0;
}

int hp_reader_confine(void)
{
	int r = hp_confine_rights(HP_ROLE_READER, NULL);

	if (r == 0)
		r = limit();
	if (r == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		r = -errno;
	return r < 0 ? r : hp_confine_calls(HP_ROLE_READER, NULL);
}
