/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * After the window: what a run left in memory goes to the collector, as fast as it takes it.
 *
 * RUN_DONE on the control channel; then series, records, samples, trace pages and RUN_DRAINED on one channel. Nothing is
 * copied but into the channel's ring, and only while that has room, so an absent collector costs no memory.
 */
#ifndef BIFOCAL_GUEST_DRAIN_H
#define BIFOCAL_GUEST_DRAIN_H

#include "common/channel.h"
#include "guest/probes.h"
#include "guest/run.h"
#include "guest/trace.h"

enum {
	/* Left free in the ring for answers, which share it when there is but one port. */
	DRAIN_RESERVE = 256 << 10,
};

enum drain_stage { DRAIN_NOTHING, DRAIN_RESULT, DRAIN_FAULTS, DRAIN_SERIES, DRAIN_RECORDS, DRAIN_SAMPLES, DRAIN_EVENTS, DRAIN_PAGES, DRAIN_END };

struct drain {
	enum drain_stage stage;
	struct run *run;
	struct probes *probes;
	struct trace *trace;
	struct channel *control, *data;
	struct wbuf packed;
	uint32_t series, io_chunks, sample_chunks;
	unsigned job;
	size_t record, sample;        /* next to go: of that job; of all */
};

void drain_init(struct drain *d, struct run *run, struct probes *probes, struct trace *trace);
void drain_fini(struct drain *d);
/* The run is over: from here on drain_step() works. */
void drain_begin(struct drain *d);
/* Sends what there is room for. `control` and `data` are the channels to begin on, NULL while undecided; those it began
 * on are kept to the run's end. True when the run's last message was queued just now. */
bool drain_step(struct drain *d, struct channel *control, struct channel *data);

#endif
