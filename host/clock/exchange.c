/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tier `exchange`: four stamps over the port; needs nothing but the port. */
#include "host/clock/clock.h"

#include <stdlib.h>

/*
 * With o = guest − host: the guest read the ping after the host wrote it, so t2 >= t1 + o; the host read the pong after the guest
 * wrote it, so t4 + o >= t3. Hence o ∈ [t3 − t4, t2 − t1]. Its width is the round trip less the guest's hold:
 * (t2 − t1) − (t3 − t4) = (t4 − t1) − (t3 − t2), which needs no offset to compute and must not be negative. Delays may be as unequal as
 * they like: nothing here assumes a half.
 */
bool exchange_interval(struct host_tsc t1, struct guest_tsc t2, struct guest_tsc t3, struct host_tsc t4, struct clock_interval *out)
{
	uint64_t round_trip = t4.cycles - t1.cycles, hold = t3.cycles - t2.cycles;

	/* A span of 2^63 cycles is a hundred years: it is a clock that ran backwards. */
	if (round_trip > INT64_MAX || hold > round_trip)
		return false;
	out->lo = (int64_t)(t3.cycles - t4.cycles);
	out->hi = (int64_t)(t2.cycles - t1.cycles);
	return true;
}

/* Scaling keeps the order of stamps (it rounds down, and is monotonic), so the same holds for scaled host stamps. */
static struct host_tsc scaled(struct tsc_scale s, struct host_tsc t)
{
	return (struct host_tsc){ tsc_scale_up(s, t.cycles) };
}

static void *exchange_open(struct clock_target *t, char why[CLOCK_WHY_MAX])
{
	(void)why;
	return t;
}

static int exchange_observe(void *self, struct clock_observation *out, struct error *err)
{
	const struct clock_target *t = self;
	struct clock_four f;
	int r = t->wire->exchange(t->wire->ctx, &f, err);

	if (r)
		return r < 0 ? -1 : 0;
	out->at = f.t4;
	return exchange_interval(scaled(t->scale, f.t1), f.t2, f.t3, scaled(t->scale, f.t4), &out->offset);
}

static void exchange_free(void *self)
{
	(void)self;
}

const struct clock_method clock_exchange = { "exchange", TIER_EXCHANGE, exchange_open, exchange_observe, exchange_free };
