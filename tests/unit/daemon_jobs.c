/* SPDX-License-Identifier: MIT */
/* Operations through the real loop: answers, order, crashes, clients and targets that leave. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "daemon/claims.h"
#include "rig/daemon_rig.h"

/* An empty patch of that name; what is played when it is loaded is in the rig. */
static const char *patch(const char *name)
{
	static char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", rig.dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	return path;
}

static const char *load_body(pid_t pid, const char *name)
{
	static char body[512];

	snprintf(body, sizeof(body), "{\"pid\":%d,\"file\":\"%s\"}", pid, patch(name));
	return body;
}

static char *load(const char *name)
{
	return rig_ask("POST", "/hp/v2/load", "", load_body(rig.target, name));
}

/* Makes "wait….so" wait, until go(). */
static void prepare_wait(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s.go", rig.dir, name);
	assert_int_equal(mkfifo(path, 0600), 0);
}

/* Opening waits for the reader: when it returns, the load is there. */
static int reached(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s.go", rig.dir, name);
	return open(path, O_WRONLY | O_CLOEXEC);
}

static void loads_lists_unloads(void **state)
{
	char body[256];

	rig_expect(load("ok.so"), 200, "\"hp_id\":\"" STUB_ID "\"");
	assert_int_equal(stub->last_load.timeout_ns, HP_DEFAULT_TIMEOUT_NS);
	assert_int_equal(stub->last_load.park_ns, HP_DEFAULT_PARK_NS);
	snprintf(body, sizeof(body), "/hp/v2/patches?pid=%d", rig.target);
	rig_expect(rig_ask("GET", body, "", ""), 200, "\"addr\":\"0x401000\"");
	/* A name that is no UTF-8 is shown all the same. */
	rig_expect(rig_ask("GET", body, "", ""), 200, "\"comm\":\"s?\"");
	rig_expect(rig_ask("GET", body, "", ""), 200, "\"notes\":[\"one\",\"two\"]");
	rig_expect(rig_ask("GET", "/hp/v2/status", "", ""), 200, "\"patches\":1");
	snprintf(body, sizeof(body), "{\"pid\":%d,\"id\":\"aa\"}", rig.target);
	rig_expect(rig_ask("POST", "/hp/v2/unload", "", body), 200, "\"patches_left\":0");
	rig_expect(rig_ask("POST", "/hp/v2/unload", "", body), 404, "\"code\":\"not-loaded\"");
	rig_wait_status("\"targets\":[]");
}

/* The played list of all processes names none, as that of a client whom the policy lets see none. */
static void a_list_of_some_takes_nothing_away(void **state)
{
	rig_expect(load("ok.so"), 200, STUB_ID);
	rig_expect(rig_ask("POST", "/hp/v2/list", "", "{}"), 200, "\"patches\":[]");
	rig_expect(rig_ask("GET", "/hp/v2/status", "", ""), 200, "\"patches\":1");
}

static void passes_every_field_on(void **state)
{
	char body[1024];

	snprintf(body, sizeof(body),
		 "{\"pid\":%d,\"file\":\"%s\",\"replace\":{\"N\":\"o\"},\"ref\":{\"V\":\"s\"},"
		 "\"mode\":\"relaxed\",\"quiesce\":\"gate\",\"timeout_ms\":250,\"park_ms\":0.1,"
		 "\"no_stop\":true}",
		 rig.target, patch("ok.so"));
	rig_expect(rig_ask("POST", "/hp/v2/load", "", body), 200, STUB_ID);
	assert_int_equal(stub->last_load.pid, rig.target);
	assert_int_equal(stub->last_load.mode, HP_MODE_RELAXED);
	assert_int_equal(stub->last_load.quiesce, HP_QUIESCE_GATE);
	assert_int_equal(stub->last_load.timeout_ns, 250 * HP_MS);
	assert_int_equal(stub->last_load.park_ns, 100 * HP_US);
	assert_true(stub->last_load.no_stop);
	assert_int_equal(stub->last_load.replace.n, 1);
	assert_int_equal(stub->last_load.ref.n, 1);
}

static void streams_steps(void **state)
{
	char *answer = rig_ask("POST", "/hp/v2/load", "Accept: application/x-ndjson\r\n",
			       load_body(rig.target, "ok.so"));

	rig_expect(answer, 200, "Transfer-Encoding: chunked");
	assert_non_null(strstr(answer, "\"step\":\"plan\""));
	assert_non_null(strstr(strstr(answer, "\"step\":\"gate\""), "\"result\":{"));
	assert_non_null(strstr(answer, "\r\n0\r\n\r\n"));
	answer = rig_ask("POST", "/hp/v2/load", "Accept: application/x-ndjson\r\n",
			 load_body(rig.target, "refuse.so"));
	rig_expect(answer, 200, "\"error\":{\"code\":\"no-symbol\"");
}

