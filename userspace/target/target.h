/* SPDX-License-Identifier: MIT */
/*
 * target/target.h – one running process: identity, memory, the files it is made of, its symbols.
 *
 * Identity is a pidfd and a start time, never a bare pid.  The files are the *mapped* ones, opened
 * through /proc/PID/map_files: after a package upgrade the name is another inode.
 * One owner; not thread-safe.
 */
#ifndef HP_TARGET_TARGET_H
#define HP_TARGET_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "target/maps.h"

struct hp_err;
struct hp_image;
struct hp_symtab;
struct hp_cfi;
struct hp_reader;

#define HP_MODULE_RESTORERS 8

/* A mapped ELF file. */
struct hp_module {
	char *path;	 /* as /proc/PID/maps says, without " (deleted)" */
	const char *name; /* its last part; soname in image->soname */
	bool exe;
	dev_t dev;
	ino_t ino;
	hp_addr bias;	      /* process address = vaddr + bias */
	struct hp_range span; /* of its segments, process addresses */
	struct hp_image *image;
	struct hp_image *debug;	  /* or NULL; with symtab */
	struct hp_symtab *symtab; /* lazily: hp_module_symtab() */
	struct hp_symtab *fewer;  /* what symtab was before it was fetched */
	bool fetched;		  /* or tried to */
	struct hp_cfi *cfi;	  /* lazily: hp_module_cfi() */
	bool restorers_sought;	  /* signal return trampolines: hp_restorers_all() */
	size_t n_restorers;
	hp_addr restorer[HP_MODULE_RESTORERS];
};

struct hp_target {
	pid_t pid;
	int pidfd;
	uint64_t start_time; /* clock ticks since boot, /proc/PID/stat field 22 */
	uid_t uid;	     /* effective */
	int mem_fd;	     /* /proc/PID/mem, read-write */
	dev_t exe_dev;	     /* of /proc/PID/exe, to notice an exec */
	ino_t exe_ino;
	uint64_t start_stack; /* random, where an exec put it: /proc/PID/stat field 28 */
	char comm[16 + 1];
	struct hp_reader *reader; /* of its files */
	/* The vDSO is no file: a copy of it; NULL: none. */
	uint8_t *vdso;
	size_t vdso_n;
	hp_addr vdso_at;
	struct hp_maps maps; /* as last read, which is not only by hp_target_refresh() */
	struct hp_module *module;
	size_t n_modules; /* the executable first, then in load order; vdso and files that are no ELF
			     left out, and what hp has mapped, when it is much (hp_target_module_at()) */
	size_t modules_room;
	bool all_wanted; /* nothing is left out */
	uint64_t modules_seen; /* changes whenever a module came or went */
	struct {
		struct hp_module **v;
		size_t n, room;
	} retired; /* earlier arrays of modules */
	hp_addr gadget, restorer; /* target/gadget.h, lazily */
};

/* Refuses, by name: no such process, a zombie (-HP_E_GONE); a thread's id that is no process (says
 * whose), a kernel thread, a process whose main thread has ended, an hpd, whoever started us, a
 * 32-bit program (-HP_E_TARGET); a process that we may not trace (-HP_E_DENIED). */
int hp_target_open(struct hp_target **ret, pid_t pid, struct hp_err *err);
void hp_target_free(struct hp_target *t);

/* 0, or -HP_E_GONE with the sentence, when it exited; -HP_E_GONE too when it is another program
 * now, even the same anew (exec). */
int hp_target_check(const struct hp_target *t, struct hp_err *err);

/* What was read of its files was in them: -HP_E_TARGET names one that was made shorter meanwhile, of which
 * some was read as zeros (elf/image.h). */
int hp_target_files_check(const struct hp_target *t, struct hp_err *err);

/* Who traces its main thread; 0: nobody. */
pid_t hp_target_tracer(const struct hp_target *t);

/* Reads maps again; modules that came or went are updated, known ones keep their images.  A pointer
 * to a module stays good until hp_target_free(), or until that file is no longer mapped. */
int hp_target_refresh(struct hp_target *t, struct hp_err *err);
/* The same, when it is known where something has changed. */
int hp_target_refresh_in(struct hp_target *t, const struct hp_range *in, size_t n, struct hp_err *err);

/* Would @bytes more be within RLIMIT_AS?  -HP_E_TARGET with the sentence. */
int hp_target_room(const struct hp_target *t, size_t bytes, struct hp_err *err);

/* Memory, all bytes or an error.  read: process_vm_readv.  poke: /proc/PID/mem, read-only private mappings
 * too; never by the pid: that would be whatever the process executes by now, a set-user-id program too,
 * while the descriptor is of the memory that was there when it was opened. */
int hp_mem_read(const struct hp_target *t, hp_addr a, void *buf, size_t n, struct hp_err *err);
int hp_mem_poke(const struct hp_target *t, hp_addr a, const void *buf, size_t n,
		struct hp_err *err);

struct hp_module *hp_target_exe(struct hp_target *t);
/* NULL: none.  Opens one that was left out. */
struct hp_module *hp_target_module_at(struct hp_target *t, hp_addr a);
struct hp_module *hp_target_module_named(struct hp_target *t, const char *name); /* soname or file */
int hp_module_symtab(struct hp_module *m, const struct hp_symtab **ret, struct hp_err *err);
/* Asks debuginfod for more (elf/debug_file.h), once: 1: there is more.  May take long. */
int hp_module_fetch_symtab(struct hp_module *m, struct hp_err *err);
int hp_module_cfi(struct hp_module *m, const struct hp_cfi **ret, struct hp_err *err);

/* "func (libfoo.so.1+0x1234)" or "0x…" for messages; returns @buf. */
const char *hp_target_describe(struct hp_target *t, hp_addr a, char *buf, size_t n);

#endif
