/* SPDX-License-Identifier: MIT */
/* restart/notified.h – being told by the filter that a new generation lives under (filter.h). */
#ifndef HP_RESTART_NOTIFIED_H
#define HP_RESTART_NOTIFIED_H

#include "restart/substitute.h"

/* Answers the next call that @notify_fd, the filter's descriptor, tells. */
void hp_notified_answer(struct hp_substitution *s, int notify_fd);

#endif
