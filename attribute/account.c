// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The account of a run: spans, levels, examples, from requests given one by one.
 *
 * Levels. The totals (reap − submit) of all I/Os that count are known before the first request is. A level's band holds the totals
 * around its quantile: p50 from the 40th to the 60th percentile, p99 from the 98.5th to the 99.5th, p99.9 from the 99.85th to the 99.95th;
 * "mean" holds all. Limits are those of a histogram of 0.2 %. Over the matched requests of a band, the mean of each span; these
 * sum to the band's mean total, since each request's spans sum to its own. A level exists where its quantile has a 95 % interval
 * among n order statistics (host/dist.h): p99 from 368 totals on, p99.9 from 3688.
 *
 * Examples. typical: in the band of p50 the request with the most boundaries, of these the nearest to the median, of these the first.
 * p99: the nearest to that quantile. worst: the largest total. violation: the first. Only matched requests, but for violation.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attribute/engine.h"
#include "common/hist.h"
#include "common/quantile.h"

enum {
	PAGE = 1 << HIST_BITS, PAGES = HIST_BUCKETS >> HIST_BITS,
	/* 6 MiB: a span's values lie within some 20 powers of two. Beyond it (made-up stamps) values go to the nearest page there is. */
	PAGES_MAX = 3072,
};

struct signed_hist {                       /* pages of a hist for either sign, made when they are needed */
	uint32_t *page[2][PAGES];
	uint64_t count;
};

struct account {
	struct hist total;
	bool sealed;
	uint64_t lo[LEVELS], hi[LEVELS], aim[LEVELS];
	uint16_t index[BOUNDARIES][BOUNDARIES];     /* of a span in the arrays below, + 1 */
	struct span_stat span[SPANS_MAX];
	struct signed_hist hist[SPANS_MAX];
	double part[LEVELS][SPANS_MAX], sum[LEVELS];
	uint64_t n[LEVELS];
	size_t spans, pages;
	uint64_t typical_far, p99_far;
	int typical_seen;
};

static const double center[LEVELS] = { 0, 0.5, 0.99, 0.999 }, reach[LEVELS] = { 0, 0.1, 0.005, 0.0005 };

struct account *account_new(struct error *err)
{
	struct account *a = calloc(1, sizeof(*a));
	if (!a) {
		error_set(err, ERR_LIMIT, "out of memory for an account of %zu bytes", sizeof(*a));
		return NULL;
	}
	hist_init(&a->total);
	return a;
}

void account_free(struct account *a)
{
	for (size_t i = 0; a && i < a->spans; i++)
		for (int sign = 0; sign < 2; sign++)
			for (unsigned p = 0; p < PAGES; p++)
				free(a->hist[i].page[sign][p]);
	free(a);
}

uint64_t account_bytes(const struct account *a)
{
	return sizeof(*a) + a->pages * PAGE * sizeof(uint32_t);
}

void account_total(struct account *a, uint64_t cycles)
{
	hist_add(&a->total, cycles);
}

static bool supported(uint64_t n, double q)
{
	return n && pow(q, (double)n) <= 0.025 && pow(1 - q, (double)n) <= 0.025;
}

static uint64_t quantile_at(const struct account *a, double q)
{
	return hist_quantile(&a->total, q < 0 ? 0 : q > 1 ? 1 : q);
}

void account_seal(struct account *a)
{
	a->hi[0] = UINT64_MAX;
	for (unsigned i = 1; i < LEVELS; i++) {
		a->aim[i] = quantile_at(a, center[i]);
		a->lo[i] = quantile_at(a, center[i] - reach[i]);
		a->hi[i] = quantile_at(a, center[i] + reach[i]);
		if (!supported(a->total.count, center[i]))
			a->lo[i] = 1, a->hi[i] = 0;
	}
	a->sealed = true;
	a->typical_far = a->p99_far = UINT64_MAX;
}

/* ---- histograms of signed values ---- */

static unsigned bucket_of(uint64_t v)
{
	if (v < PAGE)
		return (unsigned)v;
	unsigned shift = 63 - (unsigned)__builtin_clzll(v) - HIST_BITS;
	return (shift << HIST_BITS) + (unsigned)(v >> shift);
}

