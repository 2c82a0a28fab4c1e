// SPDX-License-Identifier: GPL-2.0-or-later
/* Names of what attribution finds, and the few sums that everybody who prints a result needs. */
#include <math.h>

#include "attribute/result.h"
#include "common/clock_tier.h"

const char *const level_name[LEVELS] = { "mean", "p50", "p99", "p99.9" };

const char *served_name(unsigned v)
{
	switch (v) {
#define V(number, NAME, name, text) case number: return #name;
	SERVED_TABLE(V)
#undef V
	default: return "unknown";
	}
}

const char *cause_name(unsigned v)
{
	switch (v) {
#define V(number, NAME, name, text) case number: return #name;
	CAUSE_TABLE(V)
#undef V
	default: return "unknown";
	}
}

const char *cause_text(unsigned v)
{
	switch (v) {
#define V(number, NAME, name, text) case number: return text;
	CAUSE_TABLE(V)
#undef V
	default: return "unknown";
	}
}

const char *example_name(unsigned role)
{
	static const char *const name[EXAMPLES] = { "typical", "p99", "worst", "violation" };
	return role < EXAMPLES ? name[role] : "unknown";
}

static uint64_t saturated_sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

uint64_t attributed_bound(const struct attributed *r, unsigned from, unsigned to)
{
	if (from >= BOUNDARIES || to >= BOUNDARIES)
		return 0;
	uint64_t own = (uint64_t)r->own[from] + r->own[to];
	return phase_crosses(from, to) ? saturated_sum(own, r->offset_err) : own;
}

/* The epoch with requests in it whose interval is the widest, or NULL. */
static const struct epoch_bound *widest(const struct attribution *a)
{
	const struct epoch_bound *found = NULL;
	for (uint32_t i = 0; i < a->epochs_kept; i++) {
		const struct epoch_bound *e = &a->epoch[i];
		if (!e->requests || !e->tier)
			continue;
		if (!found || (uint64_t)e->hi - (uint64_t)e->lo > (uint64_t)found->hi - (uint64_t)found->lo)
			found = e;
	}
	return found;
}

double attribution_ns(const struct attribution *a, double guest_cycles)
{
	uint64_t hz = a->guest_hz ? a->guest_hz : a->host_hz;
	return hz ? guest_cycles * 1e9 / (double)hz : (double)NAN;
}

double attribution_bound_ns(const struct attribution *a)
{
	const struct epoch_bound *e = widest(a);
	return e ? attribution_ns(a, (double)((uint64_t)e->hi - (uint64_t)e->lo) / 2) : (double)NAN;
}

unsigned attribution_tier(const struct attribution *a)
{
	const struct epoch_bound *e = widest(a);
	return e ? e->tier : 0;
}
