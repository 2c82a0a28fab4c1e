/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which runs belong together: those alike in everything that was set on purpose. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "mine/query.h"

static bool is_setting(const char *key)
{
	/* vm.accel=auto may mean two things on two days; what it came to is in prov.accel. */
	return strncmp(key, "config.", 7) == 0 || strncmp(key, "workload.", 9) == 0 || strcmp(key, "prov.accel") == 0;
}

static const char *text_or_empty(const struct mine_run *r, const char *key)
{
	const char *text = run_attr(r, key);
	return text ? text : "";
}

static bool differs(const struct dataset *d, const char *key)
{
	for (size_t i = 1; i < d->runs; i++)
		if (strcmp(text_or_empty(&d->run[0], key), text_or_empty(&d->run[i], key)) != 0)
			return true;
	return false;
}

const char *dataset_common(const struct dataset *d, const char *key)
{
	return d->runs && !differs(d, key) ? run_attr(&d->run[0], key) : NULL;
}

static int add_key(struct dataset *d, const char *key, struct error *err)
{
	for (size_t i = 0; i < d->keys; i++)
		if (strcmp(d->key[i], key) == 0)
			return 0;
	if (!differs(d, key))
		return 0;
	char **grown = reallocarray(d->key, d->keys + 1, sizeof(*grown));
	char *copy = strdup(key);
	if (grown)
		d->key = grown;
	if (!grown || !copy) {
		free(copy);
		return error_set(err, ERR_LIMIT, "no memory");
	}
	d->key[d->keys++] = copy;
	return 0;
}

static int find_keys(struct dataset *d, const struct key_style *by, size_t n_by, struct error *err)
{
	for (size_t i = 0; i < n_by; i++)
		if (add_key(d, by[i].key, err))
			return -1;
	for (size_t i = 0; i < d->runs; i++)
		for (size_t k = 0; k < d->run[i].n_attr; k++)
			if (is_setting(d->run[i].attr[k].key) && add_key(d, d->run[i].attr[k].key, err))
				return -1;
	return add_key(d, "op", err);
}

static bool same_group(const struct dataset *d, const struct group *g, const struct mine_run *r)
{
	for (size_t k = 0; k < d->keys; k++)
		if (strcmp(g->value[k], text_or_empty(r, d->key[k])) != 0)
			return false;
	return true;
}

static int open_group(struct dataset *d, const struct mine_run *r, struct error *err)
{
	struct group *g = &d->group[d->groups++];
	g->value = calloc(d->keys + 1, sizeof(*g->value));
	g->run = calloc(d->runs, sizeof(*g->run));
	if (!g->value || !g->run)
		return error_set(err, ERR_LIMIT, "no memory");
	for (size_t k = 0; k < d->keys; k++)
		g->value[k] = text_or_empty(r, d->key[k]);
	g->run[g->runs++] = r;
	return 0;
}

static int deal_runs(struct dataset *d, struct error *err)
{
	d->group = calloc(d->runs, sizeof(*d->group));
	if (!d->group)
		return error_set(err, ERR_LIMIT, "no memory");
	for (size_t i = 0; i < d->runs; i++) {
		size_t g = 0;
		while (g < d->groups && !same_group(d, &d->group[g], &d->run[i]))
			g++;
		if (g < d->groups)
			d->group[g].run[d->group[g].runs++] = &d->run[i];
		else if (open_group(d, &d->run[i], err))
			return -1;
	}
	return 0;
}

static const struct key_style *style_of(const char *key, const struct key_style *by, size_t n_by)
{
	for (size_t i = 0; i < n_by; i++)
		if (strcmp(by[i].key, key) == 0)
			return &by[i];
	return NULL;
}

/* Place in a blank-separated list; behind its end when it is not there. */
static size_t place(const char *order, const char *value)
{
	size_t len = strlen(value), i = 0;
	for (const char *w = order; *w; i++) {
		size_t n = strcspn(w, " ");
		if (n == len && strncmp(w, value, n) == 0)
			break;
		w += n;
		w += strspn(w, " ");
	}
	return i;
}

struct sorter {
	const struct dataset *d;
	const struct key_style *by;
	size_t n_by;
};

static int compare_values(const char *a, const char *b, const struct key_style *style)
{
	if (style && style->order) {
		size_t pa = place(style->order, a), pb = place(style->order, b);
		if (pa != pb)
			return pa < pb ? -1 : 1;
	}
	/* Digits by number: depth 8 before depth 16, 4k before 64k. */
	return strverscmp(a, b);
}

