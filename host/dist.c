/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/dist.h"

#include <math.h>
#include <stdlib.h>

#include "common/quantile.h"

enum { FIRST_CAP = 1 << 16 };

void dist_fini(struct dist *d)
{
	free(d->v);
	free(d->hist);
	*d = (struct dist){ 0 };
}

static void to_hist(struct dist *d)
{
	d->hist = malloc(sizeof(*d->hist));
	if (!d->hist) {
		d->failed = true;
		return;
	}
	hist_init(d->hist);
	for (uint64_t i = 0; i < d->n; i++)
		hist_add(d->hist, d->v[i]);
	free(d->v);
	d->v = NULL;
	d->cap = 0;
}

static void grow(struct dist *d)
{
	size_t cap = d->cap ? 2 * d->cap : FIRST_CAP;
	if (cap > DIST_EXACT_MAX)
		cap = DIST_EXACT_MAX;
	uint64_t *v = realloc(d->v, cap * sizeof(*v));
	if (!v) {
		d->failed = true;
		return;
	}
	d->v = v;
	d->cap = cap;
}

void dist_add(struct dist *d, uint64_t cycles)
{
	if (!d->hist && d->n == d->cap) {
		if (d->cap == DIST_EXACT_MAX)
			to_hist(d);
		else
			grow(d);
	}
	if (d->failed)
		return;
	if (d->hist)
		hist_add(d->hist, cycles);
	else
		d->v[d->n] = cycles;
	d->min = d->n && d->min < cycles ? d->min : cycles;
	d->max = d->n && d->max > cycles ? d->max : cycles;
	d->sum += (double)cycles;
	d->n++;
}

int dist_seal(struct dist *d)
{
	if (d->failed)
		return -1;
	if (d->hist || d->n < 2)
		return 0;
	uint64_t *tmp = malloc(d->n * sizeof(*tmp));
	if (!tmp) {
		d->failed = true;
		return -1;
	}
	sort_u64(d->v, tmp, d->n);
	free(tmp);
	return 0;
}

uint64_t dist_quantile(const struct dist *d, double q)
{
	return d->hist ? hist_quantile(d->hist, q) : quantile_sorted(d->v, d->n, q);
}

double dist_mean(const struct dist *d)
{
	return d->sum / (double)d->n;
}

/* Index of the first value >= x. */
static size_t lower_bound(const struct dist *d, double x)
{
	size_t lo = 0, hi = d->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if ((double)d->v[mid] < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static uint64_t hist_count(const struct hist *h, double lo, double hi)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		uint64_t from, to;
		if (!h->bucket[i])
			continue;
		hist_bucket_range(i, &from, &to);
		double middle = ((double)from + (double)to) / 2;
		if (middle >= lo && middle < hi)
			n += h->bucket[i];
	}
	return n;
}

uint64_t dist_count(const struct dist *d, double lo, double hi)
{
	return d->hist ? hist_count(d->hist, lo, hi) : lower_bound(d, hi) - lower_bound(d, lo);
}

bool quantile_supported(uint64_t n, double q)
{
	static const double tail = 0.025;
	return pow(q, (double)n) <= tail && pow(1 - q, (double)n) <= tail;
}
