/* SPDX-License-Identifier: MIT */
/* What a supervisor says: to whoever asked, and to everybody (generation.h). */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "restart/supervisor.h"

void hp_supervisor_say(struct hp_supervisor *s, struct hp_report *r)
{
	/* Whoever asked may have left: before the switch that is noticed in hp_supervisor_wait(). */
	if (s->sock >= 0)
		(void)hp_send_fds(s->sock, r, sizeof(*r), NULL, 0);
}

void hp_supervisor_step(struct hp_supervisor *s, const char *step, const char *text)
{
	struct hp_report r = {.kind = HP_REPORT_STEP, .ns = hp_now_ns() - s->begun_ns};

	(void)snprintf(r.step, sizeof(r.step), "%s", step);
	(void)snprintf(r.text, sizeof(r.text), "%s", text);
	hp_supervisor_say(s, &r);
}

void hp_supervisor_warn(struct hp_supervisor *s, const char *text)
{
	if (s->result.n_warnings < HP_WARNINGS_MAX)
		(void)snprintf(s->result.warning[s->result.n_warnings++], HP_WARNING_TEXT,
			       "%.*s", HP_WARNING_TEXT - 1, text);
	hp_supervisor_step(s, "warning", text);
}

/* Nobody has to read it: a restart does not fail for it. */
void hp_supervisor_record(struct hp_supervisor *s)
{
	(void)hp_generation_write(&s->generation, getpid());
	s->recorded_ns = hp_now_ns();
}
