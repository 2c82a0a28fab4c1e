/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/chart/percentile.h"

#include <math.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "mine/chart/text.h"

enum {
	/* Points a nine: finer than a pixel of the largest picture would show no more. */
	POINTS_PER_NINE = 64,
	LABEL_ROW = 18,
	LABEL_GAP = 16,
};

static double last_nine(const struct stats *s)
{
	double x = stats_last_nine(s);
	return x >= 1 ? floor(x) : x;
}

static int by_value(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;
	return a < b ? -1 : a > b;
}

/* Quantiles rise with q, so limits of theirs that do not are noise: sorting them only brings them nearer to
 * the truth (Chernozhukov, Fernández-Val and Galichon, Biometrika 96, 2009). */
static int rearrange(struct curve *c)
{
	autofree double *lo = calloc(2 * c->n, sizeof(*lo));
	if (!lo)
		return -1;
	double *hi = lo + c->n;
	size_t n = 0;
	for (size_t i = 0; i < c->n; i++)
		if (c->p[i].at.supported) {
			lo[n] = c->p[i].at.lo;
			hi[n++] = c->p[i].at.hi;
		}
	qsort(lo, n, sizeof(*lo), by_value);
	qsort(hi, n, sizeof(*hi), by_value);
	for (size_t i = c->n; i-- > 0;)
		if (c->p[i].at.supported) {
			c->p[i].at.lo = lo[--n];
			c->p[i].at.hi = hi[n];
		}
	return 0;
}

int curve_init(struct curve *c, const struct series_look *look, const struct stats *s, struct error *err)
{
	*c = (struct curve){ .look = *look, .end = last_nine(s) };
	c->n = (size_t)ceil(c->end * POINTS_PER_NINE) + 1;
	c->p = calloc(c->n, sizeof(*c->p));
	if (!c->p)
		return error_set(err, ERR_LIMIT, "no memory for a curve");
	for (size_t i = 0; i < c->n; i++) {
		double x = i + 1 < c->n ? (double)i / POINTS_PER_NINE : c->end;
		c->p[i] = (struct curve_point){ .x = x, .at = stats_quantile(s, 1 - pow(10, -x)) };
	}
	if (!rearrange(c))
		return 0;
	curve_fini(c);
	return error_set(err, ERR_LIMIT, "no memory for a curve");
}

void curve_fini(struct curve *c)
{
	free(c->p);
	*c = (struct curve){ 0 };
}

struct plot {
	struct canvas *c;
	struct box area;
	struct scale x, y;
};

static void find_ranges(struct scale *x, struct scale *y, const struct curve *curves, size_t n)
{
	*x = (struct scale){ .lo = 0, .hi = 1 };
	*y = (struct scale){ .lo = INFINITY, .hi = 0, .logarithmic = true };
	for (size_t k = 0; k < n; k++) {
		x->hi = fmax(x->hi, curves[k].end);
		for (size_t i = 0; i < curves[k].n; i++) {
			const struct estimate *e = &curves[k].p[i].at;
			y->lo = fmin(y->lo, fmax(1, e->supported ? e->lo : e->value));
			y->hi = fmax(y->hi, fmax(1, e->supported ? e->hi : e->value));
		}
	}
	if (!(y->hi > 0))
		*y = (struct scale){ .lo = 1, .hi = 10, .logarithmic = true };
	scale_pad(y, 0.06);
}

static struct point at(const struct plot *p, double x, double value)
{
	return (struct point){ scale_map(&p->x, x), scale_map(&p->y, fmax(1, value)) };
}

static void draw_ribbon(const struct plot *p, const struct curve *c, struct point *upper, struct point *lower)
{
	size_t n = 0;
	for (size_t i = 0; i < c->n; i++) {
		if (!c->p[i].at.supported)
			continue;
		upper[n] = at(p, c->p[i].x, c->p[i].at.hi);
		lower[n++] = at(p, c->p[i].x, c->p[i].at.lo);
	}
	if (n > 1)
		canvas_band(p->c, upper, lower, n, colour_faded(series_colour(c->look.colour), 46));
}

static void draw_line(const struct plot *p, const struct curve *c, struct point *line)
{
	struct colour colour = series_colour(c->look.colour);
	for (size_t i = 0; i < c->n; i++)
		line[i] = at(p, c->p[i].x, c->p[i].at.value);
	canvas_polyline(p->c, line, c->n, (struct stroke){ colour, 2, c->look.dash });
}

