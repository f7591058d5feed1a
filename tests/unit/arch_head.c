/* SPDX-License-Identifier: MIT */
/*
 * Heads are moved and executed: whatever the original leaves in registers, flags and memory, the
 * moved head followed by the rest of the original must leave as well.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "arch/block.h"
#include "arch/code.h"
#include "arch_regs.h"
#include "elf/image.h"
#include "hp/err.h"

uint64_t call_target, flags_in, flags_out, memory[4], fn_pointer;
void regs_call(void);
void get_ret(void);
extern char __ehdr_start[];

/* Functions under test: X(name, assembler text). rdi points to get_ret's address, rcx to it. */
#define HEADS(X)                                                                                   \
	X(rip_load, "mov memory(%rip),%rax; ret")                                                  \
	X(rip_store, "mov %edi,memory+4(%rip); mov memory(%rip),%rax; ret")                        \
	X(rip_store_imm, "movl $0x12345678,memory(%rip); ret")                                     \
	X(rip_store_imm8, "movb $0x77,memory+3(%rip); ret")                                        \
	X(rip_compare, "cmpb $7,memory(%rip); sete %al; ret")                                      \
	X(rip_shift, "shll $3,memory+8(%rip); ret")                                                \
	X(rip_lea, "lea memory+16(%rip),%rsi; ret")                                                \
	X(rip_sse, "movups memory(%rip),%xmm3; ret")                                               \
	X(rip_imul, "imul $0x1234567,memory(%rip),%eax; ret")                                      \
	X(rip_jmp, "jmp *fn_pointer(%rip)")                                                        \
	X(rip_call, "call *fn_pointer(%rip); inc %rax; ret")                                       \
	X(self_lea, "lea h_self_lea(%rip),%rdx; ret")                                              \
	X(short_jmp, "jmp 1f; ud2; nop; nop; 1: mov $5,%eax; ret")                                 \
	X(near_jmp, "jmp near_target")                                                             \
	X(short_je, "je 1f; mov $1,%edx; ret; 1: mov $2,%edx; ret")                                \
	X(short_jne, "jne 1f; mov $1,%edx; ret; 1: mov $2,%edx; ret")                              \
	X(short_jg, "jg 1f; mov $1,%edx; ret; 1: mov $2,%edx; ret")                                \
	X(short_jb, "jb 1f; mov $1,%edx; ret; 1: mov $2,%edx; ret")                                \
	X(short_jp, "jp 1f; mov $1,%edx; ret; 1: mov $2,%edx; ret")                                \
	X(near_je, ".byte 0x0f,0x84; .long near_target-.-4; ret")                                  \
	X(hint_jne, ".byte 0x2e; jne 1f; mov $1,%edx; ret; 1: mov $2,%edx; ret")                   \
	X(two_jcc, "jo 1f; je 1f; jne 1f; mov $1,%edx; ret; 1: mov $2,%edx; ret")                  \
	X(test_je, "test %edi,%edi; je 1f; mov $9,%eax; ret; 1: xor %eax,%eax; ret")               \
	X(call_first, "call get_ret; inc %rax; ret")                                               \
	X(call_reg, "call *%rcx; inc %rax; ret")                                                   \
	X(call_mem, "call *(%rdi); inc %rax; ret")                                                 \
	X(call_index, "call *0x40(%rdi,%r9,8); inc %rax; ret")                                     \
	X(r10_call, "mov %rcx,%r10; call *%r10; dec %rax; ret")                                    \
	X(call_next, "call 1f; 1: pop %rax; ret")                                                  \
	X(endbr, "endbr64; mov %rdi,%rax; ret")                                                    \
	X(push, "push %rbx; mov %rdi,%rbx; mov %rbx,%rax; pop %rbx; ret")                          \
	X(push_r12, "push %r12; push %rbp; mov (%rsp),%rax; pop %rbp; pop %r12; ret")              \
	X(sub_rsp, "sub $0x1000,%rsp; mov %rsp,%rax; add $0x1000,%rsp; ret")                       \
	X(movabs, "movabs $0x1122334455667788,%rax; ret")                                          \
	X(long_insn, "xor %eax,%eax; cld; cld; movq $0x11223344,-0x48(%rsp,%r8,1); ret") \
	X(nop5, ".byte 0x0f,0x1f,0x44,0,0; mov $3,%eax; ret")                                      \
	X(ret_first, "ret")                                                                        \
	X(xor_ret, "xor %eax,%eax; ret")                                                           \
	X(fs_load, "mov %fs:0,%rax; ret")                                                          \
	X(vex, "vpxor %xmm1,%xmm2,%xmm3; ret")

