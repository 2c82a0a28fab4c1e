/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What attribution found: phases, requests, vantages, clocks. */
#include <math.h>
#include <string.h>

#include "common/clock_tier.h"
#include "mine/chart/phase_look.h"
#include "mine/chart/text.h"
#include "mine/emit.h"
#include "mine/report.h"

enum { VALUE_MAX = 96 };

static bool say_none(FILE *f, const struct analysis *a)
{
	if (a->phases.groups)
		return false;
	fputs("<p class=\"muted\">No run here could be attributed.</p>\n", f);
	return true;
}

static void number_cell(FILE *f, const char *name, double v)
{
	char text[64];
	fprintf(f, "<td data-name=\"%s\">%s</td>", name, text_count(v, text, sizeof(text)));
}

/* ---- phases ---- */

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

/* ± on crossings; a log's ticks elsewhere, fainter. */
static void bound_cell(FILE *f, const struct phases_span *s)
{
	char text[VALUE_MAX];
	if (s->crosses)
		fprintf(f, "<td data-name=\"Bound\">±&nbsp;%s</td>", phases_bound_text(s, text, sizeof(text)));
	else if (s->bound_ns > 0)
		fprintf(f, "<td class=\"few\" data-name=\"Bound\"><small>log’s ticks: ±&nbsp;%s</small></td>", phases_bound_text(s, text, sizeof(text)));
	else
		fputs("<td class=\"void\"></td>", f);
}

static void span_row(FILE *f, const struct phases *p, const struct phases_span *s)
{
	double total = p->level[LEVEL_MEAN].total.value;
	write_name(f, s);
	number_cell(f, "Requests", (double)s->count);
	length_cell(f, "Mean", s->mean);
	length_cell(f, "p50", s->p50);
	length_cell(f, "p99", s->p99);
	bound_cell(f, s);
	double percent = total > 0 ? fabs(s->part[LEVEL_MEAN]) / total * 100 : 0;
	const char *sign = s->part[LEVEL_MEAN] < 0 ? "−" : "";
	if (percent > 0 && percent < 0.05)
		fprintf(f, "<td data-name=\"Share\">%s&lt;&nbsp;0.1&nbsp;%%</td></tr>\n", sign);
	else if (total > 0)
		fprintf(f, "<td data-name=\"Share\">%s%.1f&nbsp;%%</td></tr>\n", sign, percent);
	else
		fputs("<td class=\"few\" data-name=\"Share\">–</td></tr>\n", f);
}

static void phases_table(FILE *f, const struct phases *p)
{
	fputs("<h3>", f);
	html_text(f, p->label);
	fputs("</h3>\n<div class=\"scroll\"><table class=\"cards tight\"><thead><tr><th>Phase</th><th>Requests</th><th>Mean</th><th>p50</th><th>p99</th>"
	      "<th>Bound</th><th>Share of the mean</th></tr></thead>\n<tbody>\n", f);
	for (size_t i = 0; i < p->spans; i++)
		span_row(f, p, &p->span[i]);
	fputs("</tbody></table></div>\n", f);
}

