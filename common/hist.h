/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A log-linear histogram of 64-bit values: exact below 2^HIST_BITS, and above with a relative error
 * of at most 2^-HIST_BITS (0.2 %), up to 2^64. Fixed size, mergeable, no allocation per record.
 */
#ifndef BIFOCAL_COMMON_HIST_H
#define BIFOCAL_COMMON_HIST_H

#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"

enum { HIST_BITS = 9, HIST_BUCKETS = (64 - HIST_BITS + 1) << HIST_BITS };

struct hist {
	uint64_t count, sum, min, max;      /* sum saturates */
	uint64_t bucket[HIST_BUCKETS];
};

void hist_init(struct hist *h);
void hist_add(struct hist *h, uint64_t value);
void hist_merge(struct hist *into, const struct hist *from);
/* Smallest value v such that at least ceil(q·count) recorded values are <= v's bucket's upper end; q in [0, 1].
 * 0 for an empty histogram. Never above max. */
uint64_t hist_quantile(const struct hist *h, double q);
/* Bucket limits, for charts: values v with lo <= v <= hi fall into bucket i. */
void hist_bucket_range(unsigned i, uint64_t *lo, uint64_t *hi);
void hist_pack(struct wbuf *w, const struct hist *h);
int hist_unpack(struct span packed, struct hist *h, struct error *err);

#endif
