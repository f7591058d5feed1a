/* SPDX-License-Identifier: MIT */
/* The proof of a relocator is code that runs: a patch is mapped here by its fixups alone. */
#include "elf_files.h"

#include <dlfcn.h>

#include "base/addr.h"
#include "elf/reloc.h"

#define BIAS 0x7f0000000000ull

static int host_value = 100;

static int setup(void **state)
{
	if (make_dir(state))
		return -1;
	write_text("patch.c",
		   "#include <string.h>\n#include <stdlib.h>\n"
		   "extern int host_value; extern int host_add(int); extern int maybe(void) "
		   "__attribute__((weak));\n"
		   "static int local(int x) { return x + 1; }\n"
		   "int mine(int x) { return x + 2; }\n"
		   "static int (*const table[])(int) = {local, mine, host_add};\n"
		   "const char *words[] = {\"zero\", \"one\", \"two\", \"three\"};\n"
		   "int *data = &host_value; int array[4] = {1, 2, 3, 4}; int *third = &array[2];\n"
		   "void *far_end[100] = {[3] = &array[3], [70] = &array[1], [99] = array};\n"
		   "static int impl(int x) { return x + 4; }\n"
		   "static int (*choose(void))(int) { return impl; }\n"
		   "int chosen(int) __attribute__((ifunc(\"choose\")));\n"
		   "static int hidden_choice(int) __attribute__((ifunc(\"choose\")));\n"
		   "__attribute__((weak)) int shared(void) { return 7; }\n"
		   "int entry(int x) {\n"
		   "	int sum = 0;\n"
		   "	for (int i = 0; i < 3; i++) sum += table[i](x);\n"
		   "	if (strcmp(words[x & 3], \"two\")) return -1;\n"
		   "	if (maybe) return -2;\n"
		   "	if (far_end[3] != &array[3] || far_end[70] != &array[1] || "
		   "far_end[99] != array) return -3;\n"
		   "	if (abs(-x) != x) return -4;\n"
		   "	return sum + *data + *third + chosen(x) + hidden_choice(x) + shared();\n"
		   "}\n");
	run("cc -O1 -shared -fPIC -o patch.so patch.c");
	run("cc -O1 -shared -fPIC -Wl,-z,pack-relative-relocs -o relr.so patch.c");
	return 0;
}

static int host_add(int x)
{
	return x + 3;
}

static int host_shared(void)
{
	return 70;
}

/* --- a lookup that remembers -------------------------------------------------------------------- */

struct seen {
	int n_abs, n_shared;
	bool give_shared, tls;
	int fail;
};

static int lookup(void *arg, const struct hp_reloc_sym *sym, struct hp_reloc_target *ret,
		  struct hp_err *err)
{
	struct seen *seen = arg;

	if (seen->fail)
		return hp_err_set(err, seen->fail, "no %s", sym->name);
	if (seen->tls) {
		ret->tls = true;
		ret->tpoff = -64;
		return 0;
	}
	if (!strcmp(sym->name, "shared")) {
		seen->n_shared++;
		assert_true(sym->defined);
		assert_true(sym->weak);
		assert_int_equal(sym->type, STT_FUNC);
		assert_true(sym->size > 0);
		ret->addr = (uintptr_t)host_shared;
		return seen->give_shared ? 0 : hp_err_set(err, -HP_E_UNDEFINED, "no shared");
	}
	assert_false(sym->defined); /* nothing else of the patch's may be asked for */
	if (!strcmp(sym->name, "host_value")) {
		ret->addr = (uintptr_t)&host_value;
		return 0;
	}
	if (!strcmp(sym->name, "host_add")) {
		ret->addr = (uintptr_t)host_add;
		return 0;
	}
	if (!strcmp(sym->name, "strcmp")) {
		assert_string_equal(sym->version, "GLIBC_2.2.5");
		seen->n_abs++;
	}
	ret->addr = (uintptr_t)dlsym(RTLD_DEFAULT, sym->name);
	return ret->addr ? 0 : hp_err_set(err, -HP_E_UNDEFINED, "no %s", sym->name);
}

static int compute_at(struct hp_fixups *f, const struct hp_image *im, uint64_t bias,
		      struct seen *seen, struct hp_err *err)
{
	struct hp_relocs *rs;
	int r = hp_relocs_open(&rs, im, err);

	if (r)
		return r;
	r = hp_relocs_compute(f, rs, bias, lookup, seen, err);
	hp_relocs_free(rs);
	return r;
}

/* --- a loader of ten lines ---------------------------------------------------------------------- */

