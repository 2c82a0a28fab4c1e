/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packed I/O records: round trips, sizes, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/iorec.h"
#include "common/varint.h"

static struct io_record in[IOREC_CHUNK + 1], out[IOREC_CHUNK];
static struct error err;

static bool same(const struct io_record *a, const struct io_record *b)
{
	return a->submit == b->submit && a->reap == b->reap && a->intended == b->intended && a->sector == b->sector &&
	       a->length == b->length && a->result == b->result && a->job == b->job && a->op == b->op && a->flags == b->flags;
}

/* Packs n of in[] and unpacks them again. Returns the bytes they took. */
static size_t round_trip(size_t n)
{
	struct wbuf w;
	wbuf_heap(&w, IOREC_CHUNK_BYTES);
	iorec_pack(&w, in, n);
	assert_false(w.bad);
	assert_int_equal(iorec_count((struct span){ w.p, w.len }, &err), n);
	memset(out, 0xa5, sizeof(out));
	if (iorec_unpack((struct span){ w.p, w.len }, out, n, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < n; i++)
		if (!same(&in[i], &out[i]))
			fail_msg("record %zu differs", i);
	if (n)
		assert_int_equal(iorec_unpack((struct span){ w.p, w.len }, out, n - 1, &err), -1);
	size_t len = w.len;
	wbuf_fini(&w);
	return len;
}

static uint64_t random64(unsigned *seed)
{
	return (uint64_t)rand_r(seed) << 62 ^ (uint64_t)rand_r(seed) << 31 ^ (uint64_t)rand_r(seed);
}

static void anything_round_trips(void **state)
{
	(void)state;
	unsigned seed = 1;
	for (int round = 0; round < 200; round++) {
		size_t n = round < 3 ? (size_t)round : (size_t)rand_r(&seed) % 400;
		for (size_t i = 0; i < n; i++) {
			unsigned shift = (unsigned)rand_r(&seed) % 64;
			in[i] = (struct io_record){
				.submit = random64(&seed) >> shift, .reap = random64(&seed), .intended = random64(&seed) >> shift,
				.sector = random64(&seed) >> shift, .length = (uint32_t)random64(&seed),
				.result = (int32_t)random64(&seed), .job = (uint16_t)(random64(&seed) % IOREC_JOBS_MAX),
				.op = (uint8_t)(random64(&seed) % 4), .flags = (uint8_t)(random64(&seed) % 2),
			};
		}
		round_trip(n);
	}
}

static void extremes_round_trip(void **state)
{
	(void)state;
	memset(in, 0, sizeof(in));
	for (size_t i = 0; i < IOREC_CHUNK; i++) {
		bool odd = i % 2;
		in[i] = (struct io_record){
			.submit = odd ? UINT64_MAX : 0, .reap = odd ? 0 : UINT64_MAX, .intended = odd ? 1ull << 63 : 1,
			.sector = odd ? 1ull << 63 : 0, .length = odd ? UINT32_MAX : 0, .result = odd ? INT32_MIN : INT32_MAX,
			.job = odd ? IOREC_JOBS_MAX - 1 : 0, .op = odd ? 3 : 0, .flags = odd,
		};
	}
	assert_in_range(round_trip(IOREC_CHUNK), 1, IOREC_CHUNK_BYTES);
}

/* A closed-loop load of `depth` I/Os in flight on 2.45 GHz, latencies from 100 µs to 3 ms, kept as they come back. */
static void random_reads(size_t n, unsigned depth, uint64_t blocks)
{
	static uint64_t submit[64], reap[64];
	unsigned seed = depth;
	double hz = 2.45e9;
	for (unsigned i = 0; i < depth; i++) {
		submit[i] = 987654321012345 + i * 2000;
		reap[i] = submit[i] + (uint64_t)(100e-6 * hz * exp(log(30) * rand_r(&seed) / RAND_MAX));
	}
	for (size_t i = 0; i < n; i++) {
		unsigned first = 0;
		for (unsigned k = 1; k < depth; k++)
			first = reap[k] < reap[first] ? k : first;
		in[i] = (struct io_record){ .submit = submit[first], .reap = reap[first], .intended = submit[first],
					    .sector = (uint64_t)rand_r(&seed) % blocks * 8, .length = 4096, .result = 4096 };
		submit[first] = reap[first] + 2000 + (uint64_t)rand_r(&seed) % 10000;
		reap[first] = submit[first] + (uint64_t)(100e-6 * hz * exp(log(30) * rand_r(&seed) / RAND_MAX));
	}
}

static void random_reads_take_few_bytes(void **state)
{
	(void)state;
	static const unsigned depths[] = { 1, 2, 8, 32 };
	for (int i = 0; i < 4; i++) {
		random_reads(IOREC_CHUNK, depths[i], 262144);
		assert_in_range(round_trip(IOREC_CHUNK), 5 * IOREC_CHUNK, 10 * IOREC_CHUNK);
		/* 100 GiB: the longest sectors. */
		random_reads(IOREC_CHUNK, depths[i], 26214400);
		assert_in_range(round_trip(IOREC_CHUNK), 5 * IOREC_CHUNK, 12 * IOREC_CHUNK);
	}
}

static void what_cannot_be_said_is_bad(void **state)
{
	(void)state;
	struct io_record wrong[] = { { .job = IOREC_JOBS_MAX }, { .op = 4 }, { .flags = 2 } };
	struct wbuf w;
	wbuf_heap(&w, IOREC_CHUNK_BYTES);
	for (int i = 0; i < 3; i++) {
		wbuf_reset(&w);
		iorec_pack(&w, &wrong[i], 1);
		assert_true(w.bad);
	}
	memset(in, 0, sizeof(in));
	wbuf_reset(&w);
	iorec_pack(&w, in, IOREC_CHUNK + 1);
	assert_true(w.bad);
	wbuf_fini(&w);
	uint8_t small[64];
	wbuf_fixed(&w, small, sizeof(small));
	iorec_pack(&w, in, 1000);
	assert_true(w.bad);
}

static void cut_short_is_refused(void **state)
{
	(void)state;
	struct wbuf w;
	random_reads(300, 8, 262144);
	wbuf_heap(&w, IOREC_CHUNK_BYTES);
	iorec_pack(&w, in, 300);
	for (size_t n = 0; n < w.len; n++) {
		/* An exact block, so that a sanitizer sees a read beyond it. */
		uint8_t *exact = malloc(n ? n : 1);
		memcpy(exact, w.p, n);
		assert_int_equal(iorec_unpack((struct span){ exact, n }, out, IOREC_CHUNK, &err), -1);
		free(exact);
	}
	put_u8(&w, 0);
	assert_int_equal(iorec_unpack((struct span){ w.p, w.len }, out, IOREC_CHUNK, &err), -1);
	assert_non_null(strstr(err.text, "left over"));
	wbuf_fini(&w);
}

static void flipped_bits_are_harmless(void **state)
{
	(void)state;
	struct wbuf w;
	random_reads(40, 2, 262144);
	wbuf_heap(&w, IOREC_CHUNK_BYTES);
	iorec_pack(&w, in, 40);
	for (size_t i = 0; i < w.len * 8; i++) {
		w.p[i / 8] ^= (uint8_t)(1 << i % 8);
		int n = iorec_unpack((struct span){ w.p, w.len }, out, IOREC_CHUNK, &err);
		assert_true(n == -1 || n == 40);
		w.p[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	wbuf_fini(&w);
}

static void counts_are_bounded(void **state)
{
	(void)state;
	static const uint8_t many[] = { 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0 }, few[] = { 1, 100, 0, 0, 0, 0, 0, 0 };
	static const uint8_t version[] = { 2, 0, 0 };
	assert_int_equal(iorec_count((struct span){ many, sizeof(many) }, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	assert_int_equal(iorec_count((struct span){ few, sizeof(few) }, &err), -1);
	assert_int_equal(iorec_count((struct span){ version, sizeof(version) }, &err), -1);
	assert_int_equal(err.code, ERR_VERSION);
	assert_int_equal(iorec_count((struct span){ NULL, 0 }, &err), -1);
}

static void varints_agree_with_bytes(void **state)
{
	(void)state;
	unsigned seed = 9;
	uint64_t v[70], back[70];
	uint8_t block[70 * VARINT_MAX];
	for (int round = 0; round < 3000; round++) {
		struct wbuf w;
		uint8_t mem[70 * VARINT_MAX];
		size_t n = (size_t)rand_r(&seed) % 70, bytes = 0;
		wbuf_fixed(&w, mem, sizeof(mem));
		for (size_t i = 0; i < n; i++) {
			v[i] = random64(&seed) >> rand_r(&seed) % 64;
			put_varint(&w, v[i]);
			bytes += varint_size(v[i]);
			assert_int_equal(unzigzag(zigzag(v[i])), v[i]);
		}
		assert_int_equal(varints_write(block, v, n), w.len);
		assert_int_equal(bytes, w.len);
		assert_memory_equal(block, mem, w.len);
		assert_ptr_equal(varints_read(mem, mem + w.len, back, n), mem + w.len);
		assert_memory_equal(v, back, n * sizeof(v[0]));
	}
}

static void padded_varints_are_refused(void **state)
{
	(void)state;
	static const uint8_t padded[] = { 0x81, 0x00, 1, 1, 1, 1, 1, 1, 1, 1 }, wide[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02 };
	uint64_t v;
	assert_null(varints_read(padded, padded + sizeof(padded), &v, 1));
	assert_null(varints_read(padded, padded + 2, &v, 1));
	assert_null(varints_read(wide, wide + sizeof(wide), &v, 1));
	assert_null(varints_read(wide, wide + 3, &v, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anything_round_trips),
		cmocka_unit_test(extremes_round_trip),
		cmocka_unit_test(random_reads_take_few_bytes),
		cmocka_unit_test(what_cannot_be_said_is_bad),
		cmocka_unit_test(cut_short_is_refused),
		cmocka_unit_test(flipped_bits_are_harmless),
		cmocka_unit_test(counts_are_bounded),
		cmocka_unit_test(varints_agree_with_bytes),
		cmocka_unit_test(padded_varints_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
