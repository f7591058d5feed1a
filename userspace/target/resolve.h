/* SPDX-License-Identifier: MIT */
/*
 * target/resolve.h – from a name that a person wrote to an address of the target.
 *
 *	func			the executable, then its libraries in load order
 *	libfoo.so.1:func	that library (soname or file name)
 *	file.c:func		a static function, by its source file
 *	main.func		what has that name, else the executable's func: as Go writes it
 *	@0x1234			vaddr in the executable; libfoo.so.1:@0x1234 in a library
 */
#ifndef HP_TARGET_RESOLVE_H
#define HP_TARGET_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>

#include "target/target.h"

struct hp_resolved {
	struct hp_module *module;
	uint64_t vaddr; /* in the module's image */
	hp_addr addr;	/* in the process */
	uint64_t size;	/* 0: unknown (@0x… without FDE or symbol) */
	uint8_t type;	/* STT_* */
	char name[256]; /* the symbol's name, or the spec */
};

/* A function to be replaced.  -HP_E_NO_SYMBOL (with near matches: "did you mean"), -HP_E_AMBIGUOUS
 * (lists the candidates as specs that pick one), -HP_E_NOT_FUNCTION. An IFUNC is refused naming
 * how to name the implementation. */
int hp_resolve_function(struct hp_target *t, const char *spec, struct hp_resolved *ret,
			struct hp_err *err);

/* Anything with an address: the ref map.  Thread-local symbols are refused (-HP_E_TLS). */
int hp_resolve_any(struct hp_target *t, const char *spec, struct hp_resolved *ret,
		   struct hp_err *err);

/* An undefined symbol of a patch, and what it binds to. */
struct hp_bound {
	const char *name, *version;
	bool needed;		  /* debuginfod is asked for these only */
	struct hp_module *module; /* NULL: nothing defines it */
	uint64_t vaddr;		  /* in the module's image */
	hp_addr addr;		  /* in the process */
	uint8_t type;		  /* STT_*; STT_GNU_IFUNC and STT_TLS are told */
};

/* Binds @n of them: to global and weak symbols in scope order with the version honoured, then static
 * and hidden ones of the executable.  One question for all. */
int hp_resolve_imports(struct hp_target *t, struct hp_bound *v, size_t n, struct hp_err *err);

/* -HP_E_UNDEFINED with the sentence for one without a module. */
int hp_resolve_undefined(struct hp_target *t, const struct hp_bound *b, struct hp_err *err);

#endif
