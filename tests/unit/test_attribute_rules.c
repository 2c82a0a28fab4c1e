/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The join's rules one by one: for each the smallest run in which it decides, so that its removal is noticed. Both clocks are known to
 * the cycle here, so that nothing is left to bounds. */
#include "tests/fixtures/attribute_run.h"

#define NO WIRE_NO

/* submit queue issue | kick notice start | submit issue complete reap | done inject irq | complete reap. Another request that is out
 * while the one under test is; its kick is at 5, its notice at 8. */
static const struct wire_life other = { .at = { 0, 2, 4, 5, 8, 10, 15, 18, 900, 965, 970, 972, 980, 982, 985 }, .sector = 8000, .worker = 201, .id = 0 };
static const struct wire_life plain = { .at = { 0, 2, 4, 5, 8, 10, 15, 18, 60, 65, 70, 72, 80, 82, 85 }, .sector = 8000, .id = 0 };

static void is(const struct attribute_world *w, unsigned id, unsigned boundary, int us)
{
	const struct attributed *r = &w->got[id];
	bool seen = r->seen >> boundary & 1, suppressed = r->suppressed >> boundary & 1;
	uint64_t want = us == NO ? 0 : wire_guest(w->wire, WIRE_START + (uint64_t)us * WIRE_US);
	if (us == NO && (seen || !suppressed))
		fail_msg("request %u: %s did not happen, and is %s", id, boundary_name(boundary), seen ? "seen" : "not said to be so");
	if (us != NO && (!seen || suppressed || r->at[boundary] != want))
		fail_msg("request %u: %s is %s, %lld cycles off", id, boundary_name(boundary), seen ? "seen" : "not seen", (long long)(r->at[boundary] - want));
}

/* Every boundary as it was written; WIRE_NO is one that did not happen. */
static void all(const struct attribute_world *w, const struct wire_life *l)
{
	assert_int_equal(w->got[l->id].cause, CAUSE_MATCHED);
	assert_int_equal(w->got[l->id].violations, 0);
	for (unsigned b = 0; b < BOUNDARIES; b++)
		is(w, l->id, b, l->at[b]);
}

static void run(void **state, struct wire *wire, const struct wire_life *lives, size_t n)
{
	for (size_t i = 0; i < n; i++)
		wire_life(wire, WIRE_START, lives[i]);
	world_attribute(*state, wire);
}

/* ---- kick and notice ---- */

/* Where kicks cannot be seen at all, a notice older than the issue is still another's. */
static void a_notice_before_the_issue_is_anothers(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life a = other, b = { .at = { 20, 22, 24, NO, NO, 30, 35, 38, 100, 105, 110, 112, 120, 122, 125 }, .sector = 16, .id = 1 };
	a.at[AT_GUEST_KICK] = NO;
	run(state, wire, (struct wire_life[]){ a, b }, 2);
	is(w, 1, AT_HOST_NOTIFY, NO);
	is(w, 0, AT_HOST_NOTIFY, 8);
	assert_int_equal(w->got[1].suppressed, 1 << AT_HOST_NOTIFY);
	assert_int_equal(w->a->violations, 0);
	wire_free(wire);
}

/* Alone, without a kick (the VMM was still at its queue): the last notice was for the request before. */
static void a_stale_notice_is_no_violation(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life b = { .at = { 90, 92, 94, NO, NO, 100, 105, 108, 150, 155, 160, 162, 170, 172, 175 }, .sector = 16, .id = 1 };
	run(state, wire, (struct wire_life[]){ plain, b }, 2);
	all(w, &plain);
	all(w, &b);
	assert_int_equal(w->a->violations, 0);
	wire_free(wire);
}

/* But alone and with a kick it is a contradiction, and shown. */
static void alone_a_notice_before_the_kick_is_a_violation(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life b = { .at = { 90, 92, 94, 97, 93, 100, 105, 108, 150, 155, 160, 162, 170, 172, 175 }, .sector = 16, .id = 1 };
	run(state, wire, (struct wire_life[]){ plain, b }, 2);
	is(w, 1, AT_GUEST_KICK, 97);
	is(w, 1, AT_HOST_NOTIFY, 93);
	assert_int_equal(w->got[1].violations, 1);
	assert_non_null(strstr(w->a->violation_example, "request 1 "));
	assert_non_null(strstr(w->a->violation_example, "cross.kick"));
	wire_free(wire);
}

