/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real `bifocal attach` against a scripted guest: what goes right, and what a guest may do wrong. */
#include "scripted_guest.h"

#include <jansson.h>
#include <math.h>

#define SCRIPT(...) &(const struct script){ __VA_ARGS__ }

static int attach(struct sguest *g, const char *const more[])
{
	sg_attach(g, more, 0);
	return sg_serve(g, NULL);
}

static json_t *show(struct sguest *g, const char *run)
{
	const char *args[] = { "show", run, "--json", "--db", g->db, NULL };
	json_error_t e;
	if (sg_command(g, args))
		fail_msg("show: %s", g->output);
	json_t *o = json_loads(g->output, 0, &e);
	if (!o)
		fail_msg("not JSON (%s): %s", e.text, g->output);
	return o;
}

static double number(json_t *o, const char *a, const char *b)
{
	json_t *v = json_object_get(o, a);
	if (b)
		v = json_object_get(v, b);
	if (!json_is_number(v))
		fail_msg("%s.%s is no number", a, b ? b : "");
	return json_number_value(v);
}

static void expect_lost(struct sguest *g, const char *what, uint64_t n)
{
	char key[64];
	snprintf(key, sizeof(key), "lost.%s", what);
	const char *text = sg_attr(g, UINT64_MAX, key);
	if (strtoull(text, NULL, 10) != n || !*text)
		fail_msg("%s is \"%s\", not %llu; %s", key, text, (unsigned long long)n, g->output);
}

static void expect_run(struct sguest *g, enum run_status status, uint64_t records)
{
	struct sg_stored s = sg_stored(g, UINT64_MAX);
	if (s.run.status != status || s.records != records)
		fail_msg("run is %s with %llu records, not %s with %llu; %s", run_status_name(s.run.status), (unsigned long long)s.records,
			 run_status_name(status), (unsigned long long)records, g->output);
}

/* ---- all goes well ---- */

static void test_good_run(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = 4));
	(void)state;
	assert_int_equal(attach(g, NULL), 0);
	expect_run(g, RUN_COMPLETE, 4000);
	sg_expect_output(g, "n 4000");
	assert_string_equal(sg_attr(g, UINT64_MAX, "prov.guest.kernel"), "6.1.0-test #1");
	assert_string_equal(sg_attr(g, UINT64_MAX, "prov.guest.disk.driver"), "virtio_blk");
	assert_string_equal(sg_attr(g, UINT64_MAX, "config.disk.bus"), "");
	sg_free(g);
}

static void test_show_json(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = 4));
	(void)state;
	assert_int_equal(attach(g, NULL), 0);
	json_t *o = show(g, "last");
	double hz = number(o, "clock", "guest_tsc_hz");
	assert_string_equal(json_string_value(json_object_get(o, "status")), "complete");
	assert_int_equal(number(o, "requests", "seen"), 4000);
	assert_int_equal(number(o, "requests", "matched"), 4000);
	/* Services are 1000 · (1 … 100) cycles, forty of each: the p50 is the 2000th, 50,000 cycles. */
	assert_true(fabs(number(o, "latency", "p50_ns") - 50000e9 / hz) < 1);
	assert_true(fabs(number(o, "latency", "p99_ns") - 99000e9 / hz) < 1);
	assert_true(fabs(number(o, "latency", "mean_ns") - 50500e9 / hz) < 1);
	assert_true(fabs(number(o, "latency", "max_ns") - 100000e9 / hz) < 1);
	json_t *phase = json_array_get(json_object_get(o, "phases"), 0);
	assert_int_equal(json_array_size(json_object_get(o, "phases")), 1);
	assert_string_equal(json_string_value(json_object_get(phase, "name")), "guest.submit..guest.reap");
	assert_string_equal(json_string_value(json_object_get(phase, "from")), "app_submit");
	assert_true(json_is_true(json_object_get(phase, "merged")));
	assert_int_equal(number(o, "causality_violations", NULL), 0);
	assert_int_equal(number(o, "residual_ns", "max"), 0);
	assert_int_equal(number(o, "lost", "guest"), 0);
	assert_int_equal(number(o, "clock", "epochs"), 1);
	assert_true(number(o, "clock", "bound_ns") > 0);
	json_decref(o);
	sg_free(g);
}

