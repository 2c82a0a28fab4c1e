/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/chart/timeline.h"

#include <math.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "mine/chart/text.h"

enum { HEADING = 24, AXIS = 22, GAP_X = 26, GAP_Y = 18, AXIS_NAME = 20 };

struct grid {
	struct canvas *c;
	struct box body;
	size_t columns, rows;
	double gutter, panel_w, panel_h;
	bool measured;               /* some slice gives the latency axis its range */
	struct scale x, y;
};

static const struct text_style SMALL = { .size = TEXT_SMALL, .colour = { 0x56, 0x5e, 0x69, 255 } };

static bool has_slice(const struct timeline *t)
{
	for (size_t i = 0; i < t->slices; i++)
		if (t->pooled[i].n >= SLICE_LEAST)
			return true;
	return false;
}

static void cover(struct scale *y, uint64_t ns)
{
	y->lo = fmin(y->lo, fmax(1, (double)ns));
	y->hi = fmax(y->hi, fmax(1, (double)ns));
}

static void find_ranges(struct scale *x, struct scale *y, const struct timeline *t, size_t n)
{
	*x = (struct scale){ .lo = 0, .hi = 0 };
	*y = (struct scale){ .lo = INFINITY, .hi = 0, .logarithmic = true };
	for (size_t k = 0; k < n; k++) {
		x->lo = fmin(x->lo, t[k].from);
		x->hi = fmax(x->hi, t[k].to);
		for (size_t i = 0; i < t[k].slices; i++) {
			const struct slice *s = &t[k].pooled[i];
			if (s->n < SLICE_LEAST)
				continue;
			cover(y, s->p5);
			cover(y, s->p95);
		}
		/* A repeat that is slower than the band is what one looks for: its line must not leave the plot. */
		for (size_t i = 0; i < t[k].runs * t[k].slices; i++) {
			const struct slice *s = &t[k].run[i / t[k].slices][i % t[k].slices];
			if (s->n >= SLICE_LEAST)
				cover(y, s->p50);
		}
	}
	if (!(x->hi > x->lo))
		x->hi = x->lo + 1;
	if (!(y->hi > 0))
		*y = (struct scale){ .lo = 1, .hi = 10, .logarithmic = true };
	scale_pad(y, 0.08);
}

static struct box panel_box(const struct grid *g, size_t i)
{
	size_t row = i / g->columns, column = i % g->columns;
	return (struct box){
		g->body.x + g->gutter + (double)column * (g->panel_w + GAP_X),
		g->body.y + AXIS_NAME + HEADING + (double)row * (g->panel_h + HEADING + AXIS + GAP_Y),
		g->panel_w, g->panel_h,
	};
}

static struct point at(const struct grid *g, double t, uint64_t ns)
{
	return (struct point){ scale_map(&g->x, t), scale_map(&g->y, fmax(1, (double)ns)) };
}

/* Calls draw for each stretch of slices that hold enough requests: a gap in the data is a gap in the line. */
static void each_stretch(const struct grid *g, const struct slice *s, size_t n,
			 void (*draw)(const struct grid *g, const struct slice *s, size_t n, void *ctx), void *ctx)
{
	for (size_t i = 0; i < n;) {
		size_t end = i;
		while (end < n && s[end].n >= SLICE_LEAST)
			end++;
		if (end > i)
			draw(g, s + i, end - i, ctx);
		i = end + 1;
	}
}

struct pen {
	struct point *a, *b;
	struct colour colour;
	double width;
	size_t marker;
};

static void draw_band(const struct grid *g, const struct slice *s, size_t n, void *ctx)
{
	struct pen *pen = ctx;
	for (size_t i = 0; i < n; i++) {
		pen->a[i] = at(g, s[i].at, s[i].p95);
		pen->b[i] = at(g, s[i].at, s[i].p5);
	}
	if (n > 1)
		canvas_band(g->c, pen->a, pen->b, n, pen->colour);
	else
		canvas_line(g->c, pen->a[0], pen->b[0], (struct stroke){ pen->colour, 4, 0 });
}

