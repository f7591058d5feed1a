/* SPDX-License-Identifier: MIT */
/* cli/signed_file.h – the file and its signature, for sign and verify. */
#ifndef HP_CLI_SIGNED_FILE_H
#define HP_CLI_SIGNED_FILE_H

#include <stddef.h>

#include "cli/options.h"

struct hp_err;

/* The whole file; to be freed with free(). */
int hp_signed_file_read(const char *path, char **ret, size_t *n, struct hp_err *err);

/* Where its signature is: --signature, or FILE.minisig. */
int hp_signature_path(const struct hp_args *args, const char *file, char *ret, size_t n,
		      struct hp_err *err);

#endif
