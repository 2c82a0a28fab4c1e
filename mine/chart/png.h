/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A canvas as PNG bytes, with where it comes from in tEXt chunks. No time stamp: the same picture is the same file. */
#ifndef BIFOCAL_MINE_CHART_PNG_H
#define BIFOCAL_MINE_CHART_PNG_H

#include "mine/chart/canvas.h"

struct png_text {
	const char *key;             /* 1–79 characters of Latin-1 */
	const char *text;            /* UTF-8; what is beyond ASCII goes to iTXt */
};

struct png {
	uint8_t *bytes;
	size_t len;
};

/* malloc'd bytes in *out. */
int png_encode(struct png *out, struct canvas *c, double dots_per_inch, const struct png_text *text, size_t n_text, struct error *err);
void png_fini(struct png *p);

#endif
