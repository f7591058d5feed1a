/* SPDX-License-Identifier: MIT */
/* Patches of server that must be refused; which fault it is comes by -D. */
#include <hp/patch.h>

int new_answer(int x);

#ifdef BAD_TLS
static __thread int of_the_patch = 1;
#define EXTRA of_the_patch++
#elif defined(BAD_UNDEFINED)
int no_such_function_anywhere(int x);
#define EXTRA no_such_function_anywhere(x)
#elif defined(BAD_TEXTREL)
static int absolute;
/* a 64-bit absolute address in an instruction: a relocation in the text */
#define EXTRA                                                                                      \
	({                                                                                         \
		int *p;                                                                            \
		__asm__ volatile("movabs %1, %0" : "=r"(p) : "i"(&absolute));                      \
		*p;                                                                                \
	})
#elif defined(BAD_TLS_GD)
extern __thread int own_number;
#define EXTRA own_number
#else
#define EXTRA 0
#endif

HP_NEW int new_answer(int x)
{
	volatile int extra = EXTRA;

	return x + 1000 + 0 * extra;
}

HP_REPLACE(new_answer, "answer");
#ifdef BAD_BUILD_ID
HP_META("needs-build-id", "0000000000000000000000000000000000000000");
#endif
#ifdef BAD_OLD_NAME
HP_REPLACE(new_answer, "no_such_old_function");
#endif
