/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the measurement cost: every cell with tracing beside the same cell without, in pairs of one repeat, which ran close to
 * each other in shuffled order (`bifocal run --self-check`, which varies trace.enabled).
 *
 * A figure is the geometric mean of the pairs' ratios traced / untraced; its 95 % interval is Student's t over their logarithms, from
 * boot to boot. One pair has no interval.
 */
#ifndef BIFOCAL_HOST_RUN_OWNCOST_H
#define BIFOCAL_HOST_RUN_OWNCOST_H

#include <jansson.h>
#include <stdio.h>

#include "host/run/study.h"
#include "host/run/summary.h"

enum own_figure { OWN_IOPS, OWN_P50, OWN_P99, OWN_FIGURES };

struct own_cost;

struct own_cost *own_cost_new(struct error *err);
void own_cost_free(struct own_cost *o);
/* One finished run. `cell` as study_cell() wrote it, trace.enabled included. A figure that n is too small for is left out of its pair. */
void own_cost_add(struct own_cost *o, const char *cell, unsigned repeat, const struct summary *sum);
void own_cost_print(const struct own_cost *o, FILE *out);
/* [ { "cell": {…}, "pairs": n, "iops": { "ratio": x, "lo": x, "hi": x }, "p50": {…}, "p99": {…} } ]; null where there is none. */
json_t *own_cost_json(const struct own_cost *o);

#endif
