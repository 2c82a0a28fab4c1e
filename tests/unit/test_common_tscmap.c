/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scaled TSCs against an oracle that shares nothing with the code: whole numbers of decimal-free school arithmetic in 16-bit limbs,
 * multiplied and divided digit by digit. Ratios ± 5 % around one and hardware's extremes, uptimes of years, exact to the cycle. The
 * fixed rows were computed with python3's big integers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/tscmap.h"

/* ---- the oracle: 192-bit numbers as twelve 16-bit limbs, least first ---- */

enum { LIMBS = 12 };
struct big { uint32_t d[LIMBS]; };

static struct big big_of(uint64_t v)
{
	struct big b = { { 0 } };

	for (int i = 0; i < 4; i++)
		b.d[i] = (uint32_t)(v >> (16 * i)) & 0xffff;
	return b;
}

static uint64_t big_low(const struct big *b)
{
	uint64_t v = 0;

	for (int i = 0; i < 4; i++)
		v |= (uint64_t)b->d[i] << (16 * i);
	return v;
}

static struct big big_mul(const struct big *a, const struct big *b)
{
	struct big r = { { 0 } };

	for (int i = 0; i < LIMBS; i++) {
		uint64_t carry = 0;
		for (int j = 0; i + j < LIMBS; j++) {
			uint64_t t = r.d[i + j] + (uint64_t)a->d[i] * b->d[j] + carry;
			r.d[i + j] = (uint32_t)(t & 0xffff);
			carry = t >> 16;
		}
	}
	return r;
}

static struct big big_add(const struct big *a, const struct big *b)
{
	struct big r = { { 0 } };
	uint32_t carry = 0;

	for (int i = 0; i < LIMBS; i++) {
		uint32_t t = a->d[i] + b->d[i] + carry;
		r.d[i] = t & 0xffff;
		carry = t >> 16;
	}
	return r;
}

static int big_bit(const struct big *a, int bit)
{
	return (int)(a->d[bit / 16] >> (bit % 16)) & 1;
}

static struct big big_half(const struct big *a)
{
	struct big r = { { 0 } };

	for (int i = 0; i < LIMBS; i++)
		r.d[i] = a->d[i] >> 1 | (i + 1 < LIMBS ? (a->d[i + 1] & 1) << 15 : 0);
	return r;
}

static struct big big_double(const struct big *a)
{
	return big_add(a, a);
}

static int big_cmp(const struct big *a, const struct big *b)
{
	for (int i = LIMBS - 1; i >= 0; i--)
		if (a->d[i] != b->d[i])
			return a->d[i] < b->d[i] ? -1 : 1;
	return 0;
}

static struct big big_sub(const struct big *a, const struct big *b)
{
	struct big r = { { 0 } };
	int32_t borrow = 0;

	for (int i = 0; i < LIMBS; i++) {
		int32_t t = (int32_t)a->d[i] - (int32_t)b->d[i] - borrow;
		borrow = t < 0;
		r.d[i] = (uint32_t)(t + (borrow ? 0x10000 : 0));
	}
	return r;
}

/* floor(a / b), bit by bit. */
static struct big big_div(const struct big *a, const struct big *b)
{
	struct big q = { { 0 } }, rest = { { 0 } };

	for (int bit = LIMBS * 16 - 1; bit >= 0; bit--) {
		rest = big_double(&rest);
		rest.d[0] |= (uint32_t)big_bit(a, bit);
		q = big_double(&q);
		if (big_cmp(&rest, b) >= 0) {
			rest = big_sub(&rest, b);
			q.d[0] |= 1;
		}
	}
	return q;
}

static uint64_t oracle_up(struct tsc_scale s, uint64_t host)
{
	struct big h = big_of(host), r = big_of(s.ratio), p = big_mul(&h, &r);

	for (int i = 0; i < s.frac; i++)
		p = big_half(&p);
	return big_low(&p);
}

/* ceil((v << frac) / ratio) */
static uint64_t oracle_down(struct tsc_scale s, uint64_t v)
{
	struct big x = big_of(v), r = big_of(s.ratio), one = big_of(1), r1 = big_sub(&r, &one);

	for (int i = 0; i < s.frac; i++)
		x = big_double(&x);
	x = big_add(&x, &r1);
	x = big_div(&x, &r);
	return big_low(&x);
}

/* ---- what is asked ---- */

static uint64_t random_state = 0x5eed;

static uint64_t next_random(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1du;
}

/* One, ± 5 %, with all fractional bits in use. */
static struct tsc_scale random_scale(uint8_t frac)
{
	uint64_t one = (uint64_t)1 << frac, span = one / 10;

	return (struct tsc_scale){ .ratio = one - span / 2 + next_random() % (span + 1), .frac = frac };
}

/* Up to ten years at 5 GHz: 1.6e18 cycles, well below 2^63. */
static uint64_t random_uptime(void)
{
	return next_random() % (uint64_t)1600000000000000000;
}

