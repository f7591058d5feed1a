/* SPDX-License-Identifier: MIT */
/* restart/dummy.h – a socket that takes the place of a listener, and on which nobody ever calls. */
#ifndef HP_RESTART_DUMMY_H
#define HP_RESTART_DUMMY_H

struct hp_err;
struct hp_listener;

/* Of @l's type, and O_NONBLOCK where @l is: accept, poll and recvfrom find nothing, whoever tries to
 * reach it.  A descriptor, or a negative code. */
int hp_dummy_open(const struct hp_listener *l, struct hp_err *err);

#endif
