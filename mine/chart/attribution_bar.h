/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The attribution bar: one panel a level (mean, p50, p99, p99.9), one bar a configuration, a request's phases stacked in the
 * order of its life from zero on. Phases that cross between the clocks are hatched and carry their ±. A part that is negative, as its
 * bound allows it to be, lies left of zero; a tick then marks the total. Above the bar: a dot a repeat, and the interval over them.
 */
#ifndef BIFOCAL_MINE_CHART_ATTRIBUTION_BAR_H
#define BIFOCAL_MINE_CHART_ATTRIBUTION_BAR_H

#include "mine/chart/frame.h"
#include "mine/phases.h"

/* `levels`: a bit a level, 1 << LEVEL_P99. */
struct canvas *attribution_bar_draw(const struct chart_look *look, const struct phases *p, size_t n, unsigned levels, struct error *err);

#endif
