/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandwich over a stored run: two vCPUs that wander between three host CPUs, a VM that is stopped in between, sightings lost on the
 * way, stamps beyond number. The simulated machine knows the true offset.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/clock/sandwich.h"

enum { VCPUS = 2, HOST_CPUS = 3, TID = 1000 };

static char dir[] = "/tmp/bifocal-sandwich.XXXXXX";

static uint64_t random_state = 0x1dea;

static uint64_t below(uint64_t n)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1du % n;
}

struct stream { uint16_t id; uint32_t chunk; size_t n; uint64_t all; struct sighting s[SIGHT_CHUNK]; };

struct world {
	struct store *store;
	struct store_batch *batch;
	struct stream host[HOST_CPUS], guest[VCPUS];
	uint64_t run, now, offset;
};

static void flush(struct world *w, struct stream *s)
{
	struct wbuf packed;

	if (!s->n)
		return;
	wbuf_heap(&packed, SIGHT_CHUNK_BYTES);
	sights_pack(&packed, s->s, s->n);
	assert_false(packed.bad);
	assert_int_equal(put_sight_chunk(w->batch, w->run, s->id, s->chunk++, (struct span){ packed.p, packed.len }, NULL), 0);
	wbuf_fini(&packed);
	s->n = 0;
}

static void add(struct world *w, struct stream *s, uint64_t time, enum sight_kind kind, uint32_t thread)
{
	if (s->n == SIGHT_CHUNK)
		flush(w, s);
	s->s[s->n++] = (struct sighting){ .time = time, .kind = (uint16_t)kind, .thread = thread, .op = SIGHT_OP_NONE, .flags = SIGHT_NO_PLACE };
	s->all++;
}

/* One stay of one vCPU, on any host CPU; the exit may be seen on another than the entry: the stream of a CPU is in order all the same. */
static void stay(struct world *w, unsigned v, bool lost)
{
	struct stream *h = &w->host[below(HOST_CPUS)];

	w->now += 500 + below(20000);
	if (!lost)
		add(w, h, w->now, SIGHT_H_KVM_ENTRY, TID + v);
	for (unsigned i = 0; i < 1 + below(3); i++) {
		w->now += 100 + below(8000);
		add(w, &w->guest[v], w->now + w->offset, SIGHT_G_ISSUE, 1);
	}
	w->now += 100;
	if (lost)
		add(w, h, w->now, SIGHT_LOST, 0);
	else
		add(w, h, w->now, SIGHT_H_KVM_EXIT, TID + v);
	/* Somebody else's VM on the same CPU. */
	add(w, h, w->now + 10, SIGHT_H_KVM_ENTRY, 77);
	w->now += 20;
}

static void put_streams(struct world *w)
{
	for (unsigned i = 0; i < HOST_CPUS + VCPUS; i++) {
		bool host = i < HOST_CPUS;
		struct stream *s = host ? &w->host[i] : &w->guest[i - HOST_CPUS];
		const struct store_stream st = {
			.stream = s->id, .vantage = host ? VANTAGE_HOST : VANTAGE_GUEST, .clock = host ? STREAM_HOST_TSC : STREAM_GUEST_TSC,
			.events = s->all, .source = "tracefs",
		};
		flush(w, s);
		assert_int_equal(put_stream(w->batch, w->run, &st, NULL), 0);
	}
	assert_int_equal(store_commit(w->batch, NULL), 0);
}

static struct world *world_new(struct store *store)
{
	struct world *w = calloc(1, sizeof(*w));

	w->store = store;
	w->batch = store_batch_new(store, NULL);
	assert_int_equal(store_run_create(store, 0, &w->run, NULL), 0);
	for (unsigned i = 0; i < HOST_CPUS; i++)
		w->host[i].id = (uint16_t)(STREAM_HOST + i);
	for (unsigned i = 0; i < VCPUS; i++)
		w->guest[i].id = (uint16_t)(STREAM_GUEST + i);
	w->now = (uint64_t)1 << 45;
	w->offset = (uint64_t)-3000000000000;
	return w;
}

static void world_free(struct world *w)
{
	store_batch_free(w->batch);
	free(w);
}

static struct clock_epoch epoch(const struct world *w, uint64_t first, uint64_t last)
{
	return (struct clock_epoch){
		.tier = TIER_EXCHANGE, .first = { first }, .last = { last }, .samples = 1,
		.offset = { (int64_t)(w->offset - 70000), (int64_t)(w->offset + 40000) },
	};
}

