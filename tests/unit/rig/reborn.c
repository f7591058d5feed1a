/* SPDX-License-Identifier: MIT */
#include "reborn.h"

#include <linux/sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "../../services/tied.h"

pid_t reborn_fork(pid_t pid)
{
	struct clone_args a = {.exit_signal = SIGCHLD,
			       .set_tid = (uintptr_t)&pid,
			       .set_tid_size = 1};
	pid_t us = getpid(), child;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	child = (pid_t)syscall(SYS_clone3, &a, sizeof(a));
	if (child == 0)
		tied_to(us);
	else
		assert_int_equal(child, pid);
	return child;
}
