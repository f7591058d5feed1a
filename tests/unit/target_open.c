/* SPDX-License-Identifier: MIT */
#include "target_twins.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "elf/image.h"
#include "target/agent.h"
#include "target/borrow.h"
#include "../services/tied.h"

#define SOON (hp_now_ns() + 3 * HP_S)

static void refused(pid_t who, int code, const char *says)
{
	struct hp_err err = {0};
	struct hp_target *none = NULL;

	assert_int_equal(hp_target_open(&none, who, &err), -code);
	assert_null(none);
	if (!strstr(err.text, says))
		fail_msg("%d: %s", (int)who, err.text);
}

static pid_t kernel_thread(void)
{
	struct hp_stat st;

	for (pid_t p = 2; p < 500; p++)
		if (hp_stat_read(p, &st) == 0 && (st.field[HP_STAT_FLAGS] & 0x200000))
			return p;
	return 0;
}

static void *report_tid(void *arg)
{
	*(_Atomic pid_t *)arg = (pid_t)syscall(SYS_gettid);
	pause(); /* until it is cancelled */
	return NULL;
}

/* Where in the file the first executable segment is. */
static uint64_t text_offset(int fd)
{
	struct hp_image *im;
	uint64_t offset = 0;

	assert_int_equal(hp_image_open(&im, dup(fd), "self", NULL), 0);
	for (size_t i = 0; i < im->n_phdrs && !offset; i++)
		if (im->phdr[i].p_type == PT_LOAD && (im->phdr[i].p_flags & PF_X))
			offset = HP_PAGE_DOWN(im->phdr[i].p_offset);
	hp_image_free(im);
	return offset;
}

static void refuses_by_name(void **state)
{
	_Atomic pid_t tid = 0;
	pthread_t thread;
	pid_t dead;

	refused(-1, HP_E_GONE, "no process");
	refused(0, HP_E_GONE, "no process");
	refused(getpid(), HP_E_TARGET, "hp itself");
	refused(getppid(), HP_E_TARGET, "hp itself");
	if (kernel_thread()) /* none is visible in a pid namespace */
		refused(kernel_thread(), HP_E_TARGET, "kernel thread");
	assert_int_equal(pthread_create(&thread, NULL, report_tid, (void *)&tid), 0);
	while (!tid)
		hp_pause_ns(HP_MS);
	refused(tid, HP_E_TARGET, "is a thread of process");
	pthread_cancel(thread);
	pthread_join(thread, NULL);

	dead = fork();
	if (dead == 0)
		_exit(0);
	for (struct hp_stat st = {0}; st.state != 'Z';)
		assert_int_equal(hp_stat_read(dead, &st), 0);
	refused(dead, HP_E_GONE, "zombie");
	waitpid(dead, NULL, 0);
	refused(dead, HP_E_GONE, "no process");
}

static void knows_its_modules(void **state)
{
	struct hp_module *exe;
	struct hp_image *image;
	struct hp_err err = {0};
	uint64_t seen;
	char text[128];

	begin("twins");
	exe = hp_target_exe(t);
	assert_non_null(exe);
	assert_string_equal(t->comm, "twins");
	assert_int_equal(t->uid, geteuid());
	assert_non_null(hp_target_module_named(t, "libc.so.6"));
	assert_null(hp_target_module_named(t, "libnothing.so"));
	assert_null(hp_target_module_at(t, 0x1000));
	assert_ptr_equal(hp_target_module_at(t, exe->bias + exe->image->ehdr.e_entry), exe);
	hp_target_describe(t, exe->bias + exe->image->ehdr.e_entry, text, sizeof(text));
	assert_non_null(strstr(text, "_start (twins+0x"));
	/* nothing changed: the same images */
	seen = t->modules_seen;
	image = exe->image;
	assert_int_equal(hp_target_refresh(t, &err), 0);
	assert_int_equal(t->modules_seen, seen);
	assert_ptr_equal(hp_target_exe(t)->image, image);
	assert_int_equal(hp_target_check(t, &err), 0);
	assert_ptr_equal(hp_target_exe(t), exe);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(hp_target_check(t, &err), -HP_E_GONE);
	assert_int_equal(hp_target_refresh(t, &err), -HP_E_GONE);
	assert_int_equal(hp_mem_read(t, exe->bias, text, 4, &err), -HP_E_GONE);
	hp_target_free(t);
}

