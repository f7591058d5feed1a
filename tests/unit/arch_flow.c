/* SPDX-License-Identifier: MIT */
/* Functions with every kind of way out, in this very program, read through /proc/self/exe. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/code.h"
#include "elf/cfi.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "hp/err.h"

#define FN(name, text)                                                                             \
	".p2align 4\n.type " name ",@function\n" name ":\n.cfi_startproc\n" text                   \
	"\n.cfi_endproc\n.size " name ",.-" name "\n"
/* Code with an FDE and without a symbol; @row: what its first row says. */
#define NAMELESS(name, row, text)                                                                  \
	".p2align 4\n" name ":\n.cfi_startproc\n" row "\n" text "\n.cfi_endproc\n"
#define PUSH "push %rbx\n.cfi_adjust_cfa_offset 8\n"
#define POP  "pop %rbx\n.cfi_adjust_cfa_offset -8\n"

/* "x_NAME_N" are labels of what the tests ask for. */
__asm__(".text\n"
	FN("f_other", "nop; nop; nop; nop; nop; nop; ret")
	FN("f_ret", "test %edi,%edi; je 1f; x_ret_0: ret; 1: xor %eax,%eax; x_ret_1: ret $8")
	FN("f_tail", PUSH "call f_other\n" POP "x_tail_0: jmp f_other")
	FN("f_self", PUSH "call f_other\n" POP "x_self_0: jmp f_self")
	FN("f_spin", "lock decl (%rdi); jne 1f; xor %eax,%eax; x_spin_0: ret; 1: pause\n"
		     "cmpl $0,(%rdi); jle 1b; jmp f_spin")
	FN("f_loop", "dec %rdi; jne f_loop; x_loop_0: ret")
	FN("f_frame_loop", PUSH "jmp f_frame_loop\n" POP "ret")
	FN("f_head", "xor %eax,%eax; 1: inc %eax; nop; nop; dec %edi; jne 1b; ret")
	FN("f_cond", "test %edi,%edi; x_cond_u: jne f_other; ret")
	FN("f_leaf_ind", "mov (%rdi),%rax; ror $17,%rax; x_leaf_ind_u: jmp *%rax")
	FN("f_leaf_mem", "x_leaf_mem_0: jmp *8(%rdi)")
	FN("f_aside", "mov -8(%rsp),%rax; mov %rax,%rcx; x_aside_u: jmp *%rcx")
	FN("f_called", "call f_other; x_called_u: jmp *%rax")
	FN("f_mixed", "lea f_pointer(%rip),%rdx; mov (%rdi),%rax; test %esi,%esi; jne 1f\n"
		      "movslq (%rdx),%rax; add %rdx,%rax; 1: x_mixed_u: jmp *%rax")
	FN("f_label", "lea 1f(%rip),%rax; mov %rax,(%rdi); mov 8(%rdi),%rax\n"
		      "x_label_u: jmp *%rax; 1: x_label_0: ret")
	FN("f_word", "x_word_u: jmp *8(%rdi); x_word_in: ret")
	FN("f_chosen", "mov (%rdi),%rax; test %edx,%edx; cmove %rsi,%rax; x_chosen_0: jmp *%rax")
	FN("f_nowhere", "jmp *(%rdi); x_nowhere_u: jmp *%rdi")
	FN("f_got", "x_got_0: jmp *f_pointer(%rip)")
	FN("f_notrack", "mov f_pointer(%rip),%rax; notrack jmp *%rax; x_notrack_0: ret")
	FN("f_table", "lea f_pointer(%rip),%rdx; movslq (%rdx,%rdi,4),%rax; add %rdx,%rax\n"
		      "jmp *%rax; x_table_0: ret")
	FN("f_frame_ind", PUSH "jmp *%rax\n" POP "x_frame_ind_0: ret")
	FN("f_rbp_ind", "push %rbp\n.cfi_def_cfa_offset 16\nmov %rsp,%rbp\n"
			".cfi_def_cfa_register 6\njmp *%rax; leave\n.cfi_def_cfa 7,8\nx_rbp_ind_0: ret")
	".type f_no_cfi,@function\nf_no_cfi: push %rbx; x_no_cfi_u: jmp *%rax\n"
	"x_no_cfi_0: ret\n.size f_no_cfi,.-f_no_cfi\n"
	FN("f_cold", PUSH "test %edi,%edi; jne f_cold.cold; 1:" POP
		     "x_cold_0: ret; x_cold_back: nop")
	FN("f_cold.cold", "nop; x_cold_in: je x_cold_back; x_cold_1: ret")
	FN("f_cased", "lea f_pointer(%rip),%rdx; movslq (%rdx,%rdi,4),%rax; add %rdx,%rax\n"
		      "jmp *%rax; x_cased_0: ret")
	FN("f_cased.cold", "x_cased_1: ret")
	FN("f_cased.colder", "ret")
	FN("f_nameless", PUSH "jne n_framed\n" POP "x_nameless_0: ret")
	NAMELESS("n_framed", ".cfi_def_cfa_offset 16", "inc %eax; pop %rbx; x_nameless_1: ret\n"
						       "x_nameless_end:")
	FN("f_joined", "jne n_joined; nop; nop; nop; nop; x_joined_back: x_joined_0: ret")
	NAMELESS("n_joined", "", "inc %eax; jmp x_joined_back")
	FN("f_to_plt", "x_to_plt_0: jmp n_plt")
	NAMELESS("n_plt", ".cfi_def_cfa_offset 16", "jmp *f_pointer(%rip)")
	FN("f_to_nameless", "x_to_nameless_0: jmp n_called")
	FN("f_calls", "call n_called; ret")
	NAMELESS("n_called", "", "inc %eax; ret")
	FN("f_alone", "jne n_alone; x_alone_0: ret")
	NAMELESS("n_alone", "", "inc %eax; x_alone_1: ret")
	FN("f_switch", "cmp $2,%edi; ja 1f; lea t_switch(%rip),%rdx; movslq (%rdx,%rdi,4),%rax\n"
		       "add %rdx,%rax; jmp *%rax; x_switch_in: nop; 1: x_switch_0: ret")
	NAMELESS("n_case", "", "inc %eax; x_switch_1: ret")
	NAMELESS("n_next", "", "inc %eax; ret")
	".section .rodata\nt_switch: .long x_switch_in-t_switch, n_case-t_switch\n"
	".long x_switch_in-t_switch, n_next-t_switch\n.text\n"
	FN("f_die", PUSH "test %edi,%edi; jne 1f\n" POP "x_die_0: ret; 1: call f_other")
	FN("f_stop", "ud2")
	FN("f_bad", "nop; .byte 0x06; ret")
	FN("f_short_size", "nop; jmp 1f; nop; nop; nop\n"
			   "1: nop; x_short_size_0: ret")
	".size f_short_size,3\n"
	".data\nf_pointer: .quad f_other\n.quad x_word_in\n.text\n");

