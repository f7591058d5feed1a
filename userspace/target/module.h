/* SPDX-License-Identifier: MIT */
/* target/module.h – the mapped ELF files of a process.  Internal to target/. */
#ifndef HP_TARGET_MODULE_H
#define HP_TARGET_MODULE_H

#include "target/target.h"

#define HP_OWN_MEMFD "/memfd:hp-" /* what hp maps in a target, beside files */

void hp_modules_free(struct hp_target *t);
/* From now on nothing is left out. */
int hp_modules_open_all(struct hp_target *t, struct hp_err *err);

/* Opens what @map shows; @same: another module of that file, or NULL.  1: it is a module; 0: it is
 * none; or a negative errno. */
int hp_module_open(const struct hp_target *t, const struct hp_map *map,
		   const struct hp_module *same, struct hp_module *ret);
void hp_module_free(struct hp_module *m);


/* Calls @fn for the bytes of every executable segment of @m, with its address in the process,
 * until it returns nonzero; returns that. */
int hp_module_each_text(const struct hp_module *m,
			int (*fn)(void *arg, hp_addr at, const uint8_t *bytes, size_t n), void *arg);

/* hp's path blocks and patches are mapped files too. */
bool hp_is_file_of_hp(const char *name);
bool hp_module_is_of_hp(const struct hp_module *m);

/* libc, the dynamic loader or libpthread, told by name. */
bool hp_module_is_libc(const struct hp_module *m);
bool hp_module_is_loader(const struct hp_module *m);

#endif