static void test_against_python(void **state)
{
	(void)state;
	/* python3: up = (h * r >> f) % 2**64; down = -((-(((up + off) % 2**64 - off) % 2**64 << f)) // r) */
	static const struct { uint8_t frac; uint64_t ratio, host, up, back; } rows[] = {
#include "tests/fixtures/tscmap_rows.h"
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tsc_scale s = { rows[i].ratio, rows[i].frac };
		assert_int_equal(tsc_scale_up(s, rows[i].host), rows[i].up);
		assert_int_equal(tsc_to_host(s, 0, (struct guest_tsc){ rows[i].up }).cycles, rows[i].back);
		int64_t offset = (int64_t)next_random();
		struct guest_tsc g = tsc_to_guest(s, offset, (struct host_tsc){ rows[i].host });
		assert_int_equal(g.cycles, rows[i].up + (uint64_t)offset);
		assert_int_equal(tsc_to_host(s, offset, g).cycles, rows[i].back);
	}
}

static void test_against_digits(void **state)
{
	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct tsc_scale s = random_scale(i % 2 ? 48 : 32);
		uint64_t host = random_uptime();

		assert_int_equal(tsc_scale_up(s, host), oracle_up(s, host));
		assert_int_equal(tsc_to_host(s, 0, (struct guest_tsc){ host }).cycles, oracle_down(s, host));
	}
}

/* The definition itself: the smallest h that shows g or more. */
static void test_smallest(void **state)
{
	(void)state;
	for (int i = 0; i < 1000000; i++) {
		struct tsc_scale s = random_scale(i % 2 ? 48 : 32);
		int64_t offset = (int64_t)next_random();
		uint64_t up = random_uptime();
		struct guest_tsc g = { up + (uint64_t)offset };
		struct host_tsc h = tsc_to_host(s, offset, g);

		assert_true(tsc_scale_up(s, h.cycles) >= up);
		assert_true(h.cycles == 0 || tsc_scale_up(s, h.cycles - 1) < up);
	}
}

/* host → guest → host: the same where every host cycle has a guest value of its own (ratio >= 1), else the first that shows it. */
static void test_round_trip(void **state)
{
	(void)state;
	for (int i = 0; i < 1000000; i++) {
		struct tsc_scale s = random_scale(i % 2 ? 48 : 32);
		int64_t offset = (int64_t)next_random();
		struct host_tsc h = { random_uptime() }, back = tsc_to_host(s, offset, tsc_to_guest(s, offset, h));

		assert_true(back.cycles <= h.cycles && h.cycles - back.cycles <= 1);
		if (s.ratio >= (uint64_t)1 << s.frac)
			assert_int_equal(back.cycles, h.cycles);
		assert_int_equal(tsc_to_guest(s, offset, back).cycles, tsc_to_guest(s, offset, h).cycles);
	}
}

/* Monotonic, and a span keeps its length to a cycle at either end. */
static void test_spans(void **state)
{
	(void)state;
	for (int i = 0; i < 1000000; i++) {
		struct tsc_scale s = random_scale(i % 2 ? 48 : 32);
		uint64_t a = random_uptime(), n = next_random() % 1000000000;
		uint64_t up = tsc_scale_up(s, a + n) - tsc_scale_up(s, a);
		uint64_t alone = tsc_scale_up(s, n);

		assert_true(up == alone || up == alone + 1);
	}
}

static void test_unscaled(void **state)
{
	(void)state;
	struct tsc_scale none = { 0 }, one32 = { (uint64_t)1 << 32, 32 }, one48 = { (uint64_t)1 << 48, 48 };

	for (int i = 0; i < 100000; i++) {
		uint64_t h = next_random();
		int64_t offset = (int64_t)next_random();
		struct guest_tsc g = { h + (uint64_t)offset };

		assert_int_equal(tsc_to_guest(none, offset, (struct host_tsc){ h }).cycles, g.cycles);
		assert_int_equal(tsc_to_guest(one32, offset, (struct host_tsc){ h }).cycles, g.cycles);
		assert_int_equal(tsc_to_guest(one48, offset, (struct host_tsc){ h }).cycles, g.cycles);
		assert_int_equal(tsc_to_host(none, offset, g).cycles, h);
		assert_int_equal(tsc_to_host(one32, offset, g).cycles, h);
		assert_int_equal(tsc_to_host(one48, offset, g).cycles, h);
	}
	assert_true(tsc_scale_ratio(none) == 1.0 && tsc_scale_ratio(one48) == 1.0);
}

static bool valid(uint64_t ratio, uint8_t frac)
{
	struct error err = { 0 };
	bool ok = tsc_scale_valid((struct tsc_scale){ ratio, frac }, &err);

	assert_true(ok == (err.code == ERR_NONE));
	return ok;
}

static void test_valid(void **state)
{
	(void)state;
	assert_true(valid(0, 0));
	assert_true(valid((uint64_t)1 << 48, 48));
	assert_true(valid((uint64_t)1 << 36, 32));
	assert_true(valid((uint64_t)1 << 28, 32));
	assert_false(valid(((uint64_t)1 << 36) + 1, 32));
	assert_false(valid(((uint64_t)1 << 28) - 1, 32));
	assert_false(valid((uint64_t)1 << 48, 64));
	assert_false(valid(UINT64_MAX, 32));
	assert_true(valid((uint64_t)1 << 63, 63));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_python),
		cmocka_unit_test(test_against_digits),
		cmocka_unit_test(test_smallest),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_unscaled),
		cmocka_unit_test(test_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
