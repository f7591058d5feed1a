/* SPDX-License-Identifier: MIT */
#include "service/creds.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "hp/err.h"
#include "target/procfs.h"

#define STATUS_MAX (64u << 10)
/* To become anybody. */
#define SET_IDS (1ull << CAP_SETUID | 1ull << CAP_SETGID)

static bool read_ids(pid_t pid, const char *key, unsigned ret[3])
{
	char text[64];

	return hp_status_text(pid, key, text, sizeof(text)) &&
	       sscanf(text, "%u %u %u", &ret[0], &ret[1], &ret[2]) == 3;
}

static int read_groups(struct hp_creds *c, pid_t pid)
{
	static char text[STATUS_MAX];
	char *p = text;

	if (!hp_status_text(pid, "Groups", text, sizeof(text)))
		return -ESRCH;
	c->groups = calloc(strlen(text) / 2 + 1, sizeof(*c->groups));
	if (!c->groups)
		return -ENOMEM;
	for (p += strspn(p, " "); *p; p += strspn(p, " "))
		c->groups[c->n_groups++] = (gid_t)strtoul(p, &p, 10);
	return 0;
}

static int read_user_ns(struct hp_creds *c, pid_t pid)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	if (stat(path, &st))
		return -errno;
	c->user_ns = st.st_ino;
	return 0;
}

/* "unconfined\n", "/usr/sbin/x (enforce)\n" (AppArmor), "system_u:…" (SELinux).  "": there is none. */
static int read_label(pid_t pid, char *buf, size_t n, struct hp_err *err)
{
	char path[64], *text;
	int r;

	buf[0] = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/attr/current", (int)pid);
	r = hp_read_file(AT_FDCWD, path, n - 1, &text, NULL);
	if (r == -ENOENT || r == -EINVAL)
		return 0; /* no security module */
	if (r < 0)
		return hp_err_sys(err, -r, "security label of process %d", (int)pid);
	text[strcspn(text, "\n")] = 0;
	(void)snprintf(buf, n, "%s", text);
	free(text);
	return 0;
}

/* Of what runs under the label that we run under nothing has to be set. */
static int find_label(struct hp_creds *c, pid_t pid, struct hp_err *err)
{
	char ours[sizeof(c->label)];
	int r = read_label(pid, c->label, sizeof(c->label), err);

	if (r == 0)
		r = read_label(getpid(), ours, sizeof(ours), err);
	if (r == 0 && (!strcmp(c->label, ours) || !strcmp(c->label, "unconfined")))
		c->label[0] = 0;
	return r;
}

int hp_creds_read(struct hp_creds *ret, pid_t pid, struct hp_err *err)
{
	struct hp_creds c = {0};
	uint64_t nnp = 0;
	int r = -ESRCH;

	if (read_ids(pid, "Uid", c.uid) && read_ids(pid, "Gid", c.gid) &&
	    hp_status_number(pid, "CapPrm", 16, &c.permitted) &&
	    hp_status_number(pid, "CapBnd", 16, &c.bounding) &&
	    hp_status_number(pid, "CapInh", 16, &c.inheritable) &&
	    hp_status_number(pid, "CapAmb", 16, &c.ambient) &&
	    hp_status_number(pid, "NoNewPrivs", 10, &nnp))
		r = read_user_ns(&c, pid) ?: read_groups(&c, pid);
	r = r < 0 ? hp_err_sys(err, -r, "credentials of process %d", (int)pid) : find_label(&c, pid, err);
	if (r < 0) {
		hp_creds_free(&c);
		return r;
	}
	c.no_new_privs = nnp;
	*ret = c;
	return 0;
}

int hp_creds_copy(struct hp_creds *to, const struct hp_creds *from)
{
	gid_t *groups = calloc(from->n_groups + 1, sizeof(*groups));

	if (!groups)
		return -ENOMEM;
	if (from->n_groups)
		memcpy(groups, from->groups, from->n_groups * sizeof(*groups));
	*to = *from;
	to->groups = groups;
	return 0;
}

bool hp_creds_same(const struct hp_creds *a, const struct hp_creds *b)
{
	return !memcmp(a->uid, b->uid, sizeof(a->uid)) && !memcmp(a->gid, b->gid, sizeof(a->gid)) &&
	       a->n_groups == b->n_groups &&
	       (!a->n_groups ||
		!memcmp(a->groups, b->groups, a->n_groups * sizeof(*a->groups))) &&
	       a->permitted == b->permitted && a->bounding == b->bounding &&
	       a->inheritable == b->inheritable && a->ambient == b->ambient &&
	       a->no_new_privs == b->no_new_privs && a->user_ns == b->user_ns &&
	       !strcmp(a->label, b->label);
}

static bool has_uid(const struct hp_creds *c, uid_t uid)
{
	return c->uid[0] == uid || c->uid[1] == uid || c->uid[2] == uid;
}

static bool has_gid(const struct hp_creds *c, gid_t gid)
{
	for (size_t i = 0; i < c->n_groups; i++)
		if (c->groups[i] == gid)
			return true;
	return c->gid[0] == gid || c->gid[1] == gid || c->gid[2] == gid;
}

