/* SPDX-License-Identifier: MIT */
/* hpd(8): options, and nothing else. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/defaults.h"
#include "base/fault.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "hp/err.h"

enum {
	OPT_SOCKET = 256,
	OPT_STATE_DIR,
	OPT_POLICY,
	OPT_IDLE_EXIT,
	OPT_READY_FD,
	OPT_CLIENT_TIMEOUT,
	OPT_IDLE,
	OPT_BELOW,
	OPT_GUARD,
	OPT_FAULT_POINTS,
};

static const struct option options[] = {
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"state-dir", required_argument, NULL, OPT_STATE_DIR},
	{"policy", required_argument, NULL, OPT_POLICY},
	{"idle-exit", no_argument, NULL, OPT_IDLE_EXIT},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	/* For hpctl and the tests, not in the manual. */
	{"ready-fd", required_argument, NULL, OPT_READY_FD},
	{"client-timeout-ms", required_argument, NULL, OPT_CLIENT_TIMEOUT},
	{"idle-ms", required_argument, NULL, OPT_IDLE},
	{"below", required_argument, NULL, OPT_BELOW},
	{"guard-ms", required_argument, NULL, OPT_GUARD},
	{"fault-points", no_argument, NULL, OPT_FAULT_POINTS},
	{NULL, 0, NULL, 0},
};

static void help(void)
{
	printf("usage: hpd [--socket PATH] [--state-dir DIR] [--policy FILE] [--idle-exit]\n"
	       "           [-v]\n"
	       "\n"
	       "Changes the code of running processes on behalf of hpctl(1).\n"
	       "\n"
	       "  --socket PATH     listen here (default %s)\n"
	       "  --state-dir DIR   keep patches here (default %s)\n"
	       "  --policy FILE     who may do what (default %s)\n"
	       "  --idle-exit       end after 5 seconds without a client and without a patch\n"
	       "  -v, --verbose     log more\n"
	       "  -h, --help        this text\n"
	       "  --version         the version\n",
	       HP_DEFAULT_SOCKET, HP_DEFAULT_STATE, HP_POLICY_FILE);
}

static void fault_points(void)
{
	for (enum hp_fault_point p = 0; p < HP_FAULTS; p++) {
		const struct hp_fault_info *i = hp_fault_info(p);

		printf("%s\t%s\t%s\t%s\n", i->name, i->who,
		       i->code ? "kill,error,hang" : "kill,hang", i->text);
	}
}

static bool number(const char *text, long max, long *ret)
{
	char *end;

	errno = 0;
	*ret = strtol(text, &end, 10);
	return !errno && end != text && !*end && *ret >= 0 && *ret <= max;
}

static int usage(const char *text, const char *value)
{
	fprintf(stderr, "hpd: %s%s (see hpd --help)\n", text, value);
	return HP_EXIT_USAGE;
}

/* 0: go on; else the exit status + 1. */
static int take_option(struct hp_daemon_options *o, int c, const char *arg)
{
	long n;

	switch (c) {
	case OPT_SOCKET:
		o->socket = arg;
		return 0;
	case OPT_STATE_DIR:
		o->state_dir = arg;
		return 0;
	case OPT_POLICY:
		o->policy = arg;
		return 0;
	case OPT_IDLE_EXIT:
		o->idle_exit = true;
		return 0;
	case 'v':
		hp_log_set_level(HP_LOG_DEBUG);
		return 0;
	case 'h':
		help();
		return HP_EXIT_DONE + 1;
	case 'V':
		printf("hpd %s\n", HP_VERSION);
		return HP_EXIT_DONE + 1;
	case OPT_FAULT_POINTS:
		fault_points();
		return HP_EXIT_DONE + 1;
	case OPT_BELOW:
		if (!number(arg, INT_MAX, &n) || !n)
			return usage("--below is no process: ", arg) + 1;
		o->below = (pid_t)n;
		return 0;
	case OPT_READY_FD:
		if (!number(arg, 1 << 20, &n))
			return usage("--ready-fd is no descriptor: ", arg) + 1;
		o->ready_fd = (int)n;
		return 0;
	case OPT_CLIENT_TIMEOUT:
	case OPT_IDLE:
	case OPT_GUARD:
		if (!number(arg, 3600000, &n) || !n)
			return usage("not a number of milliseconds: ", arg) + 1;
		*(c == OPT_IDLE    ? &o->idle_ns
		  : c == OPT_GUARD ? &o->guard_ns
				   : &o->client_timeout_ns) = (uint64_t)n * HP_MS;
		return 0;
	}
	return HP_EXIT_USAGE + 1; /* getopt_long(3) has said why */
}

/* Beside our own file, as it is built, or where it is installed: nobody calls it by hand. */
static const char *find_front(void)
{
	static char path[PATH_MAX];
	static const char installed[] = "../libexec/hp/hpd-front";
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(installed));
	char *slash, *name;

	path[n > 0 ? n : 0] = 0;
	slash = strrchr(path, '/');
	name = slash ? slash + 1 : path;
	snprintf(name, sizeof("hpd-front"), "hpd-front");
	if (access(path, X_OK) < 0)
		snprintf(name, sizeof(installed), "%s", installed);
	return path;
}

/* Ledgers and stacks, half a megabyte each of which some pages are used, stay mappings of their own:
 * from the heap calloc(3) would write them full of zeros, page by page, in every job.  Naming the
 * threshold, though it is the default, keeps it from growing (mallopt(3)). */
#define LARGE (128 << 10)

int main(int argc, char **argv)
{
	struct hp_daemon_options o = {
		.socket = HP_DEFAULT_SOCKET,
		.state_dir = HP_DEFAULT_STATE,
		.policy = HP_POLICY_FILE,
		.front = find_front(),
		.ready_fd = -1,
		.client_timeout_ns = 10 * HP_S,
		.answers_max = 256 << 20,
		.idle_ns = 5 * HP_S,
		.guard_ns = 5 * HP_S,
	};
	struct hp_err err;
	bool faulty;
	int c, k;

	(void)mallopt(M_MMAP_THRESHOLD, LARGE); /* 0 would cost time alone */
	while ((c = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
		k = take_option(&o, c, optarg);
		if (k)
			return k - 1;
	}
	if (optind < argc)
		return usage("takes no argument: ", argv[optind]);
	k = hp_fault_arm(&faulty, &err);
	if (faulty)
		hp_log(HP_LOG_WARNING, "fault points are armed (HP_FAULT): this is a test");
	if (k == 0)
		k = hp_daemon_run(&o, &err);
	if (k < 0) {
		hp_log(HP_LOG_ERROR, "%s", err.text);
		return hp_err_exit(k);
	}
	return HP_EXIT_DONE;
}
