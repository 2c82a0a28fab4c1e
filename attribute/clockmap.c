// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Clocks: every stamp on one axis, the epoch it belongs to, and what the requests themselves say about the offset.
 *
 * The rule of epochs is host/clock/clock.h's: an epoch's span is where its offset is known to hold; a guest's stamp belongs to the last
 * epoch whose span holds all host times at which it may have been taken; what belongs to none lies in a break. The first epoch reaches back to
 * the run's beginning and the last to its end, or to the mark (a stop, a written offset) that is known there.
 *
 * Tier `causal`. For a pair of stamps, a guest's g and a host's h ± own, of which one is known to precede the other:
 *     g before h     offset > g − (h + own)
 *     h before g     offset < g − (h − own)
 * All pairs of an epoch are intersected with each other and with what was stored. If nothing is left somebody is wrong: the stored
 * interval stands, and the contradiction is reported.
 */
#include <stdlib.h>
#include <string.h>

#include "attribute/engine.h"

static uint64_t attr_u64(struct store *s, uint64_t run, const char *key)
{
	char *text = store_attr(s, run, key, NULL);
	uint64_t v = text ? strtoull(text, NULL, 10) : 0;
	free(text);
	return v;
}

static struct tsc_scale load_scale(struct store *s, uint64_t run)
{
	uint64_t frac = attr_u64(s, run, "clock.frac");
	struct tsc_scale scale = { attr_u64(s, run, "clock.ratio"), (uint8_t)(frac > 63 ? 63 : frac) };
	if (!tsc_scale_valid(scale, NULL) || scale.ratio == 1ull << scale.frac)
		scale = (struct tsc_scale){ 0, 0 };
	return scale;
}

static void add_midpoint(struct epoch_map *e)
{
	uint64_t width = (uint64_t)e->hi - (uint64_t)e->lo;
	e->mid = (int64_t)((uint64_t)e->lo + width / 2);
	e->half = width / 2 + (width & 1);
}

static int take_epoch(void *ctx, const struct store_epoch *row)
{
	struct clockmap *c = ctx;
	c->total++;
	/* A width of 2^62 and more says nothing, and is made up. */
	if (c->epochs == EPOCHS_MAX || (uint64_t)row->hi - (uint64_t)row->lo > 1ull << 62)
		return 0;
	struct epoch_map *e = &c->epoch[c->epochs];
	if (!c->epochs++)
		c->base = tsc_scale_up(c->scale, row->first_host);
	*e = (struct epoch_map){ .lo = row->lo, .hi = row->hi, .causal_lo = INT64_MIN, .causal_hi = INT64_MAX };
	add_midpoint(e);
	e->from = clockmap_host(c, row->first_host);
	e->to = clockmap_host(c, row->last_host);
	e->bound = (struct epoch_bound){ .epoch = row->epoch, .first_host = row->first_host, .last_host = row->last_host,
					 .lo = row->lo, .hi = row->hi, .tier = row->tier };
	return 0;
}

static int take_samples(void *ctx, const struct clock_sample *v, size_t n)
{
	struct clockmap *c = ctx;
	for (size_t i = 0; i < n; i++) {
		if (v[i].tier > TIER_EXCHANGE || v[i].epoch >= c->epochs || c->epoch[v[i].epoch].bound.epoch != v[i].epoch)
			continue;
		struct epoch_map *e = &c->epoch[v[i].epoch];
		struct tier_bound *t = &e->bound.by_tier[v[i].tier];
		/* Against the epoch's own midpoint, so that a wrap of 2^64 is nothing special. */
		int64_t lo = (int64_t)((uint64_t)v[i].lo - (uint64_t)e->mid), hi = (int64_t)((uint64_t)v[i].hi - (uint64_t)e->mid);
		int64_t was_lo = (int64_t)((uint64_t)t->lo - (uint64_t)e->mid), was_hi = (int64_t)((uint64_t)t->hi - (uint64_t)e->mid);
		t->lo = !t->samples || lo > was_lo ? v[i].lo : t->lo;
		t->hi = !t->samples || hi < was_hi ? v[i].hi : t->hi;
		t->samples++;
	}
	return 0;
}

/* Without an epoch the sides cannot be compared; the guest's own stamps can. */
static void make_do(struct clockmap *c, uint64_t open)
{
	c->base = open;
	c->epoch[0] = (struct epoch_map){ .from = INT64_MIN, .to = INT64_MAX, .causal_lo = INT64_MIN, .causal_hi = INT64_MAX };
	c->epochs = 1;
}

int clockmap_load(struct clockmap *c, struct store *s, uint64_t run, struct error *err)
{
	uint64_t guest = attr_u64(s, run, "guest.tsc_hz");
	c->scale = load_scale(s, run);
	c->hz = guest ? guest : attr_u64(s, run, "host.tsc_hz");
	if (!c->hz)
		c->hz = 1000000000;
	c->epoch = calloc(EPOCHS_MAX, sizeof(*c->epoch));
	if (!c->epoch)
		return error_set(err, ERR_LIMIT, "out of memory for %d clock epochs", EPOCHS_MAX);
	if (store_each_epoch(s, run, take_epoch, c, err) < 0 || store_each_clock(s, run, take_samples, c, err) < 0)
		return -1;
	c->known = c->epochs > 0;
	if (!c->known)
		make_do(c, attr_u64(s, run, "window.open"));
	return 0;
}

