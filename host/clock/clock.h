/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's clock against the host's: a bound that only narrows, until it breaks.
 *
 * Within an epoch guest = ((host × ratio) >> frac) + offset exactly (one oscillator; common/tscmap.h), so every observation is an
 * interval that holds the true offset, and all of them intersect. An empty intersection proves a discontinuity: a new epoch opens
 * with the observation that broke the old one. Offsets are compared modulo 2^64 relative to the epoch's first
 * observation, so that ±2^62 and a wrap are nothing special.
 *
 * Which epoch a stamp belongs to. Attribution needs the stored epochs (struct store_epoch) for this, and nothing else:
 *
 *  - An epoch's span [first_host, last_host] is where its offset is known to hold: from its first observation to its last; and further,
 *    up to the moment before the command that broke it, and back to the RESUME that began it (no guest code runs before that).
 *    Spans do not overlap, and ascend with the epoch's number. What lies between two spans lies in a break.
 *    Attribution lets the first span reach back to the run's beginning and the last one on to its end, as far as no mark of a break
 *    (SIGHT_STOPPED, a written TSC offset) is known there: nothing else tells of a change.
 *  - A host stamp h belongs to the epoch whose span holds it: first_host <= h <= last_host. To none: it lies in a break.
 *  - A guest stamp g may have been taken at any host time from tsc_to_host(scale, hi, g) to tsc_to_host(scale, lo, g), by the
 *    epoch's lo and hi. It belongs to the *last* epoch (highest number) whose span holds both ends; to none: it lies in a break. The last,
 *    since loadvm takes the guest's clock back: the same guest stamp then has a place in an earlier epoch too, but what the guest
 *    recorded there was taken back with its memory.
 *  - A request is quarantined unless all its stamps, of both sides, belong to one and the same epoch.
 *
 * While a VM stops, its vCPUs may run on for a moment with a clock that stands still (QEMU halts the clock, then the vCPUs, then
 * says STOP). Such a stamp maps to the moment the clock was halted: after the command, thus after last_host, thus into the break.
 *
 * A method (tier) is a plug-in, one file: it says what it observed, the track does the rest. All that are available are used at once.
 */
#ifndef BIFOCAL_HOST_CLOCK_CLOCK_H
#define BIFOCAL_HOST_CLOCK_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock_tier.h"
#include "common/error.h"
#include "common/tsc.h"
#include "common/tscmap.h"

struct clock_interval { int64_t lo, hi; };      /* guest − scaled host, cycles; hi − lo (mod 2^64) is its width, below 2^63 */

/* The four-stamp exchange (host t1, guest t2, guest t3, host t4): the guest read after the host wrote, and so on, whence
 * offset ∈ [t3 − t4, t2 − t1]. False when the stamps contradict themselves (t4 < t1, t3 < t2, or an empty interval): such a pong is refused. */
bool exchange_interval(struct host_tsc t1, struct guest_tsc t2, struct guest_tsc t3, struct host_tsc t4, struct clock_interval *out);

enum { CLOCK_EPOCHS_MAX = 4096 };

struct clock_epoch {
	enum clock_tier tier;                   /* the tightest tier that narrowed it */
	struct host_tsc first, last;            /* its span, see above */
	struct clock_interval offset;
	uint64_t samples;
};

