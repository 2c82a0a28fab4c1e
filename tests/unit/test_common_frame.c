/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/crc32c.h"
#include "common/frame.h"

static struct frame_reader reader;
static uint8_t wire[4 * FRAME_MAX];
static uint8_t payload[FRAME_PAYLOAD_MAX];

static int set_up(void **state)
{
	(void)state;
	frame_reader_init(&reader);
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 13);
	return 0;
}

static size_t put(size_t at, uint64_t seq, size_t len)
{
	struct frame f = { .flags = FRAME_MORE, .type = 17, .epoch = 0xabcdef01, .seq = seq, .payload = { payload, len } };
	return at + frame_encode(wire + at, &f);
}

static void feed(const uint8_t *p, size_t n)
{
	size_t room;
	uint8_t *at = frame_reader_space(&reader, &room);
	assert_true(room >= n);
	memcpy(at, p, n);
	frame_reader_fed(&reader, n);
}

static void expect(uint64_t seq, size_t len)
{
	struct frame f;
	assert_int_equal(frame_reader_next(&reader, &f), 1);
	assert_int_equal(f.flags, FRAME_MORE);
	assert_int_equal(f.type, 17);
	assert_int_equal(f.epoch, 0xabcdef01);
	assert_int_equal(f.seq, seq);
	assert_int_equal(f.payload.len, len);
	if (len)
		assert_memory_equal(f.payload.p, payload, len);
}

static void expect_none(void)
{
	struct frame f;
	assert_int_equal(frame_reader_next(&reader, &f), 0);
}

static void lies_on_the_wire_as_drawn(void **state)
{
	(void)state;
	static const uint8_t head[24] = {
		'B', 'F', 'C', 'L', 1, FRAME_MORE, 17, 0, 3, 0, 0, 0, 0x01, 0xef, 0xcd, 0xab, 9, 0, 0, 0, 0, 0, 0, 0,
	};
	assert_int_equal(put(0, 9, 3), FRAME_HEADER + 3);
	assert_memory_equal(wire, head, sizeof(head));
	struct rbuf r;
	rbuf_init(&r, wire + 24, 8);
	assert_int_equal(get_u32(&r), crc32c(0, payload, 3));
	assert_int_equal(get_u32(&r), crc32c(0, wire, 28));
	assert_memory_equal(wire + FRAME_HEADER, payload, 3);
}

static void takes_frames_however_they_are_cut(void **state)
{
	(void)state;
	static const size_t sizes[] = { 0, 1, 100, FRAME_PAYLOAD_MAX };
	static const size_t cuts[] = { 1, 7, 4096, FRAME_MAX };
	size_t len = 0;
	for (size_t i = 0; i < 4; i++)
		len = put(len, i + 1, sizes[i]);
	for (size_t c = 0; c < 4; c++) {
		struct frame f;
		uint64_t seq = 0;
		for (size_t at = 0; at < len; at += cuts[c]) {
			feed(wire + at, len - at < cuts[c] ? len - at : cuts[c]);
			while (frame_reader_next(&reader, &f)) {
				assert_int_equal(f.seq, ++seq);
				assert_int_equal(f.payload.len, sizes[seq - 1]);
			}
		}
		assert_int_equal(seq, 4);
	}
	assert_int_equal(reader.bad_frames, 0);
	assert_int_equal(reader.frames, 16);
}

