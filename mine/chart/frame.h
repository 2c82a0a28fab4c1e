/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every chart has around its body: title, subtitle, caption, key; and axes. */
#ifndef BIFOCAL_MINE_CHART_FRAME_H
#define BIFOCAL_MINE_CHART_FRAME_H

#include "mine/chart/canvas.h"
#include "mine/chart/scale.h"

struct chart_look {
	const char *title, *subtitle, *caption;
	double width;                /* logical pixels */
	double scale;                /* device pixels each */
};

/* How one configuration is told from the others, in every chart alike. */
struct series_look {
	const char *label;
	size_t colour, marker;
	unsigned dash;
};

enum { CHART_NARROW = 560 };         /* below it: one column, a key instead of labels at the lines */

struct frame {
	struct canvas *canvas;
	struct box body;
};

/* A canvas as high as its texts and `body_height` need; title, subtitle and caption are drawn. */
int frame_open(struct frame *f, const struct chart_look *look, double body_height, struct error *err);

/* A key of n entries in rows, from `at`, no wider than `width`; returns its height. With `draw` false: only measures. */
double frame_key(struct canvas *c, struct point at, double width, const struct series_look *s, size_t n, bool draw);

/* Horizontal grid with labels left of plot.x, in nanoseconds. `labels` false: the grid alone. */
void frame_latency_axis(struct canvas *c, struct box plot, const struct scale *y, bool labels);
/* Width that the labels of frame_latency_axis take, gap included. */
double frame_latency_gutter(struct canvas *c, const struct scale *y, double height);

#endif
