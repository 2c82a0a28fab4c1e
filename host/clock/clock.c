/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Offsets live on a circle of 2^64 cycles; an interval is an arc that starts at lo and is hi − lo (mod 2^64) long, less than half the
 * circle. Two such arcs meet in at most one arc, so the intersection needs no common zero, and neither ±2^62 nor a wrap is special.
 *
 * What is guaranteed. Let every observation hold the offset that was true when it was made, and call an epoch clean if
 * the offset did not change from its first observation to its last.
 *
 *  1. In a clean epoch the bound holds the true offset after every observation: it is an intersection of arcs that all do.
 *  2. When an epoch, clean until then, meets a change by J (taken the shorter way round the circle) with |J| > width(bound) +
 *     width(next observation), it is seen at that next observation, whose epoch starts with an arc that holds the new offset. Were
 *     the two arcs to meet in x, the old offset would lie within width(bound) of x and the new one within width(observation).
 *  3. A smaller change may go unseen, and the epoch is then not clean: its bound may hold neither the old nor the new offset. Yet every
 *     observation taken in since the change holds the new offset and contains the whole bound, so no point of the bound is
 *     further from the truth than the width of the narrowest observation since the change. That, not the half-width, is what an
 *     unclean epoch still offers. An arc that later contradicts the bound opens a new epoch, clean again.
 *  4. Who knows of a change from elsewhere (QMP's STOP and RESUME, a migration, a write to the TSC offset) says so with
 *     clock_track_break(), and every epoch is clean. The exchange alone cannot know. An exchange that was under way when the
 *     change came mixes both offsets and holds neither for sure: it is the caller's to throw away.
 */
#include "host/clock/clock.h"

#include <stdlib.h>

enum { FIRST_ROOM = 16 };

struct clock_track {
	struct clock_epoch *epochs;
	size_t n, room;
	bool broken;                    /* the next observation opens an epoch, whatever it says */
	bool has_since;
	struct host_tsc since;          /* that epoch's start, if it is known */
};

struct clock_track *clock_track_new(struct error *err)
{
	struct clock_track *t = calloc(1, sizeof(*t));

	if (!t)
		error_set(err, ERR_LIMIT, "clock: out of memory");
	return t;
}

void clock_track_free(struct clock_track *t)
{
	if (!t)
		return;
	free(t->epochs);
	free(t);
}

static uint64_t width(struct clock_interval i)
{
	return (uint64_t)i.hi - (uint64_t)i.lo;
}

/* False when the arcs are apart. */
static bool intersect(struct clock_interval a, struct clock_interval b, struct clock_interval *out)
{
	uint64_t a_to_b = (uint64_t)b.lo - (uint64_t)a.lo;

	/* One of them starts inside the other. */
	if (a_to_b <= width(a))
		out->lo = b.lo;
	else if (-a_to_b <= width(b))
		out->lo = a.lo;
	else
		return false;
	uint64_t left_a = (uint64_t)a.hi - (uint64_t)out->lo, left_b = (uint64_t)b.hi - (uint64_t)out->lo;
	out->hi = left_a < left_b ? a.hi : b.hi;
	return true;
}

static int open_epoch(struct clock_track *t, enum clock_tier tier, struct host_tsc at, struct clock_interval offset, struct error *err)
{
	if (t->n == CLOCK_EPOCHS_MAX)
		return error_set(err, ERR_LIMIT, "clock: more than %d jumps of the guest's clock against the host's; "
				 "is the host's TSC stable? `bifocal doctor` tells", CLOCK_EPOCHS_MAX);
	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : FIRST_ROOM;
		struct clock_epoch *more = reallocarray(t->epochs, room, sizeof(*more));
		if (!more)
			return error_set(err, ERR_LIMIT, "clock: out of memory");
		t->epochs = more;
		t->room = room;
	}
	bool earlier = t->broken && t->has_since && t->since.cycles < at.cycles;
	t->epochs[t->n] = (struct clock_epoch){ .tier = tier, .first = earlier ? t->since : at, .last = at, .offset = offset, .samples = 1 };
	t->broken = t->has_since = false;
	return (int)t->n++;
}

static void narrow(struct clock_epoch *e, enum clock_tier tier, struct host_tsc at, struct clock_interval both)
{
	if (width(both) < width(e->offset) && tier < e->tier)
		e->tier = tier;
	e->offset = both;
	if (e->last.cycles < at.cycles)
		e->last = at;
	e->samples++;
}

int clock_track_add(struct clock_track *t, enum clock_tier tier, struct host_tsc at, struct clock_interval offset, struct error *err)
{
	struct clock_interval both;

	if (width(offset) > INT64_MAX)
		return error_set(err, ERR_PROTOCOL, "clock: an observation whose upper end lies below its lower");
	if (!t->n || t->broken || !intersect(t->epochs[t->n - 1].offset, offset, &both))
		return open_epoch(t, tier, at, offset, err);
	narrow(&t->epochs[t->n - 1], tier, at, both);
	return (int)t->n - 1;
}

void clock_track_until(struct clock_track *t, struct host_tsc at)
{
	if (t->n && !t->broken && t->epochs[t->n - 1].last.cycles < at.cycles)
		t->epochs[t->n - 1].last = at;
}

void clock_track_break(struct clock_track *t)
{
	t->broken = true;
	t->has_since = false;
}

void clock_track_since(struct clock_track *t, struct host_tsc at)
{
	if (!t->broken || (t->n && at.cycles <= t->epochs[t->n - 1].last.cycles))
		return;
	t->has_since = true;
	t->since = at;
}

bool clock_track_broken(const struct clock_track *t)
{
	return t->broken;
}

int clock_track_narrow(struct clock_track *t, size_t epoch, enum clock_tier tier, struct clock_interval offset)
{
	struct clock_interval both;

	if (epoch >= t->n || width(offset) > INT64_MAX || !intersect(t->epochs[epoch].offset, offset, &both))
		return -1;
	narrow(&t->epochs[epoch], tier, t->epochs[epoch].first, both);
	return 0;
}

size_t clock_track_epochs(const struct clock_track *t)
{
	return t->n;
}

const struct clock_epoch *clock_track_epoch(const struct clock_track *t, size_t i)
{
	return i < t->n ? &t->epochs[i] : NULL;
}

void clock_epoch_bound(const struct clock_epoch *e, int64_t *midpoint, uint64_t *half_width)
{
	uint64_t w = width(e->offset);

	*midpoint = (int64_t)((uint64_t)e->offset.lo + w / 2);
	*half_width = w / 2 + w % 2;
}

int clock_epoch_of_guest(const struct clock_epoch *e, size_t n, struct tsc_scale scale, struct guest_tsc g)
{
	for (size_t i = n; i-- > 0;) {
		uint64_t lo = tsc_to_host(scale, e[i].offset.hi, g).cycles, hi = tsc_to_host(scale, e[i].offset.lo, g).cycles;
		if (lo <= hi && e[i].first.cycles <= lo && hi <= e[i].last.cycles)
			return (int)i;
	}
	return -1;
}
