/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/trace/sink.h"

#include <stdio.h>
#include <stdlib.h>

int sink_init(struct sight_sink *k, uint64_t run, uint16_t stream, enum vantage vantage, enum stream_clock clock, uint32_t cpu,
	      const char *source, struct error *err)
{
	*k = (struct sight_sink){
		.run = run,
		.stream = { .stream = stream, .vantage = (uint8_t)vantage, .clock = (uint8_t)clock, .cpu = cpu },
		.waiting = malloc(SIGHT_CHUNK * sizeof(*k->waiting)),
	};
	snprintf(k->stream.source, sizeof(k->stream.source), "%s", source);
	wbuf_heap(&k->packed, SIGHT_CHUNK_BYTES);
	return k->waiting ? 0 : error_set(err, ERR_LIMIT, "out of memory for sightings");
}

void sink_fini(struct sight_sink *k)
{
	free(k->waiting);
	wbuf_fini(&k->packed);
	*k = (struct sight_sink){ 0 };
}

static int put_waiting(struct sight_sink *k, struct store_batch *b, struct error *err)
{
	if (!k->n)
		return 0;
	wbuf_reset(&k->packed);
	sights_pack(&k->packed, k->waiting, k->n);
	if (k->packed.bad)
		return error_set(err, ERR_LIMIT, "stream %u: %zu sightings could not be packed", k->stream.stream, k->n);
	if (put_sight_chunk(b, k->run, k->stream.stream, k->chunk, (struct span){ k->packed.p, k->packed.len }, err))
		return -1;
	k->chunk++;
	k->n = 0;
	return 0;
}

int sink_add(struct sight_sink *k, struct store_batch *b, const struct sighting *s, struct error *err)
{
	/* Still full when an earlier put failed. */
	if (k->n == SIGHT_CHUNK && put_waiting(k, b, err))
		return -1;
	k->waiting[k->n++] = *s;
	k->stream.events++;
	return k->n == SIGHT_CHUNK ? put_waiting(k, b, err) : 0;
}

int sink_lost(struct sight_sink *k, struct store_batch *b, uint64_t time, uint64_t events, struct error *err)
{
	const struct sighting mark = { .time = time, .key = events, .kind = SIGHT_LOST, .op = SIGHT_OP_NONE, .flags = SIGHT_NO_PLACE };
	k->stream.lost += events ? events : 1;
	return sink_add(k, b, &mark, err);
}

int sink_flush(struct sight_sink *k, struct store_batch *b, struct error *err)
{
	return put_waiting(k, b, err) || put_stream(b, k->run, &k->stream, err) ? -1 : 0;
}
