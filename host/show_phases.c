/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the time of a run's requests went: phases with bars, what makes the tail, what is merged and why. */
#include <stdio.h>
#include <string.h>

#include "common/units.h"
#include "host/page.h"

bool show_has_phases(const struct attribution *at)
{
	for (size_t i = 0; at && i < at->spans; i++)
		if (at->span[i].count && (at->span[i].from != AT_APP_SUBMIT || at->span[i].to != AT_APP_REAP))
			return true;
	return false;
}

/* ---- the table ---- */

/* From WIDE columns on there is room for whole names and all quantiles. */
enum { WIDE = 110, NAME = 17, NAME_WIDE = 33, COUNT = 10, FIGURE = 9, BOUND = 10, SHARE = 6, BAR_MIN = 4, BAR_MAX = 40 };

static bool wide(const struct page *p)
{
	return p->width >= WIDE;
}

static int bar_columns(const struct page *p)
{
	int used = wide(p) ? 2 + NAME_WIDE + COUNT + 5 * FIGURE + BOUND + SHARE : 2 + NAME + COUNT + 3 * FIGURE + BOUND + SHARE;
	int left = p->width - used - 1;
	return left < BAR_MIN ? 0 : left > BAR_MAX ? BAR_MAX : left;
}

static void head(const struct page *p)
{
	static const char *const names[] = { "mean", "p50", "p90", "p99", "p99.9" };
	printf("%s  ", page_ink(p, INK_DIM));
	page_left("phase", wide(p) ? NAME_WIDE : NAME);
	page_right("n", COUNT);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (wide(p) || (i != 2 && i != 4))
			page_right(names[i], FIGURE);
	page_right("bound", BOUND);
	page_right("share", SHARE);
	printf("%s\n", page_plain(p));
}

static void figure(const struct page *p, double cycles)
{
	char text[32];
	page_right(format_ns(attribution_ns(p->at, cycles), text, sizeof(text)), FIGURE);
}

static void quantile(const struct page *p, int64_t cycles)
{
	if (cycles != INT64_MIN) {
		figure(p, (double)cycles);
		return;
	}
	printf("%s", page_ink(p, INK_DIM));
	page_right("too few", FIGURE);
	printf("%s", page_plain(p));
}

static const char *share_text(double share, char *dst, size_t cap)
{
	if (share > 0 && share < 0.005)
		snprintf(dst, cap, "<1 %%");
	else
		snprintf(dst, cap, "%.0f %%", 100 * share);
	return dst;
}

/* `most`: of the largest phase, whose bar is full. */
static bool row(const struct page *p, const struct span_stat *s, double all, double most)
{
	char text[32], bar[3 * BAR_MAX + 1], rest[PHASE_SPAN_MAX];
	double share = all > 0 ? s->sum / all : 0;
	printf("  ");
	page_span(s->from, s->to, wide(p) ? NAME_WIDE : NAME, rest);
	page_right(page_count(s->count, text, sizeof(text)), COUNT);
	figure(p, s->sum / (double)s->count);
	quantile(p, s->p50);
	if (wide(p))
		quantile(p, s->p90);
	quantile(p, s->p99);
	if (wide(p))
		quantile(p, s->p999);
	page_bound(p, show_bound_ns(p->at, s->bound), BOUND);
	page_right(share_text(share, text, sizeof(text)), SHARE);
	printf(" %s%s%s\n", page_ink(p, INK_BAR), term_span(0, most > 0 ? s->sum / most : 0, share > 0 ? bar_columns(p) : 0, bar, sizeof(bar)), page_plain(p));
	if (*rest)
		printf("   %s\n", rest);
	return s->to > s->from + 1;
}

/* Returns true when some phase is merged. */
static bool table(const struct page *p)
{
	const struct attribution *at = p->at;
	double all = 0, most = 0;
	bool merged = false;
	for (size_t i = 0; i < at->spans; i++) {
		all += at->span[i].sum;
		most = at->span[i].sum > most ? at->span[i].sum : most;
	}
	head(p);
	for (size_t i = 0; i < at->spans; i++)
		if (at->span[i].count)
			merged |= row(p, &at->span[i], all, most);
	return merged;
}

/* ---- what makes the tail ---- */

/* The largest part that is below `below`, or -1. */
static int next_part(const struct attribution *at, const struct level *l, double below)
{
	int best = -1;
	for (size_t i = 0; i < at->spans; i++)
		if (l->part[i] < below && (best < 0 || l->part[i] > l->part[best]))
			best = (int)i;
	return best;
}

static void level_line(const struct page *p, unsigned level)
{
	const struct level *l = &p->at->level[level];
	struct facts f;
	char text[32], name[PHASE_SPAN_MAX];
	double below = 1e300;
	if (!l->n || l->total <= 0)
		return;
	facts_begin(&f, p, level ? level_name[level] : "on average");
	fact(&f, "%s", format_ns(attribution_ns(p->at, l->total), text, sizeof(text)));
	for (int k = 0; k < (wide(p) ? 4 : 3); k++) {
		int i = next_part(p->at, l, below);
		if (i < 0 || l->part[i] < 0.01 * l->total)
			break;
		below = l->part[i];
		fact(&f, "%s %.0f %%", phase_span_name(p->at->span[i].from, p->at->span[i].to, name), 100 * l->part[i] / l->total);
	}
	facts_end();
}

/* ---- what is merged, and why ---- */

static void absent_lines(const struct page *p)
{
	const struct attribution *at = p->at;
	char line[VANTAGE_TEXT_MAX + 320];
	for (unsigned b = 0; b < BOUNDARIES; b++) {
		bool told = false;
		for (unsigned i = 0; i < b; i++)
			told = told || !strcmp(at->absent[i], at->absent[b]);
		if (!at->absent[b][0] || told)
			continue;
		size_t used = 0;
		for (unsigned i = b; i < BOUNDARIES; i++)
			if (!strcmp(at->absent[i], at->absent[b]))
				used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%s", used ? ", " : "", boundary_name(i));
		snprintf(line + used, sizeof(line) - used, ": %s", at->absent[b]);
		page_text(p, "not seen", line);
	}
}

void show_phases(const struct page *p)
{
	if (!show_has_phases(p->at))
		return;
	page_heading(p, "Phases");
	bool merged = table(p);
	putchar('\n');
	for (unsigned i = 0; i < LEVELS; i++)
		level_line(p, i);
	if (merged)
		printf("  %s* merged: what lies between its two ends was not seen, or did not happen%s\n", page_ink(p, INK_DIM), page_plain(p));
	absent_lines(p);
}