static void tells_errors(void **state)
{
	char body[256];

	rig_expect(load("refuse.so"), 409, "\"status\":3");
	rig_expect(load("busy.so"), 504, "\"status\":4");
	rig_expect(load("partial.so"), 500, "\"status\":6");
	snprintf(body, sizeof(body), "{\"pid\":%d,\"file\":\"%s/none.so\"}", rig.target, rig.dir);
	rig_expect(rig_ask("POST", "/hp/v2/load", "", body), 500, "No such file or directory");
	snprintf(body, sizeof(body), "{\"pid\":%d,\"file\":\"%s\"}", rig.target, rig.dir);
	rig_expect(rig_ask("POST", "/hp/v2/load", "", body), 500, "Is a directory");
	prepare_wait("x");
	snprintf(body, sizeof(body), "{\"pid\":%d,\"file\":\"%s/x.go\"}", rig.target, rig.dir);
	rig_expect(rig_ask("POST", "/hp/v2/load", "", body), 500, "not a regular file");
	rig_wait_status("\"targets\":[]");
}

static void recovers_after_a_crash(void **state)
{
	rig_expect(load("crash.so"), 500, "died by SIGKILL");
	rig_wait_status("\"targets\":[]");
	assert_int_equal(stub->recovers, 1);
	rig_expect(load("ok.so"), 200, STUB_ID);
}

