/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traced against untraced runs: which make a pair, golden ratios and intervals, what is too few. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mine/analysis.h"

enum { RUNS_MAX = 16, REQUESTS = 1000 };

static uint64_t flat[REQUESTS];

/* A world in memory: runs of constant latencies, whose figures are known. */
struct world {
	struct mine_run run[RUNS_MAX];
	struct attr attr[RUNS_MAX][4];
	char text[RUNS_MAX][4][16];
	uint64_t *latency[RUNS_MAX];
	struct template t;
	struct analysis a;
	struct own_cost own;
};

/* `traced` and `repeat` may be NULL: the run does not say. n requests of `us` each in `seconds`. */
static void add(struct world *w, uint64_t study, const char *bus, const char *traced, const char *repeat, size_t n, uint64_t us, double seconds)
{
	size_t i = w->a.data.runs++;
	struct mine_run *r = &w->run[i];
	const char *const pair[3][2] = { { "config.disk.bus", bus }, { KEY_TRACED, traced }, { "study.repeat", repeat } };
	*r = (struct mine_run){ .meta = { .run = i + 1, .study = study }, .attr = w->attr[i], .n = n, .seconds = seconds, .direction = "read" };
	for (size_t k = 0; k < 3; k++)
		if (pair[k][1]) {
			snprintf(w->text[i][k], sizeof(w->text[i][k]), "%s", pair[k][1]);
			r->attr[r->n_attr++] = (struct attr){ (char *)(uintptr_t)pair[k][0], w->text[i][k] };
		}
	w->latency[i] = calloc(n + 1, sizeof(uint64_t));
	assert_non_null(w->latency[i]);
	for (size_t k = 0; k < n; k++)
		w->latency[i][k] = us * 1000;
	r->latency = w->latency[i];
	r->at = flat;
}

static void solve(struct world *w)
{
	struct error err = { 0 };
	w->t.level = 0.95;
	w->a.t = &w->t;
	w->a.data.run = w->run;
	assert_int_equal(dataset_group(&w->a.data, NULL, 0, &err), 0);
	assert_int_equal(own_cost_init(&w->own, &w->a, &err), 0);
}

static void fini(struct world *w)
{
	own_cost_fini(&w->own);
	for (size_t i = 0; i < w->a.data.runs; i++)
		free(w->latency[i]);
	w->a.data.runs = 0;
	/* The runs are not the dataset's own. */
	w->a.data.run = NULL;
	dataset_fini(&w->a.data);
}

static void near(double got, double want)
{
	if (!(fabs(got - want) <= 1e-9 * fabs(want)))
		fail_msg("%.12g is not %.12g", got, want);
}

static void test_golden(void **state)
{
	(void)state;
	struct world w = { 0 };
	static const char *const repeat[] = { "0", "1", "2" };
	/* The latencies are in the ratios 1.1, 1.2 and 1.5, the rates in 0.5, 0.5 and 1. */
	static const uint64_t us[] = { 110, 120, 150 };
	for (int r = 2; r >= 0; r--)
		add(&w, 1, "ahci", "on", repeat[r], 1000, us[r], r < 2 ? 2 : 1);
	for (int r = 0; r < 3; r++)
		add(&w, 1, "ahci", "off", repeat[r], 1000, 100, 1);
	solve(&w);
	assert_int_equal(w.own.rows, 1);
	const struct own_row *row = &w.own.row[0];
	assert_string_equal(row->label, "all runs");
	assert_true(row->pairs == 3 && row->with[OWN_P99] == 3);
	double l[3] = { log(1.1), log(1.2), log(1.5) }, mean = (l[0] + l[1] + l[2]) / 3, squares = 0;
	for (size_t i = 0; i < 3; i++)
		squares += (l[i] - mean) * (l[i] - mean);
	double half = 4.302652729911275 * sqrt(squares / 2 / 3);
	near(row->ratio[OWN_P50].value, exp(mean));
	near(row->ratio[OWN_P50].lo, exp(mean - half));
	near(row->ratio[OWN_P50].hi, exp(mean + half));
	near(row->ratio[OWN_P99].value, exp(mean));
	near(row->ratio[OWN_IOPS].value, cbrt(0.25));
	assert_true(row->ratio[OWN_IOPS].supported);
	fini(&w);
}

/* Neither another repeat nor another study is a neighbour, and who does not say is nobody's. */
static void test_who_makes_a_pair(void **state)
{
	(void)state;
	struct world w = { 0 };
	add(&w, 1, "ahci", "on", "0", 1000, 200, 1);
	add(&w, 1, "ahci", "off", "0", 1000, 100, 1);
	add(&w, 1, "ahci", "on", "1", 1000, 300, 1);
	add(&w, 2, "ahci", "off", "1", 1000, 100, 1);
	add(&w, 1, "ahci", "off", NULL, 1000, 1, 1);
	add(&w, 1, "nvme", "on", "0", 1000, 1, 1);
	add(&w, 1, "ide", "off", "0", 1000, 1, 1);
	add(&w, 1, "ide", NULL, "0", 1000, 1, 1);
	solve(&w);
	assert_int_equal(w.own.rows, 1);
	assert_string_equal(w.own.row[0].label, "bus ahci");
	assert_int_equal(w.own.row[0].pairs, 1);
	near(w.own.row[0].ratio[OWN_P50].value, 2);
	/* One pair has no interval. */
	assert_false(w.own.row[0].ratio[OWN_P50].supported);
	fini(&w);
}

static void test_too_few(void **state)
{
	(void)state;
	struct world w = { 0 };
	/* p99 takes 368 requests on either side, p50 six; a run without any has no rate to divide by. */
	add(&w, 1, "ahci", "on", "0", 367, 200, 1);
	add(&w, 1, "ahci", "off", "0", 1000, 100, 1);
	add(&w, 1, "ide", "on", "0", 368, 300, 1);
	add(&w, 1, "ide", "off", "0", 1000, 100, 1);
	add(&w, 1, "nvme", "on", "0", 1000, 300, 1);
	add(&w, 1, "nvme", "off", "0", 0, 0, 1);
	solve(&w);
	assert_int_equal(w.own.rows, 3);
	assert_true(isnan(w.own.row[0].ratio[OWN_P99].value));
	near(w.own.row[0].ratio[OWN_P50].value, 2);
	near(w.own.row[1].ratio[OWN_P99].value, 3);
	assert_string_equal(w.own.row[2].label, "bus nvme");
	for (size_t f = 0; f < OWN_FIGURES; f++)
		assert_true(isnan(w.own.row[2].ratio[f].value) && !w.own.row[2].with[f]);
	fini(&w);
}

static void test_labels(void **state)
{
	(void)state;
	struct world w = { 0 };
	add(&w, 1, "ahci", "on", "0", 10, 200, 1);
	add(&w, 1, "ahci", "off", "0", 10, 100, 1);
	add(&w, 1, "ahci", NULL, "0", 10, 100, 1);
	solve(&w);
	static const char *const label[] = { "trace.enabled unset", "untraced", "traced" };
	assert_int_equal(w.a.data.groups, 3);
	for (size_t g = 0; g < 3; g++)
		assert_string_equal(w.a.data.group[g].label, label[g]);
	fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_who_makes_a_pair),
		cmocka_unit_test(test_too_few),
		cmocka_unit_test(test_labels),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
