/* SPDX-License-Identifier: MIT */
/* libhp against an hpd that is played: a thread that answers as it is told, and keeps what it read. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "hp/hp.h"

#define PATIENCE_MS 20000
#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char dir[] = "/tmp/hp-client.XXXXXX", path[sizeof(dir) + 8];
static struct hp_err err;
static struct hp_client *c;

static struct {
	int listener;
	pthread_t thread;
	pthread_mutex_t lock;
	const char *type, *answer; /* to all but health */
	const char *more[4];	   /* of a stream: written one after the other */
	int status;
	size_t cut; /* so many bytes only, then the end */
	char request[4096];
} hpd = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void read_request(int fd, char *to, size_t room)
{
	size_t n = 0, length;
	char *end;
	ssize_t k;

	to[0] = 0;
	while (!(end = strstr(to, "\r\n\r\n")) && (k = recv(fd, to + n, room - 1 - n, 0)) > 0)
		to[n += (size_t)k] = 0;
	if (!end)
		return;
	length = strtoul(strstr(to, "Content-Length: ") + 16, NULL, 10);
	while (n < (size_t)(end + 4 - to) + length && (k = recv(fd, to + n, room - 1 - n, 0)) > 0)
		to[n += (size_t)k] = 0;
}

static void answer(int fd, const char *request)
{
	const char *body = strstr(request, "/hp/v2/health") ? "{\"ok\":true}" : hpd.answer;
	char text[4096];
	int n = snprintf(text, sizeof(text),
			 "HTTP/1.1 %d Status\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
			 hpd.status, hpd.type, strlen(body), body);

	if (hpd.cut && !strstr(request, "/hp/v2/health"))
		n = (int)hpd.cut;
	(void)!send(fd, text, (size_t)n, MSG_NOSIGNAL);
}

/* A stream has no length: it goes on until its end. */
static void stream(int fd)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n";

	(void)!send(fd, head, sizeof(head) - 1, MSG_NOSIGNAL);
	for (int i = 0; i < 4 && hpd.more[i]; i++)
		(void)!send(fd, hpd.more[i], strlen(hpd.more[i]), MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
	char request[4096];
	int fd;

	while ((fd = accept(hpd.listener, NULL, NULL)) >= 0) {
		read_request(fd, request, sizeof(request));
		pthread_mutex_lock(&hpd.lock);
		if (!strstr(request, "/hp/v2/health"))
			memcpy(hpd.request, request, sizeof(request));
		if (strstr(request, "/hp/v2/events"))
			stream(fd);
		else
			answer(fd, request);
		pthread_mutex_unlock(&hpd.lock);
		close(fd);
	}
	return NULL;
}

static int begin(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/s", dir);
	memcpy(a.sun_path, path, sizeof(path));
	hpd.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	hpd.type = "application/json";
	hpd.status = 200;
	if (bind(hpd.listener, (struct sockaddr *)&a, sizeof(a)) || listen(hpd.listener, 64) ||
	    pthread_create(&hpd.thread, NULL, serve, NULL))
		return -1;
	return hp_client_open(&c, path, &err);
}

static int end(void **state)
{
	hp_client_free(c);
	shutdown(hpd.listener, SHUT_RDWR);
	pthread_join(hpd.thread, NULL);
	close(hpd.listener);
	unlink(path);
	return rmdir(dir);
}

static void will_answer(int status, const char *body)
{
	pthread_mutex_lock(&hpd.lock);
	hpd.status = status;
	hpd.answer = body;
	hpd.cut = 0;
	pthread_mutex_unlock(&hpd.lock);
}

static void expect_request(const char *line, const char *body)
{
	const char *got = strstr(hpd.request, "\r\n\r\n");

	assert_int_equal(strncmp(hpd.request, line, strlen(line)), 0);
	assert_non_null(got);
	assert_string_equal(got + 4, body);
}

#define expect_error(call, number, sentence)                                                       \
	do {                                                                                       \
		memset(&err, 0, sizeof(err));                                                      \
		assert_int_equal(call, number);                                                    \
		assert_int_equal(err.code, number);                                                \
		assert_string_equal(err.text, sentence);                                           \
	} while (0)

/* --- patches -------------------------------------------------------------------------------------- */

static const struct hp_name replace[] = {{"new_f", "f"}, {"new_g", "g"}};
static const struct hp_name ref[] = {{"Counter", "counter"}};
static const struct hp_client_load load = {
	.size = sizeof(load),
	.pid = 7,
	.config = {"/srv/fix.so", replace, 2, ref, 1},
	.mode = "relaxed",
	.quiesce = "gate",
	.timeout_ms = 100,
	.park_ms = 20,
	.no_stop = true,
};

