/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What attribution found: phases, and those that stand out. report_requests.c has the accounts. */
#include <math.h>
#include <string.h>

#include "mine/chart/phase_look.h"
#include "mine/chart/text.h"
#include "mine/emit.h"
#include "mine/report.h"

enum {
	VALUE_MAX = 96,
	/* More tables of fifteen rows than these are opened one by one. */
	TABLES_SHOWN = 4,
};

bool report_no_phases(FILE *f, const struct analysis *a)
{
	if (a->phases.groups)
		return false;
	fputs("<p class=\"muted\">No run here could be attributed.</p>\n", f);
	return true;
}

/* The charts' look, drawn small. */
static void write_swatch(FILE *f, const struct phases_span *s)
{
	struct phase_look look = phase_look(s->from, s->to);
	struct colour c = look.fill, h = look.hatch;
	fprintf(f, "<svg class=\"swatch\" viewBox=\"0 0 26 10\" aria-hidden=\"true\"><path d=\"M0 0h16v10h-16z\" fill=\"#%02x%02x%02x\"/>", c.r, c.g, c.b);
	if (look.hatched)
		fprintf(f, "<path d=\"M.5.5h15v9h-15zM0 5l5-5M0 10L10 0M5 10L15 0M10 10l6-6\" fill=\"none\" stroke=\"#%02x%02x%02x\"/>", h.r, h.g, h.b);
	fputs("</svg>", f);
}

static void write_name(FILE *f, const struct phases_span *s)
{
	fputs("<tr><th title=\"", f);
	if (s->merged) {
		html_text(f, "from: ");
		html_text(f, boundary_text(s->from));
		html_text(f, "; to: ");
		html_text(f, boundary_text(s->to));
	} else {
		html_text(f, phase_text(s->from));
	}
	fputs("\">", f);
	write_swatch(f, s);
	html_text(f, s->name);
	fputs("</th>", f);
}

/* A length, which may be negative, and its limits. */
static void length_cell(FILE *f, const char *name, struct estimate e)
{
	char value[VALUE_MAX], limits[VALUE_MAX];
	if (isnan(e.value)) {
		fprintf(f, "<td class=\"few\" data-name=\"%s\">n too small</td>", name);
		return;
	}
	bool below = e.value < 0;
	struct estimate size = below ? (struct estimate){ -e.value, -e.hi, -e.lo, e.supported } : e;
	/* An interval through zero has no sign to put before it. */
	size.supported &= size.lo >= 0;
	text_estimate_ns(size, value, sizeof(value), limits, sizeof(limits));
	fprintf(f, "<td data-name=\"%s\">%s%s", name, below ? "−" : "", value);
	if (*limits)
		fprintf(f, "<small>%s</small>", limits);
	fputs("</td>", f);
}

/* ± on crossings; that of a log's stamps elsewhere, fainter. */
static void bound_cell(FILE *f, const struct phases_span *s)
{
	char text[VALUE_MAX];
	if (s->crosses)
		fprintf(f, "<td data-name=\"Bound\">±&nbsp;%s</td>", phases_bound_text(s, text, sizeof(text)));
	else if (s->bound_ns > 0)
		fprintf(f, "<td class=\"few\" data-name=\"Bound\"><small>log: ±&nbsp;%s</small></td>", phases_bound_text(s, text, sizeof(text)));
	else
		fputs("<td class=\"void\"></td>", f);
}

static void span_row(FILE *f, const struct phases *p, const struct phases_span *s)
{
	double total = p->level[LEVEL_MEAN].total.value;
	write_name(f, s);
	report_count_cell(f, "Requests", (double)s->count);
	length_cell(f, "Mean", s->mean);
	length_cell(f, "p50", s->p50);
	length_cell(f, "p99", s->p99);
	bound_cell(f, s);
	double percent = total > 0 ? fabs(s->part[LEVEL_MEAN]) / total * 100 : 0;
	const char *sign = s->part[LEVEL_MEAN] < 0 ? "−" : "";
	if (percent > 0 && percent < 0.05)
		fprintf(f, "<td data-name=\"Share\">%s&nbsp;%s0.1&nbsp;%%</td></tr>\n", *sign ? "&gt;" : "&lt;", sign);
	else if (total > 0)
		fprintf(f, "<td data-name=\"Share\">%s%.1f&nbsp;%%</td></tr>\n", sign, percent);
	else
		fputs("<td class=\"few\" data-name=\"Share\">–</td></tr>\n", f);
}

