/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/tsc.h"

enum { NS_PER_S = 1000000000, SHORTEST_SPAN_NS = 1000000 };

static struct tsc_anchor bracket(clockid_t clock)
{
	struct tsc_anchor a;
	struct timespec t;
	a.before = tsc_read();
	clock_gettime(clock, &t);
	a.after = tsc_read();
	a.ns = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
	return a;
}

struct tsc_anchor tsc_anchor_take(clockid_t clock, int tries)
{
	struct tsc_anchor best = bracket(clock);
	for (int i = 1; i < tries; i++) {
		struct tsc_anchor a = bracket(clock);
		if (a.after - a.before < best.after - best.before)
			best = a;
	}
	return best;
}

uint64_t tsc_hz_between(const struct tsc_anchor *a, const struct tsc_anchor *b, double *error_hz)
{
	if (error_hz)
		*error_hz = 0;
	if (b->ns < a->ns || b->ns - a->ns < SHORTEST_SPAN_NS)
		return 0;
	/* The clock was read somewhere in each bracket, so between the two readings passed at
	 * least b.before − a.after cycles and at most b.after − a.before. */
	uint64_t most = b->after - a->before;
	uint64_t slack = (a->after - a->before) + (b->after - b->before);
	long double span = (long double)(b->ns - a->ns);
	long double half = (long double)slack / 2;
	if (error_hz)
		*error_hz = (double)(half * NS_PER_S / span);
	return (uint64_t)(((long double)most - half) * NS_PER_S / span + 0.5L);
}

/* A long double holds any cycle count whole, so all that is lost is in the last rounding. */
double tsc_to_ns(uint64_t cycles, uint64_t hz)
{
	return (double)((long double)cycles * NS_PER_S / (long double)hz);
}
