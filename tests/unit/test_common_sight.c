/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packed sightings: round trips, sizes, names, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/boundary.h"
#include "common/sight.h"

static struct sighting in[SIGHT_CHUNK + 1], out[SIGHT_CHUNK];
static struct error err;

static bool same(const struct sighting *a, const struct sighting *b)
{
	return a->time == b->time && a->sector == b->sector && a->key == b->key && a->length == b->length && a->thread == b->thread &&
	       a->device == b->device && a->kind == b->kind && a->op == b->op && a->flags == b->flags;
}

static size_t round_trip(size_t n)
{
	struct wbuf w;
	wbuf_heap(&w, SIGHT_CHUNK_BYTES);
	sights_pack(&w, in, n);
	assert_false(w.bad);
	memset(out, 0xa5, sizeof(out));
	if (sights_unpack((struct span){ w.p, w.len }, out, n, &err) != (int)n)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < n; i++)
		if (!same(&in[i], &out[i]))
			fail_msg("sighting %zu differs", i);
	if (n)
		assert_int_equal(sights_unpack((struct span){ w.p, w.len }, out, n - 1, &err), -1);
	for (size_t cut = 0; cut < w.len; cut += 1 + w.len / 97)
		assert_int_equal(sights_unpack((struct span){ w.p, cut }, out, SIGHT_CHUNK, &err), -1);
	size_t len = w.len;
	wbuf_fini(&w);
	return len;
}

static uint64_t random64(unsigned *seed)
{
	return (uint64_t)rand_r(seed) << 62 ^ (uint64_t)rand_r(seed) << 31 ^ (uint64_t)rand_r(seed);
}

static const uint8_t some_kinds[] = { SIGHT_G_QUEUE, SIGHT_G_ISSUE, SIGHT_G_KICK, SIGHT_V_START, SIGHT_H_ENTER, SIGHT_ANCHOR, SIGHT_LOST };
static const uint8_t ops[] = { IO_READ, IO_WRITE, IO_FLUSH, IO_DISCARD, SIGHT_OP_NONE };

static void anything_round_trips(void **state)
{
	(void)state;
	unsigned seed = 1;
	for (int round = 0; round < 300; round++) {
		size_t n = round < 3 ? (size_t)round : (size_t)rand_r(&seed) % 500;
		unsigned few = 1u << rand_r(&seed) % 12;   /* how many places and keys there are to choose from */
		for (size_t i = 0; i < n; i++) {
			unsigned shift = (unsigned)rand_r(&seed) % 64, place = (unsigned)rand_r(&seed) % few;
			in[i] = (struct sighting){
				.time = random64(&seed) >> shift, .sector = (uint64_t)place * 0x9e3779b97f4a7c15ull >> shift % 3, .key = random64(&seed) % few,
				.length = place * 2654435761u, .thread = (uint32_t)rand_r(&seed) % few, .device = place % 3,
				.kind = some_kinds[(unsigned)rand_r(&seed) % sizeof(some_kinds)], .op = ops[place % 5], .flags = (uint8_t)(rand_r(&seed) % 2),
			};
		}
		round_trip(n);
	}
}

static void extremes_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIGHT_CHUNK; i++) {
		bool odd = i % 2;
		in[i] = (struct sighting){
			.time = odd ? UINT64_MAX : 0, .sector = odd ? UINT64_MAX - i : 1ull << 63, .key = odd ? UINT64_MAX - i : i,
			.length = odd ? UINT32_MAX : 0, .thread = odd ? UINT32_MAX : (uint32_t)i, .device = odd ? UINT32_MAX : 0,
			.kind = odd ? SIGHT_STOPPED : SIGHT_G_QUEUE, .op = odd ? SIGHT_OP_NONE : IO_DISCARD, .flags = odd,
		};
	}
	assert_true(round_trip(SIGHT_CHUNK) <= SIGHT_CHUNK_BYTES);
}

