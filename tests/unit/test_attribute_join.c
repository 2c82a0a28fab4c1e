/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The join against a made-up machine whose truth is known: every boundary, every suppression, every cause. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <unistd.h>

#include "attribute/attribute.h"
#include "tests/fixtures/attribute_world.h"

struct world {
	char dir[64];
	struct store *s;
	struct error err;
	struct attribution *a;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	snprintf(w->dir, sizeof(w->dir), "/tmp/bifocal-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->s = store_open(w->dir, STORE_WRITE, &w->err);
	if (!w->s)
		fail_msg("%s", w->err.text);
	w->a = calloc(1, sizeof(*w->a));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char command[128];
	store_close(w->s);
	snprintf(command, sizeof(command), "rm -rf %s", w->dir);
	int r = system(command);
	free(w->a);
	free(w);
	return r;
}

struct check {
	struct sim *sim;
	size_t at;
	unsigned causes[CAUSES];
	bool exact;                    /* compare everything with the truth */
	unsigned victims_cause, borrowed;
	uint64_t victim_submit;
};

static void compare(const struct sim *w, const struct sim_truth *t, const struct attributed *r, unsigned *borrowed)
{
	double ratio = tsc_scale_ratio(w->scale);
	for (unsigned b = 0; b < BOUNDARIES; b++) {
		bool seen = r->seen >> b & 1, suppressed = r->suppressed >> b & 1;
		/* Another's kick or injection that fits within the bounds cannot be told from its own. */
		if (seen && !t->host[b] && (b == AT_GUEST_KICK || b == AT_HOST_NOTIFY || b == AT_IRQ_INJECT)) {
			*borrowed += 1;
			continue;
		}
		if (seen != (t->host[b] != 0) || suppressed == seen)
			fail_msg("request %llu: %s: seen %d, suppressed %d, in truth %d", (unsigned long long)r->index, boundary_name(b), seen,
				 suppressed, t->host[b] != 0);
		if (!seen)
			continue;
		uint64_t truth = sim_guest(w, t->host[b]), off = r->at[b] > truth ? r->at[b] - truth : truth - r->at[b];
		uint64_t bound = boundary_in_guest(b) ? 0 : r->offset_err + r->own[b] + 2;
		if (off > bound)
			fail_msg("request %llu: %s is off by %llu cycles, bound %llu (ratio %g)", (unsigned long long)r->index, boundary_name(b),
				 (unsigned long long)off, (unsigned long long)bound, ratio);
	}
}

static int check_one(void *ctx, const struct attributed *r)
{
	struct check *c = ctx;
	const struct sim_truth *t = &c->sim->truth[c->at];
	assert_int_equal(r->index, c->at);
	assert_int_equal(r->io.submit, t->io.submit);
	c->causes[r->cause]++;
	if (t->io.submit == c->victim_submit)
		c->victims_cause = r->cause;
	if (c->exact) {
		if (r->cause != CAUSE_MATCHED)
			fail_msg("request %zu: %s", c->at, cause_name(r->cause));
		assert_int_equal(r->served, SERVED_DEVICE);
		compare(c->sim, t, r, &c->borrowed);
	}
	c->at++;
	return 0;
}

static void attribute(struct world *w, struct sim *sim, struct check *c)
{
	uint64_t run = sim_write(sim, w->s);
	c->sim = sim;
	if (attribute_run(w->s, run, check_one, c, w->a, &w->err))
		fail_msg("%s", w->err.text);
	assert_int_equal(c->at, sim->n);
	assert_int_equal(w->a->residual_max, 0);
	assert_true(w->a->peak_bytes <= 64 << 20);
}

static void truth_is_found(struct world *w, struct sim sim)
{
	struct check c = { .exact = true, .victim_submit = UINT64_MAX };
	sim.victim = UINT_MAX;
	attribute(w, &sim, &c);
	assert_int_equal(w->a->matched, sim.n);
	assert_int_equal(w->a->violations, 0);
	assert_true(sim.depth == 1 || (sim.suppressed_kicks && sim.suppressed_injects));
	uint64_t told = w->a->suppressed[AT_GUEST_KICK] + w->a->suppressed[AT_HOST_NOTIFY] + w->a->suppressed[AT_IRQ_INJECT];
	assert_int_equal(told + c.borrowed, 2 * sim.suppressed_kicks + sim.suppressed_injects);
	if (c.borrowed > sim.n / 5)
		fail_msg("%u of %u are borrowed", c.borrowed, sim.n);
	assert_int_equal(w->a->epoch[0].tier, TIER_CAUSAL);
	/* The true offset lies in what is left of the interval, and less is left than was stored. */
	assert_true((uint64_t)sim.offset - (uint64_t)w->a->epoch[0].lo <= (uint64_t)w->a->epoch[0].hi - (uint64_t)w->a->epoch[0].lo);
	assert_true((uint64_t)w->a->epoch[0].hi - (uint64_t)w->a->epoch[0].lo < 2 * sim.epoch_half);
	sim_free(&sim);
}

static void one_at_a_time(void **state)
{
	truth_is_found(*state, (struct sim){ .depth = 1, .n = 4000, .seed = 1, .offset = -4000000000000, .epoch_half = 50 * SIM_US });
}

static void many_at_a_time(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		truth_is_found(*state, (struct sim){ .depth = 32, .n = 4000, .seed = seed, .offset = 12345678901, .epoch_half = 50 * SIM_US });
}

static void a_scaled_clock(void **state)
{
	truth_is_found(*state, (struct sim){ .depth = 8, .n = 4000, .seed = 5, .offset = INT64_MIN + 77, .epoch_half = 50 * SIM_US,
					     .scale = { (1ull << 48) + (1ull << 44), 48 } });
}

/* Each cause, by one fault at one request. */
static void causes(void **state)
{
	static const struct { int fault; unsigned cause; } cases[] = {
		{ SIM_NO_GUEST, CAUSE_NO_GUEST }, { SIM_NO_VMM, CAUSE_NO_VMM }, { SIM_NO_HOST, CAUSE_NO_HOST },
		{ SIM_NO_DONE, CAUSE_NO_COMPLETION }, { SIM_LOST, CAUSE_OVERRUN }, { SIM_STOPPED, CAUSE_EPOCH },
		{ SIM_FAILED, CAUSE_ERROR }, { SIM_RAMP, CAUSE_OUTSIDE },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sim sim = { .depth = 1, .n = 500, .seed = 9, .victim = 250, .epoch_half = 20 * SIM_US, .offset = 5 };
		struct check c = { .victim_submit = 0 };
		sim.fault = (__typeof__(sim.fault))cases[i].fault;
		uint64_t run = sim_write(&sim, ((struct world *)*state)->s);
		struct world *w = *state;
		c.sim = &sim;
		c.victim_submit = sim.truth[250].io.submit;
		if (attribute_run(w->s, run, check_one, &c, w->a, &w->err))
			fail_msg("%s", w->err.text);
		if (c.victims_cause != cases[i].cause)
			fail_msg("fault %d: the request is %s, not %s", cases[i].fault, cause_name(c.victims_cause), cause_name(cases[i].cause));
		if (c.causes[cases[i].cause] != 1)
			fail_msg("fault %d: %u requests are %s", cases[i].fault, c.causes[cases[i].cause], cause_name(cases[i].cause));
		assert_int_equal(c.causes[CAUSE_MATCHED], sim.n - 1);
		sim_free(&sim);
	}
}

/* Two alike that are out at once and end together: both say so. */
static void twins_are_ambiguous(void **state)
{
	struct world *w = *state;
	unsigned ambiguous = 0;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct sim sim = { .depth = 16, .n = 200, .seed = seed, .victim = 100, .fault = SIM_TWINS, .epoch_half = 20 * SIM_US };
		struct check c = { .victim_submit = UINT64_MAX };
		attribute(w, &sim, &c);
		assert_in_range(w->a->unmatched[CAUSE_AMBIGUOUS], 0, 2);
		assert_int_equal(w->a->matched + w->a->unmatched[CAUSE_AMBIGUOUS], sim.n);
		ambiguous += w->a->unmatched[CAUSE_AMBIGUOUS] > 0;
		sim_free(&sim);
	}
	assert_true(ambiguous > 0);
}

