/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Estimates with intervals for one configuration.
 *
 * I/O latencies are autocorrelated: a slow request has slow neighbours. So intervals are never taken over raw
 * requests as if they were independent, but over clusters: the repeats themselves from STATS_REPEATS_MIN on,
 * else consecutive blocks of equal time within the runs.
 *
 * Quantiles. The share of requests below the quantile is estimated with the between-cluster variance of a
 * ratio estimator; what that variance is above the binomial one is the design effect, n divided by it the
 * effective size. The exact binomial interval for that size (Clopper and Pearson 1934, sized as by Korn and
 * Graubard, Survey Methodology 24, 1998) gives two ranks, and the order statistics of these ranks are the interval
 * (Woodruff, JASA 47, 1952): distribution-free. A quantile q is supported when the largest of n_eff samples would lie
 * above it with the confidence asked, q^n_eff <= (1 - level)/2, p99 needs 368 for 95 %; and no quantile is where one between the
 * median and it is not: a single stall of many requests must not pass for many slow requests.
 *
 * Means and rates: ratio estimators over the same clusters, Student's t.
 */
#ifndef BIFOCAL_MINE_STATS_H
#define BIFOCAL_MINE_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum {
	/* Five repeats give t = 2.78, the first that does not blow up an interval; fewer say more as blocks. */
	STATS_REPEATS_MIN = 5,
	/* Long enough to outlast the autocorrelation in runs of seconds, enough of them for t = 2.07. */
	STATS_BLOCKS = 24,
};

/* One run's counted requests, in submission order. Borrowed. */
struct stats_run {
	const uint64_t *at;          /* ns since counting began */
	const uint64_t *value;       /* ns */
	size_t n;
	double seconds;              /* length of the counted window */
};

struct stats_cluster {
	const uint64_t *v;           /* ascending */
	size_t n;
	double sum, seconds;
};

struct stats {
	uint64_t *sorted;            /* all runs' values, ascending */
	size_t n, runs;
	double level;
	double seconds;
	double last;                 /* what stats_last_nine gives */
	bool by_run;                 /* clusters are repeats, not blocks */
	struct stats_cluster *cluster;
	size_t clusters;
	size_t occupied;             /* clusters that hold a request: an empty one tells of rates, not of latencies */
	uint64_t *cluster_values;    /* what the clusters point into */
};

struct estimate {
	double value, lo, hi;
	bool supported;              /* false: lo and hi mean nothing; for a quantile nor does value */
};

int stats_init(struct stats *s, const struct stats_run *runs, size_t n_runs, double level, struct error *err);
void stats_fini(struct stats *s);

/* q in [0, 1]. `value` is the order statistic of rank ceil(q·n). */
struct estimate stats_quantile(const struct stats *s, double q);
struct estimate stats_mean(const struct stats *s);
/* Requests a second. */
struct estimate stats_rate(const struct stats *s);
/* No interval: the largest seen says nothing of the largest there is. */
double stats_max(const struct stats *s);
/* How many independent requests these are worth where quantile q is concerned. */
double stats_effective_n(const struct stats *s, double q);
/* The largest x = -log10(1 - q) up to which quantiles are supported, 0 if none is. */
double stats_last_nine(const struct stats *s);

/* The mean of n observations; from `least` of them (two at least) on with Student's t interval. n > 0. */
struct estimate estimate_mean(const double *v, size_t n, size_t least, double level);
/* a / b with an interval from those of a and b, independent of each other, combined on the log scale
 * (MOVER: Donner and Zou, Statistical Methods in Medical Research 21, 2012). */
struct estimate estimate_ratio(struct estimate a, struct estimate b);

/* MSER-5 (White 1997), over logarithms since latencies are heavy-tailed: how many of the first values belong to a
 * warm-up, a multiple of 5; 0 also where they differ from the rest by less than 5 %; n where more than half would have to go. */
size_t stats_warmup(const uint64_t *value, size_t n);

#endif
