/* SPDX-License-Identifier: MIT */
#include "elf_files.h"

#include <dwarf.h>
#include <elfutils/libdw.h>

#include "elf/cfi.h"

static int setup(void **state)
{
	if (make_dir(state))
		return -1;
	write_text("cold.c", "extern void fail(int) __attribute__((cold));\n"
			     "extern int g(int); extern int h(int *);\n"
			     "int f(int x) {\n"
			     "	int room[8] = {x};\n"
			     "	if (__builtin_expect(h(room) < 0, 0)) { fail(room[0]); "
			     "fail(room[1]); g(room[2]); fail(x); }\n"
			     "	return g(room[3]) + 1;\n"
			     "}\n"
			     "int framed(int n) { char *p = __builtin_alloca(n); return h((int *)p); }\n"
			     "int leaf(int x) { return x + 1; }\n"
			     "__asm__(\".globl naked\\n.type naked,@function\\nnaked: ret\\n"
			     ".size naked, . - naked\\n\");\n");
	run("cc -O2 -shared -fPIC -o cold.so cold.c");
	run("cc -O2 -shared -fPIC -fno-asynchronous-unwind-tables -nostdlib -o none.so cold.c");
	return 0;
}

static uint64_t value_of(const struct hp_image *im, const char *name, uint64_t *size)
{
	struct hp_symtab *st = load_symbols(im);
	const struct hp_sym *s;
	uint64_t value;

	assert_int_equal(hp_symtab_find(st, name, NULL, &s, 1), 1);
	value = s->value;
	*size = s->size;
	hp_symtab_free(st);
	return value;
}

static struct hp_cfi *open_cfi(const struct hp_image *im)
{
	struct hp_cfi *c = NULL;

	assert_int_equal(hp_cfi_open(&c, im, NULL), 0);
	return c;
}

static void tells_entries_from_cold_parts(void **state)
{
	struct hp_image *im = open_file("cold.so");
	struct hp_cfi *c = open_cfi(im);
	struct hp_fde fde;
	uint64_t f, size;
	int64_t offset;

	(void)state;
	f = value_of(im, "f", &size);
	assert_true(hp_cfi_find(c, f, &fde));
	assert_int_equal(fde.lo, f);
	assert_int_equal(fde.hi, f + size);
	assert_true(hp_cfi_is_entry(c, &fde));
	assert_true(hp_cfi_find(c, f + size - 1, &fde));
	assert_int_equal(fde.lo, f);
	assert_true(hp_cfi_cfa_from_sp(c, f, &offset));
	assert_int_equal(offset, 8);
	assert_true(hp_cfi_cfa_from_sp(c, f + size / 2, &offset));
	assert_true(offset > 8);

	f = value_of(im, "f.cold", &size);
	assert_true(hp_cfi_find(c, f, &fde));
	assert_int_equal(fde.lo, f);
	assert_false(hp_cfi_is_entry(c, &fde));

	/* alloca: the CFA is told by rbp in the middle. */
	f = value_of(im, "framed", &size);
	assert_true(hp_cfi_find(c, f, &fde));
	assert_true(hp_cfi_is_entry(c, &fde));
	assert_false(hp_cfi_cfa_from_sp(c, f + size / 2, &offset));

	f = value_of(im, "naked", &size);
	assert_false(hp_cfi_find(c, f, &fde));
	assert_false(hp_cfi_cfa_from_sp(c, f, &offset));
	assert_false(hp_cfi_find(c, 0, &fde));
	assert_false(hp_cfi_find(c, UINT64_MAX, &fde));
	hp_cfi_free(c);
	hp_image_free(im);
}

static void does_without(void **state)
{
	struct hp_image *im = open_file("none.so");
	struct hp_cfi *c = open_cfi(im);
	struct hp_fde fde;
	int64_t offset;

	(void)state;
	assert_false(hp_cfi_find(c, im->ehdr.e_entry, &fde));
	assert_false(hp_cfi_cfa_from_sp(c, 0x1000, &offset));
	hp_cfi_free(c);
	hp_image_free(im);
}

