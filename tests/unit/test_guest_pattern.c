// SPDX-License-Identifier: GPL-2.0-or-later
/* Offsets, mixes, arrivals, and blocks that prove what they are. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/iorec.h"
#include "guest/pattern.h"
#include "guest/verify.h"

static struct workload parse(const char *text)
{
	struct workload w;
	struct error err = { 0 };

	if (workload_parse(&w, text, strlen(text), &err))
		fail_msg("%s", err.text);
	return w;
}

static void test_sequential_wraps(void **state)
{
	(void)state;
	struct workload w = parse("rw=read bs=4k");
	struct pattern p;

	pattern_init(&p, &w, 3 * 4096 + 1000, 1, 0);
	for (uint64_t i = 0; i < 10; i++) {
		struct pattern_io io = pattern_next(&p);
		assert_int_equal(io.offset, i % 3 * 4096);
		assert_int_equal(io.length, 4096);
		assert_int_equal(io.op, IO_READ);
	}
}

static void test_random_covers(void **state)
{
	(void)state;
	struct workload w = parse("rw=randread bs=512");
	struct pattern p;
	unsigned hits[100] = { 0 };

	pattern_init(&p, &w, 100 * 512, 7, 0);
	for (int i = 0; i < 100000; i++) {
		struct pattern_io io = pattern_next(&p);
		assert_int_equal(io.offset % 512, 0);
		assert_true(io.offset / 512 < 100);
		hits[io.offset / 512]++;
	}
	/* A thousand each on average; 32 is the standard deviation. */
	for (int i = 0; i < 100; i++)
		assert_true(hits[i] > 800 && hits[i] < 1200);
}

static void test_seed_fixes_offsets(void **state)
{
	(void)state;
	struct workload w = parse("rw=randread");
	struct pattern a, b, other_job, other_seed;
	unsigned same_job = 0, same_seed = 0;

	pattern_init(&a, &w, 1 << 30, 5, 0);
	pattern_init(&b, &w, 1 << 30, 5, 0);
	pattern_init(&other_job, &w, 1 << 30, 5, 1);
	pattern_init(&other_seed, &w, 1 << 30, 6, 0);
	for (int i = 0; i < 1000; i++) {
		uint64_t offset = pattern_next(&a).offset;
		assert_int_equal(offset, pattern_next(&b).offset);
		same_job += offset == pattern_next(&other_job).offset;
		same_seed += offset == pattern_next(&other_seed).offset;
	}
	assert_true(same_job < 10 && same_seed < 10);
}

