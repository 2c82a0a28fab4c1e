/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the measurement itself cost: configurations that were run with tracing and without, in pairs of one study and one repeat, which
 * ran close to each other in shuffled order (`bifocal run --self-check`).
 *
 * A figure is the geometric mean of the pairs' ratios traced / untraced, with Student's t interval over their logarithms: from boot to
 * boot. One pair has no interval. The same rule as host/run/owncost.h prints at the end of a study, whose room is another.
 */
#ifndef BIFOCAL_MINE_OWNCOST_H
#define BIFOCAL_MINE_OWNCOST_H

#include "mine/query.h"
#include "mine/stats.h"

enum own_figure { OWN_IOPS, OWN_P50, OWN_P99, OWN_FIGURES };

/* One configuration, both ways. */
struct own_row {
	char *label;                 /* without the words for tracing */
	const struct group *traced, *untraced;
	size_t pairs;
	size_t with[OWN_FIGURES];    /* pairs that have the figure: a p99 takes some hundred requests on either side */
	struct estimate ratio[OWN_FIGURES]; /* traced / untraced; value NAN without any pair */
};

struct own_cost {
	struct own_row *row;
	size_t rows;
};

struct analysis;

/* From the analysis's dataset and template alone. -1 when memory ends. */
int own_cost_init(struct own_cost *o, const struct analysis *a, struct error *err);
void own_cost_fini(struct own_cost *o);
/* "iops", "p50", "p99": keys of stats.json. */
extern const char *const own_figure_name[OWN_FIGURES];

#endif
