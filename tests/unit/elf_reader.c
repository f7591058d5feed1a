/* SPDX-License-Identifier: MIT */
/*
 * What a reader says is what parsing in place says; what it cannot say is found out; what it may not
 * do ends it.  The lying readers are real ones whose answers are changed on their way.
 */
#include "elf_files.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "elf/cfi.h"
#include "elf/debug_file.h"
#include "elf/dynsym.h"
#include "elf/inlined.h"
#include "elf/reader_priv.h"
#include "elf/reloc.h"
#include "reader_liar.h"

#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"

static int setup(void **state)
{
	if (make_dir(state))
		return -1;
	write_text("lib.c", "extern int counter; extern int g(int *);\n"
			    "static int one(void) { return 1; }\n"
			    "static int (*pick(void))(void) { return one; }\n"
			    "int chosen(void) __attribute__((visibility(\"hidden\"), ifunc(\"pick\")));\n"
			    "int f(int x) { int room[8] = {x}; return g(room) + counter + chosen(); }\n"
			    "int *pointer = &counter;\n"
			    "int (*function)(void) = one;\n");
	run("cc -O1 -g -shared -fPIC -Wl,--build-id -o lib.so lib.c");
	return 0;
}

static struct hp_reader *new_reader(struct hp_image *im)
{
	struct hp_reader *r = NULL;

	assert_int_equal(hp_reader_new(&r, im->name, NULL), 0);
	hp_reader_join(r, im);
	return r;
}

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

