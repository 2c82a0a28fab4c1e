/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages of the kernel's trace buffer: every type of record, lost events, whole stamps, and pages that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/fixtures/trace_page.h"

static struct made_page page;
static struct page_walk walk;
static const uint8_t data[256] = "what a record holds";

static void begin(uint64_t time) { page_begin(&page, time); }

static void open_page(void) { assert_true(page_open(&walk, page.bytes, PAGE_BYTES)); }

static void expect(uint64_t time, size_t len)
{
	size_t n = 0;
	const uint8_t *r = page_next(&walk, &n);
	assert_non_null(r);
	assert_int_equal(n, len);
	if (walk.time != time)
		fail_msg("time is %llx, not %llx", (unsigned long long)walk.time, (unsigned long long)time);
	assert_memory_equal(r, data, len);
}

static void expect_end(bool bad)
{
	size_t n;
	assert_null(page_next(&walk, &n));
	assert_int_equal(walk.bad, bad);
	assert_null(page_next(&walk, &n));
	assert_int_equal(walk.bad, bad);
}

static void test_lengths(void **state)
{
	(void)state;
	begin(1000);
	page_record(&page, 0, data, 4);
	page_record(&page, 7, data, 112);
	page_record(&page, 1, data, 116);
	page_record(&page, (1u << 27) - 1, data, 200);
	open_page();
	assert_int_equal(walk.time, 1000);
	expect(1000, 4);
	expect(1007, 112);
	expect(1008, 116);
	expect(1008 + (1u << 27) - 1, 200);
	expect_end(false);
}

static void test_empty(void **state)
{
	(void)state;
	begin(5);
	open_page();
	expect_end(false);
}

static void test_time_extend(void **state)
{
	(void)state;
	begin(1000);
	page_wide(&page, 30, 0x123456789abcdull);
	page_record(&page, 5, data, 8);
	page_record(&page, 2, data, 8);
	open_page();
	expect(1000 + 0x123456789abcdull + 5, 8);
	expect(1000 + 0x123456789abcdull + 7, 8);
	expect_end(false);
}

static void test_whole_stamp(void **state)
{
	(void)state;
	begin(1000);
	page_wide(&page, 31, 0x7654321ull << 27 | 0x1234);
	page_record(&page, 6, data, 8);
	open_page();
	expect((0x7654321ull << 27 | 0x1234) + 6, 8);
	expect_end(false);
}

/* Only 59 bits of a stamp are kept: the upper five are the last stamp's, and may have gone up by one since. */
static void test_whole_stamp_keeps_upper_bits(void **state)
{
	const uint64_t base = 0x9ull << 59, low = (1ull << 59) - 1;
	(void)state;
	begin(base + 100);
	page_wide(&page, 31, 200);
	page_record(&page, 0, data, 8);
	page_wide(&page, 31, low - 5);
	page_record(&page, 0, data, 8);
	page_wide(&page, 31, 3);
	page_record(&page, 0, data, 8);
	open_page();
	expect(base + 200, 8);
	expect(base + low - 5, 8);
	expect(base + (1ull << 59) + 3, 8);
	expect_end(false);
}

static void test_padding(void **state)
{
	(void)state;
	begin(1000);
	/* Taken back, its delta counts; one that was 0 is written as 1 and counts nothing. */
	page_head(&page, 29, 50);
	page_word(&page, 12);
	page.used += 8;
	page_head(&page, 29, 1);
	page_word(&page, 4);
	page_record(&page, 3, data, 8);
	page_head(&page, 29, 0);
	page_word(&page, 0xffffffff);
	open_page();
	expect(1053, 8);
	expect_end(false);
}

static void test_padding_of_four_bytes(void **state)
{
	(void)state;
	begin(1000);
	page_record(&page, 3, data, 8);
	page_head(&page, 29, 0);
	open_page();
	expect(1003, 8);
	expect_end(false);
}

