/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/chart/phase_look.h"

#include <math.h>

enum { SWATCH = 16, SWATCH_GAP = 6, ROW = 17, BLOCK_GAP = 26, BLOCK_ROW_GAP = 6 };

static const struct colour HATCH = { 0xa3, 0x3f, 0x7d, 255 };

/* Okabe and Ito's blue, orange and bluish green, lightened and darkened. */
static const struct colour FILL[PHASES] = {
	[PHASE_GUEST_SUBMIT] = { 0x00, 0x45, 0x6b, 255 }, [PHASE_GUEST_SCHEDULE] = { 0x8c, 0xc9, 0xf0, 255 },
	[PHASE_GUEST_DRIVER] = { 0x00, 0x72, 0xb2, 255 }, [PHASE_CROSS_KICK] = { 0xf6, 0xe6, 0xf0, 255 },
	[PHASE_VMM_DISPATCH] = { 0x8a, 0x4b, 0x00, 255 }, [PHASE_VMM_SUBMIT] = { 0xf0, 0xa8, 0x20, 255 },
	[PHASE_HOST_BLOCK] = { 0x00, 0x54, 0x3d, 255 },   [PHASE_HOST_DEVICE] = { 0x7c, 0xd8, 0xb8, 255 },
	[PHASE_HOST_COMPLETION] = { 0x00, 0x84, 0x5f, 255 }, [PHASE_VMM_COMPLETE] = { 0xff, 0xd9, 0x94, 255 },
	[PHASE_VMM_NOTIFY] = { 0xa6, 0x5f, 0x00, 255 },   [PHASE_CROSS_INJECT] = { 0xf6, 0xe6, 0xf0, 255 },
	[PHASE_GUEST_IRQ] = { 0x00, 0x5a, 0x8c, 255 },    [PHASE_GUEST_REAP] = { 0xbe, 0xe2, 0xf8, 255 },
};

static enum phase_home home_of(unsigned phase)
{
	switch (phase) {
	case PHASE_CROSS_KICK: case PHASE_CROSS_INJECT: return HOME_CROSS;
	case PHASE_VMM_DISPATCH: case PHASE_VMM_SUBMIT: case PHASE_VMM_COMPLETE: case PHASE_VMM_NOTIFY: return HOME_VMM;
	case PHASE_HOST_BLOCK: case PHASE_HOST_DEVICE: case PHASE_HOST_COMPLETION: return HOME_HOST;
	default: return HOME_GUEST;
	}
}

static enum phase_home home_of_span(unsigned from, unsigned to)
{
	if (phase_crosses(from, to))
		return HOME_CROSS;
	enum phase_home home = home_of(from);
	for (unsigned phase = from + 1; phase < to; phase++)
		if (home_of(phase) != home)
			return HOME_SEVERAL;
	return home;
}

/* Merged phases have tones of their own, two of each so that neighbours differ. */
static struct colour merged_fill(enum phase_home home, unsigned from)
{
	static const struct colour tone[HOMES][2] = {
		[HOME_GUEST] = { { 0x56, 0xa9, 0xdc, 255 }, { 0x1f, 0x60, 0x8f, 255 } },
		[HOME_CROSS] = { { 0xf6, 0xe6, 0xf0, 255 }, { 0xe3, 0xbd, 0xd5, 255 } },
		[HOME_VMM] = { { 0xd9, 0x8e, 0x14, 255 }, { 0xfb, 0xc4, 0x5c, 255 } },
		[HOME_HOST] = { { 0x3c, 0xb8, 0x90, 255 }, { 0x0b, 0x6e, 0x52, 255 } },
		[HOME_SEVERAL] = { { 0xc3, 0xc8, 0xcf, 255 }, { 0x8d, 0x95, 0xa0, 255 } },
	};
	return tone[home][from % 2];
}

double colour_luminance(struct colour c)
{
	const uint8_t part[3] = { c.r, c.g, c.b };
	static const double weight[3] = { 0.2126, 0.7152, 0.0722 };
	double sum = 0;
	for (size_t i = 0; i < 3; i++) {
		double v = part[i] / 255.0;
		sum += weight[i] * (v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4));
	}
	return sum;
}

double colour_contrast(struct colour a, struct colour b)
{
	double la = colour_luminance(a), lb = colour_luminance(b);
	return (fmax(la, lb) + 0.05) / (fmin(la, lb) + 0.05);
}

