/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "hp/err.h"
#include "trust/policy.h"

static struct hp_err err;
static const gid_t users[] = {100, 2000};
static const struct hp_asker root = {.uid = 0}, alice = {1000, users, 2}, bob = {1001, users, 1};
static const struct hp_signer signer = {.id = "D0ABE882F0FCBA5D"};

static struct hp_policy parse(const char *text)
{
	struct hp_policy p;

	if (hp_policy_parse(text, "policy.conf", &p, &err) < 0)
		fail_msg("%s", err.text);
	return p;
}

static int decide(const char *text, const struct hp_asker *who, enum hp_right right,
		  const struct hp_policy_target *t, const struct hp_signer *s)
{
	struct hp_policy p = parse(text);
	int r = hp_policy_decide(&p, who, right, t, s, &err);

	hp_policy_free(&p);
	return r;
}

static struct hp_policy_target target(const char *path, uid_t uid)
{
	struct hp_policy_target t = {
		.uid = uid, .is_shown = true, .exe = path, .unit = "redis.service"};
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	t.exe_dev = st.st_dev;
	t.exe_ino = st.st_ino;
	return t;
}

static void nothing_fits_nothing_goes(void **state)
{
	assert_int_equal(decide("", &root, HP_RIGHT_SEE, NULL, NULL), -HP_E_DENIED);
	assert_int_equal(decide("# nobody\n\n", &alice, HP_RIGHT_LOAD, NULL, NULL), -HP_E_DENIED);
}

static void the_first_that_fits_decides(void **state)
{
	struct hp_policy_target t = target("/bin/sh", 1000);

	assert_int_equal(decide("deny user 1000\nallow anyone\n", &alice, HP_RIGHT_LOAD, &t, NULL),
			 -HP_E_DENIED);
	assert_non_null(strstr(err.text, "line 1 of the policy"));
	assert_int_equal(decide("deny user 1000\nallow anyone\n", &bob, HP_RIGHT_LOAD, &t, NULL), 0);
	assert_int_equal(decide("allow anyone\ndeny user 1000\n", &alice, HP_RIGHT_LOAD, &t, NULL),
			 0);
}

static void knows_people(void **state)
{
	struct hp_policy_target t = target("/bin/sh", 1000);

	assert_int_equal(decide("allow root", &root, HP_RIGHT_LOAD, &t, NULL), 0);
	assert_int_equal(decide("allow root", &alice, HP_RIGHT_LOAD, &t, NULL), -HP_E_DENIED);
	assert_int_equal(decide("allow user root", &root, HP_RIGHT_LOAD, &t, NULL), 0);
	assert_int_equal(decide("allow group 2000", &alice, HP_RIGHT_LOAD, &t, NULL), 0);
	assert_int_equal(decide("allow group 2000", &bob, HP_RIGHT_LOAD, &t, NULL), -HP_E_DENIED);
	assert_int_equal(decide("allow owner", &alice, HP_RIGHT_LOAD, &t, NULL), 0);
	assert_int_equal(decide("allow owner", &bob, HP_RIGHT_LOAD, &t, NULL), -HP_E_DENIED);
	assert_int_equal(decide("allow owner", &alice, HP_RIGHT_SEE, NULL, NULL), -HP_E_DENIED);
	t.uid = (uid_t)-1; /* a set-uid program is nobody's own */
	assert_int_equal(decide("allow owner", &alice, HP_RIGHT_LOAD, &t, NULL), -HP_E_DENIED);
}

static void knows_rights(void **state)
{
	const char *rules = "allow user 1000 to see,unload";

	assert_int_equal(decide(rules, &alice, HP_RIGHT_SEE, NULL, NULL), 0);
	assert_int_equal(decide(rules, &alice, HP_RIGHT_UNLOAD, NULL, NULL), 0);
	assert_int_equal(decide(rules, &alice, HP_RIGHT_LOAD, NULL, &signer), -HP_E_DENIED);
	assert_int_equal(decide(rules, &alice, HP_RIGHT_RESTART, NULL, NULL), -HP_E_DENIED);
}

