/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who saw the requests, how many could be joined, and what became of the others. */
#include <stdio.h>
#include <string.h>

#include "host/page.h"

static void share(struct facts *f, const char *name, uint64_t n, uint64_t of)
{
	char text[32];
	if (n)
		fact(f, "%s %s (%.4g %%)", name, page_grouped(n, text, sizeof(text)), of ? 100 * (double)n / (double)of : 0);
}

static void count(struct facts *f, const char *what, uint64_t n)
{
	char text[32];
	if (n)
		fact(f, "%s %s", page_grouped(n, text, sizeof(text)), what);
}

/* Nothing but all is 100 %. */
static double matched_share(const struct attribution *at)
{
	double percent = at->counted ? 100 * (double)at->matched / (double)at->counted : 0;
	return at->matched < at->counted && percent > 99.99 ? 99.99 : percent;
}

static void matched_line(const struct page *p)
{
	const struct attribution *at = p->at;
	char n[32], of[32];
	struct facts f;
	facts_begin(&f, p, "matched");
	enum ink ink = at->matched == at->counted ? INK_GOOD : INK_WARN;
	fact(&f, "%s%s of %s (%.4g %%)%s", page_ink(p, ink), page_grouped(at->matched, n, sizeof(n)), page_grouped(at->counted, of, sizeof(of)),
	     matched_share(at), page_plain(p));
	count(&f, "seen", at->seen);
	facts_end();
}

static void unmatched_rows(const struct page *p)
{
	const struct attribution *at = p->at;
	char n[32], line[256];
	for (unsigned c = CAUSE_MATCHED + 1; c < CAUSES; c++) {
		if (!at->unmatched[c])
			continue;
		snprintf(line, sizeof(line), "%s %s: %s", page_grouped(at->unmatched[c], n, sizeof(n)), cause_name(c), cause_text(c));
		page_text(p, c < CAUSE_ERROR ? "unmatched" : "not counted", line);
	}
}

static void served_line(const struct page *p)
{
	struct facts f;
	if (!p->at->counted)
		return;
	facts_begin(&f, p, "served from");
	for (unsigned v = 0; v < SERVED; v++)
		share(&f, served_name(v), p->at->served[v], p->at->counted);
	facts_end();
}

static void shape_line(const struct page *p)
{
	const struct attribution *at = p->at;
	struct facts f;
	uint64_t any = at->splits | at->merges | at->requeues | at->quarantined;
	for (unsigned b = 0; b < BOUNDARIES; b++)
		any |= at->suppressed[b];
	if (!any)
		return;
	facts_begin(&f, p, "among them");
	count(&f, "split", at->splits);
	count(&f, "merged with others", at->merges);
	count(&f, "requeued", at->requeues);
	count(&f, "quarantined: the clock broke across them", at->quarantined);
	for (unsigned b = 0; b < BOUNDARIES; b++) {
		char n[32];
		if (at->suppressed[b])
			fact(&f, "%s needless in %s (%.3g %%)", boundary_name(b), page_grouped(at->suppressed[b], n, sizeof(n)),
			     at->counted ? 100 * (double)at->suppressed[b] / (double)at->counted : 0);
	}
	facts_end();
}

static void causality(const struct page *p)
{
	const struct attribution *at = p->at;
	char n[32], line[160];
	struct facts f;
	if (!at->violations) {
		facts_begin(&f, p, "causality");
		fact(&f, "%sno phase is negative beyond its bound%s", page_ink(p, INK_GOOD), page_plain(p));
		fact(&f, "phases sum to the latency, within %llu cycles", (unsigned long long)at->residual_max);
		facts_end();
		return;
	}
	snprintf(line, sizeof(line), "%s phases are negative by more than their bounds: the clocks' map, or a join, is wrong there",
		 page_grouped(at->violations, n, sizeof(n)));
	printf("%s", page_ink(p, INK_BAD));
	page_text(p, "causality", line);
	page_text(p, "one of them", at->violation_example);
	printf("%s", page_plain(p));
}

static void vantage_row(const struct page *p, unsigned v)
{
	const struct vantage_note *note = &p->at->vantage[v];
	char n[32], name[32];
	/* The longest name is as wide as a label, and wants a blank behind it. */
	snprintf(name, sizeof(name), "%-13s", v ? vantage_name(v) : "guest.app");
	if (!note->there) {
		page_text(p, name, note->text[0] ? note->text : "absent: this run was not traced");
		return;
	}
	struct facts f;
	facts_begin(&f, p, name);
	fact(&f, "%s", note->text[0] ? note->text : "there");
	if (v)
		fact(&f, "%s sightings", page_grouped(note->sightings, n, sizeof(n)));
	if (note->lost)
		fact(&f, "%s%s lost%s", page_ink(p, INK_WARN), page_grouped(note->lost, n, sizeof(n)), page_plain(p));
	facts_end();
}

void show_account(const struct page *p)
{
	if (!p->at)
		return;
	if (show_has_phases(p->at) || p->at->vantage[VANTAGE_GUEST].there || p->at->vantage[VANTAGE_VMM].there) {
		page_heading(p, "Requests");
		matched_line(p);
		unmatched_rows(p);
		served_line(p);
		shape_line(p);
		causality(p);
	}
	page_heading(p, "Vantages");
	for (unsigned v = 0; v <= VANTAGE_HOST; v++)
		vantage_row(p, v);
}