static void draw_median(const struct grid *g, const struct slice *s, size_t n, void *ctx)
{
	struct pen *pen = ctx;
	for (size_t i = 0; i < n; i++)
		pen->a[i] = at(g, s[i].at, s[i].p50);
	if (n > 1)
		canvas_polyline(g->c, pen->a, n, (struct stroke){ pen->colour, pen->width, 0 });
	else
		canvas_marker(g->c, pen->a[0], pen->marker, 5, pen->colour);
}

static int draw_series(const struct grid *g, const struct timeline *t, struct error *err)
{
	autofree struct point *buf = calloc(2 * t->slices, sizeof(*buf));
	if (!buf)
		return error_set(err, ERR_LIMIT, "no memory for a chart");
	struct colour colour = series_colour(t->look.colour);
	struct pen pen = { buf, buf + t->slices, colour_faded(colour, 56), 1, t->look.marker };
	each_stretch(g, t->pooled, t->slices, draw_band, &pen);
	pen.colour = colour_faded(colour, 120);
	for (size_t i = 0; i < t->runs; i++)
		each_stretch(g, t->run[i], t->slices, draw_median, &pen);
	pen.colour = colour;
	pen.width = 1.8;
	each_stretch(g, t->pooled, t->slices, draw_median, &pen);
	return 0;
}

/* Right end of what is shaded, in pixels. */
static double shade_end(const struct grid *g, const struct timeline *t)
{
	return scale_map(&g->x, t->warmup);
}

static void draw_shade(const struct grid *g, struct box b, const struct timeline *t)
{
	double left = scale_map(&g->x, t->from), end = shade_end(g, t);
	if (end - left >= 1)
		canvas_rect(g->c, (struct box){ left, b.y, end - left, b.h }, SHADE);
}

static bool between(const struct grid *g, uint64_t ns, double top, double bottom)
{
	double y = scale_map(&g->y, fmax(1, (double)ns));
	return y > top && y < bottom;
}

/* Whether a median passes between these heights in slices that begin left of `right`. */
static bool is_crossed(const struct grid *g, const struct timeline *t, double right, double top, double bottom)
{
	for (size_t i = 0; i < t->slices && scale_map(&g->x, t->from + (double)i * t->width) < right; i++) {
		if (t->pooled[i].n >= SLICE_LEAST && between(g, t->pooled[i].p50, top, bottom))
			return true;
		for (size_t k = 0; k < t->runs; k++)
			if (t->run[k][i].n >= SLICE_LEAST && between(g, t->run[k][i].p50, top, bottom))
				return true;
	}
	return false;
}

/* Names the shade, in the half that the first requests leave free; where lines pass through both, the caption has to do. */
static void name_shade(const struct grid *g, struct box b, const struct timeline *t)
{
	double left = scale_map(&g->x, t->from), zero = scale_map(&g->x, 0), end = shade_end(g, t);
	const char *word = zero - left > end - zero ? "ramp" : "warm-up";
	struct box w = canvas_measure(g->c, &SMALL, word);
	if (w.w + 8 > end - left)
		return;
	bool high = t->pooled[0].n && scale_map(&g->y, fmax(1, (double)t->pooled[0].p50)) < b.y + b.h / 2;
	double low_y = b.y + b.h - w.h - 4, high_y = b.y + 3, right = left + w.w + 8;
	double y = high ? low_y : high_y;
	if (is_crossed(g, t, right, y, y + w.h))
		y = high ? high_y : low_y;
	if (is_crossed(g, t, right, y, y + w.h))
		return;
	canvas_rect(g->c, (struct box){ left + 2, y, w.w + 4, w.h }, SHADE);
	canvas_text(g->c, (struct point){ left + 4, y }, &SMALL, word);
}

