/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A distribution of cycle counts. Exact (every value kept) up to DIST_EXACT_MAX values; beyond that a
 * histogram takes over, with a relative error of 0.2 %, so that no run is too long for the memory.
 */
#ifndef BIFOCAL_HOST_DIST_H
#define BIFOCAL_HOST_DIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/hist.h"

enum { DIST_EXACT_MAX = 10000000 };

struct dist {
	uint64_t *v;
	size_t cap;
	uint64_t n, min, max;
	double sum;
	struct hist *hist;             /* set: v is gone */
	bool failed;                   /* out of memory: the figures are not to be used */
};

void dist_fini(struct dist *d);        /* zeroed is fine */
void dist_add(struct dist *d, uint64_t cycles);
/* Sorts; call once, after the last value and before the quantiles. -1 when memory ran out. */
int dist_seal(struct dist *d);
uint64_t dist_quantile(const struct dist *d, double q);      /* n > 0 */
double dist_mean(const struct dist *d);                      /* n > 0 */
/* Values v with lo <= v < hi. */
uint64_t dist_count(const struct dist *d, double lo, double hi);
/* A two-sided 95 % interval of the q-quantile exists among the order statistics of n independent values: some value
 * is below it, and some above, with a probability of 97.5 % each. p99 needs 368, p99.9 needs 3688. */
bool quantile_supported(uint64_t n, double q);

#endif
