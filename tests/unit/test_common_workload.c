/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The workload table: parsing, printing, bounds, near keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "common/workload.h"

static void defaults_are_the_tables(void **state)
{
	(void)state;
	struct workload w;
	struct error err;
	char text[WORKLOAD_TEXT_MAX], value[64];
	workload_default(&w);
	assert_int_equal(w.rw, WL_RW_randread);
	assert_int_equal(w.bs, 4096);
	assert_int_equal(w.iodepth, 1);
	assert_true(w.direct);
	assert_int_equal(w.runtime, 2000000000);
	assert_int_equal(w.ioengine, WL_ENGINE_io_uring);
	assert_int_equal(w.rwmixread, 50);
	/* Each default is a value that its own key takes, and is printed as it stands in the table. */
	for (const struct workload_key *k = workload_keys(); k->key; k++) {
		if (workload_set(&w, k->key, k->def, &err) < 0)
			fail_msg("%s", err.text);
		assert_string_equal(workload_get(&w, k->key, value, sizeof(value)), k->def);
		assert_true(strlen(k->help) > 10);
	}
	assert_int_equal(workload_check(&w, &err), 0);
	assert_string_equal(workload_print(&w, text, sizeof(text)),
			    "rw=randread bs=4k iodepth=1 numjobs=1 direct=1 size=0 runtime=2s ramp_time=200ms number_ios=0 "
			    "rate_iops=0 rate_process=linear ioengine=io_uring rwmixread=50 fsync=0 verify=none");
}

static void print_and_parse_are_inverse(void **state)
{
	(void)state;
	struct workload w, back;
	struct error err;
	char text[WORKLOAD_TEXT_MAX], again[WORKLOAD_TEXT_MAX];
	static const char in[] = "  rw=randrw\tbs=64k iodepth=32 numjobs=1024 direct=0 size=1g runtime=1500us ramp_time=0 "
				 "number_ios=18446744073709551615 rate_iops=5000 rate_process=poisson ioengine=libaio rwmixread=100 "
				 "fsync=8 verify=crc32c\n";
	if (workload_parse(&w, in, sizeof(in) - 1, &err) < 0)
		fail_msg("%s", err.text);
	workload_print(&w, text, sizeof(text));
	assert_int_equal(workload_parse(&back, text, strlen(text), &err), 0);
	assert_memory_equal(&w, &back, sizeof(w));
	assert_string_equal(workload_print(&back, again, sizeof(again)), text);
	assert_int_equal(w.rw, WL_RW_randrw);
	assert_int_equal(w.size, 1 << 30);
	assert_int_equal(w.runtime, 1500000);
	assert_false(w.direct);
	assert_int_equal(w.number_ios, UINT64_MAX);
}

static void longest_text_fits(void **state)
{
	(void)state;
	struct workload w;
	struct error err;
	char text[WORKLOAD_TEXT_MAX];
	workload_default(&w);
	w.bs = w.size = w.number_ios = w.iodepth = w.numjobs = w.runtime = w.ramp_time = w.rate_iops = w.rwmixread = w.fsync = UINT64_MAX;
	workload_print(&w, text, sizeof(text));
	assert_true(strlen(text) < WORKLOAD_TEXT_MAX / 2);
	assert_int_equal(workload_parse(&w, text, strlen(text), &err), -1);
}

static void expect_error(const char *key, const char *value, const char *says)
{
	struct workload w, before;
	struct error err;
	workload_default(&w);
	before = w;
	assert_int_equal(workload_set(&w, key, value, &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
	if (!strstr(err.text, says))
		fail_msg("\"%s\" does not say \"%s\"", err.text, says);
	assert_memory_equal(&w, &before, sizeof(w));
}

static void mistakes_name_the_nearest(void **state)
{
	(void)state;
	expect_error("iodpeth", "8", "did you mean \"iodepth\"?");
	expect_error("blocksize_of_all", "8", "bifocal run --help");
	expect_error("rw", "randraed", "did you mean \"randread\"?");
	expect_error("rw", "trim", "known are read write randread randwrite rw randrw");
	expect_error("ioengine", "iouring", "did you mean \"io_uring\"?");
	expect_error("bs", "4q", "workload key bs: ");
	expect_error("bs", "256", "256 is out of range; 512 to 1m is allowed");
	expect_error("runtime", "25h", "0 to 24h is allowed");
	expect_error("iodepth", "0", "1 to 4096 is allowed");
	expect_error("numjobs", "x", "whole number");
	expect_error("direct", "maybe", "neither yes nor no");
	expect_error("fsync", "4294967296", "out of range");
}

static void hostile_texts_are_refused(void **state)
{
	(void)state;
	struct workload w;
	struct error err;
	static const char nul[] = "rw=read\0 bs=4k", escape[] = "r\033[2Jw=read", bare[] = "rw";
	assert_int_equal(workload_parse(&w, nul, sizeof(nul) - 1, &err), -1);
	assert_int_equal(workload_parse(&w, escape, sizeof(escape) - 1, &err), -1);
	assert_null(strchr(err.text, 033));
	assert_int_equal(workload_parse(&w, bare, sizeof(bare) - 1, &err), -1);
	assert_non_null(strstr(err.text, "not key=value"));
	char *large = malloc(1 << 20);
	memset(large, 'a', 1 << 20);
	assert_int_equal(workload_parse(&w, large, 1 << 20, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_int_equal(workload_parse(&w, large, 500, &err), -1);
	free(large);
	assert_int_equal(workload_parse(&w, "", 0, &err), 0);
}

static void check(const char *text, const char *says)
{
	struct workload w;
	struct error err;
	if (workload_parse(&w, text, strlen(text), &err) < 0)
		fail_msg("%s", err.text);
	int r = workload_check(&w, &err);
	if (!says) {
		if (r < 0)
			fail_msg("%s", err.text);
		return;
	}
	assert_int_equal(r, -1);
	assert_int_equal(err.code, ERR_USAGE);
	if (!strstr(err.text, says))
		fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void keys_must_agree(void **state)
{
	(void)state;
	check("", NULL);
	check("runtime=0", "nothing ends it");
	check("runtime=0 number_ios=10", NULL);
	check("runtime=0 size=1m", NULL);
	check("bs=1000", "not a multiple of 512");
	check("size=2k bs=4k", "holds no block");
	check("ioengine=psync iodepth=8", "numjobs");
	check("ioengine=psync", NULL);
	check("rate_process=poisson", "needs rate_iops");
	check("rate_process=poisson rate_iops=100", NULL);
	check("verify=crc32c", "writes nothing");
	check("verify=crc32c rw=randrw rwmixread=100", "writes nothing");
	check("verify=crc32c rw=randrw", NULL);
	check("verify=crc32c rw=write", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_the_tables),
		cmocka_unit_test(print_and_parse_are_inverse),
		cmocka_unit_test(longest_text_fits),
		cmocka_unit_test(mistakes_name_the_nearest),
		cmocka_unit_test(hostile_texts_are_refused),
		cmocka_unit_test(keys_must_agree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