void report_phases(FILE *f, const struct analysis *a)
{
	bool repeats = false, few = false;
	if (say_none(f, a))
		return;
	for (size_t g = 0; g < a->phases.groups; g++) {
		phases_table(f, &a->phases.group[g]);
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
	fputs("Percentiles to 0.2&nbsp;%. Bound: phases that cross from one clock to the other carry the bound between the clocks.</p>\n", f);
}

/* ---- requests ---- */

static void run_head(FILE *f, const struct phases *p, const struct phases_run *r)
{
	fprintf(f, "<tr><th>%llu</th><td class=\"text\" data-name=\"Configuration\">", (unsigned long long)r->run->meta.run);
	html_text(f, p->label);
	fputs("</td>", f);
}

/* Long lists fold away. */
enum { RUNS_SHOWN = 8 };

static void open_table(FILE *f, const struct analysis *a, const char *what)
{
	if (a->phases.n > RUNS_SHOWN)
		fprintf(f, "<details><summary>%s of each of the %zu runs</summary>\n", what, a->phases.n);
	fputs("<div class=\"scroll\"><table class=\"cards\"><thead><tr><th>Run</th><th class=\"text\">Configuration</th>", f);
}

static void close_table(FILE *f, const struct analysis *a)
{
	fputs("</tbody></table></div>\n", f);
	if (a->phases.n > RUNS_SHOWN)
		fputs("</details>\n", f);
}

/* "no_vmm 5, ambiguous 2" of those counts that are not zero. */
static void counts_cell(FILE *f, const char *name, const uint64_t *count, size_t from, size_t to, const char *(*word)(unsigned))
{
	bool any = false;
	char text[64];
	fprintf(f, "<td class=\"text\" data-name=\"%s\">", name);
	for (size_t i = from; i < to; i++)
		if (count[i]) {
			fprintf(f, "%s%s&nbsp;%s", any ? ", " : "", word((unsigned)i), text_count((double)count[i], text, sizeof(text)));
			any = true;
		}
	fputs(any ? "</td>" : "none</td>", f);
}

static void matched_cell(FILE *f, const struct attribution *x)
{
	char text[64];
	fprintf(f, "<td data-name=\"Matched\">%s", text_count((double)x->matched, text, sizeof(text)));
	/* Rounded down: 100 % are all of them. */
	if (x->counted)
		fprintf(f, "<small>%.2f&nbsp;%%</small>", floor((double)x->matched / (double)x->counted * 1e4) / 100);
	fputs("</td>", f);
}

static void unfolded_cell(FILE *f, const struct attribution *x)
{
	const uint64_t count[] = { x->splits, x->merges, x->requeues };
	static const char *const word[] = { "split", "merged", "requeued" };
	bool any = false;
	char text[64];
	fputs("<td class=\"text\" data-name=\"Unfolded\">", f);
	for (size_t i = 0; i < 3; i++)
		if (count[i]) {
			fprintf(f, "%s%s&nbsp;%s", any ? ", " : "", word[i], text_count((double)count[i], text, sizeof(text)));
			any = true;
		}
	fputs(any ? "</td>" : "none</td>", f);
}

static void requests_row(FILE *f, const struct phases *p, const struct phases_run *r)
{
	const struct attribution *x = r->of;
	run_head(f, p, r);
	number_cell(f, "Counted", (double)x->counted);
	matched_cell(f, x);
	/* Those outside the window are not among the counted. */
	counts_cell(f, "Unmatched", x->unmatched, CAUSE_MATCHED + 1, CAUSE_OUTSIDE, cause_name);
	counts_cell(f, "Served from", x->served, 0, SERVED, served_name);
	counts_cell(f, "Suppressed", x->suppressed, 0, BOUNDARIES, boundary_name);
	unfolded_cell(f, x);
	number_cell(f, "Quarantined", (double)x->quarantined);
	number_cell(f, "Violations", (double)x->violations);
	fprintf(f, "<td data-name=\"Residual\">%llu</td></tr>\n", (unsigned long long)x->residual_max);
}

static void vantage_cell(FILE *f, const struct vantage_note *v, unsigned vantage)
{
	char text[64];
	fprintf(f, "<td class=\"text\" data-name=\"%s\">", vantage_name(vantage));
	fputs(v->there ? "" : "absent: ", f);
	html_text(f, v->text);
	if (v->there)
		fprintf(f, "<small>%s sightings", text_count((double)v->sightings, text, sizeof(text)));
	if (v->there)
		fprintf(f, "%s%s</small>", v->lost ? ", lost " : ", none lost", v->lost ? text_count((double)v->lost, text, sizeof(text)) : "");
	fputs("</td>", f);
}

static bool any_run(const struct analysis *a, bool (*has)(const struct attribution *x, unsigned what), unsigned what)
{
	for (size_t i = 0; i < a->phases.n; i++)
		if (has(a->phases.of[i], what))
			return true;
	return false;
}

static bool has_cause(const struct attribution *x, unsigned cause)
{
	return x->unmatched[cause] > 0;
}

/* What the words of the table mean, of those that are there. */
static void say_causes(FILE *f, const struct analysis *a)
{
	fputs("<p class=\"hint after\">Residual: the largest difference between the sum of a request’s phases and what the application saw, in cycles. "
	      "Suppressed: a kick, notice or interrupt that another request’s made needless.", f);
	for (unsigned c = CAUSE_MATCHED + 1; c < CAUSE_OUTSIDE; c++)
		if (any_run(a, has_cause, c))
			fprintf(f, " <b>%s</b>: %s.", cause_name(c), cause_text(c));
	fputs("</p>\n", f);
}

static void say_violations(FILE *f, const struct analysis *a)
{
	bool any = false;
	for (size_t i = 0; i < a->phases.n; i++) {
		const struct attribution *x = a->phases.of[i];
		if (!x->violations)
			continue;
		any = true;
		fprintf(f, "<p>Run %llu, %llu causality violation%s: phases that end before they begin by more than their bound. ",
			(unsigned long long)a->phases.run[i], (unsigned long long)x->violations, x->violations == 1 ? "" : "s");
		fputs(*x->violation_example ? "One of them: " : "", f);
		html_text(f, x->violation_example);
		fputs("</p>\n", f);
	}
	if (!any)
		fputs("<p>No causality violation: no phase ends before it begins by more than its bound.</p>\n", f);
}

/* Boundaries that no request showed, each once with why. */
static void say_unseen(FILE *f, const struct analysis *a)
{
	bool first = true;
	for (unsigned b = 0; b < BOUNDARIES; b++)
		for (size_t i = 0; i < a->phases.n; i++) {
			const char *why = a->phases.of[i]->absent[b];
			bool told = !*why;
			for (size_t k = 0; k < i && !told; k++)
				told = strcmp(a->phases.of[k]->absent[b], why) == 0;
			if (told)
				continue;
			fputs(first ? "<details><summary>Boundaries that were never seen, and why</summary>\n<dl>\n" : "", f);
			first = false;
			fprintf(f, "<dt>%s, run %llu</dt><dd>", boundary_name(b), (unsigned long long)a->phases.run[i]);
			html_text(f, why);
			fputs("</dd>\n", f);
		}
	fputs(first ? "" : "</dl></details>\n", f);
}

void report_requests(FILE *f, const struct analysis *a)
{
	if (say_none(f, a))
		return;
	say_violations(f, a);
	open_table(f, a, "The account");
	fputs("<th>Counted</th><th>Matched</th><th class=\"text\">Unmatched</th><th class=\"text\">Served from</th><th class=\"text\">Suppressed</th>"
	      "<th class=\"text\">Unfolded</th><th>Quarantined</th><th>Violations</th><th>Residual</th></tr></thead>\n<tbody>\n", f);
	for (size_t g = 0; g < a->phases.groups; g++)
		for (size_t r = 0; r < a->phases.group[g].runs; r++)
			requests_row(f, &a->phases.group[g], &a->phases.group[g].run[r]);
	close_table(f, a);
	say_causes(f, a);
	open_table(f, a, "The vantages");
	for (unsigned v = VANTAGE_GUEST; v <= VANTAGE_HOST; v++)
		fprintf(f, "<th class=\"text\">%s</th>", vantage_name(v));
	fputs("</tr></thead>\n<tbody>\n", f);
	for (size_t g = 0; g < a->phases.groups; g++)
		for (size_t r = 0; r < a->phases.group[g].runs; r++) {
			run_head(f, &a->phases.group[g], &a->phases.group[g].run[r]);
			for (unsigned v = VANTAGE_GUEST; v <= VANTAGE_HOST; v++)
				vantage_cell(f, &a->phases.group[g].run[r].of->vantage[v], v);
			fputs("</tr>\n", f);
		}
	close_table(f, a);
	say_unseen(f, a);
}

/* ---- clocks ---- */

double report_tier_ns(const struct attribution *x, unsigned tier, uint64_t *samples)
{
	double widest = NAN;
	*samples = 0;
	for (uint32_t i = 0; i < x->epochs_kept; i++) {
		const struct tier_bound *t = &x->epoch[i].by_tier[tier];
		if (!t->samples || !x->epoch[i].requests)
			continue;
		*samples += t->samples;
		widest = fmax(widest, attribution_ns(x, (double)((uint64_t)t->hi - (uint64_t)t->lo) / 2));
	}
	return widest;
}

static void tier_cell(FILE *f, const struct attribution *x, unsigned tier)
{
	char value[VALUE_MAX], count[64];
	uint64_t samples;
	double ns = report_tier_ns(x, tier, &samples);
	if (isnan(ns)) {
		fprintf(f, "<td class=\"few\" data-name=\"%s\">–</td>", clock_tier_name(tier));
		return;
	}
	text_estimate_ns((struct estimate){ .value = ns }, value, sizeof(value), NULL, 0);
	fprintf(f, "<td data-name=\"%s\">±&nbsp;%s<small>%s sample%s</small></td>", clock_tier_name(tier), value,
		text_count((double)samples, count, sizeof(count)), samples == 1 ? "" : "s");
}

static void tiers_row(FILE *f, const struct phases *p, const struct phases_run *r)
{
	const struct attribution *x = r->of;
	char value[VALUE_MAX];
	double bound = attribution_bound_ns(x);
	run_head(f, p, r);
	if (isnan(bound)) {
		fputs("<td class=\"text\" data-name=\"Tightest\">none</td><td data-name=\"All together\">unknown</td>", f);
	} else {
		text_estimate_ns((struct estimate){ .value = bound }, value, sizeof(value), NULL, 0);
		fprintf(f, "<td class=\"text\" data-name=\"Tightest\"><strong>%s</strong></td><td data-name=\"All together\"><strong>±&nbsp;%s</strong></td>",
			clock_tier_name(attribution_tier(x)), value);
	}
	for (unsigned tier = TIER_EXACT; tier <= TIER_EXCHANGE; tier++)
		tier_cell(f, x, tier);
	fprintf(f, "<td data-name=\"Epochs\">%u</td></tr>\n", x->epochs);
}

void report_tiers(FILE *f, const struct analysis *a)
{
	if (say_none(f, a))
		return;
	open_table(f, a, "Tiers and bounds");
	fputs("<th class=\"text\">Tightest</th><th>All together</th>", f);
	for (unsigned tier = TIER_EXACT; tier <= TIER_EXCHANGE; tier++)
		fprintf(f, "<th>%s</th>", clock_tier_name(tier));
	fputs("<th>Epochs</th></tr></thead>\n<tbody>\n", f);
	for (size_t g = 0; g < a->phases.groups; g++)
		for (size_t r = 0; r < a->phases.group[g].runs; r++)
			tiers_row(f, &a->phases.group[g], &a->phases.group[g].run[r]);
	close_table(f, a);
	fputs("<p class=\"hint after\">Each tier bounds the guest’s clock against the host’s by itself; all intervals of an epoch are "
	      "intersected, which only narrows them. Half-widths; with several epochs the widest that has requests in it. An epoch is a stretch in which the "
	      "clocks keep their relation; requests across its end are quarantined. –: not available.", f);
#define T(number, NAME, name, text) fprintf(f, " <b>" #name "</b>: " text ".");
	CLOCK_TIERS(T)
#undef T
	fputs("</p>\n", f);
}
