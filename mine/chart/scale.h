/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From values to pixels, and where the ticks go. */
#ifndef BIFOCAL_MINE_CHART_SCALE_H
#define BIFOCAL_MINE_CHART_SCALE_H

#include <stdbool.h>
#include <stddef.h>

enum { TICKS_MAX = 64 };

struct scale {
	double lo, hi;               /* values; both > 0 when logarithmic */
	double from, to;             /* their pixels */
	bool logarithmic;
};

struct tick {
	double value;
	bool major;                  /* carries a label */
};

/* Not clamped: what lies outside lands outside. */
double scale_map(const struct scale *s, double value);
/* Widens [lo, hi] by `share` of its length on both sides; a single value gets a decent neighbourhood. */
void scale_pad(struct scale *s, double share);
/* Ticks within [lo, hi], at most TICKS_MAX. Linear: at 1, 2 or 5 times a power of ten, about `wanted` of them.
 * Logarithmic: 1, 2, 5 of each decade where the range is short, decades where it is long; the rest are minor. */
size_t scale_ticks(const struct scale *s, size_t wanted, struct tick ticks[TICKS_MAX]);
/* The smallest of 1, 2, 5 × 10^k that is at least v. */
double scale_nice(double v);

#endif
