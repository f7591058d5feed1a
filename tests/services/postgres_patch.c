/* SPDX-License-Identifier: MIT */
/* version() answers something else; additions go by way of a function that counts. */
#include <hp/patch.h>

void *cstring_to_text(const char *s);

HP_NEW unsigned long new_version(void *call);
HP_NEW unsigned long new_version(void *call)
{
	return (unsigned long)cstring_to_text("patched");
}
HP_REPLACE(new_version, "pgsql_version");

static volatile unsigned long added;

HP_ORIG(unsigned long, int4pl, (void *call));
HP_NEW unsigned long new_int4pl(void *call);
HP_NEW unsigned long new_int4pl(void *call)
{
	added++;
	return int4pl_orig(call);
}
HP_REPLACE(new_int4pl, "int4pl");
