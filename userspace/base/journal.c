/* SPDX-License-Identifier: MIT */
/*
 * "Native Journal Protocol" of systemd: one datagram a line, FIELD=value, each ended by a newline.
 * It is stable and takes less than the library would: libsystemd is not needed.  Values are one line
 * by construction.
 */
#include "base/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

#define SOCKET "/run/systemd/journal/socket"

bool hp_journal_is_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

bool hp_journal_send(int priority, const struct hp_log_about *about, const char *message)
{
	const struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = SOCKET};
	static int sock = -1; /* jobs inherit it */
	char text[2048];
	int n;

	if (sock < 0)
		sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return false;
	n = snprintf(text, sizeof(text), "PRIORITY=%d\nSYSLOG_IDENTIFIER=hpd\nMESSAGE=%s\n", priority,
		     message);
	if (about && about->message_id)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "MESSAGE_ID=%s\n",
			      about->message_id);
	if (about && about->pid)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "PID=%d\n", about->pid);
	if (about && about->id && *about->id)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "HP_ID=%s\n", about->id);
	/* MSG_DONTWAIT: hpd waits for nobody, and a journal that is full is no reason to. */
	return (size_t)n < sizeof(text) &&
	       sendto(sock, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL,
		      (const struct sockaddr *)&to, sizeof(to)) == n;
}
