/* SPDX-License-Identifier: MIT */
#include "watch_lab.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <link.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/fd.h"
#include "hp/err.h"
#include "../../services/tied.h"

const char *const watched_names[N_FNS] = {"first", "second"};

void lab_tell(const struct lab *l, char c)
{
	assert_int_equal(hp_send_fds(l->sock, &c, 1, NULL, 0), 0);
}

static void await_answer(const struct lab *l)
{
	char c;

	assert_int_equal(hp_recv_fds(l->sock, &c, 1, NULL, NULL), 0);
}

void lab_let(const struct lab *l, char c)
{
	lab_tell(l, c);
	await_answer(l);
}

struct place {
	uintptr_t addr;
	uint64_t offset;
};

static int find_offset(struct dl_phdr_info *info, size_t n, void *arg)
{
	struct place *p = arg;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_LOAD && p->addr >= at && p->addr < at + ph->p_filesz)
			p->offset = p->addr - at + ph->p_offset;
	}
	return 1; /* the first one is the program */
}

uint64_t lab_offset(const void *code)
{
	struct place p = {.addr = (uintptr_t)code};

	dl_iterate_phdr(find_offset, &p);
	assert_true(p.offset != 0);
	return p.offset;
}

int lab_attach(const struct lab *l, struct hp_session *s, struct hp_err *err)
{
	const struct hp_probe entry[] = {{lab_offset(first), FN_FIRST},
					 {lab_offset(second), FN_SECOND}};
	const struct hp_probe leave[] = {{lab_offset(first_ret), FN_FIRST},
					 {lab_offset(second_ret), FN_SECOND}};
	const struct hp_probe_set sets[] = {
		{.role = HP_PROBE_EXIT, .file_fd = l->self, .v = leave, .n = N_FNS},
		{.role = HP_PROBE_ENTRY, .file_fd = l->self, .v = entry, .n = N_FNS}};

	return hp_session_attach(s, l->pid, sets, 2, err);
}

struct hp_session *lab_session(const struct lab *l)
{
	struct hp_session *s = NULL;
	struct hp_err err = {0};

	if (hp_session_begin(&s, l->v, watched_names, N_FNS, &err) || lab_attach(l, s, &err))
		fail_msg("%s", err.text);
	return s;
}

void lab_await(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 20000), 1);
}

void lab_session_end(struct lab *l)
{
	int keeper;

	hp_session_end(l->s, &keeper);
	l->s = NULL;
	lab_await(keeper);
	close(keeper);
}

unsigned char lab_first_byte(const struct lab *l)
{
	char path[32];
	unsigned char byte;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)l->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &byte, 1, (off_t)(uintptr_t)first), 1);
	close(fd);
	return byte;
}

int lab_victim(struct lab *l)
{
	int sv[2];

	if (hp_socketpair(sv))
		return -1;
	l->pid = tied_fork();
	if (!l->pid) {
		close(sv[0]);
		watch_victim(sv[1]);
	}
	close(sv[1]);
	l->sock = sv[0];
	return l->pid < 0 ? -1 : 0;
}

void lab_kill_victim(struct lab *l)
{
	kill(l->pid, SIGKILL);
	waitpid(l->pid, NULL, 0);
}

int lab_begin(void **state)
{
	struct lab *l = calloc(1, sizeof(*l));
	struct hp_err err = {0};

	if (!l)
		return -1;
	l->self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (hp_watch_open(&l->w, &err) || lab_victim(l) ||
	    hp_view_open(&l->v, l->w, l->pid, &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	l->s = lab_session(l);
	*state = l;
	return 0;
}

int lab_end(void **state)
{
	struct lab *l = *state;

	hp_session_end(l->s, NULL);
	lab_kill_victim(l);
	hp_view_close(l->v);
	hp_watch_close(l->w);
	close(l->sock);
	close(l->self);
	free(l);
	return 0;
}

int64_t lab_in_flight(const struct lab *l, unsigned fn)
{
	return hp_view_inflight(l->v)[fn].in_flight;
}
