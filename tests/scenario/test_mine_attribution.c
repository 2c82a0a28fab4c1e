/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real bifocal-mine and its attribution template against made-up results: the page, the figures, results that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "tests/fixtures/mine_phases.h"
#include "tests/fixtures/mine_program.h"

static int mine(const char *db, const char *out)
{
	char path[160], to[160];
	strcpy(path, in_root(db));
	strcpy(to, in_root(out));
	return RUN("mine", "attribution", "-o", to, "--db", path, "--where", "study=1");
}

/* The number behind `key`. */
static double figure(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	if (!at)
		fail_msg("no %s", key);
	return strtod(at + strlen(key), NULL);
}

static void test_page(void **state)
{
	(void)state;
	static const char *const words[] = {
		"I/O thread off", "I/O thread on", "cross.inject", "vmm.complete", "guest.driver..vmm.dispatch", "±&nbsp;1\u00a0tick", "Share of the mean",
		"No causality violation", "no_vmm&nbsp;5", "device&nbsp;4\u202f000", "guest_kick&nbsp;", "99.87&nbsp;%", "<strong>exact</strong>",
		"tracefs<small>", "to what the application saw, to the cycle", "Two runs tell too little", "95&nbsp;%", "Nothing was lost",
	};
	assert_int_equal(mine("db", "out"), 0);
	assert_string_equal(err_text, "");
	slurp(in_root("out/report.html"), file_text);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		says(file_text, words[i]);
	assert_int_equal(times(file_text, "data:image/png;base64,iVBOR"), 4);
	assert_int_equal(times(file_text, "http:") + times(file_text, "https:") + times(file_text, "<script"), 0);
	assert_int_equal(access(in_root("out/attribution.png"), F_OK), 0);
	assert_int_equal(access(in_root("out/waterfall.png"), F_OK), 0);
}

static void test_figures(void **state)
{
	(void)state;
	assert_int_equal(mine("db", "figures"), 0);
	slurp(in_root("figures/stats.json"), file_text);
	const char *from = strstr(file_text, "\"attributions\"");
	assert_non_null(from);
	says(from, "{\"label\": \"I/O thread off\", \"runs\": [1, 3], \"counted\": 8010, \"matched\": 8000");
	const char *on = strstr(from, "{\"label\": \"I/O thread on\"");
	assert_non_null(on);
	double total = figure(from, "\"mean\": {\"n\": 8000, \"runs\": 2, \"total_ns\": {\"value\": "), sum = 0;
	for (const char *p = strstr(from, "\"part_ns\""); p && p < on; p = strstr(p + 1, "\"part_ns\""))
		sum += figure(p, "{\"mean\": ");
	assert_true(total > 2e6 && total < 3e6);
	assert_true(fabs(sum - total) < 1e-6 * total);
	says(on, "{\"name\": \"guest.driver..vmm.dispatch\", \"from\": \"guest_issue\", \"to\": \"device_start\"");
	says(on, "\"merged\": true, \"crosses\": true");
	says(on, "\"unmatched\": {\"no_guest\": 0, \"no_vmm\": 5");
	says(on, "\"tiers\": {\"exact\": {\"samples\": 12, \"bound_ns\": 0.476190");
	says(on, "\"pairing\": {\"samples\": 0, \"bound_ns\": null, \"epochs\": 0}");
	/* A template without phases has none, and reads none. */
	assert_int_equal(RUN("mine", "latency", "-o", in_root("latency"), "--db", in_root("db")), 0);
	slurp(in_root("latency/stats.json"), file_text);
	assert_null(strstr(file_text, "attribution"));
}

static void test_same_bytes_twice(void **state)
{
	(void)state;
	static const char *const names[] = { "report.html", "stats.json", "attribution.png", "waterfall.png" };
	char *other = malloc(TEXT_MAX);
	assert_non_null(other);
	assert_int_equal(mine("db", "one"), 0);
	assert_int_equal(mine("db", "two"), 0);
	for (size_t i = 0; i < 4; i++) {
		char path[160];
		snprintf(path, sizeof(path), "%s/one/%s", root, names[i]);
		size_t n = slurp(path, file_text);
		snprintf(path, sizeof(path), "%s/two/%s", root, names[i]);
		assert_int_equal(slurp(path, other), n);
		assert_memory_equal(file_text, other, n);
	}
	free(other);
}