/* The page, made if there is room; else the nearest there is. */
static unsigned page_for(struct account *a, struct signed_hist *h, int sign, unsigned want)
{
	if (h->page[sign][want])
		return want;
	if (a->pages < PAGES_MAX && (h->page[sign][want] = calloc(PAGE, sizeof(uint32_t)))) {
		a->pages++;
		return want;
	}
	for (unsigned far = 1; far < PAGES; far++) {
		if (want >= far && h->page[sign][want - far])
			return want - far;
		if (want + far < PAGES && h->page[sign][want + far])
			return want + far;
	}
	return PAGES;
}

static void put_value(struct account *a, struct signed_hist *h, int64_t v)
{
	int sign = v < 0;
	unsigned b = bucket_of(sign ? 0 - (uint64_t)v : (uint64_t)v), want = b >> HIST_BITS, at = b & (PAGE - 1);
	unsigned page = page_for(a, h, sign, want);
	if (page == PAGES)
		return;
	if (page != want)
		at = page < want ? PAGE - 1 : 0;
	uint32_t *slot = &h->page[sign][page][at];
	if (*slot < UINT32_MAX) {
		++*slot;
		h->count++;
	}
}

static int64_t clamp(int64_t v, const struct span_stat *s)
{
	return v < s->min ? s->min : v > s->max ? s->max : v;
}

/* Order statistic by walking the negative pages from the far end, then the others. */
static int64_t quantile_of(const struct signed_hist *h, const struct span_stat *s, double q)
{
	if (!supported(h->count, q))
		return INT64_MIN;
	uint64_t rank = quantile_rank(h->count, q), seen = 0, lo, hi;
	for (unsigned p = PAGES; p-- > 0; )
		for (unsigned i = PAGE; h->page[1][p] && i-- > 0; ) {
			seen += h->page[1][p][i];
			hist_bucket_range(p << HIST_BITS | i, &lo, &hi);
			if (seen >= rank)
				return clamp((int64_t)(0 - lo), s);
		}
	for (unsigned p = 0; p < PAGES; p++)
		for (unsigned i = 0; h->page[0][p] && i < PAGE; i++) {
			seen += h->page[0][p][i];
			hist_bucket_range(p << HIST_BITS | i, &lo, &hi);
			if (seen >= rank)
				return clamp(hi > INT64_MAX ? INT64_MAX : (int64_t)hi, s);
		}
	return s->max;
}

/* ---- requests ---- */

static size_t span_index(struct account *a, unsigned from, unsigned to)
{
	if (!a->index[from][to]) {
		a->span[a->spans] = (struct span_stat){ .from = (uint8_t)from, .to = (uint8_t)to, .min = INT64_MAX, .max = INT64_MIN };
		a->index[from][to] = (uint16_t)++a->spans;
	}
	return a->index[from][to] - 1u;
}

static void add_span(struct account *a, const struct attributed *r, unsigned from, unsigned to, const bool in[LEVELS])
{
	size_t i = span_index(a, from, to);
	struct span_stat *s = &a->span[i];
	int64_t v = t_sub((int64_t)r->at[to], (int64_t)r->at[from]);
	uint64_t bound = attributed_bound(r, from, to);
	s->count++;
	s->sum += (double)v;
	s->min = v < s->min ? v : s->min;
	s->max = v > s->max ? v : s->max;
	s->bound = bound > s->bound ? bound : s->bound;
	put_value(a, &a->hist[i], v);
	for (unsigned l = 0; l < LEVELS; l++)
		if (in[l])
			a->part[l][i] += (double)v;
}

