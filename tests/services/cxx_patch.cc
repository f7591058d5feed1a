/* SPDX-License-Identifier: MIT */
/* A destructor runs while an old exception unwinds through new_middle(); new_thrower() throws
 * into old code. */
#include <hp/patch.h>

#include <stdexcept>
#include <string>

extern unsigned long destroyed_new;
void thrower(int x);

struct new_guard {
	~new_guard()
	{
		destroyed_new++;
	}
};

#ifndef ONLY_THROWER
extern "C" HP_NEW int new_middle(int x)
{
	new_guard g;

	if (x & 1)
		thrower(x);
	return x + 1000;
}
HP_REPLACE(new_middle, "_Z6middlei");
#endif

#ifndef ONLY_MIDDLE
extern "C" HP_NEW void new_thrower(int x)
{
	throw std::runtime_error("new " + std::to_string(x));
}
HP_REPLACE(new_thrower, "_Z7throweri");
#endif

#ifdef THROWING_HOOK
HP_HOOK_BEFORE_LOAD()
{
	throw std::runtime_error("out of a hook");
}
#endif
