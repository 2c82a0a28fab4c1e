/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in a value: round trips, and damage of every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "store/impl.h"

static const struct span KEY = { (const uint8_t *)"key", 3 };

static void sealed_round_trip(void **state)
{
	(void)state;
	uint8_t mem[64];
	struct wbuf w;
	struct span plain;
	struct error err;
	wbuf_fixed(&w, mem, sizeof(mem));
	seal(&w, KEY, span_of("hello"));
	assert_int_equal(w.len, 5 + SEAL_BYTES);
	assert_int_equal(unseal(KEY, span_of_wbuf(&w), &plain, &err), 0);
	assert_true(span_eq(plain, "hello"));
}

static void sealed_damage_is_seen(void **state)
{
	(void)state;
	uint8_t mem[64];
	struct wbuf w;
	struct span plain;
	struct error err;
	wbuf_fixed(&w, mem, sizeof(mem));
	seal(&w, KEY, span_of("hello"));
	for (size_t i = 0; i < w.len * 8; i++) {
		mem[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(unseal(KEY, span_of_wbuf(&w), &plain, &err), -1);
		assert_int_equal(err.code, ERR_CORRUPT);
		mem[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t n = 0; n < w.len; n++)
		assert_int_equal(unseal(KEY, (struct span){ mem, n }, &plain, &err), -1);
	assert_int_equal(unseal(span_of("kez"), span_of_wbuf(&w), &plain, &err), -1);
}

static void block_with(ZSTD_CCtx *zstd, const uint8_t *p, size_t n, struct wbuf *w)
{
	struct error err;
	wbuf_heap(w, 2 * VALUE_PLAIN_MAX);
	assert_int_equal(block_encode(zstd, w, KEY, (struct span){ p, n }, &err), 0);
	assert_false(w->bad);
}

static void blocks_are_compressed_when_that_saves(void **state)
{
	(void)state;
	struct block_reader r;
	struct error err;
	struct span plain;
	struct wbuf w;
	uint8_t bytes[4096] = { 0 };
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	assert_int_equal(block_reader_init(&r, &err), 0);
	for (int noisy = 0; noisy < 2; noisy++) {
		for (size_t i = 0; noisy && i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)rand();
		block_with(zstd, bytes, sizeof(bytes), &w);
		assert_int_equal(w.p[0], !noisy);
		assert_true(w.len <= BLOCK_HEADER + sizeof(bytes));
		assert_int_equal(block_decode(&r, KEY, span_of_wbuf(&w), &plain, &err), 0);
		assert_int_equal(plain.len, sizeof(bytes));
		assert_memory_equal(plain.p, bytes, sizeof(bytes));
		wbuf_fini(&w);
	}
	block_with(zstd, bytes, 0, &w);
	assert_int_equal(block_decode(&r, KEY, span_of_wbuf(&w), &plain, &err), 0);
	assert_int_equal(plain.len, 0);
	wbuf_fini(&w);
	block_reader_fini(&r);
	ZSTD_freeCCtx(zstd);
}

static void block_damage_is_seen(void **state)
{
	(void)state;
	struct block_reader r;
	struct error err;
	struct span plain;
	struct wbuf w;
	uint8_t bytes[300];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i % 7);
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	assert_int_equal(block_reader_init(&r, &err), 0);
	for (int plainly = 0; plainly < 2; plainly++) {
		block_with(plainly ? NULL : zstd, bytes, sizeof(bytes), &w);
		for (size_t i = 0; i < w.len * 8; i++) {
			w.p[i / 8] ^= (uint8_t)(1 << i % 8);
			/* A compressed stream has bits that do not matter: then the bytes are right. */
			if (block_decode(&r, KEY, span_of_wbuf(&w), &plain, &err) == 0)
				assert_memory_equal(plain.p, bytes, sizeof(bytes));
			else
				assert_int_equal(err.code, ERR_CORRUPT);
			w.p[i / 8] ^= (uint8_t)(1 << i % 8);
		}
		for (size_t n = 0; n < w.len; n++)
			assert_int_equal(block_decode(&r, KEY, (struct span){ w.p, n }, &plain, &err), -1);
		assert_int_equal(block_decode(&r, span_of("kez"), span_of_wbuf(&w), &plain, &err), -1);
		wbuf_fini(&w);
	}
	block_reader_fini(&r);
	ZSTD_freeCCtx(zstd);
}

static void blocks_have_a_bound(void **state)
{
	(void)state;
	struct block_reader r;
	struct error err;
	struct span plain;
	struct wbuf w;
	uint8_t *large = calloc(1, VALUE_PLAIN_MAX + 1);
	wbuf_heap(&w, 4 * VALUE_PLAIN_MAX);
	assert_int_equal(block_encode(NULL, &w, KEY, (struct span){ large, VALUE_PLAIN_MAX }, &err), 0);
	wbuf_reset(&w);
	assert_int_equal(block_encode(NULL, &w, KEY, (struct span){ large, VALUE_PLAIN_MAX + 1 }, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	/* A bomb: a small stream that claims, and would give, more than the bound. */
	uint8_t bomb[4096];
	size_t n = ZSTD_compress(bomb + BLOCK_HEADER, sizeof(bomb) - BLOCK_HEADER, large, VALUE_PLAIN_MAX + 1, 1);
	assert_false(ZSTD_isError(n));
	bomb[0] = 1;
	memcpy(bomb + 1, &(uint32_t){ VALUE_PLAIN_MAX + 1 }, 4);
	assert_int_equal(block_reader_init(&r, &err), 0);
	assert_int_equal(block_decode(&r, KEY, (struct span){ bomb, n + BLOCK_HEADER }, &plain, &err), -1);
	assert_non_null(strstr(err.text, "claims 1048577 bytes"));
	memcpy(bomb + 1, &(uint32_t){ VALUE_PLAIN_MAX }, 4);
	assert_int_equal(block_decode(&r, KEY, (struct span){ bomb, n + BLOCK_HEADER }, &plain, &err), -1);
	block_reader_fini(&r);
	wbuf_fini(&w);
	free(large);
}

static void clock_round_trip(void **state)
{
	(void)state;
	struct clock_sample in[] = {
		{ .host_tsc = 5, .lo = -10, .hi = 10, .tier = 5, .epoch = 0 },
		{ .host_tsc = UINT64_MAX, .lo = INT64_MAX, .hi = INT64_MIN, .tier = 1, .epoch = UINT32_MAX },
		{ .host_tsc = 0, .lo = INT64_MIN, .hi = INT64_MAX, .tier = 255, .epoch = 7 },
	}, out[3];
	struct wbuf w;
	struct error err;
	wbuf_heap(&w, 1024);
	clock_pack(&w, in, 3);
	assert_int_equal(clock_unpack(span_of_wbuf(&w), out, 3, &err), 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(in[i].host_tsc, out[i].host_tsc);
		assert_int_equal(in[i].lo, out[i].lo);
		assert_int_equal(in[i].hi, out[i].hi);
		assert_int_equal(in[i].tier, out[i].tier);
		assert_int_equal(in[i].epoch, out[i].epoch);
	}
	assert_int_equal(clock_unpack(span_of_wbuf(&w), out, 2, &err), -1);
	for (size_t n = 0; n < w.len; n++)
		assert_int_equal(clock_unpack((struct span){ w.p, n }, out, 3, &err), -1);
	put_u8(&w, 0);
	assert_int_equal(clock_unpack(span_of_wbuf(&w), out, 3, &err), -1);
	wbuf_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sealed_round_trip),
		cmocka_unit_test(sealed_damage_is_seen),
		cmocka_unit_test(blocks_are_compressed_when_that_saves),
		cmocka_unit_test(block_damage_is_seen),
		cmocka_unit_test(blocks_have_a_bound),
		cmocka_unit_test(clock_round_trip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