static void knows_programs_by_their_file(void **state)
{
	struct hp_policy_target sh = target("/bin/sh", 0), env = target("/usr/bin/env", 0);
	const char *rules = "allow anyone exe /bin/sh";

	assert_int_equal(decide(rules, &bob, HP_RIGHT_LOAD, &sh, NULL), 0);
	assert_int_equal(decide(rules, &bob, HP_RIGHT_LOAD, &env, NULL), -HP_E_DENIED);
	/* A name is no proof. */
	env.exe = "/bin/sh";
	assert_int_equal(decide(rules, &bob, HP_RIGHT_LOAD, &env, NULL), -HP_E_DENIED);
	env.exe = "/bin/sh (deleted)";
	assert_int_equal(decide(rules, &bob, HP_RIGHT_LOAD, &env, NULL), -HP_E_DENIED);
	env.exe_roots = true;
	assert_int_equal(decide(rules, &bob, HP_RIGHT_LOAD, &env, NULL), 0);
	env.exe = "/bin/shady (deleted)";
	assert_int_equal(decide(rules, &bob, HP_RIGHT_LOAD, &env, NULL), -HP_E_DENIED);
}

/* A directory of @mode and @uid, in one of root's, with a link "srv"; its name in @dir. */
static void make_place(char dir[64], mode_t mode, uid_t uid)
{
	char file[80], place[] = "/tmp/hp-policy-XXXXXX";

	assert_non_null(mkdtemp(place));
	snprintf(dir, 64, "%s/d", place);
	assert_int_equal(mkdir(dir, 0755), 0);
	snprintf(file, sizeof(file), "%s/srv", dir);
	assert_int_equal(symlink("/usr/bin/env", file), 0);
	assert_int_equal(chown(dir, uid, 0), 0);
	assert_int_equal(chmod(dir, mode), 0);
}

static void remove_place(char *dir)
{
	char file[80];

	snprintf(file, sizeof(file), "%s/srv", dir);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(dir), 0);
	*strrchr(dir, '/') = '\0';
	assert_int_equal(rmdir(dir), 0);
}

/* Or whom the rule is about could have it fit what he likes, or nothing. */
static void names_programs_where_root_alone_can_put_them(void **state)
{
	static const struct {
		mode_t mode;
		uid_t uid;
		const char *says; /* NULL: good */
	} v[] = {
		{0755, 0, NULL},
		{0700, 0, NULL},
		{0755, 1000, "belongs to uid 1000"},
		{0775, 0, "others than root"},
		{0757, 0, "others than root"},
		{01777, 0, "others than root"},
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		static const char *const names[] = {"srv", "none-so-far"};
		char dir[64], text[128];

		make_place(dir, v[i].mode, v[i].uid);
		for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++) {
			struct hp_policy p = {0};

			snprintf(text, sizeof(text), "allow root\n\ndeny user 1 exe %s/%s", dir, names[j]);
			assert_int_equal(hp_policy_parse(text, "policy.conf", &p, &err),
					 v[i].says ? -HP_E_DENIED : 0);
			if (v[i].says && (!strstr(err.text, v[i].says) || !strstr(err.text, dir) ||
					  strncmp(err.text, "policy.conf, line 3: exe /", 26) != 0))
				fail_msg("'%s' gives: %s", text, err.text);
			hp_policy_free(&p);
		}
		remove_place(dir);
	}
}

static void follows_links_as_carefully(void **state)
{
	char dir[64], hers[64], text[128], link[80];
	struct hp_policy p = {0};

	make_place(dir, 0755, 0);
	make_place(hers, 0755, 1000);
	snprintf(link, sizeof(link), "%s/srv", dir);
	assert_int_equal(unlink(link), 0);
	snprintf(text, sizeof(text), "../../..%s/srv", hers);
	assert_int_equal(symlink(text, link), 0);
	snprintf(text, sizeof(text), "allow root exe %s", link);
	assert_int_equal(hp_policy_parse(text, "policy.conf", &p, &err), -HP_E_DENIED);
	assert_non_null(strstr(err.text, hers));
	assert_int_equal(unlink(link), 0);
	assert_int_equal(symlink("srv", link), 0);
	snprintf(text, sizeof(text), "allow root exe %s", link);
	assert_true(hp_policy_parse(text, "policy.conf", &p, &err) < 0);
	assert_non_null(strstr(err.text, strerror(ELOOP)));
	remove_place(dir);
	remove_place(hers);
}

