/* SPDX-License-Identifier: MIT */
#include "elf_files.h"

#include "elf/dynsym.h"
#include "elf/section.h"

static int setup(void **state)
{
	if (make_dir(state))
		return -1;
	write_text("one.c",
		   "static int __attribute__((noinline)) twin(int x) { return x * 3; }\n"
		   "int call_one(int x) { return twin(x) + 1; }\n"
		   "int alias_a(void) { return 1; }\n"
		   "int alias_b(void) __attribute__((alias(\"alias_a\")));\n"
		   "__thread int per_thread = 4; int counter = 5;\n"
		   "int old_way(void) { return 1; }\nint new_way(void) { return 2; }\n"
		   "__asm__(\".symver old_way, way@V1\\n.symver new_way, way@@V2\\n\");\n"
		   "int both(void) { return 9; }\n"
		   "__asm__(\".symver both, both1@V1\\n.symver both, both1@@V2\\n\");\n"
		   "static int impl(void) { return 8; }\n"
		   "static int (*choose(void))(void) { return impl; }\n"
		   "int chosen(void) __attribute__((ifunc(\"choose\")));\n"
		   "__attribute__((weak)) int soft(void) { return 0; }\n");
	write_text("two.c",
		   "static int __attribute__((noinline)) twin(int x) { return x * 5; }\n"
		   "int call_two(int x) { return twin(x) + 1; }\n"
		   "extern int work(int); int serialise(int x) { return work(x); }\n");
	write_text("map", "V1 { global: *; }; V2 { } V1;\n");
	run("mkdir sub && mv two.c sub/");
	run("cc -O1 -shared -fPIC -Wl,--version-script=map -o lib.so one.c sub/two.c");
	run("strip -o stripped.so lib.so");
	return 0;
}

struct loaded {
	struct hp_image *im;
	struct hp_symtab *st;
};

static struct loaded load(const char *name)
{
	struct loaded l = {.im = open_file(name)};

	l.st = load_symbols(l.im);
	return l;
}

static void unload(struct loaded *l)
{
	hp_symtab_free(l->st);
	hp_image_free(l->im);
}

static const struct hp_sym *only(const struct hp_symtab *st, const char *name)
{
	const struct hp_sym *s = NULL;

	assert_int_equal(hp_symtab_find(st, name, NULL, &s, 1), 1);
	assert_string_equal(s->name, name);
	return s;
}

static void finds_by_name(void **state)
{
	struct loaded l = load("lib.so");
	const struct hp_sym *s, *twins[4];

	(void)state;
	s = only(l.st, "call_one");
	assert_int_equal(s->type, STT_FUNC);
	assert_int_equal(s->bind, STB_GLOBAL);
	assert_true(s->dynamic);
	assert_true(s->size > 0);
	assert_int_equal(only(l.st, "counter")->type, STT_OBJECT);
	assert_int_equal(only(l.st, "per_thread")->type, STT_TLS);
	assert_int_equal(only(l.st, "chosen")->type, STT_GNU_IFUNC);
	assert_int_equal(only(l.st, "soft")->bind, STB_WEAK);
	assert_int_equal(hp_symtab_find(l.st, "nothing", NULL, twins, 4), 0);
	assert_int_equal(hp_symtab_find(l.st, "work", NULL, twins, 4), 0); /* undefined */
	assert_int_equal(hp_symtab_find(l.st, "", NULL, twins, 4), 0);

	assert_int_equal(hp_symtab_find(l.st, "twin", NULL, twins, 4), 2);
	assert_true(twins[0]->value < twins[1]->value);
	assert_string_equal(twins[0]->file, "one.c");
	assert_string_equal(twins[1]->file, "two.c");
	assert_false(twins[0]->dynamic);
	assert_int_equal(hp_symtab_find(l.st, "twin", "two.c", &s, 1), 1);
	assert_ptr_equal(s, twins[1]);
	assert_int_equal(hp_symtab_find(l.st, "twin", "wo.c", &s, 1), 0);
	assert_int_equal(hp_symtab_find(l.st, "call_two", "two.c", &s, 1), 0); /* not local */
	unload(&l);
}

static bool binds(const struct hp_image *im, const char *name, const char *version, Elf64_Sym *ret)
{
	struct hp_dynsym d;
	bool found;

	assert_int_equal(hp_dynsym_open(&d, im, NULL), 0);
	found = hp_dynsym_find(&d, name, version, ret);
	hp_dynsym_close(&d);
	return found;
}

