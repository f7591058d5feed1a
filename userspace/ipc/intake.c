/* SPDX-License-Identifier: MIT */
#include "ipc/intake.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "hp/err.h"

#define PID_LIMIT   (1 << 22)
#define SPAN_MAX_NS 3600000000000ull
#define PAIRS_MAX   1024
#define PIDS_MAX    65536
#define ITEMS_MAX   (3 * PAIRS_MAX + PIDS_MAX / HP_ITEM_PIDS)
#define COUNT_MAX   (1u << 20)

_Static_assert(sizeof(struct hp_record) % 8 == 0 && sizeof(struct hp_item) % 8 == 0, "no holes");
_Static_assert(sizeof(struct hp_record) > sizeof(struct hp_item), "told apart by their size");

/* Which members may be other than 0. */
enum {
	CONN = 1 << 0,
	KIND = 1 << 1,
	PID = 1 << 2, /* needed */
	ANY_PID = 1 << 3,
	COUNT = 1 << 4,
	ITEMS = 1 << 5,
	LOADING = 1 << 6, /* mode, quiesce, their times */
	LEAVING = 1 << 7, /* of a restart */
	ADDR = 1 << 8,
	FILE_ = 1 << 9, /* needed */
	EXE = 1 << 10,
	PIDFILE = 1 << 11,
	ID = 1 << 12, /* needed */
	ANY_ID = 1 << 13,
	USER = 1 << 14,
	TOKEN = 1 << 15,
	ANY_LISTENER = 1 << 16, /* 0: the control socket */
	LISTENER = 1 << 17,	/* needed */
};

enum { GREETING = 1, GREETED = 2 };

struct rule {
	unsigned states; /* in which it may come; 0: never */
	unsigned fields, flags;
	unsigned lists; /* bits by enum hp_list */
	bool clients;
};

#define CLIENTS  .states = GREETED, .clients = true
#define LIST(l)  (1u << HP_LIST_##l)
#define SELECTOR (HP_FLAG_CHILDREN | HP_FLAG_ALL)

static const struct rule asks[HP_ASKS] = {
	[HP_ASK_HELLO] = {.states = GREETING},
	[HP_ASK_LOG] = {.states = GREETING | GREETED, .fields = COUNT | FILE_},
	[HP_ASK_COUNT] = {.states = GREETED, .fields = COUNT | ANY_LISTENER},
	[HP_ASK_LOST] = {.states = GREETED, .fields = COUNT},
	[HP_ASK_GONE] = {.states = GREETED, .fields = CONN},
	[HP_ASK_HEALTH] = {CLIENTS, .fields = CONN},
	[HP_ASK_STATUS] = {CLIENTS, .fields = CONN | ANY_PID},
	[HP_ASK_METRICS] = {CLIENTS, .fields = CONN},
	[HP_ASK_EVENTS] = {CLIENTS, .fields = CONN | ANY_PID},
	[HP_ASK_WATCH] = {CLIENTS, .fields = CONN | PID},
	[HP_ASK_SERVED] = {CLIENTS, .fields = CONN},
	[HP_ASK_SERVE] = {CLIENTS, .fields = CONN | PID | ADDR | LOADING | TOKEN,
			  .flags = HP_FLAG_ALLOW_REMOTE},
	[HP_ASK_UNSERVE] = {CLIENTS, .fields = CONN | FILE_},
	[HP_ASK_ALLOW] = {CLIENTS, .fields = CONN | LISTENER | TOKEN, .flags = HP_FLAG_ORIGIN},
	[HP_ASK_JOB] = {CLIENTS}, /* see below */
};

#define OF_JOB (CONN | KIND)

