/* SPDX-License-Identifier: MIT */
/* Looks without BPF: every thread is stopped. */
#include "rig/target_truth.h"

int main(void)
{
	return truth_run(NULL);
}