struct clock_track;
struct clock_track *clock_track_new(struct error *err);
void clock_track_free(struct clock_track *t);
/* Returns the epoch number the observation fell into (>= 0), opening one when it contradicts the current; -1 when CLOCK_EPOCHS_MAX is used up. */
int clock_track_add(struct clock_track *t, enum clock_tier tier, struct host_tsc at, struct clock_interval offset, struct error *err);
/* The current epoch is known to hold up to `at`, beyond its last observation; nothing without an epoch, or after a break. */
void clock_track_until(struct clock_track *t, struct host_tsc at);
/* Something outside says that the clock jumped (QMP STOP/RESUME, migration): the next observation opens an epoch. */
void clock_track_break(struct clock_track *t);
/* After a break: the epoch that the next observation opens holds from `at` on already (the last one said counts). */
void clock_track_since(struct clock_track *t, struct host_tsc at);
bool clock_track_broken(const struct clock_track *t);
/* What was found out later about an epoch. -1 when it contradicts it: nothing is changed then, and somebody is wrong. */
int clock_track_narrow(struct clock_track *t, size_t epoch, enum clock_tier tier, struct clock_interval offset);
size_t clock_track_epochs(const struct clock_track *t);
const struct clock_epoch *clock_track_epoch(const struct clock_track *t, size_t i);
/* Midpoint and half-width (rounded up) of an epoch's offset, in cycles. The midpoint never goes without the half-width. */
void clock_epoch_bound(const struct clock_epoch *e, int64_t *midpoint, uint64_t *half_width);

/* The epoch that a guest stamp belongs to, by the rule above; -1: it lies in a break. */
int clock_epoch_of_guest(const struct clock_epoch *e, size_t n, struct tsc_scale scale, struct guest_tsc g);

/* ---- methods ---- */

enum { CLOCK_WHY_MAX = 256, CLOCK_VCPUS_MAX = 255 };

/* What a port offers: one message there and back. 0: answered, 1: no answer in time, -1 with err. */
struct clock_four { struct host_tsc t1; struct guest_tsc t2, t3; struct host_tsc t4; };
struct clock_paired { bool ok; struct guest_tsc before, after; int64_t host_ns; };
struct clock_wire {
	int (*exchange)(void *ctx, struct clock_four *out, struct error *err);
	int (*pair)(void *ctx, struct clock_paired *out, struct error *err);
	void *ctx;
};

struct clock_target {
	const struct clock_wire *wire;
	int qemu;                               /* its pid; 0: not known */
	bool kvm;                               /* false: emulation, or nobody knows */
	const char *debugfs;                    /* NULL: /sys/kernel/debug, mounted if it is not and may be */
	struct tsc_scale scale;                 /* in use; not scaled unless `exact` said so */
};

struct clock_observation {
	struct host_tsc at;
	struct clock_interval offset;
};

struct clock_method {
	const char *name;
	enum clock_tier tier;
	/* NULL when it is not available: `why` tells the reason and the remedy. `t` outlives it. */
	void *(*open)(struct clock_target *t, char why[CLOCK_WHY_MAX]);
	/* 1 with *out; 0: nothing came of it this time (counted by the caller); -1 with err: no further use. */
	int (*observe)(void *self, struct clock_observation *out, struct error *err);
	void (*free)(void *self);               /* NULL is fine */
};

/* `exact` also sets the target's scale when it is opened. `sandwich` (clock/sandwich.h) and `causal` (attribute/) work on what is stored. */
extern const struct clock_method clock_exact, clock_pairing, clock_exchange;

/* CLOCK_REALTIME was ns at some host TSC in [before, after]. */
struct clock_anchor { uint64_t before, after; int64_t ns; };
struct clock_anchor clock_anchor_take(int tries);
/* Host TSC at CLOCK_REALTIME `ns`, between two anchors around it: *lo <= truth <= *hi. False when the clock was stepped between the
 * anchors (their rates contradict `rate_ppm` of hz), or ns lies outside them. */
bool clock_anchor_tsc(const struct clock_anchor *a, const struct clock_anchor *b, uint64_t hz, int64_t ns, uint64_t *lo, uint64_t *hi);
/* The offset that one pairing leaves open. */
bool pairing_interval(const struct clock_paired *p, const struct clock_anchor *a, const struct clock_anchor *b, uint64_t hz,
		      struct tsc_scale scale, struct clock_interval *out);
/* What `exact` reads below a VM's directory of KVM's debugfs; testable with a made-up one. */
struct exact_reading { struct tsc_scale scale; int64_t offset; unsigned vcpus; };
int exact_read(const char *dir, struct exact_reading *out, struct error *err);

#endif
