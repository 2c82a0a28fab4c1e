/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The histogram against exact answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/hist.h"
#include "common/quantile.h"

static void buckets_tile_the_numbers(void **state)
{
	(void)state;
	uint64_t next = 0, lo, hi;
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		hist_bucket_range(i, &lo, &hi);
		assert_int_equal(lo, next);
		assert_true(hi >= lo);
		/* Width at most 2^-HIST_BITS of the value. */
		assert_true(hi - lo <= lo >> HIST_BITS);
		next = hi + 1;
	}
	assert_int_equal(hi, UINT64_MAX);
}

static void values_fall_into_their_bucket(void **state)
{
	(void)state;
	static struct hist h;
	unsigned seed = 3;
	for (int i = 0; i < 20000; i++) {
		uint64_t v = ((uint64_t)rand_r(&seed) << 40 ^ (uint64_t)rand_r(&seed) << 20 ^ (uint64_t)rand_r(&seed)) >> rand_r(&seed) % 64;
		uint64_t lo, hi;
		unsigned b = 0;
		hist_init(&h);
		hist_add(&h, v);
		uint64_t q = hist_quantile(&h, 0.5);
		assert_int_equal(q, v);
		/* By bisection: buckets ascend. */
		for (unsigned step = 1 << 14; step; step >>= 1) {
			if (b + step >= HIST_BUCKETS)
				continue;
			hist_bucket_range(b + step, &lo, &hi);
			if (lo <= v)
				b += step;
		}
		assert_int_equal(h.bucket[b], 1);
	}
}

static void quantiles_are_near_the_exact(void **state)
{
	(void)state;
	enum { N = 50000 };
	static struct hist h;
	static uint64_t v[N], tmp[N];
	static const double qs[] = { 0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1 };
	unsigned seed = 5;
	hist_init(&h);
	for (int i = 0; i < N; i++) {
		v[i] = (uint64_t)(1e5 * exp(3 * (double)rand_r(&seed) / RAND_MAX));
		hist_add(&h, v[i]);
	}
	sort_u64(v, tmp, N);
	for (size_t i = 0; i < sizeof(qs) / sizeof(qs[0]); i++) {
		uint64_t exact = quantile_sorted(v, N, qs[i]), got = hist_quantile(&h, qs[i]);
		assert_true(got >= exact);
		assert_true(got - exact <= exact >> HIST_BITS);
	}
	assert_int_equal(hist_quantile(&h, 1), v[N - 1]);
	assert_int_equal(h.min, v[0]);
}

static void an_empty_one_gives_zero(void **state)
{
	(void)state;
	static struct hist h;
	hist_init(&h);
	assert_int_equal(hist_quantile(&h, 0.5), 0);
}

static void merging_is_adding(void **state)
{
	(void)state;
	static struct hist a, b, all;
	hist_init(&a);
	hist_init(&b);
	hist_init(&all);
	for (uint64_t i = 1; i < 3000; i++) {
		hist_add(i % 3 ? &a : &b, i * i);
		hist_add(&all, i * i);
	}
	hist_merge(&a, &b);
	assert_memory_equal(&a, &all, sizeof(a));
	hist_add(&a, UINT64_MAX);
	hist_add(&a, UINT64_MAX);
	assert_int_equal(a.sum, UINT64_MAX);
}

static void packing_round_trip(void **state)
{
	(void)state;
	static struct hist h, back;
	struct wbuf w;
	struct error err;
	wbuf_heap(&w, 1 << 20);
	hist_init(&h);
	hist_pack(&w, &h);
	assert_int_equal(hist_unpack((struct span){ w.p, w.len }, &back, &err), 0);
	assert_memory_equal(&h, &back, sizeof(h));
	hist_add(&h, 0);
	hist_add(&h, UINT64_MAX);
	for (uint64_t i = 1; i < 3000; i++)
		hist_add(&h, i * i * i);
	wbuf_reset(&w);
	hist_pack(&w, &h);
	assert_false(w.bad);
	assert_int_equal(hist_unpack((struct span){ w.p, w.len }, &back, &err), 0);
	assert_memory_equal(&h, &back, sizeof(h));
	for (size_t n = 0; n < w.len; n++)
		assert_int_equal(hist_unpack((struct span){ w.p, n }, &back, &err), -1);
	wbuf_fini(&w);
}

static int unpack_made(uint64_t count, uint64_t min, uint64_t max, uint64_t step, uint64_t in_bucket)
{
	static struct hist h;
	struct error err;
	struct wbuf w;
	uint8_t mem[64];
	wbuf_fixed(&w, mem, sizeof(mem));
	put_u8(&w, 1);
	put_varint(&w, count);
	put_varint(&w, 5);
	put_varint(&w, min);
	put_varint(&w, max);
	put_varint(&w, step);
	put_varint(&w, in_bucket);
	return hist_unpack((struct span){ w.p, w.len }, &h, &err);
}

static void made_up_ones_are_refused(void **state)
{
	(void)state;
	assert_int_equal(unpack_made(1, 5, 5, 6, 1), 0);
	assert_int_equal(unpack_made(2, 5, 5, 6, 1), -1);
	assert_int_equal(unpack_made(1, 4, 5, 6, 1), -1);
	assert_int_equal(unpack_made(1, 5, 4, 6, 1), -1);
	assert_int_equal(unpack_made(1, 5, 5, 0, 1), -1);
	assert_int_equal(unpack_made(0, 5, 5, 6, 0), -1);
	assert_int_equal(unpack_made(1, 5, 5, HIST_BUCKETS + 1, 1), -1);
	assert_int_equal(unpack_made(1, 5, 5, UINT64_MAX, 1), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_tile_the_numbers),
		cmocka_unit_test(values_fall_into_their_bucket),
		cmocka_unit_test(quantiles_are_near_the_exact),
		cmocka_unit_test(an_empty_one_gives_zero),
		cmocka_unit_test(merging_is_adding),
		cmocka_unit_test(packing_round_trip),
		cmocka_unit_test(made_up_ones_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
