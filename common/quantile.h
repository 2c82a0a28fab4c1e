/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exact quantiles of values held in memory. */
#ifndef BIFOCAL_COMMON_QUANTILE_H
#define BIFOCAL_COMMON_QUANTILE_H

#include <stddef.h>
#include <stdint.h>

/* Ascending, in place; radix sort: O(n), no recursion. `tmp` has n elements. */
void sort_u64(uint64_t *v, uint64_t *tmp, size_t n);
/* ceil(q·n), at least 1 and at most n, where q·n that is whole but for rounding counts as whole: 0.07 · 100 is 7.
 * q in [0, 1], n > 0. */
uint64_t quantile_rank(uint64_t n, double q);
/* The order statistic of rank ceil(q·n) (Hyndman and Fan's type 1); n > 0, v ascending. */
uint64_t quantile_sorted(const uint64_t *v, size_t n, double q);

#endif
