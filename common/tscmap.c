// SPDX-License-Identifier: GPL-2.0-or-later
#include "common/tscmap.h"

typedef unsigned __int128 u128_t;

uint64_t tsc_scale_up(struct tsc_scale s, uint64_t host)
{
	return s.ratio ? (uint64_t)((u128_t)host * s.ratio >> s.frac) : host;
}

struct guest_tsc tsc_to_guest(struct tsc_scale s, int64_t offset, struct host_tsc host)
{
	return (struct guest_tsc){ tsc_scale_up(s, host.cycles) + (uint64_t)offset };
}

struct host_tsc tsc_to_host(struct tsc_scale s, int64_t offset, struct guest_tsc guest)
{
	uint64_t scaled = guest.cycles - (uint64_t)offset;

	if (!s.ratio)
		return (struct host_tsc){ scaled };
	u128_t shifted = (u128_t)scaled << s.frac;
	return (struct host_tsc){ (uint64_t)((shifted + (s.ratio - 1)) / s.ratio) };
}

double tsc_scale_ratio(struct tsc_scale s)
{
	return s.ratio ? (double)s.ratio / (double)(1ull << s.frac) : 1.0;
}

bool tsc_scale_valid(struct tsc_scale s, struct error *err)
{
	if (!s.ratio)
		return true;
	if (s.frac > 63) {
		error_set(err, ERR_USAGE, "a TSC scaling ratio with %u fractional bits; at most 63", s.frac);
		return false;
	}
	double r = tsc_scale_ratio(s);
	if (r < 1.0 / 16 || r > 16) {
		error_set(err, ERR_USAGE, "a TSC scaling ratio of %g; between 1/16 and 16", r);
		return false;
	}
	return true;
}
