/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/chart/png.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* What libpng writes into; everything that must survive its longjmp lives here or in the caller. */
struct sink {
	struct png *png;
	size_t cap;
	struct error *err;
};

static void sink_write(png_structp p, png_bytep data, size_t n)
{
	struct sink *s = png_get_io_ptr(p);
	if (s->cap - s->png->len < n) {
		size_t cap = 2 * s->cap + n;
		uint8_t *grown = realloc(s->png->bytes, cap);
		if (!grown)
			png_error(p, "no memory");
		s->png->bytes = grown;
		s->cap = cap;
	}
	memcpy(s->png->bytes + s->png->len, data, n);
	s->png->len += n;
}

static void sink_flush(png_structp p)
{
	(void)p;
}

static void on_error(png_structp p, png_const_charp message)
{
	struct sink *s = png_get_error_ptr(p);
	error_set(s->err, ERR_FAILED, "writing a PNG: %s", message);
	png_longjmp(p, 1);
}

static void on_warning(png_structp p, png_const_charp message)
{
	(void)p;
	(void)message;
}

static bool is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text >= 0x80)
			return false;
	return true;
}

static void put_texts(png_structp p, png_infop info, const struct png_text *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		png_text t = {
			.compression = is_ascii(text[i].text) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE,
			.key = (png_charp)(uintptr_t)text[i].key,
			.text = (png_charp)(uintptr_t)text[i].text,
		};
		png_set_text(p, info, &t, 1);
	}
}

static void put_header(png_structp p, png_infop info, int width, int height, double dpi)
{
	png_set_IHDR(p, info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
		     PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_set_sRGB_gAMA_and_cHRM(p, info, PNG_sRGB_INTENT_PERCEPTUAL);
	png_uint_32 per_metre = (png_uint_32)lround(dpi / 0.0254);
	png_set_pHYs(p, info, per_metre, per_metre, PNG_RESOLUTION_METER);
	png_set_compression_level(p, 6);
	/* Flat areas and thin lines compress best unfiltered. */
	png_set_filter(p, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
}

int png_encode(struct png *out, struct canvas *c, double dpi, const struct png_text *text, size_t n_text, struct error *err)
{
	int width, height, stride;
	const uint8_t *pixels = canvas_pixels(c, &width, &height, &stride, err);
	if (!pixels)
		return -1;
	*out = (struct png){ 0 };
	struct sink sink = { .png = out, .err = err };
	png_structp p = png_create_write_struct(PNG_LIBPNG_VER_STRING, &sink, on_error, on_warning);
	png_infop info = p ? png_create_info_struct(p) : NULL;
	if (!info) {
		png_destroy_write_struct(&p, NULL);
		return error_set(err, ERR_LIMIT, "no memory for a PNG");
	}
	if (setjmp(png_jmpbuf(p))) {
		png_destroy_write_struct(&p, &info);
		png_fini(out);
		return -1;
	}
	png_set_write_fn(p, &sink, sink_write, sink_flush);
	put_header(p, info, width, height, dpi);
	put_texts(p, info, text, n_text);
	png_write_info(p, info);
	png_set_filler(p, 0, PNG_FILLER_AFTER);
	png_set_bgr(p);
	for (int y = 0; y < height; y++)
		png_write_row(p, pixels + (size_t)y * (size_t)stride);
	png_write_end(p, NULL);
	png_destroy_write_struct(&p, &info);
	return 0;
}

void png_fini(struct png *p)
{
	free(p->bytes);
	*p = (struct png){ 0 };
}
