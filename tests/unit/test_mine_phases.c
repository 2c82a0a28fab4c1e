/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attribution in mine: what repeats come to together, how phases look, and what the two charts show of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mine/chart/attribution_bar.h"
#include "mine/chart/phase_look.h"
#include "mine/chart/waterfall.h"
#include "tests/fixtures/mine_phases.h"

enum { CONFIGS_MAX = 8, REPEATS = 3, ALL_LEVELS = 15, ALL_ROLES = 15 };

/* Configurations of some repeats each, made without a database. */
struct scene {
	struct attribution *a;
	struct mine_run run[CONFIGS_MAX * REPEATS];
	struct phases p[CONFIGS_MAX];
	size_t n;
};

static void scene_init(struct scene *s, size_t n, size_t repeats, const struct world_path *path, size_t paths, const char *label)
{
	struct error err = { 0 };
	*s = (struct scene){ .n = n, .a = calloc(CONFIGS_MAX * REPEATS, sizeof(*s->a)) };
	assert_non_null(s->a);
	for (size_t g = 0; g < n; g++) {
		struct phases_run run[REPEATS];
		char name[100];
		for (size_t r = 0; r < repeats; r++) {
			struct world_path w = path[g % paths];
			size_t i = g * REPEATS + r;
			w.seed += 10 * i;
			world_attribute(&s->a[i], &w);
			s->run[i].meta.run = i + 1;
			run[r] = (struct phases_run){ &s->run[i], &s->a[i] };
		}
		snprintf(name, sizeof(name), "%s %zu", label, g);
		assert_int_equal(phases_pool(&s->p[g], name, run, repeats, 0.95, &err), 0);
	}
}

static void scene_fini(struct scene *s)
{
	for (size_t g = 0; g < s->n; g++)
		phases_free(&s->p[g]);
	free(s->a);
}

static void near(double a, double b)
{
	if (!(fabs(a - b) <= 1e-9 * fmax(1, fmax(fabs(a), fabs(b)))))
		fail_msg("%.12g is not %.12g", a, b);
}

/* ---- pooling ---- */

/* Two spans at 1 GHz: cycles are ns. */
static void golden(struct attribution *a, double first, double second)
{
	memset(a, 0, sizeof(*a));
	a->host_hz = a->guest_hz = 1000000000;
	a->counted = a->matched = 10;
	a->spans = 2;
	a->span[0] = (struct span_stat){ .from = 0, .to = 3, .count = 10, .sum = 10 * first, .min = 1, .max = 1000, .p50 = (int64_t)first, .p99 = INT64_MIN };
	a->span[1] = (struct span_stat){ .from = 3, .to = 4, .count = 10, .sum = 10 * second, .min = -5, .max = 1000, .p50 = (int64_t)second,
					 .p99 = INT64_MIN, .bound = 7 };
	a->level[LEVEL_MEAN] = (struct level){ .n = 10, .total = first + second, .part = { first, second } };
	a->vantage[0].there = a->vantage[VANTAGE_GUEST].there = true;
}

