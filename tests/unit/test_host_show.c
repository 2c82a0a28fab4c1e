/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Distributions, summaries and their figures, from records made up here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/json.h"
#include "host/show.h"
#include "host/term.h"

/* ---- distributions ---- */

static void test_dist_exact(void **state)
{
	struct dist d = { 0 };
	(void)state;
	for (uint64_t i = 1000; i > 0; i--)
		dist_add(&d, i * 10);
	assert_int_equal(dist_seal(&d), 0);
	assert_int_equal(dist_quantile(&d, 0.5), 5000);
	assert_int_equal(dist_quantile(&d, 0.99), 9900);
	assert_int_equal(dist_quantile(&d, 1.0), 10000);
	assert_int_equal(d.min, 10);
	assert_int_equal(d.max, 10000);
	assert_true(dist_mean(&d) == 5005);
	assert_int_equal(dist_count(&d, 10, 20), 1);
	assert_int_equal(dist_count(&d, 0, 1e18), 1000);
	assert_int_equal(dist_count(&d, 5001, 6000), 99);
	dist_fini(&d);
}

/* Beyond its bound on memory it goes on as a histogram: nothing is lost but the last 0.2 %. */
static void test_dist_beyond_memory(void **state)
{
	struct dist d = { 0 };
	uint64_t n = DIST_EXACT_MAX + 1000;
	(void)state;
	for (uint64_t i = 0; i < n; i++)
		dist_add(&d, 1000000 + i);
	assert_int_equal(dist_seal(&d), 0);
	assert_non_null(d.hist);
	assert_null(d.v);
	assert_int_equal(d.n, n);
	double median = (double)dist_quantile(&d, 0.5), want = 1000000 + (double)n / 2;
	assert_true(median > want * 0.998 && median < want * 1.002);
	assert_int_equal(d.max, 1000000 + n - 1);
	assert_int_equal(dist_count(&d, 0, 1e18), n);
	dist_fini(&d);
}

static void test_quantile_support(void **state)
{
	(void)state;
	assert_false(quantile_supported(5, 0.5));
	assert_true(quantile_supported(6, 0.5));
	assert_false(quantile_supported(367, 0.99));
	assert_true(quantile_supported(368, 0.99));
	assert_false(quantile_supported(3687, 0.999));
	assert_true(quantile_supported(3688, 0.999));
	assert_false(quantile_supported(0, 0.5));
}

/* ---- bars ---- */

static void test_bar(void **state)
{
	char bar[64];
	(void)state;
	assert_string_equal(term_bar(0.5, 4, bar, sizeof(bar)), "██  ");
	assert_string_equal(term_bar(0, 3, bar, sizeof(bar)), "   ");
	assert_string_equal(term_bar(7, 2, bar, sizeof(bar)), "██");
	assert_string_equal(term_bar(1.0 / 16, 2, bar, sizeof(bar)), "▏ ");
	/* No room for a whole cell: none is begun. */
	assert_string_equal(term_bar(1, 4, bar, 8), "██");
	assert_int_equal(term_columns("± 3 µs"), 6);
}

/* ---- a summary out of a store ---- */

struct world {
	char dir[64], db[80];
	struct store *store;
	uint64_t run;
};

enum { HZ = 1000000000 };          /* a cycle is a nanosecond */

static void put_records(struct store_batch *b, uint64_t run)
{
	struct io_record r[1000];
	struct wbuf w;
	for (unsigned i = 0; i < 1000; i++)
		r[i] = (struct io_record){
			.submit = 1000000 + i * 1000, .intended = 1000000 + i * 1000 - (i % 2) * 100, .reap = 1000000 + i * 1000 + i + 1,
			.length = 4096, .result = i == 500 ? -5 : 4096, .op = i % 4 == 3 ? IO_WRITE : IO_READ,
			.flags = i < 100 ? IO_IN_RAMP : 0, .sector = i * 8,
		};
	/* The last one claims to have ended after the window did. */
	r[999].reap = 1000000 + 5000000;
	wbuf_heap(&w, IOREC_CHUNK_BYTES);
	iorec_pack(&w, r, 1000);
	assert_int_equal(put_io_chunk(b, run, 0, (struct span){ w.p, w.len }, NULL), 0);
	wbuf_fini(&w);
}

