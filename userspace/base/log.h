/* SPDX-License-Identifier: MIT */
/* base/log.h – one line a fact, on stderr.  Library folders log at debug only;
 * errors are returned (hp/err.h) and told by whoever answers the user. */
#ifndef HP_BASE_LOG_H
#define HP_BASE_LOG_H

enum hp_log_level { HP_LOG_ERROR, HP_LOG_WARNING, HP_LOG_INFO, HP_LOG_DEBUG };

/* What is shown: this level and more urgent ones; HP_LOG_INFO at first. */
void hp_log_set_level(enum hp_log_level level);

void hp_log(enum hp_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define hp_debug(...) hp_log(HP_LOG_DEBUG, __VA_ARGS__)

#endif