/* On the control socket. */
static const struct rule jobs[HP_JOB_KINDS] = {
	[HP_JOB_LOAD] = {CLIENTS,
			 .fields = OF_JOB | ANY_PID | ITEMS | LOADING | FILE_ | EXE | ANY_ID,
			 .flags = SELECTOR | HP_FLAG_ALL_OR_NOTHING | HP_FLAG_NO_STOP |
				  HP_FLAG_NDJSON,
			 .lists = LIST(REPLACE) | LIST(REF) | LIST(PIDS)},
	[HP_JOB_CHECK] = {CLIENTS, .fields = OF_JOB | PID | ITEMS | LOADING | FILE_ | ANY_ID,
			  .flags = HP_FLAG_ALL_OR_NOTHING | HP_FLAG_NO_STOP | HP_FLAG_NDJSON,
			  .lists = LIST(REPLACE) | LIST(REF)},
	[HP_JOB_UNLOAD] = {CLIENTS, .fields = OF_JOB | ANY_PID | ITEMS | LOADING | EXE | ID,
			   .flags = SELECTOR | HP_FLAG_DISCARD | HP_FLAG_NDJSON,
			   .lists = LIST(PIDS)},
	[HP_JOB_EXPLAIN] = {CLIENTS, .fields = OF_JOB | PID | ITEMS, .lists = LIST(WORDS)},
	[HP_JOB_LIST] = {CLIENTS, .fields = OF_JOB | ANY_PID | ITEMS | EXE, .flags = SELECTOR,
			 .lists = LIST(PIDS)},
	[HP_JOB_DOCTOR] = {CLIENTS, .fields = OF_JOB},
	[HP_JOB_RESTART] = {CLIENTS, .fields = OF_JOB | PID | ITEMS | LEAVING | PIDFILE | USER,
			    .flags = HP_FLAG_WAIT | HP_FLAG_NEW_BINDS | HP_FLAG_NO_RESIDUE |
				     HP_FLAG_NDJSON,
			    .lists = LIST(WORDS) | LIST(SET)},
};

/* On a listener: its process and its times are the listener's own. */
#define WIRE (OF_JOB | LISTENER | TOKEN)
static const struct rule wire[HP_JOB_KINDS] = {
	[HP_JOB_LOAD] = {CLIENTS, .fields = WIRE | ITEMS | FILE_, .flags = HP_FLAG_ORIGIN,
			 .lists = LIST(REPLACE) | LIST(REF)},
	[HP_JOB_UNLOAD] = {CLIENTS, .fields = WIRE | ID, .flags = HP_FLAG_ORIGIN},
	[HP_JOB_LIST] = {CLIENTS, .fields = WIRE, .flags = HP_FLAG_ORIGIN},
};

static int bad(struct hp_err *err, const char *what)
{
	return hp_err_set(err, -HP_E_DENIED, "%s", what);
}

static const struct rule *rule_for(const struct hp_record *rec)
{
	static const struct rule never = {0};

	if (rec->ask >= HP_ASKS)
		return &never;
	if (rec->ask != HP_ASK_JOB)
		return &asks[rec->ask];
	if (rec->kind >= HP_JOB_KINDS)
		return &never;
	return rec->listener ? &wire[rec->kind] : &jobs[rec->kind];
}

bool hp_ask_is_clients(enum hp_ask ask)
{
	return ask < HP_ASKS && asks[ask].clients;
}

/* --- one record ------------------------------------------------------------------------------------ */

static bool is_text(const char *s, size_t room)
{
	return memchr(s, 0, room) != NULL;
}

static bool is_span(uint64_t ns)
{
	return ns > 0 && ns <= SPAN_MAX_NS;
}

/* Which bits name which members. */
static const struct {
	unsigned bits;
	size_t at, n;
} members[] = {
#define MEMBER(bits, m) {(bits), offsetof(struct hp_record, m), sizeof(((struct hp_record *)0)->m)}
	MEMBER(CONN, conn),
	MEMBER(LISTENER | ANY_LISTENER, listener),
	MEMBER(KIND, kind),
	MEMBER(PID | ANY_PID, pid),
	MEMBER(COUNT, n),
	MEMBER(ITEMS, n_items),
	MEMBER(LOADING, mode),
	MEMBER(LOADING, quiesce),
	MEMBER(LOADING, timeout_ns),
	MEMBER(LOADING, park_ns),
	MEMBER(LEAVING, drain),
	MEMBER(LEAVING, drain_signal),
	MEMBER(LEAVING, ready),
	MEMBER(LEAVING, env),
	MEMBER(LEAVING, ready_ns),
	MEMBER(LEAVING, drain_ns),
	MEMBER(ADDR, family),
	MEMBER(ADDR, port),
	MEMBER(ADDR, addr),
	MEMBER(FILE_, file),
	MEMBER(EXE, exe),
	MEMBER(PIDFILE, pidfile),
	MEMBER(ID | ANY_ID, id),
	MEMBER(USER, user),
	MEMBER(TOKEN, token),
#undef MEMBER
};

