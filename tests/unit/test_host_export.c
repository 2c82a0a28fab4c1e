/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exports of requests made up by hand; the trace is read back by python's json (tests/fixtures/check_perfetto.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "host/export.h"
#include "tests/fixtures/attributed_world.h"

struct world {
	char dir[64], db[80];
	struct store *store;
	uint64_t run;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct error err = { 0 };
	strcpy(w->dir, "/tmp/bifocal-export.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->db, sizeof(w->db), "%s/db", w->dir);
	w->store = store_open(w->db, STORE_WRITE, &err);
	if (!w->store)
		fail_msg("%s", err.text);
	assert_int_equal(store_run_create(w->store, 0, &w->run, &err), 0);
	struct store_batch *b = store_batch_new(w->store, &err);
	put_attr(b, w->run, "config.disk.bus", "a \"quoted\" bus\nwith \x01 controls", NULL);
	put_attr(b, w->run, "workload.bs", "4k", NULL);
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

/* ---- requests ---- */

static struct attributed *made;
static size_t made_n;

static int from_made(struct export *e, attribute_fn *each, void *ctx, struct error *err)
{
	(void)e, (void)err;
	int stop = 0;
	for (size_t i = 0; i < made_n && !stop; i++)
		stop = each(ctx, &made[i]);
	return stop;
}

static int by_reap(const void *a, const void *b)
{
	uint64_t x = ((const struct attributed *)a)->io.reap, y = ((const struct attributed *)b)->io.reap;
	return x < y ? -1 : x > y;
}

/* `jobs` jobs with some in flight each, in the order in which the guest stores them: job by job, each by its reaping. */
static void make_requests(size_t n, unsigned jobs, unsigned seen)
{
	uint64_t random = 12345;
	made = calloc(n, sizeof(*made));
	made_n = n;
	for (size_t i = 0; i < n; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		made[i] = world_request(i, i * 997, (random >> 33) % 300, seen);
		made[i].io.job = (uint16_t)(i * jobs / n);
	}
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i; k < n && made[k].io.job == made[i].io.job; k++)
			;
		qsort(made + i, k - i, sizeof(*made), by_reap);
	}
}

static struct export export_of(const struct world *w, unsigned seen)
{
	return (struct export){
		.store = w->store, .source = from_made, .run = w->run, .hz = WORLD_HZ, .open = WORLD_OPEN, .close = WORLD_OPEN + 10000000,
		.columns = seen & ~(1u << AT_APP_SUBMIT | 1u << AT_APP_REAP) & ALL_BOUNDARIES, .to_ns = UINT64_MAX,
	};
}

static char *written(struct export *e, int (*format)(struct export *e, struct error *err))
{
	struct error err = { 0 };
	struct capture c = capture_begin();
	int r = format(e, &err);
	char *text = capture_end(&c);
	if (r)
		fail_msg("%s", err.text);
	return text;
}

