/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/quantile.h"

#include <float.h>
#include <string.h>

enum { DIGIT_BITS = 8, DIGITS = 64 / DIGIT_BITS, DIGIT_VALUES = 1 << DIGIT_BITS };

static inline unsigned digit(uint64_t v, unsigned d)
{
	return v >> (d * DIGIT_BITS) & (DIGIT_VALUES - 1);
}

/* Counts become the places where each digit's first value goes. */
static void counts_to_places(size_t *count)
{
	size_t place = 0;
	for (int i = 0; i < DIGIT_VALUES; i++) {
		size_t here = count[i];
		count[i] = place;
		place += here;
	}
}

void sort_u64(uint64_t *v, uint64_t *tmp, size_t n)
{
	size_t count[DIGITS][DIGIT_VALUES] = { 0 };
	uint64_t *from = v, *to = tmp;
	for (size_t i = 0; i < n; i++)
		for (unsigned d = 0; d < DIGITS; d++)
			count[d][digit(v[i], d)]++;
	for (unsigned d = 0; d < DIGITS && n; d++) {
		/* Latencies leave the upper digits alike: nothing to do for those. */
		if (count[d][digit(from[0], d)] == n)
			continue;
		counts_to_places(count[d]);
		for (size_t i = 0; i < n; i++)
			to[count[d][digit(from[i], d)]++] = from[i];
		uint64_t *swap = from;
		from = to;
		to = swap;
	}
	if (from != v)
		memcpy(v, from, n * sizeof(*v));
}

uint64_t quantile_rank(uint64_t n, double q)
{
	double x = q * (double)n;
	if (x >= (double)n)
		return n;
	uint64_t whole = (uint64_t)x;
	if (x - (double)whole > 4 * DBL_EPSILON * x)
		whole++;
	return whole ? whole : 1;
}

uint64_t quantile_sorted(const uint64_t *v, size_t n, double q)
{
	return v[quantile_rank(n, q) - 1];
}
