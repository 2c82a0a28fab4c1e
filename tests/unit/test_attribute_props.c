/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What holds of every run: how it is laid into the store means nothing, a wrong clock is reported, losses are said where they are, memory is
 * bounded, and a hostile store comes to its end. That phases sum and counts add up is looked at in every run (attribute_run.h). */
#include "tests/fixtures/attribute_machine.h"
#include "tests/fixtures/attribute_run.h"

static struct mach machine(uint64_t seed)
{
	return (struct mach){ .cpus = 4, .queues = 4, .jobs = 4, .depth = 6, .n = 1500, .seed = seed, .special = true, .wire = wire_new() };
}

static void done(struct mach *m)
{
	wire_free(m->wire);
	free(m->io);
}

static void packed(struct attribute_world *w, struct wbuf *out)
{
	wbuf_heap(out, 4 << 20);
	w->a->peak_bytes = 0;
	attribution_pack(out, w->a);
	assert_false(out->bad);
}

static void the_layout_means_nothing(void **state)
{
	struct attribute_world *w = *state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct mach m = machine(seed);
		struct wbuf one, two;
		m.wire->epoch[0].half = 20 * WIRE_US;
		mach_run(&m, true);
		world_attribute(w, m.wire);
		packed(w, &one);
		m.wire->per_chunk = 37;
		m.wire->hole = 3;
		m.wire->backwards = true;
		world_attribute(w, m.wire);
		packed(w, &two);
		assert_int_equal(one.len, two.len);
		assert_memory_equal(one.p, two.p, one.len);
		wbuf_fini(&one);
		wbuf_fini(&two);
		done(&m);
	}
}

/* One that claims fewer than it has is read by chunks, and one that claims more than memory is allowed; the others are kept. */
static void what_a_stream_says_of_its_length_means_nothing(void **state)
{
	struct attribute_world *w = *state;
	static const uint64_t says[] = { 1, 100, 1 << 16, 1ull << 40, UINT64_MAX };
	struct mach m = machine(7);
	struct wbuf one, two;
	m.wire->epoch[0].half = 20 * WIRE_US;
	m.wire->per_chunk = 37;
	mach_run(&m, true);
	world_attribute(w, m.wire);
	packed(w, &one);
	for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		m.wire->says = says[i];
		world_attribute(w, m.wire);
		packed(w, &two);
		assert_int_equal(one.len, two.len);
		assert_memory_equal(one.p, two.p, one.len);
		wbuf_fini(&two);
	}
	wbuf_fini(&one);
	done(&m);
}

/* What is stored of the offset is beside the truth by more than its bound: said, and never only told as suppressed. No less than what the
 * shortest cause leaves open (some 20 us from an issue to its start here) can be noticed by anybody. */
static void a_wrong_clock_is_reported(void **state)
{
	struct attribute_world *w = *state;
	static const int64_t lie_us[] = { 45, -45, 150, -150, 900, -900 };
	for (size_t i = 0; i < sizeof(lie_us) / sizeof(lie_us[0]); i++) {
		struct mach m = machine(40 + i);
		m.special = false;
		m.wire->epoch[0].half = 5 * WIRE_US;
		m.wire->epoch[0].lie = lie_us[i] * (int64_t)WIRE_US;
		mach_run(&m, false);
		world_attribute(w, m.wire);
		if (!w->a->violations)
			fail_msg("a clock wrong by %lld us is not reported", (long long)lie_us[i]);
		assert_int_equal(attribution_tier(w->a), TIER_EXCHANGE);
		done(&m);
	}
}

static const struct wire_life life = { .at = { 0, 2, 4, 5, 8, 10, 15, 18, 60, 65, 70, 72, 80, 82, 85 } };

/* One bad pair empties the intersection: the epoch's tier is not causal then, the stored interval stands, and it is said. */
static void a_bad_pair_cancels_the_causal_tier(void **state)
{
	struct attribute_world *w = *state;
	for (int bad = 0; bad < 2; bad++) {
		struct wire *wire = wire_new();
		wire->epoch[0].half = 10 * WIRE_US;
		for (unsigned i = 0; i < 20; i++) {
			struct wire_life l = life;
			l.sector = 8 * i;
			l.id = i;
			if (bad && i == 7)
				l.at[AT_DEVICE_DONE] = 130;
			wire_life(wire, WIRE_START + 1000 * i * WIRE_US, l);
		}
		world_attribute(w, wire);
		const struct epoch_bound *e = &w->a->epoch[0];
		assert_int_equal(attribution_tier(w->a), bad ? TIER_EXCHANGE : TIER_CAUSAL);
		assert_int_equal((uint64_t)e->hi - (uint64_t)e->lo == 20 * WIRE_US, bad);
		assert_int_equal(w->a->violations != 0, bad);
		wire_free(wire);
	}
}

/* Where no span shows it, the example names the clocks: the application failed the I/O, so it is no request's violation. */
static void a_contradiction_of_clocks_alone_names_them(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life a = life, b = life;
	/* Each within the epoch's bound; both together leave no offset over. */
	wire->epoch[0].half = 10 * WIRE_US;
	a.at[AT_GUEST_KICK] = a.at[AT_HOST_NOTIFY] = b.at[AT_IRQ_INJECT] = b.at[AT_GUEST_IRQ] = WIRE_NO;
	a.at[AT_DEVICE_START] = 0;
	b.at[AT_DEVICE_DONE] = 90;
	b.sector = 16;
	b.id = 1;
	wire_life(wire, WIRE_START, a);
	wire_life(wire, WIRE_START + 1000 * WIRE_US, b);
	world_attribute(w, wire);
	assert_int_equal(w->got[0].violations + w->got[1].violations, 0);
	assert_int_equal(w->a->violations, 1);
	assert_memory_equal(w->a->violation_example, "clock: ", 7);
	assert_int_equal(attribution_tier(w->a), TIER_EXCHANGE);
	wire_free(wire);
}

