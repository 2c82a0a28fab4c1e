/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Anchors: pairs of a kernel clock and the host's TSC, by which a log's stamps become TSC cycles.
 *
 * An anchor i says: the clock showed r_i (ns) at some instant within [b_i, a_i] (TSC before and after the reading; the tightest of some
 * tries). They are taken at start(), at each tick() (every 50 to 100 ms) and at stop(), and stored as SIGHT_ANCHOR in the stream that they
 * serve: time = r, key = b, sector = a. In the stream they stand where they were taken: a sighting behind anchor i and before anchor
 * i + 1 was written to the log between the two, whatever the clock did meanwhile.
 *
 * The rule by which a stamp t of that stream becomes TSC cycles, with a bound
 * ------------------------------------------------------------------------
 * Let m_i = (b_i + a_i) / 2 and w_i = a_i − b_i. For the interval i, between anchors i and i + 1:
 *     d_i = r_{i+1} − r_i                  ns, must be above 0
 *     q_i = (m_{i+1} − m_i) / d_i          cycles per ns
 * 1. Steps. The interval is broken, and no sighting in it can be converted (they are quarantined, counted), when d_i <= 0 or when
 *        |m_{i+1} − m_i − Q · d_i|  >  (w_i + w_{i+1}) / 2 + 0.001 · Q · d_i
 *    where Q is the median of all q. The kernel slews by 0.05 % at most (ntp_adjtime's limit of 500 ppm); twice that is a step. A smaller
 *    step stays below 0.1 ms here and is not missed either: it is in the bound, by point 4.
 * 2. Truncation. A stamp of the log is cut off to the microsecond: the event was when the clock showed a value in [t, t + 999] ns. A
 *    stream of clock STREAM_REALTIME has R = 999, one of STREAM_MONOTONIC (QEMU's binary file: nanoseconds) R = 0.
 * 3. Middle. For a stamp t in interval i (r_i <= t <= r_{i+1}; see 5 for others), the event's TSC is
 *        m_i + q_i · (t + R / 2 − r_i)
 * 4. Bound. ± ( q_i · R / 2  +  max(w_i, w_{i+1}) / 2  +  s_i ), rounded outwards to whole cycles, where
 *        s_i = d_i · max(|q_i − q_{i−1}|, |q_i − q_{i+1}|)
 *    (over the neighbours that exist and are not broken; without any, s_i = 0.001 · q_i · d_i). Why it holds: with one change of the clock
 *    in the interval, of its rate (from about q_{i−1} to about q_{i+1}) or a step by c, straight interpolation is off by at most
 *    |q_{i+1} − q_{i−1}| · d_i / 4 or by |c|; the first is at most half of s_i, and a step moves q_i by c / d_i against both neighbours, so that s_i
 *    shows it in full. What the brackets do to q is in s_i as well: they differ by w / d where the clock is steady. What is
 *    assumed: one change an interval of 0.1 s. The kernel disciplines its clock once a second, a daemon's calls are rarer.
 *    Measured on an idle clock with two busy cores: ± 0.54 µs on average, 0.58 at worst, of which 0.5 are the truncation.
 * 5. Which interval. First by place in the stream. A stamp before r_i there (it was taken, then waited for the log's lock while the anchor was
 *    taken) belongs to the interval before, if that is not broken; one beyond r_{i+1} is converted by interval i + 1. A stamp still outside, before
 *    the first anchor or behind the last, is converted by the nearest interval's line when it is off by 1 s at most, with s · (1 + off / d) for s.
 *    If any interval it is moved across is broken, it cannot be converted.
 * A stream of CLOCK_MONOTONIC stamps never steps, and is not in file order with its anchors (QEMU buffers): they are merged by time.
 */
#ifndef BIFOCAL_HOST_TRACE_ANCHOR_H
#define BIFOCAL_HOST_TRACE_ANCHOR_H

#include <time.h>

#include "common/error.h"
#include "common/sight.h"

enum {
	ANCHOR_TRIES = 8,
	/* Most of an hour at twenty a second; when they are full, every other one goes and half as many are taken. */
	ANCHORS_MAX = 65536,
};

struct anchor {
	uint64_t ns, before, after;    /* r, b, a */
	uint64_t position;             /* bytes that were in the log, or 0 */
};

struct anchors {
	clockid_t clock;
	struct anchor *list;           /* ascending by when they were taken */
	size_t n, cap;
	unsigned every, skipped;       /* one of so many ticks is kept */
};

/* CLOCK_REALTIME or CLOCK_MONOTONIC. -1 without memory. */
int anchors_init(struct anchors *a, clockid_t clock, struct error *err);
void anchors_fini(struct anchors *a);          /* zeroed is fine */
struct anchor anchor_take(clockid_t clock, int tries);
/* Takes one and keeps it; `due` false: only if it is its turn. Keeps what it has without memory. */
void anchors_take(struct anchors *a, uint64_t position, bool due);
void anchors_add(struct anchors *a, const struct anchor *one, bool due);
struct sighting anchor_sighting(const struct anchor *a);

#endif
