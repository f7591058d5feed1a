/* SPDX-License-Identifier: MIT */
/* Pins as bpftool(8) reads them, and their cleaning up. */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "hp/err.h"
#include "watch/watch.h"

/* Above PID_MAX_LIMIT (4194304), so that no other hpd has them. */
#define PID_A 1000000001
#define PID_B 1000000002

static struct hp_watch *w;

static int open_watch(void **state)
{
	struct hp_err err = {0};

	if (hp_watch_open(&w, &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	return 0;
}

static int close_watch(void **state)
{
	hp_watch_close(w);
	return 0;
}

static struct hp_view *open_view(pid_t pid)
{
	struct hp_view *v = NULL;
	struct hp_err err = {0};

	if (hp_view_open(&v, w, pid, &err))
		fail_msg("%s", err.text);
	return v;
}

static json_t *dump(const struct hp_view *v, const char *map)
{
	char command[256];
	json_error_t why;
	json_t *j;
	FILE *f;

	(void)snprintf(command, sizeof(command),
		       "PATH=$PATH:/usr/sbin:/usr/local/sbin bpftool -j map dump pinned %s/%s",
		       hp_view_dir(v), map);
	f = popen(command, "re");
	assert_non_null(f);
	j = json_loadf(f, 0, &why);
	pclose(f);
	if (!j)
		fail_msg("%s: %s", command, why.text);
	assert_true(json_is_array(j));
	return j;
}

/* "formatted" is what bpftool makes of the BTF: {"key": 0, "value": {"in_flight": 0, …}} */
static json_t *field(json_t *dumped, size_t i, const char *name)
{
	json_t *formatted = json_object_get(json_array_get(dumped, i), "formatted");

	return json_object_get(json_object_get(formatted, "value"), name);
}

static void assert_field(json_t *dumped, size_t i, const char *name, int64_t value)
{
	json_t *j = field(dumped, i, name);

	if (!json_is_integer(j))
		fail_msg("no field \"%s\"", name);
	assert_int_equal(json_integer_value(j), value);
}

static void bpftool_prints_named_fields(void **state)
{
	struct hp_view *v = open_view(PID_A);
	const char *const names[] = {"handle_request", "parse_header"};
	struct hp_thread_calls calls = {.depth = 2,
					.call = {{.sp = 64, .fn = 1}, {.sp = 32, .fn = 1}}};
	struct hp_session *s = NULL;
	json_t *j;

	assert_string_equal(hp_view_dir(v), "/sys/fs/bpf/hp/1000000001");
	assert_int_equal(hp_session_begin(&s, v, names, 2, NULL), 0);
	assert_int_equal(hp_session_thread_set(s, getpid(), &calls), 0);
	assert_int_equal(hp_view_inflight(v)[1].in_flight, 2);

	j = dump(v, "inflight");
	assert_int_equal(json_array_size(j), HP_SLOT_FNS);
	assert_field(j, 0, "in_flight", 0);
	assert_field(j, 1, "in_flight", 2);
	assert_field(j, 1, "calls", 0);
	json_decref(j);

	j = dump(v, "session");
	assert_int_equal(json_array_size(j), 1);
	assert_field(j, 0, "session", (int64_t)hp_view_state(v)->session);
	assert_field(j, 0, "total", 2);
	assert_field(j, 0, "gated", 0);
	assert_field(j, 0, "overflow", 0);
	json_decref(j);

	j = dump(v, "names");
	assert_int_equal(json_array_size(j), HP_SLOT_FNS);
	assert_string_equal(json_string_value(field(j, 1, "name")), "parse_header");
	json_decref(j);

	hp_session_end(s, NULL);
	assert_int_equal(hp_view_state(v)->session, 0);
	hp_view_close(v);
	assert_int_equal(access("/sys/fs/bpf/hp/1000000001", F_OK), -1);
}

static void long_names_are_cut(void **state)
{
	struct hp_view *v = open_view(PID_A);
	char name[2 * HP_NAME_MAX];
	const char *const names[] = {name};
	struct hp_session *s = NULL;
	json_t *j;

	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = 0;
	assert_int_equal(hp_session_begin(&s, v, names, 1, NULL), 0);
	j = dump(v, "names");
	assert_int_equal(strlen(json_string_value(field(j, 0, "name"))), HP_NAME_MAX - 1);
	json_decref(j);
	hp_session_end(s, NULL);
	hp_view_close(v);
}

static void views_do_not_mix(void **state)
{
	struct hp_view *a = open_view(PID_A), *b = open_view(PID_B);
	const char *const names[] = {"f"};
	struct hp_thread_calls calls = {.depth = 1, .call = {{.sp = 64, .fn = 0}}};
	struct hp_session *s = NULL;

	assert_int_equal(hp_session_begin(&s, b, names, 1, NULL), 0);
	assert_int_equal(hp_session_thread_set(s, getpid(), &calls), 0);
	assert_int_equal(hp_view_inflight(a)[0].in_flight, 0);
	assert_int_equal(hp_view_state(a)->total, 0);
	assert_int_equal(hp_view_state(b)->total, 1);
	hp_session_end(s, NULL);
	hp_view_close(a);
	hp_view_close(b);
}

/* What a killed hpd leaves behind. */
static void stale_pins_are_replaced(void **state)
{
	struct hp_view *old = open_view(PID_A), *new = open_view(PID_A);
	const char *const names[] = {"f"};
	struct hp_thread_calls calls = {.depth = 1, .call = {{.sp = 64, .fn = 0}}};
	struct hp_session *s = NULL;
	json_t *j;

	assert_int_equal(hp_session_begin(&s, new, names, 1, NULL), 0);
	assert_int_equal(hp_session_thread_set(s, getpid(), &calls), 0);
	j = dump(new, "inflight");
	assert_field(j, 0, "in_flight", 1);
	json_decref(j);
	hp_session_end(s, NULL);
	hp_view_close(new);
	hp_view_close(old);
}

static uint32_t map_id(int fd)
{
	struct bpf_map_info info = {0};
	uint32_t n = sizeof(info);

	assert_true(fd >= 0);
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &n), 0);
	close(fd);
	return info.id;
}

