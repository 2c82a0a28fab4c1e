/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/run/owncost.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/special.h"
#include "host/json.h"

static const char *const figure_names[OWN_FIGURES] = { "iops", "p50", "p99" };

/* Both halves of one pair; a figure that is missing is NAN. */
struct pair {
	char cell[STUDY_CELL_TEXT];    /* without trace.enabled */
	unsigned repeat;
	double figure[2][OWN_FIGURES]; /* [traced] */
};

struct own_cost {
	struct pair *pair;
	size_t n, room;
	bool failed;                   /* out of memory: nothing is said */
};

struct ratio {
	size_t pairs;
	double mean, lo, hi;           /* NAN where there is none */
};

struct own_cost *own_cost_new(struct error *err)
{
	struct own_cost *o = calloc(1, sizeof(*o));
	if (!o)
		error_set(err, ERR_LIMIT, "out of memory");
	return o;
}

void own_cost_free(struct own_cost *o)
{
	if (!o)
		return;
	free(o->pair);
	free(o);
}

/* Takes "trace.enabled=on" out of a cell's text. Returns 1 traced, 0 untraced, -1 when it does not say. */
static int split_cell(const char *cell, char *rest, size_t cap)
{
	static const char key[] = "trace.enabled=";
	int traced = -1;
	size_t used = 0;
	rest[0] = 0;
	for (const char *p = cell; *p;) {
		size_t len = strcspn(p, " ");
		if (!strncmp(p, key, sizeof(key) - 1))
			traced = !strncmp(p + sizeof(key) - 1, "on", 2);
		else if (used + len + 2 < cap)
			used += (size_t)snprintf(rest + used, cap - used, "%s%.*s", used ? " " : "", (int)len, p);
		p += len + strspn(p + len, " ");
	}
	return traced;
}

static struct pair *find_pair(struct own_cost *o, const char *cell, unsigned repeat)
{
	for (size_t i = 0; i < o->n; i++)
		if (o->pair[i].repeat == repeat && !strcmp(o->pair[i].cell, cell))
			return &o->pair[i];
	if (o->n == o->room) {
		size_t room = o->room ? 2 * o->room : 16;
		struct pair *more = reallocarray(o->pair, room, sizeof(*more));
		if (!more) {
			o->failed = true;
			return NULL;
		}
		o->pair = more;
		o->room = room;
	}
	struct pair *p = &o->pair[o->n++];
	*p = (struct pair){ .repeat = repeat };
	snprintf(p->cell, sizeof(p->cell), "%s", cell);
	for (int side = 0; side < 2; side++)
		for (int f = 0; f < OWN_FIGURES; f++)
			p->figure[side][f] = NAN;
	return p;
}

static double quantile_or_none(const struct summary *sum, double q)
{
	return quantile_supported(sum->service.n, q) ? summary_ns(sum, (double)dist_quantile(&sum->service, q)) : NAN;
}

void own_cost_add(struct own_cost *o, const char *cell, unsigned repeat, const struct summary *sum)
{
	char rest[STUDY_CELL_TEXT];
	int traced = split_cell(cell, rest, sizeof(rest));
	struct pair *p = traced < 0 || !sum->counts.counted ? NULL : find_pair(o, rest, repeat);
	if (!p)
		return;
	p->figure[traced][OWN_IOPS] = summary_iops(sum);
	p->figure[traced][OWN_P50] = quantile_or_none(sum, 0.50);
	p->figure[traced][OWN_P99] = quantile_or_none(sum, 0.99);
}

/* Geometric mean of the ratios of a cell's pairs, and Student's interval of their logarithms' mean. */
static struct ratio ratio_of(const struct own_cost *o, const char *cell, enum own_figure f)
{
	struct ratio r = { .mean = NAN, .lo = NAN, .hi = NAN };
	double sum = 0, squares = 0;
	for (size_t i = 0; i < o->n; i++) {
		double x = log(o->pair[i].figure[1][f] / o->pair[i].figure[0][f]);
		if (strcmp(o->pair[i].cell, cell) != 0 || !isfinite(x))
			continue;
		r.pairs++;
		sum += x;
		squares += x * x;
	}
	if (!r.pairs)
		return r;
	double n = (double)r.pairs, mean = sum / n;
	r.mean = exp(mean);
	if (r.pairs < 2)
		return r;
	double variance = fmax(0, (squares - n * mean * mean) / (n - 1));
	double half = student_quantile(0.975, n - 1) * sqrt(variance / n);
	r.lo = exp(mean - half);
	r.hi = exp(mean + half);
	return r;
}

/* True for the first pair of each cell. */
static bool is_first(const struct own_cost *o, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(o->pair[k].cell, o->pair[i].cell))
			return false;
	return true;
}

static void print_ratio(const char *name, const struct ratio *r, FILE *out)
{
	if (isnan(r->mean))
		fprintf(out, "  %s n too small", name);
	else if (isnan(r->lo))
		fprintf(out, "  %s %.2f", name, r->mean);
	else
		fprintf(out, "  %s %.2f [%.2f, %.2f]", name, r->mean, r->lo, r->hi);
}

void own_cost_print(const struct own_cost *o, FILE *out)
{
	static const char *const names[OWN_FIGURES] = { "IOPS", "p50", "p99" };
	bool single = false;
	if (!o->n || o->failed)
		return;
	fprintf(out, "\nCost of the measurement, traced / untraced:\n");
	for (size_t i = 0; i < o->n; i++) {
		if (!is_first(o, i))
			continue;
		fprintf(out, "  %-36s", *o->pair[i].cell ? o->pair[i].cell : "single cell");
		for (int f = 0; f < OWN_FIGURES; f++) {
			struct ratio r = ratio_of(o, o->pair[i].cell, (enum own_figure)f);
			single |= r.pairs < 2;
			print_ratio(names[f], &r, out);
		}
		fputc('\n', out);
	}
	fprintf(out, single ? "  One pair has no interval; --repeat 5 gives one.\n" : "  Geometric means of the pairs, with 95 %% intervals from boot to boot.\n");
}

static json_t *number_or_null(double v)
{
	return isnan(v) ? json_null() : json_real(v);
}

static json_t *ratio_json(const struct ratio *r)
{
	json_t *o = json_object();
	json_object_set_new(o, "ratio", number_or_null(r->mean));
	json_object_set_new(o, "lo", number_or_null(r->lo));
	json_object_set_new(o, "hi", number_or_null(r->hi));
	return o;
}

json_t *own_cost_json(const struct own_cost *o)
{
	json_t *list = json_array();
	for (size_t i = 0; i < o->n; i++) {
		if (!is_first(o, i))
			continue;
		json_t *cell = json_object();
		json_object_set_new(cell, "cell", json_assignments(o->pair[i].cell));
		for (int f = 0; f < OWN_FIGURES; f++) {
			struct ratio r = ratio_of(o, o->pair[i].cell, (enum own_figure)f);
			if (f == OWN_IOPS)
				json_object_set_new(cell, "pairs", json_integer((json_int_t)r.pairs));
			json_object_set_new(cell, figure_names[f], ratio_json(&r));
		}
		json_array_append_new(list, cell);
	}
	return list;
}
