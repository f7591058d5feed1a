/* SPDX-License-Identifier: MIT */
#include "cli/signed_file.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "hp/err.h"
#include "trust/minisign.h"

#define FILE_MAX (256ull << 20) /* as large as a patch may be */

int hp_signed_file_read(const char *path, char **ret, size_t *n, struct hp_err *err)
{
	int k = hp_read_file(AT_FDCWD, path, FILE_MAX, ret, n);

	return k < 0 ? hp_err_sys(err, -k, "read %s", path) : 0;
}

int hp_signature_path(const struct hp_args *args, const char *file, char *ret, size_t n,
		      struct hp_err *err)
{
	const char *given = hp_args_get(args, "signature");
	int len = given ? snprintf(ret, n, "%s", given)
			: snprintf(ret, n, "%s" HP_SIGNATURE_SUFFIX, file);

	if (len < 0 || (size_t)len >= n)
		return hp_err_set(err, -HP_E_USAGE, "the name of the file is too long");
	return 0;
}
