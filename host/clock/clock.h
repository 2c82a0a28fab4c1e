/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's clock against the host's: a bound that only narrows, until it breaks.
 *
 * Within an epoch guest = host + offset exactly (one oscillator, no scaling yet), so every observation is an interval
 * that holds the true offset, and all of them intersect. An empty intersection proves a discontinuity: a new epoch opens
 * with the observation that broke the old one. Offsets are compared modulo 2^64 relative to the epoch's first
 * observation, so that ±2^62 and a wrap are nothing special.
 *
 * A method (tier) is a plug-in: it says what it observed, the track does the rest.
 */
#ifndef BIFOCAL_HOST_CLOCK_CLOCK_H
#define BIFOCAL_HOST_CLOCK_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock_tier.h"
#include "common/error.h"
#include "common/tsc.h"

struct clock_interval { int64_t lo, hi; };      /* guest − host, cycles; hi − lo (mod 2^64) is its width, below 2^63 */

/* The four-stamp exchange (host t1, guest t2, guest t3, host t4): the guest read after the host wrote, and so on, whence
 * offset ∈ [t3 − t4, t2 − t1]. False when the stamps contradict themselves (t4 < t1, t3 < t2, or an empty interval): such a pong is refused. */
bool exchange_interval(struct host_tsc t1, struct guest_tsc t2, struct guest_tsc t3, struct host_tsc t4, struct clock_interval *out);

enum { CLOCK_EPOCHS_MAX = 4096 };

struct clock_epoch {
	enum clock_tier tier;                   /* the tightest tier that narrowed it */
	struct host_tsc first, last;            /* of its observations */
	struct clock_interval offset;
	uint64_t samples;
};

struct clock_track;
struct clock_track *clock_track_new(struct error *err);
void clock_track_free(struct clock_track *t);
/* Returns the epoch number the observation fell into (>= 0), opening one when it contradicts the current; -1 when CLOCK_EPOCHS_MAX is used up. */
int clock_track_add(struct clock_track *t, enum clock_tier tier, struct host_tsc at, struct clock_interval offset, struct error *err);
/* Something outside says that the clock jumped (QMP STOP/RESUME, migration): the next observation opens an epoch. */
void clock_track_break(struct clock_track *t);
size_t clock_track_epochs(const struct clock_track *t);
const struct clock_epoch *clock_track_epoch(const struct clock_track *t, size_t i);
/* Midpoint and half-width (rounded up) of an epoch's offset, in cycles. The midpoint never goes without the half-width. */
void clock_epoch_bound(const struct clock_epoch *e, int64_t *midpoint, uint64_t *half_width);

#endif
