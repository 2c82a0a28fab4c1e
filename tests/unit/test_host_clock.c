/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Properties of the clock against simulated ones, whose true offset is known: a million samples each, asymmetric and heavy-tailed delays,
 * offsets to ±2^62 and over the wrap, jumps. Seeds are fixed, so a failure repeats.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "host/clock/clock.h"

enum { SAMPLES = 1000000 };

/* ---- a world with two clocks ---- */

struct world {
	uint64_t random;
	uint64_t host;           /* now */
	uint64_t offset;         /* the truth: guest − host, modulo 2^64 */
	double ratio;            /* delay there : delay back */
};

/* xorshift64*: any full-period generator does. */
static uint64_t next_random(struct world *w)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return w->random * 0x2545f4914f6cdd1du;
}

static double uniform(struct world *w)
{
	return ((double)(next_random(w) >> 11) + 0.5) / 9007199254740992.0;
}

/* Pareto with index 1.1: its variance is infinite, as a preempted VMM's is for all one can see. In cycles, at least `scale`. */
static uint64_t pareto(struct world *w, double scale)
{
	double d = scale * pow(uniform(w), -1.0 / 1.1);

	return d > 1e12 ? (uint64_t)1000000000000 : (uint64_t)d;
}

struct stamps { struct host_tsc t1, t4; struct guest_tsc t2, t3; };

static struct stamps exchange(struct world *w)
{
	struct stamps s;

	w->host += 1000 + next_random(w) % 100000;
	s.t1.cycles = w->host;
	w->host += pareto(w, 2000 * w->ratio);
	s.t2.cycles = w->host + w->offset;
	w->host += next_random(w) % 5000;
	s.t3.cycles = w->host + w->offset;
	w->host += pareto(w, 2000);
	s.t4.cycles = w->host;
	return s;
}

static struct clock_interval observe(struct world *w)
{
	struct clock_interval i;
	struct stamps s = exchange(w);

	assert_true(exchange_interval(s.t1, s.t2, s.t3, s.t4, &i));
	/* Not a cycle wider than the stamps leave open. */
	assert_int_equal((uint64_t)i.hi - (uint64_t)i.lo, s.t4.cycles - s.t1.cycles - (s.t3.cycles - s.t2.cycles));
	return i;
}

static uint64_t width(struct clock_interval i)
{
	return (uint64_t)i.hi - (uint64_t)i.lo;
}

static bool holds(struct clock_interval i, uint64_t offset)
{
	return offset - (uint64_t)i.lo <= width(i);
}

/* The shorter way round. */
static uint64_t distance(uint64_t a, uint64_t b)
{
	return a - b < b - a ? a - b : b - a;
}

static const struct clock_epoch *last_epoch(struct clock_track *t)
{
	return clock_track_epoch(t, clock_track_epochs(t) - 1);
}

static uint64_t offset_of_kind(struct world *w, unsigned kind)
{
	switch (kind % 6) {
	case 0: return (uint64_t)1 << 62;
	case 1: return -((uint64_t)1 << 62);
	case 2: return INT64_MAX - next_random(w) % 100000;             /* the sign wraps within the delays */
	case 3: return (uint64_t)INT64_MIN + next_random(w) % 100000;
	case 4: return next_random(w) % 100000 - 50000;                 /* so does zero */
	default: return next_random(w);
	}
}

/* ---- properties ---- */

/* 1: in a clean epoch the bound holds the truth after every sample, only narrows, and never splits. */
static void test_bound_holds(void **state)
{
	(void)state;
	struct world w = { .random = 0x5eed };
	uint64_t samples = 0;

	for (unsigned kind = 0; samples < SAMPLES; kind++) {
		struct clock_track *t = clock_track_new(NULL);
		uint64_t before = UINT64_MAX;

		w.offset = offset_of_kind(&w, kind);
		w.host = next_random(&w);
		w.ratio = pow(10, 4 * uniform(&w) - 2);                 /* 1:100 to 100:1 */
		for (int i = 0; i < 500; i++, samples++) {
			struct clock_interval o = observe(&w);
			assert_int_equal(clock_track_add(t, TIER_EXCHANGE, (struct host_tsc){ w.host }, o, NULL), 0);
			const struct clock_epoch *e = last_epoch(t);
			assert_true(holds(o, w.offset));
			assert_true(holds(e->offset, w.offset));
			assert_true(width(e->offset) <= before && width(e->offset) <= width(o));
			before = width(e->offset);
		}
		assert_int_equal(last_epoch(t)->samples, 500);
		clock_track_free(t);
	}
}