static uint32_t pinned_id(const struct hp_view *v, const char *map)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", hp_view_dir(v), map);
	return map_id(bpf_obj_get(path));
}

static void slots_are_used_again_by_the_next_target(void **state)
{
	struct hp_view *v = open_view(PID_A);
	const char *const names[] = {"f", "g"};
	struct hp_thread_calls calls = {.depth = 1, .call = {{.sp = 64, .fn = 1}}};
	uint32_t inflight = pinned_id(v, "inflight"), session = pinned_id(v, "session");
	struct pollfd keeper = {.events = POLLIN};
	uint64_t number;
	struct hp_session *s = NULL;
	json_t *j;

	assert_int_equal(hp_session_begin(&s, v, names, 2, NULL), 0);
	assert_int_equal(hp_session_thread_set(s, getpid(), &calls), 0);
	number = hp_view_state(v)->session;
	hp_session_end(s, &keeper.fd);
	/* Those that are still in use by probes would be the last to be taken. */
	assert_int_equal(poll(&keeper, 1, 20000), 1);
	close(keeper.fd);
	hp_view_close(v);
	assert_int_equal(access("/sys/fs/bpf/hp/1000000001", F_OK), -1);

	v = open_view(PID_B);
	assert_int_equal(pinned_id(v, "inflight"), inflight);
	assert_int_equal(pinned_id(v, "session"), session);
	assert_string_equal(hp_view_dir(v), "/sys/fs/bpf/hp/1000000002");
	assert_int_equal(hp_view_inflight(v)[1].in_flight, 0);
	j = dump(v, "inflight");
	assert_field(j, 1, "in_flight", 0);
	json_decref(j);
	j = dump(v, "session");
	assert_field(j, 0, "session", 0);
	assert_field(j, 0, "total", 0);
	json_decref(j);
	j = dump(v, "names");
	assert_string_equal(json_string_value(field(j, 0, "name")), "");
	json_decref(j);
	assert_int_equal(hp_session_begin(&s, v, names, 2, NULL), 0);
	assert_true(hp_view_state(v)->session > number);
	assert_int_equal(hp_session_thread_get(s, getpid(), &calls), 0);
	assert_int_equal(calls.depth, 0);
	hp_session_end(s, NULL);
	hp_view_close(v);
}

static void a_view_left_open_keeps_its_slots(void **state)
{
	struct hp_view *a = open_view(PID_A);
	struct hp_view *b = open_view(PID_B);

	assert_ptr_not_equal(hp_view_state(a), hp_view_state(b));
	assert_int_not_equal(pinned_id(a, "session"), pinned_id(b, "session"));
	hp_view_close(a);
	hp_view_close(b);
}

/* Ids of maps are given out in ascending order (idr_alloc_cyclic()). */
static void spare_slots_are_made_beforehand(void **state)
{
	struct hp_view *v[HP_SLOTS];
	uint32_t marker;
	size_t n = 0, more = 0;

	/* all that are free, until new ones must be made … */
	do {
		marker = map_id(bpf_map_create(BPF_MAP_TYPE_ARRAY, "marker", 4, 4, 1, NULL));
		v[n] = open_view(PID_A + (pid_t)n);
	} while (pinned_id(v[n++], "names") < marker);
	/* … which are more than one; and then the spare ones */
	do {
		marker = map_id(bpf_map_create(BPF_MAP_TYPE_ARRAY, "marker", 4, 4, 1, NULL));
		hp_watch_spare(w);
		v[n] = open_view(PID_A + (pid_t)n);
		more++;
	} while (pinned_id(v[n++], "names") < marker && more < HP_SLOTS / 4);
	assert_true(more > 2);
	marker = map_id(bpf_map_create(BPF_MAP_TYPE_ARRAY, "marker", 4, 4, 1, NULL));
	hp_watch_spare(w);
	v[n] = open_view(PID_A + (pid_t)n);
	assert_true(pinned_id(v[n++], "names") < marker);
	while (n)
		hp_view_close(v[--n]);
}

