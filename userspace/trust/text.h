/* SPDX-License-Identifier: MIT */
/* trust/text.h – lines and base64, as minisign's files have them. */
#ifndef HP_TRUST_TEXT_H
#define HP_TRUST_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define HP_BASE64_ROOM(n) (((n) + 2) / 3 * 4 + 1)

/* Takes the next line, without its end, out of *text.  False: there is none, or it is longer. */
bool hp_text_line(const char **text, char *ret, size_t n);

/* Passes over it. */
bool hp_text_skip_line(const char **text);

/* True when @text is the base64 of exactly @n bytes. */
bool hp_text_base64(const char *text, void *ret, size_t n);
void hp_text_to_base64(const void *data, size_t n, char *ret, size_t room);

#endif