static void draw_markers(const struct plot *p, const struct curve *c)
{
	static const double places[] = { 0.30103, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	for (size_t k = 0; k < sizeof(places) / sizeof(*places); k++)
		for (size_t i = 0; i < c->n; i++)
			if (places[k] <= c->end && fabs(c->p[i].x - places[k]) <= 0.5 / POINTS_PER_NINE) {
				canvas_marker(p->c, at(p, c->p[i].x, c->p[i].at.value), c->look.marker, 7, series_colour(c->look.colour));
				break;
			}
	if (c->n == 1)
		canvas_marker(p->c, at(p, c->p[0].x, c->p[0].at.value), c->look.marker, 8, series_colour(c->look.colour));
}

static int draw_curves(const struct plot *p, const struct curve *curves, size_t n, struct error *err)
{
	size_t most = 1;
	for (size_t k = 0; k < n; k++)
		if (curves[k].n > most)
			most = curves[k].n;
	autofree struct point *buf = calloc(2 * most, sizeof(*buf));
	if (!buf)
		return error_set(err, ERR_LIMIT, "no memory for a chart");
	for (size_t k = 0; k < n; k++)
		draw_ribbon(p, &curves[k], buf, buf + most);
	for (size_t k = 0; k < n; k++)
		draw_line(p, &curves[k], buf);
	for (size_t k = 0; k < n; k++)
		draw_markers(p, &curves[k]);
	return 0;
}

static void draw_percent_axis(const struct plot *p)
{
	static const struct text_style style = { .size = TEXT_SMALL, .anchor = TEXT_CENTRE, .colour = { 0x56, 0x5e, 0x69, 255 } };
	double bottom = p->area.y + p->area.h;
	static const double places[] = { 0, 0.30103, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	for (size_t i = 0; i < sizeof(places) / sizeof(*places) && places[i] <= p->x.hi + 1e-9; i++) {
		double x = scale_map(&p->x, places[i]);
		canvas_line(p->c, (struct point){ x, p->area.y }, (struct point){ x, bottom }, (struct stroke){ GRID, 1, 0 });
		char text[32];
		canvas_text(p->c, (struct point){ x, bottom + 6 }, &style, text_percentile(1 - pow(10, -places[i]), text, sizeof(text)));
	}
	canvas_line(p->c, (struct point){ p->area.x, bottom }, (struct point){ p->area.x + p->area.w, bottom }, (struct stroke){ FAINT, 1, 0 });
	struct text_style name = style;
	name.colour = INK;
	canvas_text(p->c, (struct point){ p->area.x + p->area.w / 2, bottom + 24 }, &name, "Percentile of requests");
}

struct end_label {
	const struct curve *curve;
	struct point end;
	double y;                    /* middle of the label */
};

static int by_height(const void *a, const void *b)
{
	double ya = ((const struct end_label *)a)->y, yb = ((const struct end_label *)b)->y;
	return ya < yb ? -1 : ya > yb;
}

/* Pushes labels apart downwards, then the whole back up where it left the plot. */
static void spread_labels(struct end_label *l, size_t n, double top, double bottom)
{
	qsort(l, n, sizeof(*l), by_height);
	double floor_y = top + LABEL_ROW / 2.0;
	for (size_t i = 0; i < n; i++) {
		l[i].y = fmax(l[i].y, floor_y);
		floor_y = l[i].y + LABEL_ROW;
	}
	double ceiling = bottom - LABEL_ROW / 2.0;
	for (size_t i = n; i-- > 0;) {
		l[i].y = fmin(l[i].y, ceiling);
		ceiling = l[i].y - LABEL_ROW;
	}
}

static int draw_end_labels(const struct plot *p, const struct curve *curves, size_t n, struct error *err)
{
	const struct text_style style = { .size = TEXT_LABEL, .colour = INK };
	autofree struct end_label *l = calloc(n, sizeof(*l));
	if (!l)
		return error_set(err, ERR_LIMIT, "no memory for labels");
	for (size_t i = 0; i < n; i++) {
		const struct curve_point *last = &curves[i].p[curves[i].n - 1];
		l[i] = (struct end_label){ .curve = &curves[i], .end = at(p, last->x, last->at.value) };
		l[i].y = l[i].end.y;
	}
	spread_labels(l, n, p->area.y, p->area.y + p->area.h);
	double x = p->area.x + p->area.w + LABEL_GAP;
	for (size_t i = 0; i < n; i++) {
		const struct series_look *look = &l[i].curve->look;
		struct colour colour = series_colour(look->colour);
		canvas_line(p->c, l[i].end, (struct point){ x - 4, l[i].y }, (struct stroke){ colour_faded(colour, 170), 1, 2 });
		canvas_marker(p->c, l[i].end, look->marker, 7, colour);
		double h = canvas_measure(p->c, &style, look->label).h;
		canvas_text(p->c, (struct point){ x, l[i].y - h / 2 }, &style, look->label);
	}
	return 0;
}

static double widest_label(struct canvas *c, const struct curve *curves, size_t n)
{
	const struct text_style style = { .size = TEXT_LABEL, .colour = INK };
	double w = 0;
	for (size_t i = 0; i < n; i++)
		w = fmax(w, canvas_measure(c, &style, curves[i].look.label).w);
	return ceil(w);
}

struct layout {
	bool key;                    /* on top, instead of labels at the lines */
	double key_height, label_width, plot_height;
};

/* Whether labels at the lines would stand so far from them that one has to trace the leaders. */
static bool labels_stray(const struct curve *curves, size_t n, struct scale y, double height)
{
	autofree struct end_label *l = calloc(n + 1, sizeof(*l));
	if (!l)
		return true;
	y.from = height;
	y.to = 0;
	for (size_t i = 0; i < n; i++) {
		l[i].end.y = scale_map(&y, fmax(1, curves[i].p[curves[i].n - 1].at.value));
		l[i].y = l[i].end.y;
	}
	spread_labels(l, n, 0, height);
	for (size_t i = 0; i < n; i++)
		if (fabs(l[i].y - l[i].end.y) > 2.5 * LABEL_ROW)
			return true;
	return false;
}

static int plan(struct layout *l, const struct chart_look *look, const struct series_look *looks, const struct curve *curves,
		size_t n, const struct scale *y, struct error *err)
{
	struct canvas *ruler = canvas_new(look->width, 1, look->scale, err);
	if (!ruler)
		return -1;
	l->label_width = widest_label(ruler, curves, n);
	l->plot_height = look->width < CHART_NARROW ? 250 : 330;
	l->key = look->width < CHART_NARROW || l->label_width > look->width * 0.3 || (double)n * LABEL_ROW > l->plot_height ||
		 labels_stray(curves, n, *y, l->plot_height);
	l->key_height = l->key ? frame_key(ruler, (struct point){ 0, 0 }, look->width - 40, looks, n, false) + 10 : 0;
	canvas_free(ruler);
	return 0;
}

static void place_plot(struct plot *p, const struct frame *f, const struct layout *l)
{
	const double axis_name = 20;
	double gutter = frame_latency_gutter(f->canvas, &p->y, l->plot_height);
	/* The last percentile's label is centred on the edge and needs half of its room beyond it. */
	double right = l->key ? 18 : l->label_width + LABEL_GAP;
	p->c = f->canvas;
	p->area = (struct box){ f->body.x + gutter, f->body.y + l->key_height + axis_name, f->body.w - gutter - right, l->plot_height };
	p->x.from = p->area.x;
	p->x.to = p->area.x + p->area.w;
	p->y.from = p->area.y + p->area.h;
	p->y.to = p->area.y;
}

struct canvas *percentile_draw(const struct chart_look *look, const struct curve *curves, size_t n, struct error *err)
{
	autofree struct series_look *looks = calloc(n ? n : 1, sizeof(*looks));
	struct layout l;
	struct frame f = { 0 };
	struct plot p;
	if (!looks) {
		error_set(err, ERR_LIMIT, "no memory for a chart");
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		looks[i] = curves[i].look;
	find_ranges(&p.x, &p.y, curves, n);
	if (plan(&l, look, looks, curves, n, &p.y, err) || frame_open(&f, look, l.key_height + 20 + l.plot_height + 44, err))
		return NULL;
	place_plot(&p, &f, &l);
	const struct text_style name = { .size = TEXT_SMALL, .colour = INK };
	canvas_text(f.canvas, (struct point){ f.body.x, f.body.y + l.key_height - 4 }, &name, "Latency (logarithmic)");
	frame_latency_axis(f.canvas, p.area, &p.y, true);
	draw_percent_axis(&p);
	int rc = draw_curves(&p, curves, n, err);
	if (l.key)
		frame_key(f.canvas, (struct point){ f.body.x, f.body.y }, f.body.w, looks, n, true);
	else if (!rc)
		rc = draw_end_labels(&p, curves, n, err);
	if (rc) {
		canvas_free(f.canvas);
		return NULL;
	}
	return f.canvas;
}
