/* SPDX-License-Identifier: MIT */
/* ECHO answers something else.  redis' client is opaque here; the reply is made by redis itself. */
#include <hp/patch.h>

struct client;

void addReplyBulkCString(struct client *c, const char *s);
void new_echo(struct client *c);

HP_NEW void new_echo(struct client *c)
{
	addReplyBulkCString(c, "patched");
}

HP_REPLACE(new_echo, "echoCommand");
HP_META("description", "ECHO answers \"patched\"");
