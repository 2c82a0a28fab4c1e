/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "common/bytes.h"

static void writes_little_endian_and_keys_big_endian(void **state)
{
	(void)state;
	uint8_t mem[64];
	struct wbuf w;
	wbuf_fixed(&w, mem, sizeof(mem));
	put_u8(&w, 1);
	put_u16(&w, 0x0302);
	put_u32(&w, 0x07060504);
	put_u64(&w, 0x0f0e0d0c0b0a0908);
	key_u16(&w, 0x1011);
	key_u32(&w, 0x12131415);
	key_u64(&w, 0x161718191a1b1c1d);
	assert_false(w.bad);
	assert_int_equal(w.len, 29);
	for (uint8_t i = 0; i < 29; i++)
		assert_int_equal(mem[i], i + 1);
}

static void reads_back_what_it_wrote(void **state)
{
	(void)state;
	struct wbuf w;
	wbuf_heap(&w, 1 << 20);
	put_u8(&w, 200);
	put_i32(&w, INT32_MIN);
	put_i64(&w, INT64_MIN);
	put_f64(&w, -0.0);
	put_f64(&w, INFINITY);
	put_str(&w, "text", 4);
	put_blob(&w, "\0\1", 2);
	key_u64(&w, UINT64_MAX - 1);
	assert_false(w.bad);
	struct rbuf r;
	rbuf_init(&r, w.p, w.len);
	assert_int_equal(get_u8(&r), 200);
	assert_int_equal(get_i32(&r), INT32_MIN);
	assert_true(get_i64(&r) == INT64_MIN);
	assert_true(signbit(get_f64(&r)));
	assert_true(isinf(get_f64(&r)));
	assert_true(span_eq(get_str(&r), "text"));
	struct span blob = get_blob(&r);
	assert_int_equal(blob.len, 2);
	assert_memory_equal(blob.p, "\0\1", 2);
	assert_false(rbuf_done(&r));
	assert_true(getkey_u64(&r) == UINT64_MAX - 1);
	assert_true(rbuf_done(&r));
	wbuf_fini(&w);
}

static void packs_variable_lengths(void **state)
{
	(void)state;
	static const uint64_t values[] = { 0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX >> 1, UINT64_MAX };
	static const size_t sizes[] = { 1, 1, 1, 2, 2, 3, 5, 9, 10 };
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		uint8_t mem[40];
		struct wbuf w;
		wbuf_fixed(&w, mem, sizeof(mem));
		put_varint(&w, values[i]);
		assert_int_equal(w.len, sizes[i]);
		put_svarint(&w, (int64_t)values[i]);
		put_svarint(&w, -(int64_t)(values[i] >> 1));
		struct rbuf r;
		rbuf_init(&r, mem, w.len);
		assert_true(get_varint(&r) == values[i]);
		assert_true(get_svarint(&r) == (int64_t)values[i]);
		assert_true(get_svarint(&r) == -(int64_t)(values[i] >> 1));
		assert_true(rbuf_done(&r));
	}
}

static void refuses_malformed_varints(void **state)
{
	(void)state;
	static const uint8_t over_64_bits[] = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 2 };
	static const uint8_t eleven[] = { 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1 };
	static const uint8_t padded[] = { 0x81, 0x00 };
	static const uint8_t cut[] = { 0x81 };
	static const struct span bad[] = {
		{ over_64_bits, sizeof(over_64_bits) }, { eleven, sizeof(eleven) }, { padded, sizeof(padded) }, { cut, sizeof(cut) },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rbuf r;
		rbuf_init(&r, bad[i].p, bad[i].len);
		assert_true(get_varint(&r) == 0);
		assert_true(r.bad);
		assert_false(rbuf_done(&r));
	}
}

