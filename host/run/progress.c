/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/run/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "common/loop.h"
#include "host/term.h"

enum { BAR = 24, REDRAW_NS = 100000000 };

void progress_init(struct progress *p, unsigned runs)
{
	*p = (struct progress){ .on = isatty(STDERR_FILENO), .runs = runs };
}

void progress_run(struct progress *p, unsigned run, const char *cell)
{
	p->run = run;
	p->drawn_ns = 0;
	snprintf(p->cell, sizeof(p->cell), "%s", cell);
}

void progress_show(struct progress *p, const char *stage, double part)
{
	char bar[BAR * 4 + 1];
	uint64_t now = monotonic_ns();
	if (!p->on || (p->drawn_ns && now - p->drawn_ns < REDRAW_NS))
		return;
	p->drawn_ns = now;
	term_bar(part < 0 ? 0 : part, BAR, bar, sizeof(bar));
	char line[256];
	int n = snprintf(line, sizeof(line), "%u/%u %s", p->run, p->runs, p->cell);
	int room = term_width(STDERR_FILENO) - BAR - 24;
	if (n > room && room > 0)
		line[room] = 0;
	fprintf(stderr, "\r\033[K%s  ▕%s▏ %s", line, bar, stage);
	fflush(stderr);
}

void progress_clear(struct progress *p)
{
	if (p->on && p->drawn_ns)
		fputs("\r\033[K", stderr);
	p->drawn_ns = 0;
}