/* Heads that stay where they are: X(name, assembler text, what the refusal says of first_len, of
 * jump_len; NULL: it is movable). */
#define FIXED(X)                                                                                   \
	X(jrcxz, "jrcxz 1f; mov $1,%eax; 1: ret", "elsewhere", "elsewhere")                        \
	X(jecxz, "jecxz 1f; mov $1,%eax; 1: ret", "elsewhere", "elsewhere")                        \
	X(loop, "loop 1f; mov $1,%eax; 1: ret", "elsewhere", "elsewhere")                          \
	X(xbegin, "xbegin 1f; xend; 1: ret", "elsewhere", "elsewhere")                             \
	X(to_itself, "1: jmp 1b; mov $1,%eax", "back into", "back into")                           \
	X(to_second, "jmp 1f; 1: mov $1,%eax; ret", NULL, "back into")                             \
	X(back_in_head, "1: xor %eax,%eax; jne 1b; inc %eax; ret", NULL, "back into")              \
	X(call_middle, "push %rax; call *%rcx; pop %rdx; ret", NULL, "overwritten")                \
	X(call_stack, "call *8(%rsp); ret; nop; nop", "is a call that", "is a call that")          \
	X(call_rsp, "call *%rsp; nop; nop; nop; ret", "is a call that", "overwritten")             \
	X(call_esp, "call *8(%esp); ret; nop; nop", "is a call that", "is a call that")            \
	X(call_two_bytes, ".byte 0x66; call *%rcx; nop; nop; ret", "is a call that", "overwritten") \
	X(call_far, "lcall *(%rdi); nop; nop; nop; ret", "is a call that", "overwritten")          \
	X(eip_load, "mov memory(%eip),%rax; ret", "cannot be moved", "cannot be moved")

/* Heads for hp_head_read alone. */
#define ODD(X)                                                                                     \
	X(bad, ".byte 0x06; ret; nop; nop; nop; nop")                                              \
	X(breakpoint, "int3; ret; nop; nop; nop; nop")                                             \
	X(bad_second, "push %rax; .byte 0x06; nop; nop; nop; nop")                                 \
	X(tiny, "ret; 1: mov $1,%eax; ret; jmp 1b")                                                \
	X(padded, "ret; int3; int3; nopw 0(%rax,%rax,1)")

#define DEFINE(name, text, ...)                                                                    \
	".globl h_" #name "\n.type h_" #name ",@function\n.p2align 4\nh_" #name ": " text "\n"
__asm__(".text\n" HEADS(DEFINE) FIXED(DEFINE) ODD(DEFINE)
	".globl regs_call, get_ret\n"
	"near_target: lea 7(%rdi),%rax; ret\n"
	"get_ret: mov (%rsp),%rax; ret\n"
	/* r8 to r15, rbx, rbp keep what they have: the caller pushed its own */
	"regs_call:\n" REGS_PUSH "sub $8,%rsp\n" REGS_LOAD(regs_in)
	"push flags_in(%rip)\npopfq\n"
	"call *call_target(%rip)\n"
	"pushfq\npop flags_out(%rip)\n" REGS_STORE(regs_out)
	"mov %rsp,regs_out+8*4(%rip)\n"
	"add $8,%rsp\n" REGS_POP "ret\n");

#define DECLARE(name, ...) void h_##name(void);
HEADS(DECLARE) FIXED(DECLARE) ODD(DECLARE)

struct head_case {
	const char *name;
	void (*fn)(void);
	const char *no_first, *no_jump;
};
#define MOVABLE(name, text)			{#name, h_##name, NULL, NULL},
#define IMMOVABLE(name, text, no_first, no_jump) {#name, h_##name, no_first, no_jump},
static const struct head_case movable[] = {HEADS(MOVABLE)};
static const struct head_case fixed[] = {FIXED(IMMOVABLE)};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct hp_image *self;
static hp_addr bias;

static hp_addr addr(void (*fn)(void))
{
	return (hp_addr)(uintptr_t)fn;
}

