/* SPDX-License-Identifier: MIT */
#include "hp/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ERRNO_LAST 133 /* EHWPOISON */

__attribute__((format(printf, 3, 0))) static void put(struct hp_err *err, int code,
						      const char *fmt, va_list ap)
{
	char text[HP_ERR_TEXT_MAX]; /* @ap may hold what is in err->text */

	vsnprintf(text, sizeof(text), fmt, ap);
	err->code = code;
	memcpy(err->text, text, sizeof(text));
}

int hp_err_set(struct hp_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		put(err, code, fmt, ap);
		va_end(ap);
	}
	return code;
}

int hp_err_sys(struct hp_err *err, int errnum, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	if (err) {
		va_start(ap, fmt);
		put(err, -errnum, fmt, ap);
		va_end(ap);
		n = strlen(err->text);
		snprintf(err->text + n, sizeof(err->text) - n, ": %s", strerror(errnum));
	}
	return -errnum;
}

int hp_err_prefix(struct hp_err *err, int code, const char *fmt, ...)
{
	char old[HP_ERR_TEXT_MAX];
	va_list ap;
	size_t n;

	if (err) {
		memcpy(old, err->text, sizeof(old));
		va_start(ap, fmt);
		put(err, code, fmt, ap);
		va_end(ap);
		n = strlen(err->text);
		snprintf(err->text + n, sizeof(err->text) - n, ": %s", old);
	}
	return code;
}

const char *hp_err_name(int code)
{
	const char *name;

	switch (-code) {
	case 0:
		return "ok";
#define HP_ERR_NAME(c, n, s)                                                                       \
	case c:                                                                                    \
		return n;
		HP_ERR_LIST(HP_ERR_NAME)
#undef HP_ERR_NAME
	}
	name = strerrorname_np(-code);
	return name ? name : "unknown";
}

int hp_err_code(const char *name)
{
	static const struct {
		const char *name;
		int code;
	} codes[] = {
#define HP_ERR_CODE(c, n, s) {n, -(c)},
		HP_ERR_LIST(HP_ERR_CODE)
#undef HP_ERR_CODE
	};
	const char *errno_name;

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (!strcmp(codes[i].name, name))
			return codes[i].code;
	for (int e = 1; e <= ERRNO_LAST; e++) {
		errno_name = strerrorname_np(e);
		if (errno_name && !strcmp(errno_name, name))
			return -e;
	}
	return -HP_E_FAILED;
}

enum hp_exit hp_err_exit(int code)
{
	switch (-code) {
	case 0:
		return HP_EXIT_DONE;
#define HP_ERR_EXIT(c, n, s)                                                                       \
	case c:                                                                                    \
		return s;
		HP_ERR_LIST(HP_ERR_EXIT)
#undef HP_ERR_EXIT
	case EPERM:
	case EACCES:
		return HP_EXIT_DENIED;
	}
	return HP_EXIT_FAILED;
}
