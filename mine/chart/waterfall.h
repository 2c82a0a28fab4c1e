/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The waterfall: single requests across the vantages, one row a phase, from submission (zero) to reaping. One panel a request: the
 * typical, the p99 and the worst one of each configuration; requests of one role share their time axis.
 */
#ifndef BIFOCAL_MINE_CHART_WATERFALL_H
#define BIFOCAL_MINE_CHART_WATERFALL_H

#include "mine/chart/frame.h"
#include "mine/phases.h"

/* `roles`: a bit a role, 1 << EXAMPLE_WORST. */
struct canvas *waterfall_draw(const struct chart_look *look, const struct phases *p, size_t n, unsigned roles, struct error *err);

#endif
