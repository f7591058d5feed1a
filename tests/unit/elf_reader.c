/* SPDX-License-Identifier: MIT */
/* What a reader says is what parsing in place says; and when it is another process. */
#include "elf_reader_rig.h"

#include <signal.h>

#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"

static struct hp_image *open_path(const char *path)
{
	struct hp_image *im = NULL;

	assert_int_equal(hp_image_open(&im, open(path, O_RDONLY | O_CLOEXEC), path, NULL), 0);
	return im;
}

/* --- it says what is so ------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static void same_symbols(struct hp_symtab *here, struct hp_symtab *there)
{
	const struct hp_sym *a, *b;
	size_t n = hp_symtab_all(here, &a);

	assert_int_equal(hp_symtab_all(there, &b), n);
	assert_true(n > 5);
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(a[i].name, b[i].name);
		assert_true(same_text(a[i].version, b[i].version));
		assert_true(same_text(a[i].file, b[i].file));
		assert_int_equal(a[i].value, b[i].value);
		assert_int_equal(a[i].size, b[i].size);
		assert_int_equal(a[i].type, b[i].type);
		assert_int_equal(a[i].bind, b[i].bind);
		assert_int_equal(a[i].dynamic, b[i].dynamic);
		assert_int_equal(a[i].hidden_version, b[i].hidden_version);
	}
}

/* At some places of each of some functions. */
static void same_rows(struct hp_symtab *st, struct hp_cfi *here, struct hp_cfi *there)
{
	const struct hp_sym *sym;
	size_t n = hp_symtab_all(st, &sym), rows = 0;

	for (size_t i = 0; i < n && rows < 3000; i += 1 + n / 500)
		for (uint64_t at = sym[i].value; at < sym[i].value + sym[i].size; at += 7) {
			struct hp_cfi_row a = {0}, b = {0};
			struct hp_fde fa = {0}, fb = {0};
			int64_t off_a = 0, off_b = 0;

			assert_int_equal(hp_cfi_find(here, at, &fa), hp_cfi_find(there, at, &fb));
			assert_memory_equal(&fa, &fb, sizeof(fa));
			assert_int_equal(hp_cfi_row(here, at, &a), hp_cfi_row(there, at, &b));
			assert_memory_equal(&a, &b, sizeof(a));
			assert_int_equal(hp_cfi_cfa_from_sp(here, at, &off_a),
					 hp_cfi_cfa_from_sp(there, at, &off_b));
			assert_int_equal(off_a, off_b);
			rows++;
		}
	assert_true(rows > 3);
}

static void agrees_on(const char *path)
{
	struct hp_image *im = open_path(path), *other = open_path(path);
	struct hp_reader *r = new_reader(other);
	struct hp_symtab *here = load_symbols(im), *there = load_symbols(other);
	struct hp_cfi *cfi_here, *cfi_there;
	uint64_t va, vb;
	size_t na, nb;
	pid_t pid = hp_reader_pid(r);

	assert_true(pid > 0);
	same_symbols(here, there);
	assert_int_equal(hp_cfi_open(&cfi_here, im, NULL), 0);
	assert_int_equal(hp_cfi_open(&cfi_there, other, NULL), 0);
	same_rows(here, cfi_here, cfi_there);
	assert_non_null(hp_image_section(im, ".eh_frame", &va, &na));
	assert_ptr_equal(hp_image_section(other, ".eh_frame", &vb, &nb) - other->bytes,
			 hp_image_section(im, ".eh_frame", &va, &na) - im->bytes);
	assert_int_equal(va, vb);
	assert_int_equal(na, nb);
	assert_null(hp_image_section(other, ".bss", NULL, NULL));
	assert_null(hp_image_section(other, ".none", NULL, NULL));
	assert_int_equal(hp_reader_check(r, NULL), 0);
	assert_int_equal(hp_reader_pid(r), pid); /* one process for all of it */
	hp_cfi_free(cfi_here);
	hp_cfi_free(cfi_there);
	hp_symtab_free(here);
	hp_symtab_free(there);
	hp_image_free(im);
	hp_image_free(other);
	hp_reader_free(r);
	assert_int_equal(kill(pid, 0), -1); /* and it is gone */
}