static void put_probe(struct store_batch *b, uint64_t run)
{
	const struct sample s[] = { { 0, 0, 100 }, { 1, 0, 5 }, { 0, HZ, 400 }, { 1, HZ, 7 } };
	struct wbuf w;
	wbuf_heap(&w, 4096);
	samples_pack(&w, s, 4);
	put_series(b, run, SIDE_HOST, 0, "cpu.vmm_cpu", "role=vcpu", "counter", "ns", NULL);
	put_series(b, run, SIDE_HOST, 1, "x.level", "", "gauge", "percent", NULL);
	assert_int_equal(put_sample_chunk(b, run, SIDE_HOST, 0, (struct span){ w.p, w.len }, NULL), 0);
	wbuf_fini(&w);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct error err = { 0 };
	strcpy(w->dir, "/tmp/bifocal-show.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->db, sizeof(w->db), "%s/db", w->dir);
	w->store = store_open(w->db, STORE_WRITE, &err);
	if (!w->store)
		fail_msg("%s", err.text);
	assert_int_equal(store_run_create(w->store, 0, &w->run, &err), 0);
	struct store_batch *b = store_batch_new(w->store, &err);
	put_records(b, w->run);
	put_probe(b, w->run);
	put_attr_u64(b, w->run, "host.tsc_hz", HZ, NULL);
	put_attr_u64(b, w->run, "guest.tsc_hz", HZ, NULL);
	put_attr_u64(b, w->run, "window.open", 1000000, NULL);
	put_attr_u64(b, w->run, "window.ramp_end", 1100000, NULL);
	put_attr_u64(b, w->run, "window.close", 2001000, NULL);
	put_attr_u64(b, w->run, "window.start", 500, NULL);
	put_attr_u64(b, w->run, "lost.io_missing", 3, NULL);
	put_attr(b, w->run, "config.disk.bus", "nvme", NULL);
	const struct store_epoch e = { .epoch = 0, .tier = 5, .first_host = 100, .last_host = 900, .lo = -50, .hi = 150, .samples = 9 };
	put_epoch(b, w->run, &e, NULL);
	put_run_status(b, w->run, RUN_PARTIAL, NULL);
	assert_int_equal(store_commit(b, &err), 0);
	store_batch_free(b);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char command[128];
	store_close(w->store);
	snprintf(command, sizeof(command), "rm -rf '%s'", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

static void test_summary_counts(void **state)
{
	struct world *w = *state;
	struct summary sum;
	assert_int_equal(summary_load(w->store, UINT64_MAX, &sum, NULL), 0);
	assert_int_equal(sum.counts.seen, 1000);
	assert_int_equal(sum.counts.ramp, 100);
	assert_int_equal(sum.counts.outside, 1);
	/* The one that failed is told, and in no figure. */
	assert_int_equal(sum.counts.counted, 898);
	assert_int_equal(sum.counts.errors, 1);
	assert_int_equal(sum.counts.op[IO_READ] + sum.counts.op[IO_WRITE], 898);
	assert_int_equal(sum.counts.bytes, 898 * 4096);
	assert_true(sum.counts.open_loop);
	summary_fini(&sum);
}

static void test_summary_figures(void **state)
{
	struct world *w = *state;
	struct summary sum;
	assert_int_equal(summary_load(w->store, w->run, &sum, NULL), 0);
	/* Services are 101 … 999 ns. */
	assert_int_equal(dist_quantile(&sum.service, 0.5), 550);
	assert_int_equal(sum.service.min, 101);
	assert_int_equal(sum.service.max, 999);
	/* Every other one was meant for 100 ns earlier. */
	assert_int_equal(sum.response.max, 1098);
	assert_int_equal(sum.response.n, 898);
	assert_int_equal(sum.ops, 2);
	assert_int_equal(sum.op[IO_READ].n + sum.op[IO_WRITE].n, 898);
	assert_true(sum.seconds > 0.00090099 && sum.seconds < 0.00090101);
	assert_true(summary_iops(&sum) > 996000 && summary_iops(&sum) < 997500);
	assert_int_equal(sum.clock.epochs, 1);
	assert_true(sum.clock.bound_ns == 100);
	assert_false(sum.clock.jumped);
	summary_fini(&sum);
}

static void test_summary_series(void **state)
{
	struct world *w = *state;
	struct summary sum;
	assert_int_equal(summary_load(w->store, w->run, &sum, NULL), 0);
	assert_int_equal(sum.n_series, 2);
	/* A counter says its growth a second, a gauge its mean. */
	assert_true(series_value(&sum, &sum.series[0]) == 300);
	assert_true(series_value(&sum, &sum.series[1]) == 6);
	assert_true(sum.series[1].max == 7);
	summary_fini(&sum);
}

static void test_json_has_the_documented_keys(void **state)
{
	static const char *const keys[] = {
		"run", "status", "config", "clock", "requests", "latency", "phases", "residual_ns", "causality_violations", "lost", NULL,
	};
	struct world *w = *state;
	struct summary sum;
	struct attrs a;
	assert_int_equal(summary_load(w->store, w->run, &sum, NULL), 0);
	assert_int_equal(attrs_load(&a, w->store, w->run, NULL), 0);
	json_t *o = show_json(&sum, &a, NULL);
	for (size_t i = 0; keys[i]; i++)
		assert_non_null(json_object_get(o, keys[i]));
	json_t *latency = json_object_get(o, "latency");
	assert_int_equal(json_integer_value(json_object_get(latency, "count")), 898);
	assert_true(json_real_value(json_object_get(latency, "p99_ns")) == 991);
	/* 898 values do not support this one. */
	assert_true(json_is_null(json_object_get(latency, "p999_ns")));
	assert_string_equal(json_string_value(json_object_get(json_object_get(o, "config"), "disk.bus")), "nvme");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(o, "lost"), "io_missing")), 3);
	json_decref(o);
	attrs_fini(&a);
	summary_fini(&sum);
}

static void test_assignments(void **state)
{
	json_t *o = json_assignments("disk.bus=ahci workload.iodepth=8");
	(void)state;
	assert_int_equal(json_object_size(o), 2);
	assert_string_equal(json_string_value(json_object_get(o, "workload.iodepth")), "8");
	json_decref(o);
	o = json_assignments("");
	assert_int_equal(json_object_size(o), 0);
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dist_exact),
		cmocka_unit_test(test_dist_beyond_memory),
		cmocka_unit_test(test_quantile_support),
		cmocka_unit_test(test_bar),
		cmocka_unit_test_setup_teardown(test_summary_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_summary_figures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_summary_series, setup, teardown),
		cmocka_unit_test_setup_teardown(test_json_has_the_documented_keys, setup, teardown),
		cmocka_unit_test(test_assignments),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
