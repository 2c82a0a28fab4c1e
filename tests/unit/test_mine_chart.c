/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Charts: the data behind them, texts that neither leave the page nor lie on each other, and PNGs that others read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <png.h>

#include "common/cleanup.h"
#include "mine/chart/percentile.h"
#include "mine/chart/png.h"
#include "mine/chart/timeline.h"
#include "tests/fixtures/mine_world.h"

enum { SERIES_MAX = 12, REQUESTS = 3000 };

/* Groups of one run each, made without a database. */
struct scene {
	struct group group[SERIES_MAX];
	const struct mine_run *runs[SERIES_MAX];
	struct mine_run run[SERIES_MAX];
	struct stats stats[SERIES_MAX];
	struct series_look look[SERIES_MAX];
	struct curve curve[SERIES_MAX];
	struct timeline timeline[SERIES_MAX];
	char label[SERIES_MAX][64];
	size_t n;
	double slice;
};

static void make_run(struct mine_run *r, size_t n, uint64_t seed, double base, double spread)
{
	struct world_rng rng = { seed + 17 };
	r->at = calloc(n + 1, sizeof(*r->at));
	r->latency = calloc(n + 1, sizeof(*r->latency));
	r->ramp_before = calloc(200, sizeof(*r->ramp_before));
	r->ramp_latency = calloc(200, sizeof(*r->ramp_latency));
	r->n = n;
	r->n_ramp = 200;
	r->seconds = 2;
	r->ramp_seconds = 0.2;
	for (size_t i = 0; i < n; i++) {
		r->at[i] = i * 2000000000ULL / n;
		r->latency[i] = (uint64_t)(base * exp(spread * world_gauss(&rng)));
	}
	for (size_t i = 0; i < 200; i++) {
		r->ramp_before[i] = 200000000 - i * 1000000;
		r->ramp_latency[i] = (uint64_t)(2 * base);
	}
}

static void free_run(struct mine_run *r)
{
	free(r->at);
	free(r->latency);
	free(r->ramp_before);
	free(r->ramp_latency);
}

static void scene_init(struct scene *s, size_t n, size_t requests, double ratio, double spread, const char *label)
{
	struct error err = { 0 };
	*s = (struct scene){ .n = n };
	for (size_t i = 0; i < n; i++) {
		make_run(&s->run[i], requests, i, 5e4 * pow(ratio, (double)i), spread);
		snprintf(s->label[i], sizeof(s->label[i]), "%s %zu", label, i);
		s->look[i] = (struct series_look){ s->label[i], i, i, (unsigned)(i % SERIES_DASHES) };
		s->runs[i] = &s->run[i];
		s->group[i] = (struct group){ .label = s->label[i], .run = &s->runs[i], .runs = 1 };
		struct stats_run r = { s->run[i].at, s->run[i].latency, s->run[i].n, s->run[i].seconds };
		assert_int_equal(stats_init(&s->stats[i], &r, 1, 0.95, &err), 0);
	}
	s->slice = timeline_slice(s->group, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(curve_init(&s->curve[i], &s->look[i], &s->stats[i], &err), 0);
		assert_int_equal(timeline_init(&s->timeline[i], &s->look[i], &s->group[i], s->slice, &err), 0);
	}
}

static void scene_fini(struct scene *s)
{
	for (size_t i = 0; i < s->n; i++) {
		curve_fini(&s->curve[i]);
		timeline_fini(&s->timeline[i]);
		stats_fini(&s->stats[i]);
		free_run(&s->run[i]);
	}
}

static struct canvas *draw(const struct scene *s, bool timeline, double width, double scale)
{
	struct error err = { 0 };
	struct chart_look look = {
		.title = "How long requests take, percentile by percentile", .subtitle = "randread, blocks of 4k, io_uring",
		.caption = "n = 3 000 requests a configuration. Ribbon: 95 % interval by order statistics over 24 blocks of time; it covers variation "
			   "within these runs, not from boot to boot.", .width = width, .scale = scale,
	};
	struct canvas *c = timeline ? timeline_draw(&look, s->timeline, s->n, &err) : percentile_draw(&look, s->curve, s->n, &err);
	if (!c)
		fail_msg("%s", err.text);
	return c;
}

