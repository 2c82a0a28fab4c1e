/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/chart/frame.h"

#include <math.h>

#include "mine/chart/text.h"

enum { MARGIN = 20, SAMPLE = 26, TICK_GAP = 8 };

struct furniture {
	struct text_style title, subtitle, caption;
	double title_h, subtitle_h, caption_h;
};

static double text_height(struct canvas *c, const struct text_style *style, const char *text, double gap)
{
	return text && *text ? canvas_measure(c, style, text).h + gap : 0;
}

static void measure(struct furniture *f, struct canvas *c, const struct chart_look *look)
{
	double wrap = look->width - 2 * MARGIN;
	f->title = (struct text_style){ TEXT_TITLE, TEXT_BOLD, TEXT_LEFT, INK, wrap, 0 };
	f->subtitle = (struct text_style){ TEXT_LABEL, TEXT_PLAIN, TEXT_LEFT, MUTED, wrap, 0 };
	f->caption = (struct text_style){ TEXT_SMALL, TEXT_PLAIN, TEXT_LEFT, MUTED, wrap, 0 };
	f->title_h = text_height(c, &f->title, look->title, 2);
	f->subtitle_h = text_height(c, &f->subtitle, look->subtitle, 4);
	f->caption_h = text_height(c, &f->caption, look->caption, 0);
}

int frame_open(struct frame *f, const struct chart_look *look, double body_height, struct error *err)
{
	/* The height follows from the texts, which must be measured on a canvas first. */
	struct canvas *ruler = canvas_new(look->width, 1, look->scale, err);
	if (!ruler)
		return -1;
	struct furniture t;
	measure(&t, ruler, look);
	canvas_free(ruler);
	double head = t.title_h + t.subtitle_h + 10, foot = t.caption_h + 14;
	f->canvas = canvas_new(look->width, ceil(2 * MARGIN + head + body_height + foot), look->scale, err);
	if (!f->canvas)
		return -1;
	f->body = (struct box){ MARGIN, MARGIN + head, look->width - 2 * MARGIN, body_height };
	if (t.title_h > 0)
		canvas_text(f->canvas, (struct point){ MARGIN, MARGIN }, &t.title, look->title);
	if (t.subtitle_h > 0)
		canvas_text(f->canvas, (struct point){ MARGIN, MARGIN + t.title_h }, &t.subtitle, look->subtitle);
	if (t.caption_h > 0)
		canvas_text(f->canvas, (struct point){ MARGIN, f->body.y + body_height + 14 }, &t.caption, look->caption);
	return 0;
}

/* A piece of line with its marker, 26 wide, centred on y. */
static void draw_sample(struct canvas *c, struct point at, const struct series_look *s)
{
	struct colour colour = series_colour(s->colour);
	canvas_line(c, at, (struct point){ at.x + SAMPLE, at.y }, (struct stroke){ colour, 2, s->dash });
	canvas_marker(c, (struct point){ at.x + SAMPLE / 2.0, at.y }, s->marker, 7, colour);
}

double frame_key(struct canvas *c, struct point at, double width, const struct series_look *s, size_t n, bool draw)
{
	const struct text_style style = { .size = TEXT_LABEL, .colour = INK, .fit = width - SAMPLE - 7 };
	const double row = 20, gap = 18;
	double x = 0, y = 0;
	for (size_t i = 0; i < n; i++) {
		double w = SAMPLE + 7 + canvas_measure(c, &style, s[i].label).w;
		if (x > 0 && x + w > width) {
			x = 0;
			y += row;
		}
		if (draw) {
			draw_sample(c, (struct point){ at.x + x, at.y + y + row / 2 }, &s[i]);
			double h = canvas_measure(c, &style, s[i].label).h;
			canvas_text(c, (struct point){ at.x + x + SAMPLE + 7, at.y + y + (row - h) / 2 }, &style, s[i].label);
		}
		x += w + gap;
	}
	return n ? y + row : 0;
}

static size_t latency_ticks(const struct scale *y, double height, struct tick ticks[TICKS_MAX])
{
	/* A label each 30 pixels is dense enough to read values and sparse enough to see the lines. */
	return scale_ticks(y, (size_t)fmax(3, height / 30), ticks);
}

static const struct text_style TICK_STYLE = { .size = TEXT_SMALL, .anchor = TEXT_RIGHT, .colour = { 0x56, 0x5e, 0x69, 255 } };

void frame_latency_axis(struct canvas *c, struct box plot, const struct scale *y, bool labels)
{
	struct tick ticks[TICKS_MAX];
	size_t n = latency_ticks(y, plot.h, ticks);
	for (size_t i = 0; i < n; i++) {
		double py = scale_map(y, ticks[i].value);
		if (!ticks[i].major)
			continue;
		canvas_line(c, (struct point){ plot.x, py }, (struct point){ plot.x + plot.w, py }, (struct stroke){ GRID, 1, 0 });
		if (!labels)
			continue;
		char text[32];
		text_tick_ns(ticks[i].value, text, sizeof(text));
		double h = canvas_measure(c, &TICK_STYLE, text).h;
		canvas_text(c, (struct point){ plot.x - TICK_GAP, py - h / 2 }, &TICK_STYLE, text);
	}
}

double frame_latency_gutter(struct canvas *c, const struct scale *y, double height)
{
	struct tick ticks[TICKS_MAX];
	size_t n = latency_ticks(y, height, ticks);
	double widest = 0;
	for (size_t i = 0; i < n; i++) {
		char text[32];
		if (ticks[i].major)
			widest = fmax(widest, canvas_measure(c, &TICK_STYLE, text_tick_ns(ticks[i].value, text, sizeof(text))).w);
	}
	return ceil(widest) + TICK_GAP;
}
