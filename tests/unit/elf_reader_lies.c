/* SPDX-License-Identifier: MIT */
/*
 * What a reader cannot say is found out.  The lying readers are real ones whose answers are changed on
 * their way, or ones that answer everything so.
 */
#include "elf_reader_rig.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "reader_liar.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_lies_out),
		cmocka_unit_test(finds_lies_about_a_build_id_out),
	};

	return cmocka_run_group_tests(tests, setup, remove_dir);
}
