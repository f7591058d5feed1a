/* SPDX-License-Identifier: MIT */
#include "trust/text.h"

#include <sodium.h>
#include <string.h>

bool hp_text_line(const char **text, char *ret, size_t n)
{
	size_t len = strcspn(*text, "\n"), keep = len;

	if (!**text)
		return false;
	if (keep && (*text)[keep - 1] == '\r')
		keep--;
	if (keep >= n)
		return false;
	memcpy(ret, *text, keep);
	ret[keep] = '\0';
	*text += len + ((*text)[len] == '\n');
	return true;
}

bool hp_text_skip_line(const char **text)
{
	size_t len = strcspn(*text, "\n");

	if (!**text)
		return false;
	*text += len + ((*text)[len] == '\n');
	return true;
}

bool hp_text_base64(const char *text, void *ret, size_t n)
{
	size_t got;

	return sodium_base642bin(ret, n, text, strlen(text), NULL, &got, NULL,
				 sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       got == n;
}

void hp_text_to_base64(const void *data, size_t n, char *ret, size_t room)
{
	(void)sodium_bin2base64(ret, room, data, n, sodium_base64_VARIANT_ORIGINAL);
}
