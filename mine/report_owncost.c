/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the measurement itself cost, traced / untraced. */
#include <math.h>
#include <string.h>

#include "mine/emit.h"
#include "mine/report.h"

static const char *const heading[OWN_FIGURES] = { "IOPS", "p50", "p99" };

static void ratio_cell(FILE *f, const struct own_row *row, enum own_figure figure)
{
	struct estimate r = row->ratio[figure];
	if (isnan(r.value)) {
		fprintf(f, "<td class=\"few\" data-name=\"%s\">n too small</td>", heading[figure]);
		return;
	}
	fprintf(f, "<td data-name=\"%s\">", heading[figure]);
	report_ratio(f, r);
	if (row->with[figure] < row->pairs)
		fprintf(f, "<small>of %zu pair%s</small>", row->with[figure], row->with[figure] == 1 ? "" : "s");
	fputs("</td>", f);
}

static void say_method(FILE *f, const struct analysis *a)
{
	bool single = false, several = false;
	for (size_t i = 0; i < a->own.rows; i++)
		*(a->own.row[i].pairs > 1 ? &several : &single) = true;
	fputs("<p class=\"hint after\">Traced over untraced: 1&nbsp;× is no cost; below 1 for IOPS and above 1 for a latency is what tracing took. "
	      "A pair is one repeat with tracing and one without, run close to each other. ", f);
	if (several)
		fprintf(f, "Geometric means of the pairs with %g&nbsp;%% intervals from boot to boot (Student’s t over the logarithms), bold where they "
			"leave out 1. ", a->t->level * 100);
	if (single)
		fputs("One pair has no interval; <code>--repeat 5</code> gives one. ", f);
	fputs("What the workload engine’s own two time stamps cost is in both.</p>\n", f);
}

/* What there is, and how to get the rest. */
static void say_none(FILE *f, const struct analysis *a)
{
	const char *all = dataset_common(&a->data, KEY_TRACED);
	const char *what = !all ? "No configuration here was run in pairs, with tracing and without, in one study."
			   : strcmp(all, "off") == 0 ? "All runs here are untraced." : "All runs here were traced; what that took of them they cannot say.";
	fprintf(f, "<p class=\"muted\">%s <code>bifocal run --self-check</code> runs every configuration both ways and tells what tracing costs.</p>\n", what);
}

void report_own_cost(FILE *f, const struct analysis *a)
{
	if (!a->own.rows) {
		say_none(f, a);
		return;
	}
	fputs("<div class=\"scroll\"><table class=\"cards narrow\"><thead><tr><th>Traced / untraced</th><th>Pairs</th>", f);
	for (size_t k = 0; k < OWN_FIGURES; k++)
		fprintf(f, "<th>%s</th>", heading[k]);
	fputs("</tr></thead>\n<tbody>\n", f);
	for (size_t i = 0; i < a->own.rows; i++) {
		const struct own_row *row = &a->own.row[i];
		fputs("<tr><th>", f);
		html_text(f, row->label);
		fprintf(f, "</th><td data-name=\"Pairs\">%zu</td>", row->pairs);
		for (unsigned k = 0; k < OWN_FIGURES; k++)
			ratio_cell(f, row, k);
		fputs("</tr>\n", f);
	}
	fputs("</tbody></table></div>\n", f);
	say_method(f, a);
}

void report_json_own_cost(FILE *f, const struct analysis *a)
{
	fputs("  \"own_cost\": [", f);
	for (size_t i = 0; i < a->own.rows; i++) {
		const struct own_row *row = &a->own.row[i];
		fputs(i ? ",\n    {\"label\": " : "\n    {\"label\": ", f);
		json_text(f, row->label);
		fprintf(f, ", \"pairs\": %zu", row->pairs);
		fputs(", \"traced\": ", f);
		report_json_runs(f, row->traced);
		fputs(", \"untraced\": ", f);
		report_json_runs(f, row->untraced);
		fputs(", \"ratio\": {", f);
		for (size_t k = 0; k < OWN_FIGURES; k++) {
			fprintf(f, "%s\"%s\": ", k ? ", " : "", own_figure_name[k]);
			json_estimate(f, row->ratio[k]);
		}
		fputs("}}", f);
	}
	fputs(a->own.rows ? "\n  ],\n" : "],\n", f);
}
