/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the measurement cost: pairs, geometric means and their intervals against figures worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>

#include "host/run/owncost.h"

/* `n` requests of `ns` each, in a window of one second. */
static void run_of(struct summary *s, uint64_t n, uint64_t ns)
{
	*s = (struct summary){ .host_hz = 1000000000, .guest_hz = 1000000000, .window_close = 1000000000, .seconds = 1 };
	for (uint64_t i = 0; i < n; i++)
		dist_add(&s->service, ns);
	s->counts.counted = s->counts.seen = n;
	assert_int_equal(dist_seal(&s->service), 0);
}

static void add(struct own_cost *o, const char *cell, unsigned repeat, uint64_t n, uint64_t ns)
{
	struct summary s;
	run_of(&s, n, ns);
	own_cost_add(o, cell, repeat, &s);
	summary_fini(&s);
}

static double figure(const json_t *cell, const char *name, const char *part)
{
	const json_t *v = json_object_get(json_object_get(cell, name), part);
	return json_is_real(v) ? json_real_value(v) : NAN;
}

static void near(double got, double want)
{
	if (!(fabs(got - want) < 1e-6 * fabs(want)))
		fail_msg("%.9g, not %.9g", got, want);
}

static void ratios_come_from_pairs_of_a_repeat(void **state)
{
	struct error err = { 0 };
	struct own_cost *o = own_cost_new(&err);
	(void)state;
	add(o, "trace.enabled=on workload.iodepth=1", 0, 900, 1100);
	add(o, "workload.iodepth=1 trace.enabled=off", 0, 1000, 1000);
	add(o, "trace.enabled=off workload.iodepth=1", 1, 2000, 1000);
	add(o, "trace.enabled=on workload.iodepth=1", 1, 1600, 1300);
	add(o, "trace.enabled=on workload.iodepth=8", 0, 500, 1000);     /* its other half failed */
	json_t *list = own_cost_json(o), *cell = json_array_get(list, 0);
	assert_int_equal(json_array_size(list), 2);
	assert_int_equal(json_integer_value(json_object_get(cell, "pairs")), 2);
	/* ln 0.9 and ln 0.8: mean −0.164252, s 0.0832856; t(0.975, 1) = 12.7062, half-width 0.748288. */
	near(figure(cell, "iops", "ratio"), sqrt(0.9 * 0.8));
	near(figure(cell, "iops", "lo"), 0.4015032238);
	near(figure(cell, "iops", "hi"), 1.793260819);
	near(figure(cell, "p50", "ratio"), sqrt(1.1 * 1.3));
	cell = json_array_get(list, 1);
	assert_int_equal(json_integer_value(json_object_get(cell, "pairs")), 0);
	assert_true(json_is_null(json_object_get(json_object_get(cell, "iops"), "ratio")));
	json_decref(list);
	own_cost_free(o);
}

static void one_pair_has_no_interval_and_few_requests_no_p99(void **state)
{
	struct error err = { 0 };
	struct own_cost *o = own_cost_new(&err);
	char *text = NULL;
	size_t len = 0;
	(void)state;
	add(o, "trace.enabled=on", 0, 300, 1200);
	add(o, "trace.enabled=off", 0, 300, 1000);
	json_t *list = own_cost_json(o), *cell = json_array_get(list, 0);
	near(figure(cell, "p50", "ratio"), 1.2);
	assert_true(json_is_null(json_object_get(json_object_get(cell, "p50"), "lo")));
	assert_true(json_is_null(json_object_get(json_object_get(cell, "p99"), "ratio")));
	FILE *f = open_memstream(&text, &len);
	own_cost_print(o, f);
	fclose(f);
	assert_non_null(strstr(text, "single cell"));
	assert_non_null(strstr(text, "p50 1.20"));
	assert_non_null(strstr(text, "p99 n too small"));
	assert_non_null(strstr(text, "--repeat 5"));
	free(text);
	json_decref(list);
	own_cost_free(o);
}

static void tracing_is_varied_once(void **state)
{
	struct study st;
	struct error err = { 0 };
	(void)state;
	study_init(&st);
	assert_int_equal(study_self_check(&st, &err), 0);
	assert_int_equal(study_cells(&st), 2);
	assert_int_equal(study_self_check(&st, &err), -1);
	assert_non_null(strstr(err.text, "--self-check"));
	study_fini(&st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ratios_come_from_pairs_of_a_repeat),
		cmocka_unit_test(one_pair_has_no_interval_and_few_requests_no_p99),
		cmocka_unit_test(tracing_is_varied_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
