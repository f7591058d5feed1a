/* SPDX-License-Identifier: MIT */
/* Which processes an operation is for. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/fd.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "hp/err.h"
#include "patch/file.h"
#include "patch/ledger.h"
#include "patch/ops.h"
#include "patch/store.h"
#include "target/agent.h"
#include "watch/watch.h"

#define NAME_LEN 16 /* of a ledger's memfd: the beginning of an id */

static char *read_maps(pid_t pid)
{
	char path[64], *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	return hp_read_file(-1, path, 64u << 20, &maps, NULL) < 0 ? NULL : maps;
}

bool hp_op_is_patched(pid_t pid)
{
	char *maps = read_maps(pid);
	bool has = maps && strstr(maps, HP_MEMFD_PREFIX);

	free(maps);
	return has;
}

/* Whether @pid has a patch whose id begins with @prefix; the beginning of its id goes to @name,
 * which is "" before the first: one prefix must not mean two patches. */
static int has_patch(pid_t pid, const char *prefix, char name[NAME_LEN + 1], struct hp_err *err)
{
	size_t len = strlen(prefix) < NAME_LEN ? strlen(prefix) : NAME_LEN;
	char *maps = read_maps(pid), *at = maps;
	int has = 0;

	while (has >= 0 && at && (at = strstr(at, HP_MEMFD_PREFIX))) {
		at += strlen(HP_MEMFD_PREFIX);
		if (strncmp(at, prefix, len) != 0)
			continue;
		has = 1;
		if (*name && strncmp(at, name, NAME_LEN) != 0)
			has = hp_err_set(err, -HP_E_AMBIGUOUS,
					 "patch id %s fits both %s… and %.16s… (process %d): give "
					 "more of it",
					 prefix, name, at, pid);
		else
			snprintf(name, NAME_LEN + 1, "%.16s", at);
	}
	free(maps);
	return has;
}

/* Of @pids with @all only those stay that have the patch. */
static int resolve(struct hp_pids *pids, bool all, const char *prefix, char id[HP_ID_LEN + 1],
		   struct hp_err *err)
{
	char name[NAME_LEN + 1] = "";
	size_t n = 0;
	int has = 0;

	if (!*prefix)
		return hp_err_set(err, -HP_E_USAGE, "the patch id is empty");
	for (size_t i = 0; i < pids->n && has >= 0; i++) {
		has = has_patch(pids->v[i], prefix, name, err);
		if (has > 0 || !all)
			pids->v[n++] = pids->v[i];
	}
	pids->n = n;
	snprintf(id, HP_ID_LEN + 1, "%s", strlen(prefix) < strlen(name) ? name : prefix);
	return has < 0 ? has : 0;
}

static int select_named(const struct hp_selector *s, struct hp_pids *ret, struct hp_err *err)
{
	if (s->children)
		return hp_processes_family(s->pids, s->n_pids, ret, err);
	for (size_t i = 0; i < s->n_pids; i++) {
		pid_t *v = HP_ARRAY_ADD(ret);

		if (!v)
			return hp_err_set(err, -ENOMEM, "no memory for a list of processes");
		*v = s->pids[i];
	}
	return 0;
}

/* A patch does not say whose functions it replaces, but may say of which build they are. */
static int select_for(const struct hp_load_request *load, int copy_fd, struct hp_pids *ret,
		      struct hp_err *err)
{
	struct hp_patchinfo info = {0};
	struct hp_symtab *st = NULL;
	struct hp_file file;
	const char *want;
	int r;

	if ((r = hp_file_open(&file, copy_fd, load->file, err)) < 0)
		return r;
	if ((r = hp_symtab_load(&st, file.image, NULL, err)) >= 0 &&
	    (r = hp_patchinfo_read(&info, file.image, st, err)) >= 0) {
		want = hp_pairs_get(&info.meta, "needs-build-id");
		r = want ? hp_processes_of_build_id(want, ret, err)
			 : hp_err_set(err, -HP_E_NOT_PATCH,
				      "%s does not say which build it is for "
				      "(HP_META(\"needs-build-id\", …)), so that \"all\" would be "
				      "every process: name them by pid or executable",
				      load->file);
	}
	hp_patchinfo_free(&info);
	hp_symtab_free(st);
	hp_file_free(&file);
	return r;
}

static int nobody(const struct hp_selector *s, bool load, const char *prefix, struct hp_err *err)
{
	if (s->exe)
		return hp_err_set(err, -HP_E_GONE, "no process runs %s", s->exe);
	if (load)
		return hp_err_set(err, -HP_E_GONE, "no process has mapped what the patch is for");
	return hp_err_set(err, -HP_E_NOT_LOADED, "no process has patch %s", prefix ? prefix : "");
}

int hp_op_select(const struct hp_selector *s, const struct hp_load_request *load,
		 const char *prefix, struct hp_pids *ret, char id[HP_ID_LEN + 1],
		 struct hp_err *err)
{
	struct hp_pids pids = {0};
	hp_autoclose int copy = -1;
	int r = load ? hp_store_read(load->file_fd, load->file, id, &copy, err) : 0;

	if (r < 0)
		return r;
	if (s->exe)
		r = hp_processes_of_exe(s->exe, &pids, err);
	else if (!s->all)
		r = select_named(s, &pids, err);
	else if (load)
		r = select_for(load, copy, &pids, err);
	else
		r = hp_processes_all(&pids, err);
	if (r >= 0 && prefix)
		r = resolve(&pids, s->all, prefix, id, err);
	if (r >= 0 && !pids.n)
		r = nobody(s, load, prefix, err);
	if (r < 0)
		HP_ARRAY_FREE(&pids);
	else
		*ret = pids;
	return r;
}

int hp_op_traces(const struct hp_selector *s, struct hp_pids *ret, struct hp_err *err)
{
	struct hp_pids all = {0}, traces = {0};
	size_t n = 0;
	int r = hp_op_select(s, NULL, NULL, &all, NULL, err);

	if (r >= 0)
		r = hp_agent_traces(&traces, err);
	for (size_t i = 0; i < all.n && r >= 0; i++) {
		pid_t *v = hp_held_is(all.v[i]) ? HP_ARRAY_ADD(&traces) : &all.v[i];

		if (v)
			*v = all.v[i];
		else
			r = hp_err_set(err, -ENOMEM, "no memory for a list of processes");
	}
	for (size_t i = 0; i < traces.n && r >= 0; i++) {
		bool wanted = false, twice = false;

		for (size_t k = 0; k < all.n; k++)
			wanted |= all.v[k] == traces.v[i];
		for (size_t k = 0; k < n; k++)
			twice |= traces.v[k] == traces.v[i];
		if (wanted && !twice)
			traces.v[n++] = traces.v[i];
	}
	traces.n = n;
	HP_ARRAY_FREE(&all);
	if (r < 0)
		HP_ARRAY_FREE(&traces);
	else
		*ret = traces;
	return r;
}
