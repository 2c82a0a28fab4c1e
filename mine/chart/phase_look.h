/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a phase looks, in every chart and table alike: one hue a vantage (guest blue, VMM orange, host green), phases of one vantage
 * told apart by lightness, neighbours in a request's life as light against dark, so that they stay apart in grey. What
 * crosses between the clocks is hatched.
 */
#ifndef BIFOCAL_MINE_CHART_PHASE_LOOK_H
#define BIFOCAL_MINE_CHART_PHASE_LOOK_H

#include "mine/chart/canvas.h"
#include "mine/phases.h"

enum phase_home { HOME_GUEST, HOME_CROSS, HOME_VMM, HOME_HOST, HOME_SEVERAL, HOMES };

struct phase_look {
	enum phase_home home;
	struct colour fill;          /* below the hatch where it is hatched */
	struct colour hatch;
	struct colour text;          /* for words on the fill */
	bool hatched;
};

struct phase_look phase_look(unsigned from, unsigned to);
/* Relative luminance, 0 black to 1 white (WCAG 2.2), and the contrast of two colours, 1 to 21. */
double colour_luminance(struct colour c);
double colour_contrast(struct colour a, struct colour b);

/* A box filled in a phase's look. */
void phase_box(struct canvas *c, struct box b, const struct phase_look *look);
/* A key of the spans (those with `drawn` set) under their vantages' names; returns its height. With `draw` false: only measures. */
double phase_key(struct canvas *c, struct point at, double width, const struct phases_span *s, const bool *drawn, size_t n, bool draw);

#endif