bool hp_creds_suffice(const struct hp_creds *held, const struct hp_creds *wanted)
{
	if (wanted->permitted & ~held->permitted)
		return false;
	if (has_uid(held, 0) && !(SET_IDS & ~held->permitted))
		return true;
	for (int i = 0; i < 3; i++)
		if (!has_uid(held, wanted->uid[i]) || !has_gid(held, wanted->gid[i]))
			return false;
	for (size_t i = 0; i < wanted->n_groups; i++)
		if (!has_gid(held, wanted->groups[i]))
			return false;
	return true;
}

void hp_creds_take_all(struct hp_creds *c)
{
	c->permitted = c->bounding | c->inheritable;
}

uint64_t hp_creds_withheld(const struct hp_creds *c)
{
	return has_uid(c, 0) ? (c->bounding | c->inheritable) & ~c->permitted : 0;
}

void hp_creds_free(struct hp_creds *c)
{
	free(c->groups);
	c->groups = NULL;
	c->n_groups = 0;
}

static int lookup(const char *name, const char *group, struct hp_creds *c, struct hp_err *err)
{
	const struct passwd *pw = getpwnam(name);
	const struct group *gr = group ? getgrnam(group) : NULL;
	char *end;
	gid_t gid;
	int n = 0;

	if (!pw) {
		unsigned long uid = strtoul(name, &end, 10);

		pw = *name && !*end ? getpwuid((uid_t)uid) : NULL;
	}
	if (!pw)
		return hp_err_set(err, -HP_E_USAGE, "there is no user '%s'", name);
	if (group && !gr)
		return hp_err_set(err, -HP_E_USAGE, "there is no group '%s'", group);
	gid = gr ? gr->gr_gid : pw->pw_gid;
	for (int i = 0; i < 3; i++) {
		c->uid[i] = pw->pw_uid;
		c->gid[i] = gid;
	}
	if (pw->pw_uid == 0)
		hp_creds_take_all(c);
	else
		c->permitted = c->ambient;
	hp_creds_free(c);
	(void)getgrouplist(pw->pw_name, gid, NULL, &n); /* asks for the number */
	c->groups = calloc((size_t)n + 1, sizeof(*c->groups));
	if (!c->groups)
		return hp_err_sys(err, ENOMEM, "groups of '%s'", name);
	if (getgrouplist(pw->pw_name, gid, c->groups, &n) < 0)
		return hp_err_set(err, -HP_E_FAILED, "the groups of '%s' changed meanwhile", name);
	c->n_groups = (size_t)n;
	return 0;
}

int hp_creds_of_user(struct hp_creds *c, const char *user, struct hp_err *err)
{
	const char *colon = strchr(user, ':');
	char name[64];

	(void)snprintf(name, sizeof(name), "%.*s", (int)(colon ? colon - user : (long)strlen(user)),
		       user);
	return lookup(name, colon ? colon + 1 : NULL, c, err);
}

static int drop_bounding(uint64_t keep)
{
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (keep & 1ull << cap)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) && errno == EINVAL)
			return 0; /* the kernel knows no more */
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
			return -EPERM;
	}
	return 0;
}

/* The other sets follow from these, and the user ids, at the execve(2): under no_new_privs it gives
 * none that is not permitted before. */
static int set_caps(uint64_t permitted, uint64_t inheritable, uint64_t ambient)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return -errno;
	for (int i = 0; i < 2; i++) {
		data[i].inheritable = (uint32_t)(inheritable >> 32 * i);
		data[i].permitted &= (uint32_t)(permitted >> 32 * i);
		data[i].effective &= data[i].permitted;
	}
	if (syscall(SYS_capset, &head, data))
		return -errno;
	for (unsigned long cap = 0; cap < 64; cap++)
		if (ambient & 1ull << cap &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0))
			return -errno;
	return 0;
}

int hp_creds_set_label(const struct hp_creds *c)
{
	hp_autoclose int fd = -1;
	const char *label = c->label;
	char text[512];
	int n;

	if (!*label)
		return 0;
	fd = open("/proc/thread-self/attr/exec", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* AppArmor takes "exec PROFILE", and shows the mode behind the name. */
	n = strchr(label, ':') ? snprintf(text, sizeof(text), "%s", label)
			       : snprintf(text, sizeof(text), "exec %.*s",
					  (int)strcspn(label, " "), label);
	return hp_write_all(fd, text, (size_t)n);
}

int hp_creds_apply(const struct hp_creds *c, const char **what)
{
	/* Under no_new_privs root gets nothing back that is not permitted; else all that this leaves. */
	uint64_t withheld = c->no_new_privs ? 0 : hp_creds_withheld(c);
	int r;

	*what = "the groups";
	if (setgroups(c->n_groups, c->groups) || setresgid(c->gid[0], c->gid[1], c->gid[2]))
		return -errno;
	*what = "the capability bounding set";
	r = drop_bounding(c->bounding & ~withheld);
	if (r < 0)
		return r;
	*what = "the user";
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setresuid(c->uid[0], c->uid[1], c->uid[2]))
		return -errno;
	*what = "the capabilities";
	r = set_caps(c->permitted, c->inheritable & ~withheld, c->ambient);
	if (r < 0)
		return r;
	*what = "no_new_privs";
	return c->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}
