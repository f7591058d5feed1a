/* SPDX-License-Identifier: MIT */
#include "elf_files.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/addr.h"
#include "elf/debug_file.h"
#include "elf/section.h"

#define BUILD_ID "fe0123456789abcdef0123456789abcdef012345"

static uint8_t *good; /* lib.so's bytes */
static size_t n_good;

static int setup(void **state)
{
	if (make_dir(state))
		return -1;
	write_text("lib.c", "int zeros[1000]; int word = 7; int f(int x) { return x + word; }\n"
			    "int *g(void) { return zeros; }\n");
	write_text("empty.c", "int e;");
	run("cc -shared -fPIC -o libempty.so -Wl,-soname,libempty.so.1 empty.c");
	run("cc -O2 -g -shared -fPIC -Wl,-soname,libx.so.3 -Wl,--build-id=0x" BUILD_ID
	    " -Wl,--no-as-needed -o lib.so lib.c libempty.so");
	run("cc -c -o lib.o lib.c");
	return hp_read_file(AT_FDCWD, path_of("lib.so"), 1 << 20, (char **)&good, &n_good);
}

static int teardown(void **state)
{
	free(good);
	return remove_dir(state);
}

static int open_bytes(const void *bytes, size_t n, struct hp_err *err)
{
	struct hp_image *im = NULL;
	int r = hp_image_open(&im, memory_file(bytes, n), "file", err);

	assert_int_equal(r != 0, im == NULL);
	hp_image_free(im);
	return r;
}

static uint8_t *copy_of_good(void)
{
	uint8_t *b = malloc(n_good);

	assert_non_null(b);
	return memcpy(b, good, n_good);
}

static Elf64_Phdr *segment(uint8_t *b, uint32_t type, size_t nth)
{
	Elf64_Ehdr *e = (Elf64_Ehdr *)b;
	Elf64_Phdr *p = (Elf64_Phdr *)(b + e->e_phoff);

	for (size_t i = 0; i < e->e_phnum; i++)
		if (p[i].p_type == type && nth-- == 0)
			return &p[i];
	fail_msg("no segment of type %u", type);
	return NULL;
}

static void reads_what_is_there(void **state)
{
	char hex[2 * HP_BUILD_ID_MAX + 1];
	struct hp_image *im = open_file("lib.so");
	struct hp_symtab *st = load_symbols(im);
	const struct hp_sym *word, *zeros;
	uint64_t offset, vaddr, tag;
	const uint8_t *bytes;
	size_t n;

	(void)state;
	assert_string_equal(im->soname, "libx.so.3");
	assert_string_equal(hp_image_needed(im, 0), "libempty.so.1");
	assert_string_equal(hp_image_needed(im, 1), "libc.so.6");
	assert_null(hp_image_needed(im, 2));
	assert_string_equal(hp_image_build_id_hex(im, hex), BUILD_ID);
	assert_int_equal(hp_symtab_find(st, "word", NULL, &word, 1), 1);
	assert_int_equal(hp_symtab_find(st, "zeros", NULL, &zeros, 1), 1);
	bytes = hp_image_at(im, word->value, 4);
	assert_non_null(bytes);
	assert_int_equal(*bytes, 7);
	assert_true(hp_image_offset(im, word->value, &offset));
	assert_ptr_equal(im->bytes + offset, bytes);
	assert_true(hp_image_left(im, word->value) >= 4);
	assert_null(hp_image_at(im, word->value, hp_image_left(im, word->value) + 1));
	assert_non_null(hp_image_at(im, word->value, hp_image_left(im, word->value)));

	/* .bss is in a segment, and not in the file. */
	assert_ptr_equal(hp_image_segment(im, zeros->value), hp_image_segment(im, word->value));
	assert_null(hp_image_at(im, zeros->value + 3996, 4));
	assert_int_equal(hp_image_left(im, zeros->value + 3996), 0);
	assert_false(hp_image_offset(im, zeros->value + 3996, &offset));

	assert_null(hp_image_segment(im, 1ull << 46));
	assert_null(hp_image_at(im, UINT64_MAX, 1));
	assert_null(hp_image_at(im, word->value, SIZE_MAX));
	assert_true(hp_image_dynamic(im, DT_SONAME, &tag));
	assert_false(hp_image_dynamic(im, DT_TEXTREL, &tag));

	bytes = hp_image_section(im, ".text", &vaddr, &n);
	assert_ptr_equal(bytes, hp_image_at(im, vaddr, n));
	assert_null(hp_image_section(im, ".bss", NULL, NULL));
	assert_null(hp_image_section(im, ".nothing", NULL, NULL));
	hp_symtab_free(st);
	hp_image_free(im);
}

