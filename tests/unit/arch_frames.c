/* SPDX-License-Identifier: MIT */
/*
 * What hp says about the frames of its own code is read back, by libdw as others would, and
 * compared: of the template with where its instructions leave rsp, of a moved head with what the
 * compiler said of the original.
 */
#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "arch/block.h"
#include "arch/code.h"
#include "arch/frames.h"
#include "arch/template.h"
#include "base/fd.h"
#include "elf/image.h"
#include "elf/write.h"
#include "hp/err.h"

extern char __ehdr_start[];

/* A call as the last instruction of what is moved, pushes before it; no rbx without rbp. */
__asm__(".text\n"
	"h_pushes: .cfi_startproc\n"
	"push %rbp; .cfi_adjust_cfa_offset 8; .cfi_rel_offset %rbp,0\n"
	"push %rbx; .cfi_adjust_cfa_offset 8; .cfi_rel_offset %rbx,0\n"
	"sub $0x48,%rsp; .cfi_adjust_cfa_offset 0x48\n"
	"ud2; .cfi_endproc; .size h_pushes, .-h_pushes\n"
	"h_frame: .cfi_startproc\n"
	"push %rbp; .cfi_adjust_cfa_offset 8; .cfi_rel_offset %rbp,0\n"
	"mov %rsp,%rbp; .cfi_def_cfa_register %rbp\n"
	"and $-32,%rsp\n"
	"ud2; .cfi_endproc; .size h_frame, .-h_frame\n"
	"h_call: .cfi_startproc\n"
	"push %rbx; .cfi_adjust_cfa_offset 8; .cfi_rel_offset %rbx,0\n"
	"call h_frame\n"
	"ud2; .cfi_endproc; .size h_call, .-h_call\n"
	"h_untold: push %rbx; push %rbp; push %r12; ud2; .size h_untold, .-h_untold\n");
extern char h_pushes[], h_frame[], h_call[], h_untold[];

static struct hp_image *image_of(const uint8_t *bytes, size_t n)
{
	int fd = memfd_create("object", MFD_CLOEXEC);
	struct hp_image *im = NULL;
	struct hp_err e = {0};

	assert_int_equal(hp_write_all(fd, bytes, n), 0);
	if (hp_image_open(&im, fd, "object", &e))
		fail_msg("%s", e.text);
	return im;
}

static struct hp_cfi *cfi_of(const struct hp_image *im)
{
	struct hp_cfi *cfi = NULL;

	assert_int_equal(hp_cfi_open(&cfi, im, NULL), 0);
	return cfi;
}

static void the_template_tells_of_every_instruction(void **state)
{
	struct hp_image *im;
	struct hp_cfi *cfi;
	const uint8_t *bytes;
	size_t n, told = 0;

	assert_int_equal(hp_template_file(&bytes, &n), 0);
	im = image_of(bytes, n);
	cfi = cfi_of(im);
	assert_true(im->build_id_len >= 16);
	for (unsigned i = 0; i < HP_TEMPLATE_SIZE; i++) {
		unsigned pushed, off = i % HP_BLOCK_SIZE;
		struct hp_cfi_row row;

		assert_true(hp_cfi_row(cfi, HP_TEMPLATE_AT + i, &row));
		(void)hp_block_place(off, &pushed);
		if (pushed) {
			assert_int_equal(row.cfa_offset, 8 + pushed);
			told++;
		}
		assert_int_equal(row.cfa_reg, HP_CFI_RSP);
		assert_int_equal(row.at[HP_CFI_RA], -8);
		assert_int_equal(row.cfa_offset, 8 + hp_block_pushed(off));
	}
	assert_true(told >= 2 * HP_BANK_FNS);
	hp_cfi_free(cfi);
	hp_image_free(im);
}

/* Targets map it under its name for as long as they run: other bytes are another version of it. */
static void the_template_is_what_its_version_says(void **state)
{
	uint8_t digest[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(digest) + 1];
	const uint8_t *bytes;
	size_t n;

	assert_int_equal(hp_template_file(&bytes, &n), 0);
	crypto_hash_sha256(digest, bytes, n);
	sodium_bin2hex(hex, sizeof(hex), digest, sizeof(digest));
	assert_string_equal(HP_TEMPLATE_NAME, "hp-paths-2.so");
	assert_string_equal(hex,
			    "23efb4765b54f0c4d370d37f5d266f550ba24df96da596cb67be6d5979c19f40");
}

#define MOVED 0x10000 /* where the head goes */

/* Rows of the object are compared with the program's own, at the place that each stands for.
 * @told: how many bytes of the head are told of. */
static void compare_head(const char *fn, const char *name, size_t told)
{
	struct hp_frames frames = {.at = HP_ELF_HEADERS};
	struct hp_elf_section section[2];
	struct hp_elf_file file = {.segments = true, .section = section, .n_sections = 2};
	struct hp_image *self = NULL, *object;
	struct hp_cfi *cfi, *made;
	uint8_t moved[HP_MOVED_MAX], *bytes;
	struct hp_head head;
	struct hp_err e = {0};
	size_t n, size;

	assert_int_equal(
		hp_image_open(&self, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "self", &e), 0);
	cfi = cfi_of(self);
	assert_int_equal(hp_head_read(&head, self, name, (hp_addr)(fn - __ehdr_start), 0, &e), 0);
	assert_int_equal(hp_head_move(&head, head.jump_len, MOVED, moved, &n, &e), 0);
	hp_frames_begin(&frames);
	hp_frames_head(&frames, MOVED, n, &head, head.jump_len, cfi, 0);
	hp_frames_end(&frames);
	assert_false(frames.failed);
	section[0] = (struct hp_elf_section){".text", SHT_NOBITS, SHF_ALLOC, MOVED, NULL, n};
	section[1] = (struct hp_elf_section){".eh_frame", SHT_PROGBITS,   SHF_ALLOC,
					     frames.at,   frames.bytes.v, frames.bytes.n};
	assert_int_equal(hp_elf_write(&file, &bytes, &size), 0);
	object = image_of(bytes, size);
	made = cfi_of(object);
	for (size_t off = 0; off < n; off++) {
		size_t back = hp_head_moved_back(&head, head.jump_len, MOVED, off);
		struct hp_cfi_row is, was = hp_frames_entry;

		assert_int_equal(hp_cfi_row(made, MOVED + off, &is), back < told);
		if (back >= told)
			continue;
		if (back)
			assert_true(hp_cfi_row(cfi, head.at + back, &was));
		if (hp_head_moved_in_call(&head, head.jump_len, MOVED, off))
			was.cfa_offset += 8;
		assert_memory_equal(&is, &was, sizeof(is));
	}
	hp_cfi_free(made);
	hp_image_free(object);
	hp_cfi_free(cfi);
	hp_image_free(self);
	HP_ARRAY_FREE(&frames.bytes);
	free(bytes);
}

static void a_head_is_as_its_original(void **state)
{
	compare_head(h_pushes, "pushes", SIZE_MAX);
	compare_head(h_frame, "frame", SIZE_MAX);
	compare_head(h_call, "call", SIZE_MAX);
}

static void what_nobody_told_is_not_made_up(void **state)
{
	compare_head(h_untold, "untold", 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_template_tells_of_every_instruction),
		cmocka_unit_test(the_template_is_what_its_version_says),
		cmocka_unit_test(a_head_is_as_its_original),
		cmocka_unit_test(what_nobody_told_is_not_made_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
