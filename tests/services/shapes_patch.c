/* SPDX-License-Identifier: MIT */
/* New bodies for the functions of shapes; which of them is said by the replace map. */
#include <hp/patch.h>

#define SHAPE(name)                                                                                \
	int new_##name(int x);                                                                     \
	HP_NEW int new_##name(int x)                                                               \
	{                                                                                          \
		return x + 1000;                                                                   \
	}

SHAPE(plain)
SHAPE(rare)
SHAPE(choice)
SHAPE(bare_choice)
SHAPE(ends)
SHAPE(tail)
SHAPE(same_a)
SHAPE(same_b)
SHAPE(by_hand)
SHAPE(by_hand_untold)
SHAPE(by_hand_loop)