static void test_png_says_where_it_is_from(void **state)
{
	(void)state;
	char command[400];
	if (system("command -v pngcheck >/dev/null"))
		skip();
	assert_int_equal(mine("db", "png"), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(command, sizeof(command), "pngcheck -t '%s' >'%s'", in_root(i ? "png/waterfall.png" : "png/attribution.png"), in_root("pngcheck"));
		assert_int_equal(system(command), 0);
		slurp(in_root("pngcheck"), file_text);
		says(file_text, "OK:");
		says(file_text, "Bifocal-Runs:\n    1, 2, 3, 4");
		says(file_text, "Bifocal-Template:\n    attribution ");
		says(file_text, "Bifocal-Configuration:");
	}
}

static void store_bytes(struct store *s, uint64_t run, const uint8_t *p, size_t n)
{
	struct error err = { 0 };
	struct store_batch *b = store_batch_new(s, &err);
	world_must(b ? 0 : -1, &err);
	world_must(put_result(b, run, (struct span){ p, n }, &err), &err);
	world_must(store_commit(b, &err), &err);
	store_batch_free(b);
}

/* A result cut short, changed, or absurd: its run is left out, named, with the remedy; the others are drawn. */
static void test_hostile_results(void **state)
{
	(void)state;
	struct error err = { 0 };
	struct attribution *a = calloc(1, sizeof(*a));
	struct wbuf w;
	assert_non_null(a);
	world_attributed(in_root("hostile"), 2);
	struct world_path path = PATH_IOTHREAD;
	world_attribute(a, &path);
	for (unsigned kind = 0; kind < 4; kind++) {
		struct store *s = store_open(in_root("hostile"), STORE_WRITE, &err);
		assert_non_null(s);
		struct attribution *bad = malloc(sizeof(*bad));
		assert_non_null(bad);
		*bad = *a;
		bad->guest_hz = bad->host_hz = kind == 2 ? 0 : WORLD_HZ;
		bad->level[1].total = kind == 3 ? 1e300 : 1;
		wbuf_heap(&w, 4 << 20);
		attribution_pack(&w, bad);
		if (kind == 1)
			memset(w.p + w.len / 2, 0xff, 64);
		store_bytes(s, 2, w.p, kind == 0 ? w.len / 3 : w.len);
		wbuf_fini(&w);
		store_close(s);
		free(bad);
		assert_int_equal(mine("hostile", "hostile-out"), 3);
		says(err_text, "Left out of the phases: run 2: attribution result: ");
		says(err_text, "`bifocal attribute 2`");
		slurp(in_root("hostile-out/report.html"), file_text);
		says(file_text, "Left out of the phases: run 2");
		says(file_text, "I/O thread off");
		slurp(in_root("hostile-out/stats.json"), file_text);
		says(file_text, "\"label\": \"I/O thread on\", \"runs\": [4]");
	}
	free(a);
}

