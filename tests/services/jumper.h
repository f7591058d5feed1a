/* SPDX-License-Identifier: MIT */
/* jumper.h – what jumper and its patch share. */
#ifndef JUMPER_H
#define JUMPER_H

#include <setjmp.h>

enum way { BY_RETURN, BY_LONGJMP, BY_PTHREAD_EXIT, BY_CANCEL };

extern unsigned long new_calls;

int jumpy(enum way way, jmp_buf *env);
void jumper_wait(void);

#endif
