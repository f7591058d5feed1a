/* SPDX-License-Identifier: MIT */
/*
 * prefork [WORKERS] – a parent and single-threaded workers that call work() all the time.
 * "spawn" forks one more; "workers" prints a line for each: its pid, and what work(0) gave last;
 * "exec PROGRAM" makes the last worker another program.  "churn" forks children all the while that
 * call work() some times, check that it never goes back and forth, and end; "rest" no more.
 */
#include "svc.h"
#include "tied.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS_MAX 1024
#define CHURN_CALLS 200
#define CHURN_ALIVE 8

struct worker {
	pid_t pid;
	int last; /* work(0) as of the last call */
	unsigned long calls, wrong;
	int exec; /* told to become another program: */
	char path[256];
};

static struct worker *workers; /* shared with them */
static int n_workers;
static unsigned nap_us = 50;
static bool churning;
static unsigned long forks, churn_wrong;

__attribute__((noipa)) int work(int x)
{
	return x + 1;
}

__attribute__((noreturn)) static void run_worker(struct worker *w)
{
	signal(SIGTERM, SIG_DFL);
	for (int x = 0;; x = (x + 1) & 0xff) {
		int r = work(x);

		if (r != x + 1 && r != x + 1000)
			w->wrong++;
		__atomic_store_n(&w->last, r - x, __ATOMIC_RELAXED);
		__atomic_store_n(&w->calls, w->calls + 1, __ATOMIC_RELAXED);
		if (__atomic_load_n(&w->exec, __ATOMIC_ACQUIRE))
			execl(w->path, w->path, "1000", NULL);
		svc_nap_us(nap_us);
	}
}

static void spawn(void)
{
	struct worker *w = &workers[n_workers];
	pid_t p;

	if (n_workers == WORKERS_MAX)
		return;
	fflush(stdout);
	p = tied_fork();
	if (!p)
		run_worker(w);
	w->pid = p;
	n_workers++;
	printf("worker %d\n", (int)p);
}

/* Old, then new, or the other way round, but once: a load or an unload may come. */
static int judge_calls(void)
{
	int last = 0, turns = 0, wrong = 0;

	for (int x = 0; x < CHURN_CALLS; x++) {
		int more = work(x) - x;

		wrong += more != 1 && more != 1000;
		turns += last && more != last;
		last = more;
	}
	return wrong || turns > 1;
}

static void churn(void)
{
	static pid_t child[CHURN_ALIVE];
	int status;

	for (int i = 0; i < CHURN_ALIVE; i++) {
		if (child[i] && waitpid(child[i], &status, WNOHANG) == child[i]) {
			child[i] = 0;
			churn_wrong += status != 0;
		}
		if (child[i] || !churning)
			continue;
		child[i] = fork();
		if (child[i] == 0)
			_exit(judge_calls());
		forks++;
	}
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
	fprintf(out,
		",\"workers\":%d,\"alive\":%d,\"calls\":%lu,\"wrong\":%lu,\"forks\":%lu,"
		"\"churn_wrong\":%lu",
		n_workers, alive, calls, wrong, forks, churn_wrong);
	return !wrong && !churn_wrong && alive == n_workers;
}

static bool command(const char *line)
{
	if (!strcmp(line, "spawn")) {
		spawn();
		return true;
	}
	if (!strcmp(line, "churn") || !strcmp(line, "rest")) {
		churning = line[0] == 'c';
		return true;
	}
	if (!strncmp(line, "exec ", 5) && n_workers) {
		struct worker *w = &workers[n_workers - 1];

		snprintf(w->path, sizeof(w->path), "%s", line + 5);
		__atomic_store_n(&w->exec, 1, __ATOMIC_RELEASE);
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
	nap_us *= 1 + 2 * (unsigned)n; /* many of them are not to fill the machine */
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < n; i++)
		spawn();
	svc_ready(&prefork);
	while (svc_step(churning ? 1 : -1))
		churn();
	status = svc_end();
	for (int i = 0; i < n_workers; i++) {
		kill(workers[i].pid, SIGKILL);
		waitpid(workers[i].pid, NULL, 0);
	}
	return status;
}