/* The kernel adds the flags to a signed long: the upper half of the word is all ones then. */
static void test_missed(void **state)
{
	uint64_t lost = 49790, flag = (uint64_t)(int64_t)(int32_t)(1u << 31);
	(void)state;
	begin(1000);
	page_record(&page, 3, data, 8);
	page_commit(&page, flag);
	open_page();
	assert_true(walk.missed);
	assert_int_equal(walk.lost, 0);
	expect(1003, 8);
	expect_end(false);
	page_store(&page, PAGE_HEADER + page.used, &lost, 8);
	page_commit(&page, flag + (1u << 30));
	open_page();
	assert_true(walk.missed);
	assert_int_equal(walk.lost, 49790);
	expect(1003, 8);
	expect_end(false);
	page_commit(&page, 0);
	open_page();
	assert_false(walk.missed);
}

static void test_bad_pages(void **state)
{
	(void)state;
	begin(1000);
	page.used = PAGE_BYTES - PAGE_HEADER + 1;
	page_commit(&page, 0);
	assert_false(page_open(&walk, page.bytes, PAGE_BYTES));
	assert_true(walk.bad);
	expect_end(true);
	assert_false(page_open(&walk, page.bytes, 512));
	assert_false(page_open(&walk, page.bytes, (1 << 20) + 8));
}

/* A full page whose stored count would lie beyond it. */
static void test_count_beyond_page(void **state)
{
	(void)state;
	begin(1000);
	page.used = PAGE_BYTES - PAGE_HEADER - 4;
	page_commit(&page, 3u << 30);
	open_page();
	assert_true(walk.missed);
	assert_int_equal(walk.lost, 0);
}

static void test_bad_records(void **state)
{
	static const uint32_t lengths[] = { 0xffffffff, 0x7fffffff, 100, 3, 0, 0xfffffffc };
	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		begin(1000);
		page_record(&page, 3, data, 8);
		page_head(&page, 0, 1);
		page_word(&page, lengths[i]);
		page.used += 8;
		page_commit(&page, 0);
		open_page();
		expect(1003, 8);
		expect_end(true);
	}
	begin(1000);
	page_head(&page, 28, 1);
	page.used += 108;
	page_commit(&page, 0);
	open_page();
	expect_end(true);
}

/* A record without data is passed over: its length word counts itself. */
static void test_record_without_data(void **state)
{
	(void)state;
	begin(1000);
	page_head(&page, 0, 1);
	page_word(&page, 4);
	page_record(&page, 3, data, 8);
	open_page();
	expect(1004, 8);
	expect_end(false);
}

/* Real pages: sound, times ascending within a CPU, as many records as libtraceevent's kbuffer walks over, which bench_host_trace compares one by one. */
static void test_real_pages(void **state)
{
	static const struct { const char *bus; unsigned records; } want[] = {
		{ "virtio-blk", 875 }, { "ahci", 1114 }, { "ide", 978 }, { "nvme", 880 }, { "virtio-scsi", 871 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		unsigned records = 0;
		for (int cpu = 0; cpu < 2; cpu++) {
			char name[32];
			size_t size, n;
			snprintf(name, sizeof(name), "cpu%d.pages", cpu);
			uint8_t *p = fixture(want[i].bus, name, &size);
			uint64_t last = 0;
			assert_non_null(p);
			for (size_t at = 0; at < size; at += PAGE_BYTES) {
				assert_true(page_open(&walk, p + at, PAGE_BYTES));
				while (page_next(&walk, &n)) {
					assert_true(walk.time >= last);
					last = walk.time;
					records++;
				}
				assert_false(walk.bad);
				assert_false(walk.missed);
			}
			free(p);
		}
		assert_int_equal(records, want[i].records);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_time_extend),
		cmocka_unit_test(test_whole_stamp),
		cmocka_unit_test(test_whole_stamp_keeps_upper_bits),
		cmocka_unit_test(test_padding),
		cmocka_unit_test(test_padding_of_four_bytes),
		cmocka_unit_test(test_missed),
		cmocka_unit_test(test_bad_pages),
		cmocka_unit_test(test_count_beyond_page),
		cmocka_unit_test(test_bad_records),
		cmocka_unit_test(test_record_without_data),
		cmocka_unit_test(test_real_pages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