static void reads_without_section_headers(void **state)
{
	uint8_t *b = copy_of_good();
	struct hp_image *im = NULL;
	struct hp_symtab *st;
	const struct hp_sym *s;

	(void)state;
	((Elf64_Ehdr *)b)->e_shoff = ((Elf64_Ehdr *)b)->e_shnum = 0;
	assert_int_equal(hp_image_open(&im, memory_file(b, n_good), "x", NULL), 0);
	assert_int_equal(im->build_id_len, 20);
	assert_null(hp_image_section(im, ".text", NULL, NULL));
	st = load_symbols(im);
	assert_int_equal(hp_symtab_find(st, "f", NULL, &s, 1), 1);
	assert_true(s->dynamic);
	hp_symtab_free(st);
	hp_image_free(im);
	free(b);
}

static void refuses_what_is_no_file_of_ours(void **state)
{
	struct hp_image *im = NULL;
	struct hp_err err;
	int sv[2];

	(void)state;
	assert_int_equal(hp_image_open(&im, open(dir, O_RDONLY), "d", &err), -HP_E_BAD_ELF);
	assert_contains(err.text, "d: is a directory");
	assert_int_equal(hp_socketpair(sv), 0);
	assert_int_equal(hp_image_open(&im, sv[0], "s", &err), -HP_E_BAD_ELF);
	assert_contains(err.text, "not a regular file");
	close(sv[1]);
	assert_int_equal(open_bytes("", 0, &err), -HP_E_BAD_ELF);
	assert_contains(err.text, "empty");
	assert_int_equal(open_bytes("#!/bin/sh\n", 10, &err), -HP_E_BAD_ELF);
	assert_contains(err.text, "not an ELF file");
	assert_int_equal(open_bytes(good, 20, &err), -HP_E_BAD_ELF);
	assert_contains(err.text, "truncated");
	assert_int_equal(
		hp_image_open(&im, open(path_of("lib.o"), O_RDONLY | O_CLOEXEC), "lib.o", &err),
		-HP_E_BAD_ELF);
	assert_contains(err.text, "object file: link it with -shared");
	assert_null(im);
}