static void check_texts(struct canvas *c)
{
	size_t n;
	const struct text_box *t = canvas_texts(c, &n);
	assert_true(n > 8);
	for (size_t i = 0; i < n; i++) {
		struct box a = t[i].box;
		if (a.x < 0 || a.y < 0 || a.x + a.w > canvas_width(c) || a.y + a.h > canvas_height(c))
			fail_msg("\"%s\" leaves the page: %.1f,%.1f %.1f×%.1f on %.0f×%.0f", t[i].text, a.x, a.y, a.w, a.h, canvas_width(c), canvas_height(c));
		for (size_t j = 0; j < i; j++) {
			struct box b = t[j].box;
			/* Line boxes include leading; a pixel of it may be shared. */
			double w = fmin(a.x + a.w, b.x + b.w) - fmax(a.x, b.x), h = fmin(a.y + a.h, b.y + b.h) - fmax(a.y, b.y);
			if (w > 1 && h > 1)
				fail_msg("\"%s\" and \"%s\" overlap by %.1f×%.1f", t[i].text, t[j].text, w, h);
		}
	}
}

static void test_texts_keep_their_places(void **state)
{
	(void)state;
	static const struct { size_t n, requests; double ratio, spread; const char *label; } scenes[] = {
		{ 1, REQUESTS, 1, 0.3, "virtio-blk, depth" }, { 4, REQUESTS, 2.2, 0.3, "virtio-blk, depth" },
		{ 4, REQUESTS, 1.0001, 0.05, "four that end at the same height" }, { 12, REQUESTS, 3, 0.5, "ahci, depth" },
		{ 2, REQUESTS, 1e4, 1.5, "decades apart" }, { 3, 1, 2, 0, "a single request" }, { 2, 7, 1, 0, "seven alike" },
		{ 5, REQUESTS, 2, 0.4, "a configuration whose label is as long as one may be" },
	};
	static const double widths[] = { 400, 800, 1600 };
	for (size_t k = 0; k < sizeof(scenes) / sizeof(*scenes); k++) {
		static struct scene s;
		scene_init(&s, scenes[k].n, scenes[k].requests, scenes[k].ratio, scenes[k].spread, scenes[k].label);
		for (size_t w = 0; w < 3; w++)
			for (int timeline = 0; timeline < 2; timeline++) {
				struct canvas *c = draw(&s, timeline, widths[w], 1);
				check_texts(c);
				canvas_free(c);
			}
		scene_fini(&s);
	}
}

static void test_curve(void **state)
{
	(void)state;
	static struct scene s;
	scene_init(&s, 1, REQUESTS, 1, 0.3, "x");
	const struct curve *c = &s.curve[0];
	/* 3,000 requests support p99 and not p99.9. */
	assert_true(c->end == 2);
	assert_true(c->p[0].x == 0 && c->p[0].at.value == (double)s.stats[0].sorted[0]);
	assert_true(c->p[c->n - 1].x == 2 && c->p[c->n - 1].at.value == (double)s.stats[0].sorted[REQUESTS * 99 / 100 - 1]);
	for (size_t i = 1; i < c->n; i++) {
		const struct estimate *a = &c->p[i - 1].at, *b = &c->p[i].at;
		assert_true(b->value >= a->value && c->p[i].x > c->p[i - 1].x);
		if (a->supported && b->supported)
			assert_true(b->lo >= a->lo && b->hi >= a->hi && b->lo <= b->value && b->value <= b->hi);
	}
	scene_fini(&s);
	scene_init(&s, 1, 1, 1, 0, "x");
	assert_int_equal(s.curve[0].n, 1);
	scene_fini(&s);
}

/* With few repeats the effective number is estimated anew, and roughly, for each percentile: limits step back. The ribbon must not. */
static void test_ribbon_never_falls(void **state)
{
	(void)state;
	enum { REPEATS = 6 };
	struct error err = { 0 };
	struct mine_run run[REPEATS] = { 0 };
	struct stats_run r[REPEATS];
	struct stats st;
	struct curve c;
	struct series_look look = { "x", 0, 0, 0 };
	unsigned falls = 0;
	for (size_t i = 0; i < REPEATS; i++) {
		make_run(&run[i], REQUESTS, i, 1e5, 0.3);
		for (size_t k = 0; k < REQUESTS; k += 20 + 5 * i)
			run[i].latency[k] *= 2 + i;
		r[i] = (struct stats_run){ run[i].at, run[i].latency, REQUESTS, run[i].seconds };
	}
	assert_int_equal(stats_init(&st, r, REPEATS, 0.95, &err), 0);
	assert_int_equal(curve_init(&c, &look, &st, &err), 0);
	for (size_t i = 1; i < c.n; i++) {
		struct estimate a = stats_quantile(&st, 1 - pow(10, -c.p[i - 1].x)), b = stats_quantile(&st, 1 - pow(10, -c.p[i].x));
		falls += a.supported && b.supported && (b.lo < a.lo || b.hi < a.hi);
		if (c.p[i - 1].at.supported && c.p[i].at.supported)
			assert_true(c.p[i].at.lo >= c.p[i - 1].at.lo && c.p[i].at.hi >= c.p[i - 1].at.hi);
	}
	assert_true(falls > 0);
	curve_fini(&c);
	stats_fini(&st);
	for (size_t i = 0; i < REPEATS; i++)
		free_run(&run[i]);
}

