/* SPDX-License-Identifier: MIT */
/*
 * hp/err.h – what can go wrong, once.
 *
 * Functions of hp return 0 or a negative code: a negated errno (below 4096)
 * for a failure of the operating system, a negated HP_E_* (from 4096) for a
 * refusal of hp's own.  The sentence for people travels in struct hp_err,
 * which is always the last parameter and may be NULL.
 *
 * One list makes the codes, their names on the wire ("code" in JSON) and the
 * exit status of hpctl.  The exit status answers the question what state the
 * target is in; see hpctl(1), EXIT STATUS.
 */
#ifndef HP_ERR_H
#define HP_ERR_H

#ifdef __cplusplus
extern "C" {
#endif

/* Exit status of hpctl, and "status" in every JSON error. */
enum hp_exit {
	HP_EXIT_DONE = 0,
	HP_EXIT_FAILED = 1,	   /* an outside reason; target unchanged */
	HP_EXIT_USAGE = 2,
	HP_EXIT_REFUSED = 3,	   /* patch, map or target do not allow it; unchanged */
	HP_EXIT_NOT_QUIESCENT = 4, /* in use until the time was over; unchanged */
	HP_EXIT_DENIED = 5,	   /* not permitted, or hpd out of reach */
	HP_EXIT_PARTIAL = 6,	   /* left partly done; a person is needed */
};

/* X(code, name on the wire, exit status).  New ones go to the end: programs hold the numbers. */
#define HP_ERR_LIST(X)                                                                             \
	X(HP_E_FAILED, "failed", HP_EXIT_FAILED)                                                   \
	X(HP_E_GONE, "target-gone", HP_EXIT_FAILED)                                                \
	X(HP_E_NO_FILE, "no-file", HP_EXIT_FAILED)                                                 \
	X(HP_E_USAGE, "usage", HP_EXIT_USAGE)                                                      \
	X(HP_E_BAD_REQUEST, "bad-request", HP_EXIT_USAGE)                                          \
	X(HP_E_BAD_ELF, "bad-elf", HP_EXIT_REFUSED)                                                \
	X(HP_E_NOT_PATCH, "not-a-patch", HP_EXIT_REFUSED)                                          \
	X(HP_E_NO_SYMBOL, "no-symbol", HP_EXIT_REFUSED)                                            \
	X(HP_E_AMBIGUOUS, "ambiguous-symbol", HP_EXIT_REFUSED)                                     \
	X(HP_E_NOT_FUNCTION, "not-a-function", HP_EXIT_REFUSED)                                    \
	X(HP_E_UNDEFINED, "undefined-symbol", HP_EXIT_REFUSED)                                     \
	X(HP_E_TLS, "tls-definition", HP_EXIT_REFUSED)                                             \
	X(HP_E_TEXTREL, "text-relocation", HP_EXIT_REFUSED)                                        \
	X(HP_E_RELOC, "relocation", HP_EXIT_REFUSED)                                               \
	X(HP_E_NEEDED, "missing-library", HP_EXIT_REFUSED)                                         \
	X(HP_E_BUILD_ID, "build-id", HP_EXIT_REFUSED)                                              \
	X(HP_E_ALREADY, "already-loaded", HP_EXIT_REFUSED)                                         \
	X(HP_E_NOT_LOADED, "not-loaded", HP_EXIT_REFUSED)                                          \
	X(HP_E_DEPENDS, "dependency", HP_EXIT_REFUSED)                                             \
	X(HP_E_ENTRY, "entry", HP_EXIT_REFUSED)                                                    \
	X(HP_E_CALL_SITE, "call-site", HP_EXIT_REFUSED)                                            \
	X(HP_E_PLACE, "no-place", HP_EXIT_REFUSED)                                                 \
	X(HP_E_TARGET, "target", HP_EXIT_REFUSED)                                                  \
	X(HP_E_NO_SAFE_POINT, "no-safe-point", HP_EXIT_REFUSED)                                    \
	X(HP_E_HOOK, "hook", HP_EXIT_REFUSED)                                                      \
	X(HP_E_COMMAND, "command", HP_EXIT_REFUSED)                                                \
	X(HP_E_LISTENERS, "listeners", HP_EXIT_REFUSED)                                            \
	X(HP_E_BUSY, "busy", HP_EXIT_REFUSED)                                                      \
	X(HP_E_NEW_PROCESS, "new-process", HP_EXIT_FAILED)                                         \
	X(HP_E_NOT_READY, "not-ready", HP_EXIT_NOT_QUIESCENT)                                      \
	X(HP_E_NOT_QUIESCENT, "not-quiescent", HP_EXIT_NOT_QUIESCENT)                              \
	X(HP_E_DENIED, "denied", HP_EXIT_DENIED)                                                   \
	X(HP_E_SIGNATURE, "signature", HP_EXIT_DENIED)                                               \
	X(HP_E_UNREACHABLE, "unreachable", HP_EXIT_DENIED)                                         \
	X(HP_E_PARTIAL, "partial", HP_EXIT_PARTIAL)                                                \
	X(HP_E_READER, "reader", HP_EXIT_REFUSED)

enum hp_err_code {
	HP_E_BASE = 4095,
#define HP_ERR_ENUM(code, name, status) code,
	HP_ERR_LIST(HP_ERR_ENUM)
#undef HP_ERR_ENUM
};

#define HP_ERR_TEXT_MAX 1024

/* A failure: its code (negative, as returned) and one sentence without a
 * newline that names operation, subject, reason, and what to do. */
struct hp_err {
	int code;
	char text[HP_ERR_TEXT_MAX];
};

/* Sets @err (may be NULL) and returns @code, so that it can end a function. */
int hp_err_set(struct hp_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for a failed system call: appends ": <strerror>" and returns -@errnum. */
int hp_err_sys(struct hp_err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "<context>: " before the sentence that is there; returns @code, which is its code now. */
int hp_err_prefix(struct hp_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* "no-symbol", or "ENOENT" for an errno.  Never NULL. */
const char *hp_err_name(int code);

/* The code (negative) that has this name; -HP_E_FAILED for one that nothing here has. */
int hp_err_code(const char *name);

/* The exit status for a code as returned (0 gives HP_EXIT_DONE). */
enum hp_exit hp_err_exit(int code);

#ifdef __cplusplus
}
#endif

#endif
