/* SPDX-License-Identifier: MIT */
/*
 * mdwe COMMAND… – runs it where the kernel refuses memory that is writable and executable, and that
 * becomes executable after it was not: prctl(PR_SET_MDWE), which holds for whoever maps, agents of hp's
 * included, and is inherited.
 */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE		 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

int main(int argc, char **argv)
{
	if (argc > 1 && prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0)
		execvp(argv[1], argv + 1);
	perror("mdwe");
	return 77;
}