static void loads(void **state)
{
	const struct hp_client_load plain = {
		.size = sizeof(plain), .pid = 7, .config.hp_file = "/srv/fix.so"};
	struct hp_client_loaded r;

	will_answer(200, "{\"hp_id\":\"" ID "\",\"total_ns\":5000000000,\"gate_ns\":2,"
			 "\"longest_park_ns\":3,\"on_old_code\":4}");
	assert_int_equal(hp_client_load(c, &load, &r, &err), 0);
	expect_request("POST /hp/v2/load HTTP/1.1\r\n",
		       "{\"pid\":7,\"quiesce\":\"gate\",\"timeout_ms\":100,\"park_ms\":20,"
		       "\"file\":\"/srv/fix.so\",\"replace\":{\"new_f\":\"f\",\"new_g\":\"g\"},"
		       "\"ref\":{\"Counter\":\"counter\"},\"mode\":\"relaxed\",\"no_stop\":true}");
	assert_string_equal(r.hp_id, ID);
	assert_true(r.total_ns == 5000000000u && r.gate_ns == 2 && r.longest_park_ns == 3);
	assert_int_equal(r.on_old_code, 4);
	assert_int_equal(hp_client_load(c, &plain, NULL, NULL), 0);
	expect_request("POST /hp/v2/load HTTP/1.1\r\n", "{\"pid\":7,\"file\":\"/srv/fix.so\"}");
}

static void tells_the_id_of_what_is_loaded(void **state)
{
	struct hp_client_loaded r;

	will_answer(409, "{\"error\":{\"code\":\"already-loaded\",\"text\":\"patch " ID
			 " already loaded\",\"status\":3}}");
	expect_error(hp_client_load(c, &load, &r, &err), -HP_E_ALREADY,
		     "patch " ID " already loaded");
	assert_string_equal(r.hp_id, ID);
	assert_int_equal(hp_client_load(c, &load, NULL, NULL), -HP_E_ALREADY);
}

static void checks(void **state)
{
	char *text;

	will_answer(200, "{\"schema\":1,\"functions\":[]}");
	assert_int_equal(hp_client_check(c, &load, &text, &err), 0);
	assert_string_equal(text, "{\"schema\":1,\"functions\":[]}");
	assert_int_equal(strncmp(hpd.request, "POST /hp/v2/check ", 18), 0);
	free(text);
}

static void unloads(void **state)
{
	struct hp_client_unload u = {.size = sizeof(u), .pid = 7, .hp_id = "0123", .discard = true};
	struct hp_client_unloaded r;

	will_answer(200, "{\"hp_id\":\"" ID "\",\"total_ns\":1,\"retained\":true}");
	assert_int_equal(hp_client_unload(c, &u, &r, &err), 0);
	expect_request("POST /hp/v2/unload HTTP/1.1\r\n",
		       "{\"pid\":7,\"id\":\"0123\",\"discard\":true}");
	assert_string_equal(r.hp_id, ID);
	assert_true(r.retained);
}

static void lists(void **state)
{
	struct hp_client_patches p;

	will_answer(200,
		    "{\"patches\":[{\"hp_id\":\"" ID "\",\"pid\":7,\"comm\":\"svc\",\"file\":\"/a.so\","
		    "\"replace\":{\"n\":\"o\",\"n2\":\"o2\"},\"ref\":{\"V\":\"v\"},\"state\":\"active\","
		    "\"mode\":\"quiesce\",\"detail\":\"\",\"loaded\":\"2026-11-22T00:00:00Z\"},"
		    "{\"hp_id\":\"\",\"pid\":8,\"file\":\"/b.so\",\"replace\":{},\"ref\":{}}]}");
	assert_int_equal(hp_client_info(c, 0, &p, &err), 0);
	assert_int_equal(strncmp(hpd.request, "GET /hp/v2/patches HTTP", 23), 0);
	assert_int_equal(p.n, 2);
	assert_string_equal(p.v[0].hp_id, ID);
	assert_string_equal(p.v[0].config.hp_file, "/a.so");
	assert_int_equal(p.v[0].config.n_replace, 2);
	assert_string_equal(p.v[0].config.replace[1].name, "n2");
	assert_string_equal(p.v[0].config.replace[1].symbol, "o2");
	assert_int_equal(p.v[0].config.n_ref, 1);
	assert_string_equal(p.v[0].config.ref[0].symbol, "v");
	assert_string_equal(p.v[0].state, "active");
	assert_int_equal(p.v[1].pid, 8);
	assert_int_equal(p.v[1].config.n_replace, 0);
	assert_null(p.v[1].config.replace);
	assert_string_equal(p.v[1].comm, "");
	hp_client_patches_free(&p);
	assert_null(p.v);
	hp_client_patches_free(&p);
	will_answer(200, "{\"patches\":[]}");
	assert_int_equal(hp_client_info(c, 7, &p, &err), 0);
	assert_int_equal(strncmp(hpd.request, "GET /hp/v2/patches?pid=7 HTTP", 29), 0);
	assert_int_equal(p.n, 0);
	hp_client_patches_free(&p);
}

