/* SPDX-License-Identifier: MIT */
/* restart/envfile.h – the files of EnvironmentFile=, in systemd.exec(5)'s syntax. */
#ifndef HP_RESTART_ENVFILE_H
#define HP_RESTART_ENVFILE_H

struct hp_spec;

/* Sets what @text assigns in the environment of @to; what is no assignment is passed over, as systemd does.
 * 0 or -ENOMEM. */
int hp_envfile_take(struct hp_spec *to, const char *text);

#endif
