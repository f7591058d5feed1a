/* SPDX-License-Identifier: MIT */
/*
 * hpuser SOCKET PID PATCH – a program of somebody else's that uses libhp; the example of hp(3).
 *
 *	cc -o hpuser hpuser.c $(pkg-config --cflags --libs hp)
 *
 * Loads ticker_patch.so into the ticker, shows what is loaded and what happened, and unloads it.
 */
#include <stdio.h>
#include <stdlib.h>

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

int main(int argc, char **argv)
{
	static const struct hp_name replace[] = {{"NewFunc1", "func1"}};
	static const struct hp_name ref[] = {{"Global", "globalValue"}, {"Func2Ref", "func2"}};
	struct hp_client_load load = {
		.size = sizeof(load),
		.config = {.replace = replace, .n_replace = 1, .ref = ref, .n_ref = 2},
		.timeout_ms = 20000,
		.park_ms = 2000,
	};
	struct hp_client *c;
	struct hp_events *events;
	struct hp_event e;
	char *json;
	int k;

	if (argc != 4)
		return 2;
	if (hp_client_open(&c, argv[1], &err) < 0)
		return failed("open");
	load.pid = (pid_t)atoi(argv[2]);
	load.config.hp_file = argv[3];
	if (hp_client_check(c, &load, &json, &err) < 0)
		return failed("check");
	free(json);
	if (hp_client_events(c, load.pid, &events, &err) < 0)
		return failed("events");
	k = patch(c, &load);
	while (hp_events_next(events, 0, &e, &err) > 0)
		printf("event %s of %d\n", e.kind, (int)e.pid);
	hp_events_free(events);
	hp_client_free(c);
	return k;
}