/* vaddr of a local label, as link-time difference to a known function */
#define LABEL(name)                                                                                \
	({                                                                                         \
		hp_addr a_;                                                                        \
		__asm__("lea " name "(%%rip),%0" : "=r"(a_));                                      \
		a_ - bias;                                                                         \
	})

extern char __ehdr_start[];
static struct hp_image *self;
static struct hp_symtab *st;
static struct hp_cfi *cfi;
static hp_addr bias;

static int setup(void **state)
{
	size_t i;

	if (hp_image_open(&self, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "self", NULL) ||
	    hp_symtab_load(&st, self, NULL, NULL) || hp_cfi_open(&cfi, self, NULL))
		return -1;
	for (i = 0; i < self->n_phdrs; i++)
		if (self->phdr[i].p_type == PT_LOAD && self->phdr[i].p_offset == 0)
			bias = (hp_addr)(uintptr_t)__ehdr_start - self->phdr[i].p_vaddr;
	return 0;
}

static int teardown(void **state)
{
	hp_cfi_free(cfi);
	hp_symtab_free(st);
	hp_image_free(self);
	return 0;
}

static struct hp_flow flow_of(const char *name, hp_addr at)
{
	const struct hp_sym *sym = hp_symtab_func_at(st, at);
	struct hp_err e = {0};
	struct hp_flow f;

