/* SPDX-License-Identifier: MIT */
/*
 * patch/entry_page.h – giving a page of the program's text back to its file.
 *
 * A private page of a mapped file that is dropped is read from the file again by whoever comes next.
 * A CPU has either the one page or the other: the kernel takes the old one out of every TLB first, by
 * interrupts, which serialise.  So a whole instruction changes at once, nobody is stopped, no uprobe
 * has to stand in between, and the page is the file's again (DESIGN P6).
 */
#ifndef HP_PATCH_ENTRY_PAGE_H
#define HP_PATCH_ENTRY_PAGE_H

#include <stdbool.h>

#include "patch/live.h"

/* Makes the page at @page what @want says, if that is what its file has there.  False: it is not, or
 * the kernel does not do it; then nothing was changed. */
bool hp_entry_page_give_back(struct hp_live *lv, hp_addr page, const uint8_t want[HP_PAGE]);

#endif
