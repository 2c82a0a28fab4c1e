/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a made-up database to groups: selection, grouping, what is left out and said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "mine/analysis.h"
#include "mine/query.h"
#include "tests/fixtures/mine_world.h"

static char root[64], path[96];

static const struct key_style BY[] = {
	{ "config.disk.bus", "", "virtio-blk ahci" }, { "workload.iodepth", "depth", NULL }, { "op", "", NULL },
};

static struct store *open_world(void)
{
	struct error err = { 0 };
	struct store *s = store_open(path, STORE_READ, &err);
	assert_non_null(s);
	return s;
}

/* Loads with up to two filters; returns dataset_load's result. */
static int load(struct dataset *d, const char *a, const char *a_values, const char *b, const char *b_values, bool last, struct error *err)
{
	struct filter f[2] = { { a, a_values, false, "--where first" }, { b, b_values, false, "--where second" } };
	struct selection sel = { .filter = f, .n_filters = a ? b ? 2 : 1 : 0, .last_study = last, .by = BY, .n_by = 3 };
	struct store *s = open_world();
	*err = (struct error){ 0 };
	int rc = dataset_load(d, s, &sel, err);
	store_close(s);
	return rc;
}

static void test_groups(void **state)
{
	(void)state;
	struct dataset d;
	struct error err;
	assert_int_equal(load(&d, NULL, NULL, NULL, NULL, true, &err), 0);
	assert_int_equal(d.runs, 8);
	assert_int_equal(d.groups, 4);
	assert_int_equal(d.keys, 2);
	static const char *const labels[] = { "virtio-blk, depth 1", "virtio-blk, depth 8", "ahci, depth 1", "ahci, depth 8" };
	for (size_t g = 0; g < 4; g++) {
		assert_string_equal(d.group[g].label, labels[g]);
		assert_int_equal(d.group[g].runs, 2);
	}
	assert_string_equal(dataset_common(&d, "workload.bs"), "4k");
	assert_null(dataset_common(&d, "workload.iodepth"));
	assert_null(dataset_common(&d, "no.such"));
	/* The other studies are told of, not forgotten. */
	assert_int_equal(d.notes, 1);
	assert_non_null(strstr(d.note[0].text, "study=all"));
	assert_false(d.note[0].loss);
	dataset_fini(&d);
}

static void test_requests_in_ns(void **state)
{
	(void)state;
	struct dataset d;
	struct error err;
	assert_int_equal(load(&d, "disk.bus", "ahci", "iodepth", "1", true, &err), 0);
	assert_int_equal(d.groups, 1);
	const struct mine_run *r = d.group[0].run[0];
	/* The generator's latencies lie around 190 µs; at depth 1 they fill the window. */
	double sum = 0;
	for (size_t i = 0; i < r->n; i++) {
		sum += (double)r->latency[i];
		assert_true(i == 0 || r->at[i] >= r->at[i - 1]);
	}
	assert_true(fabs(sum / 1e9 / r->seconds - 1) < 0.01);
	assert_true(fabs(r->seconds - 0.5) < 1e-6 && fabs(r->ramp_seconds - 0.2) < 1e-6);
	assert_true(r->n_ramp > 100 && r->ramp_before[0] > r->ramp_before[r->n_ramp - 1]);
	assert_null(r->response);
	assert_string_equal(d.group[0].label, "all runs");
	dataset_fini(&d);
}

