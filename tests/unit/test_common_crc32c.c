/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "common/crc32c.h"

/* The definition, bit by bit. */
static uint32_t by_bits(uint32_t crc, const uint8_t *p, size_t len)
{
	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc;
}

/* RFC 3720, appendix B.4. */
static void agrees_with_the_standard(void **state)
{
	(void)state;
	uint8_t b[32];
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	memset(b, 0, sizeof(b));
	assert_int_equal(crc32c(0, b, sizeof(b)), 0x8a9136aa);
	memset(b, 0xff, sizeof(b));
	assert_int_equal(crc32c(0, b, sizeof(b)), 0x62a8ab43);
	for (uint8_t i = 0; i < 32; i++)
		b[i] = i;
	assert_int_equal(crc32c(0, b, sizeof(b)), 0x46dd794e);
	for (uint8_t i = 0; i < 32; i++)
		b[i] = 31 - i;
	assert_int_equal(crc32c(0, b, sizeof(b)), 0x113fdb5c);
}

static void both_ways_agree_at_every_length_and_place(void **state)
{
	(void)state;
	uint8_t b[300];
	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(i * i * 31 + i * 7);
	for (size_t at = 0; at < 9; at++)
		for (size_t len = 0; len + at <= sizeof(b); len++) {
			uint32_t want = by_bits((uint32_t)len, b + at, len);
			assert_int_equal(crc32c((uint32_t)len, b + at, len), want);
			assert_int_equal(crc32c_table((uint32_t)len, b + at, len), want);
		}
}

static void goes_on_where_it_stopped(void **state)
{
	(void)state;
	const char *text = "The quick brown fox jumps over the lazy dog";
	uint32_t whole = crc32c(0, text, strlen(text));
	for (size_t cut = 0; cut <= strlen(text); cut++)
		assert_int_equal(crc32c(crc32c(0, text, cut), text + cut, strlen(text) - cut), whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_standard),
		cmocka_unit_test(both_ways_agree_at_every_length_and_place),
		cmocka_unit_test(goes_on_where_it_stopped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
