/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Estimates and intervals against tables, against the naive way, and against what they promise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/special.h"
#include "mine/stats.h"
#include "tests/fixtures/mine_world.h"

enum { SAMPLES = 4000 };

static void check(double got, double want, double share)
{
	if (fabs(got - want) > share * fabs(want))
		fail_msg("got %.10g, want %.10g", got, want);
}

static void test_special_functions(void **state)
{
	(void)state;
	/* I_x(1, b) = 1 − (1 − x)^b and I_x(a, 1) = x^a, exactly. */
	check(beta_cdf(0.3, 1, 7), 1 - pow(0.7, 7), 1e-10);
	check(beta_cdf(0.3, 4, 1), pow(0.3, 4), 1e-10);
	check(beta_cdf(0.5, 1000, 1000), 0.5, 1e-9);
	check(beta_cdf(0.5, 200000, 200000), 0.5, 1e-6);
	assert_true(beta_cdf(0, 2, 3) == 0 && beta_cdf(1, 2, 3) == 1);
	/* Printed in every table. */
	check(student_quantile(0.975, 1), 12.7062, 1e-5);
	check(student_quantile(0.975, 4), 2.776445, 1e-6);
	check(student_quantile(0.975, 23), 2.068658, 1e-6);
	check(student_quantile(0.975, 1e6), 1.959966, 1e-5);
	check(student_quantile(0.025, 4), -2.776445, 1e-6);
	for (double p = 0.001; p < 1; p += 0.0499)
		check(beta_cdf(beta_quantile(p, 3.5, 900), 3.5, 900), p, 1e-7);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

struct sample_set {
	uint64_t at[SAMPLES], value[SAMPLES];
	struct stats_run run;
};

/* `steady`: log-normal values with AR(1) noise `rho`, one each 100 µs. */
static void fill(struct sample_set *s, uint64_t seed, double rho)
{
	struct world_rng rng = { seed * 7919 + 3 };
	double ar = world_gauss(&rng);
	for (size_t i = 0; i < SAMPLES; i++) {
		ar = rho * ar + sqrt(1 - rho * rho) * world_gauss(&rng);
		s->at[i] = i * 100000;
		s->value[i] = (uint64_t)(1e5 * exp(0.4 * ar));
	}
	s->run = (struct stats_run){ s->at, s->value, SAMPLES, SAMPLES * 1e-4 };
}

static void test_quantiles_are_exact(void **state)
{
	(void)state;
	static struct sample_set s[2];
	static uint64_t all[2 * SAMPLES];
	fill(&s[0], 1, 0);
	fill(&s[1], 2, 0);
	memcpy(all, s[0].value, sizeof(s[0].value));
	memcpy(all + SAMPLES, s[1].value, sizeof(s[1].value));
	qsort(all, 2 * SAMPLES, sizeof(*all), by_value);
	struct stats st;
	struct error err = { 0 };
	assert_int_equal(stats_init(&st, (struct stats_run[]){ s[0].run, s[1].run }, 2, 0.95, &err), 0);
	static const double q[] = { 0, 0.001, 0.05, 0.25, 0.5, 0.9, 0.99, 0.999, 1 };
	for (size_t i = 0; i < sizeof(q) / sizeof(*q); i++) {
		size_t rank = (size_t)ceil(q[i] * 2 * SAMPLES);
		assert_int_equal((uint64_t)stats_quantile(&st, q[i]).value, all[rank ? rank - 1 : 0]);
	}
	double sum = 0;
	for (size_t i = 0; i < 2 * SAMPLES; i++)
		sum += (double)all[i];
	check(stats_mean(&st).value, sum / (2 * SAMPLES), 1e-12);
	check(stats_rate(&st).value, 10000, 1e-12);
	assert_int_equal((uint64_t)stats_max(&st), all[2 * SAMPLES - 1]);
	assert_int_equal(st.clusters, STATS_BLOCKS);
	assert_false(st.by_run);
	stats_fini(&st);
}

/* The first q that n independent samples support: 368 for p99 and so on, times what Student's t for 24 blocks costs. */
static void test_support_follows_n(void **state)
{
	(void)state;
	static uint64_t at[60000], value[60000];
	struct world_rng rng = { 99 };
	for (size_t i = 0; i < 60000; i++)
		value[i] = 1000 + world_next(&rng) % 100000;
	static const struct { double q; size_t n; } least[] = { { 0.99, 368 }, { 0.999, 3688 }, { 0.9999, 36888 } };
	for (size_t k = 0; k < 3; k++) {
		for (int enough = 0; enough < 2; enough++) {
			/* 0.95 of the textbook's number is never enough; with the price of t and a chance design effect 1.6 of it is. */
			size_t n = (size_t)((double)least[k].n * (enough ? 1.6 : 0.95));
			for (size_t i = 0; i < n; i++)
				at[i] = i * 1000000;
			struct stats_run run = { at, value, n, (double)n * 1e-3 };
			struct stats st;
			struct error err = { 0 };
			assert_int_equal(stats_init(&st, &run, 1, 0.95, &err), 0);
			assert_int_equal(stats_quantile(&st, least[k].q).supported, enough);
			if (enough)
				assert_true(stats_last_nine(&st) >= -log10(1 - least[k].q) - 0.05);
			else
				assert_true(stats_last_nine(&st) < -log10(1 - least[k].q));
			stats_fini(&st);
		}
	}
}

/* What a 95 % interval promises, on data as autocorrelated as I/O latencies are; and what intervals over raw requests would keep of it. */
static void test_coverage(void **state)
{
	(void)state;
	enum { ROUNDS = 400 };
	static struct sample_set s;
	const double true_median = 1e5, true_p99 = 1e5 * exp(0.4 * 2.3263479);
	const double true_mean = 1e5 * exp(0.08);
	unsigned median = 0, p99 = 0, supported = 0, mean = 0, naive = 0;
	for (uint64_t seed = 0; seed < ROUNDS; seed++) {
		fill(&s, seed + 1000, 0.9);
		struct stats st;
		struct error err = { 0 };
		assert_int_equal(stats_init(&st, &s.run, 1, 0.95, &err), 0);
		struct estimate e = stats_quantile(&st, 0.5), tail = stats_quantile(&st, 0.99), m = stats_mean(&st);
		assert_true(e.supported && e.lo <= e.value && e.value <= e.hi);
		median += e.lo <= true_median && true_median <= e.hi;
		supported += tail.supported;
		p99 += tail.supported && tail.lo <= true_p99 && true_p99 <= tail.hi;
		mean += m.lo <= true_mean && true_mean <= m.hi;
		double half = 1.96 * sqrt(0.25 / SAMPLES);
		double lo = (double)st.sorted[(size_t)((0.5 - half) * SAMPLES)], hi = (double)st.sorted[(size_t)((0.5 + half) * SAMPLES)];
		naive += lo <= true_median && true_median <= hi;
		stats_fini(&st);
	}
	/* 400 rounds have a standard error of 1.1 points. */
	assert_in_range(median, 0.91 * ROUNDS, ROUNDS);
	assert_in_range(mean, 0.91 * ROUNDS, ROUNDS);
	assert_in_range(supported, 0.9 * ROUNDS, ROUNDS);
	assert_in_range(p99, 0.90 * supported, supported);
	assert_in_range(naive, 0, 0.6 * ROUNDS);
}

/* One stall that many requests shared is one event, whatever its requests are called: no percentile in or behind it is supported. */
static void test_a_stall_is_one_event(void **state)
{
	(void)state;
	static struct sample_set s;
	fill(&s, 3, 0);
	/* 1.5 % of the requests; the slowest few alike. */
	for (size_t i = 2000; i < 2060; i++)
		s.value[i] = i < 2008 ? 900000000 : 300000000 + i;
	struct stats st;
	struct error err = { 0 };
	assert_int_equal(stats_init(&st, &s.run, 1, 0.95, &err), 0);
	assert_true(stats_quantile(&st, 0.5).supported && stats_quantile(&st, 0.9).supported);
	assert_false(stats_quantile(&st, 0.99).supported);
	assert_false(stats_quantile(&st, 0.999).supported);
	assert_true(stats_effective_n(&st, 0.999) < 1000);
	stats_fini(&st);
}

/* Requests that all fell into one block of time tell nothing of how blocks differ. */
static void test_one_block_is_no_variance(void **state)
{
	(void)state;
	static struct sample_set s;
	struct stats st;
	struct error err = { 0 };
	fill(&s, 5, 0);
	s.run = (struct stats_run){ s.at, s.value, SAMPLES, 100 };
	assert_int_equal(stats_init(&st, &s.run, 1, 0.95, &err), 0);
	assert_true(stats_effective_n(&st, 0.5) == 1);
	assert_false(stats_quantile(&st, 0.5).supported);
	assert_false(stats_mean(&st).supported);
	/* That 23 blocks were empty does tell of the rate. */
	assert_true(stats_rate(&st).supported && stats_rate(&st).hi > 2 * stats_rate(&st).value);
	stats_fini(&st);
}

static void test_repeats_carry_their_variance(void **state)
{
	(void)state;
	static struct sample_set s[6];
	struct stats_run runs[6];
	for (size_t i = 0; i < 6; i++) {
		fill(&s[i], i + 1, 0);
		/* Each boot has its own speed, 10 % apart. */
		for (size_t k = 0; k < SAMPLES; k++)
			s[i].value[k] = (uint64_t)((double)s[i].value[k] * (1 + 0.1 * (double)i));
		runs[i] = s[i].run;
	}
	struct stats few, many;
	struct error err = { 0 };
	assert_int_equal(stats_init(&few, runs, 1, 0.95, &err), 0);
	assert_int_equal(stats_init(&many, runs, 6, 0.95, &err), 0);
	assert_true(many.by_run && many.clusters == 6 && !few.by_run);
	struct estimate one = stats_quantile(&few, 0.5), all = stats_quantile(&many, 0.5);
	/* Six times the requests, and yet less certain: the boots differ. */
	assert_true((all.hi - all.lo) / all.value > 2 * (one.hi - one.lo) / one.value);
	stats_fini(&few);
	stats_fini(&many);
}

static void test_ratio(void **state)
{
	(void)state;
	struct estimate a = { 200, 180, 225, true }, b = { 100, 95, 104, true };
	struct estimate r = estimate_ratio(a, b);
	check(r.value, 2, 1e-12);
	check(r.lo, 2 * exp(-hypot(log(200.0 / 180), log(104.0 / 100))), 1e-12);
	check(r.hi, 2 * exp(hypot(log(225.0 / 200), log(100.0 / 95))), 1e-12);
	struct estimate back = estimate_ratio(b, a);
	check(back.lo * r.hi, 1, 1e-12);
	a.supported = false;
	assert_false(estimate_ratio(a, b).supported);
	assert_false(estimate_ratio(b, (struct estimate){ 0, 0, 0, true }).supported);
}

static void test_odd_samples(void **state)
{
	(void)state;
	static uint64_t at[100], same[100];
	struct stats st;
	struct error err = { 0 };
	struct stats_run run = { at, same, 1, 1.0 };
	same[0] = 42;
	assert_int_equal(stats_init(&st, &run, 1, 0.95, &err), 0);
	assert_false(stats_quantile(&st, 0.5).supported);
	assert_true(stats_quantile(&st, 0.5).value == 42 && stats_max(&st) == 42);
	assert_true(stats_last_nine(&st) == 0);
	/* One request is no reason to be certain. */
	assert_false(stats_mean(&st).supported);
	stats_fini(&st);
	for (size_t i = 0; i < 100; i++) {
		same[i] = 7;
		at[i] = i * 10000000;
	}
	run.n = 100;
	assert_int_equal(stats_init(&st, &run, 1, 0.95, &err), 0);
	struct estimate e = stats_quantile(&st, 0.5);
	assert_true(e.supported && e.lo == 7 && e.hi == 7);
	assert_true(stats_mean(&st).lo == 7 && stats_mean(&st).hi == 7);
	stats_fini(&st);
	/* A window of no length, stamps beyond the window, nothing at all. */
	run.seconds = 0;
	assert_int_equal(stats_init(&st, &run, 1, 0.95, &err), 0);
	assert_false(stats_rate(&st).supported);
	stats_fini(&st);
	run.n = 0;
	assert_int_equal(stats_init(&st, &run, 1, 0.95, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void test_warmup(void **state)
{
	(void)state;
	static uint64_t v[5000];
	struct world_rng rng = { 5 };
	for (size_t i = 0; i < 5000; i++)
		v[i] = (uint64_t)(1e5 * exp(0.2 * world_gauss(&rng)));
	assert_int_equal(stats_warmup(v, 5000), 0);
	for (size_t i = 0; i < 600; i++)
		v[i] *= 3;
	assert_in_range(stats_warmup(v, 5000), 590, 640);
	/* Slower and slower: there is no steady state to cut to. */
	for (size_t i = 0; i < 5000; i++)
		v[i] = 1000 + 100 * i;
	assert_int_equal(stats_warmup(v, 5000), 5000);
	assert_int_equal(stats_warmup(v, 3), 0);
	assert_int_equal(stats_warmup(v, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_special_functions),
		cmocka_unit_test(test_quantiles_are_exact),
		cmocka_unit_test(test_support_follows_n),
		cmocka_unit_test(test_coverage),
		cmocka_unit_test(test_a_stall_is_one_event),
		cmocka_unit_test(test_one_block_is_no_variance),
		cmocka_unit_test(test_repeats_carry_their_variance),
		cmocka_unit_test(test_ratio),
		cmocka_unit_test(test_odd_samples),
		cmocka_unit_test(test_warmup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
