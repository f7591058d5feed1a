/* SPDX-License-Identifier: MIT */
/* Which file a mapping is of: where the numbers in maps say the same of two, and when nobody could look. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "elf/image.h"
#include "hp/err.h"
#include "target/mapped.h"
#include "target/processes.h"
#include "target/target.h"
#include "../services/tied.h"

#define ONE   "one/program"
#define OTHER "other/program"

static char dir[] = "/tmp/hp-unit-XXXXXX";
static pid_t pid[2];
static bool btrfs;
static pid_t ended; /* while its file was looked for */

/* What hp calls. */
int open_of_hp(const char *path, int flags, ...) __asm__("open");

int open_of_hp(const char *path, int flags, ...)
{
	char prefix[64];
	va_list ap;
	mode_t mode;

	for (int i = 0; i < 2 && ended == 0; i++) {
		snprintf(prefix, sizeof(prefix), "/proc/%d/map_files/", (int)pid[i]);
		if (pid[i] == 0 || strncmp(path, prefix, strlen(prefix)) != 0)
			continue;
		ended = pid[i];
		kill(ended, SIGKILL);
		waitid(P_PID, (id_t)ended, &(siginfo_t){0}, WEXITED | WNOWAIT);
	}
	va_start(ap, flags);
	mode = va_arg(ap, mode_t);
	va_end(ap);
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

__attribute__((format(printf, 1, 2))) static void command(const char *format, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(cmd, sizeof(cmd), format, ap);
	va_end(ap);
	if (system(cmd) != 0)
		fail_msg("%s", cmd);
}

static const char *in_dir(const char *name)
{
	static char path[2][128];
	static unsigned next;
	char *to = path[next++ % 2];

	snprintf(to, sizeof(path[0]), "%s/%s", dir, name);
	return to;
}

static struct hp_image *image_of(const char *name)
{
	struct hp_image *im;

	assert_int_equal(hp_image_open(&im, openat(AT_FDCWD, in_dir(name), O_RDONLY | O_CLOEXEC),
				       name, NULL),
			 0);
	return im;
}

static const char *build_id(const char *name, char hex[2 * HP_BUILD_ID_MAX + 1])
{
	struct hp_image *im = image_of(name);

	hp_image_build_id_hex(im, hex);
	hp_image_free(im);
	assert_true(strlen(hex) > 0);
	return hex;
}

/* Has mapped a page of code of each of these files, far from each other. */
static pid_t mapper(const char *const *name, size_t n, void **at)
{
	size_t apart = 16 << 20;
	char *room = mmap(NULL, n * apart, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t child;

	assert_ptr_not_equal(room, MAP_FAILED);
	for (size_t i = 0; i < n; i++) {
		struct hp_image *im = image_of(name[i]);

		for (size_t k = 0; k < im->n_phdrs; k++)
			if (im->phdr[k].p_type == PT_LOAD && im->phdr[k].p_flags & PF_X)
				at[i] = mmap(room + i * apart + apart / 2, HP_PAGE,
					     PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, im->fd,
					     (off_t)HP_PAGE_DOWN(im->phdr[k].p_offset));
		hp_image_free(im);
		assert_true(at[i] && at[i] != MAP_FAILED);
	}
	child = tied_fork();
	if (child == 0)
		for (;;)
			pause();
	munmap(room, n * apart);
	return child;
}

/* Which of @pid, in one search. */
static void selected(const char *hex, bool is[2])
{
	struct hp_pids pids = {0};

	is[0] = is[1] = false;
	assert_int_equal(hp_processes_of_build_id(hex, &pids, NULL), 0);
	for (size_t i = 0; i < pids.n; i++)
		for (int k = 0; k < 2; k++)
			is[k] |= pids.v[i] == pid[k];
	HP_ARRAY_FREE(&pids);
}

static void end_both(void)
{
	for (int i = 0; i < 2; i++) {
		if (pid[i] == 0)
			continue;
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
		pid[i] = 0;
	}
}

/* Says nothing about the file that it had mapped. */
static void a_process_that_ends(void **state)
{
	const char *name = "program";
	char hex[2 * HP_BUILD_ID_MAX + 1];
	bool is[2];
	void *at;

	command("cp /bin/sleep %s", in_dir(name));
	build_id(name, hex);
	ended = 0;
	for (int i = 0; i < 2; i++)
		pid[i] = mapper(&name, 1, &at);
	selected(hex, is);
	assert_true(ended != 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(is[i], pid[i] != ended);
}

static int end_program(void **state)
{
	end_both();
	return unlink(in_dir("program"));
}

/* Two files of two subvolumes, with the same numbers. */
static int on_btrfs(void **state)
{
	ended = -1; /* nobody is to */
	btrfs = system("grep -qw btrfs /proc/filesystems || modprobe -q btrfs") == 0;
	if (!btrfs)
		return 0;
	command("cd %s && truncate -s 16M image && mkfs.btrfs -q --mixed image >/dev/null 2>&1", dir);
	command("cd %s && mount -o loop image .", dir);
	command("cd %s && for s in one other; do btrfs -q subvolume create $s; done", dir);
	command("cd %s && cp /bin/sleep " ONE " && cp /bin/cat " OTHER, dir);
	return 0;
}

static int off_btrfs(void **state)
{
	end_both();
	return btrfs && (umount2(dir, MNT_DETACH) || unlink(in_dir("image"))) ? -1 : 0;
}

static void same_numbers(pid_t a, const void *at_a, pid_t b, const void *at_b)
{
	struct hp_maps of_a = {0}, of_b = {0};
	const struct hp_map *x, *y;

	assert_int_equal(hp_maps_read(&of_a, a, NULL), 0);
	assert_int_equal(hp_maps_read(&of_b, b, NULL), 0);
	x = hp_maps_find(&of_a, (uintptr_t)at_a);
	y = hp_maps_find(&of_b, (uintptr_t)at_b);
	assert_true(x && y && x->dev == y->dev && x->ino == y->ino);
	hp_maps_free(&of_a);
	hp_maps_free(&of_b);
}

static void processes_with_another_file(void **state)
{
	const char *one = ONE, *other = OTHER;
	char hex[2][2 * HP_BUILD_ID_MAX + 1];
	bool is[2];
	void *at[2];

	if (!btrfs)
		skip();
	pid[0] = mapper(&one, 1, &at[0]);
	pid[1] = mapper(&other, 1, &at[1]);
	same_numbers(pid[0], at[0], pid[1], at[1]);
	build_id(ONE, hex[0]);
	build_id(OTHER, hex[1]);
	for (int i = 0; i < 2; i++) {
		selected(hex[i], is);
		assert_true(is[i] && !is[!i]);
	}
}

static void modules_of_another_file(void **state)
{
	const char *name[] = {ONE, OTHER};
	char want[2 * HP_BUILD_ID_MAX + 1], have[2 * HP_BUILD_ID_MAX + 1];
	struct hp_target *t;
	struct hp_err err;
	void *at[2];

	if (!btrfs)
		skip();
	pid[0] = mapper(name, 2, at);
	same_numbers(pid[0], at[0], pid[0], at[1]);
	if (hp_target_open(&t, pid[0], &err) < 0)
		fail_msg("%s", err.text);
	for (int i = 0; i < 2; i++) {
		struct hp_module *m = hp_target_module_at(t, (uintptr_t)at[i]);

		assert_non_null(m);
		assert_string_equal(hp_image_build_id_hex(m->image, have), build_id(name[i], want));
	}
	hp_target_free(t);
}

/* Nor does a file that was written to stay what it was. */
static void what_was_written(void **state)
{
	struct hp_mapped_id before, same, after;
	hp_autoclose int fd = openat(AT_FDCWD, in_dir("file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(hp_mapped_id_of_fd(fd, &before), 0);
	assert_int_equal(hp_mapped_id_of_fd(fd, &same), 0);
	assert_true(hp_mapped_same(&before, &same));
	do { /* until the clock of files, which is a coarse one, has gone on */
		assert_int_equal(pwrite(fd, "x", 1, 0), 1);
		assert_int_equal(hp_mapped_id_of_fd(fd, &after), 0);
	} while (hp_mapped_same(&before, &after));
	assert_int_equal(after.dev, before.dev);
	assert_int_equal(after.ino, before.ino);
	assert_int_equal(unlink(in_dir("file")), 0);
}

static int mounts_of_our_own(void **state)
{
	return !mkdtemp(dir) || unshare(CLONE_NEWNS) ||
			       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)
		       ? -1
		       : 0;
}

static int leave_nothing(void **state)
{
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_process_that_ends, NULL, end_program),
		cmocka_unit_test_setup_teardown(processes_with_another_file, on_btrfs, off_btrfs),
		cmocka_unit_test_setup_teardown(modules_of_another_file, on_btrfs, off_btrfs),
		cmocka_unit_test(what_was_written),
	};

	return cmocka_run_group_tests(tests, mounts_of_our_own, leave_nothing);
}
