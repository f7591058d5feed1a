/* SPDX-License-Identifier: MIT */
/*
 * A program of somebody else's that uses libhp; the example of hp(3).
 *
 *	cc -o hpuser hpuser.c $(pkg-config --cflags --libs hp)
 *
 * hpuser SOCKET PID patch FILE	loads ticker_patch.so into the ticker, shows what is loaded and what
 *				happened, and unloads it
 * hpuser SOCKET PID restart	restarts the process
 * hpuser SOCKET PID serve ADDR	makes hpd serve hotgo's HTTP for it
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hp/hp.h>

static struct hp_err err;

static int failed(const char *what)
{
	printf("%s: %s (%s)\n", what, err.text, hp_err_name(err.code));
	return hp_err_exit(err.code);
}

static int patch(struct hp_client *c, const struct hp_client_load *load)
{
	struct hp_client_unload unload = {.size = sizeof(unload), .pid = load->pid};
	struct hp_client_loaded loaded, again;
	struct hp_client_patches p;

	if (hp_client_load(c, load, &loaded, &err) < 0)
		return failed("load");
	printf("loaded %s\n", loaded.hp_id);

	if (hp_client_load(c, load, &again, &err) == -HP_E_ALREADY)
		printf("already %s\n", again.hp_id);

	if (hp_client_info(c, load->pid, &p, &err) < 0)
		return failed("info");
	for (size_t i = 0; i < p.n; i++)
		for (size_t j = 0; j < p.v[i].config.n_replace; j++)
			printf("%s: %s for %s\n", p.v[i].state, p.v[i].config.replace[j].name,
			       p.v[i].config.replace[j].symbol);
	hp_client_patches_free(&p);

	unload.hp_id = loaded.hp_id;
	unload.timeout_ms = load->timeout_ms;
	unload.park_ms = load->park_ms;
	if (hp_client_unload(c, &unload, NULL, &err) < 0)
		return failed("unload");
	printf("unloaded\n");
	return 0;
}

static int watch_patch(struct hp_client *c, pid_t pid, const char *file)
{
	static const struct hp_name replace[] = {{"NewFunc1", "func1"}};
	static const struct hp_name ref[] = {{"Global", "globalValue"}, {"Func2Ref", "func2"}};
	const struct hp_client_load load = {
		.size = sizeof(load),
		.pid = pid,
		.config = {file, replace, 1, ref, 2},
		.timeout_ms = 20000,
		.park_ms = 2000,
	};
	struct hp_events *events;
	struct hp_event e;
	char *json;
	int k;

	if (hp_client_check(c, &load, &json, &err) < 0)
		return failed("check");
	free(json);
	if (hp_client_events(c, pid, &events, &err) < 0)
		return failed("events");
	k = patch(c, &load);
	while (hp_events_next(events, 0, &e, &err) > 0)
		printf("event %s of %d\n", e.kind, (int)e.pid);
	hp_events_free(events);
	return k;
}

static int restart(struct hp_client *c, pid_t pid)
{
	const struct hp_client_restart r = {.size = sizeof(r), .pid = pid, .wait = true};
	struct hp_client_restarted done;

	if (hp_client_restart(c, &r, &done, &err) < 0)
		return failed("restart");
	printf("%d generation %u\n", (int)done.pid, done.generation);
	return 0;
}

int main(int argc, char **argv)
{
	struct hp_client *c;
	pid_t pid;
	int k = 2;

	if (argc < 4)
		return k;
	pid = (pid_t)atoi(argv[2]);
	if (hp_client_open(&c, argv[1], &err) < 0)
		return failed("open");
	if (!strcmp(argv[3], "patch") && argc == 5)
		k = watch_patch(c, pid, argv[4]);
	else if (!strcmp(argv[3], "restart"))
		k = restart(c, pid);
	else if (!strcmp(argv[3], "serve") && argc == 5)
		k = hp_client_http_server(c, pid, argv[4], &err) < 0 ? failed("serve") : 0;
	hp_client_free(c);
	return k;
}