static void finds_versions(void **state)
{
	struct loaded l = load("lib.so");
	const struct hp_sym *both[4];
	Elf64_Sym v1, v2, s;

	(void)state;
	assert_int_equal(hp_symtab_find(l.st, "way", NULL, both, 4), 2);
	assert_true(binds(l.im, "way", "V1", &v1));
	assert_true(binds(l.im, "way", "V2", &v2));
	assert_true(v1.st_value != v2.st_value);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(both[i]->hidden_version, both[i]->value == v1.st_value);
	assert_true(binds(l.im, "way", NULL, &s));
	assert_int_equal(s.st_value, v2.st_value);
	assert_false(binds(l.im, "way", "V3", &s));
	assert_false(binds(l.im, "twin", NULL, &s)); /* local */
	assert_false(binds(l.im, "work", NULL, &s)); /* undefined */
	assert_false(binds(l.im, "", NULL, &s));

	/* Two versions of one body: one definition, found under either. */
	assert_int_equal(hp_symtab_find(l.st, "both1", NULL, both, 4), 1);
	assert_false(both[0]->hidden_version);
	assert_true(binds(l.im, "both1", "V1", &v1));
	assert_true(binds(l.im, "both1", "V2", &v2));
	assert_int_equal(v1.st_value, v2.st_value);
	unload(&l);
}

static void keeps_one_of_two_tables(void **state)
{
	struct loaded l = load("lib.so"), s = load("stripped.so");
	const struct hp_sym *v;
	size_t n = hp_symtab_all(l.st, &v);

	(void)state;
	for (size_t i = 1; i < n; i++) {
		assert_true(v[i - 1].value <= v[i].value);
		if (v[i - 1].value == v[i].value && !strcmp(v[i - 1].name, v[i].name))
			assert_string_not_equal(v[i - 1].version, v[i].version);
	}
	/* What the stripped file knows, the whole one knows at the same place. */
	n = hp_symtab_all(s.st, &v);
	assert_true(n > 8);
	for (size_t i = 0; i < n; i++) {
		Elf64_Sym same;

		assert_true(v[i].dynamic);
		assert_true(binds(l.im, v[i].name, v[i].version, &same));
		assert_int_equal(same.st_value, v[i].value);
		assert_int_equal(ELF64_ST_BIND(same.st_info), v[i].bind);
	}
	assert_int_equal(hp_symtab_find(s.st, "twin", NULL, &v, 1), 0);
	unload(&l);
	unload(&s);
}

static void finds_by_address(void **state)
{
	struct loaded l = load("lib.so");
	const struct hp_sym *s = only(l.st, "call_one"), *a[4];

	(void)state;
	assert_ptr_equal(hp_symtab_func_at(l.st, s->value), s);
	assert_ptr_equal(hp_symtab_func_at(l.st, s->value + s->size - 1), s);
	assert_ptr_not_equal(hp_symtab_func_at(l.st, s->value + s->size), s);
	assert_null(hp_symtab_func_at(l.st, 0));
	assert_null(hp_symtab_func_at(l.st, UINT64_MAX));
	assert_null(hp_symtab_func_at(l.st, only(l.st, "counter")->value));

	assert_int_equal(hp_symtab_aliases(l.st, only(l.st, "alias_a")->value, a, 4), 2);
	assert_string_equal(a[0]->name, "alias_a");
	assert_string_equal(a[1]->name, "alias_b");
	assert_int_equal(hp_symtab_aliases(l.st, only(l.st, "both1")->value, a, 4), 2);
	assert_string_equal(a[0]->name, "both");
	assert_string_equal(a[1]->name, "both1");
	assert_int_equal(hp_symtab_aliases(l.st, s->value + 1, a, 4), 0);
	unload(&l);
}

static void finds_what_is_near(void **state)
{
	struct loaded l = load("lib.so");
	const struct hp_sym *p[8];
	const char *near[4];

	(void)state;
	assert_int_equal(hp_symtab_prefix(l.st, "call_", p, 8), 2);
	assert_int_equal(hp_symtab_prefix(l.st, "call_", p, 1), 2);
	assert_int_equal(hp_symtab_prefix(l.st, "zzz", p, 8), 0);

	assert_int_equal(hp_symtab_similar(l.st, "call_noe", near, 4), 1); /* a transposition */
	assert_string_equal(near[0], "call_one");
	assert_int_equal(hp_symtab_similar(l.st, "lias_b", near, 4), 2);
	assert_string_equal(near[0], "alias_b");
	assert_string_equal(near[1], "alias_a");
	assert_int_equal(hp_symtab_similar(l.st, "lias_b", near, 1), 1);
	assert_string_equal(near[0], "alias_b");
	assert_int_equal(hp_symtab_similar(l.st, "serialize", near, 4), 1);
	assert_string_equal(near[0], "serialise");
	assert_int_equal(hp_symtab_similar(l.st, "completely_else", near, 4), 0);
	assert_int_equal(hp_symtab_similar(l.st, "", near, 4), 0);
	unload(&l);
}