/* The VMM takes it before its kick is heard: the kick served nobody. */
static void no_notice_so_no_kick(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life b = { .at = { 20, 22, 24, 25, NO, 30, 35, 38, 100, 105, 110, 112, 120, 122, 125 }, .sector = 16, .id = 1 };
	run(state, wire, (struct wire_life[]){ other, b }, 2);
	b.at[AT_GUEST_KICK] = NO;
	all(w, &b);
	is(w, 0, AT_GUEST_KICK, 5);
	wire_free(wire);
}

/* A notice that another CPU's kick made: the request that kicked not is served by it, and has neither. */
static void no_kick_so_no_notice(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	unsigned cpu1 = wire_stream(wire, STREAM_GUEST + 1, VANTAGE_GUEST, STREAM_GUEST_TSC, 1);
	struct wire_life b = { .at = { 20, 22, 24, NO, NO, 30, 35, 38, 100, 105, 110, 112, 120, 122, 125 }, .sector = 16, .id = 1 };
	struct wire_life c = { .at = { 20, 22, 25, 26, 28, 31, 36, 39, 101, 106, 111, 113, 121, 123, 126 }, .sector = 32, .id = 2, .worker = 202,
			       .guest_stream = cpu1 };
	run(state, wire, (struct wire_life[]){ other, b, c }, 3);
	is(w, 1, AT_GUEST_KICK, NO);
	is(w, 1, AT_HOST_NOTIFY, NO);
	is(w, 2, AT_GUEST_KICK, 26);
	is(w, 2, AT_HOST_NOTIFY, 28);
	assert_int_equal(w->a->violations, 0);
	wire_free(wire);
}

static void a_kick_after_the_start_is_anothers(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	/* Issued at 24 without a kick; the CPU's next kick, at 40, is of c, issued at 39. */
	struct wire_life b = { .at = { 20, 22, 24, NO, NO, 30, 35, 38, 100, 105, 110, 112, 120, 122, 125 }, .sector = 16, .id = 1 };
	struct wire_life c = { .at = { 33, 34, 39, 40, 42, 44, 46, 49, 131, 136, 141, 143, 151, 153, 156 }, .sector = 32, .id = 2, .worker = 202 };
	run(state, wire, (struct wire_life[]){ other, b, c }, 3);
	all(w, &b);
	all(w, &c);
	wire_free(wire);
}

/* ---- a guest whose kernel is not seen ---- */

/* The application's place and time find the VMM's request; its phases stand, the guest's merge. What another job did at the same place later is not taken. */
static void without_the_guests_kernel_the_rest_stands(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life a = { .at = { 20, NO, NO, NO, 28, 30, 35, 38, 60, 65, 70, 72, NO, NO, 85 }, .sector = 16, .id = 0 };
	struct wire_life b = { .at = { 120, NO, NO, NO, 128, 130, 135, 138, 160, 165, 170, 172, NO, NO, 185 }, .sector = 16, .id = 1 };
	struct wire_life lost = { .at = { 220, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 285 }, .sector = 400, .id = 2 };
	run(state, wire, (struct wire_life[]){ a, b, lost }, 3);
	for (unsigned i = 0; i < 2; i++) {
		const struct attributed *r = &w->got[i];
		const struct wire_life *l = i ? &b : &a;
		assert_int_equal(r->cause, CAUSE_MATCHED);
		assert_int_equal(r->served, SERVED_DEVICE);
		for (unsigned k = 0; k < BOUNDARIES; k++)
			if (l->at[k] != NO)
				is(w, i, k, l->at[k]);
			else
				assert_false(r->seen >> k & 1 || r->suppressed >> k & 1);
	}
	assert_int_equal(w->got[2].cause, CAUSE_NO_VMM);
	assert_int_equal(w->a->violations, 0);
	wire_free(wire);
}

/* ---- injection and interrupt ---- */

/* The handler that the interrupt for another request started finds this one too, which was done after it. */
static void an_interrupt_before_the_end_is_anothers(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life a = { .at = { 0, 2, 4, 5, 8, 10, 15, 18, 50, 55, 60, 62, 70, 72, 75 }, .sector = 8000, .worker = 201, .id = 0 };
	struct wire_life b = { .at = { 20, 22, 24, 25, 28, 30, 35, 38, 60, 65, 71, NO, NO, 73, 76 }, .sector = 16, .id = 1 };
	run(state, wire, (struct wire_life[]){ a, b }, 2);
	all(w, &a);
	all(w, &b);
	assert_int_equal(w->a->violations, 0);
	wire_free(wire);
}