static void test_golden(void **state)
{
	(void)state;
	struct attribution *a = calloc(3, sizeof(*a));
	struct mine_run run[3] = { 0 };
	struct phases p;
	struct error err = { 0 };
	assert_non_null(a);
	golden(&a[0], 40, 60);
	golden(&a[1], 50, 150);
	golden(&a[2], 60, 240);
	const struct phases_run r[3] = { { &run[0], &a[0] }, { &run[1], &a[1] }, { &run[2], &a[2] } };
	const struct phases_level *l = &p.level[LEVEL_MEAN];
	assert_int_equal(phases_pool(&p, "x", r, 3, 0.95, &err), 0);
	assert_true(l->runs == 3 && l->n == 30 && l->total.supported);
	near(l->total.value, 200);
	/* Student's t of two degrees of freedom is 4.30265272991; 100, 200 and 300 deviate by 100. */
	near(l->total.hi, 200 + 100 / sqrt(3) * 4.302652729911275);
	near(l->total.lo, 0);
	phases_free(&p);
	assert_int_equal(phases_pool(&p, "x", r, 2, 0.95, &err), 0);
	assert_true(l->runs == 2 && l->n == 20 && !l->total.supported);
	near(l->total.value, 150);
	assert_int_equal(p.level[LEVEL_P50].runs, 0);
	assert_int_equal(p.spans, 2);
	near(p.span[0].part[LEVEL_MEAN], 45);
	near(p.span[1].part[LEVEL_MEAN], 105);
	near(p.span[1].mean.value, 105);
	/* Percentiles are not averaged: the lower of two middle runs, and the range. */
	near(p.span[1].p50.value, 60);
	near(p.span[1].p50.lo, 60);
	near(p.span[1].p50.hi, 150);
	assert_true(isnan(p.span[1].p99.value));
	assert_string_equal(p.span[0].name, "guest.submit..guest.driver");
	assert_true(p.span[0].merged && !p.span[0].crosses && !p.span[1].merged && p.span[1].crosses);
	near(p.span[1].bound_ns, 7);
	near(p.span[1].least, -5);
	char text[100];
	assert_string_equal(phases_bound_text(&p.span[1], text, sizeof(text)), "7.0\u00a0ns");
	assert_string_equal(phases_absent(&p, text, sizeof(text)), "vmm, host.kernel");
	phases_free(&p);
	a[0].span[1].bound = 1;
	assert_int_equal(phases_pool(&p, "x", r, 1, 0.95, &err), 0);
	assert_false(p.level[LEVEL_MEAN].total.supported);
	assert_string_equal(phases_bound_text(&p.span[1], text, sizeof(text)), "1\u00a0tick");
	phases_free(&p);
	free(a);
}

static void test_parts_sum_to_the_total(void **state)
{
	(void)state;
	struct scene s;
	struct world_path odd[2] = { PATH_IOTHREAD, PATH_MAIN_LOOP };
	odd[0].suppressed = 0.3;
	odd[0].skew_us = 30;
	scene_init(&s, 2, REPEATS, odd, 2, "x");
	for (size_t g = 0; g < 2; g++)
		for (size_t k = 0; k < LEVELS; k++) {
			double sum = 0;
			for (size_t i = 0; i < s.p[g].spans; i++)
				sum += s.p[g].span[i].part[k];
			assert_int_equal(s.p[g].level[k].runs, REPEATS);
			near(sum, s.p[g].level[k].total.value);
		}
	/* 14 phases, and the merged one of requests without a kick of their own. */
	assert_int_equal(s.p[0].spans, 15);
	assert_int_equal(s.p[1].spans, 14);
	assert_true(s.p[0].level[LEVEL_P50].total.value < s.p[0].level[LEVEL_P99].total.value);
	scene_fini(&s);
}

/* Repeats too short for a level take no part in it, and do not drag it down. */
static void test_level_of_some_repeats(void **state)
{
	(void)state;
	struct attribution *a = calloc(2, sizeof(*a));
	struct mine_run run[2] = { 0 };
	struct phases p;
	struct error err = { 0 };
	struct world_path w = PATH_IOTHREAD;
	assert_non_null(a);
	world_attribute(&a[0], &w);
	w.n = 300;
	world_attribute(&a[1], &w);
	const struct phases_run r[2] = { { &run[0], &a[0] }, { &run[1], &a[1] } };
	assert_int_equal(phases_pool(&p, "x", r, 2, 0.95, &err), 0);
	assert_int_equal(p.level[LEVEL_P99].runs, 1);
	assert_false(p.level[LEVEL_P99].total.supported);
	near(p.level[LEVEL_P99].total.value, attribution_ns(&a[0], a[0].level[LEVEL_P99].total));
	double sum = 0;
	for (size_t i = 0; i < p.spans; i++)
		sum += p.span[i].part[LEVEL_P99];
	near(sum, p.level[LEVEL_P99].total.value);
	phases_free(&p);
	free(a);
}

static double length_of(const struct phases_run *r, enum example_role role)
{
	const struct attributed *x = &r->of->example[role].r;
	return (double)(x->at[AT_APP_REAP] - x->at[AT_APP_SUBMIT]);
}