static void draw_time_axis(const struct grid *g, struct box b)
{
	struct tick ticks[TICKS_MAX];
	size_t n = scale_ticks(&g->x, (size_t)fmax(2, b.w / 60), ticks);
	struct text_style style = SMALL;
	style.anchor = TEXT_CENTRE;
	double bottom = b.y + b.h;
	for (size_t i = 0; i < n; i++) {
		double x = scale_map(&g->x, ticks[i].value);
		char text[32];
		text_tick_number(ticks[i].value, text, sizeof(text));
		canvas_line(g->c, (struct point){ x, bottom }, (struct point){ x, bottom + 4 }, (struct stroke){ FAINT, 1, 0 });
		canvas_text(g->c, (struct point){ x, bottom + 6 }, &style, text);
	}
	canvas_line(g->c, (struct point){ b.x, bottom }, (struct point){ b.x + b.w, bottom }, (struct stroke){ FAINT, 1, 0 });
}

static int draw_panel(struct grid *g, const struct timeline *t, size_t i, struct error *err)
{
	struct box b = panel_box(g, i);
	g->x.from = b.x;
	g->x.to = b.x + b.w;
	g->y.from = b.y + b.h;
	g->y.to = b.y;
	draw_shade(g, b, t);
	if (g->measured)
		frame_latency_axis(g->c, b, &g->y, i % g->columns == 0);
	if (!has_slice(t)) {
		struct text_style word = SMALL;
		word.anchor = TEXT_CENTRE;
		canvas_text(g->c, (struct point){ b.x + b.w / 2, b.y + b.h / 2 - 8 }, &word, "too few requests in every slice");
	}
	name_shade(g, b, t);
	draw_time_axis(g, b);
	canvas_clip(g->c, b);
	int rc = draw_series(g, t, err);
	canvas_unclip(g->c);
	const struct text_style style = { .size = TEXT_LABEL, .weight = TEXT_BOLD, .colour = INK, .fit = b.w - 15 };
	canvas_marker(g->c, (struct point){ b.x + 5, b.y - 12 }, t->look.marker, 8, series_colour(t->look.colour));
	double h = canvas_measure(g->c, &style, t->look.label).h;
	canvas_text(g->c, (struct point){ b.x + 15, b.y - 12 - h / 2 }, &style, t->look.label);
	return rc;
}

struct canvas *timeline_draw(const struct chart_look *look, const struct timeline *t, size_t n, struct error *err)
{
	struct grid g = { .columns = n > 1 && look->width >= CHART_NARROW ? 2 : 1 };
	g.rows = (n + g.columns - 1) / g.columns;
	g.panel_h = n == 1 ? 240 : g.columns == 1 ? 96 : 130;
	struct frame f = { 0 };
	double height = AXIS_NAME + (double)g.rows * (g.panel_h + HEADING + AXIS + GAP_Y) - GAP_Y + 18;
	if (frame_open(&f, look, height, err))
		return NULL;
	find_ranges(&g.x, &g.y, t, n);
	for (size_t i = 0; i < n; i++)
		g.measured |= has_slice(&t[i]);
	g.c = f.canvas;
	g.body = f.body;
	g.gutter = frame_latency_gutter(g.c, &g.y, g.panel_h);
	g.panel_w = (f.body.w - g.gutter - (double)(g.columns - 1) * GAP_X - 8) / (double)g.columns;
	struct text_style name = SMALL;
	name.colour = INK;
	canvas_text(g.c, (struct point){ f.body.x, f.body.y - 2 }, &name, "Latency (logarithmic)");
	int rc = 0;
	for (size_t i = 0; i < n && !rc; i++)
		rc = draw_panel(&g, &t[i], i, err);
	name.anchor = TEXT_CENTRE;
	struct point below = { f.body.x + g.gutter + (f.body.w - g.gutter) / 2, f.body.y + height - 14 };
	canvas_text(g.c, below, &name, "Seconds since counting began");
	if (rc) {
		canvas_free(g.c);
		return NULL;
	}
	return g.c;
}
