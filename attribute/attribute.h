/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attribution: from the raw stamps of a stored run to where each request's time went.
 *
 * It reads the store and nothing else, so that any run can be attributed again, on any machine, with the same result. Two passes over
 * the run's streams, side by side in time order, those that fit in memory, of the others a chunk of each:
 *   1. clocks: the requests themselves bound the offset (tier `causal`); with the bounds that were stored, it gives each epoch's map.
 *   2. join: each application I/O finds the sightings of its request, vantage by vantage; phases, causes, examples.
 *
 * All times of a request are in guest cycles: its phases sum to reap − submit exactly, in integers.
 */
#ifndef BIFOCAL_ATTRIBUTE_ATTRIBUTE_H
#define BIFOCAL_ATTRIBUTE_ATTRIBUTE_H

#include "attribute/result.h"
#include "store/store.h"

/* Attributes the run. `each` (may be NULL) is called for every I/O record in the order in which they were reaped (of one job, the order of the
 * store; r->index is its place there); non-zero ends
 * the run of it early, and is returned. 0 with *out filled; -1 with err. `out` may be NULL. A run without sightings has one merged
 * phase, and is no error. Memory: at most 64 MiB beyond the store's map, whatever the run. */
typedef int attribute_fn(void *ctx, const struct attributed *r);
int attribute_run(struct store *s, uint64_t run, attribute_fn *each, void *ctx, struct attribution *out, struct error *err);

/* The stored result; where there is none, or one of an older ATTRIBUTION_VERSION, it is computed (and not stored). */
int attribution_get(struct store *s, uint64_t run, struct attribution *out, struct error *err);

#endif
