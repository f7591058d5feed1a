/* SPDX-License-Identifier: MIT */
/*
 * Runs every path of a bank: in this process, with a caller that fills all registers and functions
 * that write down what they get; and in a child that is stepped instruction by instruction, so
 * that hp_block_place() is compared with what the thread did in the end.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "arch/block.h"
#include "arch_regs.h"

uint64_t call_target, call_rsp, which;
void regs_call(void);
void regs_call_stopped(void);
void sink_old(void);
void sink_new(void);

#define SINK(name, number)                                                                         \
	#name ":\n" REGS_STORE(regs_out) "mov %rsp,regs_out+8*4(%rip)\n"                           \
	      "movq $" #number ",which(%rip)\n"                                                    \
	      "ret\n"

__asm__(".text\n.globl regs_call, regs_call_stopped, sink_old, sink_new\n"
	"regs_call_stopped:\n"
	"int3\n" /* the tracer takes over */
	"regs_call:\n" REGS_PUSH "sub $8,%rsp\n"
	"mov %rsp,call_rsp(%rip)\n" REGS_LOAD(regs_in)
	"call *call_target(%rip)\n"
	"add $8,%rsp\n" REGS_POP "ret\n"
	SINK(sink_old, 1) SINK(sink_new, 2));

enum { OLD = 1, NEW = 2 };

struct fixture {
	uint8_t *bank;
	struct hp_slots *slots;
	uint8_t *stub, *gate, *gate_back;
	struct hp_drain_entry *table;
};

static hp_addr addr(const void *p)
{
	return (hp_addr)(uintptr_t)p;
}

