/* SPDX-License-Identifier: MIT */
/* Also the proof of hp/patch.h: what it says compiles in C and C++, by gcc and clang, and runs. */
#include "elf_files.h"

#include <dlfcn.h>

#include "elf/patchinfo.h"
#include "elf/reader.h"
#include "hp/patch.h"

static const char every_macro[] =
	"#include <hp/patch.h>\n"
	"HP_REF(int *, Global, \"globalValue\");\n"
	"HP_REF(void (*)(void), Func2Ref, \"func2\");\n"
	"HP_REF(int (*)(int, char *), Func3Ref, \"lib.so.1:func3\");\n"
	"HP_ORIG(void, func1, (void));\n"
	"HP_ORIG(int, add, (int a, int b));\n"
	"HP_NEW void NewFunc1(void) { *Global += 15; func1_orig(); Func2Ref(); }\n"
	"HP_NEW int NewAdd(int a, int b) { return add_orig(a, b) + Func3Ref(1, 0); }\n"
	"HP_REPLACE(NewFunc1, \"func1\");\n"
	"HP_REPLACE(NewAdd, \"file.c:add\");\n"
	"HP_META(\"cve\", \"CVE-2026-1234\");\n"
	"HP_META(\"description\", \"\");\n"
	"HP_HOOK_BEFORE_LOAD() { return 1; }\n"
	"HP_HOOK_AFTER_LOAD() { return 2; }\n"
	"HP_HOOK_BEFORE_UNLOAD() { return 3; }\n"
	"HP_HOOK_AFTER_UNLOAD() { return 4; }\n";

static int setup(void **state)
{
	if (make_dir(state))
		return -1;
	write_text("all.c", every_macro);
	write_text("second.c", "#include <hp/patch.h>\nHP_REF(char *, Second, \"second\");\n"
			       "HP_META(\"supersedes\", \"0123\");\n");
	write_text("plain.c", "int *Global; void (*Func2Ref)(void);\n"
			      "void NewFunc1(void) { *Global += 15; Func2Ref(); }\n");
	run("cc -O3 -shared -fPIC -o plain.so plain.c");
	return 0;
}

/* In place, and by a reader: it comes to the same. */
static int read_info(const char *file, struct hp_patchinfo *pi, struct hp_err *err)
{
	struct hp_image *im = open_file(file);
	struct hp_symtab *st = load_symbols(im);
	int r = hp_patchinfo_read(pi, im, st, err);
	struct hp_patchinfo told = {0};
	struct hp_err same = {0};
	struct hp_reader *reader;

	assert_int_equal(hp_reader_new(&reader, "patch", NULL), 0);
	hp_reader_join(reader, im);
	assert_int_equal(hp_patchinfo_read(&told, im, st, &same), r);
	if (r < 0)
		assert_string_equal(same.text, err->text);
	else
		assert_int_equal(told.replace.n + told.ref.n + told.orig.n + told.meta.n,
				 pi->replace.n + pi->ref.n + pi->orig.n + pi->meta.n);
	if (r == 0)
		hp_patchinfo_free(&told);
	hp_reader_free(reader);
	hp_symtab_free(st);
	hp_image_free(im);
	return r;
}

/* --- hp/patch.h --------------------------------------------------------------------------------- */

static int calls_of_func1, calls_of_func2;

static void func1(void)
{
	calls_of_func1++;
}

static void func2(void)
{
	calls_of_func2++;
}

static int func3(int a, char *b)
{
	return b ? -1 : a;
}

static int add(int a, int b)
{
	return a + b;
}

static void *symbol(void *patch, const char *name)
{
	void *p = dlsym(patch, name);

	if (!p)
		fail_msg("no %s", name);
	return p;
}

