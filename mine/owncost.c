/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/owncost.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/quantile.h"
#include "mine/analysis.h"

enum {
	/* Two give t = 12.7: wide, and what the terminal prints as well. */
	PAIRS_MIN = 2,
};

const char *const own_figure_name[OWN_FIGURES] = { "iops", "p50", "p99" };

static int no_memory(struct error *err)
{
	return error_set(err, ERR_LIMIT, "no memory for what the measurement cost");
}

/* One run's figures; NAN where n is too small for a percentile, as the terminal has it: q^n <= (1 - level) / 2. */
static int figures_of(const struct mine_run *r, double level, double out[OWN_FIGURES], struct error *err)
{
	static const double q[OWN_FIGURES] = { [OWN_P50] = 0.50, [OWN_P99] = 0.99 };
	autofree uint64_t *v = calloc(2 * r->n + 1, sizeof(*v));
	if (!v)
		return no_memory(err);
	if (r->n)
		memcpy(v, r->latency, r->n * sizeof(*v));
	sort_u64(v, v + r->n, r->n);
	out[OWN_IOPS] = r->seconds > 0 ? (double)r->n / r->seconds : NAN;
	for (unsigned f = OWN_P50; f < OWN_FIGURES; f++)
		out[f] = pow(q[f], (double)r->n) <= (1 - level) / 2 ? (double)quantile_sorted(v, r->n, q[f]) : NAN;
	return 0;
}

/* The run of the other side that was its neighbour; NULL when there is none. */
static const struct mine_run *partner(const struct group *g, const struct mine_run *r)
{
	const char *repeat = run_attr(r, "study.repeat");
	for (size_t i = 0; repeat && i < g->runs; i++) {
		const char *other = run_attr(g->run[i], "study.repeat");
		if (g->run[i]->meta.study == r->meta.study && other && strcmp(repeat, other) == 0)
			return g->run[i];
	}
	return NULL;
}

/* The ratios' logarithms, `v` having room for a column of them a figure, then their means. */
static int fill_row(struct own_row *row, double level, double *v, struct error *err)
{
	for (size_t i = 0; i < row->traced->runs; i++) {
		const struct mine_run *r = row->traced->run[i], *other = partner(row->untraced, r);
		double with[OWN_FIGURES], without[OWN_FIGURES];
		if (!other)
			continue;
		if (figures_of(r, level, with, err) || figures_of(other, level, without, err))
			return -1;
		row->pairs++;
		for (size_t f = 0; f < OWN_FIGURES; f++) {
			double x = log(with[f] / without[f]);
			if (isfinite(x))
				v[f * row->traced->runs + row->with[f]++] = x;
		}
	}
	for (size_t f = 0; f < OWN_FIGURES; f++) {
		struct estimate *e = &row->ratio[f];
		*e = estimate_mean(v + f * row->traced->runs, row->with[f], PAIRS_MIN, level);
		e->value = row->with[f] ? exp(e->value) : NAN;
		e->lo = exp(e->lo);
		e->hi = exp(e->hi);
	}
	return 0;
}

static int add_row(struct own_cost *o, const struct analysis *a, const struct group *traced, const struct group *untraced, struct error *err)
{
	static const char *const less[] = { KEY_TRACED, NULL };
	struct own_row row = { .traced = traced, .untraced = untraced };
	autofree double *v = calloc(OWN_FIGURES * traced->runs, sizeof(*v));
	if (!v)
		return no_memory(err);
	if (fill_row(&row, a->t->level, v, err))
		return -1;
	/* Both ways, but never side by side. */
	if (!row.pairs)
		return 0;
	row.label = group_label(traced, &a->data, a->t->by, a->t->n_by, less);
	if (!row.label)
		return no_memory(err);
	o->row[o->rows++] = row;
	return 0;
}

int own_cost_init(struct own_cost *o, const struct analysis *a, struct error *err)
{
	const struct dataset *d = &a->data;
	size_t key = 0;
	*o = (struct own_cost){ .row = calloc(d->groups + 1, sizeof(*o->row)) };
	if (!o->row)
		return no_memory(err);
	while (key < d->keys && strcmp(d->key[key], KEY_TRACED) != 0)
		key++;
	for (size_t g = 0; g < d->groups && key < d->keys; g++)
		for (size_t h = 0; h < d->groups; h++) {
			const struct group *traced = &d->group[g], *untraced = &d->group[h];
			if (strcmp(traced->value[key], "on") == 0 && strcmp(untraced->value[key], "off") == 0 &&
			    groups_alike_but(d, traced, untraced, key) && add_row(o, a, traced, untraced, err))
				return -1;
		}
	return 0;
}

void own_cost_fini(struct own_cost *o)
{
	for (size_t i = 0; i < o->rows; i++)
		free(o->row[i].label);
	free(o->row);
	*o = (struct own_cost){ 0 };
}
