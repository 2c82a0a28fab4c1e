/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/chart/attribution_bar.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "mine/chart/phase_look.h"
#include "mine/chart/text.h"
#include "mine/emit.h"

enum {
	HEADING = 24, LABEL = 18, STRIP = 9, BAR = 24, LEADERS = 30, AXIS = 24, PANEL_GAP = 20, KEY_GAP = 16, RIGHT = 14,
	NAME_MAX_BYTES = 160,
	/* A leader's label stands no farther from its segment than this, or it is not found; a crossing's may stray, for the sake of its bound. */
	LEADER_REACH = 70, CROSSING_REACH = 140, LEADER_GAP = 8,
};
/* Below this share of every bar a phase is in the table, not in the key. */
static const double KEY_SHARE = 0.005;
/* Slimmer segments, in pixels, are not worth a leader; crossings are, for the sake of their bound. */
static const double LEADER_LEAST = 2;

struct bars {
	struct canvas *c;
	const struct phases *p;
	size_t n;
	struct box plot;             /* of one bar */
	struct scale x;
	double row;                  /* height of a configuration's row */
};

static const struct text_style SMALL = { .size = TEXT_SMALL, .colour = { 0x56, 0x5e, 0x69, 255 } };

/* ---- what is drawn ---- */

static double stacked(const struct phases *p, size_t level, bool negative)
{
	double sum = 0;
	for (size_t i = 0; i < p->spans; i++) {
		double v = p->span[i].part[level];
		if (negative ? v < 0 : v > 0)
			sum += v;
	}
	return sum;
}

static struct scale level_scale(const struct phases *p, size_t n, size_t level)
{
	struct scale x = { .lo = 0, .hi = 0 };
	for (size_t g = 0; g < n; g++) {
		if (!p[g].level[level].runs)
			continue;
		x.lo = fmin(x.lo, stacked(&p[g], level, true));
		x.hi = fmax(x.hi, fmax(stacked(&p[g], level, false), p[g].level[level].most));
	}
	/* An interval over few repeats may be many times the bar: it is cut rather than the bars made small. */
	double longest = x.hi;
	for (size_t g = 0; g < n; g++)
		if (p[g].level[level].runs && p[g].level[level].total.supported)
			x.hi = fmax(x.hi, fmin(p[g].level[level].total.hi, 1.25 * longest));
	if (!(x.hi > 0))
		x.hi = 1;
	x.hi *= 1.02;
	return x;
}

/* The spans of all configurations, each once, and which of them the key names. */
struct key_list {
	struct phases_span span[SPANS_MAX];
	bool drawn[SPANS_MAX];
	size_t n;
};

static bool worth_a_key(const struct phases *p, size_t n, unsigned levels, unsigned from, unsigned to)
{
	for (size_t g = 0; g < n; g++)
		for (size_t i = 0; i < p[g].spans; i++)
			for (size_t k = 0; k < LEVELS; k++) {
				const struct phases_span *s = &p[g].span[i];
				double total = p[g].level[k].total.value;
				if (s->from == from && s->to == to && levels & 1U << k && fabs(s->part[k]) >= KEY_SHARE * total && total > 0)
					return true;
			}
	return false;
}

static const struct phases_span *find_span(const struct phases *p, size_t n, unsigned from, unsigned to)
{
	for (size_t g = 0; g < n; g++)
		for (size_t i = 0; i < p[g].spans; i++)
			if (p[g].span[i].from == from && p[g].span[i].to == to)
				return &p[g].span[i];
	return NULL;
}

static void list_key(struct key_list *l, const struct phases *p, size_t n, unsigned levels)
{
	l->n = 0;
	for (unsigned from = 0; from < BOUNDARIES; from++)
		for (unsigned to = from + 1; to < BOUNDARIES; to++) {
			const struct phases_span *s = find_span(p, n, from, to);
			if (!s)
				continue;
			l->span[l->n] = *s;
			l->drawn[l->n++] = worth_a_key(p, n, levels, from, to);
		}
}

/* ---- labels ---- */

/* "cross.kick 12.4 ± 0.5 µs" */
static void phase_text_of(const struct phases_span *s, size_t level, char *dst, size_t cap)
{
	char value[128];
	snprintf(dst, cap, "%s %s", s->name, phases_value_text(s, s->part[level], value, sizeof(value)));
}

