/* SPDX-License-Identifier: MIT */
/*
 * patch/plan.h – what a load would do.  A plan never changes anything: whatever can be refused is
 * refused here.  (DESIGN 4)
 */
#ifndef HP_PATCH_PLAN_H
#define HP_PATCH_PLAN_H

#include "arch/callsite.h"
#include "arch/code.h"
#include "elf/image.h"
#include "elf/patchinfo.h"
#include "elf/reloc.h"
#include "patch/file.h"
#include "patch/ledger.h"
#include "patch/ops.h"
#include "target/resolve.h"
#include "target/target.h"

struct hp_plan_fn {
	char new_name[HP_LEDGER_NAME];
	struct hp_resolved old;
	struct hp_head head;
	struct hp_flow flow; /* vaddr of old.module's image */
	struct hp_call_sites sites;
	uint64_t new_vaddr, new_size; /* in the patch */
	struct hp_flow new_flow;      /* vaddr of the patch */

	/* what is on it already: join.c */
	const struct hp_ledger_fn *joined; /* whose entry, stub and door are taken over; NULL: none */
	struct hp_link below;		   /* then the topmost patch */

	/* chosen by place.c */
	enum hp_entry_method method;
	size_t head_len;
	hp_addr stub, door;
	unsigned bank, slot;
	const char *why; /* why this method, for check */
};

/* A page of stubs. */
struct hp_plan_page {
	hp_addr at;
	bool there; /* other patches have stubs in it */
};

/* A pointer variable of the patch that receives an address. */
struct hp_plan_ref {
	uint64_t where; /* vaddr in the patch */
	hp_addr value;	/* or, for an orig of a replaced function, 0 and: */
	int orig_of;	/* index in fn, -1: value counts */
};

struct hp_plan {
	char id[HP_ID_LEN + 1];
	const struct hp_load_request *req;
	struct hp_target *target;
	bool probes; /* uprobes can be had: needed to write some entries */
	struct hp_image *image; /* the patch's */
	struct hp_symtab *symtab;
	struct hp_cfi *cfi;
	struct hp_relocs *relocs; /* and what each of hp_relocs_symbols() binds to */
	struct hp_bound *bound;
	struct hp_patchinfo info;
	const struct hp_pairs *seal;  /* who signed it; not owned, may be NULL */
	struct hp_pairs replace, ref; /* the request's, then the patch's own */
	size_t asked_replace, asked_ref; /* the first so many are the request's */
	struct hp_plan_fn *fn;
	size_t n_fns;
	struct {
		struct hp_plan_ref *v;
		size_t n, room;
	} refs;

	/* code that may call libc, so needs a safe point */
	uint64_t init[8], fini[8]; /* in the order in which they run */
	size_t n_init, n_fini;
	uint64_t eh_frame; /* vaddr; 0: the patch has no unwind tables to be registered */
	hp_addr register_frame, deregister_frame; /* 0: nobody unwinds */

	/* chosen by place.c */
	hp_addr area;	   /* ledger, object (patch/own_object.h), control pages */
	size_t area_bytes;
	hp_addr object;
	hp_addr table, gate, gate_back, data, code;
	hp_addr bank[HP_LEDGER_BANKS];
	size_t n_banks;
	struct {
		struct hp_plan_page *v;
		size_t n, room;
	} stub_page;
	hp_addr bias;
	struct hp_range patch; /* its segments, process addresses */
	struct hp_fixups fixups;
};

/* The head as it lies in the process. */
struct hp_head hp_plan_head(const struct hp_plan_fn *f);

/* Reads and decides everything but places.  The target must be refreshed; it and @file must outlive the
 * plan. */
int hp_plan_make(struct hp_plan **ret, struct hp_target *t, const struct hp_load_request *req,
		 const char *id, const struct hp_file *file, struct hp_err *err);
void hp_plan_free(struct hp_plan *p);

/* Chooses entry methods and addresses (place.c), against the maps as last read, and computes the
 * relocations for them.  May be called again when the maps have changed. */
int hp_plan_place(struct hp_plan *p, const struct hp_ledgers *there, struct hp_err *err);

/* Binds what the patch imports, once, and computes the relocations for where it was placed (bind.c). */
int hp_plan_relocate(struct hp_plan *p, struct hp_err *err);

/* What it will map in the target. */
size_t hp_plan_bytes(const struct hp_plan *p);

/* The plan as told to people. */
int hp_plan_describe(const struct hp_plan *p, struct hp_patch_info *ret, struct hp_err *err);

#endif