static int compare_groups(const void *pa, const void *pb, void *ctx)
{
	const struct group *a = pa, *b = pb;
	const struct sorter *s = ctx;
	for (size_t k = 0; k < s->d->keys; k++) {
		int order = compare_values(a->value[k], b->value[k], style_of(s->d->key[k], s->by, s->n_by));
		if (order)
			return order;
	}
	return 0;
}

/* ---- labels ---- */

enum {
	/* A label is read at a glance or not at all. */
	LABEL_MAX = 48,
};

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

/* "iodepth" of workload.iodepth; what the vantages are called needs the word before it. */
static const char *bare_name(const char *key)
{
	static const char trace[] = "config.trace.";
	if (strncmp(key, trace, sizeof(trace) - 1) == 0)
		return key + strlen("config.");
	const char *dot = strrchr(key, '.');
	return dot ? dot + 1 : key;
}

void setting_write(FILE *f, const char *key, const char *value, const struct key_style *by, size_t n_by, const char *blank)
{
	const struct key_style *style = style_of(key, by, n_by);
	bool plain = !style || !style->label;
	const char *name = plain ? bare_name(key) : style->label;
	bool on = strcmp(value, "on") == 0;
	if (plain && strcmp(key, KEY_TRACED) == 0 && (on || strcmp(value, "off") == 0))
		fputs(on ? "traced" : "untraced", f);
	else
		fprintf(f, "%s%s%s", name, *name ? blank : "", *value ? value : "unset");
}

static bool listed(const char *const *keys, const char *key)
{
	for (; keys && *keys; keys++)
		if (strcmp(*keys, key) == 0)
			return true;
	return false;
}

char *group_label(const struct group *g, const struct dataset *d, const struct key_style *by, size_t n_by, const char *const *less)
{
	char *label = NULL;
	size_t len, n = 0;
	FILE *f = open_memstream(&label, &len);
	if (!f)
		return NULL;
	for (size_t k = 0; k < d->keys; k++) {
		if (listed(less, d->key[k]))
			continue;
		fputs(n++ ? ", " : "", f);
		setting_write(f, d->key[k], g->value[k], by, n_by, " ");
	}
	if (!n)
		fputs(g->runs == 1 ? "this run" : "all runs", f);
	if (fclose(f)) {
		free(label);
		return NULL;
	}
	shorten(label);
	return label;
}

int label_number(char **label, const char *const *before, size_t n)
{
	bool alike = false;
	for (size_t i = 0; i < n && !alike; i++)
		alike = strcmp(before[i], *label) == 0;
	char *numbered;
	if (!alike)
		return 0;
	if (asprintf(&numbered, "%s (%zu)", *label, n + 1) < 0)
		return -1;
	free(*label);
	*label = numbered;
	return 0;
}

static int write_labels(struct dataset *d, const struct key_style *by, size_t n_by)
{
	autofree const char **before = calloc(d->groups + 1, sizeof(*before));
	if (!before)
		return -1;
	for (size_t i = 0; i < d->groups; i++) {
		struct group *g = &d->group[i];
		g->label = group_label(g, d, by, n_by, NULL);
		if (!g->label || label_number(&g->label, before, i))
			return -1;
		before[i] = g->label;
	}
	return 0;
}

int dataset_group(struct dataset *d, const struct key_style *by, size_t n_by, struct error *err)
{
	if (find_keys(d, by, n_by, err) || deal_runs(d, err))
		return -1;
	struct sorter s = { .d = d, .by = by, .n_by = n_by };
	qsort_r(d->group, d->groups, sizeof(*d->group), compare_groups, &s);
	return write_labels(d, by, n_by) ? error_set(err, ERR_LIMIT, "no memory") : 0;
}

static uint64_t fnv1a(uint64_t h, const char *text)
{
	do
		h = (h ^ (unsigned char)*text) * 0x100000001b3ULL;
	while (*text++);
	return h;
}

uint64_t dataset_hash(const struct dataset *d)
{
	uint64_t h = 0xcbf29ce484222325ULL;
	for (size_t i = 0; i < d->runs; i++)
		for (size_t k = 0; k < d->run[i].n_attr; k++)
			if (is_setting(d->run[i].attr[k].key))
				h = fnv1a(fnv1a(h, d->run[i].attr[k].key), d->run[i].attr[k].text);
	return h;
}
