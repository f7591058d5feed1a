/* SPDX-License-Identifier: MIT */
/*
 * hp/patch.h – for authors of patches.  A patch is an ordinary shared object:
 *
 *	cc -O2 -g -shared -fPIC -o fix.so fix.c
 *
 * What is written with these macros lies in the section ".hp.patch" of the file, so that
 * `hpctl load -p PID fix.so` needs no maps on the command line.  Everything here is optional: a
 * patch may as well be a plain file whose replace and ref maps come with the request.
 *
 *	#include <hp/patch.h>
 *	HP_REF(int *, Global, "globalValue");	   Global == &globalValue of the target
 *	extern int counter;			   or plainly: resolved against the target
 *	HP_ORIG(void, func1, (void));		   declares func1_orig(): the old code
 *	HP_NEW void NewFunc1(void) { *Global += 15; func1_orig(); }
 *	HP_REPLACE(NewFunc1, "func1");
 *	HP_META("cve", "CVE-2026-1234");
 *
 * See hp-patch(5).
 */
#ifndef HP_PATCH_H
#define HP_PATCH_H

/* C linkage, so that the names in the maps are the names in the file.  A variable needs the braces:
 * g++ warns about an extern that is initialised. */
#ifdef __cplusplus
#define HP_PATCH_C	extern "C"
#define HP_PATCH_EXTERN extern "C"
#define HP_PATCH_VAR(d) extern "C" { d; }
#else
#define HP_PATCH_C
#define HP_PATCH_EXTERN extern
#define HP_PATCH_VAR(d) d;
#endif

/* Nothing refers to the records: without it -Wl,--gc-sections drops them in silence. */
#if defined(__has_attribute)
#if __has_attribute(retain)
#define HP_PATCH_RETAIN , retain
#endif
#endif
#ifndef HP_PATCH_RETAIN
#define HP_PATCH_RETAIN
#endif

/* One record of ".hp.patch": kind, then two NUL-terminated strings in fixed room.  The room is
 * fixed because the strings must lie in the record itself: a pointer would need a relocation, and
 * the file is read without applying any.  A record is 512 bytes: a compiler may align a big object
 * to 32 bytes or more, and no gap may come between two. */
#define HP_PATCH_MAGIC	  0x31706870u /* "php1" */
#define HP_PATCH_TEXT_MAX 252

enum { HP_PATCH_REPLACE = 1, HP_PATCH_REF = 2, HP_PATCH_ORIG = 3, HP_PATCH_META = 4 };

struct hp_patch_record {
	unsigned magic;
	unsigned kind;
	char key[HP_PATCH_TEXT_MAX];
	char value[HP_PATCH_TEXT_MAX];
} __attribute__((aligned(8)));

#define HP_PATCH_CAT_(a, b) a##b
#define HP_PATCH_CAT(a, b)  HP_PATCH_CAT_(a, b)
#define HP_PATCH_RECORD(kind_, key_, value_)                                                       \
	static const struct hp_patch_record HP_PATCH_CAT(hp_patch_record_, __COUNTER__)            \
		__attribute__((section(".hp.patch"), used HP_PATCH_RETAIN)) = {                    \
			HP_PATCH_MAGIC, kind_, key_, value_}

/* A new function.  The stack is realigned, because gcc lets a caller that knew the old body skip
 * the alignment (-fipa-stack-alignment), and it is kept and never inlined.  In C++ it has C linkage
 * (and so cannot be overloaded). */
#define HP_NEW                                                                                     \
	HP_PATCH_C __attribute__((force_align_arg_pointer, noinline, used, visibility("default")))

/* @new_fn of this file takes the place of the target's function @old_name ("func",
 * "lib.so.1:func", "file.c:func", or by its address in the file: "@0x1234"). */
#define HP_REPLACE(new_fn, old_name) HP_PATCH_RECORD(HP_PATCH_REPLACE, #new_fn, old_name)

/* A variable @var of pointer type @type that holds the address of the target's @symbol before any
 * code of the patch runs.  Volatile, or -flto would put the zero in its place. */
#define HP_REF(type, var, symbol)                                                                  \
	HP_PATCH_VAR(__typeof__(type) volatile var                                                 \
		     __attribute__((used, visibility("default"))) = 0)                             \
	HP_PATCH_RECORD(HP_PATCH_REF, #var, symbol)

/* Declares @fn##_orig, which calls the code that @fn had before this patch, which may be that of
 * another one: a pointer, so it is called as a function is. */
#define HP_ORIG(ret, fn, args)                                                                     \
	HP_PATCH_VAR(ret(*volatile fn##_orig) args                                                 \
		     __attribute__((used, visibility("default"))) = 0)                             \
	HP_PATCH_RECORD(HP_PATCH_ORIG, #fn "_orig", #fn)

/* The four hooks, int (void); anything but 0 refuses (see hp-patch(5) for what follows). */
#define HP_HOOK_BEFORE_LOAD()	HP_PATCH_HOOK(HPBeforeLoad)
#define HP_HOOK_AFTER_LOAD()	HP_PATCH_HOOK(HPAfterLoad)
#define HP_HOOK_BEFORE_UNLOAD() HP_PATCH_HOOK(HPBeforeUnload)
#define HP_HOOK_AFTER_UNLOAD()	HP_PATCH_HOOK(HPAfterUnload)
#define HP_PATCH_HOOK(name)                                                                        \
	HP_PATCH_C int name(void);                                                                 \
	HP_PATCH_C __attribute__((used, visibility("default"))) int name(void)

/* char HPError[]: a hook that refuses may write here why, and it is told:
 *
 *	HP_ERROR;
 *	HP_HOOK_BEFORE_LOAD() { snprintf(HPError, sizeof(HPError), "not today"); return 1; } */
#define HP_ERROR                                                                                   \
	HP_PATCH_VAR(__attribute__((used, visibility("default"))) char HPError[256])               \
	HP_PATCH_EXTERN char HPError[256]

/* Free words about the patch, shown by `hpctl list --json`.  Read by hp: "needs-build-id" (hex: the
 * target's file must have it); "requires" (an hp_id, or 8 or more digits of one: that patch must be
 * active, and cannot be unloaded before this one); "supersedes" (likewise: that patch is unloaded
 * when this one is in force).  For people: "cve", "description". */
#define HP_META(key, value) HP_PATCH_RECORD(HP_PATCH_META, key, value)

#endif
