/* SPDX-License-Identifier: MIT */
/*
 * patch/ledger.h – what is patched, written in the target itself.  (DESIGN 5)
 *
 * The first pages of a patch's area, a private mapping of a memfd "hp-patch-<id>", hold one struct
 * hp_ledger.  Its fixed part is complete before the first byte of the target is changed; its state
 * is written before each step.  A new hpd needs nothing else.  What a ledger says is a stranger's
 * word: hp_ledgers_read() checks every count and the addresses of its own area, and before anything is
 * written elsewhere hp_ledger_check_places() does so against the target's maps.
 */
#ifndef HP_PATCH_LEDGER_H
#define HP_PATCH_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "patch/leads.h"
#include "patch/ops.h"
#include "target/look.h"
#include "target/target.h"

#define HP_LEDGER_MAGIC	  0x3172656764656c70ull /* "pledger1" */
#define HP_LEDGER_VERSION 6
#define HP_MEMFD_PREFIX	  "/memfd:hp-patch-"
#define HP_LEDGER_ID_BEGIN 16 /* digits of the id behind it */

#define HP_LEDGERS_MAX	 256 /* patches in one process, retained ones too */
#define HP_LEDGER_FNS	 1024
#define HP_LEDGERS_FNS	 (16 * HP_LEDGER_FNS) /* of all patches in one process */
#define HP_UNKNOWN_MAX	 16 /* areas that are told of in one process */
#define HP_LEDGER_BANKS	 16
#define HP_LEDGER_FRAMES (1 + HP_LEDGER_BANKS) /* the patch's, and hp's own for each bank */
/* Mappings: the patch, the banks; of each function those of its stub, which may lie across two pages,
 * and of its door. */
#define HP_LEDGER_RANGES (1 + HP_LEDGER_BANKS + 3 * HP_LEDGER_FNS)
#define HP_LEDGER_NAME	 160
#define HP_LEDGER_TEXT	 (128u << 10)
/* The most bytes of an area: the largest ledger, and what tells of the code. */
#define HP_LEDGER_AREA_MAX (2u << 20)

enum hp_entry_method { HP_ENTRY_PUN, HP_ENTRY_INT3, HP_ENTRY_STOP, HP_ENTRY_METHODS };
const char *hp_entry_method_name(enum hp_entry_method m);

/* What a new hpd has to do about a patch that is in this phase.  "Half-done load" is rolled back,
 * "half-done unload" is finished. */
enum hp_phase {
	HP_PHASE_MAPPED = 1, /* half-done load: no byte of the program is changed */
	HP_PHASE_ENTRY,	     /* half-done load: entries may be jumps, old code runs */
	HP_PHASE_LOADING,    /* half-done load: the gate page tells: 1 = new code runs */
	HP_PHASE_LOADED,     /* half-done load: new code runs, HPAfterLoad may be running */
	HP_PHASE_ACTIVE,     /* at rest */
	HP_PHASE_UNLOADING,  /* half-done unload: the second gate page tells: 1 = old code runs */
	HP_PHASE_REMOVING,   /* half-done unload: old code runs, entries may be restored */
	HP_PHASE_RETAINED,   /* at rest: entries restored, but pointers into the patch are left */
};

struct hp_ledger_fn {
	char new_name[HP_LEDGER_NAME], old_name[HP_LEDGER_NAME];
	uint64_t addr, size; /* of the old function */
	uint64_t new_addr, new_size;
	uint64_t stub; /* where the entry jumps, and the word through which that jumps on: those of
			  the first patch on the function are every later one's too */
	uint64_t door;
	uint16_t bank, slot;
	uint8_t method;	  /* enum hp_entry_method */
	uint8_t head_len; /* bytes of the head that were moved */
	uint8_t jump[5];  /* what the entry is while patched: 1 byte (pun) or 5 */
	uint8_t orig[5];  /* what it was */
	uint8_t watchable, new_watchable;
	uint8_t pad[6];
};

/* A mapping of hp's, to be unmapped.  The area itself is not in the list: it goes last. */
struct hp_ledger_range {
	uint64_t lo, hi;
};

/* Magic and version are where they are in every version. */
struct hp_ledger_fixed {
	uint64_t magic;
	uint64_t checksum; /* of all that follows, up to hp_ledger_size() */
	uint32_t version;
	uint32_t n_fns, n_banks, n_ranges;
	int32_t pid; /* whom it was written for: another pid is a forked child's copy */
	uint32_t mode;
	uint64_t start_time; /* of that pid */
	uint64_t loaded_wall_ns;
	char id[HP_ID_LEN + 8];
	char file[1024];
	/* the area's parts, all in [area_lo, area_hi) */
	uint64_t area_lo, area_hi;
	uint64_t table, gate, gate_back, data, code;
	uint64_t patch_lo, patch_hi, bias;
	uint64_t bank[HP_LEDGER_BANKS];
	uint64_t hook[HP_HOOKS]; /* addresses; 0: none */
	uint64_t fini[8];	 /* fini_array in the order in which it runs */
	uint32_t n_fini, n_frames;
	/* unwind tables that the target's libgcc was given: where, and who takes and drops them */
	uint64_t frames[HP_LEDGER_FRAMES], register_frame, deregister_frame;
	uint64_t hook_text; /* where a hook says why it refuses; 0: nowhere */
	uint32_t hook_text_bytes, pad0;
	uint32_t text_n;
	uint32_t pad;
	/* In the target only what is used of these, one right behind the other (hp_ledger_pack()). */
	struct hp_ledger_fn fn[HP_LEDGER_FNS];
	struct hp_ledger_range range[HP_LEDGER_RANGES];
	char text[HP_LEDGER_TEXT]; /* maps and metadata: kind, key, value, each NUL-terminated */
};

