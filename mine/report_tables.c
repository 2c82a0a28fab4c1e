/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The report's figures: statistics, comparison, findings. */
#include <math.h>
#include <string.h>

#include "mine/chart/text.h"
#include "mine/emit.h"
#include "mine/report.h"

enum { VALUE_MAX = 96 };

/* The charts' line and marker, drawn small; same shapes as canvas_marker. */
void report_label(FILE *f, const struct series_look *look)
{
	static const char *const dash[SERIES_DASHES] = { "none", "6 3", "1.5 3", "8 3 1.5 3" };
	static const char *const shape[SERIES_MARKERS] = {
		"M13 1.5a3.5 3.5 0 1 0 .01 0z", "M10 2h6v6h-6z", "M13 .8l4 6.9h-8z", "M13 .5l4.5 4.5l-4.5 4.5l-4.5-4.5z",
		"M13 9.2l4-6.9h-8z", "M13 1l3.4 2v4l-3.4 2l-3.4-2v-4z",
	};
	struct colour c = series_colour(look->colour);
	fprintf(f, "<svg class=\"swatch\" viewBox=\"0 0 26 10\" aria-hidden=\"true\"><path d=\"M0 5h26\" fill=\"none\" stroke=\"#%02x%02x%02x\" "
		"stroke-width=\"2\" stroke-dasharray=\"%s\"/><path d=\"%s\" fill=\"#%02x%02x%02x\" stroke=\"#fff\" stroke-width=\"1\"/></svg>",
		c.r, c.g, c.b, dash[look->dash % SERIES_DASHES], shape[look->marker % SERIES_MARKERS], c.r, c.g, c.b);
	html_text(f, look->label);
}

static const char *heading(const struct statistic *s)
{
	switch (s->kind) {
	case STAT_N: return "Requests";
	case STAT_IOPS: return "IOPS";
	case STAT_MEAN: return "Mean";
	case STAT_MAX: return "Max";
	case STAT_PERCENTILE: break;
	}
	return s->name;
}

static void few_cell(FILE *f, const struct stats *s, const struct statistic *what)
{
	/* Both tails: the far one decides. */
	double far = fmax(what->q, 1 - what->q);
	double needed = ceil(log((1 - s->level) / 2) / log(far));
	char need[48], have[48];
	fprintf(f, "<td class=\"few\" data-name=\"%s\">n too small<small>%s of %s</small></td>", heading(what),
		text_count(floor(stats_effective_n(s, what->q)), have, sizeof(have)), text_count(needed, need, sizeof(need)));
}

static void cell(FILE *f, const struct stats *s, const struct statistic *what)
{
	struct estimate e = statistic_of_stats(s, what);
	char value[VALUE_MAX], limits[VALUE_MAX] = "";
	if (what->kind == STAT_PERCENTILE && !e.supported) {
		few_cell(f, s, what);
		return;
	}
	if (what->kind == STAT_N)
		text_count(e.value, value, sizeof(value));
	else if (what->kind == STAT_IOPS)
		text_estimate_number(e, value, sizeof(value), limits, sizeof(limits));
	else
		text_estimate_ns(e, value, sizeof(value), limits, sizeof(limits));
	fprintf(f, "<td data-name=\"%s\">%s", heading(what), value);
	if (*limits)
		fprintf(f, "<small>%s</small>", limits);
	fputs("</td>", f);
}

static void write_rows(FILE *f, const struct analysis *a, const struct item *item, const struct stats *of, const char *what)
{
	fputs("<div class=\"scroll\"><table class=\"cards\"><thead><tr><th>", f);
	fputs(what, f);
	fputs("</th><th>Runs</th>", f);
	for (size_t i = 0; i < item->statistics; i++)
		fprintf(f, "<th>%s</th>", heading(&item->statistic[i]));
	fputs("</tr></thead>\n<tbody>\n", f);
	for (size_t g = 0; g < a->data.groups; g++) {
		if (!of[g].n)
			continue;
		fputs("<tr><th>", f);
		report_label(f, &a->look[g]);
		fprintf(f, "</th><td data-name=\"Runs\">%zu</td>", a->data.group[g].runs);
		for (size_t i = 0; i < item->statistics; i++)
			cell(f, &of[g], &item->statistic[i]);
		fputs("</tr>\n", f);
	}
	fputs("</tbody></table></div>\n", f);
}

static void say_method(FILE *f, const struct analysis *a)
{
	bool blocks = false, repeats = false;
	for (size_t g = 0; g < a->data.groups; g++)
		*(a->service[g].by_run ? &repeats : &blocks) = true;
	fprintf(f, "<p class=\"hint after\">Small figures: %g&nbsp;%% intervals. Latencies are autocorrelated, so intervals "
		"are taken over ", a->t->level * 100);
	if (repeats)
		fprintf(f, "repeats%s", blocks ? ", or where there are fewer than five over " : ", never over single requests. ");
	if (blocks)
		fprintf(f, "consecutive blocks of time (%d or more a configuration), never over single requests; they do not cover what "
			"varies from boot to boot, which five repeats would. ", STATS_BLOCKS);
	fputs("Percentiles: order statistics, distribution-free; "
	      "requests close in time resemble each other, and where those there are worth too few independent ones, "
	      "the percentile is not printed but how many they are worth, of how many it takes.</p>\n", f);
}