/* Sets the pointers as a load does, and calls: the zeros they began with must be nowhere in it. */
static void use_patch(const char *file)
{
	void *patch = dlopen(path_of(file), RTLD_NOW);
	int global = 1;

	assert_non_null(patch);
	*(int **)symbol(patch, "Global") = &global;
	*(void (**)(void))symbol(patch, "Func2Ref") = func2;
	*(int (**)(int, char *))symbol(patch, "Func3Ref") = func3;
	*(void (**)(void))symbol(patch, "func1_orig") = func1;
	*(int (**)(int, int))symbol(patch, "add_orig") = add;
	calls_of_func1 = calls_of_func2 = 0;
	((void (*)(void))symbol(patch, "NewFunc1"))();
	assert_int_equal(global, 16);
	assert_int_equal(calls_of_func1, 1);
	assert_int_equal(calls_of_func2, 1);
	assert_int_equal(((int (*)(int, int))symbol(patch, "NewAdd"))(2, 3), 6);
	for (enum hp_hook h = 0; h < HP_HOOKS; h++)
		assert_int_equal(((int (*)(void))symbol(patch, hp_hook_name(h)))(), h + 1);
	dlclose(patch);
}

static void check_records(const char *file)
{
	struct hp_patchinfo pi;
	struct hp_err err;

	if (read_info(file, &pi, &err))
		fail_msg("%s", err.text);
	assert_int_equal(pi.replace.n, 2);
	assert_string_equal(hp_pairs_get(&pi.replace, "NewFunc1"), "func1");
	assert_string_equal(hp_pairs_get(&pi.replace, "NewAdd"), "file.c:add");
	assert_int_equal(pi.ref.n, 4);
	assert_string_equal(hp_pairs_get(&pi.ref, "Global"), "globalValue");
	assert_string_equal(hp_pairs_get(&pi.ref, "Func2Ref"), "func2");
	assert_string_equal(hp_pairs_get(&pi.ref, "Func3Ref"), "lib.so.1:func3");
	assert_string_equal(hp_pairs_get(&pi.ref, "Second"), "second");
	assert_int_equal(pi.orig.n, 2);
	assert_string_equal(hp_pairs_get(&pi.orig, "func1_orig"), "func1");
	assert_string_equal(hp_pairs_get(&pi.orig, "add_orig"), "add");
	assert_int_equal(pi.meta.n, 3);
	assert_string_equal(hp_pairs_get(&pi.meta, "cve"), "CVE-2026-1234");
	assert_string_equal(hp_pairs_get(&pi.meta, "description"), "");
	assert_null(hp_pairs_get(&pi.meta, "nothing"));
	for (enum hp_hook h = 0; h < HP_HOOKS; h++)
		assert_true(pi.hook[h] != 0);
	hp_patchinfo_free(&pi);
}

static void every_macro_compiles_and_runs(void **state)
{
	static const char *const compilers[] = {"gcc", "clang", "g++ -x c++", "clang++ -x c++"};
	static const char *const flags[] = {
		"-O0", "-O2", "-O3 -fvisibility=hidden -ffunction-sections -Wl,--gc-sections",
		"-O2 -flto"};

	(void)state;
	for (size_t i = 0; i < sizeof(compilers) / sizeof(*compilers); i++)
		for (size_t k = 0; k < sizeof(flags) / sizeof(*flags); k++) {
			char file[32];

			/* dlopen knows a file by its name: a new one each. */
			snprintf(file, sizeof(file), "all-%zu-%zu.so", i, k);
			run("%s %s -Wall -Wextra -Werror -pedantic -shared -fPIC -I$INCLUDE "
			    "-o %s all.c second.c",
			    compilers[i], flags[k], file);
			check_records(file);
			use_patch(file);
		}
}

