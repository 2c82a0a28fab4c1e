/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/analysis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static int no_memory(struct error *err)
{
	return error_set(err, ERR_LIMIT, "no memory");
}

static int group_stats(struct stats *out, const struct group *g, bool response, double level, struct error *err)
{
	autofree struct stats_run *runs = calloc(g->runs, sizeof(*runs));
	if (!runs)
		return no_memory(err);
	for (size_t i = 0; i < g->runs; i++) {
		const struct mine_run *r = g->run[i];
		const uint64_t *values = response && r->response ? r->response : r->latency;
		runs[i] = (struct stats_run){ .at = r->at, .value = values, .n = r->n, .seconds = r->seconds };
	}
	return stats_init(out, runs, g->runs, level, err);
}

static bool group_is_open_loop(const struct group *g)
{
	for (size_t i = 0; i < g->runs; i++)
		if (g->run[i]->response)
			return true;
	return false;
}

/* Whether two groups agree in keys from..to-1. */
static bool agree(const struct group *a, const struct group *b, size_t from, size_t to)
{
	for (size_t k = from; k < to; k++)
		if (strcmp(a->value[k], b->value[k]) != 0)
			return false;
	return true;
}

/* Place of group g's values of keys from..to-1 among those that there are, in the groups' order; *n gets how many there are. */
static size_t value_index(const struct dataset *d, size_t from, size_t to, size_t g, size_t *n)
{
	size_t index = 0;
	*n = 0;
	for (size_t h = 0; h < d->groups; h++) {
		bool first = true;
		for (size_t i = 0; i < h && first; i++)
			first = !agree(&d->group[i], &d->group[h], from, to);
		if (!first)
			continue;
		if (agree(&d->group[h], &d->group[g], from, to))
			index = *n;
		++*n;
	}
	return index;
}

/* Several keys with few values: dashes tell the last, colour and marker the others. Else colour, marker and
 * dashes all tell the group, each with its own period, so that 84 groups stay apart. */
static void choose_look(struct analysis *a, size_t g)
{
	const struct dataset *d = &a->data;
	struct series_look *look = &a->look[g];
	*look = (struct series_look){ .label = d->group[g].label, .colour = g, .marker = g, .dash = (unsigned)(g % SERIES_DASHES) };
	if (d->keys == 1)
		look->dash = 0;
	if (d->keys < 2)
		return;
	size_t n[2];
	size_t first = value_index(d, 0, d->keys - 1, g, &n[0]);
	size_t last = value_index(d, d->keys - 1, d->keys, g, &n[1]);
	if (n[0] <= SERIES_MARKERS && n[1] <= SERIES_DASHES)
		*look = (struct series_look){ .label = look->label, .colour = first, .marker = first, .dash = (unsigned)last };
}

static int write_context(struct analysis *a)
{
	size_t len;
	FILE *f = open_memstream(&a->context, &len);
	if (!f)
		return -1;
	bool any = false;
	for (size_t i = 0; i < a->t->n_show; i++) {
		const struct key_style *s = &a->t->show[i];
		const char *text = dataset_common(&a->data, s->key);
		if (!text)
			continue;
		const char *label = s->label ? s->label : s->key;
		fprintf(f, "%s%s%s%s", any ? ", " : "", label, *label ? "\u00a0" : "", text);
		any = true;
	}
	return fclose(f);
}

static int analyse_group(struct analysis *a, struct store *s, size_t g, struct error *err)
{
	const struct group *group = &a->data.group[g];
	choose_look(a, g);
	if (group_stats(&a->service[g], group, false, a->t->level, err))
		return -1;
	if (group_is_open_loop(group)) {
		a->open_loop = true;
		if (group_stats(&a->response[g], group, true, a->t->level, err))
			return -1;
	}
	return cpu_account_group(&a->cpu[g], s, group, err);
}

