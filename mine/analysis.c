/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/analysis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

enum {
	/* A label is read at a glance or not at all. */
	LABEL_MAX = 48,
};

static int no_memory(struct error *err)
{
	return error_set(err, ERR_LIMIT, "no memory");
}

static bool starts_character(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

static size_t count_characters(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += starts_character(*text);
	return n;
}

/* The n-th character's first byte, or the end. */
static char *character(char *text, size_t n)
{
	for (; *text; text++)
		if (starts_character(*text) && n-- == 0)
			break;
	return text;
}

/* Cuts the middle out, since long labels differ at either end as a rule. */
static void shorten(char *label)
{
	static const char dots[] = "…";
	enum { HEAD = LABEL_MAX / 2, TAIL = LABEL_MAX - HEAD - 1, DOTS = sizeof(dots) - 1 };
	size_t n = count_characters(label);
	if (n <= LABEL_MAX)
		return;
	char *cut = character(label, HEAD), *rest = character(label, n - TAIL);
	/* Two narrow characters are shorter than the dots: then they stay. */
	if (rest - cut < DOTS)
		return;
	memcpy(cut, dots, DOTS);
	memmove(cut + DOTS, rest, strlen(rest) + 1);
}

/* Two configurations never go by one label: where cutting made them alike, a number tells them apart. */
static int tell_apart(struct dataset *d)
{
	for (size_t g = 0; g < d->groups; g++) {
		size_t alike = 0;
		for (size_t h = 0; h < g; h++)
			alike += strcmp(d->group[h].label, d->group[g].label) == 0;
		char *numbered;
		if (!alike)
			continue;
		if (asprintf(&numbered, "%s (%zu)", d->group[g].label, g + 1) < 0)
			return -1;
		free(d->group[g].label);
		d->group[g].label = numbered;
	}
	return 0;
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

/* Place of the group's value among the values that the key has, in the groups' order; *n gets how many there are. */
static size_t value_index(const struct dataset *d, size_t key, const char *value, size_t *n)
{
	size_t index = 0;
	*n = 0;
	for (size_t g = 0; g < d->groups; g++) {
		const char *v = d->group[g].value[key];
		bool first = true;
		for (size_t h = 0; h < g && first; h++)
			first = strcmp(d->group[h].value[key], v) != 0;
		if (!first)
			continue;
		if (strcmp(v, value) == 0)
			index = *n;
		++*n;
	}
	return index;
}

/* Two keys with few values: colour and marker tell the first, dashes the second. Else colour, marker and
 * dashes all tell the group, each with its own period, so that 84 groups stay apart. */
static void choose_look(struct analysis *a, size_t g)
{
	const struct dataset *d = &a->data;
	struct series_look *look = &a->look[g];
	*look = (struct series_look){ .label = d->group[g].label, .colour = g, .marker = g, .dash = (unsigned)(g % SERIES_DASHES) };
	if (d->keys == 1)
		look->dash = 0;
	if (d->keys != 2)
		return;
	size_t n[2];
	size_t first = value_index(d, 0, d->group[g].value[0], &n[0]);
	size_t second = value_index(d, 1, d->group[g].value[1], &n[1]);
	if (n[0] <= SERIES_MARKERS && n[1] <= SERIES_DASHES)
		*look = (struct series_look){ .label = look->label, .colour = first, .marker = first, .dash = (unsigned)second };
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
		shorten(a->data.group[g].label);
	if (!rc && tell_apart(&a->data))
		rc = no_memory(err);
	for (size_t g = 0; g < n && !rc; g++)
		rc = analyse_group(a, s, g, err);
	if (!rc && template_wants_phases(t))
		rc = phases_load(&a->phases, s, &a->data, t->by, t->n_by, t->level, err);
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

static bool alike_but(const struct dataset *d, const struct group *a, const struct group *b, size_t key)
{
	for (size_t k = 0; k < d->keys; k++)
		if (k != key && strcmp(a->value[k], b->value[k]) != 0)
			return false;
	return true;
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
		const char *name = strrchr(d->key[k], '.');
		name = name ? name + 1 : d->key[k];
		for (size_t i = 0; i < a->t->n_by; i++)
			if (strcmp(a->t->by[i].key, d->key[k]) == 0 && a->t->by[i].label)
				name = a->t->by[i].label;
		fprintf(f, ", %s%s%s", name, *name ? "\u00a0" : "", other->value[k]);
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
			if (o == b || !alike_but(d, &d->group[b], &d->group[o], key))
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