static void agrees_with_parsing_here(void **state)
{
	agrees_on(path_of("lib.so"));
	agrees_on(LIBC);
}

static int resolve(const struct hp_image *im, const char *name, const char *version, Elf64_Sym *ret)
{
	struct hp_import import = {.name = name, .version = version};

	assert_int_equal(hp_dynsym_resolve(&im, 1, &import, 1, NULL), 0);
	*ret = import.sym;
	return import.im == im;
}

static void agrees_on_relocations_and_imports(void **state)
{
	struct hp_image *im = open_file("lib.so"), *other = open_file("lib.so");
	struct hp_image *libc = open_path(LIBC);
	struct hp_reader *r = new_reader(other);
	struct hp_relocs *ra, *rb;
	struct hp_fixups a, b;
	Elf64_Sym here, there;

	assert_int_equal(hp_relocs_open(&ra, im, NULL), 0);
	assert_int_equal(hp_relocs_open(&rb, other, NULL), 0);
	assert_int_equal(hp_relocs_compute(&a, ra, 0x10000, lookup, NULL, NULL), 0);
	assert_int_equal(hp_relocs_compute(&b, rb, 0x10000, lookup, NULL, NULL), 0);
	assert_int_equal(a.n, b.n);
	assert_true(a.n > 3);
	for (size_t i = 0; i < a.n; i++) {
		assert_int_equal(a.v[i].where, b.v[i].where);
		assert_int_equal(a.v[i].value, b.v[i].value);
		assert_int_equal(a.v[i].ifunc, b.v[i].ifunc);
	}
	hp_fixups_free(&a);
	hp_fixups_free(&b);
	hp_relocs_free(ra);
	hp_relocs_free(rb);

	/* One that joins later is not known to the process that runs: it is another one then. */
	assert_int_equal(resolve(libc, "memcpy", "GLIBC_2.2.5", &here), 1);
	hp_reader_join(r, libc);
	assert_int_equal(resolve(libc, "memcpy", "GLIBC_2.2.5", &there), 1);
	assert_int_equal(here.st_value, there.st_value);
	assert_int_equal(resolve(libc, "memcpy", NULL, &there), 1);
	assert_int_not_equal(here.st_value, there.st_value);
	assert_int_equal(resolve(libc, "no_such_function", NULL, &there), 0);
	hp_image_free(im);
	hp_image_free(other);
	hp_image_free(libc);
	hp_reader_free(r);
}

/* The first file that has a name counts; all are one question, and more than fit are some. */
static void asks_for_many_at_once(void **state)
{
	enum { MANY = 3000 };
	struct hp_image *lib = open_file("lib.so"), *libc = open_path(LIBC);
	const struct hp_image *scope[] = {libc, lib, libc};
	struct hp_reader *r = new_reader(lib);
	struct hp_import few[] = {{.name = "memcpy", .version = "GLIBC_2.2.5"},
				  {.name = "no_such_function"},
				  {.name = "memcpy"},
				  {.name = "f", .version = "WHATEVER"},
				  {.name = "memcpy", .version = "GLIBC_9"},
				  {.name = "pointer"}};
	struct hp_import *many = calloc(MANY, sizeof(*many));
	char *name = calloc(MANY, 32);
	Elf64_Sym old, new;

	hp_reader_join(r, libc);
	assert_int_equal(hp_dynsym_resolve(scope, 3, few, 6, NULL), 0);
	assert_int_equal(r->seq, 1);
	assert_ptr_equal(few[0].im, libc);
	assert_null(few[1].im);
	assert_ptr_equal(few[2].im, libc);
	assert_ptr_equal(few[3].im, lib); /* without versions it serves all */
	assert_null(few[4].im);
	assert_ptr_equal(few[5].im, lib);
	assert_int_equal(resolve(libc, "memcpy", "GLIBC_2.2.5", &old), 1);
	assert_int_equal(resolve(libc, "memcpy", NULL, &new), 1);
	assert_memory_equal(&few[0].sym.st_value, &old.st_value, sizeof(old.st_value));
	assert_memory_equal(&few[2].sym.st_value, &new.st_value, sizeof(new.st_value));

	assert_non_null(many);
	assert_non_null(name);
	for (int i = 0; i < MANY; i++) {
		many[i].name = name + 32 * i;
		snprintf(name + 32 * i, 32, i % 2 ? "f" : "a_name_without_a_place_%d", i);
	}
	r->seq = 0;
	assert_int_equal(hp_dynsym_resolve(scope, 3, many, MANY, NULL), 0);
	assert_in_range(r->seq, 2, 9);
	for (int i = 0; i < MANY; i++)
		assert_ptr_equal(many[i].im, i % 2 ? lib : NULL);
	free(many);
	free(name);
	hp_image_free(lib);
	hp_image_free(libc);
	hp_reader_free(r);
}

