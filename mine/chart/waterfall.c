/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/chart/waterfall.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "mine/chart/phase_look.h"
#include "mine/chart/text.h"
#include "mine/emit.h"

enum { ROW = 17, BAR = 11, NAMES = 24, HEADING = 40, AXIS = 24, PANEL_GAP = 18, COLUMN_GAP = 24, RIGHT = 12, SWATCH_GAP = 8, VALUE_GAP = 5 };

/* A phase that some request here has. */
struct row {
	uint8_t from, to;
	char name[PHASE_SPAN_MAX];
};

struct fall {
	struct canvas *c;
	const struct phases *p;
	size_t n, columns, rows;
	struct row row[SPANS_MAX];
	unsigned roles;
	double gutter;
	struct box plot;             /* of the panel being drawn */
	struct scale x;
};

static const struct text_style SMALL = { .size = TEXT_SMALL, .colour = { 0x56, 0x5e, 0x69, 255 } };

static const struct attributed *example_of(const struct phases *p, enum example_role role, const struct phases_run **run)
{
	*run = phases_example(p, role);
	return *run ? &(*run)->of->example[role].r : NULL;
}

/* The end of the request's span that begins at `from`; 0 when none does. */
static unsigned span_end(const struct attributed *r, unsigned from)
{
	if (!(r->seen >> from & 1))
		return 0;
	for (unsigned to = from + 1; to < BOUNDARIES; to++)
		if (r->seen >> to & 1)
			return to;
	return 0;
}

/* ns from submission; the difference is taken in integers, for stamps have 64 bits. */
static double since_submit(const struct phases_run *run, const struct attributed *r, unsigned boundary)
{
	return attribution_ns(run->of, (double)(int64_t)(r->at[boundary] - r->at[AT_APP_SUBMIT]));
}

static bool has_row(const struct fall *f, unsigned from, unsigned to)
{
	const struct phases_run *run;
	for (size_t g = 0; g < f->n; g++)
		for (unsigned role = 0; role < EXAMPLES; role++) {
			const struct attributed *r = f->roles >> role & 1 ? example_of(&f->p[g], (enum example_role)role, &run) : NULL;
			if (r && span_end(r, from) == to)
				return true;
		}
	return false;
}

static void list_rows(struct fall *f)
{
	for (unsigned from = 0; from < BOUNDARIES; from++)
		for (unsigned to = from + 1; to < BOUNDARIES; to++) {
			if (!has_row(f, from, to))
				continue;
			struct row *row = &f->row[f->rows++];
			row->from = (uint8_t)from;
			row->to = (uint8_t)to;
			phase_span_name(from, to, row->name);
		}
}

/* ---- words ---- */

/* "shared guest_kick; split into 2": what was not plain about the request. */
static void say_oddities(FILE *f, const struct attributed *r)
{
	bool first = true;
	for (unsigned b = 0; b < BOUNDARIES; b++)
		if (r->suppressed >> b & 1) {
			fprintf(f, "%s%s", first ? "; shared " : ", ", boundary_name(b));
			first = false;
		}
	if (r->children > 1)
		fprintf(f, "; split into %u", r->children);
	if (r->shared > 1)
		fprintf(f, "; merged with %u other%s", r->shared - 1U, r->shared > 2 ? "s" : "");
	if (r->requeues)
		fprintf(f, "; requeued %u×", r->requeues);
	if (r->served != SERVED_DEVICE && r->served != SERVED_UNKNOWN)
		fprintf(f, "; served from %s", served_name(r->served));
	if (r->violations)
		fprintf(f, "; %u causality violation%s", r->violations, r->violations > 1 ? "s" : "");
}

