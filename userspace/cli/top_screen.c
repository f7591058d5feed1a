/* SPDX-License-Identifier: MIT */
/*
 * Nothing is told by colour: bold, reverse and words do, which every terminal has and everybody sees.
 */
#include "cli/top.h"

#include <locale.h>
#include <ncurses.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"

#define TARGETS_MAX 10 /* lines, so that something is left for the rest */

static SCREEN *screen;

bool hp_screen_open(void)
{
	(void)setlocale(LC_CTYPE, ""); /* in a locale that is not there, ASCII is drawn */
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return false;
	/* These fail on no terminal that newterm() has taken. */
	(void)cbreak();
	(void)noecho();
	(void)keypad(stdscr, TRUE);
	(void)nodelay(stdscr, TRUE);
	(void)curs_set(0); /* or it stays visible */
	return true;
}

void hp_screen_close(void)
{
	if (!screen)
		return;
	(void)endwin(); /* whatever is wrong with the terminal, we leave it */
	delscreen(screen);
	screen = NULL;
}

enum hp_key hp_screen_key(void)
{
	int c = getch();

	switch (c) {
	case ERR:
		return HP_KEY_NONE;
	case KEY_UP:
	case 'k':
		return HP_KEY_UP;
	case KEY_DOWN:
	case 'j':
		return HP_KEY_DOWN;
	case KEY_ENTER:
	case '\n':
	case '\r':
	case ' ':
		return HP_KEY_LOOK;
	case 'q':
	case 'Q':
		return HP_KEY_QUIT;
	case KEY_RESIZE:
	default:
		return HP_KEY_OTHER;
	}
}

/* One line, cut off at the right end; what is no letter of a line is shown as '?'. */
__attribute__((format(printf, 3, 4))) static void line(int y, attr_t how, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (y < 0 || y >= LINES)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
	(void)attrset(how);
	/* Writing into the last column of the last line is an error that does no harm. */
	(void)mvaddnstr(y, 0, text, COLS);
	if (how & A_REVERSE)
		(void)mvchgat(y, 0, -1, how, 0, NULL);
	(void)attrset(A_NORMAL);
}

static const char *span(int64_t ns, char buf[32])
{
	return ns ? hp_show_ns(ns, buf, 32) : "-";
}

static void draw_target(const struct hp_top *t, const struct hp_top_target *g, int y)
{
	const struct hp_top_last *last = hp_top_last_of(t, g->pid);
	attr_t how = g->pid == t->selected ? A_REVERSE : g->gate_closed ? A_BOLD : A_NORMAL;
	char in_flight[24] = "-", quiesce[32], gate[32], park[32];

	if (g->counting)
		snprintf(in_flight, sizeof(in_flight), "%lld", (long long)g->in_flight);
	line(y, how, "%c%8d %-16.16s %7lld %9lld %-6s %9s %10s %10s %10s  %s",
	     g->pid == t->selected ? '>' : ' ', g->pid, g->comm, (long long)g->patches,
	     (long long)g->functions, g->gate_closed ? "CLOSED" : "open", in_flight,
	     span(last ? last->quiesce_ns : 0, quiesce), span(last ? last->gate_ns : 0, gate),
	     span(last ? last->park_ns : 0, park), g->work);
}

/* The lines that are there for targets, the selected one among them. */
static int draw_targets(const struct hp_top *t, int y)
{
	size_t room = TARGETS_MAX, first = 0;

	if (LINES / 3 < TARGETS_MAX)
		room = LINES > 9 ? (size_t)LINES / 3 : 1;
	line(y++, A_BOLD, " %8s %-16s %7s %9s %-6s %9s %10s %10s %10s  %s", "PID", "COMMAND",
	     "PATCHES", "FUNCTIONS", "GATE", "IN FLIGHT", "QUIESCENT", "GATE FOR", "PARKED", "WORK");
	for (size_t i = 0; i < t->targets.n; i++)
		if (t->targets.v[i].pid == t->selected && i >= room)
			first = i - room + 1;
	if (!t->targets.n)
		line(y++, A_NORMAL, "no process has a patch");
	for (size_t i = first; i < t->targets.n && i < first + room; i++)
		draw_target(t, &t->targets.v[i], y++);
	if (t->targets.n > first + room)
		line(y++, A_NORMAL, " ... %zu more", t->targets.n - first - room);
	return y;
}

static int draw_fns(const struct hp_top *t, int y)
{
	int room = (LINES - y) / 2;

	if (!t->looked) {
		line(y++, A_NORMAL, "Enter counts the calls of the process that is selected, as long "
				    "as you look");
		return y;
	}
	if (t->cpu >= 0 && t->cpu_before >= 0)
		line(y++, A_BOLD, "calls in %d; counting costs: CPU %.0f %% now, %.0f %% before",
		     t->looked, t->cpu, t->cpu_before);
	else
		line(y++, A_BOLD, "calls in %d; counting costs each call a trap or two", t->looked);
	if (*t->look_error) {
		line(y++, A_NORMAL, "not counted: %s", t->look_error);
		return y;
	}
	line(y++, A_BOLD, " %14s %10s  %s", "CALLS/S", "IN FLIGHT", "FUNCTION");
	for (size_t i = 0; i < t->fns.n && room-- > 0; i++) {
		const struct hp_top_fn *f = &t->fns.v[i];
		char rate[32] = "...";

		if (f->rated)
			snprintf(rate, sizeof(rate), "%.1f", f->per_second);
		line(y++, f->in_flight ? A_BOLD : A_NORMAL, " %14s %10lld  %s", rate,
		     (long long)f->in_flight, f->name);
	}
	return y;
}

static void draw_events(const struct hp_top *t, int y)
{
	size_t room = LINES > y + 1 ? (size_t)(LINES - y - 1) : 0;
	size_t have = t->n_events < HP_TOP_EVENTS ? t->n_events : HP_TOP_EVENTS;

	line(y++, A_BOLD, "events");
	if (have > room)
		have = room;
	for (size_t i = t->n_events - have; i < t->n_events; i++)
		line(y++, A_NORMAL, "%s", t->event[i % HP_TOP_EVENTS]);
}

void hp_screen_draw(const struct hp_top *t)
{
	int64_t patches = 0;
	int y;

	for (size_t i = 0; i < t->targets.n; i++)
		patches += t->targets.v[i].patches;
	(void)erase(); /* it and refresh() fail on no screen that is open */
	line(0, A_NORMAL, "hpctl top: %s, %zu process%s, %lld patch%s    up, down, Enter, q: quit",
	     t->hpd, t->targets.n, t->targets.n == 1 ? "" : "es", (long long)patches,
	     patches == 1 ? "" : "es");
	y = draw_targets(t, 2);
	y = draw_fns(t, y + 1);
	draw_events(t, y + 1);
	(void)refresh();
}
