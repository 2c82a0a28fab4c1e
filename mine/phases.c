/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/phases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attribute/attribute.h"
#include "common/cleanup.h"
#include "mine/emit.h"

static int no_memory(struct error *err)
{
	return error_set(err, ERR_LIMIT, "no memory for an attribution");
}

/* ---- one configuration ---- */

static const struct span_stat *find_span(const struct attribution *a, unsigned from, unsigned to)
{
	for (size_t i = 0; i < a->spans; i++)
		if (a->span[i].from == from && a->span[i].to == to)
			return &a->span[i];
	return NULL;
}

static int by_size(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;
	return a < b ? -1 : a > b;
}

/* The middle one, the lower of two, and the range. */
static struct estimate middle_of(double *v, size_t n)
{
	if (!n)
		return (struct estimate){ .value = NAN };
	qsort(v, n, sizeof(*v), by_size);
	return (struct estimate){ .value = v[(n - 1) / 2], .lo = v[0], .hi = v[n - 1], .supported = n > 1 };
}

static double span_ns(const struct attribution *a, int64_t cycles)
{
	return cycles == INT64_MIN ? NAN : attribution_ns(a, (double)cycles);
}

/* `v` has room for three columns of one value a repeat. */
static void pool_span(struct phases_span *s, const struct phases *p, double level, double *v)
{
	double *mean = v, *p50 = v + p->runs, *p99 = v + 2 * p->runs, sum = 0;
	size_t n_mean = 0, n50 = 0, n99 = 0;
	s->least = INFINITY;
	s->tick = true;
	for (size_t r = 0; r < p->runs; r++) {
		const struct attribution *a = p->run[r].of;
		const struct span_stat *x = find_span(a, s->from, s->to);
		if (!x || !x->count)
			continue;
		s->count += x->count;
		sum += attribution_ns(a, x->sum);
		mean[n_mean++] = attribution_ns(a, x->sum / (double)x->count);
		if (x->p50 != INT64_MIN)
			p50[n50++] = span_ns(a, x->p50);
		if (x->p99 != INT64_MIN)
			p99[n99++] = span_ns(a, x->p99);
		s->least = fmin(s->least, attribution_ns(a, (double)x->min));
		s->bound_ns = fmax(s->bound_ns, attribution_ns(a, (double)x->bound));
		s->tick &= x->bound <= 1;
	}
	s->mean = estimate_mean(mean, n_mean, PHASES_REPEATS_MIN, level);
	s->mean.value = s->count ? sum / (double)s->count : 0;
	/* What was never negative is not so in the mean. */
	if (s->least >= 0)
		s->mean.lo = fmax(0, s->mean.lo);
	s->p50 = middle_of(p50, n50);
	s->p99 = middle_of(p99, n99);
	phase_span_name(s->from, s->to, s->name);
	s->merged = s->to > s->from + 1;
	s->crosses = phase_crosses(s->from, s->to);
}

/* The spans of all repeats, each once, by from, then to. */
static int list_spans(struct phases *p)
{
	p->span = calloc(SPANS_MAX, sizeof(*p->span));
	if (!p->span)
		return -1;
	for (unsigned from = 0; from < BOUNDARIES; from++)
		for (unsigned to = from + 1; to < BOUNDARIES; to++)
			for (size_t r = 0; r < p->runs; r++) {
				const struct span_stat *x = find_span(p->run[r].of, from, to);
				if (!x || !x->count)
					continue;
				p->span[p->spans++] = (struct phases_span){ .from = (uint8_t)from, .to = (uint8_t)to };
				break;
			}
	return 0;
}

static void pool_parts(struct phases *p, size_t level, const struct phases_run *r, size_t runs)
{
	const struct attribution *a = r->of;
	for (size_t i = 0; i < p->spans; i++) {
		const struct span_stat *x = find_span(a, p->span[i].from, p->span[i].to);
		if (x)
			p->span[i].part[level] += attribution_ns(a, a->level[level].part[x - a->span]) / (double)runs;
	}
}

static void pool_level(struct phases *p, size_t level, double confidence, double *v)
{
	struct phases_level *l = &p->level[level];
	for (size_t r = 0; r < p->runs; r++) {
		const struct level *x = &p->run[r].of->level[level];
		if (!x->n)
			continue;
		v[l->runs++] = attribution_ns(p->run[r].of, x->total);
		l->n += x->n;
	}
	for (size_t r = 0; r < p->runs; r++)
		if (p->run[r].of->level[level].n)
			pool_parts(p, level, &p->run[r], l->runs);
	if (!l->runs)
		return;
	l->total = estimate_mean(v, l->runs, PHASES_REPEATS_MIN, confidence);
	l->total.lo = fmax(0, l->total.lo);
	qsort(v, l->runs, sizeof(*v), by_size);
	l->most = v[l->runs - 1];
}

