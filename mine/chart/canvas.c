/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/chart/canvas.h"

#include <math.h>
#include <pango/pangocairo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* Cairo's own limit is 32767; beyond this a chart is a mistake. */
	SIDE_MAX = 16384,
};

const struct colour INK = { 0x1a, 0x1f, 0x26, 255 }, MUTED = { 0x56, 0x5e, 0x69, 255 }, FAINT = { 0x9a, 0xa1, 0xab, 255 };
const struct colour GRID = { 0xe4, 0xe7, 0xeb, 255 }, SHADE = { 0xf3, 0xf4, 0xf6, 255 }, PAPER = { 255, 255, 255, 255 };

struct canvas {
	cairo_surface_t *surface;
	cairo_t *cr;
	PangoFontMap *fonts;
	PangoContext *context;
	PangoLayout *layout;
	double width, height, scale;
	struct text_box *text;
	size_t texts;
};

struct colour series_colour(size_t i)
{
	static const struct colour okabe_ito[SERIES_COLOURS] = {
		{ 0x00, 0x72, 0xb2, 255 }, { 0xd5, 0x5e, 0x00, 255 }, { 0x00, 0x9e, 0x73, 255 }, { 0xcc, 0x79, 0xa7, 255 },
		{ 0xe6, 0x9f, 0x00, 255 }, { 0x56, 0xb4, 0xe9, 255 }, { 0x00, 0x00, 0x00, 255 },
	};
	return okabe_ito[i % SERIES_COLOURS];
}

struct colour colour_faded(struct colour c, uint8_t alpha)
{
	c.a = alpha;
	return c;
}

/* A font map and options of its own: the same pixels whatever the desktop's settings are. */
static void set_up_text(struct canvas *c)
{
	c->fonts = pango_cairo_font_map_new();
	c->context = pango_font_map_create_context(c->fonts);
	cairo_font_options_t *options = cairo_font_options_create();
	cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
	cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
	cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
	pango_cairo_context_set_font_options(c->context, options);
	cairo_font_options_destroy(options);
	pango_cairo_context_set_resolution(c->context, 72);
	pango_context_set_round_glyph_positions(c->context, FALSE);
	pango_cairo_update_context(c->cr, c->context);
	c->layout = pango_layout_new(c->context);
}

/* Without a font every character becomes a box of absurd size. */
static bool has_font(struct canvas *c)
{
	pango_layout_set_text(c->layout, "0123456789 abcxyz µ", -1);
	return pango_layout_get_unknown_glyphs_count(c->layout) == 0;
}

struct canvas *canvas_new(double width, double height, double scale, struct error *err)
{
	double w = ceil(width * scale), h = ceil(height * scale);
	if (!(w >= 1 && h >= 1 && w <= SIDE_MAX && h <= SIDE_MAX)) {
		error_set(err, ERR_LIMIT, "a picture of %.0f × %.0f pixels: at most %d on a side", w, h, SIDE_MAX);
		return NULL;
	}
	struct canvas *c = calloc(1, sizeof(*c));
	if (!c)
		goto no_memory;
	*c = (struct canvas){ .width = width, .height = height, .scale = scale };
	c->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)w, (int)h);
	c->cr = cairo_create(c->surface);
	if (cairo_status(c->cr) != CAIRO_STATUS_SUCCESS)
		goto no_memory;
	cairo_scale(c->cr, scale, scale);
	set_up_text(c);
	if (!has_font(c)) {
		error_set(err, ERR_NOT_FOUND, "fontconfig finds no font with plain letters; install one (Debian: fonts-inter or fonts-dejavu-core)");
		canvas_free(c);
		return NULL;
	}
	canvas_rect(c, (struct box){ 0, 0, width, height }, PAPER);
	return c;
no_memory:
	error_set(err, ERR_LIMIT, "no memory for a picture of %.0f × %.0f pixels", w, h);
	canvas_free(c);
	return NULL;
}

void canvas_free(struct canvas *c)
{
	if (!c)
		return;
	if (c->layout)
		g_object_unref(c->layout);
	if (c->context)
		g_object_unref(c->context);
	if (c->fonts)
		g_object_unref(c->fonts);
	if (c->cr)
		cairo_destroy(c->cr);
	if (c->surface)
		cairo_surface_destroy(c->surface);
	free(c->text);
	free(c);
}

double canvas_width(const struct canvas *c)
{
	return c->width;
}

