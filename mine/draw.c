/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/draw.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/version.h"
#include "mine/chart/attribution_bar.h"
#include "mine/chart/percentile.h"
#include "mine/chart/text.h"
#include "mine/chart/timeline.h"
#include "mine/chart/waterfall.h"

/* The template's chart ready to be drawn at any size. */
struct plan {
	const struct analysis *a;
	const struct item *item;
	size_t n;                    /* groups drawn */
	struct curve *curve;
	struct timeline *timeline;
	double slice;
	char *caption;
};

char *draw_run_list(const struct analysis *a)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	uint64_t last = UINT64_MAX;
	for (size_t i = 0; i < a->data.runs; i++) {
		uint64_t run = a->data.run[i].meta.run;
		if (run != last)
			fprintf(f, "%s%llu", last == UINT64_MAX ? "" : ", ", (unsigned long long)run);
		last = run;
	}
	fclose(f);
	return text;
}

static void say_n(FILE *f, const struct plan *p)
{
	char count[64];
	if (p->n > 6) {
		double least = (double)p->a->service[0].n, most = least;
		for (size_t g = 1; g < p->n; g++) {
			double n = (double)p->a->service[g].n;
			least = n < least ? n : least;
			most = n > most ? n : most;
		}
		fprintf(f, "n = %s", text_count(least, count, sizeof(count)));
		fprintf(f, " to %s requests a configuration. ", text_count(most, count, sizeof(count)));
		return;
	}
	fputs("n = ", f);
	for (size_t g = 0; g < p->n; g++) {
		fprintf(f, "%s%s", g ? "; " : "", text_count((double)p->a->service[g].n, count, sizeof(count)));
		if (p->n > 1)
			fprintf(f, " (%s)", p->a->look[g].label);
	}
	fputs(p->n > 1 ? ". " : p->a->service[0].n == 1 ? " request. " : " requests. ", f);
}

static void say_interval(FILE *f, const struct plan *p)
{
	bool blocks = false, repeats = false;
	size_t fewest = SIZE_MAX, most = 0;
	for (size_t g = 0; g < p->n; g++) {
		const struct stats *s = &p->a->service[g];
		*(s->by_run ? &repeats : &blocks) = true;
		fewest = s->clusters < fewest ? s->clusters : fewest;
		most = s->clusters > most ? s->clusters : most;
	}
	fprintf(f, "Ribbon: %g\u00a0%% interval by order statistics over ", p->a->t->level * 100);
	if (fewest == most)
		fprintf(f, "%zu ", most);
	else
		fprintf(f, "%zu to %zu ", fewest, most);
	fputs(!repeats ? "blocks of time; it covers variation within these runs, not from boot to boot. "
	      : blocks ? "repeats, or blocks of time where there are fewer than five. " : "repeats. ", f);
}

static void say_slices(FILE *f, const struct plan *p)
{
	char width[32];
	text_tick_ns(p->slice * 1e9, width, sizeof(width));
	bool repeats = false, warm = false;
	for (size_t g = 0; g < p->n; g++) {
		repeats |= p->timeline[g].runs > 1;
		warm |= p->timeline[g].warmup > 0;
	}
	fprintf(f, "Line: median, band: p5 to p95 of the requests submitted in each slice of %s", width);
	fputs(repeats ? ", all repeats together; thin lines: each repeat’s median. " : ". ", f);
	fprintf(f, "Slices of fewer than %d requests are left out. Shaded: ramp, not counted%s.", SLICE_LEAST,
		warm ? ", and what MSER-5 takes for warm-up after it, counted" : "");
	for (size_t g = 0; g < p->n; g++)
		if (p->timeline[g].unsettled)
			fprintf(f, " MSER-5 finds no steady state in “%s”: a longer runtime may.", p->a->look[g].label);
}

/* Why a configuration with more requests may stop before one with fewer. */
static void say_ends(FILE *f, const struct plan *p)
{
	bool dot = false;
	for (size_t g = 0; g < p->n; g++)
		dot |= p->curve[g].n == 1;
	fputs("A curve ends at the last nine (99, 99.9 …) for which its requests suffice. Requests close in time resemble each other and count for fewer "
	      "independent ones, so more requests may reach less far.", f);
	if (dot)
		fputs(" A dot alone is the shortest request: too few for any percentile.", f);
}

static int write_caption(struct plan *p)
{
	size_t len;
	FILE *f = open_memstream(&p->caption, &len);
	if (!f)
		return -1;
	say_n(f, p);
	if (p->a->open_loop)
		fputs("Service time, from submission; the table has the response time too. ", f);
	if (p->item->chart == CHART_PERCENTILE) {
		say_interval(f, p);
		say_ends(f, p);
	} else {
		say_slices(f, p);
	}
	if (p->n < p->a->data.groups)
		fprintf(f, " %zu of %zu configurations are drawn; the table has all, --where narrows them.", p->n, p->a->data.groups);
	return fclose(f);
}