static void pool_account(struct phases *p)
{
	for (size_t k = 0; k < 4; k++)
		p->there[k] = true;
	for (size_t r = 0; r < p->runs; r++) {
		const struct attribution *a = p->run[r].of;
		p->counted += a->counted;
		p->matched += a->matched;
		for (size_t k = 0; k < 4; k++)
			p->there[k] &= a->vantage[k].there;
	}
}

int phases_pool(struct phases *p, const char *label, const struct phases_run *run, size_t runs, double level, struct error *err)
{
	*p = (struct phases){ .label = strdup(label), .runs = runs };
	p->run = calloc(runs + 1, sizeof(*p->run));
	autofree double *v = calloc(3 * runs + 1, sizeof(*v));
	if (p->run && runs)
		memcpy(p->run, run, runs * sizeof(*run));
	if (!p->label || !p->run || !v || list_spans(p)) {
		phases_free(p);
		return no_memory(err);
	}
	for (size_t i = 0; i < p->spans; i++)
		pool_span(&p->span[i], p, level, v);
	for (size_t k = 0; k < LEVELS; k++)
		pool_level(p, k, level, v);
	pool_account(p);
	return 0;
}

void phases_free(struct phases *p)
{
	free(p->label);
	free(p->run);
	free(p->span);
	*p = (struct phases){ 0 };
}

/* ---- examples and words ---- */

static double example_length(const struct phases_run *r, enum example_role role)
{
	const struct attributed *x = &r->of->example[role].r;
	return attribution_ns(r->of, (double)(int64_t)(x->at[AT_APP_REAP] - x->at[AT_APP_SUBMIT]));
}

const struct phases_run *phases_example(const struct phases *p, enum example_role role)
{
	bool longest = role == EXAMPLE_WORST || role == EXAMPLE_VIOLATION;
	size_t n = 0;
	for (size_t r = 0; r < p->runs; r++)
		n += p->run[r].of->example[role].there;
	size_t wanted = n ? longest ? n - 1 : (n - 1) / 2 : 0;
	for (size_t r = 0; r < p->runs; r++) {
		size_t below = 0;
		if (!p->run[r].of->example[role].there)
			continue;
		double own = example_length(&p->run[r], role);
		for (size_t k = 0; k < p->runs; k++) {
			double other = p->run[k].of->example[role].there ? example_length(&p->run[k], role) : INFINITY;
			below += other < own || (k < r && !(other > own));
		}
		if (below == wanted)
			return &p->run[r];
	}
	return NULL;
}

char *phases_absent(const struct phases *p, char *dst, size_t cap)
{
	size_t len = 0;
	dst[0] = '\0';
	for (unsigned k = VANTAGE_GUEST; k <= VANTAGE_HOST; k++)
		if (!p->there[k] && len < cap)
			len += (size_t)snprintf(dst + len, cap - len, "%s%s", len ? ", " : "", vantage_name(k));
	return dst;
}

char *phases_bound_text(const struct phases_span *s, char *dst, size_t cap)
{
	if (s->tick)
		snprintf(dst, cap, "1\u00a0tick");
	else
		text_bound_ns(s->bound_ns, dst, cap);
	return dst;
}

char *phases_value_text(const struct phases_span *s, double ns, char *dst, size_t cap)
{
	char bound[96];
	if (s->crosses) {
		text_bounded_ns(ns, phases_bound_text(s, bound, sizeof(bound)), dst, cap);
		return dst;
	}
	snprintf(dst, cap, "%s", ns < 0 ? "−" : "");
	size_t n = strlen(dst);
	text_estimate_ns((struct estimate){ .value = fabs(ns) }, dst + n, cap - n, NULL, 0);
	return dst;
}

/* ---- from the store ---- */

static const struct attribution *find_run(const struct phases_set *p, uint64_t run)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->run[i] == run)
			return p->of[i];
	return NULL;
}

/* What a result claims may be well-formed and absurd; longer than any run it is not drawn. */
static bool is_plausible(const struct attribution *a)
{
	const double most = 1e18;            /* cycles: ten years at 3 GHz */
	for (size_t k = 0; k < LEVELS; k++) {
		if (!(fabs(a->level[k].total) < most))
			return false;
		for (size_t i = 0; i < a->spans; i++)
			if (!(fabs(a->level[k].part[i]) < most))
				return false;
	}
	for (size_t i = 0; i < a->spans; i++)
		if (a->span[i].count && !(fabs(a->span[i].sum / (double)a->span[i].count) < most))
			return false;
	return a->guest_hz || a->host_hz;
}

/* Its words go to charts, HTML and terminals. */
static void clean(struct attribution *a)
{
	text_clean(a->violation_example);
	for (size_t i = 0; i < 4; i++)
		text_clean(a->vantage[i].text);
	for (size_t i = 0; i < BOUNDARIES; i++)
		text_clean(a->absent[i]);
}