	assert_non_null(sym);
	assert_string_equal(sym->name, name);
	if (hp_flow_read(&f, self, st, cfi, name, at, sym->size, &e))
		fail_msg("%s: %s", name, e.text);
	assert_int_equal(f.part[0].lo, at);
	return f;
}
#define FLOW(name) flow_of("f_" name, LABEL("f_" name))

static void assert_exits(struct hp_flow *f, size_t n, const hp_addr *exit)
{
	assert_int_equal(f->n_exits, n);
	if (n)
		assert_memory_equal(f->exit, exit, n * sizeof(*exit));
}
#define EXITS(f, ...)                                                                              \
	do {                                                                                       \
		const hp_addr e_[] = {__VA_ARGS__};                                                \
		assert_exits(f, sizeof(e_) / sizeof(e_[0]), e_);                                   \
	} while (0)

/* Nothing that stands in the way. */
static void assert_plain(struct hp_flow *f, size_t n_parts)
{
	assert_int_equal(f->n_parts, n_parts);
	assert_false(f->back_to_entry || f->into_head || f->exits_unknown || f->ends_in_call);
}

static void returns_and_tail_calls_are_exits(void **state)
{
	struct hp_flow f = FLOW("ret");

	EXITS(&f, LABEL("x_ret_0"), LABEL("x_ret_1"));
	assert_plain(&f, 1);
	hp_flow_free(&f);
	f = FLOW("tail");
	EXITS(&f, LABEL("x_tail_0"));
	assert_plain(&f, 1);
	hp_flow_free(&f);
	f = FLOW("self");
	EXITS(&f, LABEL("x_self_0"));
	assert_plain(&f, 1);
	hp_flow_free(&f);
	f = FLOW("to_plt");
	EXITS(&f, LABEL("x_to_plt_0"));
	assert_plain(&f, 1);
	hp_flow_free(&f);
	f = FLOW("to_nameless");
	EXITS(&f, LABEL("x_to_nameless_0"));
	assert_plain(&f, 1);
	hp_flow_free(&f);
	assert_null(f.exit);
}

static void loops_to_the_entry_are_told(void **state)
{
	struct hp_flow f = FLOW("spin");

	EXITS(&f, LABEL("x_spin_0"));
	assert_true(f.back_to_entry);
	hp_flow_free(&f);
	f = FLOW("loop");
	EXITS(&f, LABEL("x_loop_0"));
	assert_true(f.back_to_entry);
	assert_false(f.exits_unknown);
	hp_flow_free(&f);
	f = FLOW("frame_loop");
	assert_int_equal(f.n_exits, 1);
	assert_true(f.back_to_entry);
	hp_flow_free(&f);
	f = FLOW("head");
	assert_true(f.into_head);
	assert_false(f.back_to_entry);
	hp_flow_free(&f);
}

static void assert_unknown(struct hp_flow f, hp_addr at)
{
	assert_true(f.exits_unknown);
	assert_int_equal(f.unknown_at, at);
	hp_flow_free(&f);
}

static void what_cannot_be_told_is_said(void **state)
{
	assert_unknown(FLOW("cond"), LABEL("x_cond_u"));
	assert_unknown(FLOW("no_cfi"), LABEL("x_no_cfi_u"));
	assert_unknown(FLOW("leaf_ind"), LABEL("x_leaf_ind_u"));
	assert_unknown(FLOW("aside"), LABEL("x_aside_u"));
	assert_unknown(FLOW("called"), LABEL("x_called_u"));
	assert_unknown(FLOW("mixed"), LABEL("x_mixed_u"));
	assert_unknown(FLOW("label"), LABEL("x_label_u"));
	assert_unknown(FLOW("word"), LABEL("x_word_u"));
	assert_unknown(FLOW("nowhere"), LABEL("x_nowhere_u"));
}

static void jumps_through_pointers_are_exits(void **state)
{
	struct hp_flow f = FLOW("got");

	EXITS(&f, LABEL("x_got_0"));
	assert_plain(&f, 1);
	hp_flow_free(&f);
	f = FLOW("leaf_mem");
	EXITS(&f, LABEL("x_leaf_mem_0"));
	assert_plain(&f, 1);
	hp_flow_free(&f);
	f = FLOW("chosen");
	EXITS(&f, LABEL("x_chosen_0"));
	assert_plain(&f, 1);
	hp_flow_free(&f);
}

