/* SPDX-License-Identifier: MIT */
/*
 * ipc/record.h – what front and monitor say to each other, a packet each on a SOCK_SEQPACKET pair.
 *
 * front is not trusted: what it says is one of two records of fixed size, every byte of which the
 * monitor checks (ipc/intake.h).  A request that has lists is followed by their items and by nothing
 * else.  Beside a request of a client lies the client's own connection: who it is, the monitor asks the
 * kernel.
 */
#ifndef HP_IPC_RECORD_H
#define HP_IPC_RECORD_H

#include <stddef.h>
#include <stdint.h>

struct hp_err;
struct hp_job_request;

enum hp_ask {
	HP_ASK_HELLO = 1, /* once, first: front is confined */
	HP_ASK_LOG,	  /* a line for the log: file; n is its level */
	HP_ASK_COUNT,	  /* so many connections of a listener: n */
	HP_ASK_LOST,	  /* so many lines were not sent: n */
	HP_ASK_GONE,	  /* the client does not wait any more */
	/* From here on a client asks. */
	HP_ASK_HEALTH,
	HP_ASK_STATUS,
	HP_ASK_METRICS,
	HP_ASK_EVENTS,
	HP_ASK_WATCH,
	HP_ASK_SERVED,
	HP_ASK_SERVE,
	HP_ASK_UNSERVE,
	HP_ASK_ALLOW, /* of a listener: may this client use it? */
	HP_ASK_JOB,
	HP_ASKS,
};

#define HP_FLAG_NDJSON	       (1u << 0) /* the client takes lines */
#define HP_FLAG_CHILDREN       (1u << 2)
#define HP_FLAG_ALL	       (1u << 3)
#define HP_FLAG_ALL_OR_NOTHING (1u << 4)
#define HP_FLAG_NO_STOP	       (1u << 5)
#define HP_FLAG_DISCARD	       (1u << 6)
#define HP_FLAG_WAIT	       (1u << 7)
#define HP_FLAG_NEW_BINDS      (1u << 8)
#define HP_FLAG_ALLOW_REMOTE   (1u << 9)
#define HP_FLAG_ORIGIN	       (1u << 10) /* a page in a browser asks */
#define HP_FLAG_NO_RESIDUE     (1u << 11)

/* Connections that front has at a time; strangers on TCP must not take the control socket's away. */
#define HP_CONNS_CONTROL 16384
#define HP_CONNS_TCP	 512

#define HP_RECORD_PATH	4096
#define HP_RECORD_NAME	256
#define HP_RECORD_TOKEN 129

/* Texts end with a NUL; an empty one says nothing. */
struct hp_record {
	uint32_t ask;
	uint32_t flags;
	uint64_t conn;	   /* front's number for the connection, never given twice */
	uint32_t listener; /* 0: the control socket */
	uint32_t kind;	   /* enum hp_job_kind */
	int32_t pid;
	uint32_t n;
	uint32_t n_items;
	int32_t mode, quiesce;				/* load, unload */
	int32_t drain, drain_signal, ready, env;	/* restart */
	uint16_t family, port;				/* serve: port in network order */
	uint8_t addr[16];
	uint64_t timeout_ns, park_ns, ready_ns, drain_ns;
	char file[HP_RECORD_PATH]; /* or the line of a log, the address of an unserve */
	char exe[HP_RECORD_PATH];
	char pidfile[HP_RECORD_PATH];
	char id[HP_RECORD_NAME];
	char user[HP_RECORD_NAME];
	char token[HP_RECORD_TOKEN];
	char pad[7]; /* 0 */
};

enum hp_list { HP_LIST_REPLACE = 1, HP_LIST_REF, HP_LIST_SET, HP_LIST_WORDS, HP_LIST_PIDS, HP_LISTS };

#define HP_ITEM_TEXT 4096
#define HP_ITEM_PIDS 2048

struct hp_item {
	uint32_t list;
	uint32_t n; /* PIDS: how many */
	uint64_t conn;
	union {
		struct {
			char key[HP_ITEM_TEXT], value[HP_ITEM_TEXT]; /* WORDS: value alone */
		};
		int32_t pid[HP_ITEM_PIDS];
	};
};

/* --- from the monitor, which is trusted: a head and bytes ------------------------------------------ */

enum hp_tell {
	HP_TELL_BEGIN = 1, /* first of all: struct hp_tell_begin */
	HP_TELL_LISTEN,	   /* beside it the socket; conn is the listener's number */
	HP_TELL_UNLISTEN,
	HP_TELL_STOP, /* answer what is asked, and no more */
	/* To a client: */
	HP_TELL_REPLY, /* the whole answer */
	HP_TELL_STREAM, /* lines follow */
	HP_TELL_LINE,
	HP_TELL_LAST, /* the last line, if it is not empty; never lost */
};

#define HP_TELL_MORE	(1u << 0) /* the bytes go on in the next of this connection */
#define HP_TELL_METRICS (1u << 1) /* a text of HP_METRICS_TYPE */
#define HP_TELL_CLOSE	(1u << 2) /* nothing more is to be taken from this client */

#define HP_TELL_BYTES (32u << 10) /* in one packet */

struct hp_tell_head {
	uint32_t tell, flags;
	uint64_t conn;
	int32_t code;	/* 0, or the negative code of the error that the bytes tell */
	uint32_t status; /* not 0: of HTTP, for that */
};

struct hp_tell_begin {
	uint64_t client_timeout_ns;
	uint64_t answers_max; /* bytes that clients have not taken */
	uint32_t log_level;
	uint32_t pad;
};

/* --- requests as records -------------------------------------------------------------------------- */

/* Takes a record or an item that is ready. 0 or a negative errno. */
typedef int (*hp_record_send)(void *arg, const void *packet, size_t n);

/* A string (NULL: none) for a member of a record; -HP_E_BAD_REQUEST names @field when it is too long. */
int hp_record_text(char *to, size_t room, const char *field, const char *s, struct hp_err *err);
/* Fills what @r says into *rec, whose other members are set by the caller; -HP_E_BAD_REQUEST when
 * something is too long. */
int hp_record_put(struct hp_record *rec, const struct hp_job_request *r, struct hp_err *err);
/* Sends the items that *rec, of @r, has announced. */
int hp_record_items(const struct hp_record *rec, const struct hp_job_request *r,
		    hp_record_send send, void *arg);

#endif