/* Whether nothing is said beyond what the rule names. */
static bool only(const struct hp_record *rec, const struct rule *rule)
{
	static const struct hp_record nothing;
	struct hp_record r = *rec;

	r.ask = 0;
	r.flags &= ~rule->flags;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (rule->fields & members[i].bits)
			memset((char *)&r + members[i].at, 0, members[i].n);
	return !memcmp(&r, &nothing, sizeof(r));
}

static int check_texts(const struct hp_record *rec, unsigned f, struct hp_err *err)
{
	if (!is_text(rec->file, sizeof(rec->file)) || !is_text(rec->exe, sizeof(rec->exe)) ||
	    !is_text(rec->pidfile, sizeof(rec->pidfile)) || !is_text(rec->id, sizeof(rec->id)) ||
	    !is_text(rec->user, sizeof(rec->user)) || !is_text(rec->token, sizeof(rec->token)))
		return bad(err, "a text without an end");
	if (((f & FILE_) && !*rec->file) || ((f & ID) && !*rec->id))
		return bad(err, "an empty text");
	if ((*rec->exe && *rec->exe != '/') || (*rec->pidfile && *rec->pidfile != '/') ||
	    (rec->ask == HP_ASK_JOB && !rec->listener && *rec->file && *rec->file != '/'))
		return bad(err, "a path that is not absolute");
	return 0;
}

static int check_numbers(const struct hp_record *rec, unsigned f, struct hp_err *err)
{
	if ((f & CONN) && !rec->conn)
		return bad(err, "a request of nobody");
	if ((f & LISTENER) && !rec->listener)
		return bad(err, "a listener that is none");
	if (rec->pid < 0 || rec->pid > PID_LIMIT || ((f & PID) && !rec->pid))
		return bad(err, "no process id");
	if (rec->n > COUNT_MAX || (rec->ask == HP_ASK_LOG && rec->n > HP_LOG_DEBUG))
		return bad(err, "a count out of range");
	if (rec->n_items > ITEMS_MAX)
		return bad(err, "too many items");
	if ((f & LOADING) && (rec->mode < HP_MODE_QUIESCE || rec->mode > HP_MODE_RELAXED ||
			      rec->quiesce < HP_QUIESCE_AUTO || rec->quiesce > HP_QUIESCE_GATE ||
			      !is_span(rec->timeout_ns) || !is_span(rec->park_ns)))
		return bad(err, "no way to load");
	if ((f & LEAVING) &&
	    (rec->drain < HP_DRAIN_DEFAULT || rec->drain > HP_DRAIN_EXTERNAL ||
	     rec->drain_signal < 0 || rec->drain_signal >= NSIG || rec->drain_signal == SIGKILL ||
	     rec->drain_signal == SIGSTOP || rec->ready < HP_READY_AUTO ||
	     rec->ready > HP_READY_NOTIFY || rec->env < HP_RESTART_ENV_KEEP ||
	     rec->env > HP_RESTART_ENV_EMPTY || !is_span(rec->ready_ns) || !is_span(rec->drain_ns)))
		return bad(err, "no way to restart");
	if ((f & ADDR) && rec->family != AF_INET && rec->family != AF_INET6)
		return bad(err, "no address");
	return 0;
}

static int check(const struct hp_intake *in, size_t n_fds, const struct rule **ret,
		 struct hp_err *err)
{
	const struct hp_record *rec = &in->rec;
	const struct rule *rule = rule_for(rec);
	int k;

	if (!(rule->states & (in->greeted ? GREETED : GREETING)))
		return bad(err, "a request out of turn");
	if (n_fds != rule->clients)
		return bad(err, "not the descriptors that belong to the request");
	if (!only(rec, rule))
		return bad(err, "members that the request does not have");
	k = check_texts(rec, rule->fields, err);
	if (k == 0)
		k = check_numbers(rec, rule->fields, err);
	*ret = rule;
	return k;
}

