/* SPDX-License-Identifier: MIT */
/* Pid files in a directory that is not root's, where anything may lie. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "restart/generation.h"
#include "restart/pidfile.h"
#include "rig/sleeper.h"

#define NOBODY 65534

static char dir[32], file[96], tmp[64], other[64];

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void expect(const char *path, const char *wanted)
{
	char got[64] = "";
	int fd = open(path, O_RDONLY | O_NOFOLLOW);

	assert_true(fd >= 0 && read(fd, got, sizeof(got) - 1) >= 0);
	close(fd);
	assert_string_equal(got, wanted);
}

static void expect_own(void)
{
	char text[16];

	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	expect(file, text);
}

static int restore(void)
{
	return hp_pidfile_restore(file, getpid(), hp_generation_start_of(getpid()));
}

static int set_up(void **state)
{
	strcpy(dir, "/tmp/hp-pidfile.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof(file), "%s/pid", dir);
	snprintf(tmp, sizeof(tmp), "%s/.pid.hp", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	alarm(20); /* instead of waiting for a FIFO's other end */
	return 0;
}

static int tear_down(void **state)
{
	alarm(0);
	unlink(file);
	unlink(tmp);
	unlink(other);
	return rmdir(dir);
}

static void reads_a_number(void **state)
{
	char lengthy[80];

	assert_int_equal(hp_pidfile_read(getpid(), file), 0);
	put(file, "77\n");
	assert_int_equal(hp_pidfile_read(getpid(), file), 77);
	put(file, "-77\n");
	assert_int_equal(hp_pidfile_read(getpid(), file), 0);
	memset(lengthy, '7', sizeof(lengthy) - 1);
	lengthy[sizeof(lengthy) - 1] = 0;
	put(file, lengthy);
	assert_int_equal(hp_pidfile_read(getpid(), file), 0);
}

static void reads_nothing_else(void **state)
{
	put(other, "77\n");
	assert_int_equal(symlink(other, file), 0);
	assert_int_equal(hp_pidfile_read(getpid(), file), 0);
	unlink(file);
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_int_equal(hp_pidfile_read(getpid(), file), 0);
}

static void replaces_no_more_than_a_file(void **state)
{
	put(other, "77\n");
	assert_int_equal(symlink(other, file), 0);
	assert_int_equal(restore(), -EINVAL);
	expect(other, "77\n");
	unlink(file);
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_int_equal(restore(), -EINVAL);
	unlink(file);
	put(file, "77\n");
	assert_int_equal(restore(), 0);
	expect_own();
	assert_int_equal(access(tmp, F_OK), -1);
}

/* Another file of root's, and one that nobody reads. */
static void writes_through_nothing(void **state)
{
	put(other, "root's\n");
	assert_int_equal(link(other, tmp), 0);
	assert_int_equal(restore(), 0);
	expect(other, "root's\n");
	expect_own();
	unlink(file);
	assert_int_equal(mkfifo(tmp, 0600), 0);
	assert_int_equal(restore(), 0);
	expect_own();
	unlink(file);
	assert_int_equal(mkdir(tmp, 0700), 0);
	assert_int_equal(restore(), -EEXIST);
	rmdir(tmp);
}

static uid_t owner_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_uid;
}

static void belongs_to_whom_the_place_belongs(void **state)
{
	put(file, "77\n");
	assert_int_equal(chown(file, NOBODY, NOBODY), 0);
	assert_int_equal(restore(), 0);
	assert_int_equal(owner_of(file), NOBODY);
	put(file, "77\n");
	assert_int_equal(chown(dir, NOBODY, NOBODY), 0);
	assert_int_equal(chown(file, 0, 0), 0); /* a link to one of root's, perhaps */
	assert_int_equal(restore(), 0);
	assert_int_equal(owner_of(file), NOBODY);
	unlink(file);
	assert_int_equal(restore(), 0);
	assert_int_equal(owner_of(file), NOBODY);
	assert_int_equal(chown(dir, 0, 0), 0);
	unlink(file);
	assert_int_equal(restore(), 0);
	assert_int_equal(owner_of(file), 0);
}