/* The offset that the stored epoch claims holds the true one, which the scripted guest knows. */
static int check_epoch(void *ctx, const struct store_epoch *e)
{
	assert_true((int64_t)(sg_offset - (uint64_t)e->lo) >= 0);
	assert_true((int64_t)((uint64_t)e->hi - sg_offset) >= 0);
	assert_true(e->samples >= 128);
	++*(int *)ctx;
	return 0;
}

static void test_clock_bound_holds(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = 1));
	int epochs = 0;
	(void)state;
	assert_int_equal(attach(g, NULL), 0);
	struct store *s = store_open(g->db, STORE_READ, NULL);
	assert_non_null(s);
	assert_int_equal(store_each_epoch(s, 1, check_epoch, &epochs, NULL), 0);
	assert_int_equal(epochs, 1);
	store_close(s);
	sg_free(g);
}

static void test_one_port(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.one_port = true));
	(void)state;
	assert_int_equal(attach(g, NULL), 0);
	expect_run(g, RUN_COMPLETE, 4000);
	sg_free(g);
}

static void test_json_is_one_object(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = 1));
	const char *const more[] = { "--json", NULL };
	(void)state;
	assert_int_equal(attach(g, more), 0);
	json_t *o = json_loads(g->output, 0, NULL);
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "status")), "complete");
	json_t *run = json_array_get(json_object_get(o, "runs"), 0);
	assert_int_equal(json_integer_value(json_object_get(run, "count")), 1000);
	json_decref(o);
	sg_free(g);
}

/* ---- a guest that is not ours, or not willing ---- */

static void test_other_version(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.version = "9.9.9"));
	(void)state;
	assert_int_equal(attach(g, NULL), 1);
	sg_expect_output(g, "9.9.9");
	sg_expect_output(g, "make image");
	expect_run(g, RUN_FAILED, 0);
	sg_free(g);
}

static void test_never_greets(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.silent = true));
	const char *const more[] = { "--timeout", "1s", NULL };
	(void)state;
	assert_int_equal(attach(g, more), 1);
	sg_expect_output(g, "did not greet within 1 s");
	expect_run(g, RUN_FAILED, 0);
	sg_free(g);
}

static void test_nobody_listens(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = 1));
	const char *args[] = { "attach", "--db", g->db, "--socket", "/nonexistent/socket", NULL };
	(void)state;
	assert_int_equal(sg_command(g, args), 1);
	sg_expect_output(g, "/nonexistent/socket");
	sg_free(g);
}

static void test_agent_refuses(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.refuse_prepare = true));
	(void)state;
	assert_int_equal(attach(g, NULL), 1);
	sg_expect_output(g, "--destructive");
	expect_run(g, RUN_FAILED, 0);
	sg_free(g);
}

static void test_vanishes_in_window(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.vanish_in_window = true));
	(void)state;
	assert_int_equal(attach(g, NULL), 3);
	sg_expect_output(g, "the guest is gone");
	expect_run(g, RUN_PARTIAL, 0);
	expect_lost(g, "guest", 1);
	sg_free(g);
}

static void vanish_after_third(struct sguest *g, unsigned index)
{
	if (index == 2) {
		for (int i = 0; i < 20; i++)
			sg_write(g, DATA);
		sg_close(g);
	}
}

/* What came before the guest vanished is there. */
static void test_vanishes_in_drain(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = 6, .after_chunk = vanish_after_third));
	(void)state;
	assert_int_equal(attach(g, NULL), 3);
	struct sg_stored s = sg_stored(g, UINT64_MAX);
	assert_int_equal(s.run.status, RUN_PARTIAL);
	assert_true(s.records >= 1000 && s.records <= 3000);
	expect_lost(g, "io_missing", 6000 - s.records);
	sg_free(g);
}

static void test_quarantined_probe(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.bad_probe = true));
	const char *const more[] = { "--probe", TEST_SRCDIR "/plugins/cpu.lua", NULL };
	(void)state;
	assert_int_equal(attach(g, more), 3);
	expect_run(g, RUN_PARTIAL, 4000);
	expect_lost(g, "probe", 1);
	assert_string_equal(sg_attr(g, UINT64_MAX, "probe.cpu.guest"), "quarantined: cpu.lua:7: attempt to index a nil value");
	sg_free(g);
}

