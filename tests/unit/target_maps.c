/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "hp/err.h"
#include "target/maps.h"

static void reads_own_map(void **state)
{
	char *page = mmap(NULL, 3 * HP_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct hp_maps m = {0};
	const struct hp_map *v;
	struct hp_err err = {0};
	hp_addr a = (hp_addr)(uintptr_t)page;

	assert_int_equal(mprotect(page + HP_PAGE, HP_PAGE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(hp_maps_read(&m, getpid(), &err), 0);
	v = hp_maps_find(&m, a + HP_PAGE + 5);
	assert_non_null(v);
	assert_int_equal(v->lo, a + HP_PAGE);
	assert_int_equal(v->hi, a + 2 * HP_PAGE);
	assert_int_equal(v->prot, PROT_READ | PROT_WRITE);
	assert_false(v->shared);
	assert_string_equal(v->path, "");
	v = hp_maps_find(&m, (hp_addr)(uintptr_t)__builtin_frame_address(0));
	assert_non_null(v);
	assert_string_equal(v->path, "[stack]");
	v = hp_maps_find(&m, (hp_addr)(uintptr_t)reads_own_map);
	assert_non_null(v);
	assert_true(v->prot & PROT_EXEC);
	assert_non_null(strstr(v->path, "target_maps"));
	assert_true(v->ino != 0);
	assert_null(hp_maps_find(&m, 0));
	assert_false(hp_maps_free_range(&m, (struct hp_range){a, a + 1}));

	assert_int_equal(munmap(page, 3 * HP_PAGE), 0);
	assert_int_equal(hp_maps_read(&m, getpid(), &err), 0);
	hp_maps_free(&m);
	hp_maps_free(&m);
}

/* The same as /proc/PID/maps says as text, whichever way it was read; of a process that stands still. */
static void agrees_with_the_text(void **state)
{
	int fd = memfd_create("hp-patch-test", MFD_CLOEXEC);
	char line[8192], perms[5], path[4096];
	struct hp_maps m = {0};
	size_t n = 0;
	pid_t child;
	FILE *f;

	assert_int_equal(ftruncate(fd, 2 * HP_PAGE), 0);
	assert_ptr_not_equal(mmap(NULL, HP_PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, HP_PAGE),
			     MAP_FAILED);
	assert_ptr_not_equal(mmap(NULL, HP_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
			     MAP_FAILED);
	close(fd);
	child = fork();
	if (child == 0)
		for (;;)
			pause();
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)child);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(hp_maps_read(&m, child, NULL), 0);
	while (n < m.n && fgets(line, sizeof(line), f)) {
		const struct hp_map *v = &m.v[n++];
		unsigned long lo, hi, offset, ino;
		unsigned major, minor;

		path[0] = 0;
		assert_true(sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %4095[^\n]", &lo, &hi, perms, &offset,
				   &major, &minor, &ino, path) >= 7);
		assert_int_equal(v->lo, lo);
		assert_int_equal(v->hi, hi);
		assert_int_equal(v->offset, offset);
		assert_int_equal(v->dev, makedev(major, minor));
		assert_int_equal(v->ino, ino);
		assert_int_equal(!!(v->prot & PROT_READ), perms[0] == 'r');
		assert_int_equal(!!(v->prot & PROT_WRITE), perms[1] == 'w');
		assert_int_equal(!!(v->prot & PROT_EXEC), perms[2] == 'x');
		assert_int_equal(v->shared, perms[3] == 's');
		assert_string_equal(v->path, path);
	}
	assert_true(n > 10);
	(void)fclose(f); /* of reading */
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	hp_maps_free(&m);
}

static void same(const struct hp_maps *a, const struct hp_maps *b, hp_addr lo, hp_addr hi)
{
	size_t i = 0, k = 0;

	for (;; i++, k++) {
		while (i < a->n && a->v[i].hi <= lo)
			i++;
		while (k < b->n && b->v[k].hi <= lo)
			k++;
		if (i == a->n || a->v[i].lo >= hi)
			break;
		assert_true(k < b->n);
		assert_int_equal(a->v[i].lo, b->v[k].lo);
		assert_int_equal(a->v[i].hi, b->v[k].hi);
		assert_int_equal(a->v[i].prot, b->v[k].prot);
		assert_int_equal(a->v[i].offset, b->v[k].offset);
		assert_string_equal(a->v[i].path, b->v[k].path);
	}
	assert_true(k == b->n || b->v[k].lo >= hi);
}

#define PAGES 24

/* Any change there may be, and what is read of it alone. */
static void rereads_a_part(void **state)
{
	int fd = memfd_create("hp-patch-test", MFD_CLOEXEC);
	uint8_t *arena = mmap(NULL, PAGES * HP_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const hp_addr lo = (hp_addr)(uintptr_t)arena, hi = lo + PAGES * HP_PAGE;
	struct hp_maps m = {0}, all = {0};

	assert_int_equal(ftruncate(fd, PAGES * HP_PAGE), 0);
	assert_int_equal(hp_maps_read(&m, getpid(), NULL), 0);
	srand(7);
	for (unsigned i = 0; i < 2000; i++) {
		size_t at = (size_t)rand() % PAGES * HP_PAGE;
		size_t n = (1 + (size_t)rand() % 4) * HP_PAGE;
		int prot = rand() & (PROT_READ | PROT_WRITE), r;

		if (at + n > PAGES * HP_PAGE)
			n = PAGES * HP_PAGE - at;
		switch (rand() % 3) {
		case 0:
			assert_int_equal(munmap(arena + at, n), 0);
			break;
		case 1:
			assert_ptr_equal(mmap(arena + at, n, prot,
					      MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0),
					 arena + at);
			break;
		default:
			assert_ptr_equal(mmap(arena + at, n, prot, MAP_PRIVATE | MAP_FIXED, fd,
					      (off_t)at),
					 arena + at);
			break;
		}
		r = hp_maps_reread(&m, getpid(), (struct hp_range){lo + at, lo + at + n}, NULL);
		assert_true(r >= 0);
		assert_int_equal(hp_maps_read(&all, getpid(), NULL), 0);
		same(&m, &all, lo, hi);
		same(&all, &m, lo, hi);
	}
	assert_int_equal(hp_maps_reread(&m, getpid(), (struct hp_range){0, ~0ull}, NULL) < 0, 0);
	hp_maps_free(&m);
	hp_maps_free(&all);
	munmap(arena, PAGES * HP_PAGE);
	close(fd);
}

static void says_gone(void **state)
{
	struct hp_maps m = {0};
	struct hp_err err = {0};
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	/* first as a zombie, whose files are there and empty */
	assert_int_equal(waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT), 0);
	assert_int_equal(hp_maps_read(&m, pid, &err), -HP_E_GONE);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(hp_maps_read(&m, pid, &err), -HP_E_GONE);
	assert_non_null(strstr(err.text, "gone"));
}

/* A map with holes of known size. */
static struct hp_map layout[] = {
	{.lo = 0x400000, .hi = 0x500000, .path = "/bin/x"},
	{.lo = 0x510000, .hi = 0x600000, .path = "/bin/x"},
	{.lo = 0x700000, .hi = 0x800000, .path = "[heap]"},
	{.lo = 0x7f0000000000, .hi = 0x7f0000100000, .path = ""},
	{.lo = 0x7ffc00000000, .hi = 0x7ffc00021000, .path = "[stack]"},
};
static const struct hp_maps fixed = {.v = layout, .n = 5, .room = 5};

static void finds_nearest_room(void **state)
{
	struct hp_range text = {0x520000, 0x521000};

	/* below, at the end of the hole of 16 pages, a guard page apart */
	assert_int_equal(hp_maps_find_room(&fixed, HP_PAGE, text, 1ull << 31), 0x50e000);
	/* too large for that hole: the one above */
	assert_int_equal(hp_maps_find_room(&fixed, 0x10000, text, 1ull << 31), 0x601000);
	/* too large for both: below the program */
	assert_int_equal(hp_maps_find_room(&fixed, 0x200000, text, 1ull << 31), 0x1ff000);
	/* out of reach */
	assert_int_equal(hp_maps_find_room(&fixed, 0x200000, text, 0x100000), 0);
}

static void keeps_clear_of_growing(void **state)
{
	struct hp_range heap = {0x7ff000, 0x800000}, stack = {0x7ffc00000000, 0x7ffc00001000};
	hp_addr a = hp_maps_find_room(&fixed, 0x400000, heap, 1ull << 31);

	assert_int_equal(a, 0x800000 + (64ull << 20));
	a = hp_maps_find_room(&fixed, HP_PAGE, stack, 1ull << 31);
	assert_int_equal(a, 0x7ffc00022000);
	/* larger than what is above the stack */
	a = hp_maps_find_room(&fixed, 0x400000000, stack, 1ull << 36);
	assert_int_equal(a + 0x400000000, 0x7ffc00000000 - (64ull << 20));
}

static void room_is_free(void **state)
{
	struct hp_range near = {0x4ff000, 0x500000};

	for (size_t pages = 1; pages < 2048; pages = pages * 3 / 2 + 1) {
		hp_addr a = hp_maps_find_room(&fixed, pages * HP_PAGE, near, 1ull << 31);

		assert_true(a != 0);
		assert_true(hp_maps_free_range(
			&fixed, (struct hp_range){a - HP_PAGE, a + (pages + 1) * HP_PAGE}));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_own_map),
		cmocka_unit_test(agrees_with_the_text), cmocka_unit_test(rereads_a_part),
		cmocka_unit_test(says_gone),
		cmocka_unit_test(finds_nearest_room), cmocka_unit_test(keeps_clear_of_growing),
		cmocka_unit_test(room_is_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
