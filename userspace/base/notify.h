/* SPDX-License-Identifier: MIT */
/* base/notify.h – sd_notify(3)'s protocol: lines of VARIABLE=value in one datagram. */
#ifndef HP_BASE_NOTIFY_H
#define HP_BASE_NOTIFY_H

/* Sends @state to @to, the value of $NOTIFY_SOCKET: a path, or "@" and an abstract name.  0, also
 * when @to is NULL: nobody wants to know.  Else a negative errno. */
int hp_notify(const char *to, const char *state);

#endif