/* What contradicts its bounds is counted and shown, not clipped: a completion in the VMM after the guest's own; at depth 1, where
 * nobody else's kick can have started it, a kick after the start. */
static void violations_are_shown(void **state)
{
	static const int faults[] = { SIM_LATE_DONE, SIM_LATE_KICK };
	struct world *w = *state;
	for (int i = 0; i < 2; i++) {
		struct sim sim = { .depth = 1, .n = 500, .seed = 4, .victim = 250, .epoch_half = 20 * SIM_US };
		struct check c = { .victim_submit = UINT64_MAX };
		sim.fault = (__typeof__(sim.fault))faults[i];
		attribute(w, &sim, &c);
		assert_true(w->a->violations >= 1);
		assert_true(w->a->violation_example[0] != 0);
		sim_free(&sim);
	}
}

static void nothing_is_stitched_across_a_break(void **state)
{
	struct world *w = *state;
	struct sim sim = { .depth = 16, .n = 3000, .seed = 6, .victim = UINT_MAX, .fault = SIM_TWO_EPOCHS, .epoch_half = 20 * SIM_US };
	struct check c = { .victim_submit = UINT64_MAX };
	attribute(w, &sim, &c);
	assert_in_range(w->a->quarantined, 1, 64);
	assert_int_equal(w->a->epochs, 2);
	assert_int_equal(w->a->violations, 0);
	for (unsigned i = 0; i < sim.n; i++) {
		const uint64_t *h = sim.truth[i].host;
		c.causes[CAUSE_EPOCH] -= h[AT_APP_SUBMIT] < sim.stop_at && h[AT_APP_REAP] >= sim.stop_at;
	}
	/* Those across it, all of them, and those whose stamps cannot be told from it. */
	assert_in_range(c.causes[CAUSE_EPOCH], 0, 32);
	sim_free(&sim);
}