/* --- jobs ---------------------------------------------------------------------------------------- */

static int keep(struct hp_job_request *r, const char *text, const char **to)
{
	return *text ? hp_job_request_keep(r, text, to) : 0;
}

static int take_job(const struct hp_record *rec, struct hp_job_request *r)
{
	int k;

	hp_job_request_init(r, rec->kind);
	r->pid = rec->pid;
	r->sel.children = rec->flags & HP_FLAG_CHILDREN;
	r->sel.all = rec->flags & HP_FLAG_ALL;
	r->all_or_nothing = rec->flags & HP_FLAG_ALL_OR_NOTHING;
	r->wait = rec->flags & HP_FLAG_WAIT;
	if (rec->timeout_ns) {
		r->load.mode = (enum hp_mode)rec->mode;
		r->load.quiesce = r->unload.quiesce = (enum hp_quiesce)rec->quiesce;
		r->load.timeout_ns = r->unload.timeout_ns = rec->timeout_ns;
		r->load.park_ns = r->unload.park_ns = rec->park_ns;
	}
	r->load.no_stop = rec->flags & HP_FLAG_NO_STOP;
	r->unload.discard = rec->flags & HP_FLAG_DISCARD;
	if (rec->ready_ns) {
		r->restart.drain = (enum hp_drain_way)rec->drain;
		r->restart.drain_signal = rec->drain_signal;
		r->restart.ready = (enum hp_restart_ready)rec->ready;
		r->restart.env = (enum hp_restart_env)rec->env;
		r->restart.ready_ns = rec->ready_ns;
		r->restart.drain_ns = rec->drain_ns;
	}
	r->restart.allow_new_binds = rec->flags & HP_FLAG_NEW_BINDS;
	r->restart.no_residue = rec->flags & HP_FLAG_NO_RESIDUE;
	k = keep(r, rec->file, &r->load.file);
	if (k == 0)
		k = keep(r, rec->exe, &r->sel.exe);
	if (k == 0)
		k = keep(r, rec->pidfile, &r->restart.pidfile);
	if (k == 0)
		k = keep(r, rec->user, &r->restart.user);
	if (k == 0)
		k = keep(r, rec->id, rec->kind == HP_JOB_UNLOAD ? &r->unload.id : &r->load.id);
	return k;
}

static int take_pids(struct hp_job_request *r, const struct hp_item *item, struct hp_err *err)
{
	pid_t *v;

	if (!item->n || item->n > HP_ITEM_PIDS || r->sel.n_pids + item->n > PIDS_MAX)
		return bad(err, "a number of processes out of range");
	v = realloc(r->pids, (r->sel.n_pids + item->n) * sizeof(*v));
	if (!v)
		return hp_err_sys(err, ENOMEM, "request");
	r->pids = v;
	for (uint32_t i = 0; i < item->n; i++) {
		if (item->pid[i] <= 0 || item->pid[i] > PID_LIMIT)
			return bad(err, "no process id");
		v[r->sel.n_pids++] = item->pid[i];
	}
	return 0;
}

static int take_word(struct hp_job_request *r, const struct hp_item *item, struct hp_err *err)
{
	const char **v;

	if (*item->key || r->n_fns >= PAIRS_MAX ||
	    (!*item->value && (r->kind != HP_JOB_RESTART || !r->n_fns)))
		return bad(err, "a word that is none, or too many");
	v = realloc(r->fns, (r->n_fns + 1) * sizeof(*v));
	if (!v)
		return hp_err_sys(err, ENOMEM, "request");
	r->fns = v;
	if (hp_job_request_keep(r, item->value, &v[r->n_fns]) < 0)
		return hp_err_sys(err, ENOMEM, "request");
	r->n_fns++;
	return 0;
}

static int take_pair(struct hp_pairs *to, const struct hp_item *item, struct hp_err *err)
{
	if (!*item->key || !*item->value || to->n >= PAIRS_MAX)
		return bad(err, "a pair that is none, or too many");
	if (hp_pairs_add(to, item->key, item->value) < 0)
		return hp_err_sys(err, ENOMEM, "request");
	return 0;
}