static void test_mix(void **state)
{
	(void)state;
	struct pattern p;
	static const struct { const char *text; unsigned low, high; } cases[] = {
		{ "rw=randrw rwmixread=30", 2700, 3300 },
		{ "rw=rw rwmixread=0", 0, 0 },
		{ "rw=randrw rwmixread=100", 10000, 10000 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct workload w = parse(cases[i].text);
		unsigned reads = 0;
		pattern_init(&p, &w, 1 << 20, 3, 0);
		for (int k = 0; k < 10000; k++)
			reads += pattern_next(&p).op == IO_READ;
		assert_in_range(reads, cases[i].low, cases[i].high);
	}
}

static void test_pacing(void **state)
{
	(void)state;
	struct pacing p;
	struct workload linear = parse("rate_iops=1000 numjobs=2"), poisson = parse("rate_iops=1000 rate_process=poisson"), closed = parse("");

	pacing_init(&p, &closed, 1000000, 1, 0);
	assert_true(p.gap <= 0);
	pacing_init(&p, &linear, 1000000, 1, 1);
	assert_true(p.next > 499 && p.next < 501);
	pacing_advance(&p);
	assert_true(p.next > 1499 && p.next < 1501);
	/* Exponential gaps: mean and standard deviation are both the gap. */
	pacing_init(&p, &poisson, 1000000, 1, 0);
	double last = p.next, sum = 0, squares = 0;
	for (int i = 0; i < 100000; i++) {
		pacing_advance(&p);
		double gap = p.next - last;
		assert_true(gap >= 0);
		last = p.next;
		sum += gap;
		squares += gap * gap;
	}
	double mean = sum / 100000;
	assert_true(mean > 980 && mean < 1020);
	assert_true(squares / 100000 > 1.95e6 && squares / 100000 < 2.05e6);
}

/* ---- verify ---- */

enum { BS = 1024, BLOCKS = 300 };

struct disk_file {
	struct verify v;
	int fd;
	uint8_t block[BS];
};

static void disk_init(struct disk_file *d, uint64_t run)
{
	char path[] = "/tmp/bifocal-verify-XXXXXX";
	struct error err = { 0 };

	d->fd = mkstemp(path);
	assert_true(d->fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(d->fd, BS * BLOCKS), 0);
	assert_int_equal(verify_init(&d->v, run, 9, BS * BLOCKS, BS, &err), 0);
	memset(d->block, 0x5a, BS);
}

static void disk_fini(struct disk_file *d)
{
	verify_fini(&d->v);
	close(d->fd);
}

static void put_block(struct disk_file *d, uint64_t at, uint64_t claimed)
{
	verify_seal(&d->v, d->block, claimed * BS / 512, 1);
	assert_int_equal(pwrite(d->fd, d->block, BS, (off_t)(at * BS)), BS);
	verify_mark(&d->v, at * BS);
}

static int read_back(struct disk_file *d)
{
	atomic_bool stop = false;
	struct error err = { 0 };

	return verify_read_back(&d->v, d->fd, &stop, &err);
}

static void test_verify_good(void **state)
{
	(void)state;
	struct disk_file d;

	disk_init(&d, 1);
	for (uint64_t i = 0; i < BLOCKS; i += 1 + i % 7)
		put_block(&d, i, i);
	put_block(&d, BLOCKS - 1, BLOCKS - 1);
	put_block(&d, 0, 0);
	assert_int_equal(read_back(&d), 0);
	uint64_t marked = 0;
	for (uint64_t i = 0; i < BLOCKS; i++)
		marked += d.v.written[i / 64] >> i % 64 & 1;
	assert_int_equal(d.v.checked, marked);
	assert_int_equal(d.v.bad, 0);
	disk_fini(&d);
}

static void test_verify_bad(void **state)
{
	(void)state;
	struct disk_file d, old;
	uint8_t byte = 0;

	disk_init(&d, 1);
	for (uint64_t i = 10; i < 20; i++)
		put_block(&d, i, i);
	put_block(&d, 50, 51);                                       /* written to the wrong place */
	assert_int_equal(pwrite(d.fd, &byte, 1, 12 * BS + BS - 1), 1);   /* the last byte */
	assert_int_equal(pwrite(d.fd, &byte, 1, 13 * BS + 5), 1);        /* the checksum */
	verify_mark(&d.v, 70 * BS);                                  /* never arrived */
	/* A block of another run, whole but old. */
	disk_init(&old, 2);
	verify_seal(&old.v, old.block, 14 * BS / 512, 1);
	assert_int_equal(pwrite(d.fd, old.block, BS, 14 * BS), BS);
	assert_int_equal(read_back(&d), 0);
	assert_int_equal(d.v.checked, 12);
	assert_int_equal(d.v.bad, 5);
	assert_int_equal(d.v.first_bad, 12 * BS);
	/* A disk that ends too early. */
	assert_int_equal(ftruncate(d.fd, 60 * BS), 0);
	d.v.checked = d.v.bad = 0;
	assert_int_equal(read_back(&d), 0);
	assert_int_equal(d.v.bad, 5);
	disk_fini(&d);
	disk_fini(&old);
}

/* A write that failed over one that did not: what the block holds is the disk's secret, and no corruption. */
static void test_verify_failed_write(void **state)
{
	(void)state;
	struct disk_file d;

	disk_init(&d, 1);
	for (uint64_t i = 60; i < 70; i++)
		put_block(&d, i, i);
	assert_int_equal(pwrite(d.fd, "torn", 4, 64 * BS + 100), 4);
	verify_forget(&d.v, 64 * BS);
	verify_forget(&d.v, 65 * BS);
	put_block(&d, 65, 65);                                       /* and written well after that */
	assert_int_equal(read_back(&d), 0);
	assert_int_equal(d.v.checked, 9);
	assert_int_equal(d.v.bad, 0);
	disk_fini(&d);
}

static void test_verify_bounds(void **state)
{
	(void)state;
	struct verify v;
	struct error err = { 0 };
	atomic_bool stop = true;

	assert_int_equal(verify_init(&v, 1, 1, 1ULL << 50, 512, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	struct disk_file d;
	disk_init(&d, 1);
	put_block(&d, 5, 5);
	assert_int_equal(verify_read_back(&d.v, d.fd, &stop, &err), -1);
	assert_int_equal(err.code, ERR_INTERRUPTED);
	disk_fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequential_wraps),
		cmocka_unit_test(test_random_covers),
		cmocka_unit_test(test_seed_fixes_offsets),
		cmocka_unit_test(test_mix),
		cmocka_unit_test(test_pacing),
		cmocka_unit_test(test_verify_good),
		cmocka_unit_test(test_verify_bad),
		cmocka_unit_test(test_verify_failed_write),
		cmocka_unit_test(test_verify_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
