/* SPDX-License-Identifier: MIT */
/* One function plus 1000; what it replaces comes with the request.  foo_bias is the library's. */
extern int foo_bias;

int plus(int x);
int plus_foo(int x);

int plus(int x)
{
	return x + 1000 + PLUS;
}

int plus_foo(int x)
{
	return x + 1001 + foo_bias;
}
