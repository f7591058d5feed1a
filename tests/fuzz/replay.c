/* SPDX-License-Identifier: MIT */
/*
 * A main for a fuzz target without libFuzzer: runs it over the files given, so that a corpus is a
 * regression test with any compiler.  Exit status 1 if a file cannot be read; what the target does
 * to one ends the process.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "fuzz.h"

#define MAX_INPUT (64u << 20)

int main(int argc, char **argv)
{
	int status = 0;

	for (int i = 1; i < argc; i++) {
		uint8_t *exact;
		char *bytes;
		size_t n;
		int r = hp_read_file(AT_FDCWD, argv[i], MAX_INPUT, &bytes, &n);

		if (r) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
			status = 1;
			continue;
		}
		/* In room of its exact size a read of one byte too many is seen. */
		exact = malloc(n ? n : 1);
		if (!exact)
			return 1;
		memcpy(exact, bytes, n);
		free(bytes);
		LLVMFuzzerTestOneInput(exact, n);
		free(exact);
	}
	return status;
}
