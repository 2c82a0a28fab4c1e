// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A log's stamps on the axis, by the rule that host/trace/anchor.h states and proves: straight lines between anchors; a stretch over
 * which the clock was stepped converts nothing; every stamp carries what brackets, truncation and a change of rate leave open.
 */
#include <math.h>
#include <stdlib.h>

#include "attribute/engine.h"

enum { FIRST = 256 };

static void thin_out(struct anchors *a)
{
	size_t kept = 0;
	for (size_t i = 0; i < a->n; i += 2)
		a->list[kept++] = a->list[i];
	a->n = kept;
	a->every *= 2;
}

int logmap_take(struct anchors *a, const struct clockmap *c, const struct sighting *s)
{
	int64_t before = clockmap_host(c, s->key), after = clockmap_host(c, s->sector);
	uint64_t width = (uint64_t)t_sub(after, before);
	if (a->n == a->cap && a->cap < ANCHORS_MAX) {
		size_t cap = a->cap ? a->cap * 2 : FIRST;
		struct anchor *grown = realloc(a->list, cap * sizeof(*grown));
		if (!grown)
			return -1;
		a->list = grown;
		a->cap = cap;
	}
	a->every = a->every ? a->every : 1;
	if (a->n == a->cap) {
		thin_out(a);
		a->by_place = false;
	}
	/* A bracket of seconds is made up, and one whose end lies before its start too. */
	a->list[a->n++] = (struct anchor){ .ns = s->time, .mid = t_add(before, (int64_t)(width / 2)), .width = width >> 40 ? 1ull << 40 : width };
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* The median of all stretches' rates; 0 without memory or stretches. */
static double median_rate(const struct anchors *a)
{
	double *q = malloc(a->n * sizeof(*q)), median = 0;
	size_t n = 0;
	for (size_t i = 0; q && i + 1 < a->n; i++)
		if (a->list[i].q > 0)
			q[n++] = a->list[i].q;
	if (n) {
		qsort(q, n, sizeof(*q), by_value);
		median = q[n / 2];
	}
	free(q);
	return median;
}

static double length_of(const struct anchors *a, size_t i)
{
	return (double)(int64_t)(a->list[i + 1].ns - a->list[i].ns);
}

static void find_rates(struct anchors *a)
{
	for (size_t i = 0; i + 1 < a->n; i++) {
		double d = length_of(a, i), cycles = (double)t_sub(a->list[i + 1].mid, a->list[i].mid);
		a->list[i].q = d > 0 && cycles > 0 ? cycles / d : 0;
	}
	double usual = median_rate(a);
	for (size_t i = 0; i + 1 < a->n; i++) {
		double d = length_of(a, i), cycles = (double)t_sub(a->list[i + 1].mid, a->list[i].mid);
		double room = ((double)a->list[i].width + (double)a->list[i + 1].width) / 2 + 0.001 * usual * d;
		if (fabs(cycles - usual * d) > room)
			a->list[i].q = 0;
	}
}

void logmap_seal(struct anchors *a)
{
	find_rates(a);
	for (size_t i = 0; i + 1 < a->n; i++) {
		struct anchor *one = &a->list[i];
		bool left = i > 0 && a->list[i - 1].q > 0, right = i + 2 < a->n && one[1].q > 0;
		double change = 0;
		if (left)
			change = fabs(one->q - a->list[i - 1].q);
		if (right && fabs(one->q - one[1].q) > change)
			change = fabs(one->q - one[1].q);
		one->bend = length_of(a, i) * (left || right ? change : 0.001 * one->q);
	}
}

/* The stretch that holds ns, or the first or the last: by time. */
static size_t by_time(const struct anchors *a, uint64_t ns)
{
	size_t lo = 0, hi = a->n - 2;
	while (lo < hi) {
		size_t mid = lo + (hi - lo + 1) / 2;
		if (a->list[mid].ns <= ns)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

static size_t stretch_of(const struct anchors *a, uint64_t ns)
{
	if (!a->by_place)
		return by_time(a, ns);
	size_t i = a->at ? a->at - 1 : 0;
	i = i + 2 > a->n ? a->n - 2 : i;
	/* One that waited for the log's lock while the anchor was taken, or overtook it. */
	if (ns < a->list[i].ns && i > 0)
		return i - 1;
	return ns > a->list[i + 1].ns && i + 2 < a->n ? i + 1 : i;
}

static uint32_t outwards(double v)
{
	return v >= (double)UINT32_MAX ? UINT32_MAX : (uint32_t)ceil(v);
}

bool logmap_place(struct anchors *a, uint64_t ns, int64_t *t, uint32_t *own)
{
	if (a->n < 2)
		return false;
	size_t i = stretch_of(a, ns);
	const struct anchor *one = &a->list[i];
	double since = (double)(int64_t)(ns - one->ns), rest = (double)a->rest / 2, d = length_of(a, i);
	double off = since < 0 ? -since : since > d ? since - d : 0, bend = one->bend;
	double cycles = one->q * (since + rest);
	if (!(one->q > 0) || off > 1e9 || !(fabs(cycles) < 4e18)) {
		a->unplaced++;
		return false;
	}
	if (off > 0)
		bend *= 1 + off / d;
	uint64_t width = one->width > one[1].width ? one->width : one[1].width;
	*t = t_add(one->mid, (int64_t)cycles);
	*own = outwards(one->q * rest + (double)width / 2 + bend);
	return true;
}
