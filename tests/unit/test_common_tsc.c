/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TSC arithmetic; what the clock itself does is checked only for order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <time.h>

#include "common/tsc.h"

static void stamps_ascend(void **state)
{
	(void)state;
	uint64_t last = tsc_read();
	for (int i = 0; i < 1000; i++) {
		uint64_t now = tsc_read();
		assert_true((int64_t)(now - last) >= 0);
		last = now;
	}
}

static void anchors_bracket(void **state)
{
	(void)state;
	struct tsc_anchor a = tsc_anchor_take(CLOCK_MONOTONIC_RAW, 20), b = tsc_anchor_take(CLOCK_MONOTONIC_RAW, 20);
	assert_true((int64_t)(a.after - a.before) >= 0);
	assert_true((int64_t)(b.before - a.after) >= 0);
	assert_true(b.ns >= a.ns);
}

static void frequency_lies_in_its_bound(void **state)
{
	(void)state;
	/* 2.45 GHz, read somewhere in brackets of 100 and 300 cycles, over the wrap of 2^64. */
	const uint64_t hz = 2450000000, start = UINT64_MAX - 1000000;
	for (uint64_t in_a = 0; in_a <= 100; in_a += 50) {
		for (uint64_t in_b = 0; in_b <= 300; in_b += 100) {
			struct tsc_anchor a = { start, start + 100, 5000 }, b;
			uint64_t read_b = start + in_a + hz / 10;
			b = (struct tsc_anchor){ read_b - in_b, read_b - in_b + 300, 5000 + 100000000 };
			double error;
			uint64_t got = tsc_hz_between(&a, &b, &error);
			assert_true(fabs((double)got - (double)hz) <= error + 0.5);
			assert_true(error <= 2000.5);
		}
	}
}

static void short_spans_give_nothing(void **state)
{
	(void)state;
	struct tsc_anchor a = { 0, 10, 0 }, b = { 1000, 1010, 999999 }, c = { 2000, 2010, 1000000 };
	double error = 5;
	assert_int_equal(tsc_hz_between(&a, &b, &error), 0);
	assert_int_equal(tsc_hz_between(&c, &a, NULL), 0);
	assert_true(tsc_hz_between(&a, &c, NULL) > 0);
}

static void cycles_to_ns(void **state)
{
	(void)state;
	assert_true(tsc_to_ns(2450000000, 2450000000) == 1e9);
	assert_true(tsc_to_ns(245, 2450000000) == 100.0);
	assert_true(tsc_to_ns(0, 1) == 0.0);
	assert_true(tsc_to_ns(1, 3) == 1e9 / 3);
	/* Large counts lose nothing before the last rounding. */
	assert_true(tsc_to_ns((1ull << 60) + 1000000000, 1000000000) == (double)((1ull << 60) + 1000000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stamps_ascend),
		cmocka_unit_test(anchors_bracket),
		cmocka_unit_test(frequency_lies_in_its_bound),
		cmocka_unit_test(short_spans_give_nothing),
		cmocka_unit_test(cycles_to_ns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