static bool started(struct sguest *g)
{
	return g->started;
}

static void test_interrupted(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.endless_window = true, .chunks = 2));
	(void)state;
	sg_attach(g, NULL, 0);
	assert_int_equal(sg_serve(g, started), 1000);
	kill(g->pid, SIGINT);
	assert_int_equal(sg_serve(g, NULL), 1);
	/* The records of the part that ran are kept. */
	expect_run(g, RUN_PARTIAL, 2000);
	expect_lost(g, "window", 1);
	sg_expect_output(g, "SIGINT");
	sg_free(g);
}

static bool pinged(struct sguest *g)
{
	return g->pings > 0;
}

/* Before the window there is nothing yet that could be partial. */
static void test_interrupted_in_clock(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.deaf_to_pings = true));
	(void)state;
	sg_attach(g, NULL, 0);
	assert_int_equal(sg_serve(g, pinged), 1000);
	kill(g->pid, SIGTERM);
	assert_int_equal(sg_serve(g, NULL), 1);
	expect_run(g, RUN_FAILED, 0);
	sg_expect_output(g, "SIGTERM");
	sg_free(g);
}

static bool all_but_one_sent(struct sguest *g)
{
	return g->sent + 1 == sg_chunks(g);
}

/* The end of the drain never comes: what came until the signal is kept, what did not is counted. */
static void test_interrupted_in_drain(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = 6, .hold_drained = true));
	(void)state;
	sg_attach(g, NULL, 0);
	assert_int_equal(sg_serve(g, all_but_one_sent), 1000);
	kill(g->pid, SIGTERM);
	assert_int_equal(sg_serve(g, NULL), 1);
	struct sg_stored s = sg_stored(g, UINT64_MAX);
	assert_int_equal(s.run.status, RUN_PARTIAL);
	assert_true(s.records <= 5000);
	expect_lost(g, "io_missing", 6000 - s.records);
	sg_expect_output(g, "SIGTERM");
	sg_free(g);
}

/* ---- records that lie ---- */

static void test_garbage_chunk(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.garbage_chunk = 2));
	(void)state;
	assert_int_equal(attach(g, NULL), 3);
	expect_run(g, RUN_PARTIAL, 3000);
	expect_lost(g, "io_chunk_bad", 1);
	expect_lost(g, "io_missing", 1000);
	sg_free(g);
}

static void test_skipped_chunk(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.skip_chunk = 3));
	(void)state;
	assert_int_equal(attach(g, NULL), 3);
	expect_run(g, RUN_PARTIAL, 3000);
	expect_lost(g, "io_missing", 1000);
	sg_free(g);
}

static void test_foreign_run(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.foreign_run = 1000));
	(void)state;
	attach(g, NULL);
	expect_run(g, RUN_COMPLETE, 4000);
	sg_expect_output(g, "which is not this guest's");
	sg_free(g);
}

static void test_outside_window(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.outside = true));
	(void)state;
	assert_int_equal(attach(g, NULL), 3);
	expect_run(g, RUN_PARTIAL, 4000);
	/* Half the window's length was given; its last record ends just behind it. */
	expect_lost(g, "io_outside", 1999);
	sg_free(g);
}

static void test_no_memory_is_counted(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.no_memory = 17));
	(void)state;
	assert_int_equal(attach(g, NULL), 3);
	expect_run(g, RUN_PARTIAL, 4000);
	expect_lost(g, "io_no_memory", 17);
	sg_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_run),
		cmocka_unit_test(test_show_json),
		cmocka_unit_test(test_clock_bound_holds),
		cmocka_unit_test(test_one_port),
		cmocka_unit_test(test_json_is_one_object),
		cmocka_unit_test(test_other_version),
		cmocka_unit_test(test_never_greets),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_agent_refuses),
		cmocka_unit_test(test_vanishes_in_window),
		cmocka_unit_test(test_vanishes_in_drain),
		cmocka_unit_test(test_quarantined_probe),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_interrupted_in_clock),
		cmocka_unit_test(test_interrupted_in_drain),
		cmocka_unit_test(test_garbage_chunk),
		cmocka_unit_test(test_skipped_chunk),
		cmocka_unit_test(test_foreign_run),
		cmocka_unit_test(test_outside_window),
		cmocka_unit_test(test_no_memory_is_counted),
	};
	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
