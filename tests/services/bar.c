/* SPDX-License-Identifier: MIT */
#include "foo.h"

__attribute__((noipa)) static int helper(int x)
{
	return x + 20;
}

int bar_helper(int x)
{
	return helper(x) + foo_bias;
}