/* --- processes ------------------------------------------------------------------------------------ */

static void restarts(void **state)
{
	static const char *const command[] = {"/bin/svc", "-x", NULL};
	const struct hp_client_restart plain = {.size = sizeof(plain), .pid = 7};
	const struct hp_client_restart all = {
		.size = sizeof(all),
		.pid = 7,
		.command = command,
		.drain = "graceful:SIGQUIT",
		.ready_timeout_ms = 1,
		.drain_timeout_ms = 2,
		.pidfile = "/run/svc.pid",
		.allow_new_binds = true,
		.wait = true,
		.no_residue = true,
	};
	struct hp_client_restarted r;

	will_answer(200, "{\"pid\":9,\"old\":7,\"generation\":3,\"ready_ns\":5}");
	assert_int_equal(hp_client_restart(c, &plain, NULL, &err), 0);
	expect_request("POST /hp/v2/restart HTTP/1.1\r\n", "{\"pid\":7}");
	assert_int_equal(hp_client_restart(c, &all, &r, &err), 0);
	expect_request("POST /hp/v2/restart HTTP/1.1\r\n",
		       "{\"pid\":7,\"command\":[\"/bin/svc\",\"-x\"],\"drain\":\"graceful:SIGQUIT\","
		       "\"ready_timeout_ms\":1,\"drain_timeout_ms\":2,\"pidfile\":\"/run/svc.pid\","
		       "\"allow_new_binds\":true,\"no_residue\":true,\"wait\":true}");
	assert_int_equal(r.pid, 9);
	assert_int_equal(r.generation, 3);
	assert_true(r.ready_ns == 5);
}

static void serves_hotgo(void **state)
{
	will_answer(200, "{\"listener\":{}}");
	assert_int_equal(hp_client_http_server(c, 7, "127.0.0.1:8080", &err), 0);
	expect_request("POST /hp/v2/serve HTTP/1.1\r\n", "{\"pid\":7,\"http\":\"127.0.0.1:8080\"}");
	assert_int_equal(hp_client_rpc_server(c, 8, "127.0.0.1:8081", &err), 0);
	expect_request("POST /hp/v2/serve HTTP/1.1\r\n", "{\"pid\":8,\"http\":\"127.0.0.1:8081\"}");
}

static void asks_anything(void **state)
{
	char *text;

	will_answer(200, "{\"schema\":1}");
	assert_int_equal(hp_client_ask(c, "POST", "/hp/v2/explain", "{\"pid\": 7}", &text, &err), 0);
	expect_request("POST /hp/v2/explain HTTP/1.1\r\n", "{\"pid\":7}");
	assert_string_equal(text, "{\"schema\":1}");
	free(text);
	assert_int_equal(hp_client_ask(c, "POST", "/x", "{", &text, &err), -HP_E_BAD_REQUEST);
}

/* --- what goes wrong ------------------------------------------------------------------------------ */

static void tells_errors(void **state)
{
	struct hp_client *other;
	char *text;

	will_answer(409, "{\"error\":{\"code\":\"no-symbol\",\"text\":\"symbol X not found\"}}");
	expect_error(hp_client_ask(c, "GET", "/x", NULL, &text, &err), -HP_E_NO_SYMBOL,
		     "symbol X not found");
	will_answer(500, "{\"error\":{\"code\":\"ENOSPC\",\"text\":\"no room\"}}");
	expect_error(hp_client_ask(c, "GET", "/x", NULL, &text, &err), -ENOSPC, "no room");
	will_answer(500, "{\"error\":{\"code\":\"of-the-future\"}}");
	expect_error(hp_client_ask(c, "GET", "/x", NULL, &text, &err), -HP_E_FAILED, "refused");
	will_answer(200, "no JSON");
	assert_int_equal(hp_client_ask(c, "GET", "/x", NULL, &text, &err), -HP_E_UNREACHABLE);
	will_answer(200, "{\"schema\":1}");
	for (size_t n = 1; n < 87; n++) { /* 87 were all */
		hpd.cut = n;
		assert_int_equal(hp_client_ask(c, "GET", "/x", NULL, &text, &err),
				 -HP_E_UNREACHABLE);
	}
	hpd.cut = 0;
	assert_int_equal(hp_client_open(&other, "/no/such/socket", &err), -HP_E_UNREACHABLE);
	assert_string_equal(err.text, "no hpd serves /no/such/socket: No such file or directory");
}