static const int tids[VCPUS] = { TID, TID + 1 };

static struct sandwich_result sandwich(struct world *w, const struct clock_epoch *e, size_t n)
{
	struct sandwich_result r;
	struct error err = { 0 };

	if (sandwich_run(w->store, w->run, tids, VCPUS, (struct tsc_scale){ 0 }, e, n, &r, &err))
		fail_msg("%s", err.text);
	return r;
}

static bool holds(const struct clock_sample *s, uint64_t offset)
{
	return offset - (uint64_t)s->lo <= (uint64_t)s->hi - (uint64_t)s->lo;
}

static void test_two_epochs(void **state)
{
	struct world *w = world_new(*state);
	uint64_t truth[2], start = w->now;
	struct clock_epoch e[2];

	for (int i = 0; i < 20000; i++)
		stay(w, (unsigned)below(VCPUS), i % 100 == 50);
	truth[0] = w->offset;
	e[0] = epoch(w, start - 200000, w->now + 200000);
	w->now += 10000000;
	w->offset -= 9000000;          /* it was stopped for so long */
	start = w->now;
	for (int i = 0; i < 20000; i++)
		stay(w, (unsigned)below(VCPUS), i % 100 == 50);
	truth[1] = w->offset;
	e[1] = epoch(w, start - 200000, w->now + 200000);
	put_streams(w);
	struct sandwich_result r = sandwich(w, e, 2);
	assert_int_equal(r.contradictions, 0);
	assert_true(r.stamps > 60000 && r.samples > 4);
	uint64_t narrowest[2] = { UINT64_MAX, UINT64_MAX };
	for (size_t i = 0; i < r.samples; i++) {
		const struct clock_sample *s = &r.sample[i];
		assert_true(s->tier == TIER_SANDWICH && s->epoch < 2);
		assert_true(holds(s, truth[s->epoch]));
		uint64_t width = (uint64_t)s->hi - (uint64_t)s->lo;
		assert_true(width <= narrowest[s->epoch]);
		narrowest[s->epoch] = width;
	}
	/* The stamps' distance from entry and exit. */
	assert_true(narrowest[0] < 1000 && narrowest[1] < 1000);
	free(r.sample);
	world_free(w);
}

/* The coarse bound is wrong: contradictions, and no sample that would make it worse. */
static void test_wrong_bound(void **state)
{
	struct world *w = world_new(*state);
	uint64_t start = w->now;

	for (int i = 0; i < 2000; i++)
		stay(w, (unsigned)below(VCPUS), false);
	put_streams(w);
	struct clock_epoch e = epoch(w, start - 200000, w->now + 200000);
	e.offset.lo = (int64_t)(w->offset + 13000);
	e.offset.hi = e.offset.lo + 50;
	struct sandwich_result r = sandwich(w, &e, 1);
	assert_true(r.contradictions > 0);
	free(r.sample);
	world_free(w);
}

static void test_nothing_there(void **state)
{
	struct world *w = world_new(*state);
	struct clock_epoch e = epoch(w, 0, w->now);
	struct sandwich_result r = sandwich(w, &e, 1);

	assert_int_equal(r.samples, 0);
	assert_int_equal(r.stamps, 0);
	for (int i = 0; i < 100; i++)     /* guest stamps, and a host that saw none of our threads */
		add(w, &w->guest[0], w->now + w->offset + (uint64_t)i, SIGHT_G_ISSUE, 1);
	add(w, &w->host[0], w->now, SIGHT_H_KVM_ENTRY, 99);
	put_streams(w);
	r = sandwich(w, &e, 1);
	assert_int_equal(r.samples, 0);
	assert_int_equal(r.contradictions, 0);
	free(r.sample);
	world_free(w);
}

static int begin(void **state)
{
	char path[64];

	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/db", dir);
	*state = store_open(path, STORE_WRITE, NULL);
	return *state ? 0 : -1;
}

static int end(void **state)
{
	char command[64];

	store_close(*state);
	snprintf(command, sizeof(command), "rm -rf -- %s", dir);
	return strncmp(dir, "/tmp/bifocal-sandwich.", 22) ? -1 : system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_epochs),
		cmocka_unit_test(test_wrong_bound),
		cmocka_unit_test(test_nothing_there),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