struct segment {
	const struct phases_span *s;
	double left, right;          /* pixels */
	double at;                   /* left end of its leader's label, where it has one */
	double width;                /* of that label */
	char text[NAME_MAX_BYTES];
	bool inside;
	bool weighs;                 /* KEY_SHARE of the bar at least */
};

/* Words on a segment, when they fit: name and value, or the name. */
static void write_inside(const struct bars *b, struct segment *g)
{
	const struct phase_look look = phase_look(g->s->from, g->s->to);
	struct text_style style = { .size = TEXT_SMALL, .anchor = TEXT_CENTRE, .colour = look.text };
	double room = g->right - g->left - 8;
	const char *text = g->text;
	struct box m = canvas_measure(b->c, &style, text);
	/* A crossing's label is its bound: without it, it goes to a leader. */
	if (m.w > room && !g->s->crosses) {
		text = g->s->name;
		m = canvas_measure(b->c, &style, text);
	}
	if (m.w > room)
		return;
	g->inside = true;
	double middle = (g->left + g->right) / 2, y = b->plot.y + (b->plot.h - m.h) / 2;
	if (look.hatched)
		canvas_rect(b->c, (struct box){ middle - m.w / 2 - 3, y, m.w + 6, m.h }, look.fill);
	canvas_text(b->c, (struct point){ middle, y }, &style, text);
}

static double wanted_at(const struct segment *g)
{
	return (g->left + g->right - g->width) / 2;
}

/*
 * Places the labels under the bar that are `chosen`, in the segments' order, so that no leader crosses another, as near to
 * their segments as the others allow in the mean: isotonic regression by pooling adjacent violators, after the widths before
 * each are taken off. False when some label would stand out of reach, or they do not fit.
 */
static bool place_leaders(const struct bars *b, struct segment *seg, const bool *chosen, size_t n)
{
	double u[SPANS_MAX], offset[SPANS_MAX], used = 0;
	size_t index[SPANS_MAX], weight[SPANS_MAX], blocks = 0, m = 0;
	for (size_t i = 0; i < n; i++) {
		if (!chosen[i])
			continue;
		index[m] = i;
		offset[m] = used;
		used += seg[i].width + LEADER_GAP;
		u[blocks] = wanted_at(&seg[i]) - offset[m++];
		weight[blocks++] = 1;
		for (; blocks > 1 && u[blocks - 1] < u[blocks - 2]; blocks--) {
			size_t w = weight[blocks - 1] + weight[blocks - 2];
			u[blocks - 2] = (u[blocks - 1] * (double)weight[blocks - 1] + u[blocks - 2] * (double)weight[blocks - 2]) / (double)w;
			weight[blocks - 2] = w;
		}
	}
	double lo = b->plot.x, hi = b->plot.x + b->plot.w + RIGHT - (used - LEADER_GAP);
	if (hi < lo)
		return false;
	for (size_t k = 0, i = 0; k < blocks; k++)
		for (size_t end = i + weight[k]; i < end; i++) {
			struct segment *g = &seg[index[i]];
			g->at = fmin(fmax(u[k], lo), hi) + offset[i];
			double middle = (g->left + g->right) / 2, reach = g->s->crosses ? CROSSING_REACH : LEADER_REACH;
			if (middle < g->at - reach || middle > g->at + g->width + reach)
				return false;
		}
	return true;
}

/* Crossings slimmer than a leader is worth, too, for the sake of their bound; not those that nobody would look for. */
static bool wants_leader(const struct segment *g)
{
	return !g->inside && (g->right - g->left >= LEADER_LEAST || (g->s->crosses && g->weighs));
}

static void draw_leader(const struct bars *b, const struct segment *g)
{
	double middle = (g->left + g->right) / 2, bottom = b->plot.y + b->plot.h;
	double foot = fmin(fmax(middle, g->at + 4), g->at + g->width - 4);
	canvas_polyline(b->c, (const struct point[]){ { middle, bottom }, { middle, bottom + 2 }, { foot, bottom + 7 } }, 3, (struct stroke){ FAINT, 1, 0 });
	struct text_style style = SMALL;
	style.colour = INK;
	canvas_text(b->c, (struct point){ g->at, bottom + 7 }, &style, g->text);
}

