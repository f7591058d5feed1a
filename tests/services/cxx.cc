/* SPDX-License-Identifier: MIT */
/*
 * cxx – exceptions across the border between old and new code, both ways:
 *
 *	old outer() -> middle() -> old thrower()	middle is replaced: what old code throws
 *							passes through a new function with a destructor
 *	old outer() -> thrower()			thrower is replaced: what new code throws is
 *							caught by old code
 */
#include "svc.h"

#include <stdexcept>
#include <string>

#define NOIPA __attribute__((noipa))

unsigned long destroyed_new; /* by the patch's destructor */
static unsigned long calls, caught_old, caught_new, destroyed_old, wrong;

struct guard {
	~guard()
	{
		destroyed_old++;
	}
};

NOIPA void thrower(int x)
{
	throw std::runtime_error("old " + std::to_string(x));
}

NOIPA int middle(int x)
{
	guard g;

	if (x & 1)
		thrower(x);
	return x;
}

NOIPA static void outer(int x)
{
	try {
		int r = middle(x);

		if ((x & 1) || (r != x && r != x + 1000))
			wrong++;
	} catch (const std::runtime_error &e) {
		std::string what = e.what(), n = std::to_string(x);

		if (what == "old " + n)
			caught_old++;
		else if (what == "new " + n)
			caught_new++;
		else
			wrong++;
		if (!(x & 1))
			wrong++;
	}
	calls++;
}

static void *caller(void *)
{
	for (int x = 0;; x = (x + 1) & 0xffff) {
		outer(x);
		if (x % 16 == 0)
			svc_nap_us(50);
	}
	return nullptr;
}

static bool verdict(FILE *out)
{
	fprintf(out,
		",\"calls\":%lu,\"caught_old\":%lu,\"caught_new\":%lu,\"destroyed_old\":%lu"
		",\"destroyed_new\":%lu,\"wrong\":%lu",
		calls, caught_old, caught_new, destroyed_old, destroyed_new, wrong);
	return !wrong;
}

int main()
{
	static const struct svc cxx = {"cxx", verdict, nullptr};

	svc_thread(caller, nullptr);
	svc_ready(&cxx);
	while (svc_step(-1))
		;
	return svc_end();
}