static uint8_t *map_patch(const struct hp_image *im, size_t *n)
{
	uint8_t *base;

	*n = 0;
	for (size_t i = 0; i < im->n_phdrs; i++)
		if (im->phdr[i].p_type == PT_LOAD)
			*n = HP_PAGE_UP(im->phdr[i].p_vaddr + im->phdr[i].p_memsz);
	base = mmap(NULL, *n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(base != MAP_FAILED);
	for (size_t i = 0; i < im->n_phdrs; i++)
		if (im->phdr[i].p_type == PT_LOAD)
			memcpy(base + im->phdr[i].p_vaddr, im->bytes + im->phdr[i].p_offset,
			       im->phdr[i].p_filesz);
	return base;
}

static void apply(uint8_t *base, const struct hp_fixups *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (!f->v[i].ifunc)
			memcpy(base + f->v[i].where, &f->v[i].value, f->v[i].size);
}

/* After everything else, as resolvers may use what was relocated. */
static void apply_resolvers(uint8_t *base, const struct hp_fixups *f)
{
	for (size_t i = 0; i < f->n; i++) {
		uint64_t (*resolver)(void) = (uint64_t(*)(void))(uintptr_t)f->v[i].value;
		uint64_t value;

		if (!f->v[i].ifunc)
			continue;
		value = resolver();
		memcpy(base + f->v[i].where, &value, 8);
	}
}

static int run_patch(const char *file, int x, struct seen *seen)
{
	struct hp_image *im = open_file(file);
	struct hp_symtab *st = load_symbols(im);
	struct hp_fixups f = {0};
	const struct hp_sym *s;
	struct hp_err err;
	uint8_t *base;
	size_t n;
	int r;

	base = map_patch(im, &n);
	if (compute_at(&f, im, (uintptr_t)base, seen, &err))
		fail_msg("%s", err.text);
	apply(base, &f);
	assert_int_equal(mprotect(base, n, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
	apply_resolvers(base, &f);
	assert_int_equal(hp_symtab_find(st, "entry", NULL, &s, 1), 1);
	r = ((int (*)(int))(uintptr_t)(base + s->value))(x);
	hp_fixups_free(&f);
	hp_symtab_free(st);
	hp_image_free(im);
	munmap(base, n);
	return r;
}

static void what_it_computes_runs(void **state)
{
	/* table (x+1, x+2, x+3), *data, *third, chosen, hidden_choice, shared */
	int want = 3 * 2 + 6 + 100 + 3 + 6 + 6;
	struct seen seen = {0};

	(void)state;
	assert_int_equal(run_patch("patch.so", 2, &seen), want + 7);
	assert_true(seen.n_abs > 0);
	assert_true(seen.n_shared > 0);
	assert_int_equal(run_patch("relr.so", 2, &seen), want + 7);
	seen.give_shared = true;
	assert_int_equal(run_patch("patch.so", 2, &seen), want + 70);
	assert_int_equal(run_patch("relr.so", 2, &seen), want + 70);
}

/* Each symbol that may be looked up is told before, once, and by the number that it is looked up by. */
static void tells_what_will_be_looked_up(void **state)
{
	struct hp_image *im = open_file("patch.so");
	const struct hp_reloc_sym *sym;
	struct hp_relocs *rs;
	size_t n, strcmps = 0;

	assert_int_equal(hp_relocs_open(&rs, im, NULL), 0);
	n = hp_relocs_symbols(rs, &sym);
	assert_true(n > 3);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(sym[i].index, i);
		strcmps += !strcmp(sym[i].name, "strcmp");
		assert_true(!sym[i].defined || !strcmp(sym[i].name, "shared"));
		for (size_t k = 0; k < i; k++)
			assert_false(!strcmp(sym[i].name, sym[k].name) &&
				     sym[i].bind == sym[k].bind && sym[i].type == sym[k].type);
	}
	assert_int_equal(strcmps, 1);
	hp_relocs_free(rs);
	hp_image_free(im);
}

static size_t words_at_own_addresses(const char *file)
{
	struct hp_image *im = open_file(file);
	struct hp_fixups f = {0};
	struct seen seen = {0};
	size_t n = 0;

	assert_int_equal(compute_at(&f, im, BIAS, &seen, NULL), 0);
	for (size_t i = 0; i < f.n; i++)
		n += f.v[i].value >= BIAS && f.v[i].value < BIAS + 0x100000;
	hp_fixups_free(&f);
	hp_image_free(im);
	return n;
}

static void relr_says_what_rela_says(void **state)
{
	struct hp_image *im = open_file("relr.so");
	uint64_t relr;

	(void)state;
	assert_true(hp_image_dynamic(im, DT_RELR, &relr));
	hp_image_free(im);
	assert_int_equal(words_at_own_addresses("relr.so"), words_at_own_addresses("patch.so"));
}

/* --- refusals ----------------------------------------------------------------------------------- */

static int compute(const char *file, struct seen *seen, struct hp_fixups *f, struct hp_err *err)
{
	struct hp_image *im = open_file(file);
	int r = compute_at(f, im, BIAS, seen, err);

	hp_image_free(im);
	return r;
}

static void refused(const char *source, const char *flags, int code, const char *says)
{
	struct hp_fixups f = {0};
	struct seen seen = {0};
	struct hp_err err;
	int r;

	write_text("bad.c", source);
	run("cc -O1 -shared %s -o bad.so bad.c", flags);
	r = compute("bad.so", &seen, &f, &err);
	assert_int_equal(r, code);
	assert_int_equal(err.code, code);
	assert_contains(err.text, says);
	assert_null(f.v);
}

static void refuses_by_name(void **state)
{
	(void)state;
	refused("extern int nowhere(void); int f(void) { return nowhere() + 1; }", "-fPIC",
		-HP_E_UNDEFINED, "nowhere");
	refused("extern int host_value; __asm__(\".text\\n.quad host_value\\n\");",
		"-fPIC -Wl,-z,notext", -HP_E_TEXTREL, "'host_value'");
	refused("extern int host_add(int); int f(void) { return host_add(1) + 1; }",
		"-fno-pic -mcmodel=large -Wl,-z,notext", -HP_E_TEXTREL, "host_add");
	refused("extern __thread int there; int f(void) { return there; }",
		"-fPIC -ftls-model=global-dynamic", -HP_E_TLS, "'there'");
	refused("extern __thread int there; int f(void) { return there; }",
		"-fPIC -mtls-dialect=gnu2", -HP_E_TLS, "'there'");
	refused("__thread int here = 3; int f(void) { return here; }",
		"-fPIC -ftls-model=initial-exec", -HP_E_TLS, "'here'");
	refused("static __thread int mine = 3; int f(void) { return mine++; }",
		"-fPIC -ftls-model=initial-exec", -HP_E_TLS, "of its own");
}

static void reaches_static_tls_of_the_target(void **state)
{
	struct seen seen = {.tls = true};
	struct hp_fixups f = {0};
	struct hp_err err;

	(void)state;
	write_text("tls.c", "extern __thread int there; int f(void) { return there; }");
	run("cc -nostdlib -O1 -shared -fPIC -ftls-model=initial-exec -o tls.so tls.c");
	assert_int_equal(compute("tls.so", &seen, &f, &err), 0);
	assert_int_equal(f.n, 1);
	assert_int_equal(f.v[0].value, (uint64_t)-64);
	assert_int_equal(f.v[0].size, 8);
	hp_fixups_free(&f);

	/* The same name, but no thread-local in the target; and the other way round. */
	seen.tls = false;
	write_text("tls.c", "extern __thread int host_value; int f(void) { return host_value; }");
	run("cc -nostdlib -O1 -shared -fPIC -ftls-model=initial-exec -o tls.so tls.c");
	assert_int_equal(compute("tls.so", &seen, &f, &err), -HP_E_TLS);
	assert_contains(err.text, "'host_value'");
	seen.tls = true;
	write_text("tls.c", "extern int there; int f(void) { return there; }");
	run("cc -nostdlib -O1 -shared -fPIC -o tls.so tls.c");
	assert_int_equal(compute("tls.so", &seen, &f, &err), -HP_E_TLS);
	assert_contains(err.text, "'there'");
}

static void passes_on_what_the_lookup_refuses(void **state)
{
	struct seen seen = {.fail = -HP_E_AMBIGUOUS};
	struct hp_fixups f = {0};
	struct hp_err err;

	(void)state;
	assert_int_equal(compute("patch.so", &seen, &f, &err), -HP_E_AMBIGUOUS);
	assert_null(f.v);
}

/* Of a changed copy of @im, which is freed; @bytes, owned: the copy. */
static int compute_copy(struct hp_image *im, uint8_t *bytes, struct hp_err *err)
{
	struct hp_image *changed = NULL;
	struct hp_fixups f = {0};
	struct seen seen = {0};
	int r;

	assert_int_equal(hp_image_open(&changed, memory_file(bytes, im->size), "changed", NULL), 0);
	r = compute_at(&f, changed, BIAS, &seen, err);
	hp_fixups_free(&f);
	hp_image_free(changed);
	hp_image_free(im);
	free(bytes);
	return r;
}

static uint8_t *copy_of(const struct hp_image *im)
{
	uint8_t *b = malloc(im->size);

	assert_non_null(b);
	memcpy(b, im->bytes, im->size);
	return b;
}

/* What no linker lets through: the first R_X86_64_64 of patch.so becomes another type. */
static int compute_as(uint32_t type, struct hp_err *err)
{
	struct hp_image *im = open_file("patch.so");
	uint8_t *b = copy_of(im);
	uint64_t at, offset;
	Elf64_Rela *rela;

	assert_true(hp_image_dynamic(im, DT_RELA, &at));
	assert_true(hp_image_offset(im, at, &offset));
	rela = (Elf64_Rela *)(b + offset);
	while (ELF64_R_TYPE(rela->r_info) != R_X86_64_64)
		rela++;
	rela->r_info = ELF64_R_INFO(ELF64_R_SYM(rela->r_info), type);
	return compute_copy(im, b, err);
}

static void knows_every_type(void **state)
{
	struct hp_err err;

	(void)state;
	assert_int_equal(compute_as(R_X86_64_NONE, &err), 0);
	assert_int_equal(compute_as(R_X86_64_PC64, &err), 0);
	assert_int_equal(compute_as(R_X86_64_PC32, &err), 0); /* it is against mine() */
	assert_int_equal(compute_as(R_X86_64_RELATIVE64, &err), 0);
	assert_int_equal(compute_as(R_X86_64_32, &err), -HP_E_RELOC);
	assert_contains(err.text, "32 bits");
	assert_int_equal(compute_as(R_X86_64_32S, &err), -HP_E_RELOC);
	assert_int_equal(compute_as(R_X86_64_COPY, &err), -HP_E_RELOC);
	assert_contains(err.text, "R_X86_64_COPY");
	assert_int_equal(compute_as(R_X86_64_DTPMOD64, &err), -HP_E_TLS);
	assert_int_equal(compute_as(R_X86_64_TPOFF64, &err), -HP_E_TLS);
	assert_int_equal(compute_as(R_X86_64_GOT32, &err), -HP_E_RELOC);
	assert_contains(err.text, "GOT32");
	assert_int_equal(compute_as(4711, &err), -HP_E_RELOC);
	assert_contains(err.text, "4711");
}

/* --- lies --------------------------------------------------------------------------------------- */

static int compute_changed(int64_t tag, uint64_t value, struct hp_err *err)
{
	struct hp_image *im = open_file("relr.so");
	uint8_t *b = copy_of(im);
	Elf64_Dyn *d;

	for (d = (Elf64_Dyn *)(b + (im->dynamic - im->bytes)); d->d_tag != tag; d++)
		assert_int_not_equal(d->d_tag, DT_NULL);
	d->d_un.d_val = value;
	return compute_copy(im, b, err);
}

static void refuses_lies(void **state)
{
	struct hp_err err;

	(void)state;
	assert_int_equal(compute_changed(DT_RELA, 1ull << 40, &err), -HP_E_BAD_ELF);
	assert_int_equal(compute_changed(DT_RELASZ, UINT64_MAX, &err), -HP_E_BAD_ELF);
	assert_int_equal(compute_changed(DT_RELAENT, 16, &err), -HP_E_BAD_ELF);
	assert_int_equal(compute_changed(DT_RELRENT, 4, &err), -HP_E_BAD_ELF);
	assert_int_equal(compute_changed(DT_RELRSZ, 1 << 30, &err), -HP_E_BAD_ELF);
	assert_int_equal(compute_changed(DT_PLTREL, DT_REL, &err), -HP_E_RELOC);
	assert_int_equal(compute_changed(DT_SYMENT, 16, &err), -HP_E_BAD_ELF);
	assert_int_equal(compute_changed(DT_SYMTAB, 1ull << 40, &err), -HP_E_BAD_ELF);
	assert_int_equal(compute_changed(DT_VERNEED, 1ull << 40, &err), -HP_E_BAD_ELF);
	/* Text taken for a table: places outside, symbols that are none. */
	assert_int_equal(compute_changed(DT_RELA, 0x1000, &err), -HP_E_BAD_ELF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_computes_runs),
		cmocka_unit_test(tells_what_will_be_looked_up),
		cmocka_unit_test(relr_says_what_rela_says),
		cmocka_unit_test(refuses_by_name),
		cmocka_unit_test(reaches_static_tls_of_the_target),
		cmocka_unit_test(passes_on_what_the_lookup_refuses),
		cmocka_unit_test(knows_every_type),
		cmocka_unit_test(refuses_lies),
	};

	return cmocka_run_group_tests(tests, setup, remove_dir);
}
