/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tiers against simulated machines, whose true offset is known: clock pairing with a slewed and a stepped host clock, KVM's
 * debugfs as a made-up directory, the sandwich with vCPUs that come and go, the spans of epochs, and what is hostile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/clock/clock.h"
#include "host/clock/sandwich.h"

/* ---- common ---- */

static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1du;
}

static uint64_t below(uint64_t n)
{
	return next_random() % n;
}

static uint64_t width(struct clock_interval i)
{
	return (uint64_t)i.hi - (uint64_t)i.lo;
}

static bool holds(struct clock_interval i, uint64_t offset)
{
	return offset - (uint64_t)i.lo <= width(i);
}

static struct tsc_scale random_scale(void)
{
	static const uint8_t fracs[] = { 32, 48 };
	struct tsc_scale s = { .frac = fracs[below(2)] };

	if (below(3) == 0)
		return (struct tsc_scale){ 0 };
	s.ratio = ((uint64_t)1 << s.frac) / 20 * 19 + below(((uint64_t)1 << s.frac) / 10);
	return s;
}

static uint64_t random_offset(void)
{
	switch (below(5)) {
	case 0: return (uint64_t)1 << 62;
	case 1: return INT64_MAX - below(100000);
	case 2: return (uint64_t)INT64_MIN + below(100000);
	case 3: return below(100000) - 50000;
	default: return next_random();
	}
}

/* ---- pairing ---- */

/* A host whose CLOCK_REALTIME runs at hz·(1 + ppm) cycles a second. */
struct host { uint64_t hz, tsc0; int64_t ns0; double ppm; };

static int64_t real_ns(const struct host *h, uint64_t tsc)
{
	long double cycles = (long double)(tsc - h->tsc0);

	return h->ns0 + (int64_t)(cycles * 1e9L / ((long double)h->hz * (1 + (long double)h->ppm / 1e6L)));
}

static struct clock_anchor anchor_at(const struct host *h, uint64_t tsc, uint64_t before, uint64_t after)
{
	return (struct clock_anchor){ tsc - before, tsc + after, real_ns(h, tsc) };
}

static struct host random_host(void)
{
	return (struct host){ 1000000000 + below(4000000000u), below((uint64_t)1 << 60), (int64_t)(1700000000000000000 + below(1000000000000)),
			      (double)below(2001) - 1000 };
}

static void test_pairing_holds(void **state)
{
	(void)state;
	random_state = 0xbeef;
	for (int i = 0; i < 200000; i++) {
		struct host h = random_host();
		struct tsc_scale scale = random_scale();
		uint64_t offset = random_offset(), start = h.tsc0 + below(h.hz * 100);
		struct clock_anchor a = anchor_at(&h, start, below(100), below(100));
		uint64_t read = a.after + 1 + below(h.hz / 1000), end = read + 1 + below(h.hz / 1000);
		struct clock_anchor b = anchor_at(&h, end + 100, below(100), below(100));
		struct clock_paired p = { .ok = true, .host_ns = real_ns(&h, read) };
		struct clock_interval out;

		p.before.cycles = tsc_scale_up(scale, read - below(500)) + offset;
		p.after.cycles = tsc_scale_up(scale, read + below(500)) + offset;
		assert_true(pairing_interval(&p, &a, &b, h.hz, scale, &out));
		assert_true(holds(out, offset));
		/* The bracket, the anchor's width, and 2.2 µs a millisecond for a slew that nobody knows. */
		assert_true(width(out) <= 1100 + 500 + h.hz / 200000);
	}
}

