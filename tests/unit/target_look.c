/* SPDX-License-Identifier: MIT */
#include "target_truth.h"

int main(void)
{
	return cmocka_run_group_tests(truth_tests, NULL, NULL);
}
