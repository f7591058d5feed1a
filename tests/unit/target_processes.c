/* SPDX-License-Identifier: MIT */
/* Which processes there are: descendants, those that run a file, also one that was replaced. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/array.h"
#include "base/fd.h"
#include "elf/image.h"
#include "hp/err.h"
#include "target/processes.h"
#include "../services/tied.h"

static bool has(const struct hp_pids *p, pid_t pid)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i] == pid)
			return true;
	return false;
}

static size_t place(const struct hp_pids *p, pid_t pid)
{
	size_t i = 0;

	while (i < p->n && p->v[i] != pid)
		i++;
	return i;
}

/* A child with a child, which it tells of; both wait for its end. */
static pid_t start_pair(pid_t *grandchild)
{
	int p[2];
	pid_t child;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	child = tied_fork();
	if (child == 0) {
		pid_t inner;

		inner = tied_fork();
		if (inner == 0) {
			inner = getpid();
			(void)!write(p[1], &inner, sizeof(inner));
		}
		for (;;)
			pause();
	}
	assert_int_equal(hp_read_all(p[0], grandchild, sizeof(*grandchild)), 0);
	close(p[0]);
	close(p[1]);
	return child;
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void finds_descendants(void **state)
{
	struct hp_pids family = {0}, all = {0};
	struct hp_err err;
	pid_t inner, child = start_pair(&inner), zombie = fork(), roots[2] = {child, child};

	if (zombie == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)zombie, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	assert_int_equal(hp_processes_family(roots, 2, &family, &err), 0);
	assert_int_equal(family.n, 2);
	assert_int_equal(family.v[0], child);
	assert_int_equal(family.v[1], inner);
	HP_ARRAY_FREE(&family);

	roots[0] = inner;
	roots[1] = getpid();
	assert_int_equal(hp_processes_family(roots, 2, &family, &err), 0);
	assert_true(has(&family, child) && has(&family, inner) && !has(&family, zombie));
	for (size_t i = 0; i < family.n; i++)
		assert_int_equal(place(&family, family.v[i]), i); /* each once */
	HP_ARRAY_FREE(&family);

	assert_int_equal(hp_processes_all(&all, &err), 0);
	assert_true(has(&all, getpid()) && has(&all, 1) && has(&all, inner));
	assert_false(has(&all, zombie));
	HP_ARRAY_FREE(&all);
	waitpid(zombie, NULL, 0);
	end(child);
}

static pid_t start_program(const char *path)
{
	int p[2];
	pid_t child;
	char c;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	child = tied_fork();
	if (child == 0) {
		execl(path, path, "1000", (char *)NULL);
		_exit(1);
	}
	close(p[1]);
	assert_int_equal(read(p[0], &c, 1), 0); /* closed by the exec */
	close(p[0]);
	return child;
}

static void copy(const char *from, const char *to)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "cp %s %s", from, to);
	assert_int_equal(system(cmd), 0);
}

static bool runs(const char *path, pid_t pid)
{
	struct hp_pids pids = {0};
	struct hp_err err;
	bool is;

	assert_int_equal(hp_processes_of_exe(path, &pids, &err), 0);
	is = has(&pids, pid);
	HP_ARRAY_FREE(&pids);
	return is;
}

static void finds_by_the_file(void **state)
{
	char dir[] = "/tmp/hp-unit-XXXXXX", path[64], other[64], cmd[64];
	struct hp_pids pids = {0};
	struct hp_err err;
	pid_t old, fresh;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sleep", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	copy("/bin/sleep", path);
	copy("/bin/sleep", other);
	old = start_program(path);
	assert_true(runs(path, old));
	assert_false(runs(other, old));
	assert_int_equal(rename(other, path), 0); /* an upgrade */
	fresh = start_program(path);
	assert_true(runs(path, old));
	assert_true(runs(path, fresh));
	assert_int_equal(unlink(path), 0);
	assert_true(runs(path, fresh));
	assert_int_equal(hp_processes_of_exe(dir, &pids, &err), -HP_E_NO_FILE);
	end(old);
	end(fresh);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	assert_int_equal(system(cmd), 0);
}

static void finds_by_build_id(void **state)
{
	char hex[2 * HP_BUILD_ID_MAX + 1];
	struct hp_pids pids = {0};
	struct hp_image *im;
	struct hp_err err;
	pid_t sleeps = start_program("/bin/sleep");

	assert_int_equal(hp_image_open(&im, open("/bin/sleep", O_RDONLY | O_CLOEXEC), "sleep", &err),
			 0);
	hp_image_build_id_hex(im, hex);
	hp_image_free(im);
	assert_int_equal(hp_processes_of_build_id(hex, &pids, &err), 0);
	assert_true(has(&pids, sleeps) && !has(&pids, getpid()));
	HP_ARRAY_FREE(&pids);
	assert_int_equal(hp_processes_of_build_id("00", &pids, &err), 0);
	assert_int_equal(pids.n, 0);
	HP_ARRAY_FREE(&pids);
	end(sleeps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_descendants),
		cmocka_unit_test(finds_by_the_file),
		cmocka_unit_test(finds_by_build_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
