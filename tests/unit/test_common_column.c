/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Columns of changes: round trips, sizes, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/column.h"

static uint64_t in[COLUMN_MAX + 1], out[COLUMN_MAX];
static uint8_t mem[COLUMN_BYTES_MAX];
static unsigned seed;

static uint64_t random64(void)
{
	return (uint64_t)rand_r(&seed) << 62 ^ (uint64_t)rand_r(&seed) << 31 ^ (uint64_t)rand_r(&seed);
}

static bool get(size_t bytes, size_t n)
{
	struct rbuf r;
	rbuf_init(&r, mem, bytes);
	return column_get(&r, out, n);
}

static size_t round_trip(size_t n)
{
	struct wbuf w;
	wbuf_fixed(&w, mem, sizeof(mem));
	column_put(&w, in, n);
	assert_false(w.bad);
	memset(out, 0xa5, sizeof(out));
	assert_true(get(w.len, n));
	assert_memory_equal(in, out, n * sizeof(in[0]));
	assert_false(get(w.len, n + 1));
	for (size_t cut = 0; cut < w.len; cut += 1 + w.len / 50)
		assert_false(get(cut, n));
	return w.len;
}

static void anything_round_trips(void **state)
{
	(void)state;
	for (int round = 0; round < 600; round++) {
		size_t n = (size_t)rand_r(&seed) % (round % 3 ? 200 : COLUMN_MAX) + 1;
		unsigned bits = (unsigned)rand_r(&seed) % 64, odd = (unsigned)rand_r(&seed) % 40;
		uint64_t unit = round % 4 == 0 ? 1000 : round % 4 == 1 ? 8 : round % 4 == 2 ? 1 : random64() >> 20;
		for (size_t i = 0; i < n; i++) {
			in[i] = (random64() >> bits) * unit;
			if (round % 2 && rand_r(&seed) % 2)
				in[i] = 0 - in[i];
			if (odd && (unsigned)rand_r(&seed) % odd == 0)
				in[i] = random64();
		}
		round_trip(n);
	}
}

static void extremes_round_trip(void **state)
{
	(void)state;
	static const uint64_t ends[] = { 0, 1, 7, 8, INT64_MAX, (uint64_t)1 << 63, UINT64_MAX, (uint64_t)1 << 62, UINT64_MAX - 7 };
	for (size_t e = 0; e < sizeof(ends) / sizeof(ends[0]); e++) {
		for (size_t i = 0; i < COLUMN_MAX; i++)
			in[i] = ends[e];
		round_trip(COLUMN_MAX);
		for (size_t i = 0; i < COLUMN_MAX; i++)
			in[i] = ends[(i + e) % (sizeof(ends) / sizeof(ends[0]))];
		round_trip(COLUMN_MAX);
		round_trip(1);
	}
	round_trip(0);
	/* Every class occurs, most of them once. */
	for (size_t i = 0; i < COLUMN_MAX; i++)
		in[i] = i < 300 ? ((uint64_t)(4 | (i & 3)) << (i / 4 % 60)) + i % 2 : 5;
	round_trip(COLUMN_MAX);
}

static void noise_costs_its_bits_and_order_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < COLUMN_MAX; i++)
		in[i] = 77;
	assert_in_range(round_trip(COLUMN_MAX), 1, 20);
	for (size_t i = 0; i < COLUMN_MAX; i++)
		in[i] = (uint64_t)rand_r(&seed) % 65536;
	assert_in_range(round_trip(COLUMN_MAX), 4096, 4200);
	/* Microseconds in nanoseconds, and places of 4 KiB: the unit is free, a few that have none do not spoil it. */
	for (size_t i = 0; i < COLUMN_MAX; i++)
		in[i] = (uint64_t)rand_r(&seed) % 256 * 1000 + (i % 100 == 0);
	assert_in_range(round_trip(COLUMN_MAX), 2048, 2450);
	for (size_t i = 0; i < COLUMN_MAX; i++)
		in[i] = (((uint64_t)rand_r(&seed) % 65536) - 32768) * 8;
	assert_in_range(round_trip(COLUMN_MAX), 4096, 4250);
}

static void too_many_are_refused(void **state)
{
	(void)state;
	struct wbuf w;
	wbuf_fixed(&w, mem, sizeof(mem));
	column_put(&w, in, COLUMN_MAX + 1);
	assert_true(w.bad);
	assert_false(get(10, COLUMN_MAX + 1));
}

static void damage_never_trips(void **state)
{
	(void)state;
	struct wbuf w;
	for (size_t i = 0; i < 500; i++)
		in[i] = (uint64_t)rand_r(&seed) % 3000;
	wbuf_fixed(&w, mem, sizeof(mem));
	column_put(&w, in, 500);
	for (int i = 0; i < 50000; i++) {
		uint8_t *at = &mem[(size_t)rand_r(&seed) % (i % 2 ? w.len : 90)], was = *at;
		*at = (uint8_t)rand_r(&seed);
		get(w.len, 500);
		if (i % 3)
			*at = was;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anything_round_trips),
		cmocka_unit_test(extremes_round_trip),
		cmocka_unit_test(noise_costs_its_bits_and_order_nothing),
		cmocka_unit_test(too_many_are_refused),
		cmocka_unit_test(damage_never_trips),
	};
	seed = 7;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