static bool is_of_phases(const struct item *item)
{
	return item->chart == CHART_ATTRIBUTION || item->chart == CHART_WATERFALL;
}

/* Attributions are pooled already. */
static int plan_phases(struct plan *p, struct error *err)
{
	size_t most = p->item->chart == CHART_ATTRIBUTION ? DRAW_BARS_MAX : DRAW_FALLS_MAX, all = p->a->phases.groups;
	p->n = all < most ? all : most;
	p->caption = draw_phases_caption(p->a, p->item, p->n);
	return p->caption ? 0 : error_set(err, ERR_LIMIT, "no memory for a caption");
}

static int plan_init(struct plan *p, struct error *err)
{
	const struct analysis *a = p->a;
	if (is_of_phases(p->item))
		return plan_phases(p, err);
	size_t most = p->item->chart == CHART_PERCENTILE ? DRAW_LINES_MAX : DRAW_PANELS_MAX;
	p->n = a->data.groups < most ? a->data.groups : most;
	p->curve = calloc(p->n, sizeof(*p->curve));
	p->timeline = calloc(p->n, sizeof(*p->timeline));
	if (!p->curve || !p->timeline)
		return error_set(err, ERR_LIMIT, "no memory for a chart");
	p->slice = timeline_slice(a->data.group, p->n);
	for (size_t g = 0; g < p->n; g++) {
		int rc = p->item->chart == CHART_PERCENTILE
			 ? curve_init(&p->curve[g], &a->look[g], &a->service[g], err)
			 : timeline_init(&p->timeline[g], &a->look[g], &a->data.group[g], p->slice, err);
		if (rc)
			return -1;
	}
	return write_caption(p) ? error_set(err, ERR_LIMIT, "no memory for a caption") : 0;
}

static void plan_fini(struct plan *p)
{
	for (size_t g = 0; g < p->n; g++) {
		if (p->curve)
			curve_fini(&p->curve[g]);
		if (p->timeline)
			timeline_fini(&p->timeline[g]);
	}
	free(p->curve);
	free(p->timeline);
	free(p->caption);
}

static int encode(struct png *out, const struct plan *p, struct canvas *c, struct error *err)
{
	const struct analysis *a = p->a;
	autofree char *runs = draw_run_list(a);
	char hash[20], from[160];
	snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)dataset_hash(&a->data));
	snprintf(from, sizeof(from), "%.100s %016llx", a->t->name, (unsigned long long)a->t->hash);
	const struct png_text text[] = {
		{ "Title", p->item->title },
		{ "Description", p->caption },
		{ "Software", "bifocal-mine " BIFOCAL_VERSION },
		{ "Bifocal-Runs", runs ? runs : "" },
		{ "Bifocal-Configuration", hash },
		{ "Bifocal-Template", from },
		{ "Bifocal-Version", BIFOCAL_VERSION },
	};
	return png_encode(out, c, 96.0 * DRAW_SCALE, text, sizeof(text) / sizeof(*text), err);
}

static struct canvas *draw_type(const struct plan *p, const struct chart_look *look, struct error *err)
{
	const struct phases *phases = p->a->phases.group;
	switch (p->item->chart) {
	case CHART_PERCENTILE: return percentile_draw(look, p->curve, p->n, err);
	case CHART_TIMELINE: return timeline_draw(look, p->timeline, p->n, err);
	case CHART_ATTRIBUTION: return attribution_bar_draw(look, phases, p->n, p->item->levels, err);
	case CHART_WATERFALL: break;
	}
	return waterfall_draw(look, phases, p->n, p->item->examples, err);
}

static int draw_at(struct png *out, const struct plan *p, double width, struct error *err)
{
	const struct chart_look look = {
		.title = p->item->title, .subtitle = p->a->context, .caption = p->caption, .width = width, .scale = DRAW_SCALE,
	};
	struct canvas *c = draw_type(p, &look, err);
	int rc = c ? encode(out, p, c, err) : -1;
	canvas_free(c);
	return rc;
}

int draw_chart(struct drawn *d, const struct analysis *a, const struct item *chart, struct error *err)
{
	*d = (struct drawn){ 0 };
	struct plan p = { .a = a, .item = chart };
	int rc = plan_init(&p, err);
	if (!rc)
		rc = draw_at(&d->wide, &p, DRAW_WIDE, err);
	if (!rc)
		rc = draw_at(&d->narrow, &p, DRAW_NARROW, err);
	d->caption = p.caption;
	p.caption = NULL;
	plan_fini(&p);
	if (rc)
		drawn_fini(d);
	return rc;
}

void drawn_fini(struct drawn *d)
{
	png_fini(&d->wide);
	png_fini(&d->narrow);
	free(d->caption);
	*d = (struct drawn){ 0 };
}
