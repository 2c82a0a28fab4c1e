/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real bifocal-mine against a made-up database: what it leaves in a folder, what it says, how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fixtures/mine_program.h"
#include "tests/fixtures/mine_world.h"

static void test_whole_report(void **state)
{
	(void)state;
	char out[160];
	strcpy(out, in_root("out/deep"));
	assert_int_equal(RUN("mine", "latency", "-o", out, "--db", in_root("db")), 0);
	says(out_text, "out/deep/report.html\n");
	assert_string_equal(err_text, "");
	slurp(in_root("out/deep/report.html"), file_text);
	static const char *const words[] = {
		"virtio-blk, depth 1", "virtio-blk, depth 8", "ahci, depth 1", "ahci, depth 8", "p99.9", "IOPS", "95&nbsp;%",
		"ahci against virtio-blk, depth\u00a01", "±&nbsp;", "vCPU", "Steal", "prov.qemu.command", "Nothing was lost",
		"Test &amp; Co. &lt;CPU&gt;", "Little’s law",
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		says(file_text, words[i]);
	/* Two charts, each in two widths, inside the page; nothing of it from elsewhere. */
	assert_int_equal(times(file_text, "data:image/png;base64,iVBOR"), 4);
	assert_int_equal(times(file_text, "http:") + times(file_text, "https:") + times(file_text, "<script"), 0);
	slurp(in_root("out/deep/stats.json"), file_text);
	says(file_text, "\"label\": \"virtio-blk, depth 1\"");
	/* The generator's offset lies within 80,000 cycles at 2.1 GHz. */
	says(file_text, "\"tier\": \"exchange\", \"bound_ns\": 19047.6190");
	assert_int_equal(times(file_text, "\"service_ns\""), 4);
}

static void test_same_bytes_twice(void **state)
{
	(void)state;
	static const char *const names[] = { "report.html", "stats.json", "percentile.png", "timeline.png" };
	char *other = malloc(TEXT_MAX);
	assert_non_null(other);
	assert_int_equal(RUN("mine", "latency", "-o", in_root("one"), "--db", in_root("db")), 0);
	assert_int_equal(RUN("mine", "latency", "-o", in_root("two"), "--db", in_root("db")), 0);
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

/* pngcheck knows nothing of libpng's writer. */
static void test_png_by_another_reader(void **state)
{
	(void)state;
	if (system("command -v pngcheck >/dev/null"))
		skip();
	char command[400];
	assert_int_equal(RUN("mine", "latency", "-o", in_root("png"), "--db", in_root("db")), 0);
	for (int i = 0; i < 2; i++) {
		const char *chart = i ? "png/timeline.png" : "png/percentile.png";
		snprintf(command, sizeof(command), "pngcheck -t '%s' >'%s'", in_root(chart), in_root("pngcheck"));
		assert_int_equal(system(command), 0);
		slurp(in_root("pngcheck"), file_text);
		says(file_text, "OK:");
		says(file_text, "Bifocal-Runs:\n    1, 2, 3, 4");
		says(file_text, "Bifocal-Template:\n    latency ");
		says(file_text, "Bifocal-Configuration:");
		/* Where the database lies is nobody's business. */
		assert_null(strstr(file_text, in_root("db")));
	}
}

static void test_json_and_filters(void **state)
{
	(void)state;
	assert_int_equal(RUN("mine", "--json", "--where", "disk.bus=ahci", "latency", "--where", "iodepth=1,8", "-o", in_root("json"), "--db", in_root("db")), 0);
	assert_true(out_text[0] == '{' && strcmp(out_text + strlen(out_text) - 2, "}\n") == 0);
	assert_int_equal(times(out_text, "\n"), 1);
	says(out_text, "\"runs\": [1, 3]");
	says(out_text, "\"configurations\": 2");
	says(out_text, "\"partial\": false");
	slurp(in_root("json/report.html"), file_text);
	says(file_text, "Nothing to compare");
	says(file_text, "depth 8");
}

static void test_bad_usage(void **state)
{
	(void)state;
	char out[160], db[160];
	strcpy(out, in_root("never"));
	strcpy(db, in_root("db"));
	static const char *const words[] = { "did you mean --where", "wants KEY=VALUE", "-o DIR is missing", "which template", "wants a value", "one template too many", "did you mean mine" };
	const char *const calls[][8] = {
		{ "bifocal-mine", "mine", "latency", "--wher=a=b" }, { "bifocal-mine", "mine", "latency", "--where", "x" },
		{ "bifocal-mine", "mine", "latency" }, { "bifocal-mine", "mine", "-o", out }, { "bifocal-mine", "mine", "latency", "-o" },
		{ "bifocal-mine", "mine", "latency", "more", "-o", out }, { "bifocal-mine", "mien" },
	};
	/* getopt takes unique beginnings of options: --wher is --where. */
	for (size_t i = 1; i < sizeof(calls) / sizeof(*calls); i++) {
		assert_int_equal(run_argv(calls[i]), 2);
		says(err_text, words[i]);
		assert_string_equal(out_text, "");
	}
	assert_int_equal(RUN("mine", "latency", "--wheer", "a=b", "-o", out), 2);
	says(err_text, words[0]);
	assert_int_equal(RUN("mine", "latency", "-o", out, "--db", db, "--where", "disk.buss=ahci"), 2);
	says(err_text, "did you mean \"disk.bus\"");
	assert_int_equal(RUN("mine", "latancy", "-o", out, "--db", db), 2);
	says(err_text, "did you mean \"latency\"");
	assert_int_equal(access(out, F_OK), -1);
}

static void test_faults(void **state)
{
	(void)state;
	char out[160], db[160];
	strcpy(out, in_root("never"));
	strcpy(db, in_root("db"));
	assert_int_equal(RUN("mine", "latency", "-o", out, "--db", in_root("nowhere")), 1);
	says(err_text, "nowhere");
	assert_int_equal(RUN("mine", "latency", "-o", out, "--db", db, "--where", "disk.bus=nvme"), 1);
	says(err_text, "--where disk.bus=nvme leaves no run");
	says(err_text, "ahci, virtio-blk");
	assert_int_equal(access(out, F_OK), -1);
	assert_int_equal(RUN("mine", "latency", "-o", "/dev/null/out", "--db", db), 1);
	says(err_text, "output folder /dev/null/out");
	assert_int_equal(RUN("mine", "latency", "-o", "/proc/self/fdinfo", "--db", db), 1);
	says(err_text, "/proc/self/fdinfo");
	struct error err = { 0 };
	store_close(store_open(in_root("empty"), STORE_WRITE, &err));
	assert_int_equal(RUN("mine", "latency", "-o", out, "--db", in_root("empty")), 1);
	says(err_text, "no run yet");
}

static void test_bad_templates(void **state)
{
	(void)state;
	char path[160];
	strcpy(path, in_root("t.xml"));
	static const struct { const char *text, *words; } bad[] = {
		{ "<a>\n<b></a>", "t.xml:2: not well-formed" },
		{ "<a/>", "t.xml:1: Element 'a'" },
		{ "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\n<a>&x;</a>", "t.xml:1: <!DOCTYPE>" },
		{ "", "t.xml" },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		write_file(path, bad[i].text);
		assert_int_equal(RUN("mine", path, "-o", in_root("never"), "--db", in_root("db")), 2);
		says(err_text, bad[i].words);
		assert_int_equal(RUN("mine", "--check", path), 2);
		says(err_text, bad[i].words);
		assert_null(strstr(err_text, "root:"));
	}
	/* What is drawn is the template's doing. */
	write_file(path, "<template xmlns=\"urn:bifocal:template\" version=\"1\" name=\"own\"><title>Mine &lt;own&gt;</title><report>"
		   "<chart type=\"timeline\" id=\"along\" title=\"Along\"/><text>Read this.</text></report></template>");
	assert_int_equal(RUN("mine", path, "-o", in_root("own"), "--db", in_root("db")), 0);
	slurp(in_root("own/report.html"), file_text);
	says(file_text, "<h1>Mine &lt;own&gt;</h1>");
	says(file_text, "Read this.");
	assert_int_equal(times(file_text, "data:image/png;base64,iVBOR"), 2);
	assert_int_equal(access(in_root("own/along.png"), F_OK), 0);
	assert_int_equal(access(in_root("own/percentile.png"), F_OK), -1);
	assert_int_equal(RUN("mine", "--check", path), 0);
	/* A statistic named twice is there once; what has no interval is a ratio without one, not too few requests. */
	write_file(path, "<template xmlns=\"urn:bifocal:template\" version=\"1\" name=\"own\"><title>T</title><report>"
		   "<compare title=\"C\" key=\"config.disk.bus\" baseline=\"virtio-blk\" statistics=\"p50 max p50\"/></report></template>");
	assert_int_equal(RUN("mine", path, "-o", in_root("own"), "--db", in_root("db")), 0);
	slurp(in_root("own/report.html"), file_text);
	assert_null(strstr(file_text, "n too small"));
	slurp(in_root("own/stats.json"), file_text);
	assert_null(strstr(file_text, "\"ratio\": {\"p50\": {\"value\": null"));
	assert_null(strstr(file_text, "\"max\": {\"value\": null"));
	assert_int_equal(times(file_text, "\"p50\""), times(file_text, "\"max\""));
}

static void test_few_requests(void **state)
{
	(void)state;
	struct error err = { 0 };
	struct store *s = store_open(in_root("few"), STORE_WRITE, &err);
	assert_non_null(s);
	world_add(s, &(struct world_run){ .bus = "ide", .depth = 1, .base_us = 2000, .seconds = 0.3, .seed = 3 });
	/* One request alone. */
	world_add(s, &(struct world_run){ .bus = "nvme", .depth = 1, .base_us = 5e6, .seconds = 0.0001, .seed = 4, .study = 1 });
	world_add(s, &(struct world_run){ .bus = "ahci", .depth = 1, .base_us = 100, .seconds = 0, .seed = 5, .study = 1 });
	store_close(s);
	/* The run without a request is left out: partial. */
	assert_int_equal(RUN("mine", "latency", "-o", in_root("few-out"), "--db", in_root("few")), 3);
	says(err_text, "Run 3 has no counted request");
	slurp(in_root("few-out/report.html"), file_text);
	says(file_text, "n too small<small>");
	says(file_text, " of 368</small>");
	says(file_text, "Run 3 has no counted request");
	says(file_text, "1 of 6</small>");
	slurp(in_root("few-out/stats.json"), file_text);
	says(file_text, "\"p99\": {\"value\": null, \"lo\": null, \"hi\": null}");
}

static void put_flushes(struct store *s, uint64_t run, uint64_t seed)
{
	struct io_record io[3];
	struct error err = { 0 };
	struct store_batch *b = store_batch_new(s, &err);
	for (uint64_t i = 0; i < 3; i++) {
		uint64_t at = (1ULL << 40) + seed * 1000003 + WORLD_HZ / 10 * (i + 1);
		io[i] = (struct io_record){ .submit = at, .reap = at + 1000, .intended = at, .op = IO_FLUSH };
	}
	world_flush(s, b, run, 99, io, 3);
	world_must(store_commit(b, &err), &err);
	store_batch_free(b);
}

/* What is missing is said before the figures, and a run that mixes reads and writes is one run. */
static void test_partial_run(void **state)
{
	(void)state;
	struct error err = { 0 };
	struct store *s = store_open(in_root("partial"), STORE_WRITE, &err);
	assert_non_null(s);
	uint64_t run = world_add(s, &(struct world_run){ .bus = "ide", .depth = 1, .base_us = 200, .seconds = 0.5, .seed = 6, .writes_percent = 40,
							 .status = RUN_PARTIAL, .key = { "lost.io_record" }, .text = { "17" } });
	put_flushes(s, run, 6);
	store_close(s);
	assert_int_equal(RUN("mine", "latency", "-o", in_root("partial-out"), "--db", in_root("partial")), 0);
	says(err_text, "Run 1 is partial");
	slurp(in_root("partial-out/report.html"), file_text);
	says(file_text, "Run 1 is partial");
	says(file_text, "In 1 of 1 run something failed or was lost");
	says(file_text, "<td data-name=\"Flushes\">3</td>");
	slurp(in_root("partial-out/stats.json"), file_text);
	says(file_text, "\"op\": \"read\", \"lost\": {\"io_record\": 17}");
}

/* Bytes changed anywhere in the pages: an answer or an error, never a crash, and a damaged run is named. */
static void test_damaged_database(void **state)
{
	(void)state;
	char path[160], out[160];
	unsigned named = 0;
	strcpy(out, in_root("damaged-out"));
	strcpy(path, in_root("damaged/data.mdb"));
	assert_int_equal(mkdir(in_root("damaged"), 0700), 0);
	size_t n = slurp(in_root("db/data.mdb"), file_text);
	assert_true(n > 100000 && n < TEXT_MAX - 1);
	for (unsigned i = 0; i < 12; i++) {
		/* From the third page on: the first two are LMDB's own meta pages. */
		size_t at = 8192 + (n - 8192) * i / 12 + 777;
		char kept[8];
		memcpy(kept, file_text + at, sizeof(kept));
		for (size_t k = 0; k < sizeof(kept); k++)
			file_text[at + k] = (char)(file_text[at + k] ^ 0x5a);
		FILE *f = fopen(path, "wb");
		assert_non_null(f);
		assert_int_equal(fwrite(file_text, 1, n, f), n);
		fclose(f);
		memcpy(file_text + at, kept, sizeof(kept));
		int code = RUN("mine", "latency", "-o", out, "--db", in_root("damaged"));
		if (code != 0 && code != 1 && code != 3)
			fail_msg("exit %d: %s", code, err_text);
		named += code == 3 && strstr(err_text, "was left out");
	}
	assert_true(named > 0);
}

static void test_help_and_lists(void **state)
{
	(void)state;
	assert_int_equal(RUN("--help"), 0);
	says(out_text, "mine");
	assert_int_equal(RUN("mine", "--help"), 0);
	says(out_text, "--where KEY=VALUE");
	assert_int_equal(RUN("--version"), 0);
	says(out_text, "bifocal-mine ");
	assert_int_equal(RUN("mine", "--list"), 0);
	says(out_text, "latency");
	assert_int_equal(RUN("mine", "--list", "--json"), 0);
	says(out_text, "\"name\": \"latency\"");
	assert_int_equal(RUN("mine", "--check", "templates/latency.xml"), 0);
	says(out_text, "valid");
}

static int set_up(void **state)
{
	(void)state;
	if (program_set_up())
		return -1;
	world_default(in_root("db"), 1, 1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_report),
		cmocka_unit_test(test_same_bytes_twice),
		cmocka_unit_test(test_png_by_another_reader),
		cmocka_unit_test(test_json_and_filters),
		cmocka_unit_test(test_bad_usage),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_bad_templates),
		cmocka_unit_test(test_few_requests),
		cmocka_unit_test(test_partial_run),
		cmocka_unit_test(test_damaged_database),
		cmocka_unit_test(test_help_and_lists),
	};
	return cmocka_run_group_tests(tests, set_up, program_tear_down);
}