/* Two copies, written in turn: one that was torn by a kill has a wrong checksum. */
struct hp_ledger_state {
	uint64_t sequence;
	uint32_t phase;
	uint32_t agent;
	uint64_t checksum;
};

struct hp_ledger {
	struct hp_ledger_state state[2];
	struct hp_ledger_fixed fixed;
};

/* How many bytes of it lie in the target. */
static inline size_t hp_ledger_size(size_t n_fns, size_t n_ranges, size_t text_n)
{
	return offsetof(struct hp_ledger, fixed.fn) + n_fns * sizeof(struct hp_ledger_fn) +
	       n_ranges * sizeof(struct hp_ledger_range) + text_n;
}

/* As it lies in the target: hp_ledger_size() bytes to @to. */
void hp_ledger_pack(const struct hp_ledger *l, void *to);

/* What @pairs take in the text. */
size_t hp_ledger_text_bytes(const struct hp_pairs *pairs);

void hp_ledger_seal(struct hp_ledger *l);

/* Writes the next state into the target, and into @l. */
int hp_ledger_set_phase(struct hp_ledger *l, const struct hp_target *t, enum hp_phase phase,
			struct hp_err *err);
enum hp_phase hp_ledger_phase(const struct hp_ledger *l);

/* Which code runs: 1 new, 0 old, or a negative code. */
int hp_ledger_runs_new(const struct hp_ledger *l, const struct hp_target *t, struct hp_err *err);

/* The function of @l whose block is @slot of @bank, or -1. */
int hp_ledger_fn_in(const struct hp_ledger *l, unsigned bank, uint64_t slot);

/* The function of @l that replaces the one at @addr, or -1. */
int hp_ledger_fn_on(const struct hp_ledger *l, hp_addr addr);

/* The pairs in fixed.text: 'r' replaced and 'v' referred to as the request says, 'R' and 'V' as the
 * patch does, 'm' metadata, 's' who signed it. */
int hp_ledger_put_text(struct hp_ledger *l, char kind, const struct hp_pairs *pairs,
		       struct hp_err *err);
int hp_ledger_get_text(const struct hp_ledger *l, char kind, struct hp_pairs *ret);

/* Reads the ledger at @at.  False: there is none, or of another version (@l->fixed.magic and .version are
 * as there), or one that does not hold. */
bool hp_ledger_read(struct hp_ledger *l, const struct hp_target *t, hp_addr at);

/* An area of hp's that this hp cannot read: what is in it is left alone. */
struct hp_unknown_ledger {
	uint32_t version; /* as it says; HP_LEDGER_VERSION: it does not hold; 0: it does not even say */
	char id[HP_LEDGER_ID_BEGIN + 1];
};

struct hp_ledgers {
	struct hp_ledger **v;
	size_t n, room;
	size_t n_fns; /* of all, retained ones too */
	struct hp_leads leads;
	struct {
		struct hp_unknown_ledger *v;
		size_t n, room;
	} unknown;
};

/* All ledgers in @t, oldest first. */
int hp_ledgers_read(const struct hp_target *t, struct hp_ledgers *ret, struct hp_err *err);
/* Where there is one that this hp cannot read nothing is known of the program's code: to be asked
 * before anything is changed.  -HP_E_TARGET, with its name. */
int hp_ledgers_refuse_unknown(const struct hp_ledgers *ls, const struct hp_target *t,
			      struct hp_err *err);
/* One more, with @n_fns functions, would be too many: -HP_E_TARGET. */
int hp_ledgers_refuse_full(const struct hp_ledgers *ls, size_t n_fns, const struct hp_target *t,
			   struct hp_err *err);
/* Slots, stubs, doors, gates and the rest of the area lie in what has hp's name, in a patch that is
 * mapped whole; @t has been refreshed since.  -HP_E_TARGET says what does not, and where. */
int hp_ledger_check_places(const struct hp_ledger *l, const struct hp_target *t, struct hp_err *err);
/* Reads anew what is mapped in the places of @l. */
int hp_ledger_refresh(const struct hp_ledger *l, struct hp_looker *looker, struct hp_err *err);
/* One sentence about @u. */
void hp_unknown_ledger_text(const struct hp_unknown_ledger *u, char *text, size_t n);
void hp_ledgers_free(struct hp_ledgers *ls);
/* A patch that came (@l is complete, and owned from here on), one that went. */
int hp_ledgers_add(struct hp_ledgers *ls, struct hp_ledger *l);
void hp_ledgers_drop(struct hp_ledgers *ls, struct hp_ledger *l);

/* The one whose id starts with @prefix; -HP_E_NOT_LOADED, -HP_E_AMBIGUOUS. */
int hp_ledgers_pick(const struct hp_ledgers *ls, const char *prefix, struct hp_ledger **ret,
		    struct hp_err *err);

/* How many functions they replace; what is only retained replaces none. */
size_t hp_ledgers_functions(const struct hp_ledgers *ls);

/* Bytes that hp has mapped in the target for it: the area and all ranges. */
size_t hp_ledger_mapped_bytes(const struct hp_ledger *l);

/* True when the ledger was written for this process, not for an ancestor of it. */
bool hp_ledger_is_own(const struct hp_ledger *l, const struct hp_target *t);

#endif
