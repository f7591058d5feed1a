/* SPDX-License-Identifier: MIT */
/* restart/options.h – socket options that the new program set before it bound, and that are lost. */
#ifndef HP_RESTART_OPTIONS_H
#define HP_RESTART_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* Is an option of @asked another one than of @handed, which takes its place?  Which, in @buf. */
bool hp_options_differ(int asked, int handed, char *buf, size_t n);

#endif
