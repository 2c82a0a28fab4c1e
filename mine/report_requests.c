/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands behind the phases: requests matched and not, vantages, clocks. */
#include <math.h>
#include <string.h>

#include "common/clock_tier.h"
#include "mine/chart/text.h"
#include "mine/emit.h"
#include "mine/report.h"

enum { VALUE_MAX = 96 };

static void run_head(FILE *f, const struct phases *p, const struct phases_run *r)
{
	report_run_head(f, r->run->meta.run, p->label);
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
		report_count_cell(f, rare_name[rare], (double)v[rare]);
}

static void requests_row(FILE *f, const struct analysis *a, const struct phases *p, const struct phases_run *r)
{
	const struct attribution *x = r->of;
	run_head(f, p, r);
	report_count_cell(f, "Counted", (double)x->counted);
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
	if (report_no_phases(f, a))
		return;
	say_violations(f, a);
	report_open_runs(f, a->phases.n, "The account");
	fputs("<th>Counted</th><th>Matched</th><th class=\"text\">Unmatched</th><th class=\"text\">Served from</th><th class=\"text\">Suppressed</th>", f);
	for (unsigned k = 0; k < RARES; k++)
		if (any_run(a, has_rare, k))
			fprintf(f, "<th%s>%s</th>", k == RARE_UNFOLDED ? " class=\"text\"" : "", rare_name[k]);
	fputs("</tr></thead>\n<tbody>\n", f);
	for (size_t g = 0; g < a->phases.groups; g++)
		for (size_t r = 0; r < a->phases.group[g].runs; r++)
			requests_row(f, a, &a->phases.group[g], &a->phases.group[g].run[r]);
	report_close_runs(f, a->phases.n);
	say_causes(f, a);
	report_open_runs(f, a->phases.n, "The vantages");
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
	report_close_runs(f, a->phases.n);
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
	if (report_no_phases(f, a))
		return;
	report_open_runs(f, a->phases.n, "Tiers and bounds");
	fputs("<th class=\"text\">Tightest</th><th>All together</th>", f);
	for (unsigned tier = TIER_EXACT; tier <= TIER_EXCHANGE; tier++)
		fprintf(f, "<th>%s</th>", clock_tier_name(tier));
	fputs("<th>Epochs</th></tr></thead>\n<tbody>\n", f);
	for (size_t g = 0; g < a->phases.groups; g++)
		for (size_t r = 0; r < a->phases.group[g].runs; r++)
			tiers_row(f, &a->phases.group[g], &a->phases.group[g].run[r]);
	report_close_runs(f, a->phases.n);
	fputs("<p class=\"hint after\">Each tier bounds the guest’s clock against the host’s by itself; all intervals of an epoch are "
	      "intersected, which only narrows them. Half-widths; with several epochs the widest that has requests in it. An epoch is a stretch in which the "
	      "clocks keep their relation; requests across its end are quarantined. –: not available.", f);
#define T(number, NAME, name, text) fprintf(f, " <b>" #name "</b>: " text ".");
	CLOCK_TIERS(T)
#undef T
	fputs("</p>\n", f);
}
