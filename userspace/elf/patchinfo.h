/* SPDX-License-Identifier: MIT */
/*
 * elf/patchinfo.h – what a patch file says of itself: the records that include/hp/patch.h leaves
 * in the section ".hp.patch" (replace map, ref map, origs, metadata), and its hooks by name.
 */
#ifndef HP_ELF_PATCHINFO_H
#define HP_ELF_PATCHINFO_H

#include <stddef.h>
#include <stdint.h>

struct hp_err;
struct hp_image;
struct hp_symtab;

/* "key=value", both copied: NEW=OLD of the replace map, VAR=SYMBOL of the ref map, a HP_META. */
struct hp_pair {
	char *key, *value;
};

struct hp_pairs {
	struct hp_pair *v;
	size_t n, room;
};

int hp_pairs_add(struct hp_pairs *p, const char *key, const char *value);
int hp_pairs_set(struct hp_pairs *p, const char *key, const char *value); /* in its place, or added */
const char *hp_pairs_get(const struct hp_pairs *p, const char *key); /* NULL: none */
void hp_pairs_free(struct hp_pairs *p);

enum hp_hook {
	HP_HOOK_BEFORE_LOAD,
	HP_HOOK_AFTER_LOAD,
	HP_HOOK_BEFORE_UNLOAD,
	HP_HOOK_AFTER_UNLOAD,
	HP_HOOKS,
};

/* "HPBeforeLoad", … */
const char *hp_hook_name(enum hp_hook h);

struct hp_patchinfo {
	struct hp_pairs replace; /* HP_REPLACE */
	struct hp_pairs ref;	 /* HP_REF: pointer variable in the patch -> symbol of the target */
	struct hp_pairs orig;	 /* HP_ORIG: pointer variable in the patch -> target function */
	struct hp_pairs meta;	 /* HP_META */
	uint64_t hook[HP_HOOKS]; /* vaddr, 0: the patch has none */
	uint64_t hook_text;	 /* HPError, where a hook says why it refuses: vaddr, 0: none */
	uint32_t hook_text_bytes;
};

/* Parses @im, which must be a shared object (-HP_E_NOT_PATCH otherwise: an executable, PIE
 * included, says so), without TLS definitions (-HP_E_TLS), with sane records (-HP_E_BAD_ELF).
 * A hook's name must be a function's (-HP_E_NOT_FUNCTION), and one (-HP_E_AMBIGUOUS).
 * Without the section ".hp.patch", or without section headers, there are no records. */
int hp_patchinfo_read(struct hp_patchinfo *ret, const struct hp_image *im,
		      const struct hp_symtab *st, struct hp_err *err);
void hp_patchinfo_free(struct hp_patchinfo *pi);

#endif
