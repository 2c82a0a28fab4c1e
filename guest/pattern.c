// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/pattern.h"

#include <math.h>
#include <string.h>

#include "common/iorec.h"

/* Streams of the run's seed: offsets and arrivals of one job must not move together. */
enum { STREAM_OFFSETS = 0, STREAM_ARRIVALS = 1 << 16 };

void pattern_init(struct pattern *p, const struct workload *w, uint64_t size, uint64_t seed, unsigned job)
{
	memset(p, 0, sizeof(*p));
	rng_seed(&p->rng, seed, STREAM_OFFSETS + job);
	p->bs = (uint32_t)w->bs;
	p->blocks = size / w->bs;
	p->random = w->rw == WL_RW_randread || w->rw == WL_RW_randwrite || w->rw == WL_RW_randrw;
	p->mixed = w->rw == WL_RW_rw || w->rw == WL_RW_randrw;
	p->write = w->rw == WL_RW_write || w->rw == WL_RW_randwrite;
	p->read_below = w->rwmixread;
	p->flush_every = (uint32_t)w->fsync;
}

static bool next_is_write(struct pattern *p)
{
	return p->mixed ? rng_below(&p->rng, 100) >= p->read_below : p->write;
}

static uint64_t next_block(struct pattern *p)
{
	if (p->random)
		return rng_below(&p->rng, p->blocks);
	uint64_t block = p->next;
	p->next = block + 1 == p->blocks ? 0 : block + 1;
	return block;
}

struct pattern_io pattern_next(struct pattern *p)
{
	if (p->flush_every && p->writes >= p->flush_every) {
		p->writes = 0;
		return (struct pattern_io){ .op = IO_FLUSH };
	}
	bool write = next_is_write(p);
	p->writes += write;
	return (struct pattern_io){
		.offset = next_block(p) * p->bs,
		.length = p->bs,
		.op = write ? IO_WRITE : IO_READ,
	};
}

void pacing_init(struct pacing *p, const struct workload *w, uint64_t hz, uint64_t seed, unsigned job)
{
	memset(p, 0, sizeof(*p));
	if (!w->rate_iops)
		return;
	rng_seed(&p->rng, seed, STREAM_ARRIVALS + job);
	p->gap = (double)hz / (double)w->rate_iops;
	p->poisson = w->rate_process == WL_PROCESS_poisson;
	/* Evenly spaced jobs must not start in step, or n jobs would make bursts of n. */
	p->next = p->poisson ? 0 : p->gap * (double)job / (double)w->numjobs;
	if (p->poisson)
		pacing_advance(p);
}

void pacing_advance(struct pacing *p)
{
	p->next += p->poisson ? -log(rng_unit(&p->rng)) * p->gap : p->gap;
}