/* Alone it has no other: the contradiction is shown. */
static void alone_an_interrupt_before_the_end_is_a_violation(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life b = plain;
	b.at[AT_GUEST_IRQ] = 68;
	run(state, wire, &b, 1);
	is(w, 0, AT_GUEST_IRQ, 68);
	assert_int_equal(w->got[0].violations, 1);
	assert_non_null(strstr(w->a->violation_example, "cross.inject"));
	wire_free(wire);
}

/* The interrupt under way when it was done served it; the message sent for it came too late for anything. */
static void an_injection_after_the_interrupt_is_of_no_use(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life a = { .at = { 0, 2, 4, 5, 8, 10, 15, 18, 50, 55, 60, 62, 70, 72, 75 }, .sector = 8000, .worker = 201, .id = 0 };
	struct wire_life b = { .at = { 20, 22, 24, 25, 28, 30, 35, 38, 60, 61, 64, 71, NO, 73, 76 }, .sector = 16, .id = 1 };
	run(state, wire, (struct wire_life[]){ a, b }, 2);
	is(w, 1, AT_GUEST_IRQ, 70);
	is(w, 1, AT_IRQ_INJECT, NO);
	all(w, &a);
	assert_int_equal(w->a->violations, 0);
	wire_free(wire);
}

/* ---- epochs ---- */

static void what_lies_beside_its_epoch_is_quarantined(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life before = plain, across = plain, after = plain;
	before.id = 0;
	across.id = 1;
	after.id = 2;
	wire->epoch[0].last = WIRE_START + 2040 * WIRE_US;
	wire_see(wire, WIRE_MARKS, WIRE_START + 2050 * WIRE_US, wire_plain(SIGHT_STOPPED, VM_MARK_STOP, 0));
	wire_life(wire, WIRE_START, before);
	wire_life(wire, WIRE_START + 2000 * WIRE_US, across);
	wire_life(wire, WIRE_START + 4000 * WIRE_US, after);
	world_attribute(w, wire);
	assert_int_equal(w->got[0].cause, CAUSE_MATCHED);
	assert_int_equal(w->got[1].cause, CAUSE_EPOCH);
	assert_int_equal(w->got[2].cause, CAUSE_EPOCH);
	assert_int_equal(w->got[2].seen, 1 << AT_APP_SUBMIT | 1 << AT_APP_REAP);
	wire_free(wire);
}

/* Nothing is known to have broken the clock before the first observation and after the last one. */
static void the_outer_epochs_reach_to_the_ends(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life before = plain, after = plain;
	after.id = 1;
	wire->epoch[0].first = WIRE_START + 1000 * WIRE_US;
	wire->epoch[0].last = WIRE_START + 2000 * WIRE_US;
	wire_life(wire, WIRE_START, before);
	wire_life(wire, WIRE_START + 4000 * WIRE_US, after);
	world_attribute(w, wire);
	assert_int_equal(w->got[0].cause, CAUSE_MATCHED);
	assert_int_equal(w->got[1].cause, CAUSE_MATCHED);
	wire_free(wire);
}

/* The application's stamps lie in the epoch; one that was joined does not. */
static void a_joined_stamp_beside_the_epoch_quarantines(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life b = plain;
	b.at[AT_DEVICE_DONE] = 300;
	b.at[AT_IRQ_INJECT] = NO;
	wire->epoch[0].last = WIRE_START + 200 * WIRE_US;
	wire_see(wire, WIRE_MARKS, WIRE_START + 250 * WIRE_US, wire_plain(SIGHT_STOPPED, VM_MARK_STOP, 0));
	run(state, wire, &b, 1);
	assert_int_equal(w->got[0].cause, CAUSE_EPOCH);
	assert_int_equal(w->got[0].violations, 0);
	wire_free(wire);
}

/* ---- keys ---- */