static void closes_the_descriptor_of_what_it_refuses(void **state)
{
	struct hp_image *im = NULL;
	int fd = memory_file("x", 1);

	(void)state;
	assert_int_equal(hp_image_open(&im, fd, "x", NULL), -HP_E_BAD_ELF);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

struct lie {
	const char *says;
	void (*tell)(uint8_t *b, Elf64_Ehdr *e);
};

static void tell_class(uint8_t *b, Elf64_Ehdr *e)
{
	e->e_ident[EI_CLASS] = ELFCLASS32;
	e->e_machine = EM_386;
}

static void tell_machine(uint8_t *b, Elf64_Ehdr *e)
{
	e->e_machine = EM_AARCH64;
}

static void tell_endianness(uint8_t *b, Elf64_Ehdr *e)
{
	e->e_ident[EI_DATA] = ELFDATA2MSB;
	e->e_machine = EM_S390 << 8;
}

static void tell_core(uint8_t *b, Elf64_Ehdr *e)
{
	e->e_type = ET_CORE;
}

static void tell_no_phdrs(uint8_t *b, Elf64_Ehdr *e)
{
	e->e_phnum = 0;
}

static void tell_many_phdrs(uint8_t *b, Elf64_Ehdr *e)
{
	e->e_phnum = 0xffff;
}

static void tell_phdr_size(uint8_t *b, Elf64_Ehdr *e)
{
	e->e_phentsize = 32;
}

static void tell_phoff(uint8_t *b, Elf64_Ehdr *e)
{
	e->e_phoff = UINT64_MAX - 8;
}

static void tell_shoff(uint8_t *b, Elf64_Ehdr *e)
{
	e->e_shoff = UINT64_MAX - 8;
}

static void tell_offset(uint8_t *b, Elf64_Ehdr *e)
{
	segment(b, PT_LOAD, 1)->p_offset = n_good;
}

static void tell_wrap(uint8_t *b, Elf64_Ehdr *e)
{
	segment(b, PT_LOAD, 1)->p_offset = -segment(b, PT_LOAD, 1)->p_filesz;
}

static void tell_file_size(uint8_t *b, Elf64_Ehdr *e)
{
	segment(b, PT_LOAD, 0)->p_filesz += 8;
}

static void tell_address(uint8_t *b, Elf64_Ehdr *e)
{
	segment(b, PT_LOAD, 3)->p_vaddr |= 1ull << 63;
}

static void tell_memory(uint8_t *b, Elf64_Ehdr *e)
{
	segment(b, PT_LOAD, 3)->p_memsz = UINT64_MAX;
}

static void tell_overlap(uint8_t *b, Elf64_Ehdr *e)
{
	segment(b, PT_LOAD, 1)->p_vaddr = 0;
	segment(b, PT_LOAD, 1)->p_offset = 0;
}

static void tell_page(uint8_t *b, Elf64_Ehdr *e)
{
	segment(b, PT_LOAD, 1)->p_vaddr += 8;
}

static void tell_no_load(uint8_t *b, Elf64_Ehdr *e)
{
	for (size_t i = 0; i < 4; i++)
		segment(b, PT_LOAD, 0)->p_type = PT_NULL;
}

static Elf64_Dyn *dynamic(uint8_t *b, int64_t tag)
{
	Elf64_Dyn *d = (Elf64_Dyn *)(b + segment(b, PT_DYNAMIC, 0)->p_offset);

	while (d->d_tag != tag)
		d++;
	return d;
}

static void tell_strtab(uint8_t *b, Elf64_Ehdr *e)
{
	dynamic(b, DT_STRTAB)->d_un.d_ptr = 1ull << 40;
}

static void tell_strsz(uint8_t *b, Elf64_Ehdr *e)
{
	dynamic(b, DT_STRSZ)->d_un.d_val--;
}

static void tell_soname(uint8_t *b, Elf64_Ehdr *e)
{
	dynamic(b, DT_SONAME)->d_un.d_val = UINT32_MAX;
}

static void tell_dynamic(uint8_t *b, Elf64_Ehdr *e)
{
	segment(b, PT_DYNAMIC, 0)->p_vaddr = 1ull << 40;
}

static void refuses_lies(void **state)
{
	static const struct lie lies[] = {
		{"i386 (number 3, 32-bit", tell_class},
		{"machine is AArch64", tell_machine},
		{"S/390 (number 22, 64-bit, big endian)", tell_endianness},
		{"core dump", tell_core},
		{"no program headers", tell_no_phdrs},
		{"more than 128 program headers", tell_many_phdrs},
		{"program headers of 32 bytes", tell_phdr_size},
		{"program headers lie behind", tell_phoff},
		{"section headers lie behind", tell_shoff},
		{"lies behind its end", tell_offset},
		{"lies behind its end", tell_wrap},
		{"longer in the file", tell_file_size},
		{"beyond user space", tell_address},
		{"beyond user space", tell_memory},
		{"overlaps", tell_overlap},
		{"cannot be mapped", tell_page},
		{"no segment to load", tell_no_load},
		{"string table", tell_strtab},
		{"does not end in NUL", tell_strsz},
		{"name lies outside", tell_soname},
		{"dynamic section", tell_dynamic},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		uint8_t *b = copy_of_good();
		struct hp_err err = {0};

		lies[i].tell(b, (Elf64_Ehdr *)b);
		if (open_bytes(b, n_good, &err) != -HP_E_BAD_ELF)
			fail_msg("accepted what should be refused: %s", lies[i].says);
		assert_contains(err.text, lies[i].says);
		free(b);
	}
}

/* The section headers are the last thing in the file. */
static void refuses_every_truncation(void **state)
{
	(void)state;
	for (size_t n = 0; n < n_good; n += n < 4096 ? 7 : 331)
		assert_int_equal(open_bytes(good, n, NULL), -HP_E_BAD_ELF);
	assert_int_equal(open_bytes(good, n_good, NULL), 0);
}

static void survives_any_byte_of_the_headers(void **state)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
	size_t n = sizeof(Elf64_Ehdr) + ((Elf64_Ehdr *)good)->e_phnum * sizeof(Elf64_Phdr);
	uint8_t *b = copy_of_good();

	(void)state;
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < sizeof(values); k++) {
			struct hp_image *im = NULL;

			b[i] = values[k];
			if (hp_image_open(&im, memory_file(b, n_good), "x", NULL))
				continue;
			for (size_t at = 0; at < 0x5000; at += 0x123) {
				const uint8_t *p = hp_image_at(im, at, 16);

				assert_true(!p || (p >= im->bytes &&
						   p + 16 <= im->bytes + im->size));
			}
			hp_image_free(im);
		}
		b[i] = good[i];
	}
	free(b);
}

