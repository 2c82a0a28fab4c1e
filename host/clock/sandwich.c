/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/clock/sandwich.h"

#include <stdlib.h>

struct stay { uint64_t entry, exit; };

struct vcpu {
	struct stay stay[SANDWICH_STAYS];  /* a ring */
	uint64_t first, n;                 /* numbers of stays, ever: first … n − 1 are remembered */
	uint64_t known_since;              /* host TSC from which on all stays are remembered */
	uint64_t entry;
	bool inside, begun;
};

struct sandwich {
	struct tsc_scale scale;
	struct clock_interval bound;
	unsigned vcpus;
	struct vcpu vcpu[];
};

struct sandwich *sandwich_new(unsigned vcpus, struct tsc_scale scale, struct clock_interval bound, struct error *err)
{
	struct sandwich *s = vcpus && vcpus <= CLOCK_VCPUS_MAX ? calloc(1, sizeof(*s) + vcpus * sizeof(s->vcpu[0])) : NULL;

	if (!s) {
		error_set(err, ERR_LIMIT, vcpus && vcpus <= CLOCK_VCPUS_MAX ? "clock: out of memory" : "clock: %u vCPUs", vcpus);
		return NULL;
	}
	s->scale = scale;
	s->bound = bound;
	s->vcpus = vcpus;
	return s;
}

void sandwich_free(struct sandwich *s)
{
	free(s);
}

/* What came before `at` is not known any more. */
static void forget(struct vcpu *v, uint64_t at)
{
	v->first = v->n;
	v->known_since = at;
	v->inside = false;
	v->begun = true;
}

void sandwich_entry(struct sandwich *s, unsigned vcpu, struct host_tsc at)
{
	if (vcpu >= s->vcpus)
		return;
	struct vcpu *v = &s->vcpu[vcpu];
	/* Two entries in a row: an exit is missing, so stays are. And a thread first seen now may have run before. */
	if (!v->begun || v->inside || (v->n > v->first && at.cycles < v->stay[(v->n - 1) % SANDWICH_STAYS].exit))
		forget(v, at.cycles);
	v->inside = true;
	v->entry = at.cycles;
}

void sandwich_exit(struct sandwich *s, unsigned vcpu, struct host_tsc at)
{
	if (vcpu >= s->vcpus)
		return;
	struct vcpu *v = &s->vcpu[vcpu];
	struct stay *last = &v->stay[(v->n + SANDWICH_STAYS - 1) % SANDWICH_STAYS];
	/* KVM may enter again at once after an exit that took no work, without saying so: the stay was longer. */
	if (!v->inside && v->n > v->first && at.cycles >= last->exit) {
		last->exit = at.cycles;
		return;
	}
	if (!v->inside || at.cycles < v->entry) {
		forget(v, at.cycles);
		return;
	}
	v->inside = false;
	if (v->n - v->first == SANDWICH_STAYS) {
		v->known_since = v->stay[v->first % SANDWICH_STAYS].exit;
		v->first++;
	}
	v->stay[v->n++ % SANDWICH_STAYS] = (struct stay){ v->entry, at.cycles };
}

void sandwich_lost(struct sandwich *s, struct host_tsc at)
{
	for (unsigned i = 0; i < s->vcpus; i++)
		forget(&s->vcpu[i], at.cycles);
}

/* g − scaled(h), against an end of the bound: positive where h is too early for that offset. Spans beyond 2^63 do not occur in a clean run. */
static int64_t beyond(const struct sandwich *s, struct guest_tsc g, uint64_t h, int64_t end)
{
	return (int64_t)(g.cycles - tsc_scale_up(s->scale, h) - (uint64_t)end);
}

bool sandwich_ripe(const struct sandwich *s, unsigned vcpu, struct guest_tsc g)
{
	const struct vcpu *v = vcpu < s->vcpus ? &s->vcpu[vcpu] : NULL;

	return v && v->inside && beyond(s, g, v->entry, s->bound.lo) < 0;
}

/* Offsets relative to the bound's lower end: small numbers, so that no wrap is special. */
struct hull { int64_t lo, hi; unsigned n; struct stay last; };

static void add_stay(const struct sandwich *s, struct guest_tsc g, const struct stay *y, int64_t width, struct hull *h)
{
	int64_t lo = beyond(s, g, y->exit, s->bound.lo), hi = beyond(s, g, y->entry, s->bound.lo);

	if (hi < 0 || lo > width)
		return;
	lo = lo < 0 ? 0 : lo;
	hi = hi > width ? width : hi;
	h->lo = h->n && h->lo < lo ? h->lo : lo;
	h->hi = h->n && h->hi > hi ? h->hi : hi;
	h->last = *y;
	h->n++;
}

/* All stays that may hold the stamp are remembered. */
static bool covered(const struct sandwich *s, const struct vcpu *v, struct guest_tsc g)
{
	return v->begun && beyond(s, g, v->known_since, s->bound.hi) > 0;
}

enum sandwich_verdict sandwich_stamp(struct sandwich *s, unsigned vcpu, struct guest_tsc g, struct host_tsc *at, struct clock_interval *offset)
{
	uint64_t width = (uint64_t)s->bound.hi - (uint64_t)s->bound.lo;
	struct hull h = { 0 };

	if (vcpu >= s->vcpus || width > INT64_MAX || !sandwich_ripe(s, vcpu, g) || !covered(s, &s->vcpu[vcpu], g))
		return SANDWICH_NOTHING;
	const struct vcpu *v = &s->vcpu[vcpu];
	for (uint64_t i = v->n; i > v->first; i--) {
		const struct stay *y = &v->stay[(i - 1) % SANDWICH_STAYS];
		/* Even the earliest host time that the bound allows is after this stay, and so after all before it. */
		if (beyond(s, g, y->exit, s->bound.lo) > (int64_t)width)
			break;
		add_stay(s, g, y, (int64_t)width, &h);
	}
	if (!h.n)
		return SANDWICH_CONTRADICTION;
	if (h.lo == 0 && h.hi == (int64_t)width)
		return SANDWICH_NOTHING;
	const struct clock_interval narrowed = { (int64_t)((uint64_t)s->bound.lo + (uint64_t)h.lo), (int64_t)((uint64_t)s->bound.lo + (uint64_t)h.hi) };
	*at = (struct host_tsc){ h.last.entry };
	*offset = s->bound = narrowed;
	return SANDWICH_NARROWED;
}

struct clock_interval sandwich_bound(const struct sandwich *s)
{
	return s->bound;
}
