/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The timeline: how latency went along the run. One panel a configuration, all on the same axes: the median of each
 * slice of time with a band from p5 to p95; repeats' own medians thin behind it; the ramp, and what MSER-5 takes for
 * warm-up after it, shaded.
 */
#ifndef BIFOCAL_MINE_CHART_TIMELINE_H
#define BIFOCAL_MINE_CHART_TIMELINE_H

#include "mine/chart/frame.h"
#include "mine/query.h"

enum { SLICE_LEAST = 5 };            /* requests below which a slice is a gap */

struct slice {
	double at;                   /* its middle, in s since counting began; negative in the ramp */
	uint64_t p5, p50, p95;       /* ns */
	size_t n;
};

struct timeline {
	struct series_look look;
	struct slice *pooled;        /* all repeats together */
	struct slice **run;          /* each repeat alone; NULL when there is but one */
	size_t slices, runs;
	double width;                /* of a slice, in s */
	double from, to;             /* time covered */
	double warmup;               /* s after counting began that MSER-5 would cut; 0: none */
	bool unsettled;              /* MSER-5 would cut more than half */
};

/* The slice width that suits all groups of a chart: nice, at most some hundred slices, some 30 requests in each. */
double timeline_slice(const struct group *g, size_t n);
int timeline_init(struct timeline *t, const struct series_look *look, const struct group *g, double width, struct error *err);
void timeline_fini(struct timeline *t);

struct canvas *timeline_draw(const struct chart_look *look, const struct timeline *t, size_t n, struct error *err);

#endif
