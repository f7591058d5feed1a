/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/signed_file.h"
#include "hp/err.h"
#include "trust/minisign.h"

#define PASSWORD_MAX 1024

/* From standard input, as minisign does: a script may pipe it in. */
static bool ask_password(const struct hp_cli *cli, char *ret, size_t n)
{
	struct termios was, silent;
	bool terminal = tcgetattr(STDIN_FILENO, &was) == 0, got;

	if (terminal) {
		hp_tell(cli, "Password:");
		silent = was;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent); /* at worst it is seen */
	}
	got = fgets(ret, (int)n, stdin) != NULL;
	if (terminal)
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &was); /* as above */
	ret[strcspn(ret, "\n")] = '\0';
	return got;
}

static int read_key(const struct hp_cli *cli, const char *path, struct hp_secret_key *ret,
		    struct hp_err *err)
{
	char password[PASSWORD_MAX];
	bool encrypted;
	char *text;
	size_t n;
	int k = hp_read_file(AT_FDCWD, path, HP_MINISIGN_FILE_MAX, &text, &n);

	if (k < 0)
		return hp_err_sys(err, -k, "read %s", path);
	k = hp_minisign_read_secret(text, path, NULL, ret, &encrypted, err);
	if (k < 0 && encrypted) {
		if (ask_password(cli, password, sizeof(password)))
			k = hp_minisign_read_secret(text, path, password, ret, &encrypted, err);
		sodium_memzero(password, sizeof(password));
	}
	sodium_memzero(text, n);
	free(text);
	return k;
}

/* What minisign says by itself, and until when. */
static int comment_for(const struct hp_args *args, const char *file, char *ret, size_t n,
		       struct hp_err *err)
{
	const char *comment = hp_args_get(args, "comment"), *expires = hp_args_get(args, "expires");
	const char *base = strrchr(file, '/');
	time_t end;
	int at;

	if (comment)
		at = snprintf(ret, n, "%s", comment);
	else
		at = snprintf(ret, n, "timestamp:%lld\tfile:%s\thashed", (long long)time(NULL),
			      base ? base + 1 : file);
	if (expires && at > 0 && (size_t)at < n)
		at += snprintf(ret + at, n - (size_t)at, "\texpires:%s", expires);
	if (at < 0 || (size_t)at >= n)
		return hp_err_set(err, -HP_E_USAGE, "the comment is longer than %zu bytes", n - 1);
	/* A date that nobody could read later is no date. */
	return hp_expiry_read(ret, "--expires", &end, err);
}

static int write_signature(const char *path, const char *text, struct hp_err *err)
{
	hp_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int k;

	if (fd < 0)
		return hp_err_sys(err, errno, "write %s", path);
	k = hp_write_all(fd, text, strlen(text));
	return k < 0 ? hp_err_sys(err, -k, "write %s", path) : 0;
}

static int sign(const struct hp_cli *cli, const struct hp_args *args, const char *file,
		struct hp_err *err)
{
	char comment[HP_TRUSTED_COMMENT], path[4096];
	struct hp_secret_key key;
	char *data, *text = NULL;
	size_t n;
	int k;

	if ((k = hp_signature_path(args, file, path, sizeof(path), err)) < 0 ||
	    (k = comment_for(args, file, comment, sizeof(comment), err)) < 0 ||
	    (k = hp_signed_file_read(file, &data, &n, err)) < 0)
		return k;
	k = read_key(cli, hp_args_get(args, "key"), &key, err);
	if (k == 0)
		k = hp_minisign_sign(&key, data, n, comment, &text, err);
	sodium_memzero(&key, sizeof(key));
	if (k == 0)
		k = write_signature(path, text, err);
	if (k == 0 && !cli->json)
		printf("%s\n", path);
	free(text);
	free(data);
	return k;
}

int hp_cmd_sign(struct hp_cli *cli, const struct hp_args *args)
{
	struct hp_err err = {0};

	if (hp_args_words(args) != 1)
		return hp_cli_usage(cli, "takes one file");
	if (!hp_args_get(args, "key"))
		return hp_cli_usage(cli, "which key? --key FILE (minisign -G makes one)");
	if (hp_minisign_begin(&err) < 0 || sign(cli, args, hp_args_word(args, 0), &err) < 0)
		return hp_tell_error(cli, &err);
	return HP_EXIT_DONE;
}