int analysis_run(struct analysis *a, struct store *s, const struct template *t, const struct filter *where, size_t n_where, struct error *err)
{
	*a = (struct analysis){ .t = t };
	autofree struct filter *all = calloc(t->n_where + n_where + 1, sizeof(*all));
	if (!all)
		return no_memory(err);
	if (t->n_where)
		memcpy(all, t->where, t->n_where * sizeof(*all));
	if (n_where)
		memcpy(all + t->n_where, where, n_where * sizeof(*all));
	struct selection sel = {
		.filter = all, .n_filters = t->n_where + n_where, .by = t->by, .n_by = t->n_by,
		/* Who asks for something by name means it wherever it is. */
		.last_study = t->last_study && !n_where,
	};
	if (dataset_load(&a->data, s, &sel, err))
		return -1;
	size_t n = a->data.groups;
	a->service = calloc(n, sizeof(*a->service));
	a->response = calloc(n, sizeof(*a->response));
	a->look = calloc(n, sizeof(*a->look));
	a->cpu = calloc(n, sizeof(*a->cpu));
	int rc = a->service && a->response && a->look && a->cpu && !write_context(a) ? 0 : no_memory(err);
	for (size_t g = 0; g < n && !rc; g++)
		rc = analyse_group(a, s, g, err);
	if (!rc && template_wants_phases(t))
		rc = phases_load(&a->phases, s, &a->data, t->by, t->n_by, t->level, err);
	if (!rc && template_wants_own_cost(t))
		rc = own_cost_init(&a->own, a, err);
	if (rc)
		analysis_fini(a);
	return rc;
}

void analysis_fini(struct analysis *a)
{
	for (size_t g = 0; g < a->data.groups; g++) {
		if (a->service)
			stats_fini(&a->service[g]);
		if (a->response)
			stats_fini(&a->response[g]);
	}
	phases_fini(&a->phases);
	own_cost_fini(&a->own);
	free(a->service);
	free(a->response);
	free(a->look);
	free(a->cpu);
	free(a->context);
	dataset_fini(&a->data);
	*a = (struct analysis){ 0 };
}

struct estimate statistic_of_stats(const struct stats *s, const struct statistic *what)
{
	switch (what->kind) {
	case STAT_N: return (struct estimate){ .value = (double)s->n };
	case STAT_IOPS: return stats_rate(s);
	case STAT_MEAN: return stats_mean(s);
	case STAT_MAX: return (struct estimate){ .value = stats_max(s) };
	case STAT_PERCENTILE: break;
	}
	return stats_quantile(s, what->q);
}

bool groups_alike_but(const struct dataset *d, const struct group *a, const struct group *b, size_t key)
{
	return agree(a, b, 0, key) && agree(a, b, key + 1, d->keys);
}

static char *pair_label(const struct analysis *a, const struct group *base, const struct group *other, size_t key)
{
	const struct dataset *d = &a->data;
	char *label = NULL;
	size_t len;
	FILE *f = open_memstream(&label, &len);
	if (!f)
		return NULL;
	fprintf(f, "%s against %s", other->value[key], base->value[key]);
	for (size_t k = 0; k < d->keys; k++) {
		if (k == key)
			continue;
		fputs(", ", f);
		setting_write(f, d->key[k], other->value[k], a->t->by, a->t->n_by, "\u00a0");
	}
	if (fclose(f)) {
		free(label);
		return NULL;
	}
	return label;
}

int analysis_pairs(const struct analysis *a, const struct item *compare, struct pair **out, struct error *err)
{
	const struct dataset *d = &a->data;
	size_t key = 0, n = 0;
	*out = NULL;
	while (key < d->keys && strcmp(d->key[key], compare->key) != 0)
		key++;
	if (key == d->keys)
		return 0;
	*out = calloc(d->groups * d->groups, sizeof(**out));
	if (!*out)
		return no_memory(err);
	for (size_t b = 0; b < d->groups; b++)
		for (size_t o = 0; o < d->groups && strcmp(d->group[b].value[key], compare->baseline) == 0; o++) {
			if (o == b || !groups_alike_but(d, &d->group[b], &d->group[o], key))
				continue;
			struct pair *p = &(*out)[n++];
			*p = (struct pair){ &d->group[b], &d->group[o], pair_label(a, &d->group[b], &d->group[o], key) };
			if (!p->label) {
				pairs_free(*out, n);
				*out = NULL;
				return no_memory(err);
			}
		}
	return (int)n;
}

void pairs_free(struct pair *p, size_t n)
{
	for (size_t i = 0; p && i < n; i++)
		free(p[i].label);
	free(p);
}

struct estimate pair_ratio(const struct analysis *a, const struct pair *p, const struct statistic *what)
{
	const struct stats *base = &a->service[p->baseline - a->data.group], *other = &a->service[p->other - a->data.group];
	return estimate_ratio(statistic_of_stats(other, what), statistic_of_stats(base, what));
}