static void jump_tables_are_no_exits(void **state)
{
	struct hp_flow f = FLOW("notrack");

	EXITS(&f, LABEL("x_notrack_0"));
	assert_plain(&f, 1);
	hp_flow_free(&f);
	f = FLOW("table");
	EXITS(&f, LABEL("x_table_0"));
	assert_plain(&f, 1);
	hp_flow_free(&f);
	f = FLOW("frame_ind");
	EXITS(&f, LABEL("x_frame_ind_0"));
	assert_plain(&f, 1);
	hp_flow_free(&f);
	f = FLOW("rbp_ind");
	EXITS(&f, LABEL("x_rbp_ind_0"));
	assert_plain(&f, 1);
	hp_flow_free(&f);
}

static void cold_parts_belong_to_the_function(void **state)
{
	struct hp_flow f = FLOW("cold");

	EXITS(&f, LABEL("x_cold_0"), LABEL("x_cold_1"));
	assert_plain(&f, 2);
	assert_int_equal(f.part[1].lo, LABEL("f_cold.cold"));
	assert_int_equal(f.part[1].hi, LABEL("x_cold_1") + 1);
	hp_flow_free(&f);
	f = FLOW("cased");
	EXITS(&f, LABEL("x_cased_0"), LABEL("x_cased_1"));
	assert_plain(&f, 2);
	hp_flow_free(&f);
	f = FLOW("nameless");
	EXITS(&f, LABEL("x_nameless_0"), LABEL("x_nameless_1"));
	assert_plain(&f, 2);
	assert_int_equal(f.part[1].lo, LABEL("n_framed"));
	assert_int_equal(f.part[1].hi, LABEL("x_nameless_end"));
	hp_flow_free(&f);
	f = FLOW("joined");
	EXITS(&f, LABEL("x_joined_0"));
	assert_plain(&f, 2);
	assert_int_equal(f.part[1].lo, LABEL("n_joined"));
	hp_flow_free(&f);
	f = FLOW("alone");
	EXITS(&f, LABEL("x_alone_0"), LABEL("x_alone_1"));
	assert_plain(&f, 2);
	hp_flow_free(&f);
	f = FLOW("switch");
	EXITS(&f, LABEL("x_switch_0"), LABEL("x_switch_1"));
	assert_plain(&f, 2);
	assert_int_equal(f.part[1].lo, LABEL("n_case"));
	hp_flow_free(&f);
	f = FLOW("short_size");
	EXITS(&f, LABEL("x_short_size_0"));
	assert_plain(&f, 2);
	hp_flow_free(&f);
}

static void ends_are_known(void **state)
{
	struct hp_flow f = FLOW("die");
	struct hp_err e = {0};

	EXITS(&f, LABEL("x_die_0"));
	assert_true(f.ends_in_call);
	hp_flow_free(&f);
	f = FLOW("stop");
	assert_int_equal(f.n_exits, 0);
	assert_plain(&f, 1);
	hp_flow_free(&f);
	assert_int_equal(hp_flow_read(&f, self, st, cfi, "f_bad", LABEL("f_bad"), 3, &e),
			 -HP_E_ENTRY);
	assert_non_null(strstr(e.text, "function f_bad"));
	assert_non_null(strstr(e.text, "+0x1 "));
	/* the FDE tells what no symbol does */
	assert_int_equal(hp_flow_read(&f, self, st, cfi, "x", LABEL("f_ret"), 0, &e), 0);
	EXITS(&f, LABEL("x_ret_0"), LABEL("x_ret_1"));
	hp_flow_free(&f);
	assert_int_equal(hp_flow_read(&f, self, st, cfi, "x", LABEL("f_no_cfi"), 0, &e),
			 -HP_E_ENTRY);
	assert_non_null(strstr(e.text, "no known end"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(returns_and_tail_calls_are_exits),
		cmocka_unit_test(loops_to_the_entry_are_told),
		cmocka_unit_test(what_cannot_be_told_is_said),
		cmocka_unit_test(jumps_through_pointers_are_exits),
		cmocka_unit_test(jump_tables_are_no_exits),
		cmocka_unit_test(cold_parts_belong_to_the_function),
		cmocka_unit_test(ends_are_known),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
