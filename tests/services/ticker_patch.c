/* SPDX-License-Identifier: MIT */
/*
 * The original example's patch, in C: plain globals, no header of hp's; both maps come with the
 * request: {"NewFunc1":"func1"} and {"Global":"globalValue","Func2Ref":"func2"}.
 */
#include <stdio.h>

int *Global;
void (*Func2Ref)(void);

void NewFunc1(void);
int HPBeforeLoad(void);
int HPAfterLoad(void);
int HPBeforeUnload(void);
int HPAfterUnload(void);

void NewFunc1(void)
{
	printf("New Func: %d\n", *Global);
	*Global += 15;
	Func2Ref();
}

int HPBeforeLoad(void)
{
	puts("hook: before load");
	return 0;
}

int HPAfterLoad(void)
{
	puts("hook: after load");
	return 0;
}

int HPBeforeUnload(void)
{
	puts("hook: before unload");
	return 0;
}

int HPAfterUnload(void)
{
	puts("hook: after unload");
	return 0;
}