/* Files come and go; pointers to those that stay stay good. */
static void modules_come_and_go(void **state)
{
	struct hp_module *exe, *libc, *image;
	struct hp_err err = {0};
	const struct hp_symtab *st;
	char self[PATH_MAX] = "";
	struct hp_agent *a;
	hp_addr at[40];
	uint64_t seen;
	int fd, there;

	begin("twins");
	exe = hp_target_exe(t);
	libc = hp_target_module_named(t, "libc.so.6");
	assert_int_equal(hp_agent_start(&a, t, NULL, SOON, &err), 0);
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	fd = open(self, O_RDONLY | O_CLOEXEC);
	there = hp_agent_give_fd(a, fd, &err);
	assert_true(there >= 0);
	for (int i = 0; i < 40; i++) {
		/* the text of a file that is a module then, far from each other */
		at[i] = hp_maps_find_room(&t->maps, 8 << 20, exe->span, 1ull << 31) + (4 << 20);
		assert_int_equal(hp_agent_map(a, at[i], 8192, PROT_READ | PROT_EXEC,
					      MAP_PRIVATE | MAP_FIXED_NOREPLACE, there, text_offset(fd),
					      &err),
				 0);
		assert_int_equal(hp_target_refresh(t, &err), 0);
		image = hp_target_module_at(t, at[i]);
		assert_non_null(image);
		assert_string_equal(image->name, "target_open");
	}
	assert_int_equal(hp_target_exe(t)->image == exe->image, 1);
	assert_string_equal(libc->image->soname, "libc.so.6");
	assert_int_equal(hp_module_symtab(hp_target_exe(t), &st, &err), 0);
	for (int i = 0; i < 40; i++) {
		seen = t->modules_seen;
		assert_int_equal(hp_agent_unmap(a, at[i], 8192, &err), 0);
		assert_int_equal(hp_target_refresh(t, &err), 0);
		assert_true(t->modules_seen != seen);
		assert_null(hp_target_module_at(t, at[i]));
	}
	assert_string_equal(exe->name, "twins");
	assert_int_equal(hp_agent_end(a, &err), 0);
	close(fd);
	end();
}

static int stay(void *arg)
{
	tied_to((pid_t)(intptr_t)arg);
	return pause(); /* until it is killed */
}

/* A process with the same memory, as the agent is one. */
static void keep_memory(void)
{
	static _Alignas(16) uint8_t stack[16 << 10];

	if (clone(stay, stack + sizeof(stack), CLONE_VM, (void *)(intptr_t)getpid()) < 0)
		_exit(1);
}

/* What the process executes by now is not written to by what is known of it from before. */
static void new_memory_is_out_of_reach(void)
{
	const uint64_t mark = 0x6b72616d6b72616d;
	struct hp_maps maps = {0};
	uint64_t word = 0;
	hp_addr at = 0;

	assert_int_equal(hp_maps_read(&maps, pid, NULL), 0);
	for (size_t i = 0; i < maps.n; i++)
		if (!strcmp(maps.v[i].path, "[stack]"))
			at = maps.v[i].hi - HP_PAGE;
	hp_maps_free(&maps);
	assert_true(at && hp_mem_read(t, at, &word, sizeof(word), NULL) == 0);
	(void)hp_mem_poke(t, at, &mark, sizeof(mark), NULL); /* it may be there in the old one, too */
	assert_int_equal(hp_mem_read(t, at, &word, sizeof(word), NULL), 0);
	assert_true(word != mark);
}

/* A child that executes @program when told; @program is then told from what was opened. */
static void executes(const char *program, const char *arg, bool memory_stays)
{
	struct hp_err err = {0};
	int sync[2];

	assert_int_equal(pipe(sync), 0);
	pid = tied_fork();
	if (pid == 0) {
		char c;

		if (memory_stays)
			keep_memory();
		if (read(sync[0], &c, 1) == 1)
			execl(program, program, arg, NULL);
		_exit(1);
	}
	assert_int_equal(hp_target_open(&t, pid, &err), 0);
	assert_int_equal(hp_target_check(t, &err), 0);
	assert_int_equal(write(sync[1], "x", 1), 1);
	for (int i = 0; i < 5000 && hp_target_check(t, &err) == 0; i++)
		hp_pause_ns(HP_MS);
	assert_int_equal(err.code, -HP_E_GONE);
	assert_non_null(strstr(err.text, "another program"));
	new_memory_is_out_of_reach();
	close(sync[0]);
	close(sync[1]);
	end();
}

static void another_program_is_told(void **state)
{
	executes("/bin/sleep", "100", false);
}

/* The same inode: what was opened is a memory that is gone, or the agent's alone. */
static void the_same_program_anew_is_told(void **state)
{
	executes("/proc/self/exe", "wait", false);
	executes("/proc/self/exe", "wait", true);
}

/* Both kinds of borrowing work however a program was linked. */
static void every_linking_can_be_borrowed(void **state)
{
	static const char *const programs[] = {"twins", "twins-nopie", "twins-static",
					       "twins-stripped"};

	for (size_t i = 0; i < 4; i++) {
		struct hp_err err = {0};
		struct hp_looker *l;
		struct hp_agent *a;
		struct hp_borrow *b;

		begin(programs[i]);
		assert_int_equal(hp_looker_open(&l, t, NULL, &err), 0);
		if (hp_agent_start(&a, t, l, SOON, &err) < 0 || hp_agent_end(a, &err) < 0)
			fail_msg("%s: %s", programs[i], err.text);
		if (hp_borrow_begin(&b, t, l, HP_BORROW_CALL, hp_now_ns() + 100 * HP_MS, &err) < 0)
			fail_msg("%s: %s", programs[i], err.text);
		assert_int_equal(hp_borrow_end(b, &err), 0);
		hp_looker_free(l);
		end();
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_by_name),
		cmocka_unit_test(knows_its_modules),
		cmocka_unit_test(modules_come_and_go),
		cmocka_unit_test(another_program_is_told),
		cmocka_unit_test(the_same_program_anew_is_told),
		cmocka_unit_test(every_linking_can_be_borrowed),
	};

	if (argc > 1)
		pause(); /* executed by a test, which kills it */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
