/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Escapes, numbers as people read them, files whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mine/chart/text.h"
#include "mine/emit.h"
#include "mine/search.h"

/* What `write` puts into a stream, malloc'd. */
static char *captured(void (*write)(FILE *f, const char *text), const char *text)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);
	assert_non_null(f);
	write(f, text);
	fclose(f);
	return out;
}

static void test_escapes(void **state)
{
	(void)state;
	char *html = captured(html_text, "<b a='\"'>&µ");
	assert_string_equal(html, "&lt;b a=&#39;&quot;&#39;&gt;&amp;µ");
	free(html);
	char *json = captured(json_text, "a\"\\\n\x01µ");
	assert_string_equal(json, "\"a\\\"\\\\\\u000a\\u0001µ\"");
	free(json);
}

static void test_bounds(void **state)
{
	(void)state;
	static const struct { double ns; const char *text; } known[] = {
		{ 0.476, "0.48\u00a0ns" }, { 1, "1.0\u00a0ns" }, { 7, "7.0\u00a0ns" }, { 7.01, "7.1\u00a0ns" }, { 9.95, "10\u00a0ns" }, { 13701, "14\u00a0µs" },
		{ 27000, "27\u00a0µs" }, { 568000, "568\u00a0µs" }, { 999200, "1.0\u00a0ms" }, { 2.5e9, "2.5\u00a0s" }, { 0, "0.00\u00a0ns" },
	};
	char text[64];
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		text_bound_ns(known[i].ns, text, sizeof(text));
		assert_string_equal(text, known[i].text);
	}
	text_bounded_ns(113000, "27\u00a0µs", text, sizeof(text));
	assert_string_equal(text, "113\u00a0±\u00a027\u00a0µs");
	text_bounded_ns(-1750000, "27\u00a0µs", text, sizeof(text));
	assert_string_equal(text, "−1.75\u00a0ms\u00a0±\u00a027\u00a0µs");
	text_bounded_ns(113000, "1\u00a0tick", text, sizeof(text));
	assert_string_equal(text, "113\u00a0µs\u00a0±\u00a01\u00a0tick");
}

static void base64_of(FILE *f, const char *text)
{
	html_base64(f, (const uint8_t *)text, strlen(text));
}

static void test_base64(void **state)
{
	(void)state;
	/* RFC 4648, section 10. */
	static const char *const vector[][2] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
	};
	for (size_t i = 0; i < sizeof(vector) / sizeof(*vector); i++) {
		char *got = captured(base64_of, vector[i][0]);
		assert_string_equal(got, vector[i][1]);
		free(got);
	}
}

static void test_text_clean(void **state)
{
	(void)state;
	static const char *const pair[][2] = {
		{ "plain µ ☃ 𝄞", "plain µ ☃ 𝄞" }, { "a\nb\tc\x1b[2J\x7f", "a b c?[2J?" }, { "\xc0\xaf", "??" }, { "\xed\xa0\x80", "???" },
		{ "x\xe2\x82", "x??" }, { "\xf4\x90\x80\x80", "????" }, { "\xc2\x85", "??" }, { "\xff", "?" },
	};
	for (size_t i = 0; i < sizeof(pair) / sizeof(*pair); i++) {
		char text[64];
		strcpy(text, pair[i][0]);
		assert_string_equal(text_clean(text), pair[i][1]);
	}
}

static void test_numbers(void **state)
{
	(void)state;
	char a[96], b[96];
	assert_string_equal(text_count(0, a, sizeof(a)), "0");
	assert_string_equal(text_count(999, a, sizeof(a)), "999");
	assert_string_equal(text_count(1234567, a, sizeof(a)), "1\u202f234\u202f567");
	assert_string_equal(text_count(1e6, a, 4), "1e+");
	text_estimate_ns((struct estimate){ 75321, 74900, 75800, true }, a, sizeof(a), b, sizeof(b));
	assert_string_equal(a, "75.3\u00a0µs");
	assert_string_equal(b, "74.9–75.8");
	text_estimate_ns((struct estimate){ 999800, 990000, 1010000, true }, a, sizeof(a), b, sizeof(b));
	assert_string_equal(a, "1.00\u00a0ms");
	assert_string_equal(b, "0.99–1.01");
	text_estimate_ns((struct estimate){ .value = 7 }, a, sizeof(a), b, sizeof(b));
	assert_string_equal(a, "7.00\u00a0ns");
	assert_string_equal(b, "");
	assert_string_equal(text_tick_ns(2e5, a, sizeof(a)), "200\u00a0µs");
	assert_string_equal(text_tick_ns(1e9, a, sizeof(a)), "1\u00a0s");
	assert_string_equal(text_tick_ns(0.5, a, sizeof(a)), "0.5\u00a0ns");
	static const struct { double q; const char *text; } percent[] = {
		{ 0, "0" }, { 0.5, "50" }, { 0.9, "90" }, { 0.99, "99" }, { 0.999, "99.9" }, { 1 - 1e-4, "99.99" }, { 1 - 1e-6, "99.9999" }, { 1, "100" },
	};
	for (size_t i = 0; i < sizeof(percent) / sizeof(*percent); i++)
		assert_string_equal(text_percentile(percent[i].q, a, sizeof(a)), percent[i].text);
	char *null = NULL;
	size_t len;
	FILE *f = open_memstream(&null, &len);
	json_estimate(f, (struct estimate){ NAN, INFINITY, 2, true });
	fclose(f);
	assert_string_equal(null, "{\"value\": null, \"lo\": null, \"hi\": 2}");
	free(null);
}

static void test_output(void **state)
{
	(void)state;
	char root[] = "/tmp/bifocal-emit.XXXXXX", path[128];
	assert_non_null(mkdtemp(root));
	struct error err = { 0 };
	snprintf(path, sizeof(path), "%s/a/b/c", root);
	int dir = output_open(path, &err);
	assert_true(dir >= 0);
	assert_int_equal(output_write(dir, "x", "one", 3, &err), 0);
	assert_int_equal(output_write(dir, "x", "second", 6, &err), 0);
	snprintf(path, sizeof(path), "%s/a/b/c/x", root);
	size_t len;
	char *text = file_read(path, 100, &len, &err);
	assert_string_equal(text, "second");
	free(text);
	assert_null(file_read(path, 5, &len, &err));
	assert_int_equal(err.code, ERR_LIMIT);
	/* A name that is a folder: an error, and no temporary file left behind. */
	assert_int_equal(mkdirat(dir, "taken", 0700), 0);
	assert_int_equal(output_write(dir, "taken", "z", 1, &err), -1);
	assert_int_equal(unlinkat(dir, "x", 0), 0);
	assert_int_equal(unlinkat(dir, "taken", AT_REMOVEDIR), 0);
	close(dir);
	assert_int_equal(output_open("/dev/null/out", &err), -1);
	assert_non_null(strstr(err.text, "output folder /dev/null/out"));
	assert_int_equal(output_open("", &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
	static const char *const down[] = { "a/b/c", "a/b", "a", "" };
	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%s", root, down[i]);
		assert_int_equal(rmdir(path), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_text_clean),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_output),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