static void refuses_bad_arguments(void **state)
{
	const struct hp_name half[] = {{"a", NULL}};
	struct hp_client_load l = load;

	l.size++;
	assert_int_equal(hp_client_load(c, &l, NULL, &err), -EINVAL);
	l = load;
	l.mode = "\xff";
	expect_error(hp_client_load(c, &l, NULL, &err), -HP_E_BAD_REQUEST, "mode is no UTF-8");
	l = load;
	l.config.replace = half;
	l.config.n_replace = 1;
	expect_error(hp_client_load(c, &l, NULL, &err), -HP_E_BAD_REQUEST,
		     "replace: element 0 is not two names in UTF-8");
}

static void *ask_often(void *arg)
{
	size_t failed = 0;
	char *text;

	for (int i = 0; i < 50; i++) {
		if (hp_client_ask(c, "GET", "/x", NULL, &text, NULL) < 0 ||
		    strcmp(text, "{\"schema\":1}") != 0)
			failed++;
		else
			free(text);
	}
	return (void *)failed;
}

static void a_handle_is_for_all_threads(void **state)
{
	pthread_t t[8];
	void *failed;

	will_answer(200, "{\"schema\":1}");
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&t[i], NULL, ask_often, NULL), 0);
	for (int i = 0; i < 8; i++) {
		pthread_join(t[i], &failed);
		assert_null(failed);
	}
}

/* --- events --------------------------------------------------------------------------------------- */

static void streams_events(void **state)
{
	struct hp_events *e;
	struct hp_event ev;

	hpd.more[0] = "{\"event\":\"load\",\"pid\":7,\"time\":\"t1\"}\n{\"event\":\"st";
	hpd.more[1] = "ep\",\"pid\":8}\n";
	hpd.more[2] = NULL;
	assert_int_equal(hp_client_events(c, 7, &e, &err), 0);
	assert_int_equal(strncmp(hpd.request, "GET /hp/v2/events?pid=7 HTTP", 28), 0);
	assert_int_equal(hp_events_next(e, PATIENCE_MS, &ev, &err), 1);
	assert_string_equal(ev.kind, "load");
	assert_string_equal(ev.time, "t1");
	assert_int_equal(ev.pid, 7);
	assert_string_equal(ev.json, "{\"event\":\"load\",\"pid\":7,\"time\":\"t1\"}");
	assert_int_equal(hp_events_next(e, -1, &ev, &err), 1);
	assert_string_equal(ev.kind, "step");
	assert_int_equal(ev.pid, 8);
	assert_int_equal(hp_events_next(e, -1, &ev, &err), -HP_E_UNREACHABLE);
	hp_events_free(e);
	hp_events_free(NULL);
}

static void a_stream_may_be_refused(void **state)
{
	struct hp_events *e;
	struct hp_event ev;

	hpd.more[0] = "{\"error\":{\"code\":\"denied\",\"text\":\"not you\"}}\n";
	hpd.more[1] = NULL;
	assert_int_equal(hp_client_events(c, 0, &e, &err), 0);
	assert_int_equal(strncmp(hpd.request, "GET /hp/v2/events HTTP", 22), 0);
	assert_int_equal(hp_events_next(e, -1, &ev, &err), -HP_E_DENIED);
	assert_string_equal(err.text, "not you");
	hp_events_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads),
		cmocka_unit_test(tells_the_id_of_what_is_loaded),
		cmocka_unit_test(checks),
		cmocka_unit_test(unloads),
		cmocka_unit_test(lists),
		cmocka_unit_test(restarts),
		cmocka_unit_test(serves_hotgo),
		cmocka_unit_test(asks_anything),
		cmocka_unit_test(tells_errors),
		cmocka_unit_test(refuses_bad_arguments),
		cmocka_unit_test(a_handle_is_for_all_threads),
		cmocka_unit_test(streams_events),
		cmocka_unit_test(a_stream_may_be_refused),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