struct phase_look phase_look(unsigned from, unsigned to)
{
	struct phase_look l = { .home = home_of_span(from, to) };
	l.hatched = l.home == HOME_CROSS;
	l.fill = to == from + 1 && from < PHASES ? FILL[from] : merged_fill(l.home, from);
	l.hatch = HATCH;
	l.text = colour_contrast(l.fill, INK) > colour_contrast(l.fill, PAPER) ? INK : PAPER;
	return l;
}

/* "Guest", "Between the clocks", … */
static const char *home_name(enum phase_home home)
{
	static const char *const name[HOMES] = { "Guest", "Between the clocks", "VMM", "Host", "Several, not told apart" };
	return home < HOMES ? name[home] : "";
}

void phase_box(struct canvas *c, struct box b, const struct phase_look *look)
{
	canvas_rect(c, b, look->fill);
	if (!look->hatched)
		return;
	canvas_hatch(c, b, 5, (struct stroke){ look->hatch, 1.3, 0 });
	/* A rim, for a hatch has no edge of its own; on a sliver it is all there is to see. */
	if (b.w <= 2) {
		canvas_rect(c, b, look->hatch);
		return;
	}
	const struct box rim[] = { { b.x, b.y, 1, b.h }, { b.x + b.w - 1, b.y, 1, b.h }, { b.x, b.y, b.w, 1 }, { b.x, b.y + b.h - 1, b.w, 1 } };
	for (size_t i = 0; i < 4; i++)
		canvas_rect(c, rim[i], look->hatch);
}

/* ---- the key ---- */

struct key {
	struct canvas *c;
	struct text_style head, entry;
	double width;
	const struct phases_span *s;
	const bool *drawn;
	size_t n;
};

static bool belongs(const struct key *k, size_t i, enum phase_home home)
{
	return k->drawn[i] && phase_look(k->s[i].from, k->s[i].to).home == home;
}

static struct box measure_block(const struct key *k, enum phase_home home)
{
	struct box b = { 0 };
	for (size_t i = 0; i < k->n; i++) {
		if (!belongs(k, i, home))
			continue;
		b.h += ROW;
		b.w = fmax(b.w, SWATCH + SWATCH_GAP + canvas_measure(k->c, &k->entry, k->s[i].name).w);
	}
	if (b.h > 0) {
		b.h += ROW + 1;
		b.w = fmax(b.w, canvas_measure(k->c, &k->head, home_name(home)).w);
	}
	return b;
}

static void draw_block(const struct key *k, enum phase_home home, double x, double y)
{
	canvas_text(k->c, (struct point){ x, y }, &k->head, home_name(home));
	y += ROW + 1;
	for (size_t i = 0; i < k->n; i++) {
		if (!belongs(k, i, home))
			continue;
		struct phase_look look = phase_look(k->s[i].from, k->s[i].to);
		phase_box(k->c, (struct box){ x, y + 2, SWATCH, ROW - 6 }, &look);
		double h = canvas_measure(k->c, &k->entry, k->s[i].name).h;
		canvas_text(k->c, (struct point){ x + SWATCH + SWATCH_GAP, y + 2 + (ROW - 6 - h) / 2 }, &k->entry, k->s[i].name);
		y += ROW;
	}
}

double phase_key(struct canvas *c, struct point at, double width, const struct phases_span *s, const bool *drawn, size_t n, bool draw)
{
	struct key k = {
		.c = c, .head = { .size = TEXT_SMALL, .colour = MUTED }, .entry = { .size = TEXT_SMALL, .colour = INK }, .width = width,
		.s = s, .drawn = drawn, .n = n,
	};
	k.entry.fit = width - SWATCH - SWATCH_GAP;
	double x = 0, y = 0, row = 0;
	for (enum phase_home home = 0; home < HOMES; home++) {
		struct box b = measure_block(&k, home);
		if (!(b.h > 0))
			continue;
		if (x > 0 && x + b.w > width) {
			x = 0;
			y += row + BLOCK_ROW_GAP;
			row = 0;
		}
		if (draw)
			draw_block(&k, home, at.x + x, at.y + y);
		x += b.w + BLOCK_GAP;
		row = fmax(row, b.h);
	}
	return y + row;
}