static void test_pairing_refuses(void **state)
{
	(void)state;
	struct host h = { 2000000000, 1000, 1700000000000000000, 0 };
	struct clock_anchor a = anchor_at(&h, 5000000, 50, 50), b = anchor_at(&h, 7000000, 50, 50), stepped;
	struct clock_paired p = { true, { 100 }, { 600 }, real_ns(&h, 6000000) };
	struct clock_interval out;
	struct tsc_scale none = { 0 };

	assert_true(pairing_interval(&p, &a, &b, h.hz, none, &out));
	/* Stepped by 10 µs, either way, between the anchors. */
	for (int sign = -1; sign <= 1; sign += 2) {
		stepped = b;
		stepped.ns += sign * 10000;
		assert_false(pairing_interval(&p, &a, &stepped, h.hz, none, &out));
	}
	/* Hostile: no clock, a reading outside the anchors, stamps that run backwards, a frequency of nothing. */
	p.ok = false;
	assert_false(pairing_interval(&p, &a, &b, h.hz, none, &out));
	p.ok = true;
	assert_false(pairing_interval(&p, &a, &b, 0, none, &out));
	p.host_ns = a.ns - 1;
	assert_false(pairing_interval(&p, &a, &b, h.hz, none, &out));
	p.host_ns = b.ns + 1;
	assert_false(pairing_interval(&p, &a, &b, h.hz, none, &out));
	p.host_ns = INT64_MIN;
	assert_false(pairing_interval(&p, &a, &b, h.hz, none, &out));
	p.host_ns = a.ns + 100;
	p.after.cycles = 99;
	assert_false(pairing_interval(&p, &a, &b, h.hz, none, &out));
	assert_false(pairing_interval(&p, &b, &a, h.hz, none, &out));
}

static void test_real_anchors(void **state)
{
	(void)state;
	uint64_t lo, hi;
	struct clock_anchor a = clock_anchor_take(8);
	usleep(20000);
	struct clock_anchor m = clock_anchor_take(8);
	usleep(20000);
	struct clock_anchor b = clock_anchor_take(8);
	uint64_t hz = (uint64_t)((double)(b.before - a.before) * 1e9 / (double)(b.ns - a.ns));

	assert_true(a.before <= a.after && a.after <= m.before && m.after <= b.before);
	assert_true(clock_anchor_tsc(&a, &b, hz, m.ns, &lo, &hi));
	assert_true(lo <= m.after && hi >= m.before);
}

/* ---- exact ---- */

static char root[] = "/tmp/bifocal-clock.XXXXXX";

static void put_file(const char *dir, unsigned vcpu, const char *name, const char *text)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/vcpu%u", dir, vcpu);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/vcpu%u/%s", dir, vcpu, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void put_vcpu(const char *dir, unsigned n, const char *offset, const char *ratio, const char *frac)
{
	put_file(dir, n, "tsc-offset", offset);
	if (ratio)
		put_file(dir, n, "tsc-scaling-ratio", ratio);
	if (frac)
		put_file(dir, n, "tsc-scaling-ratio-frac-bits", frac);
}

static const char *fresh_dir(char dst[128])
{
	static int n;

	snprintf(dst, 128, "%s/%d", root, n++);
	mkdir(dst, 0700);
	return dst;
}

static void test_exact_reads(void **state)
{
	(void)state;
	char dir[128];
	struct exact_reading r;
	struct error err = { 0 };

	fresh_dir(dir);
	put_vcpu(dir, 0, "-2480154368461\n", NULL, NULL);
	put_vcpu(dir, 1, "-2480154368461\n", NULL, NULL);
	assert_int_equal(exact_read(dir, &r, &err), 0);
	assert_int_equal(r.offset, -2480154368461);
	assert_int_equal(r.vcpus, 2);
	assert_int_equal(r.scale.ratio, 0);
	fresh_dir(dir);
	put_vcpu(dir, 0, "-9223372036854775808\n", "4509715660\n", "32\n");
	assert_int_equal(exact_read(dir, &r, &err), 0);
	assert_int_equal(r.offset, INT64_MIN);
	assert_int_equal(r.scale.ratio, 4509715660);
	assert_int_equal(r.scale.frac, 32);
}

static void refused(const char *offset, const char *ratio, const char *frac, const char *word)
{
	char dir[128];
	struct exact_reading r;
	struct error err = { 0 };

	fresh_dir(dir);
	put_vcpu(dir, 0, offset, ratio, frac);
	assert_int_equal(exact_read(dir, &r, &err), -1);
	if (!strstr(err.text, word))
		fail_msg("\"%s\" does not say \"%s\"", err.text, word);
}