/* They may have become hers since the policy was read: then nobody knows what the rule is about. */
static void judges_the_way_each_time(void **state)
{
	char dir[64], text[128];
	struct hp_policy_target env = target("/usr/bin/env", 0), sh = target("/bin/sh", 0);
	struct hp_policy p;

	make_place(dir, 0755, 0);
	snprintf(text, sizeof(text), "deny user 1000 exe %s/srv\nallow anyone", dir);
	p = parse(text);
	assert_int_equal(hp_policy_decide(&p, &alice, HP_RIGHT_LOAD, &env, NULL, &err), -HP_E_DENIED);
	assert_int_equal(hp_policy_decide(&p, &alice, HP_RIGHT_LOAD, &sh, NULL, &err), 0);
	assert_int_equal(chown(dir, 1000, 0), 0);
	assert_int_equal(hp_policy_decide(&p, &alice, HP_RIGHT_LOAD, &sh, NULL, &err), -HP_E_DENIED);
	assert_non_null(strstr(err.text, "line 1 of the policy: exe /tmp/hp-policy-"));
	assert_non_null(strstr(err.text, "belongs to uid 1000"));
	assert_int_equal(hp_policy_decide(&p, &bob, HP_RIGHT_LOAD, &sh, NULL, &err), 0);
	hp_policy_free(&p);
	remove_place(dir);
}

static void knows_units(void **state)
{
	struct hp_policy_target t = target("/bin/sh", 0);

	assert_int_equal(decide("allow anyone unit redis.service", &bob, HP_RIGHT_LOAD, &t, NULL),
			 0);
	assert_int_equal(decide("allow anyone unit nginx.service", &bob, HP_RIGHT_LOAD, &t, NULL),
			 -HP_E_DENIED);
	assert_int_equal(decide("allow anyone unit redis.service", &bob, HP_RIGHT_LOAD, NULL, NULL),
			 -HP_E_DENIED);
}

static void asks_for_signatures(void **state)
{
	struct hp_policy_target t = target("/bin/sh", 0);
	const char *by_one = "allow anyone signed by D0ABE882F0FCBA5D\n",
		   *by_other = "allow anyone signed by 0000000000000001 exe /bin/sh\n";

	assert_int_equal(decide("require signed\nallow root\n", &root, HP_RIGHT_LOAD, &t, NULL),
			 -HP_E_SIGNATURE);
	assert_int_equal(decide("require signed\nallow root\n", &root, HP_RIGHT_UNLOAD, &t, NULL),
			 0);
	assert_int_equal(decide("require signed\nallow root\n", &root, HP_RIGHT_LOAD, &t, &signer),
			 0);
	assert_int_equal(decide("allow anyone signed", &bob, HP_RIGHT_LOAD, &t, NULL),
			 -HP_E_SIGNATURE);
	assert_int_equal(decide("allow anyone signed", &bob, HP_RIGHT_LOAD, &t, &signer), 0);
	assert_int_equal(decide(by_one, &bob, HP_RIGHT_LOAD, &t, &signer), 0);
	assert_int_equal(decide(by_other, &bob, HP_RIGHT_LOAD, &t, &signer), -HP_E_SIGNATURE);
	assert_non_null(strstr(err.text, "signed by another key"));
	assert_int_equal(decide(by_other, &bob, HP_RIGHT_UNLOAD, &t, NULL), 0);
}

static void knows_for_whom_to_listen(void **state)
{
	struct hp_policy p = parse("allow root\nallow user 1000 exe /bin/sh\n");

	assert_true(hp_policy_is_open(&p));
	assert_true(hp_policy_knows(&p, &alice));
	assert_false(hp_policy_knows(&p, &bob));
	hp_policy_free(&p);
	p = parse("allow root\ndeny anyone\n");
	assert_false(hp_policy_is_open(&p));
	assert_false(hp_policy_knows(&p, &bob));
	hp_policy_free(&p);
}