/* Its words come from logs and error messages, and go to a page. */
static void test_hostile_words(void **state)
{
	(void)state;
	struct error err = { 0 };
	struct attribution *a = calloc(1, sizeof(*a));
	struct world_path path = PATH_IOTHREAD;
	assert_non_null(a);
	struct store *s = store_open(in_root("words"), STORE_WRITE, &err);
	assert_non_null(s);
	uint64_t run = world_add(s, &(struct world_run){ .bus = "ide", .depth = 1, .base_us = 500, .seconds = 0.3, .seed = 6, .writes_percent = 40 });
	path.seen &= ~(1U << AT_HOST_ISSUE);
	path.skew_us = 400;
	world_attribute(a, &path);
	a->violations = 2;
	strcpy(a->violation_example, "<script>alert(1)</script> \x1b[31m \xff end");
	strcpy(a->vantage[VANTAGE_VMM].text, "<b>log</b>\n");
	strcpy(a->absent[AT_HOST_ISSUE], "<i>no block events</i>");
	world_result(s, run, a);
	store_close(s);
	free(a);
	assert_int_equal(mine("words", "words-out"), 0);
	slurp(in_root("words-out/report.html"), file_text);
	says(file_text, "2 causality violations");
	says(file_text, "One of them: &lt;script&gt;alert(1)&lt;/script&gt; ?[31m ? end");
	says(file_text, "&lt;b&gt;log&lt;/b&gt;");
	says(file_text, "<dt>host_issue, run 1</dt><dd>&lt;i&gt;no block events&lt;/i&gt;</dd>");
	says(file_text, "2 causality violations: a phase of a single request");
	assert_null(strstr(file_text, "<script"));
	/* What is negative keeps its sign. */
	says(file_text, "<td data-name=\"Mean\">−");
	/* Reads and writes are two series of one run, and one attribution. */
	slurp(in_root("words-out/stats.json"), file_text);
	assert_int_equal(times(file_text, "\"service_ns\""), 2);
	assert_int_equal(times(file_text, "\"levels\""), 1);
	says(file_text, "\"attributions\": [\n    {\"label\": \"this run\"");
}

/* A study of --self-check: every configuration with tracing and without, three repeats. */
static void self_checked(const char *db)
{
	struct error err = { 0 };
	struct attribution *a = calloc(1, sizeof(*a));
	struct store *s = store_open(db, STORE_WRITE, &err);
	assert_true(a && s);
	uint64_t study = 0;
	static const char *const repeat[] = { "0", "1", "2" };
	for (unsigned i = 0; i < 12; i++) {
		bool ahci = i & 1, off = i >> 1 & 1;
		uint64_t run = world_add(s, &(struct world_run){
			.bus = ahci ? "ahci" : "virtio-blk", .depth = 1, .base_us = off ? 400 : 500, .seconds = 0.8, .seed = i + 1, .study = study,
			.key = { "config.trace.enabled", "study.repeat" }, .text = { off ? "off" : "on", repeat[i / 4] } });
		study = study ? study : run;
		struct world_path path = PATH_IOTHREAD;
		if (off)
			path.seen = 1 << AT_APP_SUBMIT | 1 << AT_APP_REAP;
		world_attribute(a, &path);
		world_result(s, run, a);
	}
	store_close(s);
	free(a);
}

static void test_own_cost(void **state)
{
	(void)state;
	self_checked(in_root("self"));
	assert_int_equal(mine("self", "self-out"), 0);
	slurp(in_root("self-out/report.html"), file_text);
	says(file_text, "6 runs without tracing (trace.enabled=off) have no phases");
	says(file_text, "<th>virtio-blk</th><td data-name=\"Pairs\">3</td>");
	says(file_text, "<th>ahci</th><td data-name=\"Pairs\">3</td>");
	says(file_text, "Geometric means of the pairs with 95&nbsp;% intervals");
	says(file_text, "virtio-blk, untraced");
	/* What has no phases is not among them. */
	says(file_text, "<h3>virtio-blk</h3>");
	assert_null(strstr(file_text, "guest.submit..guest.reap"));
	slurp(in_root("self-out/stats.json"), file_text);
	const char *own = strstr(file_text, "\"own_cost\"");
	assert_non_null(own);
	says(own, "{\"label\": \"virtio-blk\", \"pairs\": 3, \"traced\": [1, 5, 9], \"untraced\": [3, 7, 11], \"ratio\": {\"iops\": {\"value\": 0.");
	double p50 = figure(own, "\"p50\": {\"value\": ");
	assert_true(p50 > 1.15 && p50 < 1.35);
	assert_int_equal(times(file_text, "\"levels\""), 2);
	says(file_text, "\"label\": \"virtio-blk\", \"runs\": [1, 5, 9]");
	/* Never pooled: four configurations of three runs each. */
	assert_int_equal(times(file_text, "\"service_ns\""), 4);
	/* Of untraced runs alone nothing is drawn, and where there is no pair the page says how to get one. */
	assert_int_equal(RUN("mine", "attribution", "-o", in_root("off"), "--db", in_root("self"), "--where", "trace.enabled=off"), 0);
	slurp(in_root("off/report.html"), file_text);
	says(file_text, "No run here could be attributed");
	assert_int_equal(mine("db", "no-pair"), 0);
	slurp(in_root("no-pair/report.html"), file_text);
	says(file_text, "<code>bifocal run --self-check</code>");
	slurp(in_root("no-pair/stats.json"), file_text);
	says(file_text, "\"own_cost\": []");
}