/* In this program. */
static inline __attribute__((always_inline)) int copied(int a)
{
	return a * 3 + 1;
}

__attribute__((noinline)) int holds_a_copy(int a);
int holds_a_copy(int a)
{
	return copied(a) - 1;
}

static int (*volatile of_its_own)(int) = copied;

static void agrees_on_copies(void **state)
{
	struct hp_image *im = open_path("/proc/self/exe");
	struct hp_symtab *st = load_symbols(im);
	struct hp_reader *r = new_reader(im);
	struct hp_inlined in;
	const struct hp_sym *s;

	assert_int_equal(of_its_own(1) + holds_a_copy(1), 7);
	assert_int_equal(hp_symtab_find(st, "copied", NULL, &s, 1), 1);
	assert_int_equal(hp_inlined_find(&in, im, NULL, s->value, NULL), 0);
	assert_int_equal(in.n, 1);
	assert_string_equal(in.into[0], "holds_a_copy");
	hp_symtab_free(st);
	hp_image_free(im);
	hp_reader_free(r);
}

/* What the file says that is wrong, the reader says in the same words. */
static void refuses_in_the_same_words(void **state)
{
	struct hp_image *im = open_file("lib.so"), *changed[2];
	struct hp_err err[2] = {{.text = ""}, {.text = ""}};
	uint8_t *b = malloc(im->size);
	struct hp_reader *r = NULL;
	const Elf64_Ehdr *e;

	assert_non_null(b);
	memcpy(b, im->bytes, im->size);
	e = (const Elf64_Ehdr *)b;
	for (size_t i = 0; i < e->e_shnum; i++) {
		Elf64_Shdr *s = (Elf64_Shdr *)(b + e->e_shoff) + i;

		if (s->sh_type == SHT_SYMTAB)
			s->sh_entsize = 23;
	}
	for (size_t k = 0; k < 2; k++) {
		struct hp_symtab *st;

		assert_int_equal(
			hp_image_open(&changed[k], memory_file(b, im->size), "x", NULL), 0);
		if (k == 1)
			r = new_reader(changed[k]);
		assert_int_equal(hp_symtab_load(&st, changed[k], NULL, &err[k]), -HP_E_BAD_ELF);
	}
	assert_string_equal(err[0].text, err[1].text);
	/* The file is refused; the reader goes on. */
	assert_int_equal(hp_reader_check(r, NULL), 0);
	assert_non_null(hp_image_section(changed[1], ".text", NULL, NULL));
	hp_image_free(changed[0]);
	hp_image_free(changed[1]);
	hp_reader_free(r);
	hp_image_free(im);
	free(b);
}

/* --- when it begins and ends -------------------------------------------------------------------- */

static int tell_number(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	uint64_t *slot = hp_reply_add(reply);

	if (q->number == 99)
		_exit(3);
	if (q->number == 98)
		return hp_err_set(err, -HP_E_BAD_ELF, "98");
	*slot = q->number;
	return 0;
}

static const struct hp_verb number_verb = {
	.what = "numbers", .record_size = 8, .max_records = 1, .answer = tell_number};

static uint64_t number_of(struct hp_reader *r, uint64_t n)
{
	const struct hp_question q = {.verb = &number_verb, .number = n};
	struct hp_told a;
	uint64_t told;

	assert_int_equal(hp_reader_ask(r, &q, &a, NULL), 0);
	told = *(uint64_t *)a.record;
	hp_told_free(&a);
	return told;
}