/* While probes of the last one may still be there, the next session counts in the other slot. */
static void pins_follow_the_session(void **state)
{
	struct hp_view *v = open_view(PID_A);
	const char *const first[] = {"first"}, *const second[] = {"second"};
	struct hp_thread_calls calls = {.depth = 1, .call = {{.sp = 64, .fn = 0}}};
	const struct hp_session_state *was = hp_view_state(v);
	uint32_t id = pinned_id(v, "inflight");
	struct hp_session *s = NULL;
	json_t *j;
	int keeper;

	assert_int_equal(hp_session_begin(&s, v, first, 1, NULL), 0);
	assert_ptr_equal(hp_view_state(v), was);
	assert_int_equal(hp_session_thread_set(s, getpid(), &calls), 0);
	assert_int_equal(kill(hp_session_keeper(s), SIGSTOP), 0);
	keeper = (int)syscall(SYS_pidfd_open, hp_session_keeper(s), 0);
	assert_true(keeper >= 0);
	hp_session_end(s, NULL);

	assert_int_equal(hp_session_begin(&s, v, second, 1, NULL), 0);
	assert_ptr_not_equal(hp_view_state(v), was);
	assert_int_not_equal(pinned_id(v, "inflight"), id);
	assert_int_equal(hp_view_state(v)->total, 0);
	calls.depth = 0;
	assert_int_equal(hp_session_thread_set(s, getpid(), &calls), 0);
	j = dump(v, "session");
	assert_field(j, 0, "session", (int64_t)hp_view_state(v)->session);
	json_decref(j);
	j = dump(v, "names");
	assert_string_equal(json_string_value(field(j, 0, "name")), "second");
	json_decref(j);
	hp_session_end(s, NULL);
	assert_int_equal(syscall(SYS_pidfd_send_signal, keeper, SIGCONT, NULL, 0), 0);
	close(keeper);
	hp_view_close(v);
	assert_int_equal(access("/sys/fs/bpf/hp/1000000001", F_OK), -1);
}

static bool keep_a(void *arg, pid_t pid)
{
	++*(int *)arg;
	return pid != PID_B;
}

static void sweep_removes_what_nobody_keeps(void **state)
{
	struct hp_view *a = open_view(PID_A), *b = open_view(PID_B);
	int asked = 0;

	hp_watch_sweep(keep_a, &asked);
	assert_true(asked >= 2);
	assert_int_equal(access("/sys/fs/bpf/hp/1000000001/inflight", F_OK), 0);
	assert_int_equal(access("/sys/fs/bpf/hp/1000000002", F_OK), -1);
	hp_view_close(a);
	hp_view_close(b);
}

static void pins_are_for_root_only(void **state)
{
	struct hp_view *v = open_view(PID_A);
	struct stat st;

	assert_int_equal(stat(hp_view_dir(v), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	hp_view_close(v);
}

static int in_fork(const struct hp_view *v)
{
	void *counters = (void *)hp_view_inflight(v);
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(msync(counters, 1, MS_ASYNC) == 0 ? 1 : errno == ENOMEM ? 0 : 2);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_fork_has_one_views_counters_or_none(void **state)
{
	struct hp_view *a = open_view(PID_A), *b = open_view(PID_B);

	assert_int_equal(in_fork(a), 0);
	hp_view_fork(a, true);
	assert_int_equal(in_fork(a), 1);
	assert_int_equal(in_fork(b), 0);
	hp_view_fork(a, false);
	assert_int_equal(in_fork(a), 0);
	hp_view_close(a);
	hp_view_close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bpftool_prints_named_fields),
		cmocka_unit_test(long_names_are_cut),
		cmocka_unit_test(views_do_not_mix),
		cmocka_unit_test(stale_pins_are_replaced),
		cmocka_unit_test(slots_are_used_again_by_the_next_target),
		cmocka_unit_test(a_view_left_open_keeps_its_slots),
		cmocka_unit_test(spare_slots_are_made_beforehand),
		cmocka_unit_test(a_fork_has_one_views_counters_or_none),
		cmocka_unit_test(pins_follow_the_session),
		cmocka_unit_test(sweep_removes_what_nobody_keeps),
		cmocka_unit_test(pins_are_for_root_only),
	};

	return cmocka_run_group_tests(tests, open_watch, close_watch);
}