/* Midpoint ± half-width covers the truth and is never wider than it must be. */
static void test_midpoint(void **state)
{
	(void)state;
	struct world w = { .random = 0xfeed, .ratio = 3 };

	for (int i = 0; i < SAMPLES; i++) {
		struct clock_epoch e = { 0 };
		int64_t mid;
		uint64_t half;

		if (i % 100 == 0)
			w.offset = offset_of_kind(&w, (unsigned)i / 100);
		e.offset = observe(&w);
		clock_epoch_bound(&e, &mid, &half);
		assert_true(distance((uint64_t)mid, w.offset) <= half);
		assert_true(half * 2 - width(e.offset) <= 1);
	}
}

static uint64_t jump_of(struct world *w)
{
	uint64_t size = next_random(w) >> (next_random(w) % 63 + 1);

	return next_random(w) & 1 ? size : -size;
}

/* 4: with every jump announced, the bound holds always. */
static void test_announced_jumps(void **state)
{
	(void)state;
	struct world w = { .random = 0xace, .ratio = 0.2 };
	struct clock_track *t = NULL;

	for (int i = 0; i < SAMPLES; i++) {
		if (i % 100000 == 0) {
			clock_track_free(t);
			t = clock_track_new(NULL);
			w.offset = offset_of_kind(&w, (unsigned)i / 100000);
		}
		if (i % 1000 == 999) {
			w.offset += jump_of(&w);
			clock_track_break(t);
		}
		int epoch = clock_track_add(t, TIER_EXCHANGE, (struct host_tsc){ w.host }, observe(&w), NULL);
		assert_int_equal(epoch, i % 100000 / 1000 + (i % 1000 == 999));
		assert_true(holds(last_epoch(t)->offset, w.offset));
	}
	clock_track_free(t);
}

/* 2 and 3: jumps of every size, unannounced. What is larger than the widths allow is seen at once; what is not leaves no
 * more error than the narrowest observation since. */
static void test_silent_jumps(void **state)
{
	(void)state;
	struct world w = { .random = 0xdead, .ratio = 1.5 };
	struct clock_track *t = NULL;
	uint64_t jumped = 0, narrowest = UINT64_MAX, seen = 0, unseen_untrue = 0;
	bool clean = true;

	for (int i = 0; i < SAMPLES; i++) {
		if (i % 20000 == 0) {
			clock_track_free(t);
			t = clock_track_new(NULL);
			w.offset = offset_of_kind(&w, (unsigned)i / 20000);
			clean = true;
		}
		jumped = i % 50 == 49 ? jump_of(&w) : 0;
		w.offset += jumped;
		struct clock_interval o = observe(&w);
		uint64_t allowed = i % 20000 ? width(last_epoch(t)->offset) + width(o) : 0;
		size_t before = clock_track_epochs(t);
		assert_true(clock_track_add(t, TIER_EXCHANGE, (struct host_tsc){ w.host }, o, NULL) >= 0);
		bool opened = clock_track_epochs(t) > before;

		if (jumped && distance(jumped, 0) > allowed)
			assert_true(!clean || opened);
		clean = opened || (clean && !jumped);
		narrowest = opened || jumped || width(o) < narrowest ? width(o) : narrowest;
		const struct clock_epoch *e = last_epoch(t);
		if (clean) {
			assert_true(holds(e->offset, w.offset));
		} else {
			assert_true(distance((uint64_t)e->offset.lo, w.offset) <= narrowest);
			assert_true(distance((uint64_t)e->offset.hi, w.offset) <= narrowest);
			unseen_untrue += !holds(e->offset, w.offset);
		}
		seen += opened;
	}
	clock_track_free(t);
	/* Both kinds must have come up, or the test shows nothing. */
	assert_true(seen > 1000);
	assert_true(unseen_untrue > 100);
}

/* ---- cases ---- */

static struct clock_interval arc(uint64_t lo, uint64_t w)
{
	return (struct clock_interval){ (int64_t)lo, (int64_t)(lo + w) };
}

static void test_intersections(void **state)
{
	(void)state;
	struct clock_track *t = clock_track_new(NULL);
	const struct host_tsc at = { 7 };

	assert_null(clock_track_epoch(t, 0));
	assert_int_equal(clock_track_add(t, TIER_EXCHANGE, at, arc(-(uint64_t)10, 20), NULL), 0);
	assert_int_equal(clock_track_add(t, TIER_EXCHANGE, at, arc(10, 5), NULL), 0);           /* they touch in one point */
	assert_int_equal(width(last_epoch(t)->offset), 0);
	assert_int_equal(last_epoch(t)->offset.lo, 10);
	assert_int_equal(clock_track_add(t, TIER_EXCHANGE, at, arc(11, 5), NULL), 1);           /* one cycle apart */
	assert_int_equal(clock_track_add(t, TIER_EXCHANGE, at, arc(0, INT64_MAX), NULL), 1);    /* the widest there is */
	assert_int_equal(width(last_epoch(t)->offset), 5);
	assert_int_equal(last_epoch(t)->samples, 2);
	assert_int_equal(clock_track_epoch(t, 0)->samples, 2);
	assert_int_equal(clock_track_add(t, TIER_EXCHANGE, at, arc(0, (uint64_t)INT64_MAX + 1), NULL), -1);
	clock_track_free(t);
	clock_track_free(NULL);
}