static void works_ahead(void **state)
{
	struct hp_question q = {.verb = &number_verb, .number = 7};
	struct hp_err err = {.text = ""};
	struct hp_reader *r;
	struct hp_told a;

	assert_int_equal(hp_reader_new(&r, "x", NULL), 0);
	assert_int_equal(hp_reader_post(r, &q, NULL), 0);
	assert_int_equal(number_of(r, 8), 8);
	assert_int_equal(hp_reader_post(r, &q, NULL), 0);
	assert_int_equal(hp_reader_post(r, &q, NULL), 0);
	assert_int_equal(number_of(r, 9), 9);
	/* A refusal of what was posted is nobody's. */
	q.number = 98;
	assert_int_equal(hp_reader_post(r, &q, NULL), 0);
	assert_int_equal(number_of(r, 10), 10);
	/* A death is whose turn it is. */
	q.number = 99;
	assert_int_equal(hp_reader_post(r, &q, NULL), 0);
	assert_int_equal(hp_reader_ask(r, &q, &a, &err), -HP_E_READER);
	assert_non_null(strstr(err.text, "ended (status 3) over its numbers"));
	hp_reader_free(r);
}

/* What it would say of half a file would be believed. */
static void ends_over_half_a_file(void **state)
{
	int fd = open(path_of("half.so"), O_RDWR | O_CREAT | O_CLOEXEC, 0600), writer = dup(fd);
	struct hp_image *lib = open_file("lib.so"), *im = NULL;
	struct hp_symtab *st = NULL;
	struct hp_reader *r;
	struct hp_err err;

	assert_int_equal(hp_pwrite_all(fd, lib->bytes, lib->size, 0), 0);
	assert_int_equal(hp_image_open(&im, fd, "half.so", NULL), 0);
	r = new_reader(im);
	assert_int_equal(ftruncate(writer, 4096), 0);
	assert_int_equal(hp_symtab_load(&st, im, NULL, &err), -HP_E_READER);
	assert_contains(err.text, "killed by signal 7");
	close(writer);
	hp_image_free(im);
	hp_image_free(lib);
	hp_reader_free(r);
}

static void begins_when_it_must(void **state)
{
	struct hp_image *lib = open_file("lib.so"), *same = open_file("lib.so"), *libc;
	struct hp_reader *r = new_reader(lib), *other;
	struct hp_symtab *st;
	pid_t pid;

	assert_int_equal(hp_reader_pid(r), 0);
	assert_int_equal(hp_reader_start(r, NULL), 0);
	pid = hp_reader_pid(r);
	assert_int_not_equal(pid, 0);
	assert_int_equal(hp_reader_start(r, NULL), 0);
	assert_int_equal(hp_reader_pid(r), pid);
	/* One with the same bytes joined another reader, and is asked of this one. */
	assert_int_equal(hp_reader_new(&other, "other", NULL), 0);
	hp_reader_join(other, same);
	hp_reader_twin(same, lib);
	st = load_symbols(same);
	assert_int_equal(r->seq, 1);
	assert_int_equal(hp_reader_pid(other), 0);
	hp_symtab_free(st);
	/* More to read is another process at once when it is started, else when it is asked. */
	libc = open_path(LIBC);
	hp_reader_join(r, libc);
	assert_int_equal(number_of(r, 1), 1);
	assert_int_equal(hp_reader_pid(r), pid);
	assert_int_equal(hp_reader_start(r, NULL), 0);
	assert_int_not_equal(hp_reader_pid(r), pid);
	pid = hp_reader_pid(r);
	hp_reader_left(r);
	assert_int_equal(number_of(r, 2), 2);
	assert_int_not_equal(hp_reader_pid(r), pid);
	hp_image_free(lib);
	hp_image_free(same);
	hp_image_free(libc);
	hp_reader_free(r);
	hp_reader_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_parsing_here),
		cmocka_unit_test(agrees_on_relocations_and_imports),
		cmocka_unit_test(asks_for_many_at_once),
		cmocka_unit_test(agrees_on_copies),
		cmocka_unit_test(refuses_in_the_same_words),
		cmocka_unit_test(works_ahead),
		cmocka_unit_test(ends_over_half_a_file),
		cmocka_unit_test(begins_when_it_must),
	};

	return cmocka_run_group_tests(tests, setup, remove_dir);
}