void clockmap_fini(struct clockmap *c)
{
	free(c->epoch);
	c->epoch = NULL;
}

int64_t clockmap_host(const struct clockmap *c, uint64_t tsc)
{
	return (int64_t)(tsc_scale_up(c->scale, tsc) - c->base);
}

static int64_t on_axis(const struct clockmap *c, const struct epoch_map *e, uint64_t guest)
{
	return (int64_t)(guest - (uint64_t)e->mid - c->base);
}

static int64_t plus(int64_t a, uint64_t b)
{
	return b > (uint64_t)INT64_MAX || a > INT64_MAX - (int64_t)b ? INT64_MAX : a + (int64_t)b;
}

static int64_t minus(int64_t a, uint64_t b)
{
	return b > (uint64_t)INT64_MAX || a < INT64_MIN + (int64_t)b ? INT64_MIN : a - (int64_t)b;
}

static bool inside(const struct epoch_map *e, int64_t t)
{
	return minus(t, e->half) >= e->from && plus(t, e->half) <= e->to;
}

static int64_t nearest(const struct clockmap *c, uint64_t tsc, uint32_t *epoch)
{
	uint64_t best = UINT64_MAX;
	int64_t found = 0;
	for (uint32_t i = c->epochs; i-- > 0; ) {
		const struct epoch_map *e = &c->epoch[i];
		int64_t t = on_axis(c, e, tsc);
		uint64_t far = t < e->from ? (uint64_t)e->from - (uint64_t)t : t > e->to ? (uint64_t)t - (uint64_t)e->to : 0;
		if (far < best) {
			best = far;
			found = t;
			*epoch = i;
		}
	}
	return found;
}

int64_t clockmap_guest(const struct clockmap *c, uint64_t tsc, uint32_t *epoch)
{
	/* The last epoch's stamps are the last epoch's, whatever earlier ones say: with a single one there is nothing to look for. */
	if (c->epochs == 1) {
		*epoch = 0;
		return on_axis(c, &c->epoch[0], tsc);
	}
	for (uint32_t i = c->epochs; i-- > 0; ) {
		int64_t t = on_axis(c, &c->epoch[i], tsc);
		if (inside(&c->epoch[i], t)) {
			*epoch = i;
			return t;
		}
	}
	return nearest(c, tsc, epoch);
}

uint64_t clockmap_at(const struct clockmap *c, int64_t t, uint32_t epoch)
{
	return (uint64_t)t + (uint64_t)c->epoch[epoch].mid + c->base;
}

/* What is known of the clock before the first epoch and after the last: nothing broke it there but what left a mark. */
void clockmap_extend(struct clockmap *c, int64_t last_before, int64_t first_after)
{
	if (!c->known)
		return;
	c->epoch[0].from = last_before < c->epoch[0].from ? last_before + 1 : c->epoch[0].from;
	struct epoch_map *last = &c->epoch[c->epochs - 1];
	last->to = first_after > last->to ? first_after - 1 : last->to;
}

/* ---- tier causal ---- */

void clockmap_guest_first(struct clockmap *c, uint32_t epoch, int64_t guest, int64_t host, uint32_t own)
{
	struct epoch_map *e = &c->epoch[epoch];
	int64_t bound = t_sub(t_sub(guest, host), (int64_t)own);
	e->causal_below++;
	if (bound > e->causal_lo)
		e->causal_lo = bound;
}

void clockmap_host_first(struct clockmap *c, uint32_t epoch, int64_t host, int64_t guest, uint32_t own)
{
	struct epoch_map *e = &c->epoch[epoch];
	int64_t bound = t_add(t_sub(guest, host), (int64_t)own);
	e->causal_above++;
	if (bound < e->causal_hi)
		e->causal_hi = bound;
}

static int64_t absolute(const struct epoch_map *e, int64_t against_mid)
{
	return (int64_t)((uint64_t)e->mid + (uint64_t)against_mid);
}

/* False when nothing is left. */
static bool narrow_one(struct epoch_map *e)
{
	int64_t lo = -(int64_t)((uint64_t)e->mid - (uint64_t)e->lo), hi = (int64_t)((uint64_t)e->hi - (uint64_t)e->mid);
	struct tier_bound *t = &e->bound.by_tier[TIER_CAUSAL];
	t->samples = e->causal_below + e->causal_above;
	/* A side that no pair bounds is bounded by what was stored. */
	int64_t clo = e->causal_below ? e->causal_lo : lo, chi = e->causal_above ? e->causal_hi : hi;
	t->lo = absolute(e, clo);
	t->hi = absolute(e, chi);
	bool narrower = clo > lo || chi < hi;
	lo = clo > lo ? clo : lo;
	hi = chi < hi ? chi : hi;
	if (lo > hi)
		return false;
	if (!narrower)
		return true;
	e->bound.lo = e->lo = absolute(e, lo);
	e->bound.hi = e->hi = absolute(e, hi);
	e->bound.tier = TIER_CAUSAL;
	add_midpoint(e);
	return true;
}

uint32_t clockmap_narrow(struct clockmap *c)
{
	uint32_t empty = 0;
	for (uint32_t i = 0; c->known && i < c->epochs; i++)
		if (c->epoch[i].causal_below || c->epoch[i].causal_above)
			empty += !narrow_one(&c->epoch[i]);
	return empty;
}
