/* SPDX-License-Identifier: MIT */
#include <hp/patch.h>

extern const char *text;

void new_set_text(void);

HP_NEW void new_set_text(void)
{
	text = "of the patch";
}

HP_REPLACE(new_set_text, "set_text");