static void test_filters(void **state)
{
	(void)state;
	struct dataset d;
	struct error err;
	assert_int_equal(load(&d, "config.disk.bus", "ahci,ide", "status", "complete", true, &err), 0);
	assert_int_equal(d.groups, 2);
	dataset_fini(&d);
	assert_int_equal(load(&d, "run", "2,3", NULL, NULL, false, &err), 0);
	assert_int_equal(d.runs, 2);
	dataset_fini(&d);
	assert_int_equal(load(&d, "study", "last", NULL, NULL, false, &err), 0);
	assert_int_equal(d.runs, 8);
	assert_true(d.run[0].meta.run == 9 && d.notes == 0);
	dataset_fini(&d);
	assert_int_equal(load(&d, "study", "all", NULL, NULL, true, &err), 0);
	assert_int_equal(d.runs, 16);
	dataset_fini(&d);
	assert_int_equal(load(&d, "disk.bus", "ah", NULL, NULL, true, &err), -1);
	assert_int_equal(load(&d, "disk.bus", "nvme", NULL, NULL, true, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "--where first leaves no run"));
	assert_non_null(strstr(err.text, "ahci, virtio-blk"));
	/* The first leaves some, the second none: it is the second that is named. */
	assert_int_equal(load(&d, "disk.bus", "ahci", "iodepth", "4", true, &err), -1);
	assert_non_null(strstr(err.text, "--where second leaves no run"));
	assert_int_equal(load(&d, "disk.buss", "ahci", NULL, NULL, true, &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
	assert_non_null(strstr(err.text, "did you mean \"disk.bus\""));
	assert_int_equal(load(&d, "study", "999", NULL, NULL, true, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static uint64_t add(struct world_run w)
{
	struct error err = { 0 };
	struct store *s = store_open(path, STORE_WRITE, &err);
	assert_non_null(s);
	if (w.base_us == 0)
		w.base_us = 100;
	if (!w.bus)
		w.bus = "ide";
	uint64_t run = world_add(s, &w);
	store_close(s);
	return run;
}

static char *run_text(uint64_t run)
{
	static char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, run);
	return text;
}

static void test_reads_and_writes_part(void **state)
{
	(void)state;
	struct dataset d;
	struct error err;
	char *mixed = run_text(add((struct world_run){ .depth = 2, .seconds = 0.2, .seed = 50, .writes_percent = 30 }));
	assert_int_equal(load(&d, "run", mixed, NULL, NULL, false, &err), 0);
	assert_int_equal(d.groups, 2);
	assert_string_equal(d.group[0].label, "read");
	assert_string_equal(d.group[1].label, "write");
	assert_int_equal(d.run[0].n_both, d.run[0].n + d.run[1].n);
	assert_in_range(d.run[1].n, d.run[0].n_both / 5, d.run[0].n_both * 2 / 5);
	dataset_fini(&d);
	assert_int_equal(load(&d, "run", mixed, "op", "write", false, &err), 0);
	assert_int_equal(d.groups, 1);
	assert_string_equal(d.group[0].run[0]->op, "write");
	dataset_fini(&d);
	char *writes = run_text(add((struct world_run){ .depth = 2, .seconds = 0.1, .seed = 51, .writes_percent = 100 }));
	assert_int_equal(load(&d, "run", writes, NULL, NULL, false, &err), 0);
	assert_int_equal(d.groups, 1);
	assert_string_equal(run_attr(&d.run[0], "config.disk.bus"), "ide");
	dataset_fini(&d);
	assert_int_equal(load(&d, "run", writes, "op", "write", false, &err), 0);
	dataset_fini(&d);
	assert_int_equal(load(&d, "run", writes, "op", "read", false, &err), -1);
	assert_non_null(strstr(err.text, "reads or writes as asked"));
}

static void test_open_loop_has_response_times(void **state)
{
	(void)state;
	struct dataset d;
	struct error err;
	char *run = run_text(add((struct world_run){ .depth = 1, .seconds = 0.1, .seed = 52, .open_loop = true }));
	assert_int_equal(load(&d, "run", run, NULL, NULL, false, &err), 0);
	assert_non_null(d.run[0].response);
	for (size_t i = 0; i < d.run[0].n; i++)
		assert_in_range(d.run[0].response[i] - d.run[0].latency[i], 4900, 10100);
	dataset_fini(&d);
}

static void test_what_cannot_be_used_is_said(void **state)
{
	(void)state;
	static const struct { struct world_run w; const char *words; } bad[] = {
		{ { .depth = 1, .seconds = 0.05, .seed = 60, .status = RUN_FAILED }, "ended well" },
		{ { .depth = 1, .seconds = 0, .seed = 61 }, "no counted request" },
		{ { .depth = 1, .seconds = 0.05, .seed = 62, .key = { "guest.tsc_hz" }, .text = { "0" } }, "0 Hz is not plausible" },
		{ { .depth = 1, .seconds = 0.05, .seed = 63, .key = { "window.close" }, .text = { "17" } }, "not in order" },
		{ { .depth = 1, .seconds = 0.05, .seed = 64, .key = { "window.open" }, .text = { "nan" } }, "no window.open" },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct dataset d;
		struct error err;
		char *run = run_text(add(bad[i].w));
		assert_int_equal(load(&d, "run", run, NULL, NULL, false, &err), -1);
		if (!strstr(err.text, bad[i].words))
			fail_msg("\"%s\" is not in: %s", bad[i].words, err.text);
		/* Beside good runs it is left out, and that is said. */
		char both[32];
		snprintf(both, sizeof(both), "1,%s", run);
		assert_int_equal(load(&d, "run", both, NULL, NULL, false, &err), 0);
		assert_int_equal(d.runs, 1);
		assert_int_equal(d.notes, 1);
		assert_true(d.note[0].loss);
		dataset_fini(&d);
	}
}

/* What differs parts runs, whether anybody named it or not; digits are ordered by number. */
static void test_unnamed_settings_part(void **state)
{
	(void)state;
	static const char *const bs[] = { "64k", "4k", "16k" };
	struct dataset d;
	struct error err;
	char runs[96] = "";
	for (uint64_t i = 0; i < 3; i++) {
		struct world_run w = { .depth = 1, .seconds = 0.02, .seed = 80 + i, .key = { "workload.bs", "prov.seed" }, .text = { bs[i], bs[i] } };
		snprintf(runs + strlen(runs), sizeof(runs) - strlen(runs), "%s%s", *runs ? "," : "", run_text(add(w)));
	}
	assert_int_equal(load(&d, "run", runs, NULL, NULL, false, &err), 0);
	assert_int_equal(d.keys, 1);
	assert_int_equal(d.groups, 3);
	assert_string_equal(d.group[0].label, "bs 4k");
	assert_string_equal(d.group[1].label, "bs 16k");
	assert_string_equal(d.group[2].label, "bs 64k");
	dataset_fini(&d);
}

static void test_hostile_text_is_tamed(void **state)
{
	(void)state;
	struct dataset d;
	struct error err;
	char *run = run_text(add((struct world_run){ .depth = 1, .seconds = 0.05, .seed = 70, .key = { "config.disk.bus" }, .text = { "\x1b[2J\xff<b>" } }));
	assert_int_equal(load(&d, "run", run, NULL, NULL, false, &err), 0);
	assert_string_equal(run_attr(&d.run[0], "config.disk.bus"), "?[2J?<b>");
	dataset_fini(&d);
}

static double vcpu_of(const struct analysis *a, size_t g)
{
	for (size_t i = 0; i < a->cpu[g].n_host; i++)
		if (strcmp(a->cpu[g].host[i].name, "vCPU") == 0)
			return a->cpu[g].host[i].cpus;
	return -1;
}

/* Labels as long as that differ at their ends or nowhere; either way no two configurations share one. */
static void test_long_labels_stay_apart(void **state)
{
	(void)state;
	static const char *const backend[] = {
		"a-backend-whose-name-goes-on-for-longer-than-anyone-reads-0-with-the-same-end-to-it",
		"a-backend-whose-name-goes-on-for-longer-than-anyone-reads-1-with-the-same-end-to-it",
		"ein-Gerät-mit-längerem-Namen-als-irgendwer-läse-und-zwei-Enden-µµ",
	};
	struct template t = { .name = (char *)(uintptr_t)"t", .level = 0.95 };
	struct analysis a;
	struct error err = { 0 };
	char runs[96] = "";
	for (uint64_t i = 0; i < 3; i++) {
		struct world_run w = { .bus = "ide", .depth = 1, .base_us = 100, .seconds = 0.05, .seed = 90 + i, .key = { "config.disk.backend" }, .text = { backend[i] } };
		snprintf(runs + strlen(runs), sizeof(runs) - strlen(runs), "%s%s", *runs ? "," : "", run_text(add(w)));
	}
	struct filter these = { "run", runs, false, "" };
	struct store *s = open_world();
	assert_int_equal(analysis_run(&a, s, &t, &these, 1, &err), 0);
	assert_int_equal(a.data.groups, 3);
	assert_string_equal(a.data.group[0].label, "backend a-backend-whose-…with-the-same-end-to-it");
	assert_string_equal(a.data.group[1].label, "backend a-backend-whose-…with-the-same-end-to-it (2)");
	assert_string_equal(a.data.group[2].label, "backend ein-Gerät-mit-lä…-läse-und-zwei-Enden-µµ");
	assert_ptr_equal(a.look[1].label, a.data.group[1].label);
	analysis_fini(&a);
	store_close(s);
}

/* The clock jumped by a second within the window: its end is told by the epoch that it lies in. */
static void test_cpu_window_follows_the_epochs(void **state)
{
	(void)state;
	struct template t = { .name = (char *)(uintptr_t)"t", .level = 0.95 };
	struct world_run w = { .bus = "ide", .depth = 1, .base_us = 500, .seconds = 1, .ramp = 0.1, .seed = 95 };
	uint64_t open = (1ULL << 40) + w.seed * 1000003, run = add(w);
	int64_t offset = (int64_t)(w.seed * 77777777) - (1LL << 50);
	struct error err = { 0 };
	struct store *s = store_open(path, STORE_WRITE, &err);
	struct store_batch *b = store_batch_new(s, &err);
	/* Only 0.5 s of the window are on the host's clock, and the samples there go on at the same pace. */
	struct store_epoch e = { .epoch = 1, .tier = 5, .lo = offset + (int64_t)(WORLD_HZ / 2), .hi = offset + (int64_t)(WORLD_HZ / 2), .first_host = open - (uint64_t)offset + WORLD_HZ / 5 };
	world_must(put_epoch(b, run, &e, &err), &err);
	world_must(store_commit(b, &err), &err);
	store_batch_free(b);
	store_close(s);
	struct filter this = { "run", run_text(run), false, "" };
	struct analysis a;
	s = open_world();
	assert_int_equal(analysis_run(&a, s, &t, &this, 1, &err), 0);
	assert_true(fabs(vcpu_of(&a, 0) - 0.82) < 0.001);
	analysis_fini(&a);
	store_close(s);
	/* A jump the other way takes in the busier half second after the load: 0.1 + 1.0 + 0.5 s. */
	s = store_open(path, STORE_WRITE, &err);
	b = store_batch_new(s, &err);
	e.lo = e.hi = offset - (int64_t)(WORLD_HZ / 2);
	world_must(put_epoch(b, run, &e, &err), &err);
	world_must(store_commit(b, &err), &err);
	store_batch_free(b);
	store_close(s);
	s = open_world();
	assert_int_equal(analysis_run(&a, s, &t, &this, 1, &err), 0);
	assert_true(vcpu_of(&a, 0) > 1.1);
	analysis_fini(&a);
	store_close(s);
}

static void test_pairs(void **state)
{
	(void)state;
	struct statistic median = { STAT_PERCENTILE, 0.5, "p50" };
	struct item compare = { .kind = ITEM_COMPARE, .key = (char *)(uintptr_t)"config.disk.bus", .baseline = (char *)(uintptr_t)"virtio-blk" };
	struct template t = { .name = (char *)(uintptr_t)"t", .level = 0.95, .by = (struct key_style *)(uintptr_t)BY, .n_by = 3 };
	struct filter first = { "study", "1", false, "" };
	struct analysis a;
	struct error err = { 0 };
	struct store *s = open_world();
	assert_int_equal(analysis_run(&a, s, &t, &first, 1, &err), 0);
	struct pair *p;
	assert_int_equal(analysis_pairs(&a, &compare, &p, &err), 2);
	assert_string_equal(p[0].label, "ahci against virtio-blk, depth\u00a01");
	assert_string_equal(p[1].label, "ahci against virtio-blk, depth\u00a08");
	/* The generator's bases: 190 to 75 µs, 1100 to 310. */
	struct estimate one = pair_ratio(&a, &p[0], &median), eight = pair_ratio(&a, &p[1], &median);
	assert_true(one.supported && one.lo < 190.0 / 75 && 190.0 / 75 < one.hi);
	assert_true(eight.supported && eight.lo < 1100.0 / 310 && 1100.0 / 310 < eight.hi);
	pairs_free(p, 2);
	/* CPU time: the generator keeps QEMU's vCPU thread 82 % busy. */
	bool vcpu = false;
	for (size_t i = 0; i < a.cpu[0].n_host; i++)
		if (strcmp(a.cpu[0].host[i].name, "vCPU") == 0) {
			vcpu = true;
			assert_true(fabs(a.cpu[0].host[i].cpus - 0.82) < 0.001);
			assert_true(fabs(cpu_ns_per_request(&a.cpu[0], &a.cpu[0].host[i]) - 0.82e9 / a.cpu[0].iops) < 1);
		}
	assert_true(vcpu && a.cpu[0].n_guest == 1);
	assert_string_equal(a.cpu[0].guest[0].name, "Steal");
	assert_true(fabs(a.cpu[0].guest[0].cpus - 0.025) < 1e-4);
	compare.baseline = (char *)(uintptr_t)"none such";
	assert_int_equal(analysis_pairs(&a, &compare, &p, &err), 0);
	pairs_free(p, 0);
	analysis_fini(&a);
	store_close(s);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(root, "/tmp/bifocal-query.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	snprintf(path, sizeof(path), "%s/db", root);
	world_default(path, 2, 0.5);
	world_default(path, 2, 0.5);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_requests_in_ns),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_long_labels_stay_apart),
		cmocka_unit_test(test_cpu_window_follows_the_epochs),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_reads_and_writes_part),
		cmocka_unit_test(test_open_loop_has_response_times),
		cmocka_unit_test(test_what_cannot_be_used_is_said),
		cmocka_unit_test(test_unnamed_settings_part),
		cmocka_unit_test(test_hostile_text_is_tamed),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
