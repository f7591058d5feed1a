/* SPDX-License-Identifier: MIT */
/* The look of target/ with the BPF program of watch/: threads off the CPU are not stopped. */
#include <stdio.h>

#include "hp/err.h"
#include "rig/target_truth.h"
#include "watch/watch.h"

int main(void)
{
	struct hp_watch *watch;
	struct hp_look_progs progs;
	struct hp_err err = {0};
	int failed;

	if (hp_watch_open(&watch, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	progs = (struct hp_look_progs){hp_watch_snap_prog(watch), hp_watch_sharer_prog(watch)};
	failed = truth_run(&progs);
	hp_watch_close(watch);
	return failed;
}