/* QEMU gave a request's address to the next one; the end of the first was not seen. */
static void a_key_used_again_retires_its_request(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life a = plain, b = plain;
	a.key = b.key = 0x77;
	a.at[AT_DEVICE_DONE] = a.at[AT_IRQ_INJECT] = NO;
	b.sector = 16;
	b.id = 1;
	wire_life(wire, WIRE_START, a);
	wire_life(wire, WIRE_START + 100 * WIRE_US, b);
	world_attribute(w, wire);
	assert_int_equal(w->got[0].cause, CAUSE_NO_COMPLETION);
	assert_int_equal(w->got[1].cause, CAUSE_MATCHED);
	is(w, 1, AT_DEVICE_DONE, 170);
	wire_free(wire);
}

/* The same for what goes to a worker: where the host is not traced, its end is the only word of it. */
static void a_submission_used_again_is_another(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life a = plain, b = plain;
	a.key = b.key = 0x77;
	a.at[AT_DEVICE_DONE] = a.at[AT_IRQ_INJECT] = NO;
	for (unsigned k = AT_HOST_SUBMIT; k <= AT_HOST_REAP; k++)
		a.at[k] = b.at[k] = NO;
	b.sector = 16;
	b.id = 1;
	wire_attr(wire, "vantage.host", "absent: made so");
	wire_life(wire, WIRE_START, a);
	wire_life(wire, WIRE_START + 100 * WIRE_US, b);
	world_attribute(w, wire);
	assert_int_equal(w->got[1].cause, CAUSE_MATCHED);
	assert_int_equal(w->got[1].kind[AT_HOST_REAP], SIGHT_V_POOL_COMPLETE);
	assert_true(w->got[1].at[AT_HOST_REAP] == wire_guest(wire, WIRE_START + 170 * WIRE_US - 20));
	wire_free(wire);
}

/* ---- violations ---- */

/* Each span is counted: the device's start after the system call, its end after the interrupt. The end lies after the guest's
 * completion too, which certainly follows it: that contradicts the epoch, and is counted once beside them. */
static void violations_are_counted_by_span(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life b = plain;
	b.at[AT_DEVICE_START] = 17;
	b.at[AT_DEVICE_DONE] = 90;
	run(state, wire, &b, 1);
	assert_int_equal(w->got[0].cause, CAUSE_MATCHED);
	assert_int_equal(w->got[0].violations, 2);
	assert_int_equal(w->a->violations, 3);
	assert_non_null(strstr(w->a->violation_example, "vmm.submit"));
	assert_true(w->a->example[EXAMPLE_VIOLATION].there);
	wire_free(wire);
}

/* ---- merges, splits, requeues, flushes ---- */

static struct sighting on_disk(unsigned kind, uint64_t sector, uint32_t length, unsigned op)
{
	struct sighting s = wire_place(kind, 0, WIRE_JOB, sector, length, op);
	s.device = WIRE_GDEV;
	return s;
}

/* Two bios, one request: both find it, with their own submission and queueing. */
static void a_request_takes_its_bios(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life whole = { .at = { 1, NO, 6, 7, 9, 11, 15, 18, 60, 65, 70, 72, 80, 82, 85 }, .sector = 16, .length = 8192, .id = 0 };
	wire_life(wire, WIRE_START, whole);
	wire->ios = 0;
	for (unsigned i = 0; i < 2; i++) {
		wire_see(wire, WIRE_G0, WIRE_START + (2 + 2 * i) * WIRE_US, on_disk(SIGHT_G_QUEUE, 16 + 8 * i, 4096, IO_READ));
		wire_io(wire, WIRE_START + (1 + 2 * i) * WIRE_US, WIRE_START + (85 + i) * WIRE_US,
			(struct io_record){ .sector = 16 + 8 * i, .length = 4096, .result = 4096 }, i);
	}
	world_attribute(w, wire);
	for (unsigned i = 0; i < 2; i++) {
		struct wire_life l = whole;
		l.id = i;
		l.at[AT_APP_SUBMIT] = 1 + 2 * (int)i;
		l.at[AT_GUEST_QUEUE] = 2 + 2 * (int)i;
		l.at[AT_APP_REAP] = 85 + (int)i;
		all(w, &l);
		assert_int_equal(w->got[i].shared, 2);
		assert_int_equal(w->got[i].served, SERVED_DEVICE);
	}
	assert_int_equal(w->a->merges, 2);
	wire_free(wire);
}

