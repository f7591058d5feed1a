/* SPDX-License-Identifier: MIT */
/* base/journal.h – the journal's own protocol, by which a line carries fields. */
#ifndef HP_BASE_JOURNAL_H
#define HP_BASE_JOURNAL_H

#include <stdbool.h>

struct hp_log_about;

/* True when standard error is the journal (systemd.exec(5): JOURNAL_STREAM). */
bool hp_journal_is_stderr(void);

/* False: the journal did not take it. */
bool hp_journal_send(int priority, const struct hp_log_about *about, const char *message);

#endif