/* The next to be asked: crossings first, for the sake of their bound, then by size. */
static size_t next_leader(const struct segment *seg, const bool *asked, size_t n)
{
	size_t best = SIZE_MAX;
	for (size_t i = 0; i < n; i++) {
		if (asked[i] || !wants_leader(&seg[i]))
			continue;
		double w = seg[i].right - seg[i].left, most = best == SIZE_MAX ? 0 : seg[best].right - seg[best].left;
		bool before = best != SIZE_MAX && seg[i].s->crosses != seg[best].s->crosses ? seg[i].s->crosses : w > most;
		if (best == SIZE_MAX || before)
			best = i;
	}
	return best;
}

/* What finds no place has the key and the table. */
static void write_leaders(const struct bars *b, struct segment *seg, size_t n)
{
	bool chosen[SPANS_MAX] = { false }, asked[SPANS_MAX] = { false };
	for (size_t i = next_leader(seg, asked, n); i != SIZE_MAX; i = next_leader(seg, asked, n)) {
		asked[i] = chosen[i] = true;
		chosen[i] = place_leaders(b, seg, chosen, n);
	}
	place_leaders(b, seg, chosen, n);
	for (size_t i = 0; i < n; i++)
		if (chosen[i])
			draw_leader(b, &seg[i]);
}

/* ---- one bar ---- */

/* Positive parts from zero to the right, negative ones from zero to the left, both in the order of a request's life. */
static size_t lay_segments(const struct bars *b, const struct phases *p, size_t level, struct segment seg[SPANS_MAX])
{
	double up = 0, down = 0;
	size_t n = 0;
	for (size_t i = 0; i < p->spans; i++) {
		const struct phases_span *s = &p->span[i];
		double v = s->part[level], *from = v < 0 ? &down : &up;
		/* Not a value that it does not have: nothing of this level's requests went that way. */
		if (v > 0 || v < 0) {
			double one = scale_map(&b->x, *from), other = scale_map(&b->x, *from + v);
			seg[n] = (struct segment){ .s = s, .left = fmin(one, other), .right = fmax(one, other),
				.weighs = fabs(v) >= KEY_SHARE * p->level[level].total.value };
			phase_text_of(s, level, seg[n].text, sizeof(seg[n].text));
			seg[n].width = canvas_measure(b->c, &SMALL, seg[n].text).w;
			*from += v;
			n++;
		}
	}
	return n;
}

static int by_left(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;
	return x->left < y->left ? -1 : x->left > y->left ? 1 : x->right < y->right ? -1 : x->right > y->right;
}

static void draw_segments(const struct bars *b, const struct segment *seg, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct phase_look look = phase_look(seg[i].s->from, seg[i].s->to);
		double w = seg[i].right - seg[i].left;
		/* A gap of paper between segments, where there is room for one. */
		double gap = w > 4 ? 1 : 0;
		phase_box(b->c, (struct box){ seg[i].left, b->plot.y, w - gap, b->plot.h }, &look);
	}
}

/* Above the bar, where no words are: a dot a run, and the interval of their mean. */
static void draw_runs(const struct bars *b, const struct phases *p, size_t level)
{
	const struct phases_level *l = &p->level[level];
	double y = b->plot.y - STRIP / 2.0, edge = b->plot.x + b->plot.w;
	const struct stroke line = { INK, 1.2, 0 };
	if (l->runs < 2)
		return;
	if (l->total.supported) {
		double lo = fmax(b->plot.x, scale_map(&b->x, l->total.lo)), hi = scale_map(&b->x, l->total.hi);
		canvas_line(b->c, (struct point){ lo, y }, (struct point){ fmin(hi, edge), y }, line);
		canvas_line(b->c, (struct point){ lo, y - 3 }, (struct point){ lo, y + 3 }, line);
		/* Without an end where the edge cuts it. */
		if (hi <= edge)
			canvas_line(b->c, (struct point){ hi, y - 3 }, (struct point){ hi, y + 3 }, line);
	}
	for (size_t r = 0; r < p->runs; r++)
		if (p->run[r].of->level[level].n)
			canvas_marker(b->c, (struct point){ scale_map(&b->x, attribution_ns(p->run[r].of, p->run[r].of->level[level].total)), y }, 0, 4.5, INK);
}