static void loses_one_frame_to_one_flipped_bit(void **state)
{
	(void)state;
	size_t one = put(0, 1, 40), two = put(one, 2, 40);
	for (size_t bit = 0; bit < one * 8; bit++) {
		frame_reader_init(&reader);
		wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
		feed(wire, two);
		expect(2, 40);
		expect_none();
		assert_int_equal(reader.bad_frames, 1);
		assert_int_equal(reader.skipped_bytes, one);
		wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void finds_the_next_frame_behind_garbage(void **state)
{
	(void)state;
	memset(wire, 'B', 1000);
	memcpy(wire + 500, "BFCLBFCLBFC", 11);
	size_t len = put(1000, 5, 10);
	feed(wire, len);
	expect(5, 10);
	expect_none();
	assert_int_equal(reader.bad_frames, 1);
	assert_int_equal(reader.skipped_bytes, 1000);
}

/* A frame may begin anywhere behind a false start, within what that one took for its header, too. */
static void finds_a_frame_inside_a_false_header(void **state)
{
	(void)state;
	for (size_t at = 1; at < 2 * FRAME_HEADER; at++) {
		frame_reader_init(&reader);
		memset(wire, 0, at);
		memcpy(wire, "BFCL", at < 4 ? at : 4);
		feed(wire, put(at, 5, 10));
		expect(5, 10);
		expect_none();
		assert_int_equal(reader.bad_frames, 1);
		assert_int_equal(reader.skipped_bytes, at);
	}
}

static void finds_frames_that_a_cut_one_swallowed(void **state)
{
	(void)state;
	put(0, 1, 1000);
	size_t cut = 500, len = put(cut, 2, 100);
	feed(wire, len);
	expect_none();
	assert_int_equal(frame_reader_pending(&reader), len);
	frame_reader_give_up(&reader);
	expect(2, 100);
	expect_none();
	assert_int_equal(reader.bad_frames, 1);
	assert_int_equal(frame_reader_pending(&reader), 0);

	/* The same without giving up, once enough has come to show that the sum is wrong. */
	frame_reader_init(&reader);
	len = put(len, 3, 600);
	feed(wire, len);
	expect(2, 100);
	expect(3, 600);
}

static void believes_no_length_over_the_bound(void **state)
{
	(void)state;
	size_t len = put(0, 1, 10);
	struct wbuf w;
	wbuf_fixed(&w, wire + 8, 4);
	put_u32(&w, FRAME_PAYLOAD_MAX + 1);
	wbuf_fixed(&w, wire + 28, 4);
	put_u32(&w, crc32c(0, wire, 28));
	len = put(len, 2, 10);
	feed(wire, len);
	expect(2, 10);
	assert_int_equal(reader.bad_frames, 1);
}

static void refuses_another_version(void **state)
{
	(void)state;
	size_t len = put(0, 1, 0);
	wire[4] = FRAME_VERSION + 1;
	struct wbuf w;
	wbuf_fixed(&w, wire + 28, 4);
	put_u32(&w, crc32c(0, wire, 28));
	feed(wire, len);
	expect_none();
	assert_int_equal(reader.bad_frames, 1);
}

static void always_has_room(void **state)
{
	(void)state;
	size_t len = put(0, 1, FRAME_PAYLOAD_MAX);
	for (int i = 0; i < 100; i++) {
		size_t room;
		frame_reader_space(&reader, &room);
		assert_true(room > 0);
		frame_reader_fed(&reader, room);       /* nobody takes frames out */
	}
	assert_true(reader.bad_frames > 0);
	frame_reader_init(&reader);
	for (uint64_t i = 0; i < 50; i++) {
		feed(wire, len - 1);
		expect_none();
		feed(wire + len - 1, 1);
		expect(1, FRAME_PAYLOAD_MAX);
	}
}

/* XXH64 of nothing is published as ef46db3751d8e999. */
static void takes_either_sum(void **state)
{
	(void)state;
	struct frame f = { .flags = FRAME_XXH, .type = 17, .seq = 5, .payload = { payload, 3 } };
	assert_int_equal(frame_sum(FRAME_XXH, payload, 0), 0x51d8e999);
	assert_int_not_equal(frame_sum(FRAME_XXH, payload, 3), frame_sum(0, payload, 3));
	size_t len = frame_encode(wire, &f);
	feed(wire, len);
	assert_int_equal(frame_reader_next(&reader, &f), 1);
	assert_int_equal(f.flags, FRAME_XXH);
	assert_memory_equal(f.payload.p, payload, 3);
	wire[FRAME_HEADER] ^= 1;
	feed(wire, len);
	expect_none();
	assert_int_equal(reader.bad_frames, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, set_up)
	const struct CMUnitTest tests[] = {
		T(lies_on_the_wire_as_drawn),
		T(takes_frames_however_they_are_cut),
		T(loses_one_frame_to_one_flipped_bit),
		T(finds_the_next_frame_behind_garbage),
		T(finds_a_frame_inside_a_false_header),
		T(finds_frames_that_a_cut_one_swallowed),
		T(believes_no_length_over_the_bound),
		T(refuses_another_version),
		T(always_has_room),
		T(takes_either_sum),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
