/* SPDX-License-Identifier: MIT */
#include "ipc/json.h"

#include <stdlib.h>
#include <string.h>

#include "hp/err.h"

json_t *hp_json_text(const char *s)
{
	json_t *j = json_string(s);
	char *ascii;

	if (j)
		return j;
	ascii = strdup(s);
	if (!ascii)
		return NULL;
	for (char *p = ascii; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	j = json_string(ascii);
	free(ascii);
	return j;
}

json_t *hp_json_error_body(int code, const char *sentence)
{
	return json_pack("{s:s,s:o,s:i}", "code", hp_err_name(code), "text", hp_json_text(sentence),
			 "status", hp_err_exit(code));
}

json_t *hp_json_error(int code, const char *sentence)
{
	return json_pack("{s:i,s:o}", "schema", 1, "error", hp_json_error_body(code, sentence));
}