static void keeps_to_its_bounds(void **state)
{
	(void)state;
	uint8_t mem[8];
	struct wbuf w;
	wbuf_fixed(&w, mem, sizeof(mem));
	put_u32(&w, 1);
	put_u64(&w, 2);
	assert_true(w.bad);
	assert_int_equal(w.len, 4);
	put_u8(&w, 3);
	assert_int_equal(w.len, 4);
	wbuf_reset(&w);
	put_u64(&w, 2);
	assert_false(w.bad);
	wbuf_fini(&w);

	wbuf_heap(&w, 1000);
	for (int i = 0; i < 1000; i++)
		put_u8(&w, (uint8_t)i);
	assert_false(w.bad);
	put_u8(&w, 0);
	assert_true(w.bad);
	assert_int_equal(w.len, 1000);
	wbuf_fini(&w);
	wbuf_fini(NULL);
}

static void refuses_text_over_its_length_field(void **state)
{
	(void)state;
	static char text[UINT16_MAX + 1];
	struct wbuf w;
	wbuf_heap(&w, 1 << 20);
	put_str(&w, text, UINT16_MAX);
	assert_false(w.bad);
	size_t len = w.len;
	put_str(&w, text, UINT16_MAX + 1);
	assert_true(w.bad);
	assert_int_equal(w.len, len);
	wbuf_fini(&w);
}

static void remembers_a_short_read(void **state)
{
	(void)state;
	static const uint8_t three[3] = { 1, 2, 3 };
	struct rbuf r;
	rbuf_init(&r, three, sizeof(three));
	assert_int_equal(get_u32(&r), 0);
	assert_int_equal(get_u8(&r), 0);
	assert_int_equal(rbuf_left(&r), 0);
	assert_false(rbuf_done(&r));
	static const uint8_t liar[] = { 255, 255, 255, 255, 'x' };
	rbuf_init(&r, liar, sizeof(liar));
	assert_int_equal(get_blob(&r).len, 0);
	assert_true(r.bad);
	rbuf_init(&r, NULL, 0);
	assert_true(rbuf_done(&r));
	assert_int_equal(get_bytes(&r, 0).len, 0);
	assert_true(rbuf_done(&r));
}

static void makes_text_safe_for_terminals(void **state)
{
	(void)state;
	static const struct { const char *in, *out; } known[] = {
		{ "plain", "plain" }, { "a\x1b[31mb", "a?[31mb" }, { "a\r\n\tb", "a???b" }, { "\x7f", "?" },
		{ "µs – ünïcode 😀", "µs – ünïcode 😀" },
		{ "\xc2\x9b" "31m", "??31m" },              /* CSI as one C1 character */
		{ "\x9b" "31m", "?31m" },                   /* and as the bare byte */
		{ "\xc0\xaf", "??" }, { "\xed\xa0\x80", "???" }, { "\xf4\x90\x80\x80", "????" }, { "\xe2\x82", "??" },
	};
	char dst[64];
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct span s = { (const uint8_t *)known[i].in, strlen(known[i].in) };
		assert_string_equal(span_text(s, dst, sizeof(dst)), known[i].out);
	}
	struct span nul = { (const uint8_t *)"a\0b", 3 };
	assert_string_equal(span_text(nul, dst, sizeof(dst)), "a?b");
	struct span euro = { (const uint8_t *)"a€", 4 };
	assert_string_equal(span_text(euro, dst, 4), "a");
	assert_string_equal(span_text(euro, dst, 5), "a€");
	assert_string_equal(span_text(euro, dst, 1), "");
	assert_ptr_equal(span_text(euro, dst, 0), dst);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_little_endian_and_keys_big_endian),
		cmocka_unit_test(reads_back_what_it_wrote),
		cmocka_unit_test(packs_variable_lengths),
		cmocka_unit_test(refuses_malformed_varints),
		cmocka_unit_test(keeps_to_its_bounds),
		cmocka_unit_test(refuses_text_over_its_length_field),
		cmocka_unit_test(remembers_a_short_read),
		cmocka_unit_test(makes_text_safe_for_terminals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