/* A request is seen five times, a new place once: stamp 2 bytes, kind, place, key and thread a byte each, flags less; before zstd. */
static void a_request_costs_little(void **state)
{
	(void)state;
	static const uint8_t life[] = { SIGHT_G_QUEUE, SIGHT_G_ISSUE, SIGHT_G_KICK, SIGHT_G_IRQ, SIGHT_G_COMPLETE };
	unsigned seed = 7;
	uint64_t now = 1ull << 50;
	size_t n = 2000;
	struct sighting s = { .device = 254 << 20, .length = 4096, .op = IO_READ };
	for (size_t i = 0; i < n; i++) {
		if (i % 5 == 0)
			s.sector = (uint64_t)rand_r(&seed) % 65536 * 8;
		now += 5000 + (uint64_t)rand_r(&seed) % 5000;
		in[i] = s;
		if (i % 5 == 2 || i % 5 == 3)
			in[i] = (struct sighting){ .op = SIGHT_OP_NONE, .flags = SIGHT_NO_PLACE, .key = 0xffff888000001000 };
		in[i].time = now;
		in[i].kind = life[i % 5];
	}
	size_t bytes = round_trip(n);
	assert_in_range(bytes, n * 6, n * 9);
}

static void what_cannot_be_said_is_refused(void **state)
{
	(void)state;
	struct wbuf w;
	memset(in, 0, sizeof(in));
	for (size_t i = 0; i <= SIGHT_CHUNK; i++)
		in[i].kind = SIGHT_G_QUEUE;
	wbuf_heap(&w, SIGHT_CHUNK_BYTES);
	sights_pack(&w, in, SIGHT_CHUNK + 1);
	assert_true(w.bad);
	static const struct sighting wrong[] = { { .kind = 39 }, { .kind = 300 }, { .kind = SIGHT_LOST, .op = 4 }, { .kind = SIGHT_LOST, .flags = 2 } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		wbuf_reset(&w);
		sights_pack(&w, &wrong[i], 1);
		assert_true(w.bad);
	}
	wbuf_fini(&w);
}

static void damage_never_trips(void **state)
{
	(void)state;
	unsigned seed = 3;
	struct wbuf w;
	for (size_t i = 0; i < 300; i++)
		in[i] = (struct sighting){ .time = i * 999, .sector = i % 7 * 8, .length = 4096, .kind = SIGHT_G_ISSUE, .key = i % 5, .thread = (uint32_t)i % 3 };
	wbuf_heap(&w, SIGHT_CHUNK_BYTES);
	sights_pack(&w, in, 300);
	for (int i = 0; i < 20000; i++) {
		uint8_t *at = &w.p[(size_t)rand_r(&seed) % w.len], was = *at;
		*at = (uint8_t)rand_r(&seed);
		int n = sights_unpack((struct span){ w.p, w.len }, out, SIGHT_CHUNK, &err);
		for (int k = 0; k < n; k++)
			assert_string_not_equal(sight_name(out[k].kind), "unknown");
		if (i % 3)
			*at = was;
	}
	wbuf_fini(&w);
}

static void tables_agree(void **state)
{
	(void)state;
	char name[PHASE_SPAN_MAX];
	assert_string_equal(sight_name(SIGHT_G_KICK), "g_kick");
	assert_int_equal(sight_boundary(SIGHT_G_KICK), AT_GUEST_KICK);
	assert_int_equal(sight_boundary(SIGHT_G_INSERT), -1);
	assert_int_equal(sight_vantage(SIGHT_H_ISSUE), VANTAGE_HOST);
	assert_string_equal(sight_name(39), "unknown");
	assert_string_equal(sight_name(100000), "unknown");
	assert_string_equal(phase_span_name(4, 5, name), "vmm.dispatch");
	assert_string_equal(phase_span_name(0, 14, name), "guest.submit..guest.reap");
	assert_true(phase_crosses(AT_GUEST_KICK, AT_HOST_NOTIFY));
	assert_true(phase_crosses(AT_GUEST_ISSUE, AT_DEVICE_START));
	assert_false(phase_crosses(AT_APP_SUBMIT, AT_APP_REAP));
	assert_false(phase_crosses(AT_HOST_NOTIFY, AT_IRQ_INJECT));
	/* Every boundary but the application's own is shown by some sighting. */
	for (int b = AT_GUEST_QUEUE; b < AT_APP_REAP; b++) {
		bool shown = false;
		for (unsigned k = 0; k < SIGHT_KINDS; k++)
			shown |= sight_boundary(k) == b;
		if (!shown)
			fail_msg("nothing shows %s", boundary_name((unsigned)b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anything_round_trips),
		cmocka_unit_test(extremes_round_trip),
		cmocka_unit_test(a_request_costs_little),
		cmocka_unit_test(what_cannot_be_said_is_refused),
		cmocka_unit_test(damage_never_trips),
		cmocka_unit_test(tables_agree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