static int lookup(void *arg, const struct hp_reloc_sym *sym, struct hp_reloc_target *ret,
		  struct hp_err *err)
{
	*ret = (struct hp_reloc_target){.addr = 0x1000 + strlen(sym->name)};
	return 0;
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

/* --- it cannot say what is not so --------------------------------------------------------------- */

typedef void (*tamper_fn)(struct reader_answer *head, struct hp_told *a);

/* In a fork: what a reader does, but for what becomes of its answers. */
static void serve_changed(int sock, tamper_fn tamper)
{
	struct reader_request q;
	char bytes[65536] = "";

	while (hp_read_all(sock, &q, sizeof(q)) == 0) {
		struct hp_told a = {0};
		struct hp_err err = {.text = ""};
		struct reader_answer head = {.seq = q.seq};

		if (q.question.n_bytes >= sizeof(bytes) ||
		    hp_read_all(sock, bytes, q.question.n_bytes) < 0)
			_exit(2);
		q.question.bytes = bytes;
		((struct hp_image *)q.question.im)->reader = NULL; /* we are it */
		head.rc = hp_reader_answer(&q.question, &a, &err);
		if (head.rc < 0) {
			a.text = err.text;
			a.n_text = strlen(err.text) + 1;
		}
		head.n = a.n;
		head.n_text = a.n_text;
		tamper(&head, &a);
		(void)hp_write_all(sock, &head, sizeof(head));
		(void)hp_write_all(sock, a.record, a.n * q.question.verb->record_size);
		(void)hp_write_all(sock, a.text, a.n_text);
	}
	_exit(0);
}

static struct hp_reader *changed_reader(struct hp_image *im, tamper_fn tamper)
{
	struct hp_reader *r = new_reader(im);
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	r->pid = fork();
	if (r->pid == 0) {
		close(sv[0]);
		serve_changed(sv[1], tamper);
	}
	close(sv[1]);
	r->sock = sv[0];
	r->known = r->joined;
	return r;
}

static int ask_symbols(struct hp_image *im, struct hp_err *err)
{
	struct hp_symtab *st;

	return hp_symtab_load(&st, im, NULL, err);
}

static int ask_cfi(struct hp_image *im, struct hp_err *err)
{
	struct hp_cfi *c;

	return hp_cfi_open(&c, im, err);
}

/* The rows of all functions. */
static int ask_rows(struct hp_image *im, struct hp_err *err)
{
	struct hp_cfi *c;
	int64_t offset;

	assert_int_equal(hp_cfi_open(&c, im, err), 0);
	for (size_t i = 0; i < im->n_phdrs; i++)
		for (uint64_t at = im->phdr[i].p_flags & PF_X ? im->phdr[i].p_vaddr : UINT64_MAX;
		     at - im->phdr[i].p_vaddr < im->phdr[i].p_memsz; at++)
			(void)hp_cfi_cfa_from_sp(c, at, &offset);
	hp_cfi_free(c);
	return hp_reader_check(im->reader, err);
}

static int ask_section(struct hp_image *im, struct hp_err *err)
{
	assert_null(hp_image_section(im, ".text", NULL, NULL));
	return hp_reader_check(im->reader, err);
}

static int ask_relocations(struct hp_image *im, struct hp_err *err)
{
	struct hp_relocs *rs;
	struct hp_fixups f;
	int r = hp_relocs_open(&rs, im, err);

	if (r < 0)
		return r;
	r = hp_relocs_compute(&f, rs, 0x10000, lookup, NULL, err);
	hp_relocs_free(rs);
	return r;
}

static int ask_definition(struct hp_image *im, struct hp_err *err)
{
	const struct hp_image *scope[] = {im};
	struct hp_import import[] = {{.name = "f"}, {.name = "pointer"}};

	return hp_dynsym_resolve(scope, 1, import, 2, err);
}

static int ask_inlined(struct hp_image *im, struct hp_err *err)
{
	struct hp_inlined in;

	return hp_inlined_find(&in, im, NULL, im->ehdr.e_entry, err);
}

/* The header. */
static void another_seq(struct reader_answer *h, struct hp_told *a)
{
	h->seq++;
}

static void another_state(struct reader_answer *h, struct hp_told *a)
{
	h->rc = 1;
}

static void a_partial_unload(struct reader_answer *h, struct hp_told *a)
{
	static char text[] = "it is all over";

	*h = (struct reader_answer){.seq = h->seq, .rc = -HP_E_PARTIAL, .n_text = sizeof(text)};
	*a = (struct hp_told){.text = text, .n_text = sizeof(text)};
}

static void escapes(struct reader_answer *h, struct hp_told *a)
{
	static char text[] = "\033[2Jhello\n";

	*h = (struct reader_answer){.seq = h->seq, .rc = -HP_E_BAD_ELF, .n_text = sizeof(text)};
	*a = (struct hp_told){.text = text, .n_text = sizeof(text)};
}

static void many_records(struct reader_answer *h, struct hp_told *a)
{
	h->n = 1ull << 60;
}

static void much_text(struct reader_answer *h, struct hp_told *a)
{
	h->n_text = ~0ull;
}

static void more_than_comes(struct reader_answer *h, struct hp_told *a)
{
	h->n += 1000; /* and then silence */
}

static void no_end_of_text(struct reader_answer *h, struct hp_told *a)
{
	a->text[a->n_text - 1] = 'x';
}

static void crash(struct reader_answer *h, struct hp_told *a)
{
	signal(SIGSEGV, SIG_DFL);
	raise(SIGSEGV);
}

static void leave(struct reader_answer *h, struct hp_told *a)
{
	_exit(3);
}

static void hang(struct reader_answer *h, struct hp_told *a)
{
	for (;;)
		pause();
}

/* Symbols: name, version, file, four bytes, value, size. */
static uint8_t *symbol(struct hp_told *a, size_t i)
{
	return (uint8_t *)a->record + 32 * i;
}

static void far_name(struct reader_answer *h, struct hp_told *a)
{
	*(uint32_t *)symbol(a, 2) = (uint32_t)a->n_text;
}

static void no_name(struct reader_answer *h, struct hp_told *a)
{
	*(uint32_t *)symbol(a, 2) = UINT32_MAX;
}

static void far_version(struct reader_answer *h, struct hp_told *a)
{
	*(uint32_t *)(symbol(a, 2) + 4) = (uint32_t)a->n_text + 5;
}

static void odd_type(struct reader_answer *h, struct hp_told *a)
{
	symbol(a, 2)[12] = 77;
}

static void code_elsewhere(struct reader_answer *h, struct hp_told *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (symbol(a, i)[12] == STT_FUNC)
			*(uint64_t *)(symbol(a, i) + 24) = 1ull << 40;
}

static void out_of_order(struct reader_answer *h, struct hp_told *a)
{
	uint8_t first[32];

	memcpy(first, symbol(a, 0), 32);
	memcpy(symbol(a, 0), symbol(a, a->n - 1), 32);
	memcpy(symbol(a, a->n - 1), first, 32);
}

/* FDEs: lo, hi.  Rows: lo, hi, the row. */
static void is_fde(const struct hp_told *a, uint64_t **ret)
{
	*ret = a->n ? a->record : NULL;
}

static void empty_range(struct reader_answer *h, struct hp_told *a)
{
	uint64_t *fde;

	is_fde(a, &fde);
	fde[3] = fde[2];
}

static void ranges_back(struct reader_answer *h, struct hp_told *a)
{
	uint64_t *fde;

	is_fde(a, &fde);
	fde[0] = fde[1] = 1ull << 40;
	fde[1]++;
}

/* Rows are told one function at a time, after the list. */
static bool is_row(const struct hp_told *a)
{
	static unsigned answers;

	return answers++ && a->n;
}

static void row_outside(struct reader_answer *h, struct hp_told *a)
{
	if (is_row(a))
		((uint64_t *)a->record)[1] += 1u << 20;
}

static void row_before(struct reader_answer *h, struct hp_told *a)
{
	if (is_row(a))
		((uint64_t *)a->record)[0]--;
}

static void odd_register(struct reader_answer *h, struct hp_told *a)
{
	if (is_row(a))
		((uint32_t *)a->record)[4] = 99;
}

/* vaddr, offset, size */
static void behind_the_end(struct reader_answer *h, struct hp_told *a)
{
	((uint64_t *)a->record)[1] = 1ull << 40;
}

static void beyond_the_end(struct reader_answer *h, struct hp_told *a)
{
	((uint64_t *)a->record)[2] = ~0ull;
}

/* Relocations: where, addend, value, size, type, name, version, …; 48 bytes. */
static uint8_t *relocation(struct hp_told *a, uint32_t type)
{
	for (size_t i = 0; i < a->n; i++) {
		uint8_t *rel = (uint8_t *)a->record + 48 * i;

		if (*(uint32_t *)(rel + 32) == type)
			return rel;
	}
	_exit(4);
}

static void far_referent(struct reader_answer *h, struct hp_told *a)
{
	*(uint32_t *)(relocation(a, R_X86_64_JUMP_SLOT) + 36) = (uint32_t)a->n_text + 1;
}

static void writes_elsewhere(struct reader_answer *h, struct hp_told *a)
{
	*(uint64_t *)relocation(a, R_X86_64_JUMP_SLOT) = 1ull << 40;
}

static void writes_code(struct reader_answer *h, struct hp_told *a)
{
	*(uint64_t *)relocation(a, R_X86_64_JUMP_SLOT) = 0x1000;
}

static void resolver_elsewhere(struct reader_answer *h, struct hp_told *a)
{
	*(uint64_t *)(relocation(a, R_X86_64_IRELATIVE) + 8) = 1ull << 40;
}

/* Definitions: name, image, value, size, info, other. */
static void definition_elsewhere(struct reader_answer *h, struct hp_told *a)
{
	((uint64_t *)a->record)[2] = 1ull << 40;
}

static void of_no_name(struct reader_answer *h, struct hp_told *a)
{
	((uint64_t *)a->record)[6] = 2;
}

static void of_the_same_name(struct reader_answer *h, struct hp_told *a)
{
	((uint64_t *)a->record)[6] = 0;
}

static void in_no_image(struct reader_answer *h, struct hp_told *a)
{
	((uint64_t *)a->record)[1] = 1;
}

static void name_without_end(struct reader_answer *h, struct hp_told *a)
{
	memset(a->record, 'x', sizeof(struct hp_inlined));
}

static const struct lie {
	const char *name;
	tamper_fn tamper;
	int (*ask)(struct hp_image *im, struct hp_err *err);
	int code;
	const char *says;
} lies[] = {
	{"sequence", another_seq, ask_symbols, HP_E_READER, "answer 2 to question 1"},
	{"state", another_state, ask_symbols, HP_E_READER, "a state of 1"},
	{"code", a_partial_unload, ask_symbols, HP_E_READER, "a refusal with the code"},
	{"escapes", escapes, ask_symbols, HP_E_BAD_ELF, "?[2Jhello?"},
	{"count", many_records, ask_symbols, HP_E_READER, "1152921504606846976 records"},
	{"length", much_text, ask_symbols, HP_E_READER, "bytes of text"},
	{"less comes", more_than_comes, ask_symbols, HP_E_READER, "said nothing"},
	{"text's end", no_end_of_text, ask_symbols, HP_E_READER, "text without an end"},
	{"crash", crash, ask_symbols, HP_E_READER, "killed by signal 11"},
	{"exit", leave, ask_symbols, HP_E_READER, "ended (status 3) over its symbols"},
	{"hang", hang, ask_symbols, HP_E_READER, "said nothing of its symbols"},
	{"name", far_name, ask_symbols, HP_E_READER, "symbol 2 has no name"},
	{"no name", no_name, ask_symbols, HP_E_READER, "symbol 2 has no name"},
	{"version", far_version, ask_symbols, HP_E_READER, "symbol 2 has no name"},
	{"type", odd_type, ask_symbols, HP_E_READER, "symbol 2 is of no kind"},
	{"size", code_elsewhere, ask_symbols, HP_E_READER, "is a function outside the code"},
	{"order", out_of_order, ask_symbols, HP_E_READER, "before the one before it"},
	{"empty range", empty_range, ask_cfi, HP_E_READER, "entry 1 is no range"},
	{"order of ranges", ranges_back, ask_cfi, HP_E_READER, "entry 1 is no range, or not"},
	{"row outside", row_outside, ask_rows, HP_E_READER, "row 0 of the function"},
	{"row before", row_before, ask_rows, HP_E_READER, "row 0 of the function"},
	{"register", odd_register, ask_rows, HP_E_READER, "row 0 of the function"},
	{"offset", behind_the_end, ask_section, HP_E_READER, ".text lies outside the file"},
	{"section's size", beyond_the_end, ask_section, HP_E_READER, "lies outside the file"},
	{"reference", far_referent, ask_relocations, HP_E_READER, "has no name"},
	{"place", writes_elsewhere, ask_relocations, HP_E_BAD_ELF, "lies in no segment"},
	{"code", writes_code, ask_relocations, HP_E_TEXTREL, "changes code or constants"},
	{"resolver", resolver_elsewhere, ask_relocations, HP_E_BAD_ELF, "outside its code"},
	{"definition", definition_elsewhere, ask_definition, HP_E_READER, "f has no place"},
	{"no name", of_no_name, ask_definition, HP_E_READER, "record 1 is of no name"},
	{"the same name", of_the_same_name, ask_definition, HP_E_READER, "record 1 is of no name"},
	{"no image", in_no_image, ask_definition, HP_E_READER, "record 0 is of no name"},
	{"inlined", name_without_end, ask_inlined, HP_E_READER, "a name without an end"},
};

static void finds_lies_out(void **state)
{
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct hp_image *im = open_file("lib.so");
		struct hp_reader *r = changed_reader(im, lies[i].tamper);
		struct hp_err err = {.text = ""}, again = {.text = ""};
		int k;

		if (strstr(lies[i].says, "said nothing"))
			r->silence_ns = 300 * HP_MS;
		k = lies[i].ask(im, &err);
		if (k != -lies[i].code || !strstr(err.text, lies[i].says))
			fail_msg("%s: %d, \"%s\"", lies[i].name, k, err.text);
		/* Who lied or died once is not asked again. */
		if (k == -HP_E_READER) {
			assert_int_equal(hp_reader_pid(r), 0);
			assert_int_equal(ask_symbols(im, &again), -HP_E_READER);
			assert_string_equal(again.text, err.text);
		}
		hp_image_free(im);
		hp_reader_free(r);
	}
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

/* --- of build-ids ------------------------------------------------------------------------------- */

/* Of a separate debug file: its length, then 64 bytes. */
static void put_id(struct reader_answer *h, void *record, uint64_t len)
{
	uint64_t *told = record;

	told[9 * h->n++] = len;
}

static void long_id(unsigned turn, struct reader_answer *h, void *record)
{
	put_id(h, record, HP_BUILD_ID_MAX + 1);
}

static void endless_id(unsigned turn, struct reader_answer *h, void *record)
{
	put_id(h, record, ~0ull);
}

static void no_answer(unsigned turn, struct reader_answer *h, void *record)
{
}

static void two_ids(unsigned turn, struct reader_answer *h, void *record)
{
	put_id(h, record, 20);
	put_id(h, record, 20);
}

static void no_id(unsigned turn, struct reader_answer *h, void *record)
{
	put_id(h, record, 0);
}

static void another_id(unsigned turn, struct reader_answer *h, void *record)
{
	put_id(h, record, 20);
}

static const struct {
	const char *name;
	liar_fn say;
	int code;
	const char *says;
} ids[] = {
	{"long", long_id, HP_E_READER, "its length"},
	{"endless", endless_id, HP_E_READER, "its length"},
	{"none", no_answer, HP_E_READER, "its length"},
	{"two", two_ids, HP_E_READER, "2 records"},
	{"empty", no_id, HP_E_BUILD_ID, "its build-id is , and not"},
	{"another", another_id, HP_E_BUILD_ID, "its build-id is 0000000000000000000000000000000000000000,"},
};

static void finds_lies_about_a_build_id_out(void **state)
{
	char hex[2 * HP_BUILD_ID_MAX + 1], *place = NULL;
	struct hp_image *im = open_file("lib.so"), *debug;
	struct hp_err err;
	bool made;

	hp_image_build_id_hex(im, hex);
	assert_true(asprintf(&place, "/usr/lib/debug/.build-id/%.2s", hex) > 0);
	run("mkdir -p /usr/lib/debug/.build-id");
	made = mkdir(place, 0755) == 0;
	run("objcopy --only-keep-debug lib.so %s/%s.debug", place, hex + 2);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct hp_reader *r = new_reader(im);
		int k;

		liar_put(r, 1, ids[i].say);
		k = hp_debug_file_open(&debug, im, &err);
		if (k != -ids[i].code || debug || !strstr(err.text, ids[i].says))
			fail_msg("%s: %d, \"%s\"", ids[i].name, k, err.text);
		im->reader = NULL;
		hp_reader_free(r);
	}
	run("rm %s/%s.debug", place, hex + 2);
	if (made)
		assert_int_equal(rmdir(place), 0);
	free(place);
	hp_image_free(im);
}