static int setup(void **state)
{
	static struct fixture f;
	size_t data = 4 * HP_PAGE; /* stub, two gates, table */
	uint8_t *p = mmap(NULL, HP_BANK_SIZE + data, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	f.bank = p;
	f.slots = (struct hp_slots *)p;
	f.stub = p + HP_BANK_SIZE;
	f.gate = f.stub + HP_PAGE;
	f.gate_back = f.gate + HP_PAGE;
	f.table = (struct hp_drain_entry *)(f.gate_back + HP_PAGE);
	f.slots->gate = addr(f.gate);
	f.slots->gate_back = addr(f.gate_back);
	f.slots->table = addr(f.table);
	hp_template_fill(p + HP_BANK_TEMPLATE);
	assert_int_equal(mprotect(p + HP_BANK_TEMPLATE, HP_TEMPLATE_SIZE, PROT_READ | PROT_EXEC),
			 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	return munmap(f->bank, HP_BANK_SIZE + 4 * HP_PAGE);
}

/* A function @fn of the bank at rest on @first, with @second behind the watch. */
static void arm(struct fixture *f, unsigned fn, enum hp_path first, enum hp_path second)
{
	hp_addr block = hp_block_addr(addr(f->bank), fn);

	f->slots->first[fn] = block + hp_path_offset(first);
	f->slots->second[fn] = block + hp_path_offset(second);
	f->slots->old[fn] = addr(sink_old);
	f->slots->new_[fn] = addr(sink_new);
	assert_int_equal(mprotect(f->stub, HP_PAGE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(hp_stub_fill(f->stub, addr(f->stub), addr(&f->slots->first[fn])), 0);
	assert_int_equal(mprotect(f->stub, HP_PAGE, PROT_READ | PROT_EXEC), 0);
	call_target = addr(f->stub);
}

/* One call through the stub; returns where it went, with every register as it was given. */
static uint64_t call(void)
{
	regs_fill();
	memset(&regs_out, 0, sizeof(regs_out));
	which = 0;
	regs_call();
	regs_in.gpr[4] = call_rsp - 8; /* rsp with the return address */
	assert_memory_equal(&regs_in, &regs_out, sizeof(regs_in));
	return which;
}

static void paths_lead_where_they_say(void **state)
{
	struct fixture *f = *state;
	unsigned fns[] = {0, 1, HP_BANK_FNS / 2, HP_BANK_FNS - 1}, k;

	for (k = 0; k < 4; k++) {
		unsigned fn = fns[k];

		arm(f, fn, HP_PATH_OLD, HP_PATH_OLD);
		assert_int_equal(call(), OLD);
		arm(f, fn, HP_PATH_NEW, HP_PATH_NEW);
		assert_int_equal(call(), NEW);
		arm(f, fn, HP_PATH_WATCH, HP_PATH_NEW);
		assert_int_equal(call(), NEW);
		arm(f, fn, HP_PATH_WATCH, HP_PATH_OLD);
		assert_int_equal(call(), OLD);
		arm(f, fn, HP_PATH_GATE, HP_PATH_OLD);
		assert_int_equal(call(), OLD);
		*f->gate = 1;
		assert_int_equal(call(), NEW);
		arm(f, fn, HP_PATH_WATCH, HP_PATH_GATE);
		assert_int_equal(call(), NEW);
		*f->gate = 0;
		arm(f, fn, HP_PATH_GATE_BACK, HP_PATH_OLD);
		assert_int_equal(call(), NEW);
		*f->gate_back = 0x80;
		assert_int_equal(call(), OLD);
		*f->gate_back = 0;
	}
}

static void draining_calls_go_to_the_origin(void **state)
{
	struct fixture *f = *state;
	struct {
		enum hp_path path;
		uint8_t *byte;
		uint64_t hit, miss;
	} way[] = {{HP_PATH_GATE, f->gate, OLD, NEW}, {HP_PATH_GATE_BACK, f->gate_back, NEW, OLD}};
	unsigned k, n;

	for (k = 0; k < 2; k++) {
		hp_addr sp;

		arm(f, 3, way[k].path, HP_PATH_OLD);
		*way[k].byte = 1;
		assert_int_equal(call(), way[k].miss);
		sp = call_rsp - 16; /* below return address and pushed rax */
		for (n = 0; n < HP_DRAIN_MAX; n += HP_DRAIN_MAX - 1) {
			struct hp_drain_entry *e = &f->table[n];
			unsigned i;

			for (i = 0; i < n; i++) /* others before it: closed, below, above */
				f->table[i] = i % 3 == 0   ? (struct hp_drain_entry){~0ull, ~0ull}
					      : i % 3 == 1 ? (struct hp_drain_entry){1, sp}
							   : (struct hp_drain_entry){sp + 1, ~0ull};
			*e = (struct hp_drain_entry){sp, sp + 1};
			assert_int_equal(call(), way[k].hit);
			*e = (struct hp_drain_entry){sp - 64, sp + 64};
			assert_int_equal(call(), way[k].hit);
			*e = (struct hp_drain_entry){sp - 64, sp};
			assert_int_equal(call(), way[k].miss);
			*e = (struct hp_drain_entry){sp + 1, sp + 64};
			assert_int_equal(call(), way[k].miss);
			*e = (struct hp_drain_entry){~0ull, sp + 64};
			assert_int_equal(call(), way[k].miss);
			*e = (struct hp_drain_entry){0, ~0ull}; /* the end */
			assert_int_equal(call(), way[k].miss);
			memset(f->table, 0, HP_PAGE);
		}
		*way[k].byte = 0;
	}
}

/* A child that calls once through the stub. */
static pid_t stepped_child(void)
{
	pid_t pid = fork();
	int st;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(99);
		regs_call_stopped();
		_exit((int)which);
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFSTOPPED(st));
	return pid;
}

/* Steps through the block of function @fn, calling @at at every instruction, and lets the child
 * end.  Returns where it went. */
static uint64_t step_through(struct fixture *f, unsigned fn, pid_t pid, hp_addr *entry_sp,
			     void (*at)(void *arg, pid_t pid, unsigned off, hp_addr sp), void *arg)
{
	hp_addr block = hp_block_addr(addr(f->bank), fn);
	bool been_there = false;
	int st, k;

	for (k = 0; k < 1000; k++) {
		struct user_regs_struct r;
		bool inside;

		assert_int_equal(ptrace(PTRACE_GETREGS, pid, 0, &r), 0);
		inside = r.rip >= block && r.rip < block + HP_BLOCK_SIZE;
		if (r.rip == addr(f->stub))
			*entry_sp = r.rsp;
		if (inside)
			at(arg, pid, (unsigned)(r.rip - block), r.rsp);
		else if (been_there)
			break;
		been_there |= inside;
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, 0, 0), 0);
		assert_int_equal(waitpid(pid, &st, 0), pid);
		assert_true(WIFSTOPPED(st) && WSTOPSIG(st) == SIGTRAP);
	}
	assert_true(been_there);
	assert_int_equal(ptrace(PTRACE_CONT, pid, 0, 0), 0);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFEXITED(st));
	return (uint64_t)WEXITSTATUS(st);
}

struct seen {
	unsigned n, off[256];
	hp_addr sp[256];
};

static void remember(void *arg, pid_t pid, unsigned off, hp_addr sp)
{
	struct seen *s = arg;

	assert_true(s->n < 256);
	s->off[s->n] = off;
	s->sp[s->n++] = sp;
}