static void phases_table(FILE *f, const struct phases *p, bool folded)
{
	fputs(folded ? "<details><summary>" : "<h3>", f);
	html_text(f, p->label);
	fputs(folded ? "</summary>" : "</h3>", f);
	fputs("\n<div class=\"scroll\"><table class=\"cards tight phases\"><thead><tr><th>Phase</th><th>Requests</th><th>Mean</th><th>p50</th><th>p99</th>"
	      "<th>Bound</th><th>Share of the mean</th></tr></thead>\n<tbody>\n", f);
	for (size_t i = 0; i < p->spans; i++)
		span_row(f, p, &p->span[i]);
	fputs("</tbody></table></div>\n", f);
	fputs(folded ? "</details>\n" : "", f);
}

void report_phases(FILE *f, const struct analysis *a)
{
	bool repeats = false, few = false;
	if (report_no_phases(f, a))
		return;
	for (size_t g = 0; g < a->phases.groups; g++) {
		phases_table(f, &a->phases.group[g], a->phases.groups > TABLES_SHOWN);
		*(a->phases.group[g].runs >= PHASES_REPEATS_MIN ? &repeats : &few) = true;
	}
	fputs("<p class=\"hint after\">In the order of a request’s life; a..b: phases that were not told apart, for what lies between was not seen or did "
	      "not happen. Mean, p50 and p99 are of the requests that have the phase; shares are of all matched requests, and sum to 100&nbsp;%. "
	      "Percentiles of phases do not sum. ", f);
	if (repeats)
		fprintf(f, "Small figures: below a mean its %g&nbsp;%% interval over the runs (Student’s t), below a percentile the runs’ range, the "
			"middle run’s being above. ", a->t->level * 100);
	if (few)
		fprintf(f, "Fewer than %d runs have no interval from boot to boot. ", PHASES_REPEATS_MIN);
	fputs("Percentiles to 0.2&nbsp;%. Bound: phases that cross from one clock to the other carry the bound between the clocks; log: stamps of the "
	      "VMM’s log count another clock’s microseconds.</p>\n", f);
}

/* The phases with the largest shares of the mean, largest first; how many there are. */
static size_t largest(const struct phases *p, const struct phases_span *out[], size_t most)
{
	size_t n = 0;
	for (size_t i = 0; i < p->spans; i++) {
		size_t at = n;
		while (at && p->span[i].part[LEVEL_MEAN] > out[at - 1]->part[LEVEL_MEAN])
			at--;
		if (at == most || !(p->span[i].part[LEVEL_MEAN] > 0))
			continue;
		n += n < most;
		memmove(&out[at + 1], &out[at], (n - at - 1) * sizeof(*out));
		out[at] = &p->span[i];
	}
	return n;
}

void report_phase_findings(FILE *f, const struct analysis *a)
{
	enum { LARGEST = 3, FINDINGS_MAX = 6 };
	for (size_t g = 0; g < a->phases.groups && a->phases.groups <= FINDINGS_MAX; g++) {
		const struct phases *p = &a->phases.group[g];
		const struct phases_span *top[LARGEST];
		const size_t n = largest(p, top, LARGEST);
		char total[VALUE_MAX];
		if (!n || !(p->level[LEVEL_MEAN].total.value > 0))
			continue;
		text_estimate_ns(p->level[LEVEL_MEAN].total, total, sizeof(total), NULL, 0);
		fputs("<p class=\"finding\"><strong>", f);
		html_text(f, p->label);
		fprintf(f, "</strong>: %s in the mean, <span class=\"nowrap\">", total);
		for (size_t i = 0; i < n; i++)
			fprintf(f, "%s%.0f&nbsp;%%%s %s", i ? ",</span> <span class=\"nowrap\">" : "",
				top[i]->part[LEVEL_MEAN] / p->level[LEVEL_MEAN].total.value * 100, i ? "" : " of it",
				top[i]->name);
		fputs("</span></p>\n", f);
	}
}
