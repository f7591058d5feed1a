/* SPDX-License-Identifier: MIT */
/*
 * prefork [WORKERS] – a parent and single-threaded workers that call work() all the time.
 * "spawn" forks one more; "workers" prints a line for each: its pid, and what work(0) gave last.
 */
#include "svc.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS_MAX 16

struct worker {
	pid_t pid;
	int last; /* work(0) */
	unsigned long calls, wrong;
};

static struct worker *workers; /* shared with them */
static int n_workers;

__attribute__((noipa)) int work(int x)
{
	return x + 1;
}

__attribute__((noreturn)) static void run_worker(struct worker *w)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, SIG_DFL);
	for (int x = 0;; x = (x + 1) & 0xff) {
		int r = work(x);

		if (r != x + 1 && r != x + 1000)
			w->wrong++;
		if (!x)
			__atomic_store_n(&w->last, r, __ATOMIC_RELAXED);
		__atomic_store_n(&w->calls, w->calls + 1, __ATOMIC_RELAXED);
		svc_nap_us(50);
	}
}

static void spawn(void)
{
	struct worker *w = &workers[n_workers];
	pid_t p;

	if (n_workers == WORKERS_MAX)
		return;
	fflush(stdout);
	p = fork();
	if (!p)
		run_worker(w);
	w->pid = p;
	n_workers++;
	printf("worker %d\n", (int)p);
}

static bool verdict(FILE *out)
{
	unsigned long calls = 0, wrong = 0;
	int alive = 0;

	for (int i = 0; i < n_workers; i++) {
		calls += workers[i].calls;
		wrong += workers[i].wrong;
		alive += waitpid(workers[i].pid, NULL, WNOHANG) == 0;
	}
	fprintf(out, ",\"workers\":%d,\"alive\":%d,\"calls\":%lu,\"wrong\":%lu", n_workers, alive,
		calls, wrong);
	return !wrong && alive == n_workers;
}

static bool command(const char *line)
{
	if (!strcmp(line, "spawn")) {
		spawn();
		return true;
	}
	if (strcmp(line, "workers"))
		return false;
	for (int i = 0; i < n_workers; i++)
		printf("worker %d last %d calls %lu\n", (int)workers[i].pid, workers[i].last,
		       workers[i].calls);
	printf("parent %d last %d\n", (int)getpid(), work(0));
	return true;
}

int main(int argc, char **argv)
{
	static const struct svc prefork = {"prefork", verdict, command};
	int n = svc_number(argc, argv, 1, 3), status;

	workers = mmap(NULL, WORKERS_MAX * sizeof(*workers), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (workers == MAP_FAILED)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < n; i++)
		spawn();
	svc_ready(&prefork);
	while (svc_step(-1))
		;
	status = svc_end();
	for (int i = 0; i < n_workers; i++) {
		kill(workers[i].pid, SIGKILL);
		waitpid(workers[i].pid, NULL, 0);
	}
	return status;
}
