/* SPDX-License-Identifier: MIT */
/*
 * retained – new code leaves a pointer into itself behind.  "set" calls set_text(), "say" prints
 * the text, "forget" puts one of the program's own in its place.
 */
#include "svc.h"

#include <string.h>

const char *text = "at first";

__attribute__((noipa)) void set_text(void)
{
	text = "of the program";
}

static bool command(const char *line)
{
	if (!strcmp(line, "set"))
		set_text();
	else if (!strcmp(line, "say"))
		printf("text %s\n", text);
	else if (!strcmp(line, "forget"))
		text = "forgotten";
	else
		return false;
	return true;
}

int main(void)
{
	static const struct svc retained = {"retained", NULL, command};

	svc_ready(&retained);
	while (svc_step(-1))
		;
	return svc_end();
}
