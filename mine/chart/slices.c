/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests into slices of time. */
#include <math.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/quantile.h"
#include "mine/chart/timeline.h"
#include "mine/stats.h"

enum { SLICES_WANTED = 100, SLICES_MAX = 1000, REQUESTS_WANTED = 30 };

static double longest_ramp(const struct group *g)
{
	double s = 0;
	for (size_t i = 0; i < g->runs; i++)
		s = fmax(s, g->run[i]->ramp_seconds);
	return s;
}

static double longest_window(const struct group *g)
{
	double s = 0;
	for (size_t i = 0; i < g->runs; i++)
		s = fmax(s, g->run[i]->seconds);
	return s;
}

double timeline_slice(const struct group *g, size_t n)
{
	double length = 0, dense = 0;
	for (size_t i = 0; i < n; i++) {
		length = fmax(length, longest_ramp(&g[i]) + longest_window(&g[i]));
		for (size_t k = 0; k < g[i].runs; k++)
			dense = fmax(dense, g[i].run[k]->seconds / (double)g[i].run[k]->n * REQUESTS_WANTED);
	}
	if (!(length > 0))
		return 1;
	/* A slow configuration must not make lumps of the others: a dozen slices there are at least to be. */
	return scale_nice(fmax(length / SLICES_WANTED, fmin(dense, length / 12)));
}

/* Requests of one slice while they are gathered. */
struct bin {
	uint64_t *v;
	size_t n, cap;
};

struct binner {
	struct bin *bin;
	size_t bins;
	double from, width;
};

static bool bin_add(struct bin *b, uint64_t v)
{
	if (b->n == b->cap) {
		size_t cap = b->cap ? 2 * b->cap : 64;
		uint64_t *grown = reallocarray(b->v, cap, sizeof(*grown));
		if (!grown)
			return false;
		b->v = grown;
		b->cap = cap;
	}
	b->v[b->n++] = v;
	return true;
}

static bool binner_add(struct binner *b, double t, uint64_t v)
{
	double i = floor((t - b->from) / b->width);
	/* What ends a little outside the window belongs to no slice. */
	return !(i >= 0 && i < (double)b->bins) || bin_add(&b->bin[(size_t)i], v);
}

static bool binner_run(struct binner *b, const struct mine_run *r)
{
	for (size_t i = 0; i < r->n_ramp; i++)
		if (!binner_add(b, -(double)r->ramp_before[i] / 1e9, r->ramp_latency[i]))
			return false;
	for (size_t i = 0; i < r->n; i++)
		if (!binner_add(b, (double)r->at[i] / 1e9, r->latency[i]))
			return false;
	return true;
}

static int binner_close(struct binner *b, struct slice *out)
{
	size_t most = 1;
	for (size_t i = 0; i < b->bins; i++)
		if (b->bin[i].n > most)
			most = b->bin[i].n;
	autofree uint64_t *tmp = calloc(most, sizeof(*tmp));
	if (!tmp)
		return -1;
	for (size_t i = 0; i < b->bins; i++) {
		struct bin *bin = &b->bin[i];
		out[i] = (struct slice){ .at = b->from + ((double)i + 0.5) * b->width, .n = bin->n };
		if (!bin->n)
			continue;
		sort_u64(bin->v, tmp, bin->n);
		out[i].p5 = quantile_sorted(bin->v, bin->n, 0.05);
		out[i].p50 = quantile_sorted(bin->v, bin->n, 0.5);
		out[i].p95 = quantile_sorted(bin->v, bin->n, 0.95);
	}
	return 0;
}

static int slice_runs(const struct timeline *t, const struct mine_run *const *run, size_t n, struct slice **out)
{
	struct binner b = { .bins = t->slices, .from = t->from, .width = t->width };
	int rc = -1;
	b.bin = calloc(b.bins, sizeof(*b.bin));
	*out = calloc(b.bins, sizeof(**out));
	if (!b.bin || !*out)
		goto end;
	for (size_t i = 0; i < n; i++)
		if (!binner_run(&b, run[i]))
			goto end;
	rc = binner_close(&b, *out);
end:
	for (size_t i = 0; b.bin && i < b.bins; i++)
		free(b.bin[i].v);
	free(b.bin);
	return rc;
}

static int by_value(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;
	return a < b ? -1 : a > b;
}

/* The median over the repeats: one odd repeat is no warm-up of the configuration. */
static int find_warmup(struct timeline *t, const struct group *g)
{
	autofree double *cut = calloc(g->runs, sizeof(*cut));
	if (!cut)
		return -1;
	for (size_t i = 0; i < g->runs; i++) {
		const struct mine_run *r = g->run[i];
		size_t n = stats_warmup(r->latency, r->n);
		cut[i] = n == r->n && n ? INFINITY : n ? (double)r->at[n] / 1e9 : 0;
	}
	qsort(cut, g->runs, sizeof(*cut), by_value);
	double middle = cut[(g->runs - 1) / 2];
	t->unsettled = isinf(middle);
	t->warmup = t->unsettled ? 0 : middle;
	return 0;
}

int timeline_init(struct timeline *t, const struct series_look *look, const struct group *g, double width, struct error *err)
{
	*t = (struct timeline){ .look = *look, .width = width, .to = longest_window(g) };
	/* Slices meet at zero, so that none mixes ramp and counted requests. */
	t->from = -ceil(longest_ramp(g) / width - 1e-9) * width;
	double slices = ceil((t->to - t->from) / width - 1e-9);
	t->slices = slices < 1 ? 1 : slices > SLICES_MAX ? SLICES_MAX : (size_t)slices;
	if (find_warmup(t, g) || slice_runs(t, g->run, g->runs, &t->pooled))
		goto no_memory;
	if (g->runs < 2)
		return 0;
	t->run = calloc(g->runs, sizeof(*t->run));
	if (!t->run)
		goto no_memory;
	t->runs = g->runs;
	for (size_t i = 0; i < g->runs; i++)
		if (slice_runs(t, &g->run[i], 1, &t->run[i]))
			goto no_memory;
	return 0;
no_memory:
	timeline_fini(t);
	return error_set(err, ERR_LIMIT, "no memory for a timeline");
}

void timeline_fini(struct timeline *t)
{
	for (size_t i = 0; i < t->runs; i++)
		free(t->run[i]);
	free(t->run);
	free(t->pooled);
	*t = (struct timeline){ 0 };
}