static int setup(void **state)
{
	size_t i;

	if (hp_image_open(&self, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "self", NULL))
		return -1;
	for (i = 0; i < self->n_phdrs; i++)
		if (self->phdr[i].p_type == PT_LOAD && self->phdr[i].p_offset == 0)
			bias = (hp_addr)(uintptr_t)__ehdr_start - self->phdr[i].p_vaddr;
	fn_pointer = addr(get_ret);
	return 0;
}

static int teardown(void **state)
{
	hp_image_free(self);
	return 0;
}

/* A page within reach of this program. */
static uint8_t *near_page(void)
{
	hp_addr hint = HP_PAGE_DOWN((hp_addr)(uintptr_t)__ehdr_start);
	int k;

	for (k = 1; k < 64; k++) {
		void *want = (void *)(uintptr_t)(hint - (hp_addr)k * 0x1000000), *p;

		p = mmap(want, HP_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (p == want)
			return p;
	}
	fail_msg("no page near 0x%lx", (unsigned long)hint);
	return NULL;
}

static struct hp_head read_head(const struct head_case *c)
{
	struct hp_err e = {0};
	struct hp_head h;

	if (hp_head_read(&h, self, c->name, addr(c->fn) - bias, 0, &e))
		fail_msg("%s: %s", c->name, e.text);
	assert_int_equal(h.at, addr(c->fn) - bias);
	assert_memory_equal(h.bytes, (void *)(uintptr_t)addr(c->fn), h.first_len);
	h.at += bias;
	return h;
}

struct outcome {
	struct regs regs;
	uint64_t flags, memory[4];
};

static struct outcome run(hp_addr target, uint64_t flags)
{
	/* the six arithmetic flags */
	const uint64_t mask = 0x8d5;
	struct outcome o;
	static const uint64_t initial[4] = {0x1122334455667707, 0x99aabbccddeeff00, 3, 4};

	memcpy(memory, initial, sizeof(memory));
	regs_fill();
	regs_in.gpr[1] = addr(get_ret);
	regs_in.gpr[7] = (uintptr_t)&fn_pointer;
	regs_in.gpr[9] = -8ll;
	regs_in.gpr[8] = 0;
	flags_in = flags | 0x202;
	call_target = target;
	memset(&regs_out, 0, sizeof(regs_out));
	regs_call();
	o.regs = regs_out;
	o.flags = flags_out & mask;
	memcpy(o.memory, memory, sizeof(memory));
	return o;
}

static void compare(const struct head_case *c, const struct hp_head *h, size_t len, uint8_t *page)
{
	static const uint64_t flags[] = {0, 0x40, 0x1, 0x80, 0x800, 0x4, 0x8c5};
	struct hp_err e = {0};
	uint8_t out[HP_MOVED_MAX];
	size_t n = 0, k;

	if (hp_head_move(h, len, (hp_addr)(uintptr_t)page, out, &n, &e))
		fail_msg("%s, %zu bytes: %s", c->name, len, e.text);
	assert_true(n >= len && n <= HP_MOVED_MAX);
	memset(page, 0xcc, HP_PAGE);
	memcpy(page, out, n);
	for (k = 0; k < COUNT(flags); k++) {
		struct outcome a = run(addr(c->fn), flags[k]);
		struct outcome b = run((hp_addr)(uintptr_t)page, flags[k]);

		if (memcmp(&a, &b, sizeof(a)))
			fail_msg("%s, %zu bytes moved, flags %lx: another outcome", c->name, len,
				 (unsigned long)flags[k]);
	}
}

static void moved_heads_do_the_same(void **state)
{
	uint8_t *page = near_page();
	size_t i, by_jump = 0;

	for (i = 0; i < COUNT(movable); i++) {
		struct hp_head h = read_head(&movable[i]);

		compare(&movable[i], &h, h.first_len, page);
		/* a short call and what follows it: the next list */
		if (strncmp(movable[i].name, "call_", 5) == 0 && h.first_len < HP_JUMP_LEN)
			continue;
		assert_true(h.jump_len >= HP_JUMP_LEN && h.jump_len >= h.first_len);
		compare(&movable[i], &h, h.jump_len, page);
		by_jump++;
	}
	print_message("%zu heads moved by the first instruction, %zu by whole jumps\n", i, by_jump);
	assert_true(by_jump > COUNT(movable) * 3 / 4);
	assert_int_equal(munmap(page, HP_PAGE), 0);
}

/* The whole way: a real jump over the entry, with the moved head behind it. */
static void patched_function_still_works(void **state)
{
	uint8_t *code = near_page(), *moved = near_page(), out[HP_MOVED_MAX];
	static const uint8_t body[] = {0x55, 0x48, 0x89, 0xe5, 0x89, 0xf8, 0xff, 0xc0, 0x5d, 0xc3};
	int (*fn)(int) = (int (*)(int))(uintptr_t)code;
	struct hp_head h = {.at = (hp_addr)(uintptr_t)code, .jump_len = 6};
	size_t n;

	memcpy(h.bytes, body, sizeof(body));
	memcpy(code, body, sizeof(body));
	assert_int_equal(fn(41), 42);
	assert_int_equal(hp_head_move(&h, h.jump_len, (hp_addr)(uintptr_t)moved, out, &n, NULL), 0);
	memcpy(moved, out, n);
	assert_int_equal(hp_jump_fill(code, h.at, (hp_addr)(uintptr_t)moved), 0);
	assert_int_equal(fn(41), 42);
	assert_int_equal(munmap(code, HP_PAGE), 0);
	assert_int_equal(munmap(moved, HP_PAGE), 0);
}

static void check_refusal(const struct head_case *c, const struct hp_head *h, size_t len,
			  const char *why)
{
	hp_addr to = h->at + 0x100000;
	struct hp_err e = {0};
	uint8_t out[HP_MOVED_MAX];
	size_t n = 4711;
	int r = hp_head_move(h, len, to, out, &n, &e);

	if (!why) {
		assert_int_equal(r, 0);
		return;
	}
	if (r != -HP_E_ENTRY || !strstr(e.text, why))
		fail_msg("%s, %zu bytes: %d, '%s' does not say '%s'", c->name, len, r, e.text, why);
	assert_int_equal(n, 4711);
	assert_int_equal(hp_head_moved_back(h, len, to, 0), len);
}

static void immovable_heads_are_refused_by_name(void **state)
{
	size_t i;

	for (i = 0; i < COUNT(fixed); i++) {
		struct hp_head h = read_head(&fixed[i]);

		assert_true(h.jump_len > 0);
		check_refusal(&fixed[i], &h, h.first_len, fixed[i].no_first);
		check_refusal(&fixed[i], &h, h.jump_len, fixed[i].no_jump);
	}
}

static void operands_out_of_reach_are_refused(void **state)
{
	struct head_case c = {"rip_load", h_rip_load, NULL, NULL};
	struct hp_head h = read_head(&c);
	uint8_t out[HP_MOVED_MAX];
	struct hp_err e = {0};
	size_t n;

	assert_int_equal(hp_head_move(&h, h.first_len, h.at + 0x40000000, out, &n, &e), 0);
	assert_int_equal(hp_head_move(&h, h.first_len, h.at + 0xc0000000, out, &n, &e),
			 -HP_E_ENTRY);
	assert_non_null(strstr(e.text, "out of reach"));
	/* a place in it is found again without its address */
	assert_int_equal(hp_head_moved_back(&h, h.first_len, 0x7fff00000000, 0), 0);
	assert_int_equal(hp_head_moved_back(&h, h.first_len, 0x7fff00000000, h.first_len),
			 h.first_len);
	/* what has no such operand runs anywhere */
	c = (struct head_case){"short_je", h_short_je, NULL, NULL};
	h = read_head(&c);
	assert_int_equal(hp_head_move(&h, h.first_len, 0x10000, out, &n, &e), 0);
}

static void odd_heads_are_read_for_what_they_are(void **state)
{
	struct hp_err e = {0};
	struct hp_head h;
	int32_t rel;

	assert_int_equal(hp_head_read(&h, self, "bad", addr(h_bad) - bias, 6, &e), -HP_E_ENTRY);
	assert_non_null(strstr(e.text, "function bad"));
	assert_int_equal(hp_head_read(&h, self, "bp", addr(h_breakpoint) - bias, 6, &e),
			 -HP_E_ENTRY);
	assert_non_null(strstr(e.text, "breakpoint"));
	assert_int_equal(hp_head_read(&h, self, "x", 0x7fffffff0000, 6, &e), -HP_E_ENTRY);
	assert_int_equal(hp_head_read(&h, self, "ra", addr(h_rip_load) - bias, 3, &e), -HP_E_ENTRY);

	assert_int_equal(hp_head_read(&h, self, "bad2", addr(h_bad_second) - bias, 6, &e), 0);
	assert_int_equal(h.first_len, 1);
	assert_int_equal(h.jump_len, 0);
	/* one byte long: what follows belongs to somebody else */
	assert_int_equal(hp_head_read(&h, self, "tiny", addr(h_tiny) - bias, 1, &e), 0);
	assert_int_equal(h.jump_len, 0);
	memcpy(&rel, (char *)(uintptr_t)addr(h_tiny) + 1, 4);
	assert_int_equal(h.pun, addr(h_tiny) - bias + 5 + (uint64_t)(int64_t)rel);
	assert_int_equal(hp_head_read(&h, self, "tiny", addr(h_tiny) - bias, 0, &e), 0);
	assert_int_equal(h.jump_len, 6);
	assert_int_equal(hp_head_read(&h, self, "padded", addr(h_padded) - bias, 1, &e), 0);
	assert_int_equal(h.first_len, 1);
	assert_int_equal(h.jump_len, 8);
	assert_false(h.first_is_nop5);
	assert_int_equal(hp_head_read(&h, self, "nop5", addr(h_nop5) - bias, 11, &e), 0);
	assert_true(h.first_is_nop5);
	assert_int_equal(hp_head_read(&h, self, "jmp", addr(h_near_jmp) - bias, 0, &e), 0);
}

/* push %rbp; mov %rsp,%rbp; je +0x10 */
static void places_in_moved_code_are_found_again(void **state)
{
	struct hp_head h = {.at = 0x401000, .bytes = {0x55, 0x48, 0x89, 0xe5, 0x74, 0x10, 0x90}};
	struct hp_head call = {.at = 0x401000, .bytes = {0x55, 0xe8, 1, 2, 3, 4, 0x90}};
	uint8_t out[HP_MOVED_MAX];
	size_t n, k;

	assert_int_equal(hp_head_move(&h, 6, 0x500000, out, &n, NULL), 0);
	assert_int_equal(n, 1 + 3 + 16 + 14);
	assert_int_equal(hp_head_moved_back(&h, 6, 0x500000, 0), 0);
	assert_int_equal(hp_head_moved_back(&h, 6, 0x500000, 1), 1);
	assert_int_equal(hp_head_moved_back(&h, 6, 0x500000, 4), 4);
	assert_int_equal(hp_head_moved_back(&h, 6, 0x500000, 6), 4);
	assert_int_equal(hp_head_moved_back(&h, 6, 0x500000, 20), 6);

	assert_int_equal(hp_head_move(&call, 6, 0x500000, out, &n, NULL), 0);
	for (k = 0; k < n; k++)
		assert_int_equal(hp_head_moved_in_call(&call, 6, 0x500000, k), k >= 7 && k < 29);
	assert_int_equal(hp_head_moved_back(&call, 6, 0x500000, 7), 1);
	assert_int_equal(hp_head_moved_back(&call, 6, 0x500000, 29), 6);
}

static void realignment_is_seen(void **state)
{
	static const char *const fn[] = {"realigned", "plain"};
	static const uint8_t code[2][16] = {
		{0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xe4, 0xf0, 0xc3},
		{0x55, 0x48, 0x89, 0xe5, 0xc3, 0x48, 0x83, 0xe4, 0xf0},
	};
	unsigned k;

	for (k = 0; k < 2; k++) {
		struct hp_image im = {
			.name = (char *)fn[k], .bytes = code[k], .size = 16, .n_phdrs = 1};

		im.phdr[0] = (Elf64_Phdr){.p_type = PT_LOAD,
					  .p_flags = PF_R | PF_X,
					  .p_vaddr = 0x1000,
					  .p_filesz = 16,
					  .p_memsz = 16};
		assert_int_equal(hp_code_realigns(&im, 0x1000, 9), k == 0);
		assert_int_equal(hp_code_realigns(&im, 0x1000, 0), k == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moved_heads_do_the_same),
		cmocka_unit_test(patched_function_still_works),
		cmocka_unit_test(immovable_heads_are_refused_by_name),
		cmocka_unit_test(operands_out_of_reach_are_refused),
		cmocka_unit_test(odd_heads_are_read_for_what_they_are),
		cmocka_unit_test(places_in_moved_code_are_found_again),
		cmocka_unit_test(realignment_is_seen),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
