/* SPDX-License-Identifier: MIT */
/* What every fuzz target defines: libFuzzer calls it, and replay.c with files. */
#ifndef HP_TESTS_FUZZ_H
#define HP_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#endif
