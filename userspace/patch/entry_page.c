/* SPDX-License-Identifier: MIT */
#include "patch/entry_page.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "elf/image.h"
#include "target/agent.h"

/* Linux 5.18: of a program that has called mlockall() too. */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

/* The file's mapping may have been changed under us, or be another tool's by now: it is the bytes
 * that are compared, a moment before. */
static bool file_has(const struct hp_live *lv, hp_addr page, const uint8_t want[HP_PAGE])
{
	const struct hp_map *m = hp_maps_find(&lv->t->maps, page);
	const struct hp_module *mod = hp_target_module_at(lv->t, page);
	uint8_t have[HP_PAGE];

	return m && mod && !m->shared && m->path[0] == '/' &&
	       hp_pread_all(mod->image->fd, have, HP_PAGE, (off_t)(m->offset + (page - m->lo))) ==
		       0 &&
	       !memcmp(have, want, HP_PAGE);
}

bool hp_entry_page_give_back(struct hp_live *lv, hp_addr page, const uint8_t want[HP_PAGE])
{
	return file_has(lv, page, want) &&
	       hp_agent_syscall(lv->agent, SYS_madvise, page, HP_PAGE, MADV_DONTNEED_LOCKED, 0, 0,
				0) == 0;
}
