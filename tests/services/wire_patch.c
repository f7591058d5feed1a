/* SPDX-License-Identifier: MIT */
/*
 * Patches for the ticker as hotgo's recorded requests name them: hp.so (with the maps in the
 * request, or without), and with -DBL, -DAL, -DPAN, -DSIG those whose hooks are not right.  Each
 * replaces func2 by itself, for a patch that replaces nothing is refused.
 */
#include <stdio.h>

#include <hp/patch.h>

int *Global;
void (*Func2Ref)(void);

/* Plain, as the original example's are; what HP_NEW is for these need not. */
void NewFunc1(void);
void NewFunc2(void);

void NewFunc1(void)
{
	printf("New Func: %d\n", *Global);
	*Global += 15;
	Func2Ref();
}

void NewFunc2(void)
{
	puts("New Func2");
}
HP_REPLACE(NewFunc2, "func2");

#if defined(BL) || defined(AL) || defined(AU) || defined(PAN)
HP_ERROR;
#endif

#if defined(BL)
HP_HOOK_BEFORE_LOAD()
{
	snprintf(HPError, sizeof(HPError), "bl fails");
	return 1;
}
#elif defined(PAN)
HP_HOOK_BEFORE_LOAD()
{
	snprintf(HPError, sizeof(HPError), "boom");
	return 2;
}
#elif defined(AL)
HP_HOOK_AFTER_LOAD()
{
	snprintf(HPError, sizeof(HPError), "al fails");
	return 1;
}
#elif defined(AU)
HP_HOOK_AFTER_UNLOAD()
{
	snprintf(HPError, sizeof(HPError), "au fails");
	return 1;
}
#elif defined(SIG)
int HPBeforeLoad = 1;
#endif
