/* SPDX-License-Identifier: MIT */
/* cli/output.h – results on stdout, all else on stderr. */
#ifndef HP_CLI_OUTPUT_H
#define HP_CLI_OUTPUT_H

#include <jansson.h>
#include <stdint.h>
#include <stddef.h>

#include "cli/cli.h"

struct hp_err;
struct hp_call;

/* Asks hpd.  0: *answer is a result (for --json it was printed already, and is not NULL all the
 * same).  Else the error was told, this is the exit status, and *answer is what was done all the same, or
 * NULL. */
int hp_ask(const struct hp_cli *cli, const struct hp_call *call, json_t **answer);

/* An error of our own or of hpd's: a sentence on stderr, or with --json the document on stdout. The
 * exit status. */
int hp_tell_error(const struct hp_cli *cli, const struct hp_err *err);

/* A remark on stderr, unless -q. */
void hp_tell(const struct hp_cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Members of a document; "" and 0 when they are not there. */
const char *hp_get_text(const json_t *o, const char *name);
int64_t hp_get_number(const json_t *o, const char *name);

/* "2.4 ms"; returns @buf. */
const char *hp_show_ns(int64_t ns, char *buf, size_t n);

/* Prints text that came from somewhere else: control characters as '?'. */
void hp_put(FILE *to, const char *text);

/* The functions of a patch, as list and check show them. */
void hp_show_sites(const json_t *patch, bool all);

#endif