double canvas_height(const struct canvas *c)
{
	return c->height;
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEAKS_ARE_CHECKED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define LEAKS_ARE_CHECKED 1
#endif

#ifdef LEAKS_ARE_CHECKED
/* Fontconfig loses some 300 bytes while it reads its configuration, once a process; pango starts it in a
 * thread of its own, where FcFini() cannot help. Leaks of ours are still found. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libfontconfig.so\n";
}

const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}
#endif

static void ink(struct canvas *c, struct colour k)
{
	cairo_set_source_rgba(c->cr, k.r / 255.0, k.g / 255.0, k.b / 255.0, k.a / 255.0);
}

void canvas_rect(struct canvas *c, struct box b, struct colour fill)
{
	ink(c, fill);
	cairo_new_path(c->cr);
	cairo_rectangle(c->cr, b.x, b.y, b.w, b.h);
	cairo_fill(c->cr);
}

static void use_stroke(struct canvas *c, struct stroke s)
{
	static const double pattern[SERIES_DASHES][4] = { { 0 }, { 6, 3 }, { 1.5, 3 }, { 8, 3, 1.5, 3 } };
	static const int length[SERIES_DASHES] = { 0, 2, 2, 4 };
	unsigned dash = s.dash % SERIES_DASHES;
	ink(c, s.colour);
	cairo_set_line_width(c->cr, s.width);
	cairo_set_line_join(c->cr, CAIRO_LINE_JOIN_ROUND);
	cairo_set_line_cap(c->cr, CAIRO_LINE_CAP_BUTT);
	cairo_set_dash(c->cr, pattern[dash], length[dash], 0);
}

void canvas_hatch(struct canvas *c, struct box b, double gap, struct stroke s)
{
	if (!(b.w > 0 && b.h > 0 && gap > 0))
		return;
	canvas_clip(c, b);
	/* The lines of neighbouring boxes run on: they hang on the page, not on the box. */
	for (double x = floor((b.x - b.h) / gap) * gap; x < b.x + b.w; x += gap)
		canvas_line(c, (struct point){ x, b.y + b.h }, (struct point){ x + b.h, b.y }, s);
	canvas_unclip(c);
}

void canvas_line(struct canvas *c, struct point a, struct point b, struct stroke s)
{
	canvas_polyline(c, (struct point[]){ a, b }, 2, s);
}

void canvas_polyline(struct canvas *c, const struct point *p, size_t n, struct stroke s)
{
	use_stroke(c, s);
	/* Text leaves a current point behind. */
	cairo_new_path(c->cr);
	for (size_t i = 0; i < n; i++)
		cairo_line_to(c->cr, p[i].x, p[i].y);
	cairo_stroke(c->cr);
}

void canvas_band(struct canvas *c, const struct point *upper, const struct point *lower, size_t n, struct colour fill)
{
	ink(c, fill);
	cairo_new_path(c->cr);
	for (size_t i = 0; i < n; i++)
		cairo_line_to(c->cr, upper[i].x, upper[i].y);
	for (size_t i = n; i-- > 0;)
		cairo_line_to(c->cr, lower[i].x, lower[i].y);
	cairo_close_path(c->cr);
	cairo_fill(c->cr);
}

static void polygon(struct canvas *c, struct point at, int corners, double r, double turn)
{
	for (int i = 0; i < corners; i++) {
		double angle = turn + 2 * M_PI * i / corners;
		cairo_line_to(c->cr, at.x + r * sin(angle), at.y - r * cos(angle));
	}
	cairo_close_path(c->cr);
}

void canvas_marker(struct canvas *c, struct point at, size_t shape, double size, struct colour colour)
{
	double r = size / 2;
	cairo_new_path(c->cr);
	switch (shape % SERIES_MARKERS) {
	case 0: cairo_arc(c->cr, at.x, at.y, r, 0, 2 * M_PI); break;
	case 1: polygon(c, at, 4, r * 1.2, M_PI / 4); break;
	case 2: polygon(c, at, 3, r * 1.3, 0); break;
	case 3: polygon(c, at, 4, r * 1.3, 0); break;
	case 4: polygon(c, at, 3, r * 1.3, M_PI); break;
	default: polygon(c, at, 6, r * 1.1, 0); break;
	}
	/* A paper-coloured rim keeps markers apart where lines cross. */
	ink(c, PAPER);
	cairo_set_dash(c->cr, NULL, 0, 0);
	cairo_set_line_width(c->cr, 2);
	cairo_stroke_preserve(c->cr);
	ink(c, colour);
	cairo_fill(c->cr);
}

