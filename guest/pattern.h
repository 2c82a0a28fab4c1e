/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a job does next: operation and offset, and in open-loop load when.
 *
 * Offsets are multiples of bs within the first `size` bytes of the disk. Random ones are drawn
 * independently (fio's norandommap): a block may come twice before another comes once.
 * Sequential ones wrap. Reads and writes of a mix share one sequence, as in fio.
 */
#ifndef BIFOCAL_GUEST_PATTERN_H
#define BIFOCAL_GUEST_PATTERN_H

#include <stdbool.h>

#include "common/workload.h"
#include "guest/rng.h"

struct pattern {
	struct rng rng;
	uint64_t blocks, next;        /* of bs bytes; `next` is for sequential load */
	uint64_t read_below;          /* a draw below this is a read */
	uint32_t bs, flush_every, writes;
	bool random, mixed, write;
};

struct pattern_io {
	uint64_t offset;
	uint32_t length;              /* 0 for a flush */
	uint8_t op;                   /* enum io_op */
};

/* `size` is the region in bytes, at least one bs. */
void pattern_init(struct pattern *p, const struct workload *w, uint64_t size, uint64_t seed, unsigned job);
struct pattern_io pattern_next(struct pattern *p);

/* Open-loop arrivals: equal distances, or exponential ones (a Poisson process). */
struct pacing {
	struct rng rng;
	double gap, next;             /* cycles; `next` counts from the window's opening */
	bool poisson;
};

/* Without rate_iops the pacing is off: `gap` is 0. */
void pacing_init(struct pacing *p, const struct workload *w, uint64_t hz, uint64_t seed, unsigned job);
/* To the next arrival. */
void pacing_advance(struct pacing *p);

#endif