/* A run that mixes reads and writes stands twice in the dataset, and has one attribution. */
static int load_run(struct phases_set *p, struct store *s, struct dataset *d, uint64_t run, struct error *err)
{
	struct error why = { 0 };
	struct attribution *a = calloc(1, sizeof(*a));
	if (!a)
		return no_memory(err);
	int rc = attribution_get(s, run, a, &why);
	if (!rc && !is_plausible(a))
		rc = error_set(&why, ERR_CORRUPT, "run %llu: attribution result: lengths beyond all bounds, or no clock rate", (unsigned long long)run);
	if (!rc) {
		clean(a);
		p->of[p->n] = a;
		p->run[p->n++] = run;
		return 0;
	}
	free(a);
	text_clean(why.text);
	if (dataset_note(d, true, "Left out of the phases: %s. `bifocal attribute %llu` attributes the run again.", why.text,
			 (unsigned long long)run))
		return no_memory(err);
	return 0;
}

static bool is_first(const struct dataset *d, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (d->run[k].meta.run == d->run[i].meta.run)
			return false;
	return true;
}

/* Whether an earlier group holds the same runs: their other direction. */
static bool is_other_direction(const struct dataset *d, size_t g)
{
	for (size_t k = 0; k < g; k++)
		if (d->group[k].run[0]->meta.run == d->group[g].run[0]->meta.run)
			return true;
	return false;
}

static bool is_untraced(const struct mine_run *r)
{
	const char *traced = run_attr(r, KEY_TRACED);
	return traced && strcmp(traced, "off") == 0;
}

/* What a run without tracing has is one phase from end to end: beside the others it would pass for an attribution. */
static int note_untraced(struct dataset *d)
{
	size_t n = 0;
	for (size_t i = 0; i < d->runs; i++)
		n += is_first(d, i) && is_untraced(&d->run[i]);
	return n ? dataset_note(d, false, "%zu run%s without tracing (trace.enabled=off) %s no phases: %s left out of what is drawn from them.", n,
				n == 1 ? "" : "s", n == 1 ? "has" : "have", n == 1 ? "it is" : "they are") : 0;
}

/* The configuration's name where only traced runs are shown, reads and writes together. */
static char *plain_label(const struct dataset *d, const struct group *g, const struct key_style *by, size_t n_by)
{
	static const char *const both[] = { "op", KEY_TRACED, NULL };
	bool unset = false;
	for (size_t i = 0; i < d->runs; i++)
		unset |= !run_attr(&d->run[i], KEY_TRACED);
	/* Runs that do not say whether they were traced are another configuration than those that do. */
	const char *const op[] = { "op", NULL };
	return group_label(g, d, by, n_by, unset ? op : both);
}

static int pool_group(struct phases_set *p, const struct dataset *d, size_t g, const struct key_style *by, size_t n_by, double level,
		      struct error *err)
{
	const struct group *group = &d->group[g];
	struct phases *pooled = &p->group[p->groups];
	autofree struct phases_run *run = calloc(group->runs, sizeof(*run));
	autofree const char **before = calloc(p->groups + 1, sizeof(*before));
	autofree char *label = plain_label(d, group, by, n_by);
	size_t n = 0;
	for (size_t i = 0; run && i < group->runs; i++) {
		const struct attribution *a = find_run(p, group->run[i]->meta.run);
		if (a)
			run[n++] = (struct phases_run){ group->run[i], a };
	}
	for (size_t i = 0; before && i < p->groups; i++)
		before[i] = p->group[i].label;
	if (!run || !before || !label)
		return no_memory(err);
	if (!n)
		return 0;
	if (phases_pool(pooled, label, run, n, level, err))
		return -1;
	p->group[p->groups++].group = g;
	return label_number(&pooled->label, before, p->groups - 1) ? no_memory(err) : 0;
}

int phases_load(struct phases_set *p, struct store *s, struct dataset *d, const struct key_style *by, size_t n_by, double level,
		struct error *err)
{
	*p = (struct phases_set){ .of = calloc(d->runs + 1, sizeof(*p->of)), .run = calloc(d->runs + 1, sizeof(*p->run)),
				  .group = calloc(d->groups + 1, sizeof(*p->group)) };
	int rc = p->of && p->run && p->group && !note_untraced(d) ? 0 : no_memory(err);
	for (size_t i = 0; i < d->runs && !rc; i++)
		if (is_first(d, i) && !is_untraced(&d->run[i]))
			rc = load_run(p, s, d, d->run[i].meta.run, err);
	for (size_t g = 0; g < d->groups && !rc; g++)
		if (!is_other_direction(d, g))
			rc = pool_group(p, d, g, by, n_by, level, err);
	if (rc)
		phases_fini(p);
	return rc;
}

void phases_fini(struct phases_set *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->of[i]);
	for (size_t g = 0; g < p->groups; g++)
		phases_free(&p->group[g]);
	free(p->of);
	free(p->run);
	free(p->group);
	*p = (struct phases_set){ 0 };
}