static void a_requeued_request_counts_from_its_last_issue(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life b = { .at = { 0, 1, 9, 10, 12, 14, 16, 18, 60, 65, 70, 72, 80, 82, 85 }, .sector = 16 };
	wire_see(wire, WIRE_G0, WIRE_START + 3 * WIRE_US, on_disk(SIGHT_G_ISSUE, 16, 4096, IO_READ));
	wire_see(wire, WIRE_G0, WIRE_START + 4 * WIRE_US, on_disk(SIGHT_G_REQUEUE, 16, 4096, IO_READ));
	run(state, wire, &b, 1);
	all(w, &b);
	assert_int_equal(w->got[0].requeues, 1);
	assert_int_equal(w->a->requeues, 1);
	wire_free(wire);
}

/* One I/O, two requests: the boundaries are those of the one that ended last. */
static void a_split_shows_the_part_that_ended_last(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life first = { .at = { 0, NO, 3, 4, 6, 8, 12, 14, 50, 55, 60, 62, 70, 72, 0 }, .sector = 16, .worker = 201 };
	struct wire_life second = { .at = { 0, NO, 80, 81, 83, 85, 87, 89, 120, 125, 130, 132, 140, 142, 150 }, .sector = 24, .id = 0 };
	wire_life(wire, WIRE_START, first);
	wire_life(wire, WIRE_START, second);
	wire->ios = 0;
	wire_see(wire, WIRE_G0, WIRE_START + 1 * WIRE_US, on_disk(SIGHT_G_QUEUE, 16, 8192, IO_READ));
	wire_see(wire, WIRE_G0, WIRE_START + 2 * WIRE_US, on_disk(SIGHT_G_SPLIT, 16, 4096, IO_READ));
	wire_io(wire, WIRE_START, WIRE_START + 150 * WIRE_US, (struct io_record){ .sector = 16, .length = 8192, .result = 8192 }, 0);
	world_attribute(w, wire);
	second.at[AT_GUEST_QUEUE] = 1;
	all(w, &second);
	assert_int_equal(w->got[0].children, 2);
	assert_int_equal(w->a->splits, 1);
	wire_free(wire);
}

/* ---- bios refused, flushes, rings, a driver of the host that gives back ---- */

/* io_uring asked not to wait, was refused, and asked again: one request, and its bio is the later one. */
static void a_refused_bio_is_queued_again(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life b = plain;
	wire_see(wire, WIRE_G0, WIRE_START + 1 * WIRE_US, on_disk(SIGHT_G_QUEUE, 8000, 4096, IO_READ));
	run(state, wire, &b, 1);
	all(w, &b);
	wire_free(wire);
}

static void flush_see(struct wire *wire, unsigned stream, int us, unsigned kind, uint64_t key, uint32_t thread, uint32_t device)
{
	struct sighting s = wire_plain(kind, key, thread);
	s.op = sight_vantage(kind) == VANTAGE_VMM ? SIGHT_OP_NONE : IO_FLUSH;
	s.device = device;
	wire_see(wire, stream, WIRE_START + (uint64_t)us * WIRE_US, s);
}

/* Two wait when the request is issued, a third comes later: it is served by the next one, whatever its own time would allow. */
static void a_flush_serves_those_that_waited(void **state)
{
	static const int queue[] = { 2, 3, 12 }, issue[] = { 5, 50 };
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	for (int i = 0; i < 3; i++)
		flush_see(wire, WIRE_G0, queue[i], SIGHT_G_QUEUE, 0, WIRE_JOB, WIRE_GDEV);
	for (int i = 0; i < 2; i++) {
		flush_see(wire, WIRE_G0, issue[i], SIGHT_G_ISSUE, 0, WIRE_JOB, WIRE_GDEV);
		flush_see(wire, WIRE_VMM, issue[i] + 5, SIGHT_V_POOL_SUBMIT, 0x900, WIRE_MAIN, 0);
		flush_see(wire, WIRE_HOST, issue[i] + 7, SIGHT_H_ENTER, SIGHT_SYS_fdatasync, WIRE_WORKER, 11);
		flush_see(wire, WIRE_HOST, issue[i] + 20, SIGHT_H_EXIT, SIGHT_SYS_fdatasync, WIRE_WORKER, 0);
		flush_see(wire, WIRE_VMM, issue[i] + 22, SIGHT_V_POOL_COMPLETE, 0x900, WIRE_MAIN, 0);
		flush_see(wire, WIRE_VMM, issue[i] + 24, SIGHT_V_DONE, 0x5000, WIRE_MAIN, 0);
		flush_see(wire, WIRE_G0, issue[i] + 30, SIGHT_G_COMPLETE, 0, 0, WIRE_GDEV);
	}
	wire_attr(wire, "workload.iodepth", "4");
	for (unsigned i = 0; i < 3; i++)
		wire_io(wire, WIRE_START + (i < 2 ? i : 1) * WIRE_US, WIRE_START + (i < 2 ? 40 + i : 90) * WIRE_US, (struct io_record){ .op = IO_FLUSH }, i);
	world_attribute(w, wire);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(w->got[i].cause, CAUSE_MATCHED);
		is(w, i, AT_GUEST_ISSUE, issue[i / 2]);
		is(w, i, AT_HOST_SUBMIT, issue[i / 2] + 7);
		is(w, i, AT_DEVICE_DONE, issue[i / 2] + 24);
	}
	assert_int_equal(w->got[0].shared, 2);
	assert_int_equal(w->a->violations, 0);
	wire_free(wire);
}

