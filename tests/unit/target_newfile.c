/* SPDX-License-Identifier: MIT */
/* A walk into a file that was mapped after the reader of the target's files was made, or that is one of so
 * many patches that they were not all opened. */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "elf/reader.h"
#include "hp/err.h"
#include "target/look.h"
#include "target/target.h"
#include "target/unwind.h"
#include "../services/tied.h"

#define PATCHES 30

static char dir[] = "/tmp/hp-newfile-XXXXXX";
static int to_child, from_child;
static pid_t child;

static int setup(void **state)
{
	char command[512];

	if (!mkdtemp(dir))
		return -1;
	snprintf(command, sizeof(command),
		 "cd %s && echo 'int call(int (*f)(void)) { return f() + 1; }' > new.c && "
		 "cc -O1 -shared -fPIC -o new.so new.c && "
		 "for i in $(seq 0 %d); do cp new.so $(printf %%064x.so $i) || exit; done",
		 dir, PATCHES - 1);
	return system(command);
}

static int teardown(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static int in_1, out_1;

static int stay(void)
{
	if (write(out_1, "i", 1) == 1)
		for (;;)
			pause();
	return 0;
}

/* A second thread, which is never in the new file. */
static void *other(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

/* The numbers are those of patches in hp's store. */
static const char *patch_path(unsigned i)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%064x.so", dir, i);
	return path;
}

static void be_child(void)
{
	char path[128], c;
	pthread_t t;
	void *lib;
	int (*call)(int (*f)(void));

	snprintf(path, sizeof(path), "%s/new.so", dir);
	if (pthread_create(&t, NULL, other, NULL) || write(out_1, "r", 1) != 1 ||
	    read(in_1, &c, 1) != 1)
		_exit(1);
	lib = dlopen(path, RTLD_NOW);
	call = lib ? (int (*)(int (*)(void)))dlsym(lib, "call") : NULL;
	_exit(call ? call(stay) : 2);
}

static void heard(char what)
{
	char c = 0;

	assert_int_equal(read(from_child, &c, 1), 1);
	assert_int_equal(c, what);
}

/* All are mapped, and the first is the one that it stays in. */
static void be_patched(void)
{
	int (*call)(int (*f)(void)) = NULL;

	for (unsigned i = PATCHES; i-- > 0;) {
		void *lib = dlopen(patch_path(i), RTLD_NOW | RTLD_LOCAL);

		call = lib ? (int (*)(int (*)(void)))dlsym(lib, "call") : NULL;
		if (!call)
			_exit(1);
	}
	_exit(call(stay));
}

static void begin(void (*be)(void))
{
	int down[2], up[2];

	assert_int_equal(pipe(down) | pipe(up), 0);
	in_1 = down[0];
	to_child = down[1];
	from_child = up[0];
	out_1 = up[1];
	child = tied_fork();
	if (child == 0)
		be();
}

/* The lines that hold @what, and whether the stack has a root. */
static unsigned lines_with(struct hp_looker *l, pid_t tid, const char *what, bool *rooted)
{
	struct hp_stack stack = {0};
	struct hp_err err = {.text = ""};
	unsigned n = 0;

	*rooted = false;
	if (hp_look_stack(l, tid, &stack, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < stack.n; i++) {
		n += strstr(stack.v[i].text, what) != NULL;
		*rooted |= strstr(stack.v[i].text, "main (") || strstr(stack.v[i].text, "start") ||
			   strstr(stack.v[i].text, "clone");
	}
	hp_stack_free(&stack);
	return n;
}

static void another_reader_is_made_for_it_alone(void **state)
{
	struct hp_looker *l;
	struct hp_target *t;
	struct hp_pids tids = {0};
	pid_t first, second, tid = 0;
	bool rooted;

	begin(be_child);
	heard('r');
	assert_int_equal(hp_target_open(&t, child, NULL), 0);
	assert_int_equal(hp_looker_open(&l, t, NULL, NULL), 0);
	assert_int_equal(hp_look_threads(l, 0, &tids, NULL, NULL), 0);
	for (size_t i = 0; i < tids.n; i++)
		if (tids.v[i] != child)
			tid = tids.v[i];
	assert_int_not_equal(tid, 0);
	assert_int_equal(hp_unwind_expect(hp_looker_unwind(l), NULL), 0);
	assert_int_not_equal(hp_reader_pid(t->reader), 0);
	assert_int_equal(lines_with(l, child, "new.so", &rooted), 0);
	assert_true(rooted);
	/* By now libc's debug file has joined too, where there is one. */
	assert_int_equal(lines_with(l, tid, "new.so", &rooted), 0);
	first = hp_reader_pid(t->reader);

	assert_int_equal(write(to_child, "g", 1), 1);
	heard('i');
	assert_int_equal(hp_looker_refresh_in(l, &(struct hp_range){0, ~0ull}, 1, NULL), 0);
	assert_non_null(hp_target_module_named(t, "new.so"));
	assert_int_equal(lines_with(l, tid, "new.so", &rooted), 0);
	assert_true(rooted);
	assert_int_equal(hp_unwind_prepare(hp_looker_unwind(l), NULL), 0);
	assert_int_equal(hp_reader_pid(t->reader), first); /* nobody was there */
	assert_int_equal(lines_with(l, child, "new.so", &rooted), 1);
	assert_true(rooted);
	second = hp_reader_pid(t->reader);
	assert_int_not_equal(second, first); /* and names were asked for */
	assert_int_equal(lines_with(l, child, "new.so", &rooted), 1);
	assert_int_equal(hp_reader_pid(t->reader), second);

	hp_pids_free(&tids);
	hp_looker_free(l);
	hp_target_free(t);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static unsigned patches_open(struct hp_target *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PATCHES; i++)
		n += hp_target_module_named(t, strrchr(patch_path(i), '/') + 1) != NULL;
	return n;
}

/* The address of a part of patch @i that is not code. */
static hp_addr data_of(const struct hp_target *t, unsigned i)
{
	for (size_t k = 0; k < t->maps.n; k++)
		if (!strcmp(t->maps.v[k].path, patch_path(i)) && !t->maps.v[k].offset)
			return t->maps.v[k].lo;
	fail_msg("%s is not mapped", patch_path(i));
	return 0;
}

static void of_many_patches_those_are_opened_that_are_met(void **state)
{
	struct hp_module *m, *exe;
	struct hp_looker *l;
	struct hp_target *t;
	unsigned few, left = 0;
	bool rooted;

	begin(be_patched);
	heard('i');
	assert_int_equal(hp_target_open(&t, child, NULL), 0);
	exe = hp_target_exe(t);
	few = patches_open(t);
	assert_true(few > 0 && few < PATCHES / 2 + 2);
	/* One that is asked for. */
	for (unsigned i = 1; i < PATCHES; i++)
		if (!hp_target_module_named(t, strrchr(patch_path(i), '/') + 1))
			left = i;
	assert_int_not_equal(left, 0);
	m = hp_target_module_at(t, data_of(t, left));
	assert_non_null(m);
	assert_string_equal(m->path, patch_path(left));
	assert_int_equal(patches_open(t), few + 1);
	assert_int_equal(hp_target_refresh(t, NULL), 0);
	assert_int_equal(patches_open(t), few + 1);
	assert_string_equal(exe->name, hp_target_exe(t)->name); /* still good */
	/* One that a thread is in. */
	assert_int_equal(hp_looker_open(&l, t, NULL, NULL), 0);
	assert_int_equal(lines_with(l, child, strrchr(patch_path(0), '/') + 1, &rooted), 1);
	assert_true(rooted);
	hp_looker_free(l);
	hp_target_free(t);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_reader_is_made_for_it_alone),
		cmocka_unit_test(of_many_patches_those_are_opened_that_are_met),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