/* --- it can do nothing -------------------------------------------------------------------------- */

struct act {
	const char *name;
	void (*act)(void);
};

static void do_open(void)
{
	syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static void do_socket(void)
{
	syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void do_connect(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET};

	syscall(SYS_connect, 3, &to, sizeof(to));
}

static void do_ptrace(void)
{
	syscall(SYS_ptrace, PTRACE_ATTACH, getppid(), 0, 0);
}

static void do_execve(void)
{
	char *argv[] = {"/bin/true", NULL};

	syscall(SYS_execve, argv[0], argv, NULL);
}

static void do_fork(void)
{
	syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void do_kill(void)
{
	syscall(SYS_kill, getppid(), 0);
}

static void do_read_another(void)
{
	syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}

static void do_ioctl(void)
{
	syscall(SYS_ioctl, 0, 0, 0);
}

static void do_io_uring(void)
{
	syscall(SYS_io_uring_setup, 1, NULL);
}

static void do_map_code(void)
{
	syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void do_mprotect(void)
{
	syscall(SYS_mprotect, (uintptr_t)do_mprotect & ~4095ul, 4096, PROT_READ | PROT_EXEC);
}

static const struct act acts[] = {
	{"openat", do_open},	   {"socket", do_socket},	  {"connect", do_connect},
	{"ptrace", do_ptrace},	   {"execve", do_execve},	  {"clone", do_fork},
	{"kill", do_kill},	   {"process_vm_readv", do_read_another},
	{"ioctl", do_ioctl},	   {"io_uring_setup", do_io_uring}, {"mmap of code", do_map_code},
	{"mprotect", do_mprotect},
};

static int answer_by_act(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	const struct act *a = q->arg;

	a->act();
	return 0;
}

static const struct hp_verb act_verb = {.what = "acts", .answer = answer_by_act};

#ifdef __SANITIZE_ADDRESS__
#define FILTERED 0
#elif defined(__has_feature)
#define FILTERED !__has_feature(address_sanitizer)
#else
#define FILTERED 1
#endif

static void is_killed_for_it(void **state)
{
	for (size_t i = 0; FILTERED && i < sizeof(acts) / sizeof(acts[0]); i++) {
		const struct hp_question q = {.verb = &act_verb, .arg = &acts[i]};
		struct hp_err err = {.text = ""};
		struct hp_told a;
		struct hp_reader *r;

		assert_int_equal(hp_reader_new(&r, "x", NULL), 0);
		if (hp_reader_ask(r, &q, &a, &err) != -HP_E_READER ||
		    !strstr(err.text, "killed by signal 31"))
			fail_msg("%s: %s", acts[i].name, err.text);
		hp_reader_free(r);
	}
}

static void field_of(pid_t pid, const char *name, char *buf, size_t n)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	*buf = 0;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			snprintf(buf, n, "%.*s", (int)strcspn(line, "\n"), line);
	fclose(f);
}

static int answer_nothing(const struct hp_question *q, struct hp_reply *reply, struct hp_err *err)
{
	return 0;
}

static const struct hp_verb nothing_verb = {.what = "nothing", .answer = answer_nothing};

static void has_nothing(void **state)
{
	const struct hp_question q = {.verb = &nothing_verb};
	char text[256], entry[256];
	struct hp_reader *r;
	struct hp_told a;
	pid_t pid;

	assert_int_equal(hp_reader_new(&r, "x", NULL), 0);
	assert_int_equal(hp_reader_ask(r, &q, &a, NULL), 0);
	hp_told_free(&a);
	pid = hp_reader_pid(r);
	field_of(pid, "CapEff", text, sizeof(text));
	assert_contains(text, "0000000000000000");
	field_of(pid, "CapPrm", text, sizeof(text));
	assert_contains(text, "0000000000000000");
	field_of(pid, "NoNewPrivs", text, sizeof(text));
	assert_contains(text, "1");
	if (FILTERED) {
		field_of(pid, "Seccomp:", text, sizeof(text));
		assert_contains(text, "2");
	}
	field_of(pid, "Uid", text, sizeof(text));
	assert_contains(text, "65531\t65531\t65531\t65531");
	snprintf(entry, sizeof(entry), "ls -A /proc/%d/root/ | wc -l | grep -qx 0", (int)pid);
	assert_int_equal(system(entry), 0);
	snprintf(entry, sizeof(entry), "ls /proc/%d/fd | wc -l | grep -qx 1", (int)pid);
	assert_int_equal(system(entry), 0);
	hp_reader_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_parsing_here),
		cmocka_unit_test(agrees_on_relocations_and_imports),
		cmocka_unit_test(asks_for_many_at_once),
		cmocka_unit_test(agrees_on_copies),
		cmocka_unit_test(refuses_in_the_same_words),
		cmocka_unit_test(finds_lies_out),
		cmocka_unit_test(works_ahead),
		cmocka_unit_test(begins_when_it_must),
		cmocka_unit_test(finds_lies_about_a_build_id_out),
		cmocka_unit_test(is_killed_for_it),
		cmocka_unit_test(has_nothing),
	};

	return cmocka_run_group_tests(tests, setup, remove_dir);
}