/* Two requests go down in one call of a ring, and are reaped the other way round: the extent tells whose bio is whose. */
static void a_rings_bios_are_told_apart(void **state)
{
	enum { CALLS = 8 };
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	for (int i = 0; i < CALLS; i++) {
		uint64_t zero = WIRE_START + (uint64_t)i * 1000 * WIRE_US, sector = 800 * (uint64_t)(i * i + 1);
		struct wire_life a = { .at = { 0, 2, 4, 6, 8, 10, NO, NO, NO, NO, 80, 82, 90, 92, 99 }, .sector = sector, .id = (unsigned)i * 2 };
		struct wire_life b = { .at = { 1, 3, 5, NO, NO, 11, NO, NO, NO, NO, 70, 72, 75, 77, 79 }, .sector = sector + 16 + 8 * (uint64_t)i,
				       .id = (unsigned)i * 2 + 1 };
		wire_life(wire, zero, a);
		wire_life(wire, zero, b);
		struct sighting call = wire_plain(SIGHT_H_ENTER, SIGHT_SYS_io_submit, WIRE_MAIN);
		wire_see(wire, WIRE_HOST, zero + 13 * WIRE_US, call);
		const struct wire_life *l[] = { &a, &b };
		for (int k = 0; k < 2; k++) {
			struct sighting s = wire_place(SIGHT_H_QUEUE, 0, WIRE_MAIN, l[k]->sector + 123456, 4096, IO_READ);
			s.device = WIRE_HDEV;
			wire_see(wire, WIRE_HOST, zero + (14 + (uint64_t)k) * WIRE_US, s);
			s.kind = SIGHT_H_ISSUE;
			wire_see(wire, WIRE_HOST, zero + (16 + (uint64_t)k) * WIRE_US, s);
			s.kind = SIGHT_H_COMPLETE;
			wire_see(wire, WIRE_HOST, zero + (60 - 10 * (uint64_t)k) * WIRE_US, s);
		}
		call.kind = SIGHT_H_EXIT;
		wire_see(wire, WIRE_HOST, zero + 20 * WIRE_US, call);
	}
	world_attribute(w, wire);
	for (unsigned i = 0; i < 2 * CALLS; i++) {
		uint64_t want = wire_guest(wire, WIRE_START + (i / 2 * 1000 + (i % 2 ? 50 : 60)) * WIRE_US);
		assert_int_equal(w->got[i].cause, CAUSE_MATCHED);
		assert_true(w->got[i].at[AT_HOST_COMPLETE] == want);
	}
	assert_int_equal(w->a->violations, 0);
	wire_free(wire);
}

/* ---- a VMM that asks the host's kernel for nothing we know ---- */