static void test_slices(void **state)
{
	(void)state;
	static struct scene s;
	scene_init(&s, 1, REQUESTS, 1, 0.3, "x");
	const struct timeline *t = &s.timeline[0];
	/* 1,500 requests a second want 20 ms for 30 of them; 2.2 s in at most a hundred slices want 22: 50 is the next nice one. */
	assert_true(fabs(t->width - 0.05) < 1e-12);
	assert_int_equal(t->slices, 4 + 40);
	assert_true(fabs(t->from + 0.2) < 1e-9);
	size_t sum = 0;
	for (size_t i = 0; i < t->slices; i++) {
		sum += t->pooled[i].n;
		/* One request lies on each border, to a rounding error. */
		assert_in_range(t->pooled[i].n, i < 4 ? 49 : 74, i < 4 ? 51 : 76);
		assert_true(t->pooled[i].p5 <= t->pooled[i].p50 && t->pooled[i].p50 <= t->pooled[i].p95);
	}
	assert_int_equal(sum, REQUESTS + 200);
	size_t before = t->pooled[4].n;
	assert_int_equal(t->pooled[0].p50, 100000);
	assert_null(t->run);
	/* A stamp far outside the window belongs to no slice. */
	s.run[0].at[5] = UINT64_MAX;
	struct timeline odd;
	struct error err = { 0 };
	assert_int_equal(timeline_init(&odd, &s.look[0], &s.group[0], 0.05, &err), 0);
	assert_int_equal(odd.pooled[4].n, before - 1);
	timeline_fini(&odd);
	scene_fini(&s);
}

static bool has_text(struct canvas *c, const char *text)
{
	size_t n;
	const struct text_box *t = canvas_texts(c, &n);
	for (size_t i = 0; i < n; i++)
		if (strcmp(t[i].text, text) == 0)
			return true;
	return false;
}

/* A repeat so much slower that the others' band does not reach it is on the axis all the same. */
static void test_slow_repeat_stays_in_the_plot(void **state)
{
	(void)state;
	enum { REPEATS = 6 };
	static struct mine_run run[REPEATS];
	const struct mine_run *runs[REPEATS];
	for (size_t i = 0; i < REPEATS; i++) {
		make_run(&run[i], i ? REQUESTS : REQUESTS / 5, i, i ? 1e5 : 5e7, 0.1);
		run[i].n_ramp = 0;
		runs[i] = &run[i];
	}
	struct group g = { .run = runs, .runs = REPEATS };
	struct series_look look = { .label = "x" };
	struct chart_look page = { .title = "t", .width = 800, .scale = 1 };
	struct timeline t;
	struct error err = { 0 };
	assert_int_equal(timeline_init(&t, &look, &g, 0.05, &err), 0);
	for (size_t i = 0; i < t.slices; i++)
		assert_true(!t.pooled[i].n || t.pooled[i].p95 < 1000000);
	struct canvas *c = timeline_draw(&page, &t, 1, &err);
	assert_non_null(c);
	assert_true(has_text(c, "10\u00a0ms"));
	canvas_free(c);
	timeline_fini(&t);
	for (size_t i = 0; i < REPEATS; i++)
		free_run(&run[i]);
}

/* With nothing to draw there is no axis of made-up latencies. */
static void test_nothing_to_draw_is_said(void **state)
{
	(void)state;
	static struct scene s;
	scene_init(&s, 1, 1, 1, 0, "x");
	s.run[0].n_ramp = 0;
	timeline_fini(&s.timeline[0]);
	struct error err = { 0 };
	assert_int_equal(timeline_init(&s.timeline[0], &s.look[0], &s.group[0], 0.05, &err), 0);
	struct canvas *c = draw(&s, 1, 800, 1);
	assert_true(has_text(c, "too few requests in every slice"));
	assert_false(has_text(c, "1\u00a0ns"));
	canvas_free(c);
	scene_fini(&s);
}