static void names_the_line_that_is_wrong(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"allow", "line 1: who?"},
		{"\n\npermit root", "line 3: allow, deny, require or keys, not 'permit'"},
		{"allow user", "a name is missing after \"user\""},
		{"allow user no-such-user-here", "there is no user 'no-such-user-here'"},
		{"allow group no-such-group", "there is no group 'no-such-group'"},
		{"allow user 4294967295", "there is no user"},
		{"allow everybody", "not 'everybody'"},
		{"allow root to", "\"to\" what?"},
		{"allow root to load,run", "not 'run'"},
		{"allow root to load,load", "once each"},
		{"deny root to load to restart", "given twice: 'to'"},
		{"deny root to load exe /bin/sh to load", "given twice: 'to'"},
		{"deny root to ,", "\"to\" what?"},
		{"deny root to ,,", "\"to\" what?"},
		{"allow root exe", "missing after 'exe'"},
		{"allow root exe nginx", "an absolute path is needed, not 'nginx'"},
		{"allow root exe /a exe /b", "given twice: 'exe'"},
		{"allow root signed by", "16 digits"},
		{"allow root signed by xyz", "16 digits"},
		{"allow root signed by 0123456789ABCDEF signed", "given twice: 'signed'"},
		{"allow root signed signed by 0123456789ABCDEF", "given twice: 'signed'"},
		{"allow root when dark", "not 'when'"},
		{"require", "\"require\" takes"},
		{"require signed always", "\"require\" takes"},
		{"keys", "absolute path"},
		{"keys /a /b", "one path"},
	};
	struct hp_policy p;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(hp_policy_parse(bad[i].text, "policy.conf", &p, &err),
				 -HP_E_USAGE);
		if (!strstr(err.text, bad[i].says) || strncmp(err.text, "policy.conf, line ", 18) != 0)
			fail_msg("'%s' gives: %s", bad[i].text, err.text);
	}
}

static void reads_only_what_is_roots(void **state)
{
	char path[] = "/tmp/hp-policy-XXXXXX";
	int fd = mkstemp(path);
	struct hp_policy p;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "allow anyone\n", 13), 13);
	assert_int_equal(hp_policy_read(path, &p, &err), 0);
	assert_int_equal(p.n, 1);
	hp_policy_free(&p);
	assert_int_equal(pwrite(fd, "\0deny anyone\n", 13, 13), 13);
	assert_int_equal(hp_policy_read(path, &p, &err), -HP_E_DENIED);
	assert_non_null(strstr(err.text, "NUL"));
	assert_int_equal(ftruncate(fd, 13), 0);
	assert_int_equal(fchmod(fd, 0664), 0);
	assert_int_equal(hp_policy_read(path, &p, &err), -HP_E_DENIED);
	assert_int_equal(fchmod(fd, 0644), 0);
	assert_int_equal(fchown(fd, 1000, 0), 0);
	assert_int_equal(hp_policy_read(path, &p, &err), -HP_E_DENIED);
	assert_non_null(strstr(err.text, "belongs to uid 1000"));
	close(fd);
	unlink(path);
	assert_int_equal(hp_policy_read(path, &p, &err), 0);
	assert_int_equal(hp_policy_decide(&p, &root, HP_RIGHT_LOAD, NULL, NULL, &err), 0);
	assert_int_equal(hp_policy_decide(&p, &bob, HP_RIGHT_SEE, NULL, NULL, &err), -HP_E_DENIED);
	hp_policy_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_fits_nothing_goes),
		cmocka_unit_test(the_first_that_fits_decides),
		cmocka_unit_test(knows_people),
		cmocka_unit_test(knows_rights),
		cmocka_unit_test(knows_programs_by_their_file),
		cmocka_unit_test(names_programs_where_root_alone_can_put_them),
		cmocka_unit_test(follows_links_as_carefully),
		cmocka_unit_test(judges_the_way_each_time),
		cmocka_unit_test(knows_units),
		cmocka_unit_test(asks_for_signatures),
		cmocka_unit_test(knows_for_whom_to_listen),
		cmocka_unit_test(names_the_line_that_is_wrong),
		cmocka_unit_test(reads_only_what_is_roots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