/* What the checker says of a trace; fails when it finds fault. */
static void check(const struct world *w, const char *text, const char *expected)
{
	char path[96], command[512], said[512] = "";
	snprintf(path, sizeof(path), "%s/trace.json", w->dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	if (system("python3 -c 'import json' 2>/dev/null")) {
		print_message("python3 is not there to read the trace: apt-get install python3\n");
		skip();
	}
	snprintf(command, sizeof(command), "python3 '%s/tests/fixtures/check_perfetto.py' '%s' 2>&1", TEST_SRCDIR, path);
	f = popen(command, "r");
	size_t n = fread(said, 1, sizeof(said) - 1, f);
	said[n] = 0;
	if (pclose(f) || !strstr(said, expected))
		fail_msg("wanted \"%s\": %s", expected, said);
}

static void free_made(void)
{
	free(made);
	made = NULL;
	made_n = 0;
}

/* ---- perfetto ---- */

static void test_trace(void **state)
{
	struct world *w = *state;
	make_requests(2000, 3, ALL_BOUNDARIES);
	struct export e = export_of(w, ALL_BOUNDARIES);
	e.at = world_attribution(2000, 100, ALL_BOUNDARIES);
	char *text = written(&e, export_perfetto);
	check(w, text, "requests 2000 phases 28000 flows ");
	assert_non_null(strstr(text, "\"clock.tier\":\"causal\",\"clock.bound_ns\":40.0"));
	assert_non_null(strstr(text, "\"config.disk.bus\":\"a \\\"quoted\\\" bus\\nwith \\u0001 controls\""));
	assert_non_null(strstr(text, "\"name\":\"host device\""));
	assert_non_null(strstr(text, "\"complete\":true"));
	free(text);
	free(e.at);
	free_made();
}

static void test_trace_of_few_boundaries(void **state)
{
	static const unsigned seen[] = {
		1u << AT_APP_SUBMIT | 1u << AT_APP_REAP, 1u << AT_APP_SUBMIT | 1u << AT_GUEST_KICK | 1u << AT_DEVICE_DONE | 1u << AT_APP_REAP,
		1u << AT_APP_SUBMIT | 1u << AT_GUEST_QUEUE | 1u << AT_GUEST_COMPLETE | 1u << AT_APP_REAP,
	};
	static const char *const expected[] = { "requests 500 phases 0 flows 0", "requests 500 phases 1500", "requests 500 phases 1500" };
	struct world *w = *state;
	for (size_t i = 0; i < 3; i++) {
		make_requests(500, 1, seen[i]);
		struct export e = export_of(w, seen[i]);
		char *text = written(&e, export_perfetto);
		check(w, text, expected[i]);
		free(text);
		free_made();
	}
}

/* Stamps that go back, leave their request, or lie at the ends of time: drawn cut, and said so. */
static void test_trace_of_nonsense(void **state)
{
	struct world *w = *state;
	make_requests(300, 2, ALL_BOUNDARIES);
	for (size_t i = 0; i < made_n; i++) {
		made[i].at[1 + i % 13] += i % 3 == 0 ? (uint64_t)-50000 : i % 3 == 1 ? 90000 : 0x7fffffffffffffff;
		made[i].violations = 1;
	}
	/* One is reaped before it was submitted, one submitted before the window opened. */
	made[10].io.reap = made[10].at[AT_APP_REAP] = made[10].io.submit - 1;
	made[20].io.submit = WORLD_OPEN - 1;
	struct export e = export_of(w, ALL_BOUNDARIES);
	char *text = written(&e, export_perfetto);
	check(w, text, "requests 298 phases 4172");
	assert_non_null(strstr(text, "\"cut\":true,\"ns\":-"));
	assert_non_null(strstr(text, "causality violation"));
	assert_non_null(strstr(text, "\"before_window\":2"));
	free(text);
	free_made();
}

static void test_trace_of_nothing(void **state)
{
	struct world *w = *state;
	struct export e = export_of(w, 0);
	made_n = 0;
	e.hz = e.open = e.close = 0;
	char *text = written(&e, export_perfetto);
	check(w, text, "requests 0 phases 0 flows 0 threads 0");
	free(text);
}

/* ---- which ---- */

static void test_limit_and_range(void **state)
{
	struct world *w = *state;
	make_requests(100, 1, ALL_BOUNDARIES);
	struct export e = export_of(w, ALL_BOUNDARIES);
	e.limit = 40;
	char *text = written(&e, export_perfetto);
	check(w, text, "requests 40 ");
	assert_true(e.more);
	assert_non_null(strstr(text, "\"complete\":false"));
	free(text);
	e = export_of(w, ALL_BOUNDARIES);
	e.ranged = true;
	e.from_ns = 10 * 997;
	e.to_ns = 20 * 997;
	text = written(&e, export_csv);
	assert_int_equal(e.done, 10);
	free(text);
	e = export_of(w, ALL_BOUNDARIES);
	e.limit = 100;
	free(written(&e, export_csv));
	assert_false(e.more);
	free_made();
}

/* ---- lines ---- */

static void test_csv(void **state)
{
	struct world *w = *state;
	unsigned seen = 1u << AT_APP_SUBMIT | 1u << AT_GUEST_QUEUE | 1u << AT_DEVICE_DONE | 1u << AT_APP_REAP;
	make_requests(2, 1, seen);
	made[0] = world_request(0, 500, 1000, seen);
	made[1] = world_request(1, 600, 1000, seen & ~(1u << AT_GUEST_QUEUE));
	made[1].served = SERVED_VMM;
	made[1].cause = CAUSE_NO_HOST;
	struct export e = export_of(w, seen);
	char *text = written(&e, export_csv);
	assert_string_equal(text, "run,job,op,in_ramp,sector,length,result,intended_tsc,submit_tsc,reap_tsc,submit_ns,service_ns,response_ns,"
				  "guest_queue_ns,device_done_ns,clock_bound_ns,served_from,cause\n"
				  "1,0,0,0,0,4096,4096,1000500,1000500,1105500,500.0,105000.0,105000.0,1000.0,55000.0,40.0,device,matched\n"
				  "1,0,0,0,8,4096,4096,1000600,1000600,1105600,600.0,105000.0,105000.0,,55000.0,40.0,vmm,no_host\n");
	free(text);
	/* A run that only the application saw has the columns it always had. */
	e = export_of(w, 0);
	e.limit = 1;
	text = written(&e, export_csv);
	assert_string_equal(text, "run,job,op,in_ramp,sector,length,result,intended_tsc,submit_tsc,reap_tsc,submit_ns,service_ns,response_ns\n"
				  "1,0,0,0,0,4096,4096,1000500,1000500,1105500,500.0,105000.0,105000.0\n");
	free(text);
	free_made();
}

static void test_jsonl(void **state)
{
	struct world *w = *state;
	unsigned seen = 1u << AT_APP_SUBMIT | 1u << AT_GUEST_QUEUE | 1u << AT_APP_REAP;
	make_requests(1, 1, seen);
	made[0] = world_request(0, 500, 1000, 1u << AT_APP_SUBMIT | 1u << AT_APP_REAP);
	struct export e = export_of(w, seen);
	char *text = written(&e, export_jsonl);
	json_t *o = json_loads(text, 0, NULL);
	assert_true(json_is_null(json_object_get(o, "guest_queue_ns")));
	assert_string_equal(json_string_value(json_object_get(o, "cause")), "matched");
	assert_true(json_real_value(json_object_get(o, "service_ns")) == 105000);
	json_decref(o);
	free(text);
	free_made();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_trace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace_of_few_boundaries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace_of_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace_of_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit_and_range, setup, teardown),
		cmocka_unit_test_setup_teardown(test_csv, setup, teardown),
		cmocka_unit_test_setup_teardown(test_jsonl, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