/* lib.so with a change that only its symbols notice. */
static int load_changed(void (*change)(uint8_t *b, const struct hp_section *symtab), const char *says)
{
	struct hp_image *im = open_file("lib.so"), *changed = NULL;
	uint8_t *b = malloc(im->size);
	struct hp_symtab *st = NULL;
	struct hp_section symtab;
	struct hp_err err = {0};
	int r;

	assert_non_null(b);
	memcpy(b, im->bytes, im->size);
	assert_true(hp_section_of_type(im, SHT_SYMTAB, &symtab));
	change(b, &symtab);
	assert_int_equal(hp_image_open(&changed, memory_file(b, im->size), "changed", NULL), 0);
	r = hp_symtab_load(&st, changed, NULL, &err);
	if (r)
		assert_contains(err.text, says);
	else
		assert_int_equal(hp_symtab_find(st, "call_one", NULL, NULL, 0), 1);
	hp_symtab_free(st);
	hp_image_free(changed);
	hp_image_free(im);
	free(b);
	return r;
}

static void tell_no_strings(uint8_t *b, const struct hp_section *symtab)
{
	const Elf64_Ehdr *e = (const Elf64_Ehdr *)b;
	Elf64_Shdr *h = (Elf64_Shdr *)(b + e->e_shoff);

	for (size_t i = 0; i < e->e_shnum; i++)
		if (h[i].sh_type == SHT_SYMTAB)
			h[i].sh_link = 1000;
}

static void tell_a_far_name(uint8_t *b, const struct hp_section *symtab)
{
	((Elf64_Sym *)(b + symtab->header.sh_offset))[3].st_name = UINT32_MAX;
}

static void tell_functions_in_data(uint8_t *b, const struct hp_section *symtab)
{
	Elf64_Sym *s = (Elf64_Sym *)(b + symtab->header.sh_offset);
	size_t n = symtab->header.sh_size / sizeof(*s);

	for (size_t i = 0; i < n; i++)
		if (ELF64_ST_TYPE(s[i].st_info) == STT_FUNC)
			s[i].st_value = s[i].st_value ? 1 : 0;
}

static void refuses_lies(void **state)
{
	(void)state;
	assert_int_equal(load_changed(tell_no_strings, "strings"), -HP_E_BAD_ELF);
	assert_int_equal(load_changed(tell_a_far_name, "name of symbol 3"), -HP_E_BAD_ELF);
	/* call_one is found once, where .dynsym says. */
	assert_int_equal(load_changed(tell_functions_in_data, NULL), 0);
}

/* Every symbol of the C library is found again by its name, under its version and by its place. */
static void agrees_with_itself_on_libc(void **state)
{
	struct hp_image *im = NULL;
	struct hp_symtab *st;
	const struct hp_sym *v;
	Elf64_Sym any, now, old;
	size_t n, functions = 0;

	(void)state;
	assert_int_equal(hp_image_open(&im, open("/lib/x86_64-linux-gnu/libc.so.6",
						 O_RDONLY | O_CLOEXEC),
				       "libc", NULL),
			 0);
	st = load_symbols(im);
	n = hp_symtab_all(st, &v);
	assert_true(n > 2000);
	for (size_t i = 0; i < n; i++) {
		Elf64_Sym found;

		assert_true(binds(im, v[i].name, v[i].version, &found));
		assert_int_equal(found.st_value, v[i].value);
		if (v[i].type != STT_FUNC || !v[i].size)
			continue;
		functions++;
		assert_int_equal(hp_symtab_func_at(st, v[i].value)->value, v[i].value);
	}
	assert_true(functions > 1500);
	assert_true(binds(im, "pthread_create", NULL, &any));
	assert_true(binds(im, "pthread_create", "GLIBC_2.34", &now));
	assert_true(binds(im, "pthread_create", "GLIBC_2.2.5", &old));
	assert_int_equal(any.st_value, now.st_value);
	assert_int_equal(hp_symtab_find(st, "pthread_create", NULL, &v, 1), 1);
	hp_symtab_free(st);
	hp_image_free(im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_by_name),
		cmocka_unit_test(finds_versions),
		cmocka_unit_test(keeps_one_of_two_tables),
		cmocka_unit_test(finds_by_address),
		cmocka_unit_test(finds_what_is_near),
		cmocka_unit_test(refuses_lies),
		cmocka_unit_test(agrees_with_itself_on_libc),
	};

	return cmocka_run_group_tests(tests, setup, remove_dir);
}
