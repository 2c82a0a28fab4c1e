/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The percentile plot: what share of requests was at least as fast. x is −log10(1 − q), so that each further nine gets
 * the same room; y is logarithmic. A ribbon shows the interval. Each curve stops at the last nine that its requests support.
 */
#ifndef BIFOCAL_MINE_CHART_PERCENTILE_H
#define BIFOCAL_MINE_CHART_PERCENTILE_H

#include "mine/chart/frame.h"
#include "mine/stats.h"

struct curve_point {
	double x;                    /* −log10(1 − q) */
	struct estimate at;
};

struct curve {
	struct series_look look;
	struct curve_point *p;
	size_t n;
	double end;                  /* x of the last nine supported; 0: not even the median is */
};

/* Evaluates the curve once; it may then be drawn at any size. */
int curve_init(struct curve *c, const struct series_look *look, const struct stats *s, struct error *err);
void curve_fini(struct curve *c);

struct canvas *percentile_draw(const struct chart_look *look, const struct curve *curves, size_t n, struct error *err);

#endif
