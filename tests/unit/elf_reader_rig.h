/* SPDX-License-Identifier: MIT */
/* elf_reader_rig.h – a library of which readers are asked. */
#ifndef HP_TESTS_ELF_READER_RIG_H
#define HP_TESTS_ELF_READER_RIG_H

#include "elf_files.h"

#include "elf/cfi.h"
#include "elf/debug_file.h"
#include "elf/dynsym.h"
#include "elf/inlined.h"
#include "elf/reader_priv.h"
#include "elf/reloc.h"

static inline int setup(void **state)
{
	if (make_dir(state))
		return -1;
	write_text("lib.c", "extern int counter; extern int g(int *);\n"
			    "static int one(void) { return 1; }\n"
			    "static int (*pick(void))(void) { return one; }\n"
			    "int chosen(void) __attribute__((visibility(\"hidden\"), ifunc(\"pick\")));\n"
			    "int f(int x) { int room[8] = {x}; return g(room) + counter + chosen(); }\n"
			    "int *pointer = &counter;\n"
			    "int (*function)(void) = one;\n");
	run("cc -O1 -g -shared -fPIC -Wl,--build-id -o lib.so lib.c");
	return 0;
}

static inline struct hp_reader *new_reader(struct hp_image *im)
{
	struct hp_reader *r = NULL;

	assert_int_equal(hp_reader_new(&r, im->name, NULL), 0);
	hp_reader_join(r, im);
	return r;
}

static inline int lookup(void *arg, const struct hp_reloc_sym *sym, struct hp_reloc_target *ret,
			 struct hp_err *err)
{
	*ret = (struct hp_reloc_target){.addr = 0x1000 + strlen(sym->name)};
	return 0;
}

#endif
