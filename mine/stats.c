/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/quantile.h"
#include "common/special.h"

/* Support is looked for in steps of this many nines. */
#define NINE_STEP (1.0 / 64)

static size_t blocks_of(const struct stats *s)
{
	return s->by_run ? 1 : (STATS_BLOCKS + s->runs - 1) / s->runs;
}

static size_t block_at(const struct stats_run *r, size_t i, size_t blocks)
{
	double share = r->seconds > 0 ? (double)r->at[i] / (r->seconds * 1e9) : 0;
	double block = floor(share * (double)blocks);
	return block >= (double)blocks ? blocks - 1 : (size_t)block;
}

/* Deals one run's values out to its clusters, which are `blocks` from `c` on, and sorts each. Returns the memory used. */
static size_t fill_clusters(struct stats_cluster *c, size_t blocks, const struct stats_run *r, uint64_t *mem, uint64_t *tmp)
{
	for (size_t i = 0; i < r->n; i++)
		c[block_at(r, i, blocks)].n++;
	uint64_t *start[STATS_BLOCKS];
	size_t used = 0;
	for (size_t b = 0; b < blocks; b++) {
		start[b] = mem + used;
		c[b].v = start[b];
		c[b].seconds = r->seconds / (double)blocks;
		used += c[b].n;
	}
	for (size_t i = 0; i < r->n; i++) {
		size_t b = block_at(r, i, blocks);
		*start[b]++ = r->value[i];
		c[b].sum += (double)r->value[i];
	}
	for (size_t b = 0; b < blocks; b++)
		if (c[b].n)
			sort_u64(start[b] - c[b].n, tmp, c[b].n);
	return used;
}

void stats_fini(struct stats *s)
{
	free(s->sorted);
	free(s->cluster);
	free(s->cluster_values);
	*s = (struct stats){ 0 };
}

