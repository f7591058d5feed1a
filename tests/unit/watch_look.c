/* SPDX-License-Identifier: MIT */
/* The look of target/ with the BPF program of watch/: threads off the CPU are not stopped. */
#include "target_truth.h"

#include "watch/watch.h"

static struct hp_watch *watch;
static struct hp_look_progs of_watch;

static int open_watch(void **state)
{
	struct hp_err err = {0};

	if (hp_watch_open(&watch, &err) < 0) {
		print_error("%s\n", err.text);
		return -1;
	}
	of_watch = (struct hp_look_progs){hp_watch_snap_prog(watch), hp_watch_sharer_prog(watch)};
	progs = &of_watch;
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