static void finds_it_without_section_headers(void **state)
{
	struct hp_image *whole = open_file("cold.so"), *im = NULL;
	uint8_t *b = malloc(whole->size);
	struct hp_cfi *c;
	struct hp_fde fde;
	uint64_t f, size;
	int64_t offset;

	(void)state;
	assert_non_null(b);
	memcpy(b, whole->bytes, whole->size);
	((Elf64_Ehdr *)b)->e_shoff = ((Elf64_Ehdr *)b)->e_shnum = 0;
	assert_int_equal(hp_image_open(&im, memory_file(b, whole->size), "x", NULL), 0);
	c = open_cfi(im);
	f = value_of(whole, "f", &size);
	assert_true(hp_cfi_find(c, f, &fde));
	assert_int_equal(fde.lo, f);
	assert_int_equal(fde.hi, f + size);
	assert_true(hp_cfi_cfa_from_sp(c, f, &offset));
	hp_cfi_free(c);
	hp_image_free(im);
	hp_image_free(whole);
	free(b);
}

/* Our list against libdw's own search, at every function of the C library. */
static void agrees_with_libdw(void **state)
{
	struct hp_image *im = NULL;
	struct hp_symtab *st;
	const struct hp_sym *v;
	struct hp_cfi *c;
	Dwarf_CFI *dw;
	size_t n, same = 0;

	(void)state;
	assert_int_equal(hp_image_open(&im, open("/lib/x86_64-linux-gnu/libc.so.6",
						 O_RDONLY | O_CLOEXEC),
				       "libc", NULL),
			 0);
	st = load_symbols(im);
	c = open_cfi(im);
	dw = dwarf_getcfi_elf(hp_image_elf(im));
	assert_non_null(dw);
	n = hp_symtab_all(st, &v);
	for (size_t i = 0; i < n; i++) {
		Dwarf_Addr lo = 0, hi = 0;
		Dwarf_Frame *frame = NULL;
		struct hp_fde fde;
		bool signal_frame, found;

		if (v[i].type != STT_FUNC)
			continue;
		found = hp_cfi_find(c, v[i].value, &fde);
		if (dwarf_cfi_addrframe(dw, v[i].value, &frame)) {
			assert_false(found);
			continue;
		}
		(void)dwarf_frame_info(frame, &lo, &hi, &signal_frame); /* the return column */
		free(frame);
		assert_true(found);
		/* libdw tells a row, which is a part of an FDE. */
		assert_true(fde.lo <= lo && hi <= fde.hi);
		same++;
	}
	assert_true(same > 1500);
	dwarf_cfi_end(dw);
	hp_cfi_free(c);
	hp_symtab_free(st);
	hp_image_free(im);
}

static void survives_any_eh_frame(void **state)
{
	struct hp_image *whole = open_file("cold.so");
	uint8_t *b = malloc(whole->size);
	uint64_t vaddr, offset, f, size;
	size_t n;

	(void)state;
	assert_non_null(b);
	assert_non_null(hp_image_section(whole, ".eh_frame", &vaddr, &n));
	assert_true(hp_image_offset(whole, vaddr, &offset));
	f = value_of(whole, "f", &size);
	for (size_t i = 0; i < n; i++) {
		struct hp_image *im = NULL;
		struct hp_fde fde;
		struct hp_cfi *c;

		memcpy(b, whole->bytes, whole->size);
		b[offset + i] = (uint8_t)(i % 3 ? 0xff : ~b[offset + i]);
		assert_int_equal(hp_image_open(&im, memory_file(b, whole->size), "x", NULL), 0);
		c = open_cfi(im);
		if (hp_cfi_find(c, f, &fde))
			assert_true(fde.lo <= f && f < fde.hi);
		hp_cfi_free(c);
		hp_image_free(im);
	}
	free(b);
	hp_image_free(whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_entries_from_cold_parts),
		cmocka_unit_test(does_without),
		cmocka_unit_test(finds_it_without_section_headers),
		cmocka_unit_test(agrees_with_libdw),
		cmocka_unit_test(survives_any_eh_frame),
	};

	return cmocka_run_group_tests(tests, setup, remove_dir);
}