void report_table(FILE *f, const struct analysis *a, const struct item *item)
{
	write_rows(f, a, item, a->service, a->open_loop ? "Service time: from submission" : "Configuration");
	if (a->open_loop) {
		fputs("<p></p>\n", f);
		write_rows(f, a, item, a->response, "Response time: from when it was due");
	}
	say_method(f, a);
}

void report_ratio(FILE *f, struct estimate r)
{
	char value[VALUE_MAX], limits[VALUE_MAX];
	text_estimate_number(r, value, sizeof(value), limits, sizeof(limits));
	/* Two observations that disagree: t is 12.7. Digits would look as if they told anything. */
	if (r.supported && (r.lo < 0.01 || r.hi > 100))
		snprintf(limits, sizeof(limits), "too wide to tell");
	bool clear = r.supported && (r.lo > 1 || r.hi < 1);
	fprintf(f, "%s%s&nbsp;×%s<small>%s</small>", clear ? "<strong>" : "", value, clear ? "</strong>" : "", limits);
}

/* n and max have no interval, so neither has their ratio. */
static void ratio_cell(FILE *f, const struct analysis *a, const struct pair *p, const struct statistic *what)
{
	struct estimate r = pair_ratio(a, p, what);
	bool bare = what->kind == STAT_N || what->kind == STAT_MAX;
	if (!r.supported && !bare) {
		fprintf(f, "<td class=\"few\" data-name=\"%s\">n too small</td>", heading(what));
		return;
	}
	fprintf(f, "<td data-name=\"%s\">", heading(what));
	report_ratio(f, r);
	fputs("</td>", f);
}

static void write_pairs(FILE *f, const struct analysis *a, const struct item *item, const struct pair *pairs, size_t n)
{
	fputs("<div class=\"scroll\"><table class=\"cards\"><thead><tr><th>Ratio</th>", f);
	for (size_t i = 0; i < item->statistics; i++)
		fprintf(f, "<th>%s</th>", heading(&item->statistic[i]));
	fputs("</tr></thead>\n<tbody>\n", f);
	for (size_t p = 0; p < n; p++) {
		fputs("<tr><th>", f);
		html_text(f, pairs[p].label);
		fputs("</th>", f);
		for (size_t i = 0; i < item->statistics; i++)
			ratio_cell(f, a, &pairs[p], &item->statistic[i]);
		fputs("</tr>\n", f);
	}
	fprintf(f, "</tbody></table></div>\n<p class=\"hint after\">Each pair is alike in all other settings. %g&nbsp;%% intervals of "
		"the ratio, combined from both sides’ on the log scale (MOVER); bold where they leave out 1.%s</p>\n", a->t->level * 100,
		a->open_loop ? " Latencies are service times here." : "");
}

int report_compare(FILE *f, const struct analysis *a, const struct item *item, struct error *err)
{
	struct pair *pairs;
	int n = analysis_pairs(a, item, &pairs, err);
	if (n < 0)
		return -1;
	if (n == 0) {
		fputs("<p class=\"muted\">Nothing to compare: no two configurations here differ in ", f);
		html_text(f, item->key);
		fputs(" alone, one of them with ", f);
		html_text(f, item->baseline);
		fputs(".</p>\n", f);
	} else {
		write_pairs(f, a, item, pairs, (size_t)n);
	}
	pairs_free(pairs, (size_t)n);
	return 0;
}

/* "At p50, ahci takes 2.53 times as long as virtio-blk, depth 1": in words, with the interval. */
static void write_finding(FILE *f, const struct analysis *a, const struct pair *p, const struct statistic *what)
{
	struct estimate r = pair_ratio(a, p, what);
	if (!r.supported)
		return;
	char value[VALUE_MAX], limits[VALUE_MAX];
	text_estimate_number(r, value, sizeof(value), limits, sizeof(limits));
	bool clear = r.lo > 1 || r.hi < 1;
	fputs("<p class=\"finding\"><strong>", f);
	html_text(f, p->label);
	fprintf(f, "</strong>: %s%s times as long at %s <span class=\"muted nowrap\">(%g&nbsp;%%: %s)</span></p>\n",
		clear ? "a request takes " : "no clear difference, ", value, heading(what), a->t->level * 100, limits);
}

int report_findings(FILE *f, const struct analysis *a, struct error *err)
{
	for (size_t i = 0; i < a->t->items; i++) {
		const struct item *item = &a->t->item[i];
		if (item->kind != ITEM_COMPARE)
			continue;
		const struct statistic *what = NULL;
		for (size_t k = 0; k < item->statistics && !what; k++)
			if (item->statistic[k].kind == STAT_PERCENTILE || item->statistic[k].kind == STAT_MEAN)
				what = &item->statistic[k];
		struct pair *pairs;
		int n = analysis_pairs(a, item, &pairs, err);
		if (n < 0)
			return -1;
		/* More than a handful is a table, not a finding. */
		for (int p = 0; p < n && n <= 6 && what; p++)
			write_finding(f, a, &pairs[p], what);
		pairs_free(pairs, (size_t)n);
	}
	return 0;
}