/* Somebody overwrites the file between a check and its use: no read leaves the mapping. */
static void a_string_ends_whatever_is_written(void **state)
{
	struct hp_image *im = NULL;
	uint8_t *ones;
	int fd = memory_file(good, n_good), writer = dup(fd);

	(void)state;
	assert_int_equal(hp_image_open(&im, fd, "x", NULL), 0);
	ones = malloc(HP_PAGE_UP(n_good));
	assert_non_null(ones);
	memset(ones, 0xff, HP_PAGE_UP(n_good));
	assert_int_equal(hp_pwrite_all(writer, ones, HP_PAGE_UP(n_good), 0), 0);
	assert_true(strlen(im->soname) < HP_PAGE_UP(n_good));
	free(ones);
	close(writer);
	hp_image_free(im);
}

/* @n bytes of notes that say nothing, and behind them the one with the build-id. */
static size_t build_id_behind(size_t n)
{
	struct hp_image *im = NULL;
	size_t found, at = HP_PAGE_UP(n_good);
	uint8_t *b = calloc(1, at + n + HP_PAGE);
	Elf64_Phdr *p;

	assert_non_null(b);
	memcpy(b, good, n_good);
	/* The one with the build-id. */
	for (size_t i = 0;; i++) {
		p = segment(b, PT_NOTE, i);
		if (memmem(b + p->p_offset, p->p_filesz, "GNU\0\xfe\x01", 6))
			break;
	}
	memcpy(b + at + n, b + p->p_offset, p->p_filesz);
	p->p_offset = at;
	p->p_filesz += n;
	assert_int_equal(hp_image_open(&im, memory_file(b, at + n + HP_PAGE), "x", NULL), 0);
	found = im->build_id_len;
	hp_image_free(im);
	free(b);
	return found;
}

/* A file of gigabytes, all notes, is not searched to its end. */
static void notes_have_an_end(void **state)
{
	(void)state;
	assert_int_equal(build_id_behind(0), 20);
	assert_int_equal(build_id_behind(12 * 1024), 20);
	assert_int_equal(build_id_behind(12 * 1024 * 1024), 0);
}

