/* SPDX-License-Identifier: MIT */
#include "daemon/claims.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLAIMS_DIR "/run/hp"
#define CLAIMS	   CLAIMS_DIR "/claims"

static struct flock byte_of(pid_t pid, short type)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = pid, .l_len = 1};
}

int hp_claims_open(void)
{
	int fd;

	if (mkdir(CLAIMS_DIR, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = open(CLAIMS, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

bool hp_claim_take(int claims, pid_t pid)
{
	struct flock l = byte_of(pid, F_WRLCK);

	return fcntl(claims, F_OFD_SETLK, &l) == 0;
}

void hp_claim_give(int claims, pid_t pid)
{
	struct flock l = byte_of(pid, F_UNLCK);

	(void)fcntl(claims, F_OFD_SETLK, &l); /* of a lock that we hold: cannot fail */
}

bool hp_claim_is_foreign(int claims, pid_t pid)
{
	struct flock l = byte_of(pid, F_WRLCK);

	return fcntl(claims, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}
