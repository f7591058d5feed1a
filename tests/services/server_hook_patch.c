/* SPDX-License-Identifier: MIT */
/* Four hooks that print; the one named by FAIL_… returns 7.  With CRASH, HPBeforeLoad crashes. */
#include <hp/patch.h>

#include <stdio.h>

#ifdef FAIL_BEFORE_LOAD
#define BEFORE_LOAD 7
#else
#define BEFORE_LOAD 0
#endif
#ifdef FAIL_AFTER_LOAD
#define AFTER_LOAD 7
#else
#define AFTER_LOAD 0
#endif
#ifdef FAIL_BEFORE_UNLOAD
#define BEFORE_UNLOAD 7
#else
#define BEFORE_UNLOAD 0
#endif
#ifdef FAIL_AFTER_UNLOAD
#define AFTER_UNLOAD 7
#else
#define AFTER_UNLOAD 0
#endif

extern int answer(int x);
int new_answer(int x);

HP_NEW int new_answer(int x)
{
	return x + 1000;
}

HP_REPLACE(new_answer, "answer");

/* What answer(0) gives tells on which side of the flip a hook ran. */
static int say(const char *hook, int ret)
{
	printf("hook: %s %d\n", hook, answer(0));
	return ret;
}

HP_HOOK_BEFORE_LOAD()
{
#ifdef CRASH
	__builtin_trap();
#endif
	return say("before load", BEFORE_LOAD);
}

HP_HOOK_AFTER_LOAD()
{
	return say("after load", AFTER_LOAD);
}

HP_HOOK_BEFORE_UNLOAD()
{
	return say("before unload", BEFORE_UNLOAD);
}

HP_HOOK_AFTER_UNLOAD()
{
	return say("after unload", AFTER_UNLOAD);
}
