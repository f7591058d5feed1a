/* SPDX-License-Identifier: MIT */
/* One layer of stack: LAYER is A, B or C.  Each new function calls what is below it. */
#include "stack.h"

#include <hp/patch.h>

#define CAT_(a, b) a##b
#define CAT(a, b)  CAT_(a, b)
#define STR_(a)	   #a
#define STR(a)	   STR_(a)
#define WHO	   CAT(LAYER_, LAYER)

extern __thread unsigned under __attribute__((tls_model("initial-exec")));

#define ON(fn, number)                                                                             \
	HP_ORIG(unsigned long, fn, (int level));                                                   \
	unsigned long new_##fn(int level);                                                         \
	HP_NEW unsigned long new_##fn(int level)                                                   \
	{                                                                                          \
		unsigned was = under;                                                              \
		unsigned long r;                                                                   \
												\
		overlap_enter(&truth.with[WHO], &truth.without[WHO], &truth.overlap);              \
		under |= 1u << WHO;                                                                \
		note(STR(LAYER)[0]);                                                               \
		stack_work(level);                                                                 \
		r = fn##_orig(level) + FIELD(stack_field[WHO][number]);                            \
		stack_work(level);                                                                 \
		under = was;                                                                       \
		overlap_leave(&truth.with[WHO], &truth.without[WHO], &truth.overlap);              \
		return r;                                                                          \
	}                                                                                          \
	HP_REPLACE(new_##fn, #fn)

#ifdef ON_F
ON(f, FN_F);
#endif
#ifdef ON_G
ON(g, FN_G);
#endif
#ifdef ON_H
ON(h, FN_H);
#endif

#ifdef REQUIRES
HP_META("requires", REQUIRES);
#endif
#ifdef SUPERSEDES
HP_META("supersedes", SUPERSEDES);
#endif
#ifdef STUBBORN
HP_HOOK_BEFORE_UNLOAD()
{
	return 7;
}
#endif
