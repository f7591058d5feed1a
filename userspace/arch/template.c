/* SPDX-License-Identifier: MIT */
#include "arch/template.h"

#include <elf.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "arch/block.h"
#include "arch/frames.h"
#include "elf/write.h"

#define FRAMES_AT    (HP_ELF_HEADERS + 64)
#define BUILD_ID_LEN 20
#define SYMBOLS      (HP_BANK_FNS * HP_PATHS)
#define NAME_ROOM    24

/* gABI, "Note Section" */
struct build_id {
	Elf64_Nhdr header;
	char owner[4];
	uint8_t id[BUILD_ID_LEN];
};
_Static_assert(HP_ELF_HEADERS + sizeof(struct build_id) <= FRAMES_AT, "the note has room");

static void name_paths(struct hp_elf_symbol *symbol, char (*name)[NAME_ROOM])
{
	for (unsigned i = 0; i < SYMBOLS; i++) {
		enum hp_path p = (enum hp_path)(i % HP_PATHS);
		size_t block = HP_TEMPLATE_AT + i / HP_PATHS * HP_BLOCK_SIZE;

		snprintf(name[i], NAME_ROOM, "hp_%s.%u", hp_path_name(p), i / HP_PATHS);
		symbol[i] = (struct hp_elf_symbol){.name = name[i],
						   .addr = block + hp_path_offset(p),
						   .size = hp_path_size(p)};
	}
}

static void identify(uint8_t id[BUILD_ID_LEN], const uint8_t text[HP_TEMPLATE_SIZE],
		     const struct hp_frames *frames)
{
	crypto_generichash_state sum;

	/* always 0 for a length that is allowed */
	(void)crypto_generichash_init(&sum, NULL, 0, BUILD_ID_LEN);
	(void)crypto_generichash_update(&sum, text, HP_TEMPLATE_SIZE);
	(void)crypto_generichash_update(&sum, frames->bytes.v, frames->bytes.n);
	(void)crypto_generichash_final(&sum, id, BUILD_ID_LEN);
}

static int write_file(const struct hp_frames *frames, uint8_t **ret, size_t *ret_n)
{
	static struct hp_elf_symbol symbol[SYMBOLS];
	static char name[SYMBOLS][NAME_ROOM];
	static uint8_t text[HP_TEMPLATE_SIZE];
	struct build_id note = {{4, BUILD_ID_LEN, NT_GNU_BUILD_ID}, "GNU", {0}};
	struct hp_elf_section section[] = {
		{".note.gnu.build-id", SHT_NOTE, SHF_ALLOC, HP_ELF_HEADERS, (uint8_t *)&note,
		 sizeof(note)},
		{".eh_frame", SHT_PROGBITS, SHF_ALLOC, FRAMES_AT, frames->bytes.v, frames->bytes.n},
		{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, HP_TEMPLATE_AT, text,
		 sizeof(text)},
	};
	struct hp_elf_file file = {.segments = true,
				   .section = section,
				   .n_sections = sizeof(section) / sizeof(section[0]),
				   .symbol = symbol,
				   .n_symbols = SYMBOLS};

	if (FRAMES_AT + frames->bytes.n > HP_TEMPLATE_AT)
		return -EINVAL;
	hp_template_fill(text);
	name_paths(symbol, name);
	identify(note.id, text, frames);
	return hp_elf_write(&file, ret, ret_n);
}

static int make_file(uint8_t **ret, size_t *ret_n)
{
	struct hp_frames frames = {.at = FRAMES_AT};
	int r;

	hp_frames_begin(&frames);
	for (unsigned fn = 0; fn < HP_BANK_FNS; fn++)
		hp_frames_block(&frames, HP_TEMPLATE_AT + fn * HP_BLOCK_SIZE);
	hp_frames_end(&frames);
	r = frames.failed ? -ENOMEM : write_file(&frames, ret, ret_n);
	HP_ARRAY_FREE(&frames.bytes);
	return r;
}

int hp_template_file(const uint8_t **ret, size_t *ret_n)
{
	static uint8_t *made;
	static size_t n;
	int r = made ? 0 : make_file(&made, &n);

	*ret = made;
	*ret_n = n;
	return r;
}