/* Every place that was stood at: pushed is right, and what was decided is what came. */
static void check_places(const struct seen *s, hp_addr entry_sp, uint64_t went)
{
	unsigned i, pushed;
	bool decided = false;

	for (i = 0; i < s->n; i++) {
		enum hp_block_place p = hp_block_place(s->off[i], &pushed);

		assert_int_equal(pushed, entry_sp - s->sp[i]);
		if (p == HP_PLACE_OLD || p == HP_PLACE_NEW) {
			assert_int_equal(p == HP_PLACE_OLD ? OLD : NEW, went);
			decided = true;
		} else {
			assert_false(decided);
		}
	}
	assert_true(s->n > 0 && decided);
}

static void places_tell_what_comes(void **state)
{
	struct fixture *f = *state;
	enum hp_path p;
	unsigned byte, table, len[HP_PATHS] = {0};

	for (p = 0; p < HP_PATHS; p++)
		for (byte = 0; byte < 2; byte++)
			for (table = 0; table < 3; table++) {
				struct seen s = {0};
				hp_addr entry_sp = 0;
				uint64_t went;

				arm(f, 5, p, HP_PATH_NEW);
				*f->gate = *f->gate_back = (uint8_t)byte;
				memset(f->table, 0, HP_PAGE);
				if (table > 0)
					f->table[0] = (struct hp_drain_entry){~0ull, 1};
				if (table == 2)
					f->table[1] = (struct hp_drain_entry){1, ~0ull};
				went = step_through(f, 5, stepped_child(), &entry_sp, remember, &s);
				check_places(&s, entry_sp, went);
				if (s.n > len[p])
					len[p] = s.n;
			}
	*f->gate = *f->gate_back = 0;
	memset(f->table, 0, HP_PAGE);
	assert_int_equal(len[HP_PATH_WATCH], 3); /* nop, jmp *second, and the path new */
	assert_int_equal(len[HP_PATH_OLD], 1);
	assert_int_equal(len[HP_PATH_NEW], 1);
	/* one entry passed by, the second one matched */
	assert_int_equal(len[HP_PATH_GATE], 17);
	assert_int_equal(len[HP_PATH_GATE_BACK], 17);
}

/* At @off the world is changed under the child's feet: the table emptied, the gate opened. */
struct upset {
	struct fixture *f;
	unsigned off;
	bool done;
};

static void upset(void *arg, pid_t pid, unsigned off, hp_addr sp)
{
	struct upset *u = arg;

	if (off != u->off)
		return;
	u->done = true;
	assert_int_equal(ptrace(PTRACE_POKEDATA, pid, &u->f->table[0].lo, (void *)~0ull), 0);
	assert_int_equal(ptrace(PTRACE_POKEDATA, pid, u->f->gate, (void *)1ull), 0);
}

/* "Before" promises that a thread follows the gate if its draining entry is gone; "old" and "new"
 * that it does not.  "Unsure" promises nothing. */
static void undecided_threads_follow_the_gate(void **state)
{
	struct fixture *f = *state;
	unsigned off, pushed, before = 0, fixed = 0;
	bool hit;

	arm(f, 7, HP_PATH_GATE, HP_PATH_OLD);
	for (hit = false;; hit = true) {
		for (off = 0; off < HP_BLOCK_SIZE; off++) {
			struct upset u = {f, off, false};
			enum hp_block_place place = hp_block_place(off, &pushed);
			hp_addr sp;
			uint64_t went;

			if (place == HP_PLACE_UNSURE || off < hp_path_offset(HP_PATH_GATE) ||
			    off >= hp_path_offset(HP_PATH_GATE_BACK))
				continue;
			*f->gate = 0;
			f->table[0] = (struct hp_drain_entry){hit ? 1 : ~0ull, ~0ull};
			went = step_through(f, 7, stepped_child(), &sp, upset, &u);
			if (!u.done)
				continue;
			assert_int_equal(went, place == HP_PLACE_BEFORE ? NEW : OLD);
			before += place == HP_PLACE_BEFORE;
			fixed += place == HP_PLACE_OLD;
		}
		if (hit)
			break;
	}
	memset(f->table, 0, HP_PAGE);
	assert_true(before >= 12);
	assert_true(fixed >= 3);
}