/* --- on the way ------------------------------------------------------------------------------------- */

static char sub_dir[80], elsewhere[64], there[80];

/* @sub_dir is the service's, or @at is, in which it can put a link under that name. */
static void set_up_way(const char *at)
{
	snprintf(sub_dir, sizeof(sub_dir), "%s/sub", at);
	snprintf(elsewhere, sizeof(elsewhere), "%s.root", dir);
	snprintf(there, sizeof(there), "%s/pid", elsewhere);
	snprintf(file, sizeof(file), "%s/pid", sub_dir);
	assert_int_equal(mkdir(elsewhere, 0755), 0);
}

static void tear_down_way(void)
{
	unlink(there);
	unlink(file);
	rmdir(elsewhere);
	if (unlink(sub_dir))
		rmdir(sub_dir);
}

static void goes_through_directories(void **state)
{
	set_up_way(dir);
	assert_int_equal(mkdir(sub_dir, 0755), 0);
	assert_int_equal(chown(dir, NOBODY, NOBODY), 0);
	assert_int_equal(restore(), 0);
	expect_own();
	assert_int_equal(hp_pidfile_read(getpid(), file), getpid());
	tear_down_way();
}

static void goes_through_links_of_roots(void **state)
{
	set_up_way(dir);
	assert_int_equal(symlink(elsewhere, sub_dir), 0);
	assert_int_equal(restore(), 0);
	expect_own();
	assert_int_equal(hp_pidfile_read(getpid(), file), getpid());
	tear_down_way();
}

static void goes_through_no_others(void **state)
{
	set_up_way(dir);
	assert_int_equal(symlink(elsewhere, sub_dir), 0);
	put(there, "77\n");
	assert_int_equal(chown(dir, NOBODY, NOBODY), 0);
	assert_int_equal(hp_pidfile_read(getpid(), file), 0);
	assert_int_equal(restore(), -ELOOP);
	expect(there, "77\n");
	tear_down_way();
}

/* Root has a link to a place of the service's, and there lies the next one. */
static void not_even_behind_one_of_roots(void **state)
{
	char to_service[80];

	set_up_way(other);
	snprintf(to_service, sizeof(to_service), "%s/link", dir);
	assert_int_equal(mkdir(other, 0755), 0);
	assert_int_equal(symlink(elsewhere, sub_dir), 0);
	assert_int_equal(chown(other, NOBODY, NOBODY), 0);
	assert_int_equal(symlink(other, to_service), 0);
	snprintf(file, sizeof(file), "%s/sub/pid", to_service);
	assert_int_equal(restore(), -ELOOP);
	assert_int_equal(access(there, F_OK), -1);
	unlink(to_service);
	tear_down_way();
	rmdir(other);
}

/* Its root may be one of somebody's making. */
static void not_as_another_of_that_number(void **state)
{
	pid_t pid = sleeper_start();
	uint64_t start = hp_generation_start_of(pid) - 1;

	assert_int_equal(hp_pidfile_restore(file, pid, start), -ESRCH);
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(hp_pidfile_restore(file, pid, start + 1), 0);
	assert_int_equal(hp_pidfile_read(getpid(), file), pid);
	sleeper_end(pid);
	put(file, "77\n");
	assert_true(hp_pidfile_restore(file, pid, start + 1) < 0);
	expect(file, "77\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_a_number, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reads_nothing_else, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replaces_no_more_than_a_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(writes_through_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(belongs_to_whom_the_place_belongs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(goes_through_directories, set_up, tear_down),
		cmocka_unit_test_setup_teardown(goes_through_links_of_roots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(goes_through_no_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(not_even_behind_one_of_roots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(not_as_another_of_that_number, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
