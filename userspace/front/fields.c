/* SPDX-License-Identifier: MIT */
#include "front/fields.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "hp/err.h"

#define PAIRS_MAX   1024
#define PIDS_MAX    65536
#define SPAN_MAX_MS 3600000.0

static int wrong(struct hp_err *err, const struct hp_field *f, const char *what)
{
	return hp_err_set(err, -HP_E_BAD_REQUEST, "field \"%s\" must be %s", f->name, what);
}

static int get_pid(const struct hp_field *f, const json_t *v, struct hp_err *err)
{
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v) || n <= 0 || n > HP_PID_LIMIT)
		return wrong(err, f, "a process id: a whole number above 0");
	*(pid_t *)f->to = (pid_t)n;
	return 0;
}

static int get_pids(const struct hp_field *f, const json_t *v, struct hp_job_request *r,
		    struct hp_err *err)
{
	size_t n = json_array_size(v);

	if (!json_is_array(v) || n == 0 || n > PIDS_MAX)
		return wrong(err, f, "an array of 1 to 65536 process ids");
	r->pids = calloc(n, sizeof(*r->pids));
	if (!r->pids)
		return hp_err_sys(err, ENOMEM, "request");
	for (size_t i = 0; i < n; i++) {
		const struct hp_field one = {.name = f->name, .to = &r->pids[i]};

		if (get_pid(&one, json_array_get(v, i), NULL) < 0)
			return wrong(err, f, "an array of process ids: whole numbers above 0");
	}
	r->sel.n_pids = n;
	return 0;
}

static int get_text(const struct hp_field *f, const json_t *v, struct hp_job_request *r,
		    struct hp_err *err)
{
	const char *s = json_string_value(v);

	if (!s || !*s)
		return wrong(err, f, "a string, not empty");
	if (f->type == HP_FIELD_PATH && *s != '/')
		return wrong(err, f, "an absolute path");
	if (hp_job_request_keep(r, s, f->to) < 0)
		return hp_err_sys(err, ENOMEM, "request");
	return 0;
}

static int get_flag(const struct hp_field *f, const json_t *v, struct hp_err *err)
{
	if (!json_is_boolean(v))
		return wrong(err, f, "true or false");
	*(bool *)f->to = json_is_true(v);
	return 0;
}

static int get_span(const struct hp_field *f, const json_t *v, struct hp_err *err)
{
	double ms = json_number_value(v);
	uint64_t ns;

	if (!json_is_number(v) || !(ms > 0) || ms > SPAN_MAX_MS)
		return wrong(err, f, "milliseconds: a number above 0 and at most 3600000");
	ns = (uint64_t)(ms * (double)HP_MS);
	*(uint64_t *)f->to = ns ? ns : 1; /* 0 would be none */
	return 0;
}

static int get_choice(const struct hp_field *f, const json_t *v, struct hp_err *err)
{
	const char *s = json_string_value(v);
	char all[128] = "";

	for (int i = 0; f->choices[i]; i++) {
		if (s && !strcmp(s, f->choices[i])) {
			*(int *)f->to = i;
			return 0;
		}
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s\"%s\"", i ? ", " : "",
			 f->choices[i]);
	}
	return hp_err_set(err, -HP_E_BAD_REQUEST, "field \"%s\" must be one of %s", f->name, all);
}

static int get_pairs(const struct hp_field *f, json_t *v, struct hp_err *err)
{
	struct hp_pairs *to = f->to;
	const char *key;
	json_t *value;

	if (!json_is_object(v))
		return wrong(err, f, "an object of strings");
	if (json_object_size(v) > PAIRS_MAX)
		return hp_err_set(err, -HP_E_BAD_REQUEST, "field \"%s\" has more than %d members",
				  f->name, PAIRS_MAX);
	json_object_foreach (v, key, value) {
		const char *s = json_string_value(value);

		if (!*key || !s || !*s)
			return hp_err_set(err, -HP_E_BAD_REQUEST,
					  "field \"%s\": member \"%.100s\" must be a string, and "
					  "neither may be empty",
					  f->name, key);
		if (hp_pairs_add(to, key, s) < 0)
			return hp_err_sys(err, ENOMEM, "request");
	}
	return 0;
}

static int get_texts(const struct hp_field *f, const json_t *v, struct hp_job_request *r,
		     struct hp_err *err)
{
	size_t n = json_array_size(v);

	if (!json_is_array(v) || n == 0 || n > PAIRS_MAX)
		return wrong(err, f, "an array of 1 to 1024 strings");
	r->fns = calloc(n, sizeof(*r->fns));
	if (!r->fns)
		return hp_err_sys(err, ENOMEM, "request");
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(v, i));

		/* An argument of a command may be empty, its name may not. */
		if (!s || (!*s && (f->type == HP_FIELD_TEXTS || i == 0)))
			return hp_err_set(err, -HP_E_BAD_REQUEST,
					  "field \"%s\": element %zu must be a string, not empty",
					  f->name, i);
		if (hp_job_request_keep(r, s, &r->fns[i]) < 0)
			return hp_err_sys(err, ENOMEM, "request");
	}
	r->n_fns = n;
	return 0;
}

static int get(const struct hp_field *f, json_t *v, struct hp_job_request *r, struct hp_err *err)
{
	switch (f->type) {
	case HP_FIELD_PID:
		return get_pid(f, v, err);
	case HP_FIELD_PIDS:
		return get_pids(f, v, r, err);
	case HP_FIELD_TEXT:
	case HP_FIELD_PATH:
		return get_text(f, v, r, err);
	case HP_FIELD_FLAG:
		return get_flag(f, v, err);
	case HP_FIELD_SPAN:
		return get_span(f, v, err);
	case HP_FIELD_CHOICE:
		return get_choice(f, v, err);
	case HP_FIELD_PAIRS:
		return get_pairs(f, v, err);
	case HP_FIELD_TEXTS:
	case HP_FIELD_WORDS:
		return get_texts(f, v, r, err);
	}
	return -EINVAL;
}

int hp_fields_read(struct hp_job_request *r, json_t *doc, const struct hp_field *fields, size_t n,
		   struct hp_err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach (doc, key, value) {
		size_t i = 0;

		while (i < n && strcmp(fields[i].name, key) != 0)
			i++;
		if (i == n)
			return hp_err_set(err, -HP_E_BAD_REQUEST, "unknown field \"%.100s\"", key);
	}
	for (size_t i = 0; i < n; i++) {
		int k = 0;

		value = json_object_get(doc, fields[i].name);
		if (value)
			k = get(&fields[i], value, r, err);
		else if (fields[i].needed)
			k = hp_err_set(err, -HP_E_BAD_REQUEST, "field \"%s\" is missing",
				       fields[i].name);
		if (k < 0)
			return k;
	}
	return 0;
}
