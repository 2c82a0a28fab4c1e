/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A template's chart drawn from an analysis, as PNG with its provenance. */
#ifndef BIFOCAL_MINE_DRAW_H
#define BIFOCAL_MINE_DRAW_H

#include "mine/analysis.h"
#include "mine/chart/png.h"

enum {
	DRAW_WIDE = 800, DRAW_NARROW = 400,      /* logical pixels: a page, a telephone */
	DRAW_SCALE = 2,                          /* device pixels each: sharp on today's screens and on paper */
	/* More lines in one plot, or panels on one page, than anyone tells apart. */
	DRAW_LINES_MAX = 12, DRAW_PANELS_MAX = 24, DRAW_BARS_MAX = 8, DRAW_FALLS_MAX = 4,
};

struct drawn {
	struct png wide, narrow;
	char *caption;
};

int draw_chart(struct drawn *d, const struct analysis *a, const struct item *chart, struct error *err);
void drawn_fini(struct drawn *d);
/* The malloc'd caption of a chart of attribution that draws the first n configurations; NULL when memory ends. */
char *draw_phases_caption(const struct analysis *a, const struct item *item, size_t n);
/* "1, 2, 5" */
char *draw_run_list(const struct analysis *a);

#endif
