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
	number_cell(f, "Requests", (double)s->count);
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

static void phases_table(FILE *f, const struct phases *p)
{
	fputs("<h3>", f);
	html_text(f, p->label);
	fputs("</h3>\n<div class=\"scroll\"><table class=\"cards tight phases\"><thead><tr><th>Phase</th><th>Requests</th><th>Mean</th><th>p50</th><th>p99</th>"
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
	if (x->counted && x->matched == x->counted)
		fputs("<small>all</small>", f);
	else if (x->counted)
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

/* Counts that are zero as a rule: a column where some run has any, else a sentence for all. */
enum { RARE_UNFOLDED, RARE_QUARANTINED, RARE_VIOLATIONS, RARE_RESIDUAL, RARES };
static const char *const rare_name[RARES] = { "Unfolded", "Quarantined", "Violations", "Residual" };

static bool has_rare(const struct attribution *x, unsigned rare)
{
	const uint64_t v[RARES] = { x->splits + x->merges + x->requeues, x->quarantined, x->violations, x->residual_max };
	return v[rare] > 0;
}

static void rare_cell(FILE *f, const struct attribution *x, unsigned rare)
{
	const uint64_t v[RARES] = { 0, x->quarantined, x->violations, x->residual_max };
	if (rare == RARE_UNFOLDED)
		unfolded_cell(f, x);
	else
		number_cell(f, rare_name[rare], (double)v[rare]);
}

static void requests_row(FILE *f, const struct analysis *a, const struct phases *p, const struct phases_run *r)
{
	const struct attribution *x = r->of;
	run_head(f, p, r);
	number_cell(f, "Counted", (double)x->counted);
	matched_cell(f, x);
	/* Those outside the window are not among the counted. */
	counts_cell(f, "Unmatched", x->unmatched, CAUSE_MATCHED + 1, CAUSE_OUTSIDE, cause_name);
	counts_cell(f, "Served from", x->served, 0, SERVED, served_name);
	counts_cell(f, "Suppressed", x->suppressed, 0, BOUNDARIES, boundary_name);
	for (unsigned k = 0; k < RARES; k++)
		if (any_run(a, has_rare, k))
			rare_cell(f, x, k);
	fputs("</tr>\n", f);
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

/* What the words of the table mean, of those that are there. */
static void say_causes(FILE *f, const struct analysis *a)
{
	fputs("<p class=\"hint after\">Suppressed: a kick, notice or interrupt that another request’s made needless.", f);
	if (any_run(a, has_rare, RARE_UNFOLDED))
		fputs(" Unfolded: requests that a kernel split, merged with others or queued again.", f);
	if (any_run(a, has_rare, RARE_QUARANTINED))
		fputs(" Quarantined: requests whose stamps do not all lie in one epoch of the clocks.", f);
	if (any_run(a, has_rare, RARE_RESIDUAL))
		fputs(" Residual: the largest difference between the sum of a request’s phases and what the application saw, in cycles.", f);
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
	fputs("<p>", f);
	if (!any)
		fputs("No causality violation: no phase ends before it begins by more than its bound. ", f);
	if (!any_run(a, has_rare, RARE_RESIDUAL))
		fputs("The phases of every matched request sum to what the application saw, to the cycle. ", f);
	if (!any_run(a, has_rare, RARE_QUARANTINED))
		fputs("No request lies across a change of the clocks.", f);
	fputs("</p>\n", f);
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
	fputs("<th>Counted</th><th>Matched</th><th class=\"text\">Unmatched</th><th class=\"text\">Served from</th><th class=\"text\">Suppressed</th>", f);
	for (unsigned k = 0; k < RARES; k++)
		if (any_run(a, has_rare, k))
			fprintf(f, "<th%s>%s</th>", k == RARE_UNFOLDED ? " class=\"text\"" : "", rare_name[k]);
	fputs("</tr></thead>\n<tbody>\n", f);
	for (size_t g = 0; g < a->phases.groups; g++)
		for (size_t r = 0; r < a->phases.group[g].runs; r++)
			requests_row(f, a, &a->phases.group[g], &a->phases.group[g].run[r]);
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

struct tier_facts report_tier(const struct attribution *x, unsigned tier)
{
	struct tier_facts t = { .bound_ns = NAN };
	for (uint32_t i = 0; i < x->epochs_kept; i++) {
		const struct tier_bound *b = &x->epoch[i].by_tier[tier];
		t.of += x->epoch[i].requests > 0;
		if (!b->samples || !x->epoch[i].requests)
			continue;
		t.epochs++;
		t.samples += b->samples;
		t.bound_ns = fmax(t.bound_ns, attribution_ns(x, (double)((uint64_t)b->hi - (uint64_t)b->lo) / 2));
	}
	return t;
}

static void tier_cell(FILE *f, const struct attribution *x, unsigned tier)
{
	char value[VALUE_MAX], count[64];
	const struct tier_facts t = report_tier(x, tier);
	if (!t.epochs) {
		fprintf(f, "<td class=\"few\" data-name=\"%s\">–</td>", clock_tier_name(tier));
		return;
	}
	text_bound_ns(t.bound_ns, value, sizeof(value));
	fprintf(f, "<td data-name=\"%s\">±&nbsp;%s<small>%s sample%s", clock_tier_name(tier), value,
		text_count((double)t.samples, count, sizeof(count)), t.samples == 1 ? "" : "s");
	/* What holds in some epochs says nothing of the others. */
	if (t.epochs < t.of)
		fprintf(f, ", %u of %u epochs", t.epochs, t.of);
	fputs("</small></td>", f);
}

/* All of them, and how many have requests where that differs. */
static void epochs_cell(FILE *f, const struct attribution *x)
{
	uint32_t with = 0;
	for (uint32_t i = 0; i < x->epochs_kept; i++)
		with += x->epoch[i].requests > 0;
	fprintf(f, "<td data-name=\"Epochs\">%u", x->epochs);
	if (x->epochs > x->epochs_kept)
		fprintf(f, "<small>bounds of the first %u</small>", x->epochs_kept);
	else if (with < x->epochs)
		fprintf(f, "<small>%u with requests</small>", with);
	fputs("</td></tr>\n", f);
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
		text_bound_ns(bound, value, sizeof(value));
		fprintf(f, "<td class=\"text\" data-name=\"Tightest\"><strong>%s</strong></td><td data-name=\"All together\"><strong>±&nbsp;%s</strong></td>",
			clock_tier_name(attribution_tier(x)), value);
	}
	for (unsigned tier = TIER_EXACT; tier <= TIER_EXCHANGE; tier++)
		tier_cell(f, x, tier);
	epochs_cell(f, x);
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