static char *describe(const struct phases_run *run, const struct attributed *r)
{
	static const char *const op[] = { [IO_READ] = "read", [IO_WRITE] = "write", [IO_FLUSH] = "flush", [IO_DISCARD] = "discard" };
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	fprintf(f, "run %llu, #%llu, %s", (unsigned long long)run->run->meta.run, (unsigned long long)r->index,
		r->io.op < sizeof(op) / sizeof(*op) && op[r->io.op] ? op[r->io.op] : "request");
	if (r->io.length % 1024 == 0 && r->io.length)
		fprintf(f, " of %lu KiB", (unsigned long)r->io.length / 1024);
	else if (r->io.length)
		fprintf(f, " of %lu bytes", (unsigned long)r->io.length);
	say_oddities(f, r);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

static void value_text(const struct phases_run *run, const struct attributed *r, const struct row *row, char *dst, size_t cap)
{
	double ns = since_submit(run, r, row->to) - since_submit(run, r, row->from);
	uint64_t cycles = attributed_bound(r, row->from, row->to);
	struct phases_span s = { .bound_ns = attribution_ns(run->of, (double)cycles), .tick = cycles <= 1,
				 .crosses = phase_crosses(row->from, row->to) };
	phases_value_text(&s, ns, dst, cap);
}

/* ---- one panel ---- */

static void draw_axis(const struct fall *f)
{
	struct tick ticks[TICKS_MAX];
	size_t n = scale_ticks(&f->x, (size_t)fmax(3, f->plot.w / 70), ticks);
	struct text_style style = SMALL;
	double bottom = f->plot.y + f->plot.h;
	style.anchor = TEXT_CENTRE;
	for (size_t i = 0; i < n; i++) {
		double x = scale_map(&f->x, ticks[i].value);
		char text[40] = "0";
		canvas_line(f->c, (struct point){ x, f->plot.y }, (struct point){ x, bottom + 4 }, (struct stroke){ GRID, 1, 0 });
		if (ticks[i].value < 0)
			continue;
		if (ticks[i].value > 0)
			text_tick_ns(ticks[i].value, text, sizeof(text));
		double w = canvas_measure(f->c, &style, text).w, edge = f->plot.x + f->plot.w + RIGHT;
		canvas_text(f->c, (struct point){ fmin(x, edge - w / 2), bottom + 6 }, &style, text);
	}
	canvas_line(f->c, (struct point){ f->plot.x, bottom }, (struct point){ f->plot.x + f->plot.w, bottom }, (struct stroke){ FAINT, 1, 0 });
}

/* To the right of its bar, or to the left where there is more room; on the bar where it fills the panel. */
static void write_value(const struct fall *f, double left, double right, double middle, struct phase_look look, const char *text)
{
	struct text_style style = SMALL;
	struct box m = canvas_measure(f->c, &style, text);
	double y = middle - m.h / 2;
	style.colour = INK;
	if (right + VALUE_GAP + m.w <= f->plot.x + f->plot.w + RIGHT) {
		canvas_text(f->c, (struct point){ right + VALUE_GAP, y }, &style, text);
	} else if (left - VALUE_GAP - m.w >= f->plot.x) {
		canvas_text(f->c, (struct point){ left - VALUE_GAP - m.w, y }, &style, text);
	} else {
		style.colour = look.text;
		double x = fmax(f->plot.x, fmin((left + right) / 2 - m.w / 2, f->plot.x + f->plot.w + RIGHT - m.w));
		canvas_rect(f->c, (struct box){ x - 3, middle - BAR / 2.0, m.w + 6, BAR }, look.fill);
		canvas_text(f->c, (struct point){ x, y }, &style, text);
	}
}

static void draw_span(const struct fall *f, const struct phases_run *run, const struct attributed *r, size_t i)
{
	const struct row *row = &f->row[i];
	double middle = f->plot.y + ROW * ((double)i + 0.5);
	if (span_end(r, row->from) != row->to)
		return;
	double a = scale_map(&f->x, since_submit(run, r, row->from)), b = scale_map(&f->x, since_submit(run, r, row->to));
	struct phase_look look = phase_look(row->from, row->to);
	double left = fmin(a, b), right = fmax(fmax(a, b), left + 1.5);
	phase_box(f->c, (struct box){ left, middle - BAR / 2.0, right - left, BAR }, &look);
	char text[220];
	value_text(run, r, row, text, sizeof(text));
	write_value(f, left, right, middle, look, text);
}

/* Where one bar ends the next begins: a thin line leads the eye. */
static void draw_steps(const struct fall *f, const struct phases_run *run, const struct attributed *r)
{
	double last = NAN;
	for (size_t i = 0; i < f->rows; i++) {
		if (span_end(r, f->row[i].from) != f->row[i].to)
			continue;
		double x = scale_map(&f->x, since_submit(run, r, f->row[i].from)), y = f->plot.y + ROW * ((double)i + 0.5);
		if (!isnan(last))
			canvas_line(f->c, (struct point){ x, last }, (struct point){ x, y }, (struct stroke){ FAINT, 1, 0 });
		last = y;
	}
}

static int write_heading(const struct fall *f, const struct phases_run *run, const struct attributed *r, enum example_role role, double y,
			 struct error *err)
{
	static const char *const name[EXAMPLES] = { "Typical", "p99", "Worst", "Causality violated" };
	const struct text_style bold = { .size = TEXT_LABEL, .weight = TEXT_BOLD, .colour = INK }, plain = { .size = TEXT_LABEL, .colour = INK };
	double w = canvas_text(f->c, (struct point){ f->plot.x, y }, &bold, name[role]).w;
	if (!r) {
		canvas_text(f->c, (struct point){ f->plot.x, y + 18 }, &SMALL, "no such request");
		return 0;
	}
	char total[96];
	autofree char *text = describe(run, r);
	if (!text)
		return error_set(err, ERR_LIMIT, "no memory for a chart");
	text_estimate_ns((struct estimate){ .value = since_submit(run, r, AT_APP_REAP) }, total, sizeof(total), NULL, 0);
	canvas_text(f->c, (struct point){ f->plot.x + w + 8, y }, &plain, total);
	struct text_style more = SMALL;
	more.fit = f->plot.w + RIGHT;
	canvas_text(f->c, (struct point){ f->plot.x, y + 18 }, &more, text);
	return 0;
}

static void write_names(const struct fall *f, double x)
{
	const struct text_style style = { .size = TEXT_SMALL, .colour = INK };
	for (size_t i = 0; i < f->rows; i++) {
		struct phase_look look = phase_look(f->row[i].from, f->row[i].to);
		double middle = f->plot.y + ROW * ((double)i + 0.5), h = canvas_measure(f->c, &style, f->row[i].name).h;
		phase_box(f->c, (struct box){ x, middle - 4, 8, 8 }, &look);
		canvas_text(f->c, (struct point){ x + 8 + SWATCH_GAP, middle - h / 2 }, &style, f->row[i].name);
	}
}

static void draw_stripes(const struct fall *f)
{
	for (size_t i = 0; i < f->rows; i += 2)
		canvas_rect(f->c, (struct box){ f->plot.x, f->plot.y + ROW * (double)i, f->plot.w + RIGHT, ROW }, SHADE);
}

static int draw_panel(struct fall *f, size_t g, enum example_role role, double y, struct error *err)
{
	const struct phases_run *run;
	const struct attributed *r = example_of(&f->p[g], role, &run);
	f->plot.y = y + HEADING;
	if (write_heading(f, run, r, role, y, err) || !r)
		return r ? -1 : 0;
	draw_stripes(f);
	draw_axis(f);
	draw_steps(f, run, r);
	for (size_t i = 0; i < f->rows; i++)
		draw_span(f, run, r, i);
	return 0;
}

/* ---- the chart ---- */

static struct scale role_scale(const struct fall *f, size_t first, enum example_role role)
{
	struct scale x = { .lo = 0, .hi = 0 };
	for (size_t g = first; g < first + f->columns && g < f->n; g++) {
		const struct phases_run *run;
		const struct attributed *r = example_of(&f->p[g], role, &run);
		for (unsigned b = 0; r && b < BOUNDARIES; b++) {
			if (!(r->seen >> b & 1))
				continue;
			x.lo = fmin(x.lo, since_submit(run, r, b));
			x.hi = fmax(x.hi, since_submit(run, r, b));
		}
	}
	if (!(x.hi > 0))
		x.hi = 1;
	return x;
}

static double panel_height(const struct fall *f)
{
	return HEADING + (double)f->rows * ROW + AXIS;
}

static size_t count_roles(unsigned roles)
{
	size_t n = 0;
	for (unsigned k = 0; k < EXAMPLES; k++)
		n += roles >> k & 1;
	return n;
}

/* Room for the names and their swatches, left of the first column. */
static double measure_gutter(const struct chart_look *look, const struct fall *f, struct error *err)
{
	const struct text_style style = { .size = TEXT_SMALL, .colour = INK };
	struct canvas *ruler = canvas_new(look->width, 1, look->scale, err);
	double w = 0;
	if (!ruler)
		return NAN;
	for (size_t i = 0; i < f->rows; i++)
		w = fmax(w, canvas_measure(ruler, &style, f->row[i].name).w);
	canvas_free(ruler);
	return ceil(w) + 8 + SWATCH_GAP + 12;
}

static double block_height(const struct fall *f)
{
	return NAMES + (double)count_roles(f->roles) * (panel_height(f) + PANEL_GAP);
}

/* One row of configurations with all their requests. */
static int draw_block(struct fall *f, const struct box *body, size_t first, double y, struct error *err)
{
	double w = (body->w - f->gutter - (double)(f->columns - 1) * COLUMN_GAP) / (double)f->columns;
	for (size_t k = 0; k < f->columns && first + k < f->n; k++) {
		double x = body->x + f->gutter + (double)k * (w + COLUMN_GAP);
		const struct text_style style = { .size = TEXT_LABEL, .weight = TEXT_BOLD, .colour = MUTED, .fit = w };
		canvas_text(f->c, (struct point){ x, y }, &style, f->p[first + k].label);
	}
	y += NAMES;
	for (unsigned role = 0; role < EXAMPLES; role++) {
		if (!(f->roles >> role & 1))
			continue;
		bool any = false;
		f->x = role_scale(f, first, (enum example_role)role);
		for (size_t k = 0; k < f->columns && first + k < f->n; k++) {
			f->plot = (struct box){ body->x + f->gutter + (double)k * (w + COLUMN_GAP), y, w - RIGHT, ROW * (double)f->rows };
			f->x.from = f->plot.x;
			f->x.to = f->plot.x + f->plot.w;
			if (draw_panel(f, first + k, (enum example_role)role, y, err))
				return -1;
			const struct phases_run *run;
			any |= example_of(&f->p[first + k], (enum example_role)role, &run) != NULL;
		}
		if (any)
			write_names(f, body->x);
		y += panel_height(f) + PANEL_GAP;
	}
	return 0;
}

struct canvas *waterfall_draw(const struct chart_look *look, const struct phases *p, size_t n, unsigned roles, struct error *err)
{
	autofree struct fall *f = calloc(1, sizeof(*f));
	struct frame frame = { 0 };
	if (!f) {
		error_set(err, ERR_LIMIT, "no memory for a chart");
		return NULL;
	}
	*f = (struct fall){ .p = p, .n = n, .roles = roles, .columns = n > 1 && look->width >= CHART_NARROW ? 2 : 1 };
	list_rows(f);
	f->gutter = measure_gutter(look, f, err);
	size_t blocks = (n + f->columns - 1) / f->columns;
	double height = f->rows ? (double)blocks * block_height(f) - PANEL_GAP : 24;
	if (isnan(f->gutter) || frame_open(&frame, look, height, err))
		return NULL;
	f->c = frame.canvas;
	if (!f->rows)
		canvas_text(f->c, (struct point){ frame.body.x, frame.body.y }, &SMALL, "No run here has an attributed request to show.");
	int rc = 0;
	for (size_t k = 0; k < blocks && f->rows && !rc; k++)
		rc = draw_block(f, &frame.body, k * f->columns, frame.body.y + (double)k * block_height(f), err);
	if (!rc)
		return f->c;
	canvas_free(f->c);
	return NULL;
}