static int take_item(struct hp_intake *in, const struct hp_item *item, struct hp_err *err)
{
	struct hp_job_request *r = &in->req;

	if (item->conn != in->rec.conn || item->list >= HP_LISTS ||
	    !(rule_for(&in->rec)->lists & (1u << item->list)))
		return bad(err, "an item that does not belong to the request");
	if (item->list == HP_LIST_PIDS)
		return take_pids(r, item, err);
	if (item->n || !is_text(item->key, sizeof(item->key)) ||
	    !is_text(item->value, sizeof(item->value)))
		return bad(err, "a text without an end");
	in->bytes += strlen(item->key) + strlen(item->value);
	if (in->bytes > HP_REQUEST_BYTES)
		return bad(err, "too much text");
	if (item->list == HP_LIST_WORDS)
		return take_word(r, item, err);
	return take_pair(item->list == HP_LIST_REPLACE ? &r->load.replace
			 : item->list == HP_LIST_REF   ? &r->load.ref
						       : &r->restart.set,
			 item, err);
}

/* Of all that was said: which processes are meant. */
static int check_whole(const struct hp_intake *in, struct hp_err *err)
{
	const struct hp_job_request *r = &in->req;
	unsigned ways = (r->pid != 0) + (r->sel.n_pids != 0) + (r->sel.exe != NULL) + r->sel.all;

	if (ways > 1 ||
	    (!ways && !in->rec.listener && r->kind != HP_JOB_LIST && r->kind != HP_JOB_DOCTOR))
		return bad(err, "no one way to name processes");
	if (r->sel.children && !r->sel.n_pids)
		return bad(err, "children of nobody");
	if (r->kind == HP_JOB_EXPLAIN && !r->n_fns)
		return bad(err, "no functions");
	return 0;
}

static int finish(struct hp_intake *in, struct hp_err *err)
{
	int k = in->rec.ask == HP_ASK_JOB ? check_whole(in, err) : 0;

	if (k < 0)
		return k;
	hp_job_request_settle(&in->req);
	in->greeted = true;
	return 1;
}

void hp_intake_free(struct hp_intake *in)
{
	hp_job_request_free(&in->req);
	*in = (struct hp_intake){0};
}

int hp_intake_take(struct hp_intake *in, const void *packet, size_t n, size_t n_fds,
		   struct hp_err *err)
{
	const struct rule *rule;
	int k;

	if (in->left) {
		if (n != sizeof(struct hp_item) || n_fds)
			return bad(err, "no item where one must follow");
		k = take_item(in, packet, err);
		return k < 0 ? k : --in->left ? 0 : finish(in, err);
	}
	if (n != sizeof(in->rec))
		return bad(err, "a packet of another size");
	memcpy(&in->rec, packet, n);
	k = check(in, n_fds, &rule, err);
	if (k < 0)
		return k;
	if (in->rec.ask == HP_ASK_LOG)
		return 1;
	if (in->rec.ask != HP_ASK_JOB)
		return finish(in, err);
	/* What was there was given away. */
	if (take_job(&in->rec, &in->req) < 0)
		return hp_err_sys(err, ENOMEM, "request");
	in->bytes = 0;
	in->left = in->rec.n_items;
	return in->left ? 0 : finish(in, err);
}

struct rehearsal {
	struct hp_intake in;
	struct hp_err *err;
};

static int rehearse(void *arg, const void *packet, size_t n)
{
	struct rehearsal *r = arg;
	int k = hp_intake_take(&r->in, packet, n, 0, r->err);

	return k < 0 ? k : 0;
}

int hp_intake_rehearse(const struct hp_record *rec, const struct hp_job_request *req,
		       struct hp_err *err)
{
	struct rehearsal r = {.in.greeted = true, .err = err};
	int k = hp_intake_take(&r.in, rec, sizeof(*rec), 1, err);

	if (k == 0)
		k = hp_record_items(rec, req, rehearse, &r);
	hp_intake_free(&r.in);
	return k == -HP_E_DENIED ? hp_err_prefix(err, -HP_E_BAD_REQUEST, "the request has")
				 : k < 0 ? k : 0;
}
