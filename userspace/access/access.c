/* SPDX-License-Identifier: MIT */
#include "access/access.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/open_as.h"
#include "access/patch_file.h"
#include "base/fd.h"
#include "elf/patchinfo.h"
#include "hp/err.h"
#include "target/target.h"

int hp_access_read(struct hp_access *a, const char *file, struct hp_err *err)
{
	struct hp_policy p;
	int k = hp_policy_read(file, &p, err);

	if (k < 0)
		return k;
	hp_policy_free(&a->policy);
	*a = (struct hp_access){.file = file, .policy = p};
	return 0;
}

void hp_access_free(struct hp_access *a)
{
	hp_policy_free(&a->policy);
}

static struct hp_asker asker(const struct hp_peer *peer)
{
	return (struct hp_asker){peer->uid, peer->gid, peer->n_gids};
}

int hp_access_peer(const struct hp_access *a, const struct hp_peer *peer, struct hp_err *err)
{
	const struct hp_asker who = asker(peer);

	if (hp_policy_knows(&a->policy, &who))
		return 0;
	return hp_err_set(err, -HP_E_DENIED,
			  "uid %u may not use hpd: no rule of the policy allows it anything "
			  "(run hpctl as root, or see hp-policy(5))",
			  peer->uid);
}

int hp_access_general(const struct hp_access *a, const struct hp_peer *peer, enum hp_right right,
		      struct hp_err *err)
{
	const struct hp_asker who = asker(peer);

	return hp_policy_decide(&a->policy, &who, right, NULL, NULL, err);
}

int hp_access_open_file(const struct hp_peer *peer, const char *path, struct hp_err *err)
{
	const struct hp_rights r = {peer->uid, peer->gid, peer->n_gids};
	/* Through those of /proc the job's CAP_SYS_PTRACE would go along, and /proc/self is the job's. */
	int fd = hp_open_as(&r, AT_FDCWD, path, peer->uid ? RESOLVE_NO_MAGICLINKS : 0);

	if (fd == -ELOOP && peer->uid)
		return hp_err_set(err, -HP_E_NO_FILE,
				  "open %s: %s, or one as /proc/PID/root is, through which hpd opens "
				  "files for root only",
				  path, strerror(ELOOP));
	return fd < 0 ? hp_err_set(err, -HP_E_NO_FILE, "open %s: %s", path, strerror(-fd)) : fd;
}

int hp_access_read_signature(struct hp_access_question *q, struct hp_err *err)
{
	char path[4096 + sizeof(HP_SIGNATURE_SUFFIX)];
	hp_autoclose int fd = -1;
	struct stat st;
	char *text;

	snprintf(path, sizeof(path), "%s" HP_SIGNATURE_SUFFIX, q->patch);
	if (q->by_target)
		(void)hp_patch_file_open_as(q->by_target, q->of, path, &fd, NULL); /* or fd stays -1 */
	else
		fd = hp_access_open_file(q->peer, path, NULL);
	if (fd < 0)
		return 0; /* there is none for this peer; where one is needed, that is said then */
	if (fstat(fd, &st) < 0)
		return hp_err_sys(err, errno, "stat %s", path);
	if (!S_ISREG(st.st_mode) || st.st_size > HP_MINISIGN_FILE_MAX)
		return hp_err_set(err, -HP_E_SIGNATURE, "%s is not a minisign signature", path);
	text = calloc(1, (size_t)st.st_size + 1);
	if (!text)
		return hp_err_set(err, -ENOMEM, "no memory for a signature");
	if (hp_pread_all(fd, text, (size_t)st.st_size, 0) < 0) {
		free(text);
		return hp_err_set(err, -HP_E_NO_FILE, "read %s", path);
	}
	q->signature = text;
	return 0;
}

/* A signature that is there must hold, and be of a key that is trusted, needed or not. */
static int find_signer(struct hp_access_question *q, int patch_fd, struct hp_err *err)
{
	struct hp_keyring ring;
	struct stat st;
	void *data;
	int k;

	if (!q->signature)
		return 0;
	if ((k = hp_keyring_read(q->access->policy.keys, &ring, err)) < 0)
		return k;
	k = fstat(patch_fd, &st) < 0 ? hp_err_sys(err, errno, "stat %s", q->patch) : 0;
	data = k == 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, patch_fd, 0)
		      : MAP_FAILED;
	if (k == 0 && data == MAP_FAILED)
		k = hp_err_sys(err, errno, "map %s", q->patch);
	if (k == 0) {
		k = hp_keyring_verify(&ring, q->signature, q->patch, data, (size_t)st.st_size,
				      &q->signer, err);
		munmap(data, (size_t)st.st_size);
	}
	hp_keyring_free(&ring);
	q->is_signed = k == 0;
	return k;
}

static int seal_add(struct hp_pairs *seal, const struct hp_signer *s)
{
	char until[11];

	if (hp_pairs_add(seal, "key_id", s->id) < 0 || hp_pairs_add(seal, "key", s->name) < 0)
		return -ENOMEM;
	if (!s->expires)
		return 0;
	hp_expiry_text(s->expires, until);
	return hp_pairs_add(seal, "expires", until) < 0 ? -ENOMEM : 0;
}

/* A number is another process's when the first one has ended: @t, which was opened by it, is the one that
 * was meant if that is there still. */
static int check_same(const struct hp_access_question *q, struct hp_err *err)
{
	if (q->process < 0 || hp_pidfd_lives(q->process))
		return 0;
	return hp_err_set(err, -HP_E_GONE, "the process that was meant has exited");
}

/* Whoever was let in as the owner, or for the owner's process, was not let into what that executed since. */
static int check_owner(const struct hp_access_question *q, const struct hp_policy_target *t,
		       struct hp_err *err)
{
	if (!q->of || (t->uid == q->of && (t->is_shown || !q->by_owner)))
		return 0;
	return hp_err_set(err, -HP_E_DENIED,
			  "the process does not run with the rights of uid %u alone any more", q->of);
}

int hp_access_permit(void *arg, const struct hp_target *t, int patch_fd, struct hp_pairs *seal,
		     struct hp_err *err)
{
	struct hp_access_question *q = arg;
	const struct hp_asker who = asker(q->peer);
	struct hp_access_facts facts;
	int k = check_same(q, err);

	if (k < 0)
		return k;
	if (patch_fd >= 0 && (k = find_signer(q, patch_fd, err)) < 0)
		return k;
	if ((k = hp_access_facts(t, &facts, err)) < 0 || (k = hp_target_check(t, err)) < 0 ||
	    (k = check_owner(q, &facts.t, err)) < 0)
		return k;
	k = hp_policy_decide(&q->access->policy, &who, q->right, &facts.t,
			     q->is_signed ? &q->signer : NULL, err);
	if (k == 0 && patch_fd >= 0 && q->is_signed && seal_add(seal, &q->signer) < 0)
		return hp_err_set(err, -ENOMEM, "no memory for the signer's name");
	return k;
}