static void test_examples(void **state)
{
	(void)state;
	struct scene s;
	scene_init(&s, 1, REPEATS, &PATH_MAIN_LOOP, 1, "x");
	const struct phases *p = &s.p[0];
	const struct phases_run *middle = phases_example(p, EXAMPLE_TYPICAL), *worst = phases_example(p, EXAMPLE_WORST);
	size_t below = 0;
	assert_non_null(middle);
	assert_non_null(worst);
	for (size_t r = 0; r < REPEATS; r++) {
		below += length_of(&p->run[r], EXAMPLE_TYPICAL) < length_of(middle, EXAMPLE_TYPICAL);
		assert_true(length_of(&p->run[r], EXAMPLE_WORST) <= length_of(worst, EXAMPLE_WORST));
	}
	assert_int_equal(below, 1);
	assert_null(phases_example(p, EXAMPLE_VIOLATION));
	/* Alike ones are told apart all the same. */
	for (size_t r = 0; r < REPEATS; r++)
		s.a[r].example[EXAMPLE_P99] = s.a[0].example[EXAMPLE_P99];
	assert_ptr_equal(phases_example(p, EXAMPLE_P99), &p->run[1]);
	scene_fini(&s);
}

/* ---- looks ---- */

/* In grey: who follows whom in a request's life differs clearly, or is hatched; words can be read on every fill. */
static void test_looks_in_grey(void **state)
{
	(void)state;
	for (unsigned p = 0; p < PHASES; p++) {
		struct phase_look one = phase_look(p, p + 1), next = phase_look(p + 1, p + 2);
		if (p + 1 < PHASES && one.hatched == next.hatched && colour_contrast(one.fill, next.fill) < 1.7)
			fail_msg("%s and %s: contrast %.2f", phase_name(p), phase_name(p + 1), colour_contrast(one.fill, next.fill));
		assert_int_equal(one.hatched, p == PHASE_CROSS_KICK || p == PHASE_CROSS_INJECT);
		/* Within a vantage every phase has a grey of its own. */
		for (unsigned q = 0; q < p; q++) {
			struct phase_look other = phase_look(q, q + 1);
			if (other.home == one.home && !one.hatched && colour_contrast(one.fill, other.fill) < 1.15)
				fail_msg("%s and %s: contrast %.2f", phase_name(p), phase_name(q), colour_contrast(one.fill, other.fill));
		}
	}
	for (unsigned from = 0; from < BOUNDARIES; from++)
		for (unsigned to = from + 1; to < BOUNDARIES; to++) {
			struct phase_look l = phase_look(from, to);
			assert_int_equal(l.hatched, phase_crosses(from, to));
			if (colour_contrast(l.fill, l.text) < 4.5)
				fail_msg("words on %u to %u: contrast %.2f", from, to, colour_contrast(l.fill, l.text));
			if (l.hatched)
				assert_true(colour_contrast(l.fill, l.hatch) > 3);
			assert_true(colour_contrast(l.fill, PAPER) > 1.15);
		}
	near(colour_luminance(PAPER), 1);
	near(colour_contrast(PAPER, (struct colour){ 0, 0, 0, 255 }), 21);
}

/* ---- charts ---- */

static struct canvas *draw(const struct scene *s, bool fall, double width, double scale)
{
	struct error err = { 0 };
	const struct chart_look look = {
		.title = "Where the time of a request goes", .subtitle = "randread, blocks of 4k, io_uring", .caption = "A caption.", .width = width, .scale = scale,
	};
	struct canvas *c = fall ? waterfall_draw(&look, s->p, s->n, ALL_ROLES, &err) : attribution_bar_draw(&look, s->p, s->n, ALL_LEVELS, &err);
	if (!c)
		fail_msg("%s", err.text);
	return c;
}

static void check_texts(struct canvas *c)
{
	size_t n;
	const struct text_box *t = canvas_texts(c, &n);
	assert_true(n > 3);
	for (size_t i = 0; i < n; i++) {
		struct box a = t[i].box;
		if (a.x < 0 || a.y < 0 || a.x + a.w > canvas_width(c) || a.y + a.h > canvas_height(c))
			fail_msg("\"%s\" leaves the page: %.1f,%.1f %.1f×%.1f on %.0f×%.0f", t[i].text, a.x, a.y, a.w, a.h, canvas_width(c), canvas_height(c));
		for (size_t j = 0; j < i; j++) {
			struct box b = t[j].box;
			double w = fmin(a.x + a.w, b.x + b.w) - fmax(a.x, b.x), h = fmin(a.y + a.h, b.y + b.h) - fmax(a.y, b.y);
			if (w > 1 && h > 1)
				fail_msg("\"%s\" and \"%s\" overlap by %.1f×%.1f", t[i].text, t[j].text, w, h);
		}
	}
}