static void vantages_may_be_absent(void **state)
{
	struct world *w = *state;
	for (int i = 1; i < 4; i++) {
		struct sim sim = { .depth = 4, .n = 1000, .seed = 8, .victim = UINT_MAX, .epoch_half = 20 * SIM_US, .no_vmm = i & 1, .no_host = i & 2 };
		struct check c = { .victim_submit = UINT64_MAX };
		attribute(w, &sim, &c);
		assert_int_equal(w->a->matched, sim.n);
		assert_int_equal(w->a->violations, 0);
		assert_int_equal(w->a->vantage[VANTAGE_VMM].there, !sim.no_vmm);
		if (sim.no_vmm)
			assert_string_equal(w->a->absent[AT_DEVICE_START], "absent: made so");
		if (sim.no_vmm && sim.no_host)
			assert_int_equal(w->a->served[SERVED_UNKNOWN], sim.n);
		sim_free(&sim);
	}
}

struct kvm_check { const struct sim *sim; size_t at; unsigned notices, messages; };

static int check_kvm(void *ctx, const struct attributed *r)
{
	static const struct { unsigned boundary, kind; } own[] = { { AT_HOST_NOTIFY, SIGHT_H_KVM_MMIO }, { AT_IRQ_INJECT, SIGHT_H_KVM_INJECT } };
	struct kvm_check *c = ctx;
	const struct sim_truth *t = &c->sim->truth[c->at++];
	for (int i = 0; i < 2; i++) {
		unsigned b = own[i].boundary;
		if (!t->host[b])
			continue;
		assert_true(r->seen >> b & 1);
		if (r->kind[b] != own[i].kind)
			fail_msg("request %zu: %s is %s's", c->at - 1, boundary_name(b), sight_name(r->kind[b]));
		uint64_t truth = sim_guest(c->sim, t->host[b]), off = r->at[b] > truth ? r->at[b] - truth : truth - r->at[b];
		assert_in_range(off, 0, r->offset_err);
		*(i ? &c->messages : &c->notices) += 1;
	}
	return 0;
}

/* The exit of the kick and the message of the injection are the host's, to the cycle, whatever else traps and is injected. */
static void kvm_is_sharper_than_a_log(void **state)
{
	static const uint64_t halves[] = { 0, 2 * SIM_US };
	struct world *w = *state;
	for (unsigned depth = 1; depth <= 16; depth *= 16) {
		for (int i = 0; i < 2; i++) {
			struct sim sim = { .depth = depth, .n = 2000, .seed = 3, .victim = UINT_MAX, .epoch_half = halves[i], .kvm = true, .offset = -77 };
			struct kvm_check c = { .sim = &sim };
			uint64_t run = sim_write(&sim, w->s);
			if (attribute_run(w->s, run, check_kvm, &c, w->a, &w->err))
				fail_msg("%s", w->err.text);
			assert_int_equal(w->a->matched, sim.n);
			assert_int_equal(w->a->violations, 0);
			assert_int_equal(c.notices, sim.n - sim.suppressed_kicks);
			assert_int_equal(c.messages, sim.n - sim.suppressed_injects);
			sim_free(&sim);
		}
	}
}

