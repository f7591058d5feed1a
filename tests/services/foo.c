/* SPDX-License-Identifier: MIT */
#include "foo.h"

int foo_bias;

__attribute__((noipa)) static int helper(int x)
{
	return x + 10;
}

__attribute__((noipa)) int foo(int x)
{
	return x + 1 + foo_bias;
}

int foo_helper(int x)
{
	return helper(x) + foo_bias;
}
