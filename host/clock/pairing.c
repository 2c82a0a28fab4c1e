/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tier `pairing`: the guest asks KVM for the host's CLOCK_REALTIME (ptp_kvm), between two stamps of its own TSC; the host knows its
 * TSC at that time from anchors of its own around the whole.
 *
 *      guest TSC     before ──── host_ns ──── after
 *      host     anchor a ──────────┼──────────────── anchor b
 *
 * CLOCK_REALTIME may be slewed: NTP by 500 ppm at most, adjtime(3) by as much again. So between an anchor and host_ns the TSC
 * went by what the rate says, ± RATE_PPM. Both anchors bound it, and the intersection counts. A step between the anchors
 * breaks the rate, and the pairing is refused.
 */
#include "host/clock/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
	RATE_PPM = 1100,
	ANCHOR_TRIES = 8,
	RATE_SPAN_NS = 5000000,        /* over which the rate is known to some 10 ppm */
};

struct clock_anchor clock_anchor_take(int tries)
{
	struct tsc_anchor a = tsc_anchor_take(CLOCK_REALTIME, tries);

	return (struct clock_anchor){ .before = a.before, .after = a.after, .ns = (int64_t)a.ns };
}

struct cycles_range { uint64_t least, most; };

/* Cycles that go by in a span of CLOCK_REALTIME, whose ends are each rounded down to a ns. Below 2^63 for spans of some days. */
static struct cycles_range cycles_in(uint64_t ns, uint64_t hz)
{
	long double c = (long double)ns * (long double)hz / 1e9L, tick = (long double)hz / 1e9L + 2;
	long double slew = c * RATE_PPM / 1e6L + tick;

	return (struct cycles_range){ c > slew ? (uint64_t)(c - slew) : 0, (uint64_t)(c + slew) + 1 };
}

bool clock_anchor_tsc(const struct clock_anchor *a, const struct clock_anchor *b, uint64_t hz, int64_t ns, uint64_t *lo, uint64_t *hi)
{
	if (!hz || ns < a->ns || ns > b->ns || b->before < a->after || (uint64_t)b->ns - (uint64_t)a->ns > (uint64_t)86400 * 1000000000)
		return false;
	struct cycles_range all = cycles_in((uint64_t)b->ns - (uint64_t)a->ns, hz);
	if (b->after - a->before < all.least || b->before - a->after > all.most)
		return false;
	struct cycles_range from_a = cycles_in((uint64_t)ns - (uint64_t)a->ns, hz), to_b = cycles_in((uint64_t)b->ns - (uint64_t)ns, hz);
	uint64_t lo_a = a->before + from_a.least, hi_a = a->after + from_a.most;
	uint64_t lo_b = b->before > to_b.most ? b->before - to_b.most : 0, hi_b = b->after - to_b.least;
	*lo = lo_a > lo_b ? lo_a : lo_b;
	*hi = hi_a < hi_b ? hi_a : hi_b;
	return *lo <= *hi;
}

/* The reading at host TSC h ∈ [lo, hi] was taken at a guest TSC in [before, after], so guest − scaled(h) ∈ [before − scaled(hi), after − scaled(lo)]. */
bool pairing_interval(const struct clock_paired *p, const struct clock_anchor *a, const struct clock_anchor *b, uint64_t hz,
		      struct tsc_scale scale, struct clock_interval *out)
{
	uint64_t lo, hi;

	if (!p->ok || p->after.cycles - p->before.cycles > INT64_MAX / 2 || !clock_anchor_tsc(a, b, hz, p->host_ns, &lo, &hi))
		return false;
	out->lo = (int64_t)(p->before.cycles - tsc_scale_up(scale, hi));
	out->hi = (int64_t)(p->after.cycles - tsc_scale_up(scale, lo));
	return (uint64_t)out->hi - (uint64_t)out->lo <= INT64_MAX;
}

struct pairing {
	struct clock_target *target;
	struct clock_anchor first;     /* the rate is measured from here */
};

static void *pairing_open(struct clock_target *t, char why[CLOCK_WHY_MAX])
{
	struct clock_paired p = { 0 };
	struct error err = { 0 };
	struct pairing *self = calloc(1, sizeof(*self));

	if (!self) {
		snprintf(why, CLOCK_WHY_MAX, "out of memory");
		return NULL;
	}
	*self = (struct pairing){ t, clock_anchor_take(ANCHOR_TRIES) };
	int r = t->kvm ? t->wire->pair(t->wire->ctx, &p, &err) : 1;
	if (r == 0 && p.ok)
		return self;
	free(self);
	if (!t->kvm)
		snprintf(why, CLOCK_WHY_MAX, "no KVM under the guest: emulation knows no clock pairing (vm.accel=kvm)");
	else if (r)
		snprintf(why, CLOCK_WHY_MAX, "the guest did not answer%s%.160s", err.code ? ": " : "", err.text);
	else
		snprintf(why, CLOCK_WHY_MAX, "the guest has no /dev/ptp* of ptp_kvm (the host's clock source must be tsc, and KVM must offer clock pairing)");
	return NULL;
}

/* CLOCK_REALTIME's own rate against the TSC, slew included, at the time. */
static uint64_t rate(const struct clock_anchor *a, const struct clock_anchor *b)
{
	int64_t ns = b->ns - a->ns;
	uint64_t cycles = b->before - a->before;

	return ns < RATE_SPAN_NS || cycles > INT64_MAX ? 0 : (uint64_t)((long double)cycles * 1e9L / (long double)ns);
}

static int pairing_observe(void *self, struct clock_observation *out, struct error *err)
{
	struct pairing *s = self;
	struct clock_paired p;
	struct clock_anchor a = clock_anchor_take(ANCHOR_TRIES);
	int r = s->target->wire->pair(s->target->wire->ctx, &p, err);

	if (r)
		return r < 0 ? -1 : 0;
	struct clock_anchor b = clock_anchor_take(ANCHOR_TRIES);
	uint64_t hz = rate(&s->first, &b);
	out->at = (struct host_tsc){ b.after };
	if (pairing_interval(&p, &a, &b, hz, s->target->scale, &out->offset))
		return 1;
	/* A stepped clock: measure its rate anew. Before RATE_SPAN_NS there is none yet. */
	if (hz)
		s->first = b;
	return 0;
}

const struct clock_method clock_pairing = { "pairing", TIER_PAIRING, pairing_open, pairing_observe, free };