static void test_exact_refuses(void **state)
{
	(void)state;
	char dir[128];
	struct exact_reading r;
	struct error err = { 0 };

	assert_int_equal(exact_read(fresh_dir(dir), &r, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	refused("", NULL, NULL, "empty");
	refused("word\n", NULL, NULL, "no number");
	refused("99999999999999999999\n", NULL, NULL, "no number");
	refused("1\n", "4509715660\n", NULL, "without its fractional bits");
	refused("1\n", "0\n", "32\n", "ratio of 0");
	refused("1\n", "-1\n", "32\n", "no number");
	refused("1\n", "4509715660\n", "64\n", "64 fractional bits");
	refused("1\n", "18446744073709551615\n", "32\n", "between 1/16 and 16");
	fresh_dir(dir);
	put_vcpu(dir, 0, "1\n", NULL, NULL);
	put_vcpu(dir, 1, "2\n", NULL, NULL);
	assert_int_equal(exact_read(dir, &r, &err), -1);
	assert_non_null(strstr(err.text, "different offset"));
	fresh_dir(dir);
	put_vcpu(dir, 0, "1\n", "4509715660\n", "32\n");
	put_vcpu(dir, 1, "1\n", "4509715661\n", "32\n");
	assert_int_equal(exact_read(dir, &r, &err), -1);
	assert_non_null(strstr(err.text, "different ratio"));
}

/* The method finds QEMU's directory among others, and sets the scale. */
static void test_exact_finds(void **state)
{
	(void)state;
	char debugfs[128], path[256], why[CLOCK_WHY_MAX] = "";
	struct clock_observation o;
	struct error err = { 0 };
	struct clock_target t = { .qemu = 4711, .kvm = true, .debugfs = fresh_dir(debugfs) };

	assert_null(clock_exact.open(&t, why));
	assert_non_null(strstr(why, "cannot be read"));
	snprintf(path, sizeof(path), "%s/kvm", debugfs);
	mkdir(path, 0700);
	assert_null(clock_exact.open(&t, why));
	assert_non_null(strstr(why, "no VM of QEMU's process 4711"));
	const char *const names[] = { "47110-12", "471-3", "4711-9", "4711-12" };
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/kvm/%s", debugfs, names[i]);
		mkdir(path, 0700);
		if (i != 2)
			put_vcpu(path, 0, i == 3 ? "-77\n" : "5\n", "281474976710657\n", "48\n");
	}
	void *self = clock_exact.open(&t, why);
	assert_non_null(self);
	assert_int_equal(t.scale.ratio, 281474976710657);
	assert_int_equal(clock_exact.observe(self, &o, &err), 1);
	assert_int_equal(o.offset.lo, -77);
	assert_int_equal(o.offset.hi, -77);
	snprintf(path, sizeof(path), "%s/kvm/4711-12/vcpu0/tsc-offset", debugfs);
	unlink(path);
	assert_int_equal(clock_exact.observe(self, &o, &err), -1);
	clock_exact.free(self);
	t.kvm = false;
	assert_null(clock_exact.open(&t, why));
	assert_non_null(strstr(why, "vm.accel=kvm"));
}

/* ---- sandwich ---- */

enum { VCPUS = 3 };

struct machine {
	struct tsc_scale scale;
	uint64_t offset, now;
	struct sandwich *s;
	struct guest_tsc waiting[VCPUS][64];
	size_t n[VCPUS];
	uint64_t narrowed, contradictions, stamps;
	unsigned hostile;          /* one event in so many is lost, 0: none; the sandwich is told of it */
};

static struct guest_tsc guest_time(const struct machine *m, uint64_t host)
{
	return (struct guest_tsc){ tsc_scale_up(m->scale, host) + m->offset };
}

static void judge_stamps(struct machine *m, unsigned v)
{
	struct host_tsc at;
	struct clock_interval o;
	size_t kept = 0;

	for (size_t i = 0; i < m->n[v]; i++) {
		if (!sandwich_ripe(m->s, v, m->waiting[v][i])) {
			m->waiting[v][kept++] = m->waiting[v][i];
			continue;
		}
		uint64_t before = width(sandwich_bound(m->s));
		enum sandwich_verdict r = sandwich_stamp(m->s, v, m->waiting[v][i], &at, &o);
		m->stamps++;
		m->contradictions += r == SANDWICH_CONTRADICTION;
		if (r == SANDWICH_NARROWED) {
			m->narrowed++;
			assert_true(width(o) < before);
			assert_true(holds(o, m->offset));
		}
		assert_true(holds(sandwich_bound(m->s), m->offset));
	}
	m->n[v] = kept;
}

static bool loses(const struct machine *m)
{
	return m->hostile && below(m->hostile) == 0;
}

/* One stay of one vCPU; others stand still meanwhile, which is as good as any interleaving. */
static void stay(struct machine *m, unsigned v, bool fastpath)
{
	m->now += 200 + below(below(10) ? 5000 : 2000000);
	uint64_t entry = m->now;
	bool lost_entry = loses(m), lost_exit = loses(m);

	if (!lost_entry)
		sandwich_entry(m->s, v, (struct host_tsc){ entry });
	judge_stamps(m, v);
	for (unsigned i = 0; i < 1 + below(4); i++) {
		m->now += 50 + below(below(10) ? 3000 : 300000);
		if (m->n[v] < 64)
			m->waiting[v][m->n[v]++] = guest_time(m, m->now);
		if (fastpath && below(3) == 0)
			sandwich_exit(m->s, v, (struct host_tsc){ m->now + 10 });
		m->now += 20;
	}
	m->now += 50;
	if (!lost_exit)
		sandwich_exit(m->s, v, (struct host_tsc){ m->now });
	if (lost_entry || lost_exit)
		sandwich_lost(m->s, (struct host_tsc){ m->now + 1 });
}

static void machine_init(struct machine *m, uint64_t coarse)
{
	*m = (struct machine){ .scale = random_scale(), .offset = random_offset(), .now = ((uint64_t)1 << 40) + below((uint64_t)1 << 55) };
	uint64_t left = below(coarse);
	struct clock_interval bound = { (int64_t)(m->offset - left), (int64_t)(m->offset + (coarse - left)) };
	m->s = sandwich_new(VCPUS, m->scale, bound, NULL);
	assert_non_null(m->s);
}

static void test_sandwich_holds(void **state)
{
	(void)state;
	random_state = 0x5a5a;
	for (int i = 0; i < 300; i++) {
		struct machine m;
		machine_init(&m, 100000 + below(2000000));
		for (int k = 0; k < 2000; k++)
			stay(&m, (unsigned)below(VCPUS), i % 3 == 2);
		assert_int_equal(m.contradictions, 0);
		assert_true(m.narrowed > 2 && m.stamps > 3000);
		/* Stays' ends are some 50 cycles from the stamps; with fast paths longer. */
		if (i % 3 != 2)
			assert_true(width(sandwich_bound(m.s)) < 1000);
		sandwich_free(m.s);
	}
}

/* Events that are missing, and said to be, make it blind, never wrong. */
static void test_sandwich_losses(void **state)
{
	(void)state;
	random_state = 0xa5a5;
	for (int i = 0; i < 200; i++) {
		struct machine m;
		machine_init(&m, 100000);
		m.hostile = 5;
		for (int k = 0; k < 500; k++) {
			/* The loss is told before the next stamp is judged, as the stream has it in its place. */
			stay(&m, (unsigned)below(VCPUS), false);
		}
		assert_int_equal(m.contradictions, 0);
		sandwich_free(m.s);
	}
}

/* A bound that does not hold the offset: contradictions are counted, nothing trips. */
static void test_sandwich_wrong_bound(void **state)
{
	(void)state;
	random_state = 0x77;
	struct tsc_scale none = { 0 };
	struct sandwich *s = sandwich_new(1, none, (struct clock_interval){ 1000000, 1000100 }, NULL);
	struct host_tsc at;
	struct clock_interval o;
	uint64_t contradictions = 0, now = 1000000000;

	for (int i = 0; i < 1000; i++) {
		sandwich_entry(s, 0, (struct host_tsc){ now });
		if (i > 2)
			contradictions += sandwich_stamp(s, 0, (struct guest_tsc){ now - 500 + 1000050 }, &at, &o) == SANDWICH_CONTRADICTION;
		sandwich_exit(s, 0, (struct host_tsc){ now + 100 });
		now += 1000;
	}
	assert_true(contradictions > 900);
	sandwich_free(s);
}

/* Any order of any events. */
static void test_sandwich_hostile(void **state)
{
	(void)state;
	random_state = 0x999;
	assert_null(sandwich_new(0, (struct tsc_scale){ 0 }, (struct clock_interval){ 0, 1 }, NULL));
	assert_null(sandwich_new(CLOCK_VCPUS_MAX + 1, (struct tsc_scale){ 0 }, (struct clock_interval){ 0, 1 }, NULL));
	for (int i = 0; i < 200; i++) {
		struct sandwich *s = sandwich_new(2, random_scale(), (struct clock_interval){ (int64_t)next_random(), (int64_t)next_random() }, NULL);
		struct host_tsc at;
		struct clock_interval o;
		for (int k = 0; k < 3000; k++) {
			uint64_t t = below(2) ? next_random() : below(100000);
			switch (below(4)) {
			case 0: sandwich_entry(s, (unsigned)below(4), (struct host_tsc){ t }); break;
			case 1: sandwich_exit(s, (unsigned)below(4), (struct host_tsc){ t }); break;
			case 2: sandwich_lost(s, (struct host_tsc){ t }); break;
			default: sandwich_stamp(s, (unsigned)below(4), (struct guest_tsc){ t }, &at, &o);
			}
		}
		sandwich_free(s);
	}
}

/* ---- epochs' spans, and the rule ---- */

static void add(struct clock_track *t, uint64_t at, int64_t lo, int64_t hi, int epoch)
{
	assert_int_equal(clock_track_add(t, TIER_EXCHANGE, (struct host_tsc){ at }, (struct clock_interval){ lo, hi }, NULL), epoch);
}

static void test_spans(void **state)
{
	(void)state;
	struct clock_track *t = clock_track_new(NULL);

	clock_track_until(t, (struct host_tsc){ 5 });
	clock_track_since(t, (struct host_tsc){ 5 });
	add(t, 100, 10, 20, 0);
	clock_track_since(t, (struct host_tsc){ 50 });     /* no break: nothing */
	clock_track_until(t, (struct host_tsc){ 500 });
	add(t, 200, 10, 20, 0);
	assert_int_equal(clock_track_epoch(t, 0)->first.cycles, 100);
	assert_int_equal(clock_track_epoch(t, 0)->last.cycles, 500);
	clock_track_break(t);
	assert_true(clock_track_broken(t));
	clock_track_until(t, (struct host_tsc){ 900 });    /* after the break: nothing */
	assert_int_equal(clock_track_epoch(t, 0)->last.cycles, 500);
	clock_track_since(t, (struct host_tsc){ 500 });    /* spans do not touch: nothing */
	clock_track_since(t, (struct host_tsc){ 700 });
	add(t, 800, 10, 20, 1);                            /* the same offset, another epoch all the same */
	assert_int_equal(clock_track_epoch(t, 1)->first.cycles, 700);
	clock_track_break(t);
	clock_track_since(t, (struct host_tsc){ 5000 });
	add(t, 1000, 30, 40, 2);                           /* later than the observation: the observation counts */
	assert_int_equal(clock_track_epoch(t, 2)->first.cycles, 1000);
	add(t, 1100, 100, 110, 3);                         /* an empty intersection: nobody knew */
	assert_int_equal(clock_track_epoch(t, 3)->first.cycles, 1100);
	assert_int_equal(clock_track_narrow(t, 0, TIER_SANDWICH, (struct clock_interval){ 12, 15 }), 0);
	assert_int_equal(clock_track_epoch(t, 0)->tier, TIER_SANDWICH);
	assert_int_equal(clock_track_epoch(t, 0)->offset.lo, 12);
	assert_int_equal(clock_track_narrow(t, 0, TIER_SANDWICH, (struct clock_interval){ 16, 18 }), -1);
	assert_int_equal(clock_track_narrow(t, 4, TIER_SANDWICH, (struct clock_interval){ 16, 18 }), -1);
	assert_int_equal(clock_track_epoch(t, 0)->offset.hi, 15);
	clock_track_free(t);
}

static struct clock_epoch epoch(uint64_t first, uint64_t last, int64_t lo, int64_t hi)
{
	return (struct clock_epoch){ .tier = TIER_EXCHANGE, .first = { first }, .last = { last }, .offset = { lo, hi } };
}

/* A VM stopped at 2000 for 1000 cycles; then taken back from 6000 to where it was at 4000. */
static void test_rule(void **state)
{
	(void)state;
	const struct tsc_scale none = { 0 };
	const struct clock_epoch e[] = {
		epoch(1000, 2000, 99990, 100010), epoch(3000, 6000, 98990, 99010), epoch(7000, 9000, 95990, 96010),
	};
	const struct { uint64_t guest; int epoch; } rows[] = {
		{ 101010, 0 }, { 101009, -1 }, { 101990, 0 }, { 101991, -1 },       /* both ends within the span */
		{ 102000, -1 },                                                       /* the clock that stands still */
		{ 102010, 1 }, { 102900, 1 }, { 103009, 1 },
		{ 103010, 2 }, { 104000, 2 },                                         /* shown twice: the later counts */
		{ 104990, 2 }, { 104991, -1 },                                        /* beyond the last span */
		{ 106000, -1 }, { 0, -1 }, { UINT64_MAX, -1 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(clock_epoch_of_guest(e, 3, none, (struct guest_tsc){ rows[i].guest }), rows[i].epoch);
	assert_int_equal(clock_epoch_of_guest(e, 0, none, (struct guest_tsc){ 101500 }), -1);
}

/* ---- scaled exchanges ---- */

struct scaled_world { struct tsc_scale scale; uint64_t offset, now; };

static int scaled_exchange(void *ctx, struct clock_four *out, struct error *err)
{
	struct scaled_world *w = ctx;
	uint64_t h[4];

	(void)err;
	for (int i = 0; i < 4; i++)
		h[i] = w->now += 1 + below(5000);
	*out = (struct clock_four){ { h[0] }, { tsc_scale_up(w->scale, h[1]) + w->offset }, { tsc_scale_up(w->scale, h[2]) + w->offset }, { h[3] } };
	return 0;
}

static void test_scaled_exchange(void **state)
{
	(void)state;
	random_state = 0x1234;
	for (int i = 0; i < 300; i++) {
		struct scaled_world w = { random_scale(), random_offset(), ((uint64_t)1 << 50) + below((uint64_t)1 << 50) };
		const struct clock_wire wire = { .exchange = scaled_exchange, .ctx = &w };
		struct clock_target t = { .wire = &wire, .scale = w.scale };
		struct clock_track *track = clock_track_new(NULL);
		char why[CLOCK_WHY_MAX];
		void *self = clock_exchange.open(&t, why);

		for (int k = 0; k < 300; k++) {
			struct clock_observation o;
			assert_int_equal(clock_exchange.observe(self, &o, NULL), 1);
			assert_true(holds(o.offset, w.offset));
			/* One epoch, over hours: an unscaled map would drift apart at once. */
			assert_int_equal(clock_track_add(track, TIER_EXCHANGE, o.at, o.offset, NULL), 0);
			w.now += (uint64_t)1 << 40;
		}
		clock_exchange.free(self);
		clock_track_free(track);
	}
}

static int make_root(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf -- %s", root);
	return strncmp(root, "/tmp/bifocal-clock.", 19) ? -1 : system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairing_holds),
		cmocka_unit_test(test_pairing_refuses),
		cmocka_unit_test(test_real_anchors),
		cmocka_unit_test(test_exact_reads),
		cmocka_unit_test(test_exact_refuses),
		cmocka_unit_test(test_exact_finds),
		cmocka_unit_test(test_sandwich_holds),
		cmocka_unit_test(test_sandwich_losses),
		cmocka_unit_test(test_sandwich_wrong_bound),
		cmocka_unit_test(test_sandwich_hostile),
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_rule),
		cmocka_unit_test(test_scaled_exchange),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