/* The other end's touch, and the stretch of time an epoch is known for. */
static void test_extent(void **state)
{
	(void)state;
	struct clock_track *t = clock_track_new(NULL);

	assert_int_equal(clock_track_add(t, TIER_EXCHANGE, (struct host_tsc){ 7 }, arc(10, 5), NULL), 0);
	assert_int_equal(clock_track_add(t, TIER_EXCHANGE, (struct host_tsc){ 9 }, arc(5, 5), NULL), 0);
	assert_int_equal(last_epoch(t)->offset.lo, 10);
	assert_int_equal(width(last_epoch(t)->offset), 0);
	assert_int_equal(last_epoch(t)->first.cycles, 7);
	assert_int_equal(last_epoch(t)->last.cycles, 9);
	assert_int_equal(clock_track_add(t, TIER_EXCHANGE, (struct host_tsc){ 12 }, arc(5, 4), NULL), 1);
	assert_int_equal(last_epoch(t)->first.cycles, 12);
	assert_int_equal(last_epoch(t)->last.cycles, 12);
	assert_int_equal(clock_track_epoch(t, 0)->last.cycles, 9);
	clock_track_free(t);
}

/* The tier shown is that of who narrowed the bound, not of who merely agreed. */
static void test_tiers(void **state)
{
	(void)state;
	struct clock_track *t = clock_track_new(NULL);
	const struct host_tsc at = { 0 };

	clock_track_add(t, TIER_EXCHANGE, at, arc(0, 100), NULL);
	clock_track_add(t, TIER_CAUSAL, at, arc(0, 200), NULL);
	assert_int_equal(last_epoch(t)->tier, TIER_EXCHANGE);
	clock_track_add(t, TIER_SANDWICH, at, arc(40, 10), NULL);
	assert_int_equal(last_epoch(t)->tier, TIER_SANDWICH);
	clock_track_add(t, TIER_EXCHANGE, at, arc(45, 10), NULL);
	assert_int_equal(last_epoch(t)->tier, TIER_SANDWICH);
	clock_track_free(t);
}

static void test_epochs_run_out(void **state)
{
	(void)state;
	struct clock_track *t = clock_track_new(NULL);
	struct error err = { 0 };

	for (uint64_t i = 0; i < CLOCK_EPOCHS_MAX; i++)
		assert_int_equal(clock_track_add(t, TIER_EXCHANGE, (struct host_tsc){ i }, arc(i * 10, 1), &err), i);
	assert_int_equal(clock_track_add(t, TIER_EXCHANGE, (struct host_tsc){ 0 }, arc(5, 1), &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	/* What agrees with the last epoch is still taken. */
	assert_int_equal(clock_track_add(t, TIER_EXCHANGE, (struct host_tsc){ 0 }, arc((CLOCK_EPOCHS_MAX - 1) * 10, 1), &err), CLOCK_EPOCHS_MAX - 1);
	assert_int_equal(clock_track_epochs(t), CLOCK_EPOCHS_MAX);
	clock_track_free(t);
}

static bool try_exchange(uint64_t t1, uint64_t t2, uint64_t t3, uint64_t t4)
{
	struct clock_interval i;

	return exchange_interval((struct host_tsc){ t1 }, (struct guest_tsc){ t2 }, (struct guest_tsc){ t3 }, (struct host_tsc){ t4 }, &i);
}

/* A guest that lies about its stamps is refused wherever the lie contradicts itself. */
static void test_contradictions(void **state)
{
	(void)state;
	assert_true(try_exchange(100, 7, 7, 100));
	assert_true(try_exchange(100, 7, 17, 110));              /* all of the round trip was hold */
	assert_false(try_exchange(100, 7, 18, 110));             /* held longer than the round trip took */
	assert_false(try_exchange(100, 7, 6, 200));              /* answered before it was asked */
	assert_false(try_exchange(100, 7, 7, 99));               /* back before it left */
	assert_true(try_exchange(UINT64_MAX - 5, 7, 9, 5));      /* the host's counter wrapped */
	assert_true(try_exchange(100, UINT64_MAX, 3, 200));      /* the guest's did */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bound_holds),
		cmocka_unit_test(test_midpoint),
		cmocka_unit_test(test_announced_jumps),
		cmocka_unit_test(test_silent_jumps),
		cmocka_unit_test(test_intersections),
		cmocka_unit_test(test_extent),
		cmocka_unit_test(test_tiers),
		cmocka_unit_test(test_epochs_run_out),
		cmocka_unit_test(test_contradictions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