static void the_same_twice(void **state)
{
	struct world *w = *state;
	struct sim sim = { .depth = 16, .n = 2000, .seed = 2, .victim = UINT_MAX, .epoch_half = 20 * SIM_US };
	struct wbuf one, two;
	uint64_t run = sim_write(&sim, w->s);
	wbuf_heap(&one, 4 << 20);
	wbuf_heap(&two, 4 << 20);
	assert_int_equal(attribute_run(w->s, run, NULL, NULL, w->a, &w->err), 0);
	attribution_pack(&one, w->a);
	assert_int_equal(attribute_run(w->s, run, NULL, NULL, w->a, &w->err), 0);
	attribution_pack(&two, w->a);
	assert_false(one.bad);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.p, two.p, one.len);
	wbuf_fini(&one);
	wbuf_fini(&two);
	sim_free(&sim);
}

/* Sightings of every kind with any values in streams of any clock: no crash, no end of memory, every I/O given once. */
static void hostile_stores(void **state)
{
	struct world *w = *state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct sim sim = { .depth = 4, .n = 400, .seed = seed, .victim = UINT_MAX, .epoch_half = seed % 3 ? 20 * SIM_US : UINT64_MAX / 5 };
		struct check c = { .victim_submit = UINT64_MAX };
		struct error err = { 0 };
		uint64_t run = sim_write(&sim, w->s);
		struct store_batch *b = store_batch_new(w->s, &err);
		for (uint16_t k = 0; k < 24; k++) {
			static struct sighting s[SIGHT_CHUNK];
			size_t n = 0;
			while (n < 1000) {
				s[n] = (struct sighting){ .time = sim_next(&sim) >> sim_next(&sim) % 60, .sector = sim_next(&sim) >> sim_next(&sim) % 64,
					.key = sim_next(&sim) >> sim_next(&sim) % 64, .length = (uint32_t)(sim_next(&sim) >> sim_next(&sim) % 64),
					.thread = (uint32_t)sim_next(&sim) % 5, .device = (uint32_t)sim_next(&sim) % 3, .kind = (uint16_t)(sim_next(&sim) % 256),
					.op = (uint8_t)(sim_next(&sim) % 4), .flags = (uint8_t)(sim_next(&sim) % 2) };
				if (k % 2 && n)
					s[n].time = s[n - 1].time + s[n].time % 10000;
				n += sight_vantage(s[n].kind) != 0;
			}
			struct wbuf p;
			wbuf_heap(&p, SIGHT_CHUNK_BYTES);
			sights_pack(&p, s, n);
			assert_false(p.bad);
			struct store_stream st = { .stream = (uint16_t)(k * 2000 + 7), .vantage = (uint8_t)(1 + k % 4), .clock = (uint8_t)(1 + sim_next(&sim) % 4),
						   .cpu = (uint32_t)sim_next(&sim), .events = n };
			sim_must(put_sight_chunk(b, run, st.stream, 0, (struct span){ p.p, p.len }, &err), &err);
			sim_must(put_stream(b, run, &st, &err), &err);
			wbuf_fini(&p);
		}
		sim_must(store_commit(b, &err), &err);
		store_batch_free(b);
		c.sim = &sim;
		if (attribute_run(w->s, run, check_one, &c, w->a, &err))
			fail_msg("%s", err.text);
		assert_int_equal(c.at, sim.n);
		assert_int_equal(w->a->residual_max, 0);
		sim_free(&sim);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_at_a_time), cmocka_unit_test(many_at_a_time), cmocka_unit_test(a_scaled_clock),
		cmocka_unit_test(causes), cmocka_unit_test(twins_are_ambiguous), cmocka_unit_test(violations_are_shown),
		cmocka_unit_test(nothing_is_stitched_across_a_break), cmocka_unit_test(vantages_may_be_absent),
		cmocka_unit_test(kvm_is_sharper_than_a_log), cmocka_unit_test(the_same_twice), cmocka_unit_test(hostile_stores),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