static void test_texts_keep_their_places(void **state)
{
	(void)state;
	static struct world_path path[8];
	for (size_t i = 0; i < 8; i++)
		path[i] = i % 2 ? PATH_IOTHREAD : PATH_MAIN_LOOP;
	path[2].seen = 1 << AT_APP_SUBMIT | 1 << AT_APP_REAP;
	path[3].seen &= ~(1U << AT_GUEST_KICK | 1U << AT_IRQ_INJECT);
	path[4].n = 5;
	path[5].skew_us = 400;
	path[5].bound = 840000;
	path[6].suppressed = 0.5;
	path[7].n = 0;
	static const struct { size_t first, n, repeats; const char *label; } scenes[] = {
		{ 0, 1, 1, "one" }, { 0, 2, 3, "I/O thread" }, { 0, 8, 2, "virtio-blk, I/O thread on, aio io_uring, depth 32, cache none, and more of it" },
		{ 2, 1, 1, "nothing seen" }, { 3, 1, 3, "merged" }, { 4, 1, 1, "few" }, { 5, 1, 2, "off" }, { 6, 2, 1, "suppressed" }, { 7, 1, 1, "empty" },
	};
	static const double widths[] = { 400, 800, 1600 };
	for (size_t k = 0; k < sizeof(scenes) / sizeof(*scenes); k++) {
		struct scene s;
		scene_init(&s, scenes[k].n, scenes[k].repeats, path + scenes[k].first, 8 - scenes[k].first, scenes[k].label);
		for (size_t w = 0; w < 3; w++)
			for (int fall = 0; fall < 2; fall++) {
				struct canvas *c = draw(&s, fall, widths[w], 1);
				check_texts(c);
				canvas_free(c);
			}
		scene_fini(&s);
	}
}

static bool says(struct canvas *c, const char *words)
{
	size_t n;
	const struct text_box *t = canvas_texts(c, &n);
	for (size_t i = 0; i < n; i++)
		if (strstr(t[i].text, words))
			return true;
	return false;
}

/* ± stands on what crosses the clocks, and on nothing else. */
static void test_bounds_on_crossings_alone(void **state)
{
	(void)state;
	struct scene s;
	struct world_path w = PATH_MAIN_LOOP;
	w.bound = 2100;
	scene_init(&s, 1, 1, &w, 1, "x");
	struct canvas *c = draw(&s, false, 800, 1);
	size_t n, seen = 0;
	const struct text_box *t = canvas_texts(c, &n);
	for (size_t i = 0; i < n; i++)
		if (strstr(t[i].text, "±")) {
			if (strncmp(t[i].text, "cross.", 6) != 0)
				fail_msg("\"%s\"", t[i].text);
			assert_non_null(strstr(t[i].text, "±\u00a01.0\u00a0µs"));
			seen++;
		}
	assert_true(seen == 2 * LEVELS);
	canvas_free(c);
	c = draw(&s, true, 800, 1);
	t = canvas_texts(c, &n);
	for (size_t i = seen = 0; i < n; i++)
		seen += strstr(t[i].text, "±\u00a01.0\u00a0µs") != NULL;
	/* Two crossings of three requests. */
	assert_int_equal(seen, 6);
	canvas_free(c);
	scene_fini(&s);
}

static void test_what_is_missing_is_said(void **state)
{
	(void)state;
	struct scene s;
	struct world_path none = PATH_IOTHREAD, few = PATH_IOTHREAD;
	none.seen = 1 << AT_APP_SUBMIT | 1 << AT_APP_REAP;
	few.n = 100;
	struct world_path two[2] = { none, few };
	scene_init(&s, 2, 1, two, 2, "x");
	char text[100];
	assert_string_equal(phases_absent(&s.p[0], text, sizeof(text)), "guest.kernel, vmm, host.kernel");
	struct canvas *c = draw(&s, false, 800, 1);
	assert_true(says(c, "guest.submit..guest.reap"));
	assert_true(says(c, "n too small"));
	canvas_free(c);
	scene_fini(&s);
	s.n = 0;
	c = draw(&s, false, 800, 1);
	assert_true(says(c, "No run here could be attributed."));
	canvas_free(c);
	c = draw(&s, true, 800, 1);
	assert_true(says(c, "No run here has an attributed request"));
	canvas_free(c);
}

