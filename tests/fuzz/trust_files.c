/* SPDX-License-Identifier: MIT */
/* The first byte says what the rest is taken for: a key, a signature, a policy. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuzz.h"
#include "hp/err.h"
#include "trust/policy.h"

static void check(int r, const struct hp_err *err)
{
	if (r < 0 && !err->text[0])
		abort(); /* a refusal says why */
}

static void judge(const char *text)
{
	static const gid_t gid[] = {0, 100};
	const struct hp_asker who = {1000, gid, 2};
	const struct hp_policy_target t = {
		.uid = 1000, .is_shown = true, .exe = "/bin/sh", .unit = "a.service"};
	struct hp_err err = {0};
	struct hp_policy p;
	int r = hp_policy_parse(text, "policy.conf", &p, &err);

	check(r, &err);
	if (r < 0)
		return;
	for (unsigned right = HP_RIGHT_SEE; right <= HP_RIGHT_RESTART; right *= 2) {
		err.text[0] = 0;
		check(hp_policy_decide(&p, &who, right, &t, NULL, &err), &err);
		/* Whom no rule knows, none allows anything. */
		if (!hp_policy_knows(&p, &who) && !err.text[0])
			abort();
	}
	hp_policy_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	const struct hp_public_key nobody = {.id = {1}};
	struct hp_public_key key;
	struct hp_secret_key secret;
	struct hp_signature sig;
	struct hp_err err = {0};
	bool encrypted;
	char *text;
	int r = 0;

	if (!n || !(text = calloc(1, n)))
		return 0;
	memcpy(text, bytes + 1, n - 1);
	switch (bytes[0] % 4) {
	case 0:
		r = hp_minisign_read_public(text, "x.pub", &key, &err);
		break;
	case 1:
		r = hp_minisign_read_signature(text, "x.minisig", &sig, &err);
		if (r == 0 && hp_minisign_verify(&sig, &nobody, "x", 1, 0, &err) == 0)
			abort();
		break;
	case 2:
		r = hp_minisign_read_secret(text, "x.key", NULL, &secret, &encrypted, &err);
		break;
	case 3:
		judge(text);
		break;
	}
	check(r, &err);
	free(text);
	return 0;
}