static void test_ticks(void **state)
{
	(void)state;
	struct tick t[TICKS_MAX];
	struct scale linear = { .lo = -0.2, .hi = 3 };
	assert_int_equal(scale_ticks(&linear, 5, t), 4);
	assert_true(t[0].value == 0 && t[3].value == 3);
	struct scale decades = { .lo = 1e3, .hi = 1e9, .logarithmic = true };
	size_t n = scale_ticks(&decades, 6, t), major = 0;
	for (size_t i = 0; i < n; i++)
		major += t[i].major;
	assert_int_equal(major, 7);
	struct scale half = { .lo = 4e4, .hi = 3e5, .logarithmic = true };
	n = scale_ticks(&half, 8, t);
	assert_true(n >= 3);
	/* What cannot be an axis gets no ticks, and no endless loop. */
	struct scale none[] = { { .lo = 1, .hi = 1 }, { .lo = 0, .hi = INFINITY }, { .lo = NAN, .hi = 1 }, { .lo = 1, .hi = 1e300, .logarithmic = true } };
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(scale_ticks(&none[i], 5, t), 0);
	assert_in_range(scale_ticks(&none[3], 5, t), 1, TICKS_MAX);
	assert_true(scale_nice(0.03) == 0.05 && scale_nice(5) == 5 && scale_nice(5.1) == 10);
}

static void encode(struct png *p, struct canvas *c)
{
	static const struct png_text text[] = { { "Title", "T" }, { "Bifocal-Runs", "1, 2" }, { "Description", "µ beyond ASCII" } };
	struct error err = { 0 };
	assert_int_equal(png_encode(p, c, 192, text, 3, &err), 0);
}

/* Big-endian, as PNG has it. */
static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool has_chunk(const struct png *p, const char *type, const void *data, size_t len)
{
	for (size_t at = 8; at + 12 <= p->len; at += 12 + be32(p->bytes + at))
		if (memcmp(p->bytes + at + 4, type, 4) == 0 && be32(p->bytes + at) == len && memcmp(p->bytes + at + 8, data, len) == 0)
			return true;
	return false;
}

static void test_png(void **state)
{
	(void)state;
	static struct scene s;
	scene_init(&s, 3, REQUESTS, 2, 0.4, "x");
	for (int timeline = 0; timeline < 2; timeline++) {
		struct png once, twice;
		struct canvas *c = draw(&s, timeline, 800, 2), *again = draw(&s, timeline, 800, 2);
		encode(&once, c);
		encode(&twice, again);
		assert_int_equal(once.len, twice.len);
		assert_memory_equal(once.bytes, twice.bytes, once.len);
		assert_true(has_chunk(&once, "tEXt", "Bifocal-Runs\0001, 2", 17));
		assert_true(has_chunk(&once, "pHYs", "\0\0\x1d\x87\0\0\x1d\x87\x01", 9));
		/* Another reader than the writer's own code: libpng's simplified one, with checksums. */
		png_image image = { .version = PNG_IMAGE_VERSION };
		assert_true(png_image_begin_read_from_memory(&image, once.bytes, once.len));
		assert_int_equal(image.width, 1600);
		assert_int_equal(image.height, (unsigned)(2 * canvas_height(c)));
		image.format = PNG_FORMAT_RGB;
		autofree uint8_t *pixels = malloc(PNG_IMAGE_SIZE(image));
		assert_non_null(pixels);
		assert_true(png_image_finish_read(&image, NULL, pixels, 0, NULL));
		size_t blue = 0, paper = 0, total = PNG_IMAGE_SIZE(image) / 3;
		for (size_t i = 0; i < total; i++) {
			blue += pixels[3 * i] == 0x00 && pixels[3 * i + 1] == 0x72 && pixels[3 * i + 2] == 0xb2;
			paper += pixels[3 * i] == 255 && pixels[3 * i + 1] == 255 && pixels[3 * i + 2] == 255;
		}
		/* The first series is there in its colour, and most of the page is paper. */
		assert_true(blue > 500 && paper > total / 2);
		png_fini(&once);
		png_fini(&twice);
		canvas_free(c);
		canvas_free(again);
	}
	scene_fini(&s);
}

static void test_canvas_bounds(void **state)
{
	(void)state;
	static const double sizes[][3] = { { 0, 100, 1 }, { 100, 1e9, 1 }, { 20000, 100, 1 }, { NAN, 100, 1 }, { 800, 600, -1 } };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct error err = { 0 };
		assert_null(canvas_new(sizes[i][0], sizes[i][1], sizes[i][2], &err));
		assert_int_equal(err.code, ERR_LIMIT);
	}
	canvas_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ticks),
		cmocka_unit_test(test_curve),
		cmocka_unit_test(test_ribbon_never_falls),
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_slow_repeat_stays_in_the_plot),
		cmocka_unit_test(test_nothing_to_draw_is_said),
		cmocka_unit_test(test_texts_keep_their_places),
		cmocka_unit_test(test_png),
		cmocka_unit_test(test_canvas_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
