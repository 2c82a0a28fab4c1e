/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a stream's sightings are gathered on their way into the store: packed a chunk at a time, counted, described at the end.
 *
 * A sink only puts into the batch; who owns the batch commits it (the intake before it acknowledges, a vantage of this side
 * whenever store_batch_size() has grown past TRACE_BATCH_BYTES).
 */
#ifndef BIFOCAL_HOST_TRACE_SINK_H
#define BIFOCAL_HOST_TRACE_SINK_H

#include "store/store.h"

enum { TRACE_BATCH_BYTES = 2 << 20 };

struct sight_sink {
	struct store_stream stream;    /* described so far; .events and .lost are counted here */
	uint64_t run;
	uint32_t chunk;                /* index of the next one */
	size_t n;
	struct sighting *waiting;      /* SIGHT_CHUNK of them */
	struct wbuf packed;
};

/* `source` as in struct store_stream. -1 without memory. */
int sink_init(struct sight_sink *k, uint64_t run, uint16_t stream, enum vantage vantage, enum stream_clock clock, uint32_t cpu,
	      const char *source, struct error *err);
void sink_fini(struct sight_sink *k);          /* zeroed is fine; what waits is dropped */
int sink_add(struct sight_sink *k, struct store_batch *b, const struct sighting *s, struct error *err);
/* `events` were lost before the next sighting: a SIGHT_LOST mark at `time`, and the stream's count. 0: nobody knows how many. */
int sink_lost(struct sight_sink *k, struct store_batch *b, uint64_t time, uint64_t events, struct error *err);
/* The last chunk and the stream's row; may be called again when more has come. A stream without events has a row too. */
int sink_flush(struct sight_sink *k, struct store_batch *b, struct error *err);

#endif
