/* SPDX-License-Identifier: MIT */
/* The look of target/ with the BPF program of watch/: threads off the CPU are not stopped. */
#include "target_truth.h"

#include "watch/watch.h"

static struct hp_watch *watch;

static int open_watch(void **state)
{
	struct hp_err err = {0};

	if (hp_watch_open(&watch, &err) < 0) {
		print_error("%s\n", err.text);
		return -1;
	}
	snap_prog = hp_watch_snap_prog(watch);
	return 0;
}

static int close_watch(void **state)
{
	hp_watch_close(watch);
	return 0;
}

int main(void)
{
	return cmocka_run_group_tests(truth_tests, open_watch, close_watch);
}