static void keep(struct attribution *out, enum example_role role, const struct attributed *r)
{
	out->example[role].there = true;
	out->example[role].r = *r;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static void take_examples(struct account *a, struct attribution *out, const struct attributed *r, uint64_t total, bool middling)
{
	uint64_t far = distance(total, a->aim[1]), far99 = distance(total, a->aim[2]);
	int seen = __builtin_popcount(r->seen);
	if (middling && (seen > a->typical_seen || (seen == a->typical_seen && far < a->typical_far))) {
		a->typical_seen = seen;
		a->typical_far = far;
		keep(out, EXAMPLE_TYPICAL, r);
	}
	if (a->lo[2] <= a->hi[2] && far99 < a->p99_far) {
		a->p99_far = far99;
		keep(out, EXAMPLE_P99, r);
	}
	const struct example *worst = &out->example[EXAMPLE_WORST];
	if (!worst->there || total > worst->r.io.reap - worst->r.io.submit)
		keep(out, EXAMPLE_WORST, r);
}

static void count_request(struct attribution *out, const struct attributed *r)
{
	out->served[r->served]++;
	out->splits += r->children > 1;
	out->merges += r->shared > 1;
	out->requeues += r->requeues;
	for (unsigned b = 0; b < BOUNDARIES; b++)
		out->suppressed[b] += r->suppressed >> b & 1;
}

static void add_spans(struct account *a, struct attribution *out, const struct attributed *r, const bool in[LEVELS])
{
	uint64_t total = r->io.reap - r->io.submit, sum = 0;
	unsigned from = AT_APP_SUBMIT;
	for (unsigned rest = r->seen & ~(1u << AT_APP_SUBMIT); rest; rest &= rest - 1) {
		unsigned to = (unsigned)__builtin_ctz(rest);
		add_span(a, r, from, to, in);
		sum += r->at[to] - r->at[from];
		from = to;
	}
	uint64_t residual = (uint64_t)llabs((long long)(sum - total));
	out->residual_max = residual > out->residual_max ? residual : out->residual_max;
}

void account_add(struct account *a, struct attribution *out, const struct attributed *r)
{
	out->unmatched[r->cause] += r->cause != CAUSE_MATCHED;
	out->quarantined += r->cause == CAUSE_EPOCH;
	if (r->cause == CAUSE_OUTSIDE || r->cause == CAUSE_ERROR)
		return;
	uint64_t total = r->io.reap - r->io.submit;
	out->counted++;
	count_request(out, r);
	out->violations += r->violations;
	if (r->violations && !out->example[EXAMPLE_VIOLATION].there)
		keep(out, EXAMPLE_VIOLATION, r);
	if (r->cause != CAUSE_MATCHED)
		return;
	bool in[LEVELS];
	for (unsigned l = 0; l < LEVELS; l++) {
		in[l] = total >= a->lo[l] && total <= a->hi[l];
		a->n[l] += in[l];
		a->sum[l] += in[l] ? (double)total : 0;
	}
	out->matched++;
	add_spans(a, out, r, in);
	take_examples(a, out, r, total, in[1]);
}

/* ---- the end ---- */

static int by_ends(const void *x, const void *y)
{
	const struct span_stat *a = x, *b = y;
	return a->from != b->from ? a->from - b->from : a->to - b->to;
}

static void close_spans(struct account *a, struct attribution *out)
{
	out->spans = a->spans;
	for (size_t i = 0; i < a->spans; i++) {
		struct span_stat *s = &a->span[i];
		s->p50 = quantile_of(&a->hist[i], s, 0.5);
		s->p90 = quantile_of(&a->hist[i], s, 0.9);
		s->p99 = quantile_of(&a->hist[i], s, 0.99);
		s->p999 = quantile_of(&a->hist[i], s, 0.999);
		out->span[i] = *s;
	}
	qsort(out->span, out->spans, sizeof(out->span[0]), by_ends);
}

void account_close(struct account *a, struct attribution *out)
{
	close_spans(a, out);
	for (unsigned l = 0; l < LEVELS; l++) {
		struct level *v = &out->level[l];
		v->n = a->n[l];
		if (!v->n)
			continue;
		v->lo = l ? (double)a->lo[l] : (double)a->total.min;
		v->hi = l ? (double)a->hi[l] : (double)a->total.max;
		v->total = a->sum[l] / (double)v->n;
		for (size_t i = 0; i < out->spans; i++)
			v->part[i] = a->part[l][a->index[out->span[i].from][out->span[i].to] - 1u] / (double)v->n;
	}
}
