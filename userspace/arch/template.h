/* SPDX-License-Identifier: MIT */
/*
 * arch/template.h – the file of path blocks, an ELF object with symbols, call frame information and
 * a build-id, so that whoever reads it from /proc/PID/maps (perf, eu-stack, systemd-coredump) can
 * name and unwind what runs there.
 */
#ifndef HP_ARCH_TEMPLATE_H
#define HP_ARCH_TEMPLATE_H

#include <stddef.h>
#include <stdint.h>

/* Its name says the version of what is in it; HP_TEMPLATE_FILES is what all versions begin with. */
#define HP_TEMPLATE_FILES "hp-paths-"
#define HP_TEMPLATE_NAME  HP_TEMPLATE_FILES "2.so"

/* Made once in a process: whoever forks jobs asks for it first, so that they inherit it (a millisecond).
 * The bytes are hp's for good.  -ENOMEM. */
int hp_template_file(const uint8_t **ret, size_t *ret_n);

#endif