void canvas_clip(struct canvas *c, struct box b)
{
	cairo_save(c->cr);
	cairo_rectangle(c->cr, b.x, b.y, b.w, b.h);
	cairo_clip(c->cr);
}

void canvas_unclip(struct canvas *c)
{
	cairo_restore(c->cr);
}

static void set_text(struct canvas *c, const struct text_style *style, const char *text)
{
	static const double size[] = { [TEXT_TITLE] = 17, [TEXT_LABEL] = 12.5, [TEXT_SMALL] = 11 };
	PangoFontDescription *font = pango_font_description_new();
	pango_font_description_set_family_static(font, "Inter,DejaVu Sans,sans-serif");
	pango_font_description_set_absolute_size(font, size[style->size] * PANGO_SCALE);
	pango_font_description_set_weight(font, style->weight == TEXT_BOLD ? PANGO_WEIGHT_SEMIBOLD : PANGO_WEIGHT_NORMAL);
	pango_layout_set_font_description(c->layout, font);
	pango_font_description_free(font);
	double width = style->wrap > 0 ? style->wrap : style->fit;
	pango_layout_set_width(c->layout, width > 0 ? (int)(width * PANGO_SCALE) : -1);
	pango_layout_set_ellipsize(c->layout, style->fit > 0 ? PANGO_ELLIPSIZE_MIDDLE : PANGO_ELLIPSIZE_NONE);
	pango_layout_set_wrap(c->layout, PANGO_WRAP_WORD_CHAR);
	pango_layout_set_line_spacing(c->layout, style->wrap > 0 ? 1.25F : 0);
	/* Digits of one width, so that ticks line up. */
	PangoAttrList *attrs = pango_attr_list_new();
	pango_attr_list_insert(attrs, pango_attr_font_features_new("tnum=1"));
	pango_layout_set_attributes(c->layout, attrs);
	pango_attr_list_unref(attrs);
	pango_layout_set_text(c->layout, text, -1);
}

static struct box layout_box(struct canvas *c)
{
	PangoRectangle r;
	pango_layout_get_extents(c->layout, NULL, &r);
	return (struct box){ (double)r.x / PANGO_SCALE, (double)r.y / PANGO_SCALE, (double)r.width / PANGO_SCALE, (double)r.height / PANGO_SCALE };
}

struct box canvas_measure(struct canvas *c, const struct text_style *style, const char *text)
{
	set_text(c, style, text);
	return layout_box(c);
}

static void remember(struct canvas *c, struct box b, const char *text)
{
	struct text_box *grown = reallocarray(c->text, c->texts + 1, sizeof(*grown));
	if (!grown)
		return;
	c->text = grown;
	grown[c->texts].box = b;
	snprintf(grown[c->texts++].text, sizeof(grown->text), "%s", text);
}

struct box canvas_text(struct canvas *c, struct point at, const struct text_style *style, const char *text)
{
	struct box b = canvas_measure(c, style, text);
	if (style->anchor == TEXT_CENTRE)
		at.x -= b.w / 2;
	else if (style->anchor == TEXT_RIGHT)
		at.x -= b.w;
	b.x = at.x;
	b.y = at.y;
	ink(c, style->colour);
	cairo_move_to(c->cr, at.x, at.y);
	pango_cairo_show_layout(c->cr, c->layout);
	remember(c, b, text);
	return b;
}

const struct text_box *canvas_texts(const struct canvas *c, size_t *n)
{
	*n = c->texts;
	return c->text;
}

const uint8_t *canvas_pixels(struct canvas *c, int *width, int *height, int *stride, struct error *err)
{
	cairo_surface_flush(c->surface);
	cairo_status_t status = cairo_status(c->cr);
	if (status == CAIRO_STATUS_SUCCESS)
		status = cairo_surface_status(c->surface);
	if (status != CAIRO_STATUS_SUCCESS) {
		error_set(err, ERR_FAILED, "drawing failed: %s", cairo_status_to_string(status));
		return NULL;
	}
	*width = cairo_image_surface_get_width(c->surface);
	*height = cairo_image_surface_get_height(c->surface);
	*stride = cairo_image_surface_get_stride(c->surface);
	return cairo_image_surface_get_data(c->surface);
}
