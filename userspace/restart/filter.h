/* SPDX-License-Identifier: MIT */
/* restart/filter.h – the seccomp filter under which a new generation starts, and lives. */
#ifndef HP_RESTART_FILTER_H
#define HP_RESTART_FILTER_H

/* Puts this process and what it will become under the filter: bind, unlink and unlinkat are told to
 * whoever holds the descriptor that is returned (close-on-exec), 32-bit and x32 system calls fail
 * with ENOSYS, everything else passes.  Sets no no_new_privs, so CAP_SYS_ADMIN is needed.
 *
 * That descriptor must live as long as the filter, or those three calls fail with ENOSYS. */
int hp_filter_install(void);

#endif