/* "virtio-blk, iothread on          1.21 ms  1.15–1.27  n = 240" */
static void write_label(const struct bars *b, const struct phases *p, size_t level, double y)
{
	const struct phases_level *l = &p->level[level];
	char value[96], limits[96], count[64], rest[256];
	double right = b->plot.x + b->plot.w, w = 0;
	struct text_style total = { .size = TEXT_LABEL, .weight = TEXT_BOLD, .anchor = TEXT_RIGHT, .colour = INK }, more = SMALL;
	more.anchor = TEXT_RIGHT;
	if (l->runs) {
		text_estimate_ns(l->total, value, sizeof(value), limits, sizeof(limits));
		snprintf(rest, sizeof(rest), "%s%sn\u00a0=\u00a0%s", limits, *limits ? "   " : "", text_count((double)l->n, count, sizeof(count)));
	} else {
		snprintf(value, sizeof(value), "n too small");
		snprintf(rest, sizeof(rest), "n\u00a0=\u00a0%s", text_count((double)p->matched, count, sizeof(count)));
		total.weight = TEXT_PLAIN;
		total.colour = MUTED;
	}
	struct box m = canvas_text(b->c, (struct point){ right, y + 2 }, &more, rest);
	w = m.w + 10;
	m = canvas_text(b->c, (struct point){ right - w, y }, &total, value);
	const struct text_style name = { .size = TEXT_LABEL, .colour = INK, .fit = b->plot.w - w - m.w - 12 };
	canvas_text(b->c, (struct point){ b->plot.x, y }, &name, p->label);
}

static int draw_bar(struct bars *b, const struct phases *p, size_t level, double y, struct error *err)
{
	autofree struct segment *seg = calloc(SPANS_MAX, sizeof(*seg));
	if (!seg)
		return error_set(err, ERR_LIMIT, "no memory for a chart");
	b->plot.y = y + LABEL + STRIP;
	write_label(b, p, level, y);
	if (!p->level[level].runs) {
		canvas_rect(b->c, b->plot, SHADE);
		return 0;
	}
	size_t n = lay_segments(b, p, level, seg);
	qsort(seg, n, sizeof(*seg), by_left);
	draw_segments(b, seg, n);
	for (size_t i = 0; i < n; i++)
		write_inside(b, &seg[i]);
	draw_runs(b, p, level);
	/* Where a negative part shows, the bar's end is not the total. */
	if (scale_map(&b->x, 0) - scale_map(&b->x, stacked(p, level, true)) >= 0.5) {
		double x = scale_map(&b->x, p->level[level].total.value);
		canvas_line(b->c, (struct point){ x, b->plot.y - 3 }, (struct point){ x, b->plot.y + b->plot.h + 3 }, (struct stroke){ INK, 2, 0 });
	}
	write_leaders(b, seg, n);
	return 0;
}

/* ---- one panel ---- */

static void draw_axis(const struct bars *b, double top, double bottom)
{
	struct tick ticks[TICKS_MAX];
	size_t n = scale_ticks(&b->x, (size_t)fmax(3, b->plot.w / 90), ticks);
	struct text_style style = SMALL;
	style.anchor = TEXT_CENTRE;
	for (size_t i = 0; i < n; i++) {
		double x = scale_map(&b->x, ticks[i].value);
		char text[40];
		canvas_line(b->c, (struct point){ x, top }, (struct point){ x, bottom }, (struct stroke){ fabs(ticks[i].value) > 0 ? GRID : FAINT, 1, 0 });
		canvas_line(b->c, (struct point){ x, bottom }, (struct point){ x, bottom + 4 }, (struct stroke){ FAINT, 1, 0 });
		if (fabs(ticks[i].value) > 0)
			text_tick_ns(fabs(ticks[i].value), text + 3, sizeof(text) - 3);
		else
			snprintf(text + 3, sizeof(text) - 3, "0");
		/* A true minus sign, three bytes. */
		const char *label = ticks[i].value < 0 ? memcpy(text, "−", 3) : text + 3;
		double w = canvas_measure(b->c, &style, label).w;
		double at = fmin(fmax(x, 20 + w / 2), canvas_width(b->c) - 20 - w / 2);
		canvas_text(b->c, (struct point){ at, bottom + 6 }, &style, label);
	}
	canvas_line(b->c, (struct point){ b->plot.x, bottom }, (struct point){ b->plot.x + b->plot.w, bottom }, (struct stroke){ FAINT, 1, 0 });
}

