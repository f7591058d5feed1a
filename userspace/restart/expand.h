/* SPDX-License-Identifier: MIT */
/*
 * restart/expand.h – variables in a command line of a unit, as systemd.service(5) has them ("Command
 * lines"): ${NAME} within a word, $NAME as a word of its own, which becomes as many as its value
 * has, $$ for a dollar.
 */
#ifndef HP_RESTART_EXPAND_H
#define HP_RESTART_EXPAND_H

#include "restart/spec.h"

/* Adds @word to @to; variables are @env's, others are empty.  0 or -ENOMEM. */
int hp_expand_word(struct hp_strings *to, const char *word, const struct hp_spec *env);

#endif
