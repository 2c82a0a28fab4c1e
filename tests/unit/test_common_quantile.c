/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sorting and order statistics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/quantile.h"

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void sort_agrees_with_qsort(void **state)
{
	(void)state;
	enum { MOST = 3000 };
	static uint64_t v[MOST], want[MOST], tmp[MOST];
	unsigned seed = 11;
	for (int round = 0; round < 300; round++) {
		size_t n = (size_t)rand_r(&seed) % MOST;
		unsigned shift = (unsigned)rand_r(&seed) % 64;
		for (size_t i = 0; i < n; i++)
			v[i] = want[i] = ((uint64_t)rand_r(&seed) << 62 ^ (uint64_t)rand_r(&seed) << 31 ^ (uint64_t)rand_r(&seed)) >> shift;
		sort_u64(v, tmp, n);
		qsort(want, n, sizeof(want[0]), compare);
		assert_memory_equal(v, want, n * sizeof(v[0]));
	}
	sort_u64(v, tmp, 0);
}

static void ranks_are_exact(void **state)
{
	(void)state;
	assert_int_equal(quantile_rank(1, 0), 1);
	assert_int_equal(quantile_rank(1, 1), 1);
	assert_int_equal(quantile_rank(10, 0.5), 5);
	assert_int_equal(quantile_rank(11, 0.5), 6);
	assert_int_equal(quantile_rank(100, 0.07), 7);
	assert_int_equal(quantile_rank(100, 0.99), 99);
	assert_int_equal(quantile_rank(1000, 0.999), 999);
	assert_int_equal(quantile_rank(1001, 0.999), 1000);
	assert_int_equal(quantile_rank(10, 1), 10);
	/* Every whole percentage of every n that makes it whole. */
	for (uint64_t p = 0; p <= 100; p++)
		for (uint64_t n = 100; n <= 1000000; n *= 10)
			assert_int_equal(quantile_rank(n, (double)p / 100), p ? p * n / 100 : 1);
}

static void quantiles_are_order_statistics(void **state)
{
	(void)state;
	const uint64_t v[] = { 10, 20, 30, 40 };
	assert_int_equal(quantile_sorted(v, 4, 0), 10);
	assert_int_equal(quantile_sorted(v, 4, 0.25), 10);
	assert_int_equal(quantile_sorted(v, 4, 0.26), 20);
	assert_int_equal(quantile_sorted(v, 4, 0.5), 20);
	assert_int_equal(quantile_sorted(v, 4, 0.75), 30);
	assert_int_equal(quantile_sorted(v, 4, 1), 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sort_agrees_with_qsort),
		cmocka_unit_test(ranks_are_exact),
		cmocka_unit_test(quantiles_are_order_statistics),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