/* A patch in the manner of hotgo: plain pointers, whose values come with the request. */
static void plain_pointers_are_read_when_used(void **state)
{
	struct hp_patchinfo pi;
	void (**func)(void);
	int **global, value = 1;
	void *patch;

	(void)state;
	assert_int_equal(read_info("plain.so", &pi, NULL), 0);
	assert_int_equal(pi.replace.n + pi.ref.n + pi.orig.n + pi.meta.n, 0);
	assert_int_equal(pi.hook[HP_HOOK_BEFORE_LOAD], 0);
	hp_patchinfo_free(&pi);
	patch = dlopen(path_of("plain.so"), RTLD_NOW);
	assert_non_null(patch);
	global = symbol(patch, "Global");
	func = symbol(patch, "Func2Ref");
	*global = &value;
	*func = func2;
	calls_of_func2 = 0;
	((void (*)(void))symbol(patch, "NewFunc1"))();
	assert_int_equal(value, 16);
	assert_int_equal(calls_of_func2, 1);
	dlclose(patch);
}

/* --- refusals ----------------------------------------------------------------------------------- */

static void refused(const char *command, const char *source, int code, const char *says)
{
	struct hp_patchinfo pi = {0};
	struct hp_err err = {0};

	write_text("bad.c", source);
	run("%s -o bad bad.c", command);
	assert_int_equal(read_info("bad", &pi, &err), code);
	assert_contains(err.text, says);
	assert_null(pi.replace.v);
}

static void refuses_what_is_no_patch(void **state)
{
	(void)state;
	refused("cc -no-pie", "int main(void) { return 0; }", -HP_E_NOT_PATCH,
		"is an executable, not a shared object: link it with -shared -fPIC");
	refused("cc -pie -fPIE", "int main(void) { return 0; }", -HP_E_NOT_PATCH, "executable");
	refused("cc -static-pie -fPIE", "int main(void) { return 0; }", -HP_E_NOT_PATCH,
		"executable");
	refused("cc -static", "int main(void) { return 0; }", -HP_E_NOT_PATCH, "executable");
	refused("cc -shared -fPIC", "__thread int per_thread = 1; int *f(void) { return &per_thread; }",
		-HP_E_TLS, "(per_thread)");
	refused("cc -shared -fPIC -s", "static __thread int t; int *f(void) { return &t; }",
		-HP_E_TLS, "stripped");
	refused("cc -shared -fPIC", "int HPBeforeLoad = 3;", -HP_E_NOT_FUNCTION, "'HPBeforeLoad'");
}

static void refuses_records(const void *bytes, size_t n, const char *says)
{
	FILE *f = fopen(path_of("records"), "we");
	struct hp_patchinfo pi = {0};
	struct hp_err err = {0};

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	run("objcopy --add-section .hp.patch=records plain.so bad.so");
	assert_int_equal(read_info("bad.so", &pi, &err), -HP_E_BAD_ELF);
	assert_contains(err.text, says);
	assert_null(pi.replace.v);
}

static void refuses_bad_records(void **state)
{
	const struct hp_patch_record good = {HP_PATCH_MAGIC, HP_PATCH_REPLACE, "New", "old"};
	struct hp_patch_record r[2] = {good, good};

	(void)state;
	refuses_records(r, sizeof(r) - 8, "no whole records");
	r[1].magic++;
	refuses_records(r, sizeof(r), "record 1 of .hp.patch does not begin");
	r[1] = good;
	r[1].kind = 99;
	refuses_records(r, sizeof(r), "kind 99");
	r[1] = good;
	memset(r[1].key, 'k', sizeof(r[1].key));
	refuses_records(r, sizeof(r), "251 letters");
	r[1] = good;
	memset(r[1].value, 'v', sizeof(r[1].value));
	refuses_records(r, sizeof(r), "251 letters");
	r[1] = good;
	r[1].key[0] = 0;
	refuses_records(r, sizeof(r), "no name");
	r[1] = good;
	r[1].value[0] = 0;
	refuses_records(r, sizeof(r), "no name");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_macro_compiles_and_runs),
		cmocka_unit_test(plain_pointers_are_read_when_used),
		cmocka_unit_test(refuses_what_is_no_patch),
		cmocka_unit_test(refuses_bad_records),
	};

	return cmocka_run_group_tests(tests, setup, remove_dir);
}