/* Of requests whose ends were lost, those at a LOST mark are overruns, the others lack their completion. */
static void losses_are_said_where_they_are(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	for (unsigned i = 0; i < 40; i++) {
		struct wire_life l = life;
		l.sector = 8 * i;
		l.id = i;
		if (i % 10 == 5)
			l.at[AT_DEVICE_DONE] = l.at[AT_IRQ_INJECT] = WIRE_NO;
		wire_life(wire, WIRE_START + 20000 * i * WIRE_US, l);
		if (i == 5 || i == 7 || i == 25)
			wire_see(wire, WIRE_VMM, WIRE_START + (20000 * i + 75) * WIRE_US, wire_plain(SIGHT_LOST, 1, 0));
	}
	world_attribute(w, wire);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(w->got[i].cause, i == 5 || i == 25 ? CAUSE_OVERRUN : i % 10 == 5 ? CAUSE_NO_COMPLETION : CAUSE_MATCHED);
	wire_free(wire);
}

static void many_streams_fit(void **state)
{
	struct attribute_world *w = *state;
	struct mach m = machine(3);
	mach_run(&m, false);
	for (unsigned i = 0; m.wire->streams < 400; i++) {
		unsigned st = wire_stream(m.wire, STREAM_HOST + 8 + i, VANTAGE_HOST, STREAM_HOST_TSC, 8 + i);
		for (unsigned k = 0; k < 40; k++)
			wire_see(m.wire, st, WIRE_START + k * 100 * WIRE_US + i, wire_plain(SIGHT_H_KVM_EXIT, 1, 5000 + i));
	}
	world_attribute(w, m.wire);
	assert_true(w->a->peak_bytes <= 64 << 20);
	assert_true(w->a->matched > m.n * 9 / 10);
	done(&m);
}

/* A long run of one key, one place, one CPU: walks are bounded. */
static void one_key_for_all(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	static const uint16_t kinds[] = { SIGHT_V_START, SIGHT_V_POOL_SUBMIT, SIGHT_V_DONE, SIGHT_V_BLK, SIGHT_V_INJECT };
	for (unsigned i = 0; i < 300000; i++) {
		uint64_t at = WIRE_START + i * 10;
		struct sighting g = wire_place(i % 3 ? SIGHT_G_QUEUE : SIGHT_G_ISSUE, 0, 1, 8, 4096, IO_READ);
		wire_see(wire, WIRE_G0, at, g);
		wire_see(wire, WIRE_VMM, at, wire_place(kinds[i % 5], 7, WIRE_MAIN, 8, 4096, IO_READ));
		wire_see(wire, WIRE_HOST, at, wire_place(i % 2 ? SIGHT_H_ENTER : SIGHT_H_QUEUE, SIGHT_SYS_pread64, 9, 8, 4096, IO_READ));
	}
	for (unsigned i = 0; i < 2000; i++)
		wire_io(wire, WIRE_START + i * 1500, WIRE_START + i * 1500 + 1000, (struct io_record){ .sector = 8, .length = 4096, .result = 4096 }, i);
	world_attribute(w, wire);
	wire_free(wire);
}

/* Epochs over each other, at the ends of the numbers; stamps likewise; a log without anchors. */
static void hostile_clocks(void **state)
{
	struct attribute_world *w = *state;
	static const uint64_t ends[] = { 0, 1, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX, WIRE_START, WIRE_START + WIRE_HZ };
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct mach m = machine(seed);
		m.n = 200;
		mach_run(&m, seed % 2);
		m.wire->stream[m.cpus].is.clock = seed % 3 ? STREAM_MONOTONIC : STREAM_REALTIME;
		m.wire->epochs = 4;
		for (unsigned k = 1; k < 4; k++)
			m.wire->epoch[k] = (struct wire_epoch){ .first = UINT64_MAX, .last = ends[mach_rand(&m, 7)], .lie = (int64_t)ends[mach_rand(&m, 7)],
								.half = ends[mach_rand(&m, 7)] / 8 };
		for (unsigned i = 0; i < 400; i++) {
			struct sighting s = wire_place(1 + (unsigned)mach_rand(&m, 9), ends[mach_rand(&m, 7)], 1, ends[mach_rand(&m, 7)], UINT32_MAX, (unsigned)mach_rand(&m, 4));
			wire_see(m.wire, (unsigned)mach_rand(&m, m.wire->streams), ends[mach_rand(&m, 7)], s);
			s.kind = SIGHT_LOST;
			wire_see(m.wire, (unsigned)mach_rand(&m, m.wire->streams), ends[mach_rand(&m, 7)], s);
		}
		world_attribute(w, m.wire);
		done(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_layout_means_nothing), cmocka_unit_test(a_wrong_clock_is_reported),
		cmocka_unit_test(what_a_stream_says_of_its_length_means_nothing),
		cmocka_unit_test(a_bad_pair_cancels_the_causal_tier), cmocka_unit_test(a_contradiction_of_clocks_alone_names_them),
		cmocka_unit_test(losses_are_said_where_they_are), cmocka_unit_test(many_streams_fit), cmocka_unit_test(one_key_for_all),
		cmocka_unit_test(hostile_clocks),
	};
	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
