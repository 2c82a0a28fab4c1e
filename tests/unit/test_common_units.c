/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers with units, and near words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/units.h"

static uint64_t size_of(const char *text)
{
	uint64_t v = 12345;
	struct error err;
	if (parse_size(text, &v, &err) < 0)
		fail_msg("%s", err.text);
	return v;
}

static uint64_t duration_of(const char *text)
{
	uint64_t v = 12345;
	struct error err;
	if (parse_duration(text, &v, &err) < 0)
		fail_msg("%s", err.text);
	return v;
}

static void sizes_as_fio_has_them(void **state)
{
	(void)state;
	assert_int_equal(size_of("0"), 0);
	assert_int_equal(size_of("1536"), 1536);
	assert_int_equal(size_of("4k"), 4096);
	assert_int_equal(size_of("4K"), 4096);
	assert_int_equal(size_of("4KiB"), 4096);
	assert_int_equal(size_of("4kB"), 4096);
	assert_int_equal(size_of("256m"), 256 << 20);
	assert_int_equal(size_of("1g"), 1 << 30);
	assert_int_equal(size_of("2t"), 2ull << 40);
	assert_int_equal(size_of("18446744073709551615"), UINT64_MAX);
}

static void durations_as_fio_has_them(void **state)
{
	(void)state;
	assert_int_equal(duration_of("500ns"), 500);
	assert_int_equal(duration_of("10us"), 10000);
	assert_int_equal(duration_of("10µs"), 10000);
	assert_int_equal(duration_of("100ms"), 100000000);
	assert_int_equal(duration_of("2s"), 2000000000);
	assert_int_equal(duration_of("2"), 2000000000);
	assert_int_equal(duration_of("1m"), 60000000000);
	assert_int_equal(duration_of("24h"), 86400000000000);
}

static void expect_error(int (*parse)(const char *, uint64_t *, struct error *), const char *text, const char *says)
{
	uint64_t v = 77;
	struct error err;
	assert_int_equal(parse(text, &v, &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
	assert_int_equal(v, 77);
	if (!strstr(err.text, says))
		fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void bad_numbers_are_told(void **state)
{
	(void)state;
	expect_error(parse_size, "", "not a number");
	expect_error(parse_size, "k", "not a number");
	expect_error(parse_size, "-4k", "not a number");
	expect_error(parse_size, "4x", "unknown unit \"x\"; known are k m g t");
	expect_error(parse_size, "4kiib", "did you mean \"kib\"?");
	expect_error(parse_size, "4k ", "unknown unit");
	expect_error(parse_size, "18446744073709551616", "too large");
	expect_error(parse_size, "18014398509481984k", "too large");
	expect_error(parse_duration, "10mss", "did you mean");
	expect_error(parse_duration, "10parsec", "known are ns us ms s m h");
	expect_error(parse_duration, "99999999999999999h", "too large");
}

static void bounds_are_told(void **state)
{
	(void)state;
	uint64_t v;
	struct error err;
	assert_int_equal(parse_uint("10", 1, 10, &v, &err), 0);
	assert_int_equal(v, 10);
	assert_int_equal(parse_uint("0", 1, 10, &v, &err), -1);
	assert_string_equal(err.text, "0 is out of range; 1 to 10 is allowed");
	assert_int_equal(parse_uint("99999999999999999999", 1, 10, &v, &err), -1);
	assert_non_null(strstr(err.text, "out of range"));
	assert_int_equal(parse_uint("1k", 1, 10, &v, &err), -1);
	assert_non_null(strstr(err.text, "whole number"));
	assert_int_equal(parse_uint("", 0, 10, &v, &err), -1);
	assert_int_equal(parse_uint("4k", 0, 10, &v, NULL), -1);
}

static void booleans(void **state)
{
	(void)state;
	static const char *const yes[] = { "1", "yes", "on", "true", "True" }, *const no[] = { "0", "no", "off", "false" };
	struct error err;
	bool v;
	for (int i = 0; i < 5; i++) {
		v = false;
		assert_int_equal(parse_bool(yes[i], &v, &err), 0);
		assert_true(v);
	}
	for (int i = 0; i < 4; i++) {
		v = true;
		assert_int_equal(parse_bool(no[i], &v, &err), 0);
		assert_false(v);
	}
	assert_int_equal(parse_bool("flase", &v, &err), -1);
	assert_non_null(strstr(err.text, "\"false\""));
	assert_int_equal(parse_bool("maybe", &v, &err), -1);
}

static void formats_read_back(void **state)
{
	(void)state;
	static const uint64_t values[] = { 0, 1, 512, 1023, 1024, 1536, 4096, 1 << 20, 3u << 29, 1ull << 40, UINT64_MAX,
					   1000, 1500000, 1000000000, 60000000000, 90000000000, 3600000000000 };
	char text[32];
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		assert_int_equal(size_of(format_size(values[i], text, sizeof(text))), values[i]);
		assert_int_equal(duration_of(format_duration(values[i], text, sizeof(text))), values[i]);
	}
	assert_string_equal(format_size(4096, text, sizeof(text)), "4k");
	assert_string_equal(format_size(1536, text, sizeof(text)), "1536");
	assert_string_equal(format_duration(2000000000, text, sizeof(text)), "2s");
	assert_string_equal(format_duration(1500000, text, sizeof(text)), "1500us");
	assert_string_equal(format_duration(120000000000, text, sizeof(text)), "2m");
}

static void three_digits_for_people(void **state)
{
	(void)state;
	char t[32];
	assert_string_equal(format_ns(0, t, sizeof(t)), "0 ns");
	assert_string_equal(format_ns(0.5, t, sizeof(t)), "0.50 ns");
	assert_string_equal(format_ns(9.994, t, sizeof(t)), "9.99 ns");
	assert_string_equal(format_ns(9.996, t, sizeof(t)), "10.0 ns");
	assert_string_equal(format_ns(813, t, sizeof(t)), "813 ns");
	assert_string_equal(format_ns(999.6, t, sizeof(t)), "1.00 µs");
	assert_string_equal(format_ns(12400, t, sizeof(t)), "12.4 µs");
	assert_string_equal(format_ns(3.07e6, t, sizeof(t)), "3.07 ms");
	assert_string_equal(format_ns(2.5e9, t, sizeof(t)), "2.50 s");
	assert_string_equal(format_ns(1234e9, t, sizeof(t)), "1234 s");
	assert_string_equal(format_ns(-12400, t, sizeof(t)), "-12.4 µs");
}

static void near_words(void **state)
{
	(void)state;
	static const char *const words[] = { "iodepth", "numjobs", "runtime", "rw", "bs", "io_uring", NULL };
	assert_string_equal(nearest_word("iodpeth", words), "iodepth");
	assert_string_equal(nearest_word("io_depth", words), "iodepth");
	assert_string_equal(nearest_word("RUNTIME", words), "runtime");
	assert_string_equal(nearest_word("wr", words), "rw");
	assert_string_equal(nearest_word("iouring", words), "io_uring");
	assert_null(nearest_word("cache", words));
	assert_null(nearest_word("", words));
	assert_null(nearest_word("x", words));
	char large[300];
	memset(large, 'a', sizeof(large));
	large[299] = '\0';
	assert_null(nearest_word(large, words));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_as_fio_has_them),
		cmocka_unit_test(durations_as_fio_has_them),
		cmocka_unit_test(bad_numbers_are_told),
		cmocka_unit_test(bounds_are_told),
		cmocka_unit_test(booleans),
		cmocka_unit_test(formats_read_back),
		cmocka_unit_test(three_digits_for_people),
		cmocka_unit_test(near_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
