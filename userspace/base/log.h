/* SPDX-License-Identifier: MIT */
/* base/log.h – one line a fact, to the journal or on stderr.  Library folders log at debug only;
 * errors are returned (hp/err.h) and told by whoever answers the user. */
#ifndef HP_BASE_LOG_H
#define HP_BASE_LOG_H

#include <sys/types.h>

enum hp_log_level { HP_LOG_ERROR, HP_LOG_WARNING, HP_LOG_INFO, HP_LOG_DEBUG };

/* What is shown: this level and more urgent ones; HP_LOG_INFO at first. */
void hp_log_set_level(enum hp_log_level level);
enum hp_log_level hp_log_level(void);
/* Lines go to @put from now on, for who has neither journal nor file. */
void hp_log_set_sink(void (*put)(enum hp_log_level level, const char *line));

void hp_log(enum hp_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define hp_debug(...) hp_log(HP_LOG_DEBUG, __VA_ARGS__)

/* What a line is about: fields of the journal's, by which one looks for it.  All optional. */
struct hp_log_about {
	const char *message_id; /* HP_MESSAGE_… */
	pid_t pid;		/* the target: PID */
	const char *id;		/* the patch: HP_ID */
};

void hp_log_about(enum hp_log_level level, const struct hp_log_about *about, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Kinds of lines, for ever the same; hpd(8) lists them. */
#define HP_MESSAGE_LOADED    "e5d29cedebe1477bb9927e8127690164"
#define HP_MESSAGE_UNLOADED  "abaee57497784d60b2cc3bf613aa9317"
#define HP_MESSAGE_FAILED    "074ef9dfcb4743159fd073d62f810c23"
#define HP_MESSAGE_DENIED    "93c68b7648b34e64afe7c1fd70077fc0"
#define HP_MESSAGE_RECOVERED "749fac17cf5d4106b170ff40ff072439"
#define HP_MESSAGE_SERVED    "9c23140596c344bcb44981f95affbbb9"
#define HP_MESSAGE_RESTARTED "3007c5cabdc646b4a14f432edc2cc4cf"
#define HP_MESSAGE_UNKNOWN   "6804afe1d4d0418e8a80c3fd7d73d3e8"
#define HP_MESSAGE_STEP	     "6d71e3332bd14b57a3e9d6ef3c266adf"

#endif
