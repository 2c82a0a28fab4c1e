/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands below the charts of attribution: n, levels, bounds, and what is missing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mine/chart/text.h"
#include "mine/draw.h"
#include "mine/emit.h"

struct facts {
	bool merged, crosses, tick, negative, repeats, pair, single;
	double log_ns;               /* the largest bound of a phase that does not cross */
	uint64_t violations;
};

static void find_span_facts(struct facts *x, const struct phases *p, unsigned levels)
{
	for (size_t i = 0; i < p->spans; i++) {
		const struct phases_span *s = &p->span[i];
		x->merged |= s->merged;
		x->crosses |= s->crosses;
		x->tick |= s->crosses && s->tick;
		if (!s->crosses)
			x->log_ns = fmax(x->log_ns, s->bound_ns);
		for (size_t k = 0; k < LEVELS; k++)
			x->negative |= levels >> k & 1 && s->part[k] < 0;
	}
}

static struct facts find_facts(const struct phases_set *set, size_t n, unsigned levels)
{
	struct facts x = { 0 };
	for (size_t g = 0; g < n; g++) {
		const struct phases *p = &set->group[g];
		find_span_facts(&x, p, levels);
		*(p->runs >= PHASES_REPEATS_MIN ? &x.repeats : p->runs > 1 ? &x.pair : &x.single) = true;
		for (size_t r = 0; r < p->runs; r++)
			x.violations += p->run[r].of->violations;
	}
	return x;
}

static void say_counts(FILE *f, const struct phases_set *set, size_t n)
{
	char matched[64], counted[64];
	fputs(n ? "Matched: " : "", f);
	for (size_t g = 0; g < n && n <= 4; g++) {
		const struct phases *p = &set->group[g];
		fprintf(f, "%s%s of %s requests", g ? "; " : "", text_count((double)p->matched, matched, sizeof(matched)),
			text_count((double)p->counted, counted, sizeof(counted)));
		if (n > 1)
			fprintf(f, " (%s)", p->label);
	}
	if (n > 4) {
		double least = INFINITY;
		for (size_t g = 0; g < n; g++)
			least = fmin(least, set->group[g].counted ? (double)set->group[g].matched / (double)set->group[g].counted : 0);
		/* Not rounded up to all of them. */
		fprintf(f, "at least %.2f\u00a0%% of each configuration’s requests", floor(least * 1e4) / 100);
	}
	fputs(n ? ". " : "", f);
}

/* Attribution draws a level from n requests whose count alone carries it; the tables of latencies ask for more. */
static bool is_stricter(const struct analysis *a, unsigned levels, size_t n)
{
	static const double q[LEVELS] = { 0, 0.5, 0.99, 0.999 };
	for (size_t g = 0; g < n; g++)
		for (size_t k = LEVEL_P50; k < LEVELS; k++)
			if (levels >> k & 1 && a->phases.group[g].level[k].runs && !stats_quantile(&a->service[a->phases.group[g].group], q[k]).supported)
				return true;
	return false;
}

static void say_repeats(FILE *f, const struct facts *x, double level)
{
	if (x->repeats || x->pair)
		fputs("Bars of several runs are means over the runs, each of which is a dot. ", f);
	if (x->repeats)
		fprintf(f, "Whiskers and small figures: %g\u00a0%% interval over the runs, from boot to boot (Student’s t). ", level * 100);
	if (x->pair || x->single)
		fprintf(f, "%s runs tell too little from boot to boot for an interval. ", x->pair ? "Two" : "Single");
}

static void say_bounds(FILE *f, const struct facts *x)
{
	char size[96];
	if (x->crosses)
		fprintf(f, "Hatched: phases that cross from one clock to the other, ± what their stamps are uncertain by%s; what an error adds to one it takes "
			"from the other, and the sum carries none. ", x->tick ? " (1\u00a0tick: one cycle of the TSC)" : "");
	if (x->log_ns > 0) {
		text_bound_ns(x->log_ns, size, sizeof(size));
		fprintf(f, "Stamps of the VMM’s log count another clock’s microseconds: phases that begin or end at one are known to ±\u00a0%s. ", size);
	}
	if (x->violations)
		fprintf(f, "%llu causality violation%s: a phase of a single request that ends before it begins by more than its bound; counted, not clipped. ",
			(unsigned long long)x->violations, x->violations == 1 ? "" : "s");
	if (x->merged)
		fputs("a..b: from phase a to phase b, which were not told apart, for what lies between was not seen or did not happen. ", f);
}

static void say_absent(FILE *f, const struct phases_set *set, size_t n)
{
	char first[128], absent[128];
	bool alike = true;
	if (!n)
		return;
	phases_absent(&set->group[0], first, sizeof(first));
	for (size_t g = 1; g < n; g++)
		alike &= strcmp(phases_absent(&set->group[g], absent, sizeof(absent)), first) == 0;
	if (alike && *first)
		fprintf(f, "Vantages missing: %s. ", first);
	for (size_t g = 0; g < n && !alike; g++)
		if (*phases_absent(&set->group[g], absent, sizeof(absent)))
			fprintf(f, "Vantages missing in “%s”: %s. ", set->group[g].label, absent);
}

static void say_bars(FILE *f, const struct analysis *a, const struct item *item, size_t n)
{
	struct facts x = find_facts(&a->phases, n, item->levels);
	say_counts(f, &a->phases, n);
	fputs("Mean: over all matched requests; p50, p99, p99.9: over those in a band around that level of the whole latency, n of them beside each bar. "
	      "Each panel has its own axis. ", f);
	if (is_stricter(a, item->levels, n))
		fputs("Where the table of latencies has “n too small”, a level here is of few requests that came close in time. ", f);
	say_repeats(f, &x, a->t->level);
	say_bounds(f, &x);
	if (x.negative)
		fputs("Parts that are negative, as their bound allows, lie left of zero, however thin; where they show an upright tick marks the total. ", f);
}

static void say_falls(FILE *f, const struct analysis *a, size_t n)
{
	struct facts x = find_facts(&a->phases, n, 0);
	fputs("Single requests, not means: typical is the median request", f);
	fputs(x.repeats || x.pair ? " of the middle run, p99 likewise, worst the longest of all runs. " : ", worst the longest. ", f);
	fputs("Zero is the submission; every phase begins where the one before it ended. Requests side by side share their axis. #: the request’s place "
	      "among the run’s; shared: a kick, notice or interrupt that another request’s made needless. ", f);
	say_bounds(f, &x);
}

char *draw_phases_caption(const struct analysis *a, const struct item *item, size_t n)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	if (item->chart == CHART_ATTRIBUTION)
		say_bars(f, a, item, n);
	else
		say_falls(f, a, n);
	say_absent(f, &a->phases, n);
	if (n < a->phases.groups)
		fprintf(f, "%zu of %zu configurations are drawn; --where narrows them.", n, a->phases.groups);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	/* Sentences end in a blank, a caption does not. */
	while (len && text[len - 1] == ' ')
		text[--len] = '\0';
	return text;
}
