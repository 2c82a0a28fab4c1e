/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The join against a machine with several of everything, whose truth is known.
 *
 * With both clocks known to the cycle all is recoverable, and is compared exactly: every boundary that happened is seen at its time, every
 * other is not (but for what compare() says of queues). With bounds it is less: an event of another request that lies within the bounds of this one's own stamps cannot be told from
 * its own. What holds then is that nothing that happened is missing or off by more than its bound, that only kick, notice, injection and
 * interrupt may be another's, that these fit, and that no span contradicts its bound.
 */
#include "tests/fixtures/attribute_machine.h"
#include "tests/fixtures/attribute_run.h"

static bool shared_kind(unsigned b)
{
	return b == AT_GUEST_KICK || b == AT_HOST_NOTIFY || b == AT_IRQ_INJECT || b == AT_GUEST_IRQ;
}

static void compare(const struct mach *m, const struct attributed *r, unsigned id, bool exact)
{
	const struct mach_io *io = &m->io[id];
	for (unsigned b = 0; b < BOUNDARIES; b++) {
		bool seen = r->seen >> b & 1, suppressed = r->suppressed >> b & 1, is = io->host[b] != 0;
		/* Kicks and interrupts are not held against the request's queue. So where the handler that took it began before its end,
		 * another CPU's interrupt is taken for its own; and where it was not kicked for, another disk's kick on its CPU, and with it the
		 * notice that served it. Nothing contradicts these: they are what is not exact here. */
		bool of_another = (b == AT_GUEST_IRQ && m->cpus > 1) || (m->other_disk && (b == AT_GUEST_KICK || b == AT_HOST_NOTIFY));
		if (seen && !is && shared_kind(b) && (!exact || of_another))
			continue;
		/* virtio-blk has no line for a flush's start, and of its notice it is not said why it is not there. */
		bool told = shared_kind(b) && !(io->flush && b == AT_HOST_NOTIFY);
		if (seen != is || (told && suppressed == is))
			fail_msg("seed %llu: request %u (%u parts, %u share it%s): %s: seen %d, suppressed %d, in truth %d", (unsigned long long)m->seed, id,
				 io->children, io->shared, io->flush ? ", a flush" : "", boundary_name(b), seen, suppressed, is);
		if (!seen)
			continue;
		uint64_t truth = wire_guest(m->wire, io->host[b]), off = r->at[b] > truth ? r->at[b] - truth : truth - r->at[b];
		uint64_t bound = boundary_in_guest(b) ? 0 : r->offset_err + r->own[b] + (m->wire->scale.ratio ? 2 : 0);
		if (off > bound)
			fail_msg("seed %llu: request %u: %s is off by %llu cycles, bound %llu", (unsigned long long)m->seed, id, boundary_name(b),
				 (unsigned long long)off, (unsigned long long)bound);
	}
	assert_int_equal(r->violations, 0);
	assert_int_equal(r->children, io->children);
	assert_int_equal(r->shared, io->shared);
	assert_int_equal(r->requeues, io->requeues);
	if (!io->flush)
		assert_int_equal(r->served, io->cached ? SERVED_HOST_CACHE : SERVED_DEVICE);
}

static void truth(void **state, struct mach *m, uint64_t half, bool log)
{
	struct attribute_world *w = *state;
	struct wire *wire = m->wire = wire_new();
	uint64_t want_ok = 0;
	wire->epoch[0].half = half;
	wire->epoch[0].lie = (int64_t)(half / 3);
	mach_run(m, log);
	world_attribute(w, wire);
	for (unsigned i = 0; i < m->n; i++) {
		const struct mach_io *io = &m->io[i];
		unsigned cause = io->ramp ? CAUSE_OUTSIDE : io->failed ? CAUSE_ERROR : CAUSE_MATCHED;
		if (w->got[i].cause != cause)
			fail_msg("seed %llu: request %u is %s, not %s", (unsigned long long)m->seed, i, cause_name(w->got[i].cause), cause_name(cause));
		compare(m, &w->got[i], i, !half && !log);
		want_ok += cause == CAUSE_MATCHED;
	}
	assert_int_equal(w->a->matched, want_ok);
	assert_int_equal(w->a->violations, 0);
	assert_true(m->jobs * m->depth == 1 || (m->suppressed_kicks && m->suppressed_injects));
	assert_true(!m->special || (m->merges && m->splits && m->requeues));
	/* The true offset is in what is left. */
	const struct epoch_bound *e = &w->a->epoch[0];
	assert_true((uint64_t)wire->epoch[0].offset - (uint64_t)e->lo <= (uint64_t)e->hi - (uint64_t)e->lo);
	wire_free(wire);
	free(m->io);
}

static void exact(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct mach one = { .cpus = 1, .queues = 1, .jobs = 1, .depth = 1, .n = 600, .seed = seed, .special = true };
		struct mach deep = { .cpus = 1, .queues = 1, .jobs = 1, .depth = 32, .n = 1500, .seed = seed };
		struct mach wide = { .cpus = 4, .queues = 4, .jobs = 8, .depth = 6, .n = 2500, .seed = seed, .special = true };
		struct mach disks = { .cpus = 4, .queues = 4, .jobs = 4, .depth = 8, .n = 2500, .seed = seed, .special = true, .other_disk = true };
		struct mach one_queue = { .cpus = 4, .queues = 1, .jobs = 4, .depth = 8, .n = 2500, .seed = seed, .special = true };
		truth(state, &one, 0, false);
		truth(state, &deep, 0, false);
		truth(state, &wide, 0, false);
		truth(state, &disks, 0, false);
		truth(state, &one_queue, 0, false);
	}
}

static void within_bounds(void **state)
{
	for (uint64_t seed = 11; seed <= 13; seed++) {
		struct mach wide = { .cpus = 4, .queues = 4, .jobs = 8, .depth = 6, .n = 2500, .seed = seed, .special = true };
		struct mach disks = { .cpus = 4, .queues = 2, .jobs = 4, .depth = 8, .n = 2500, .seed = seed, .special = true, .other_disk = true };
		truth(state, &wide, 20 * WIRE_US, true);
		truth(state, &disks, 20 * WIRE_US, true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(exact), cmocka_unit_test(within_bounds) };
	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