/* How many of v are <= x. */
static size_t count_below(const uint64_t *v, size_t n, uint64_t x)
{
	size_t lo = 0, hi = n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (v[mid] <= x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* How many of v lie on the body's side of quantile x. The rarer side, whose clustering counts, includes x itself. */
static size_t count_body(const uint64_t *v, size_t n, uint64_t x, double q)
{
	return q < 0.5 ? n - count_below(v, n, x) : x ? count_below(v, n, x - 1) : 0;
}

/* Variance of sum(y)/sum(m) between clusters, given the squared residuals y - ratio·m. */
static double ratio_variance(double squares, size_t clusters, double m)
{
	double b = (double)clusters;
	return b / (b - 1) * squares / (m * m);
}

static double student_of(const struct stats *s, size_t clusters)
{
	return student_quantile(0.5 + s->level / 2, (double)clusters - 1);
}

double stats_effective_n(const struct stats *s, double q)
{
	double n = (double)s->n;
	/* All in one cluster: how they vary between clusters was not seen. */
	if (s->occupied < 2)
		return 1;
	uint64_t x = quantile_sorted(s->sorted, s->n, q);
	double p = (double)count_body(s->sorted, s->n, x, q) / n;
	double squares = 0;
	for (size_t i = 0; i < s->clusters; i++) {
		const struct stats_cluster *c = &s->cluster[i];
		double residual = (double)count_body(c->v, c->n, x, q) - p * (double)c->n;
		squares += residual * residual;
	}
	double binomial = p * (1 - p) / n;
	double effect = binomial > 0 ? ratio_variance(squares, s->occupied, n) / binomial : 1;
	/* Below 1 is chance as a rule: it must not buy certainty. */
	if (effect < 1)
		effect = 1;
	double t = student_quantile(0.5 + s->level / 2, fmax(n - 1, 1)) / student_of(s, s->occupied);
	return n / effect * fmin(t * t, 1);
}

static bool quantile_supported(double q, double n_eff, double level)
{
	double tail = (1 - level) / 2;
	return pow(q, n_eff) <= tail && pow(1 - q, n_eff) <= tail;
}

/* Support is not monotonic to the last digit, since the design effect is estimated anew for each q: the
 * first x that is not supported ends the search. */
static double find_last_nine(const struct stats *s)
{
	double last = 0;
	for (double x = log10(2); x < 9; x += NINE_STEP) {
		double q = 1 - pow(10, -x);
		if (!quantile_supported(q, stats_effective_n(s, q), s->level))
			break;
		last = x;
	}
	return last;
}

int stats_init(struct stats *s, const struct stats_run *runs, size_t n_runs, double level, struct error *err)
{
	*s = (struct stats){ .runs = n_runs, .level = level, .by_run = n_runs >= STATS_REPEATS_MIN };
	for (size_t i = 0; i < n_runs; i++) {
		s->n += runs[i].n;
		s->seconds += runs[i].seconds;
	}
	if (!s->n)
		return error_set(err, ERR_NOT_FOUND, "no request was counted in %zu run%s", n_runs, n_runs == 1 ? "" : "s");
	size_t blocks = blocks_of(s);
	autofree uint64_t *tmp = calloc(s->n, sizeof(*tmp));
	s->clusters = blocks * n_runs;
	s->cluster = calloc(s->clusters, sizeof(*s->cluster));
	s->cluster_values = calloc(s->n, sizeof(*s->cluster_values));
	s->sorted = calloc(s->n, sizeof(*s->sorted));
	if (!tmp || !s->cluster || !s->cluster_values || !s->sorted) {
		stats_fini(s);
		return error_set(err, ERR_LIMIT, "no memory to sort %zu requests; narrow the selection with --where", s->n);
	}
	size_t used = 0;
	for (size_t i = 0; i < n_runs; i++)
		used += fill_clusters(&s->cluster[i * blocks], blocks, &runs[i], s->cluster_values + used, tmp);
	for (size_t i = 0; i < s->clusters; i++)
		s->occupied += s->cluster[i].n > 0;
	memcpy(s->sorted, s->cluster_values, s->n * sizeof(*s->sorted));
	sort_u64(s->sorted, tmp, s->n);
	s->last = find_last_nine(s);
	return 0;
}

struct estimate stats_quantile(const struct stats *s, double q)
{
	struct estimate e = { .value = (double)quantile_sorted(s->sorted, s->n, q) };
	double n_eff = stats_effective_n(s, q), tail = (1 - s->level) / 2;
	e.supported = quantile_supported(q, n_eff, s->level) && (q <= 0.5 || -log10(1 - q) < s->last + NINE_STEP);
	if (!e.supported)
		return e;
	double below = q * n_eff;
	double lo = beta_quantile(tail, below, n_eff - below + 1);
	double hi = beta_quantile(1 - tail, below + 1, n_eff - below);
	e.lo = (double)quantile_sorted(s->sorted, s->n, lo);
	e.hi = (double)quantile_sorted(s->sorted, s->n, hi);
	return e;
}

struct estimate stats_mean(const struct stats *s)
{
	double sum = 0, squares = 0, n = (double)s->n;
	for (size_t i = 0; i < s->clusters; i++)
		sum += s->cluster[i].sum;
	struct estimate e = { .value = sum / n, .supported = s->occupied > 1 };
	for (size_t i = 0; i < s->clusters; i++) {
		double residual = s->cluster[i].sum - e.value * (double)s->cluster[i].n;
		squares += residual * residual;
	}
	if (e.supported) {
		double half = student_of(s, s->occupied) * sqrt(ratio_variance(squares, s->occupied, n));
		e.lo = fmax(0, e.value - half);
		e.hi = e.value + half;
	}
	return e;
}

struct estimate stats_rate(const struct stats *s)
{
	if (!(s->seconds > 0))
		return (struct estimate){ .value = 0 };
	struct estimate e = { .value = (double)s->n / s->seconds, .supported = s->clusters > 1 };
	double squares = 0;
	for (size_t i = 0; i < s->clusters; i++) {
		double residual = (double)s->cluster[i].n - e.value * s->cluster[i].seconds;
		squares += residual * residual;
	}
	if (e.supported) {
		double half = student_of(s, s->clusters) * sqrt(ratio_variance(squares, s->clusters, s->seconds));
		e.lo = fmax(0, e.value - half);
		e.hi = e.value + half;
	}
	return e;
}

double stats_max(const struct stats *s)
{
	return (double)s->sorted[s->n - 1];
}

double stats_last_nine(const struct stats *s)
{
	return s->last;
}

struct estimate estimate_mean(const double *v, size_t n, size_t least, double level)
{
	struct estimate e = { 0 };
	double squares = 0;
	for (size_t i = 0; i < n; i++)
		e.value += v[i] / (double)n;
	if (n < least)
		return e;
	for (size_t i = 0; i < n; i++)
		squares += (v[i] - e.value) * (v[i] - e.value);
	double half = student_quantile(0.5 + level / 2, (double)n - 1) * sqrt(squares / (double)(n - 1) / (double)n);
	e.lo = e.value - half;
	e.hi = e.value + half;
	e.supported = true;
	return e;
}

struct estimate estimate_ratio(struct estimate a, struct estimate b)
{
	struct estimate e = { .supported = a.supported && b.supported && a.lo > 0 && b.lo > 0 };
	e.value = b.value > 0 ? a.value / b.value : 0;
	if (!e.supported)
		return e;
	double down = hypot(log(a.value / a.lo), log(b.hi / b.value));
	double up = hypot(log(a.hi / a.value), log(b.value / b.lo));
	e.lo = e.value * exp(-down);
	e.hi = e.value * exp(up);
	return e;
}

size_t stats_warmup(const uint64_t *value, size_t n)
{
	size_t batches = n / 5, best = 0;
	if (batches < 10)
		return 0;
	double sum = 0, squares = 0, least = INFINITY, rest = 0;
	for (size_t d = batches; d-- > 0;) {
		double mean = 0;
		for (size_t i = 0; i < 5; i++)
			mean += log(fmax(1, (double)value[d * 5 + i])) / 5;
		sum += mean;
		squares += mean * mean;
		double k = (double)(batches - d);
		double mser = (squares - sum * sum / k) / (k * k);
		/* The statistic of a handful of last batches means nothing (Hoad, Robinson and Davies 2008). */
		if (batches - d >= 5 && mser <= least) {
			least = mser;
			best = d;
			rest = sum / k;
		}
	}
	double cut = best ? (sum - rest * (double)(batches - best)) / (double)best : rest;
	if (fabs(cut - rest) < log(1.05))
		return 0;
	return best > batches / 2 ? n : best * 5;
}