/* Somebody makes the file shorter: what is gone are zeros, and whoever reads it lives. */
static void what_is_cut_off_is_zeros(void **state)
{
	struct hp_image *im = open_file("lib.so"), *copy = NULL;
	int fd = memory_file(good, n_good), writer = dup(fd);
	size_t whole = HP_PAGE;

	(void)state;
	assert_true(n_good > whole + HP_PAGE);
	assert_int_equal(hp_image_open(&copy, fd, "x", NULL), 0);
	assert_false(copy->cut);
	assert_int_equal(ftruncate(writer, (off_t)whole), 0);
	assert_int_equal(copy->bytes[whole + HP_PAGE], 0);
	assert_true(copy->cut);
	assert_memory_equal(copy->bytes, good, whole);
	for (size_t i = whole; i < n_good; i++)
		assert_int_equal(copy->bytes[i], 0);
	assert_int_equal(ftruncate(writer, 0), 0);
	for (size_t i = 0; i < whole; i++)
		assert_int_equal(copy->bytes[i], 0);
	assert_memory_equal(im->bytes, good, n_good);
	assert_false(im->cut);
	close(writer);
	hp_image_free(copy);
	hp_image_free(im);
}

static void another_bus_error_ends_us(void **state)
{
	struct hp_image *im = open_file("lib.so");
	int status, fd = memory_file(good, n_good);
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		const volatile uint8_t *p = mmap(NULL, n_good, PROT_READ, MAP_PRIVATE, fd, 0);

		if (p == MAP_FAILED || ftruncate(fd, 0) < 0)
			_exit(1);
		_exit(2 + p[0]);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	close(fd);
	hp_image_free(im);
}

static void finds_the_debug_file(void **state)
{
	static const char place[] = "/usr/lib/debug/.build-id/fe";
	struct hp_image *im = open_file("lib.so"), *debug = NULL;
	struct hp_symtab *st = NULL;
	const struct hp_sym *s;
	bool made = false;
	struct hp_err err;

	(void)state;
	assert_int_equal(hp_debug_file_open(&debug, im, &err), 0);
	assert_null(debug);
	run("mkdir -p /usr/lib/debug/.build-id");
	made = mkdir(place, 0755) == 0;
	run("objcopy --only-keep-debug lib.so %s/%s.debug", place, &BUILD_ID[2]);
	if (hp_debug_file_open(&debug, im, &err))
		fail_msg("%s", err.text);
	assert_non_null(debug);
	assert_memory_equal(debug->build_id, im->build_id, im->build_id_len);
	hp_image_free(im);

	run("strip -o stripped.so lib.so");
	im = open_file("stripped.so");
	assert_int_equal(hp_symtab_load(&st, im, debug, &err), 0);
	assert_int_equal(hp_symtab_find(st, "frame_dummy", NULL, &s, 1), 1);
	assert_false(s->dynamic);
	hp_symtab_free(st);
	hp_image_free(debug);

	run("cc -shared -fPIC -Wl,--build-id=0xfeff -o other.so empty.c && "
	    "objcopy --only-keep-debug other.so %s/%s.debug",
	    place, &BUILD_ID[2]);
	assert_int_equal(hp_debug_file_open(&debug, im, &err), -HP_E_BUILD_ID);
	assert_contains(err.text, "feff");
	assert_null(debug);
	run("rm %s/%s.debug", place, &BUILD_ID[2]);
	if (made)
		rmdir(place);
	hp_image_free(im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_is_there),
		cmocka_unit_test(reads_without_section_headers),
		cmocka_unit_test(refuses_what_is_no_file_of_ours),
		cmocka_unit_test(closes_the_descriptor_of_what_it_refuses),
		cmocka_unit_test(refuses_lies),
		cmocka_unit_test(refuses_every_truncation),
		cmocka_unit_test(survives_any_byte_of_the_headers),
		cmocka_unit_test(a_string_ends_whatever_is_written),
		cmocka_unit_test(notes_have_an_end),
		cmocka_unit_test(what_is_cut_off_is_zeros),
		cmocka_unit_test(another_bus_error_ends_us),
		cmocka_unit_test(finds_the_debug_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