/* ---- pixels ---- */

struct stretch {
	int length, from;
};

/* The longest row of pixels of exactly this colour: a bar, for all else of that colour is shorter. */
static struct stretch longest(struct canvas *c, struct colour k)
{
	struct error err = { 0 };
	struct stretch best = { 0 };
	int w, h, stride;
	const uint8_t *rows = canvas_pixels(c, &w, &h, &stride, &err);
	assert_non_null(rows);
	for (int y = 0; y < h; y++)
		for (int x = 0, n = 0; x < w; x++) {
			const uint8_t *p = rows + (size_t)y * (size_t)stride + 4 * (size_t)x;
			n = p[0] == k.b && p[1] == k.g && p[2] == k.r ? n + 1 : 0;
			if (n > best.length)
				best = (struct stretch){ n, x - n + 1 };
		}
	return best;
}

static void test_bars_have_their_lengths(void **state)
{
	(void)state;
	struct attribution *a = calloc(1, sizeof(*a));
	struct mine_run run = { 0 };
	struct scene s = { .n = 1 };
	struct error err = { 0 };
	assert_non_null(a);
	golden(a, 300, 100);
	a->span[1] = (struct span_stat){ .from = 3, .to = 14, .count = 10, .sum = 1000, .p50 = 100, .p99 = INT64_MIN };
	const struct phases_run r = { &run, a };
	assert_int_equal(phases_pool(&s.p[0], "x", &r, 1, 0.95, &err), 0);
	struct canvas *c = draw(&s, false, 800, 1);
	struct stretch first = longest(c, phase_look(0, 3).fill), second = longest(c, phase_look(3, 14).fill);
	/* From zero, at the margin; 400 of 408 ns are the plot's 746 pixels; a pixel of paper parts the two. */
	assert_in_range(first.from, 20, 20);
	assert_in_range(first.length, 745 * 300 / 408 - 3, 746 * 300 / 408 + 2);
	assert_in_range(second.from, first.from + first.length, first.from + first.length + 2);
	assert_in_range(second.length, 746 * 100 / 408 - 3, 746 * 100 / 408 + 2);
	canvas_free(c);
	phases_free(&s.p[0]);
	/* What is negative lies left of zero, with its sign, and the rest begins right of it. */
	golden(a, 400, -100);
	assert_int_equal(phases_pool(&s.p[0], "x", &r, 1, 0.95, &err), 0);
	c = draw(&s, false, 800, 1);
	first = longest(c, phase_look(0, 3).fill);
	assert_true(says(c, "cross.kick −100\u00a0±\u00a0"));
	assert_in_range(first.from, 20 + 746 / 6, 20 + 746 / 4);
	canvas_free(c);
	phases_free(&s.p[0]);
	free(a);
}

static void test_crossings_are_hatched(void **state)
{
	(void)state;
	struct scene s;
	scene_init(&s, 1, 1, &PATH_MAIN_LOOP, 1, "x");
	struct canvas *c = draw(&s, false, 800, 2);
	struct phase_look look = phase_look(AT_GUEST_KICK, AT_HOST_NOTIFY);
	/* Lines end each stretch of the pale ground; elsewhere a bar is one stretch. */
	assert_in_range(longest(c, phase_look(AT_HOST_REAP, AT_DEVICE_DONE).fill).length, 200, 500);
	struct stretch pale = longest(c, look.fill);
	assert_in_range(pale.length, 3, 330);
	assert_true(longest(c, look.hatch).length > 100);
	canvas_free(c);
	scene_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_parts_sum_to_the_total),
		cmocka_unit_test(test_level_of_some_repeats),
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_looks_in_grey),
		cmocka_unit_test(test_texts_keep_their_places),
		cmocka_unit_test(test_bounds_on_crossings_alone),
		cmocka_unit_test(test_what_is_missing_is_said),
		cmocka_unit_test(test_bars_have_their_lengths),
		cmocka_unit_test(test_crossings_are_hatched),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