static void places_that_are_no_instruction_are_unsure(void **state)
{
	uint8_t t[HP_TEMPLATE_SIZE];
	unsigned off, pushed, starts = 0;

	hp_template_fill(t);
	for (off = 0; off < 3 * HP_BLOCK_SIZE; off++) {
		if (off >= HP_BLOCK_SIZE || t[off] == 0xcc)
			assert_int_equal(hp_block_place(off, &pushed), HP_PLACE_UNSURE);
		else
			starts += hp_block_place(off, &pushed) != HP_PLACE_UNSURE;
	}
	assert_int_equal(hp_block_place(HP_BLOCK_SIZE - 1, &pushed), HP_PLACE_UNSURE);
	assert_int_equal(hp_block_place(hp_gate_test_offset(HP_PATH_GATE), &pushed),
			 HP_PLACE_BEFORE);
	assert_int_equal(pushed, 8);
	assert_int_equal(hp_block_place(hp_gate_test_offset(HP_PATH_GATE_BACK), &pushed),
			 HP_PLACE_BEFORE);
	assert_int_equal(hp_block_place(hp_gate_hit_offset(HP_PATH_GATE), &pushed), HP_PLACE_OLD);
	assert_int_equal(pushed, 8);
	assert_int_equal(hp_block_place(hp_gate_hit_offset(HP_PATH_GATE_BACK), &pushed),
			 HP_PLACE_NEW);
	assert_true(starts > 20);
}

/* A thread that is parked at the test is sent on in the origin. */
static void redirect(void *arg, pid_t pid, unsigned off, hp_addr sp)
{
	struct upset *u = arg;
	struct user_regs_struct r;

	if (off != u->off || u->done)
		return;
	u->done = true;
	assert_int_equal(ptrace(PTRACE_GETREGS, pid, 0, &r), 0);
	r.rip += hp_gate_hit_offset(HP_PATH_GATE) - hp_gate_test_offset(HP_PATH_GATE);
	assert_int_equal(ptrace(PTRACE_SETREGS, pid, 0, &r), 0);
}

static void parked_thread_can_be_let_through(void **state)
{
	struct fixture *f = *state;
	struct upset u = {f, hp_gate_test_offset(HP_PATH_GATE), false};
	hp_addr sp;

	arm(f, 9, HP_PATH_GATE, HP_PATH_OLD);
	*f->gate = 1;
	assert_int_equal(step_through(f, 9, stepped_child(), &sp, redirect, &u), OLD);
	assert_true(u.done);
	*f->gate = 0;
}

static void template_depends_on_nothing(void **state)
{
	uint8_t a[HP_TEMPLATE_SIZE], b[HP_TEMPLATE_SIZE];
	unsigned fn;
	enum hp_path p;

	memset(a, 0x5a, sizeof(a));
	memset(b, 0xa5, sizeof(b));
	hp_template_fill(a);
	hp_template_fill(b);
	assert_memory_equal(a, b, sizeof(a));
	for (fn = 0; fn < HP_BANK_FNS; fn++)
		assert_int_equal(a[hp_watch_offset(fn) - HP_TEMPLATE_AT], 0x90);
	for (p = 0; p < HP_PATHS; p++)
		assert_int_equal((hp_block_addr(0x7f0000000000, 17) + hp_path_offset(p)) & 0xff,
				 hp_path_offset(p));
}

static void jumps_know_their_reach(void **state)
{
	uint8_t b[8] = {0};
	int32_t rel;

	assert_int_equal(hp_jump_fill(b, 0x1000, 0x1005 + 0x7fffffffull), 0);
	memcpy(&rel, b + 1, 4);
	assert_int_equal(b[0], 0xe9);
	assert_int_equal(rel, 0x7fffffff);
	assert_int_equal(hp_jump_fill(b, 0x1000, 0x1006 + 0x7fffffffull), -ERANGE);
	assert_int_equal(hp_jump_fill(b, 0x100001000, 0x100001005 - 0x80000000ull), 0);
	assert_int_equal(hp_jump_fill(b, 0x100001000, 0x100001004 - 0x80000000ull), -ERANGE);
	assert_int_equal(hp_stub_fill(b, 0x7f0000001000, 0x7f0080001006), -ERANGE);
	assert_int_equal(hp_stub_fill(b, 0x7f0000001000, 0x7f0080001005), 0);
	assert_int_equal(b[0], 0xff);
	assert_int_equal(b[1], 0x25);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(paths_lead_where_they_say, setup, teardown),
		cmocka_unit_test_setup_teardown(draining_calls_go_to_the_origin, setup, teardown),
		cmocka_unit_test_setup_teardown(places_tell_what_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(undecided_threads_follow_the_gate, setup, teardown),
		cmocka_unit_test_setup_teardown(parked_thread_can_be_let_through, setup, teardown),
		cmocka_unit_test(places_that_are_no_instruction_are_unsure),
		cmocka_unit_test(template_depends_on_nothing),
		cmocka_unit_test(jumps_know_their_reach),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