/* Three epochs, one of them without requests, two tiers: the widest that has requests, and in how many. */
static void test_epochs_and_tiers(void **state)
{
	(void)state;
	struct error err = { 0 };
	struct attribution *a = calloc(1, sizeof(*a));
	struct store *s = store_open(in_root("epochs"), STORE_WRITE, &err);
	assert_true(a && s);
	uint64_t run = world_add(s, &(struct world_run){ .bus = "nvme", .depth = 1, .base_us = 500, .seconds = 0.3, .seed = 3 });
	world_attribute(a, &PATH_IOTHREAD);
	a->quarantined = 7;
	a->vantage[VANTAGE_VMM].lost = 3;
	a->epochs = a->epochs_kept = 3;
	for (unsigned i = 0; i < 3; i++) {
		/* At 2.1 GHz: ±10, ±20 and ±30 µs. */
		int64_t half = 21000 * (i + 1);
		struct epoch_bound *e = &a->epoch[i];
		*e = (struct epoch_bound){ .epoch = i, .lo = -half, .hi = half, .tier = TIER_CAUSAL, .requests = i < 2 ? 2000 : 0 };
		e->by_tier[TIER_CAUSAL] = (struct tier_bound){ i < 1 ? 500 : 0, -half, half };
		e->by_tier[TIER_EXCHANGE] = (struct tier_bound){ 100, -2 * half, 2 * half };
	}
	a->epoch[1].tier = TIER_EXCHANGE;
	world_result(s, run, a);
	/* One that has no result, nor anything to make one of but its records. */
	world_add(s, &(struct world_run){ .bus = "ide", .depth = 1, .base_us = 500, .seconds = 0.3, .seed = 4, .study = run });
	store_close(s);
	free(a);
	assert_int_equal(mine("epochs", "epochs-out"), 0);
	slurp(in_root("epochs-out/report.html"), file_text);
	says(file_text, "<strong>exchange</strong></td><td data-name=\"All together\"><strong>±&nbsp;20\u00a0µs</strong>");
	says(file_text, "<td data-name=\"causal\">±&nbsp;10\u00a0µs<small>500 samples, 1 of 2 epochs</small></td>");
	says(file_text, "<td data-name=\"exchange\">±&nbsp;40\u00a0µs<small>200 samples</small></td>");
	says(file_text, "<td data-name=\"Epochs\">3<small>2 with requests</small></td>");
	says(file_text, "<th>Quarantined</th>");
	says(file_text, "<td data-name=\"Quarantined\">7</td>");
	assert_null(strstr(file_text, "<th>Residual</th>"));
	assert_null(strstr(file_text, "No request lies across"));
	says(file_text, "absent: not recorded in this run");
	says(file_text, "<p>No record was lost, and no request failed.</p>");
	says(file_text, "3 sightings were lost; the account of requests");
	slurp(in_root("epochs-out/stats.json"), file_text);
	says(file_text, "\"causal\": {\"samples\": 500, \"bound_ns\": 10000, \"epochs\": 1}");
}

static int set_up(void **state)
{
	(void)state;
	if (program_set_up())
		return -1;
	world_attributed(in_root("db"), 2);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_page),
		cmocka_unit_test(test_figures),
		cmocka_unit_test(test_same_bytes_twice),
		cmocka_unit_test(test_png_says_where_it_is_from),
		cmocka_unit_test(test_hostile_results),
		cmocka_unit_test(test_hostile_words),
		cmocka_unit_test(test_own_cost),
		cmocka_unit_test(test_epochs_and_tiers),
	};
	return cmocka_run_group_tests(tests, set_up, program_tear_down);
}
