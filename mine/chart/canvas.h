/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A page to draw on: cairo for lines, pango for text, the palette and type sizes of all charts.
 *
 * Coordinates are in logical pixels from the top left; `scale` device pixels make one, so that one layout serves
 * a screen and a printed page. Where every text went is remembered, so that tests can prove that none is cut off
 * and none lies on another.
 */
#ifndef BIFOCAL_MINE_CHART_CANVAS_H
#define BIFOCAL_MINE_CHART_CANVAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct colour {
	uint8_t r, g, b, a;
};

extern const struct colour INK, MUTED, FAINT, GRID, SHADE, PAPER;

enum { SERIES_COLOURS = 7, SERIES_DASHES = 4, SERIES_MARKERS = 6 };
/* Okabe and Ito's colours, those that show well on white first; yellow does not and is left out. */
struct colour series_colour(size_t i);
struct colour colour_faded(struct colour c, uint8_t alpha);

struct stroke {
	struct colour colour;
	double width;
	unsigned dash;               /* 0: solid; 1 … SERIES_DASHES-1 */
};

struct point {
	double x, y;
};

struct box {
	double x, y, w, h;
};

enum text_size { TEXT_TITLE, TEXT_LABEL, TEXT_SMALL };
enum text_weight { TEXT_PLAIN, TEXT_BOLD };
enum text_anchor { TEXT_LEFT, TEXT_CENTRE, TEXT_RIGHT };

struct text_style {
	enum text_size size;
	enum text_weight weight;
	enum text_anchor anchor;
	struct colour colour;
	double wrap;                 /* width to break lines at; 0: one line */
	double fit;                  /* width to cut the one line at, with an ellipsis; 0: not cut */
};

struct text_box {
	struct box box;
	char text[64];               /* beginning */
};

struct canvas;

struct canvas *canvas_new(double width, double height, double scale, struct error *err);
void canvas_free(struct canvas *c);
double canvas_width(const struct canvas *c);
double canvas_height(const struct canvas *c);

void canvas_rect(struct canvas *c, struct box b, struct colour fill);
/* Lines at 45° from the lower left, `gap` apart along x, inside the box. */
void canvas_hatch(struct canvas *c, struct box b, double gap, struct stroke s);
void canvas_line(struct canvas *c, struct point a, struct point b, struct stroke s);
void canvas_polyline(struct canvas *c, const struct point *p, size_t n, struct stroke s);
/* The area between two lines over the same x. */
void canvas_band(struct canvas *c, const struct point *upper, const struct point *lower, size_t n, struct colour fill);
void canvas_marker(struct canvas *c, struct point at, size_t shape, double size, struct colour colour);
void canvas_clip(struct canvas *c, struct box b);
void canvas_unclip(struct canvas *c);

/* UTF-8; (x, y) is the anchor at the top of the first line. Returns the box it took. */
struct box canvas_text(struct canvas *c, struct point at, const struct text_style *style, const char *text);
/* The box it would take. */
struct box canvas_measure(struct canvas *c, const struct text_style *style, const char *text);

const struct text_box *canvas_texts(const struct canvas *c, size_t *n);
/* Rows of 0xffRRGGBB words in memory order B G R x; lives until canvas_free. */
const uint8_t *canvas_pixels(struct canvas *c, int *width, int *height, int *stride, struct error *err);

#endif
