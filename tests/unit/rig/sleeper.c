/* SPDX-License-Identifier: MIT */
#include "sleeper.h"
#include "../../services/tied.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t sleeper_start(void)
{
	pid_t pid = tied_fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	return pid;
}

void sleeper_end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