static void write_heading(const struct bars *b, size_t level, double y)
{
	static const char *const what[LEVELS] = {
		"all requests", "requests around the median", "requests around the 99th percentile", "requests around the 99.9th percentile",
	};
	const struct text_style bold = { .size = TEXT_LABEL, .weight = TEXT_BOLD, .colour = INK };
	const char *name = level == LEVEL_MEAN ? "Mean" : level_name[level];
	double w = canvas_text(b->c, (struct point){ b->plot.x, y }, &bold, name).w;
	canvas_text(b->c, (struct point){ b->plot.x + w + 8, y + 2 }, &SMALL, what[level]);
}

static double panel_height(const struct bars *b)
{
	return HEADING + (double)b->n * b->row + AXIS;
}

static int draw_panel(struct bars *b, size_t level, double y, struct error *err)
{
	b->x = level_scale(b->p, b->n, level);
	b->x.from = b->plot.x;
	b->x.to = b->plot.x + b->plot.w;
	write_heading(b, level, y);
	double top = y + HEADING, bottom = top + (double)b->n * b->row;
	bool any = false;
	for (size_t g = 0; g < b->n; g++)
		any |= b->p[g].level[level].runs > 0;
	if (any)
		draw_axis(b, top, bottom);
	for (size_t g = 0; g < b->n; g++) {
		double at = top + (double)g * b->row;
		/* Words do not stand on grid lines. */
		if (any) {
			canvas_rect(b->c, (struct box){ b->plot.x - 1, at, b->plot.w + 1, LABEL + STRIP }, PAPER);
			canvas_rect(b->c, (struct box){ b->plot.x - 1, at + LABEL + STRIP + BAR, b->plot.w + 1, LEADERS }, PAPER);
		}
		if (draw_bar(b, &b->p[g], level, at, err))
			return -1;
	}
	return 0;
}

/* ---- the chart ---- */

static double key_height(const struct chart_look *look, const struct key_list *l, struct error *err)
{
	struct canvas *ruler = canvas_new(look->width, 1, look->scale, err);
	if (!ruler)
		return NAN;
	double h = phase_key(ruler, (struct point){ 0, 0 }, look->width - 40, l->span, l->drawn, l->n, false);
	canvas_free(ruler);
	return h > 0 ? h + KEY_GAP : 0;
}

static size_t count_bits(unsigned levels)
{
	size_t n = 0;
	for (size_t k = 0; k < LEVELS; k++)
		n += levels >> k & 1;
	return n;
}

struct canvas *attribution_bar_draw(const struct chart_look *look, const struct phases *p, size_t n, unsigned levels, struct error *err)
{
	autofree struct key_list *l = calloc(1, sizeof(*l));
	struct bars b = { .p = p, .n = n, .row = LABEL + STRIP + BAR + LEADERS };
	struct frame f = { 0 };
	if (!l) {
		error_set(err, ERR_LIMIT, "no memory for a chart");
		return NULL;
	}
	list_key(l, p, n, levels);
	double key = key_height(look, l, err), panels = (double)count_bits(levels);
	double height = key + panels * panel_height(&b) + (panels - 1) * PANEL_GAP;
	if (isnan(key) || frame_open(&f, look, n ? height : 24, err))
		return NULL;
	b.c = f.canvas;
	b.plot = (struct box){ f.body.x, 0, f.body.w - RIGHT, BAR };
	if (!n)
		canvas_text(b.c, (struct point){ f.body.x, f.body.y }, &SMALL, "No run here could be attributed.");
	phase_key(b.c, (struct point){ f.body.x, f.body.y }, f.body.w, l->span, l->drawn, l->n, true);
	double y = f.body.y + key;
	int rc = 0;
	for (size_t k = 0; k < LEVELS && n && !rc; k++) {
		if (!(levels >> k & 1))
			continue;
		rc = draw_panel(&b, k, y, err);
		y += panel_height(&b) + PANEL_GAP;
	}
	if (!rc)
		return b.c;
	canvas_free(b.c);
	return NULL;
}