static pid_t front(void)
{
	char path[64], comm[32] = "", *children, *save, *word;
	pid_t found = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", rig.hpd, rig.hpd);
	assert_int_equal(hp_read_file(AT_FDCWD, path, 65536, &children, NULL), 0);
	for (word = strtok_r(children, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *text;

		snprintf(path, sizeof(path), "/proc/%.10s/comm", word);
		if (hp_read_file(AT_FDCWD, path, 64, &text, NULL) < 0)
			continue;
		snprintf(comm, sizeof(comm), "%.31s", text);
		free(text);
		if (!strcmp(comm, "hpd-front\n"))
			found = atoi(word);
	}
	free(children);
	return found;
}

static void goes_on_when_front_dies(void **state)
{
	int waits = rig_connect(), fifo;
	pid_t before = front();

	prepare_wait("wait.so");
	rig_request(waits, "POST", "/hp/v2/load", "", load_body(rig.target, "wait.so"));
	fifo = reached("wait.so");
	assert_true(before > 0);
	assert_int_equal(kill(before, SIGKILL), 0);
	assert_string_equal(rig_read(waits, NULL), "");
	/* Who connects meanwhile is served by the next one. */
	rig_wait_status("\"kind\":\"load\"");
	assert_int_not_equal(front(), before);
	close(fifo);
	rig_wait_status("\"jobs\":[]");
	assert_int_equal(stub->loads, 1);
	assert_int_equal(stub->recovers, 0);
	rig_expect(load("ok.so"), 200, STUB_ID);
	close(waits);
}

static void queues_for_one_target(void **state)
{
	int first = rig_connect(), second = rig_connect(), third = rig_connect(), fifo;

	prepare_wait("wait.so");
	rig_request(first, "POST", "/hp/v2/load", "", load_body(rig.target, "wait.so"));
	fifo = reached("wait.so");
	rig_request(second, "POST", "/hp/v2/load", "", load_body(rig.target, "ok.so"));
	rig_request(third, "POST", "/hp/v2/load", "", load_body(rig.target, "ok.so"));
	rig_wait_status("\"queued\":2");
	/* What waits is not begun for a client that left. */
	close(third);
	rig_wait_status("\"queued\":1");
	close(fifo);
	rig_expect(rig_read(first, "}\n"), 200, STUB_ID);
	rig_expect(rig_read(second, "}\n"), 200, STUB_ID);
	assert_int_equal(stub->most_running, 1);
	assert_int_equal(stub->loads, 2);
	close(first);
	close(second);
}

static void serves_targets_in_parallel(void **state)
{
	int first = rig_connect(), fifo;

	prepare_wait("wait.so");
	rig_request(first, "POST", "/hp/v2/load", "", load_body(rig.target, "wait.so"));
	fifo = reached("wait.so");
	rig_expect(rig_ask("POST", "/hp/v2/load", "", load_body(getpid(), "ok.so")), 200, STUB_ID);
	assert_int_equal(stub->most_running, 2);
	close(fifo);
	rig_expect(rig_read(first, "}\n"), 200, STUB_ID);
	close(first);
}

static void refuses_endless_queues(void **state)
{
	int first = rig_connect(), more[32], fifo;

	prepare_wait("wait.so");
	rig_request(first, "POST", "/hp/v2/load", "", load_body(rig.target, "wait.so"));
	fifo = reached("wait.so");
	for (size_t i = 0; i < 32; i++) {
		more[i] = rig_connect();
		rig_request(more[i], "POST", "/hp/v2/load", "", load_body(rig.target, "ok.so"));
	}
	rig_wait_status("\"queued\":32");
	rig_expect(load("ok.so"), 503, "too many operations wait");
	for (size_t i = 0; i < 32; i++)
		close(more[i]);
	rig_wait_status("\"queued\":0");
	close(fifo);
	rig_expect(rig_read(first, "}\n"), 200, STUB_ID);
	assert_int_equal(stub->loads, 1);
	close(first);
}

static void finishes_for_a_client_that_left(void **state)
{
	int fd = rig_connect(), fifo;

	prepare_wait("wait.so");
	rig_request(fd, "POST", "/hp/v2/load", "Accept: application/x-ndjson\r\n",
		    load_body(rig.target, "wait.so"));
	fifo = reached("wait.so");
	close(fd);
	close(fifo);
	rig_wait_status("\"patches\":1");
	rig_wait_status("\"jobs\":[]");
}

static void forgets_targets_that_exit(void **state)
{
	rig_expect(load("ok.so"), 200, STUB_ID);
	kill(rig.target, SIGKILL);
	waitpid(rig.target, NULL, 0);
	rig_wait_status("\"targets\":[]");
	rig_start_target();
}

/* Another hpd has it: nothing is done there, and reading is allowed. */
static void leaves_other_hpds_targets_alone(void **state)
{
	char path[64];
	int claims = hp_claims_open(), held = -1;
	struct hp_locks locks = {0};

	assert_true(claims >= 0);
	assert_true(hp_claim_take(claims, rig.target, &held, &locks));
	assert_false(hp_claim_is_foreign(claims, rig.target, &locks));
	rig_expect(load("ok.so"), 409, "is served by another hpd");
	stub->patches = 1;
	snprintf(path, sizeof(path), "/hp/v2/patches?pid=%d", rig.target);
	rig_expect(rig_ask("GET", path, "", ""), 200, STUB_ID);
	rig_wait_status("\"targets\":[]");
	assert_int_equal(stub->loads + stub->recovers, 0);
	hp_claim_give(claims, rig.target, &held);
	rig_expect(load("ok.so"), 200, STUB_ID);
	assert_true(hp_claim_is_foreign(claims, rig.target, &locks));
	hp_locks_free(&locks);
	close(claims);
}

/* That one's file of claims is another: the process itself is locked. */
static void leaves_targets_of_other_namespaces_alone(void **state)
{
	int other = memfd_create("claims", MFD_CLOEXEC), held = -1;
	struct hp_locks locks = {0};

	assert_true(other >= 0);
	assert_true(hp_claim_take(other, rig.target, &held, &locks));
	if (held >= 0) /* since Linux 6.9 */
		rig_expect(load("ok.so"), 409, "is served by another hpd");
	hp_claim_give(other, rig.target, &held);
	rig_expect(load("ok.so"), 200, STUB_ID);
	hp_locks_free(&locks);
	close(other);
}

/* Anybody can make the list of locks long, and have many processes that are asked for. */
static void reads_all_locks_once(void **state)
{
	int claims = memfd_create("claims", MFD_CLOEXEC), other = memfd_create("claims", MFD_CLOEXEC);
	struct hp_locks locks = {0}, anew = {0};
	int sv[2];
	pid_t child;
	char held;

	assert_int_equal(hp_socketpair(sv), 0);
	child = fork();
	if (child == 0) {
		int lock = -1;

		close(sv[0]);
		if (read(sv[1], &held, 1) != 1)
			_exit(1);
		held = hp_claim_take(other, rig.target, &lock, &anew) && lock >= 0;
		if (write(sv[1], &held, 1) == 1)
			(void)!read(sv[1], &held, 1); /* it has the lock until then */
		_exit(0);
	}
	close(sv[1]);
	assert_false(hp_claim_is_foreign(claims, rig.target, &locks));
	assert_int_equal(write(sv[0], "", 1), 1);
	assert_int_equal(read(sv[0], &held, 1), 1);
	assert_false(hp_claim_is_foreign(claims, rig.target, &locks));
	if (held) /* since Linux 6.9 */
		assert_true(hp_claim_is_foreign(claims, rig.target, &anew));
	close(sv[0]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	hp_locks_free(&locks);
	hp_locks_free(&anew);
	close(claims);
	close(other);
}

/* A list that was read before another hpd had unloaded makes no claim that stays. */
static void claims_nothing_on_hearsay(void **state)
{
	int claims = hp_claims_open();
	struct hp_locks locks = {0};
	char path[64];

	assert_true(claims >= 0);
	snprintf(path, sizeof(path), "/hp/v2/patches?pid=%d", rig.target);
	stub->patches = 1;
	stub->stale = true;
	rig_expect(rig_ask("GET", path, "", ""), 200, STUB_ID);
	rig_wait_status("\"targets\":[]");
	assert_false(hp_claim_is_foreign(claims, rig.target, &locks));
	stub->stale = false;
	rig_expect(rig_ask("GET", path, "", ""), 200, STUB_ID);
	assert_true(hp_claim_is_foreign(claims, rig.target, &locks));
	hp_locks_free(&locks);
	close(claims);
}

static void tells_of_a_pid_that_is_gone(void **state)
{
	pid_t gone = fork();

	if (gone == 0)
		_exit(0);
	waitpid(gone, NULL, 0);
	/* The operation itself finds out; hpd has nothing to queue it at. */
	rig_expect(rig_ask("POST", "/hp/v2/load", "", load_body(gone, "refuse.so")), 409,
		   "no function");
	rig_wait_status("\"targets\":[]");
}

static void broadcasts_events(void **state)
{
	int all = rig_connect(), one = rig_connect();
	char path[64], *answer;

	rig_request(all, "GET", "/hp/v2/events", "", "");
	snprintf(path, sizeof(path), "/hp/v2/events?pid=%d", getpid());
	rig_request(one, "GET", path, "", "");
	rig_read(all, "\r\n\r\n");
	rig_read(one, "\r\n\r\n");
	load("refuse.so");
	answer = rig_read(all, "\"event\":\"failed\"");
	assert_non_null(strstr(answer, "\"step\":\"gate\""));
	rig_ask("POST", "/hp/v2/load", "", load_body(getpid(), "ok.so"));
	answer = rig_read(one, "\"event\":\"done\"");
	assert_null(strstr(answer, "refuse"));
	assert_null(strstr(answer, "\"failed\""));
	close(all);
	close(one);
	rig_wait_status("\"clients\":1");
}

static int setup_bpf(void **state)
{
	rig_prepare();
	stub->bpf = true;
	rig_start();
	return 0;
}

static int teardown_bpf(void **state)
{
	kill(rig.hpd, SIGTERM);
	rig_wait_exit();
	assert_int_equal(stub->views_open, 0);
	rig_remove();
	return 0;
}

static char *watch_body(void)
{
	static char body[64];

	snprintf(body, sizeof(body), "{\"pid\":%d}", rig.target);
	return body;
}

/* A watch lets a load through, and goes on after it. */
static void watches_calls_around_a_load(void **state)
{
	int fd = rig_connect();

	rig_expect(load("ok.so"), 200, STUB_ID);
	rig_request(fd, "POST", "/hp/v2/watch", "", watch_body());
	rig_read(fd, "\"step\":\"watch\"");
	rig_expect(load("ok.so"), 200, STUB_ID);
	rig_read(fd, "\"step\":\"watch\"");
	assert_int_equal(stub->watches, 2);
	close(fd);
	rig_wait_status("\"jobs\":[]");
}

static void ends_a_watch_with_its_target(void **state)
{
	int fd = rig_connect();

	rig_expect(load("ok.so"), 200, STUB_ID);
	rig_request(fd, "POST", "/hp/v2/watch", "", watch_body());
	rig_read(fd, "\"step\":\"watch\"");
	kill(rig.target, SIGKILL);
	waitpid(rig.target, NULL, 0);
	rig_read(fd, "\"code\":\"target-gone\"");
	close(fd);
	rig_start_target();
}

/* What the next target's view takes is made while nobody waits. */
static void prepares_for_the_next_target(void **state)
{
	int fd = rig_connect(), go;

	prepare_wait("wait.so");
	rig_request(fd, "POST", "/hp/v2/load", "", load_body(rig.target, "wait.so"));
	go = reached("wait.so");
	assert_int_equal(stub->views_open, 1);
	/* Some hundred milliseconds, mostly. */
	for (int i = 0; i < 100; i++) {
		hp_pause_ns(HP_MS);
		assert_int_equal(__atomic_load_n(&stub->spared, __ATOMIC_SEQ_CST), 0);
	}
	close(go);
	rig_expect(rig_read(fd, "}\n"), 200, STUB_ID);
	for (int i = 0; i < 10000 && !__atomic_load_n(&stub->spared, __ATOMIC_SEQ_CST); i++)
		hp_pause_ns(HP_MS);
	assert_int_equal(stub->spared, 1);
	close(fd);
}

static void refuses_a_watch_of_nothing(void **state)
{
	assert_non_null(strstr(rig_ask("POST", "/hp/v2/watch", "", watch_body()),
			       "\"code\":\"not-loaded\""));
	rig_wait_status("\"targets\":[]");
}

static void refuses_a_watch_without_bpf(void **state)
{
	rig_expect(rig_ask("POST", "/hp/v2/watch", "", watch_body()), 403, "played without BPF");
}

static void answers_the_reading_verbs(void **state)
{
	char body[256];

	snprintf(body, sizeof(body), "{\"pid\":%d,\"file\":\"%s\",\"dry_run\":true}", rig.target,
		 patch("ok.so"));
	rig_expect(rig_ask("POST", "/hp/v2/load", "", body), 200, "\"state\":\"planned\"");
	rig_expect(rig_ask("POST", "/hp/v2/check", "", load_body(rig.target, "ok.so")), 200,
		   "\"method\":\"pun\"");
	assert_int_equal(stub->loads, 0);
	snprintf(body, sizeof(body), "{\"pid\":%d,\"functions\":[\"f\",\"g\"]}", rig.target);
	rig_expect(rig_ask("POST", "/hp/v2/explain", "", body), 200, "\"function\":\"g\"");
	rig_expect(rig_ask("GET", "/hp/v2/doctor", "", ""), 200, "\"name\":\"userfaultfd\"");
	rig_expect(rig_ask("GET", "/hp/v2/patches", "", ""), 200, "\"patches\":[]");
}

/* Told to end, hpd lets what runs come to its end, and answers. */
static void ends_after_its_jobs(void **state)
{
	int fd = rig_connect(), waits = rig_connect(), events = rig_connect(), fifo;

	prepare_wait("wait.so");
	rig_request(events, "GET", "/hp/v2/events", "", "");
	rig_request(fd, "POST", "/hp/v2/load", "", load_body(rig.target, "wait.so"));
	fifo = reached("wait.so");
	rig_request(waits, "POST", "/hp/v2/load", "", load_body(rig.target, "ok.so"));
	rig_wait_status("\"queued\":1");
	kill(rig.hpd, SIGTERM);
	rig_expect(rig_read(waits, NULL), 503, "hpd is about to end");
	assert_non_null(strstr(rig_read(events, NULL), "\r\n0\r\n\r\n"));
	assert_int_equal(access(rig.socket, F_OK), -1);
	close(fifo);
	rig_expect(rig_read(fd, NULL), 200, STUB_ID);
	close(fd);
	close(waits);
	close(events);
	rig_wait_exit();
}

#define RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)
#define BPF(test) cmocka_unit_test_setup_teardown(test, setup_bpf, teardown_bpf)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(loads_lists_unloads),
		RIG(a_list_of_some_takes_nothing_away),
		BPF(loads_lists_unloads),
		RIG(passes_every_field_on),
		RIG(streams_steps),
		RIG(tells_errors),
		BPF(recovers_after_a_crash),
		BPF(goes_on_when_front_dies),
		RIG(queues_for_one_target),
		RIG(serves_targets_in_parallel),
		RIG(refuses_endless_queues),
		BPF(finishes_for_a_client_that_left),
		BPF(forgets_targets_that_exit),
		BPF(leaves_other_hpds_targets_alone),
		BPF(leaves_targets_of_other_namespaces_alone),
		RIG(reads_all_locks_once),
		RIG(claims_nothing_on_hearsay),
		BPF(tells_of_a_pid_that_is_gone),
		RIG(broadcasts_events),
		BPF(watches_calls_around_a_load),
		BPF(ends_a_watch_with_its_target),
		BPF(prepares_for_the_next_target),
		BPF(refuses_a_watch_of_nothing),
		RIG(refuses_a_watch_without_bpf),
		RIG(answers_the_reading_verbs),
		RIG(ends_after_its_jobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
