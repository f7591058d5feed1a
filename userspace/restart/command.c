/* SPDX-License-Identifier: MIT */
/* What is executed: the words behind "--", or those that the old process was started with. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"
#include "restart/spec.h"
#include "service/path.h"

#define CMDLINE_MAX  (1u << 20)
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static bool is_program(pid_t pid, const char *path)
{
	hp_autoclose int fd = hp_path_open(pid, AT_FDCWD, path);
	struct stat st;
	char link[64];

	if (fd < 0)
		return false;
	/* A link at its end is followed from here; one that only the program's root has is not. */
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st) == 0 && S_ISLNK(st.st_mode))
		return true;
	return S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

/* As execvp(3) would find @name for the old process, with the new one's PATH. */
static bool find(struct hp_spec *s, pid_t pid, const char *name)
{
	const char *path = hp_environ_get(s, "PATH");

	if (strchr(name, '/')) {
		(void)snprintf(s->file, sizeof(s->file), "%s", name);
		return strlen(name) < sizeof(s->file) && is_program(pid, name);
	}
	for (path = path && *path ? path : DEFAULT_PATH; *name && *path;) {
		size_t n = strcspn(path, ":");

		(void)snprintf(s->file, sizeof(s->file), "%.*s%s%s", (int)n, path, n ? "/" : "./",
			       name);
		if (n + strlen(name) + 2 < sizeof(s->file) && is_program(pid, s->file))
			return true;
		path += n + (path[n] == ':');
	}
	return false;
}

static int rewritten(pid_t pid, const char *text, struct hp_err *err)
{
	return hp_err_set(err, -HP_E_COMMAND,
			  "process %d shows '%.200s' as its command line, which is not the one it was "
			  "started with; name the command to start, behind --",
			  (int)pid, text);
}

/* The words end with a NUL each, and the first one is a program, unless the program has written
 * something else over them. */
static int take_own(struct hp_spec *s, pid_t pid, struct hp_err *err)
{
	char path[64], *text;
	size_t n;
	int r;

	if (s->rises)
		return hp_err_set(err, -HP_E_COMMAND,
				  "the command line of process %d is its own word, and the new one would get "
				  "rights that it has not; name the command to start, behind --",
				  (int)pid);
	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	r = hp_read_file(AT_FDCWD, path, CMDLINE_MAX, &text, &n);
	if (r < 0)
		return hp_err_sys(err, -r, "command line of process %d", (int)pid);
	for (size_t at = 0; r == 0 && at < n; at += strlen(text + at) + 1)
		r = hp_strings_add(&s->argv, text + at);
	if (r < 0)
		r = hp_err_sys(err, -r, "command line of process %d", (int)pid);
	else if (!n || text[n - 1] || (n > 1 && !text[n - 2]) || !find(s, pid, s->argv.v[0]))
		r = rewritten(pid, text, err);
	free(text);
	return r;
}

int hp_command_read(struct hp_spec *s, const struct hp_restart_request *req, struct hp_err *err)
{
	int r = 0;

	if (!req->n_argv && *s->unit.name)
		return hp_unit_command(s, err);
	if (!req->n_argv)
		return take_own(s, req->pid, err);
	for (size_t i = 0; r == 0 && i < req->n_argv; i++)
		r = hp_strings_add(&s->argv, req->argv[i]);
	if (r < 0)
		return hp_err_sys(err, -r, "command");
	if (s->rises && *req->argv[0] != '/' && strchr(req->argv[0], '/'))
		return hp_err_set(err, -HP_E_COMMAND,
				  "'%.200s' is looked up where process %d has gone, and would get rights "
				  "that it has not; name the whole path",
				  req->argv[0], (int)req->pid);
	if (!find(s, req->pid, req->argv[0]))
		return hp_err_set(err, -HP_E_NO_FILE,
				  "there is no program '%.200s' where process %d is", req->argv[0],
				  (int)req->pid);
	return 0;
}