/* Its disk lies on a network: the host is traced, and no request has a call of its own. They are the VMM's, not unmatched. */
static void a_vmm_without_calls_serves_by_itself(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life b = { .at = { 20, 22, 24, 25, 28, 30, NO, NO, NO, NO, 70, 72, 80, 82, 85 }, .sector = 16, .id = 0 };
	const uint64_t key = 0x100010, start = WIRE_START + 30 * WIRE_US;
	wire_guest_life(wire, WIRE_START, &b, 4096);
	wire_see(wire, WIRE_VMM, start - 2 * WIRE_US, wire_plain(SIGHT_V_NOTIFY, WIRE_VQUEUE, WIRE_MAIN));
	wire_see(wire, WIRE_VMM, start, wire_place(SIGHT_V_START, key, WIRE_MAIN, b.sector, 4096, IO_READ));
	wire_see(wire, WIRE_VMM, start + 10, wire_place(SIGHT_V_BLK, 0x99, WIRE_MAIN, b.sector, 4096, IO_READ));
	wire_see(wire, WIRE_VMM, start + 40 * WIRE_US, wire_plain(SIGHT_V_DONE, key, WIRE_MAIN));
	wire_see(wire, WIRE_VMM, start + 42 * WIRE_US, wire_plain(SIGHT_V_INJECT, WIRE_VQUEUE, WIRE_MAIN));
	wire_see(wire, WIRE_HOST, start + 5 * WIRE_US, wire_plain(SIGHT_H_WAKING, 77, WIRE_MAIN));
	wire_io(wire, WIRE_START + 20 * WIRE_US, WIRE_START + 85 * WIRE_US, (struct io_record){ .sector = b.sector, .length = 4096, .result = 4096 }, 0);
	world_attribute(w, wire);
	assert_int_equal(w->got[0].cause, CAUSE_MATCHED);
	assert_int_equal(w->got[0].served, SERVED_VMM);
	is(w, 0, AT_DEVICE_START, 30);
	is(w, 0, AT_DEVICE_DONE, 70);
	wire_free(wire);
}

/* The host's driver had no room, and the request was issued twice: the next one at that place is not mistaken for it. */
static void the_host_issues_again(void **state)
{
	struct attribute_world *w = *state;
	struct wire *wire = wire_new();
	struct wire_life a = plain, b = plain;
	struct sighting s = wire_place(SIGHT_H_ISSUE, 0, WIRE_WORKER, a.sector + 123456, 4096, IO_READ);
	s.device = WIRE_HDEV;
	wire_see(wire, WIRE_HOST, WIRE_START + 17 * WIRE_US, s);
	b.id = 1;
	wire_life(wire, WIRE_START, a);
	wire_life(wire, WIRE_START + 1000 * WIRE_US, b);
	world_attribute(w, wire);
	all(w, &a);
	for (unsigned i = 0; i < 2; i++)
		assert_true(w->got[i].at[AT_HOST_COMPLETE] == wire_guest(wire, WIRE_START + (i * 1000 + 60) * WIRE_US));
	wire_free(wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_notice_before_the_issue_is_anothers), cmocka_unit_test(a_stale_notice_is_no_violation),
		cmocka_unit_test(alone_a_notice_before_the_kick_is_a_violation), cmocka_unit_test(no_notice_so_no_kick),
		cmocka_unit_test(no_kick_so_no_notice), cmocka_unit_test(a_kick_after_the_start_is_anothers),
		cmocka_unit_test(an_interrupt_before_the_end_is_anothers), cmocka_unit_test(alone_an_interrupt_before_the_end_is_a_violation),
		cmocka_unit_test(an_injection_after_the_interrupt_is_of_no_use), cmocka_unit_test(what_lies_beside_its_epoch_is_quarantined),
		cmocka_unit_test(a_joined_stamp_beside_the_epoch_quarantines), cmocka_unit_test(a_key_used_again_retires_its_request),
		cmocka_unit_test(a_submission_used_again_is_another), cmocka_unit_test(violations_are_counted_by_span),
		cmocka_unit_test(a_request_takes_its_bios), cmocka_unit_test(a_requeued_request_counts_from_its_last_issue),
		cmocka_unit_test(a_split_shows_the_part_that_ended_last), cmocka_unit_test(the_outer_epochs_reach_to_the_ends),
		cmocka_unit_test(a_refused_bio_is_queued_again), cmocka_unit_test(a_flush_serves_those_that_waited),
		cmocka_unit_test(a_rings_bios_are_told_apart), cmocka_unit_test(the_host_issues_again),
		cmocka_unit_test(a_vmm_without_calls_serves_by_itself),
		cmocka_unit_test(without_the_guests_kernel_the_rest_stands),
	};
	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
