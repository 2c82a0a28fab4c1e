/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/clock/clock.h"

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
