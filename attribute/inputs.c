// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * All streams and all jobs' I/O records side by side, in the order of the axis: a heap of what comes next in each.
 *
 * A stream that fits into memory is unpacked once and kept over both passes, its host's and logs' stamps on the axis (pass 1 moves none but
 * the guest's). Of the others each holds a chunk, or a part of one where there are very many; each job a part of a chunk likewise. Records of a
 * chunk are one job's, in the order in which they were reaped, so a job is merged like a stream, by reaping time.
 */
#include <stdlib.h>
#include <string.h>

#include "attribute/engine.h"

enum { HOLES_MAX = 64 /* chunks that may be missing in a row */, STREAMS_MAX = 8192, CHUNKS_STEP = 256, CHUNKS_MAX = 1 << 19 };

/* ---- streams ---- */

static int take_stream(void *ctx, const struct store_stream *row)
{
	struct inputs *in = ctx;
	if (in->streams == STREAMS_MAX)
		return 0;
	struct stream_in *grown = realloc(in->stream, (in->streams + 1) * sizeof(*grown));
	if (!grown)
		return 1;
	in->stream = grown;
	in->stream[in->streams] = (struct stream_in){ .is = *row };
	in->stream[in->streams].is.source[STREAM_SOURCE_MAX - 1] = 0;
	/* A log prints microseconds, cut off, in order; QEMU's binary file has nanoseconds and is buffered. */
	in->stream[in->streams].anchors.by_place = row->clock == STREAM_REALTIME;
	in->stream[in->streams].anchors.rest = row->clock == STREAM_REALTIME ? 999 : 0;
	in->streams++;
	return 0;
}

/* The next chunk of sightings, over holes. */
static int read_chunk(struct inputs *in, struct stream_in *st, struct sighting *out, struct error *err)
{
	for (int hole = 0; hole < HOLES_MAX; hole++) {
		int n = store_sight_chunk(in->store, in->run, st->is.stream, st->chunk, out, SIGHT_CHUNK, err);
		if (n)
			return n;
		st->chunk++;
	}
	return 0;
}

/* 1 with sightings in the buffer, 0 at the stream's end. */
static int refill(struct inputs *in, struct stream_in *st, struct error *err)
{
	bool whole = in->per_stream == SIGHT_CHUNK;
	st->n = st->at = 0;
	while (!st->ended) {
		int n = read_chunk(in, st, whole ? st->buf : in->scratch, err);
		if (n < 0)
			return -1;
		if (!n) {
			st->ended = true;
			return 0;
		}
		uint32_t left = (uint32_t)n > st->skip ? (uint32_t)n - st->skip : 0;
		st->n = left < in->per_stream ? left : in->per_stream;
		if (!whole)
			memcpy(st->buf, in->scratch + st->skip, st->n * sizeof(*st->buf));
		st->skip += st->n;
		if (st->skip >= (uint32_t)n) {
			st->chunk++;
			st->skip = 0;
		}
		if (st->n)
			return 1;
	}
	return 0;
}

static bool on_axis(struct inputs *in, struct stream_in *st, const struct sighting *s, int64_t *t, uint32_t *own)
{
	*own = 0;
	switch (st->is.clock) {
	case STREAM_GUEST_TSC:
		*t = clockmap_guest(in->clock, s->time, &st->epoch);
		return true;
	case STREAM_HOST_TSC:
		*t = clockmap_host(in->clock, s->time);
		return true;
	case STREAM_REALTIME:
	case STREAM_MONOTONIC:
		st->anchors.at += s->kind == SIGHT_ANCHOR;
		return logmap_place(&st->anchors, s->time, t, own);
	default:
		return false;
	}
}

/* For the waterfall alone, and there are many of them. */
static inline bool passes(const struct sighting *s)
{
	return s->kind == SIGHT_H_WAKING || s->kind == SIGHT_H_SWITCH;
}

/* ---- streams that are kept ---- */

static bool of_a_log(const struct stream_in *st)
{
	return st->is.clock == STREAM_REALTIME || st->is.clock == STREAM_MONOTONIC;
}

static uint64_t kept_bytes(const struct stream_in *st, uint64_t n)
{
	return n * (sizeof(*st->buf) + (of_a_log(st) ? sizeof(*st->own) : 0));
}

/* All that is given of it. 1; 0 when there are more than `most`: it is not kept; -1 with err. */
static int read_kept(struct inputs *in, struct stream_in *st, uint64_t most, struct error *err)
{
	for (;; st->chunk++) {
		struct sighting *out = most - st->n >= SIGHT_CHUNK ? st->buf + st->n : in->scratch;
		int n = read_chunk(in, st, out, err);
		if (n <= 0)
			return n < 0 ? -1 : 1;
		for (int i = 0; i < n; i++) {
			if (passes(&out[i])) {
				st->passed++;
				continue;
			}
			if (st->n == most)
				return 0;
			if (&st->buf[st->n] != &out[i])
				st->buf[st->n] = out[i];
			st->n++;
		}
	}
}

/* Onto the axis; those that have no place on it are left out. */
static int place_kept(struct inputs *in, struct stream_in *st, struct error *err)
{
	uint32_t placed = 0;
	for (uint32_t i = 0; of_a_log(st) && i < st->n; i++)
		if (st->buf[i].kind == SIGHT_ANCHOR && logmap_take(&st->anchors, in->clock, &st->buf[i]))
			return error_set(err, ERR_LIMIT, "out of memory for clock anchors");
	if (of_a_log(st))
		logmap_seal(&st->anchors);
	if (st->is.clock == STREAM_GUEST_TSC)
		return 0;
	for (uint32_t i = 0; i < st->n; i++) {
		int64_t t = 0;
		uint32_t own = 0;
		if (!on_axis(in, st, &st->buf[i], &t, &own))
			continue;
		if (placed != i)
			st->buf[placed] = st->buf[i];
		st->buf[placed].time = (uint64_t)t;
		if (st->own)
			st->own[placed] = own;
		placed++;
	}
	st->n = placed;
	return 0;
}

static void free_kept(struct stream_in *st)
{
	pool_free(st->buf, st->room, sizeof(*st->buf));
	pool_free(st->own, st->room, sizeof(*st->own));
	st->buf = NULL;
	st->own = NULL;
	st->room = 0;
}

/* What a stream says of its length may be wrong: then it is read by chunks. */
static int keep_one(struct inputs *in, struct stream_in *st, struct error *err)
{
	st->room = st->is.events;
	st->buf = pool_new(st->room, sizeof(*st->buf));
	st->own = of_a_log(st) ? pool_new(st->room, sizeof(*st->own)) : NULL;
	if (!st->buf || (of_a_log(st) && !st->own))
		return error_set(err, ERR_LIMIT, "out of memory for %llu sightings", (unsigned long long)st->is.events);
	int rc = read_kept(in, st, st->is.events, err);
	if (rc > 0) {
		st->kept = true;
		in->bytes += kept_bytes(st, st->room);
		return place_kept(in, st, err);
	}
	free_kept(st);
	st->n = st->chunk = 0;
	st->passed = 0;
	return rc;
}

static uint32_t records_per_lane(const struct inputs *in)
{
	uint64_t most = LANE_BYTES / sizeof(struct io_record) / (in->lanes ? in->lanes : 1);
	return most < IOREC_CHUNK ? (uint32_t)most : IOREC_CHUNK;
}

/* As many as there is room for beside all jobs' records and a chunk of every other one; logs first, which are the longest and the dearest. */
static int keep_streams(struct inputs *in, struct error *err)
{
	uint64_t taken = in->streams * (uint64_t)SIGHT_CHUNK * sizeof(struct sighting) +
			 in->lanes * (uint64_t)records_per_lane(in) * sizeof(struct io_record);
	uint64_t room = taken < STREAM_BYTES ? STREAM_BYTES - taken : 0;
	for (uint32_t i = 0; i < 2 * in->streams; i++) {
		struct stream_in *st = &in->stream[i % in->streams];
		if (of_a_log(st) != (i < in->streams) || !st->is.events || st->is.events > STREAM_BYTES || kept_bytes(st, st->is.events) > room)
			continue;
		if (keep_one(in, st, err) < 0)
			return -1;
		room -= st->kept ? kept_bytes(st, st->is.events) : 0;
	}
	return 0;
}

/* ---- I/O records ---- */

static int add_chunk(struct inputs *in, struct io_chunk c, struct error *err)
{
	if (in->chunks == CHUNKS_MAX)
		return error_set(err, ERR_LIMIT, "more than %d chunks of I/O records in one run", CHUNKS_MAX);
	if (in->chunks % CHUNKS_STEP == 0) {
		struct io_chunk *grown = realloc(in->chunk, (in->chunks + CHUNKS_STEP) * sizeof(*grown));
		if (!grown)
			return error_set(err, ERR_LIMIT, "out of memory for %u chunks of I/O records", in->chunks);
		in->chunk = grown;
	}
	in->chunk[in->chunks++] = c;
	return 0;
}

static int list_chunks(struct inputs *in, void (*each)(void *ctx, const struct io_record *r), void *ctx, struct error *err)
{
	uint64_t first = 0;
	uint32_t *tail = calloc(IOREC_JOBS_MAX, sizeof(*tail));       /* job → its lane's last chunk + 1 */
	int rc = tail ? 0 : error_set(err, ERR_LIMIT, "out of memory for %d jobs", IOREC_JOBS_MAX);
	in->lane = calloc(IOREC_JOBS_MAX, sizeof(*in->lane));
	in->io_scratch = calloc(IOREC_CHUNK, sizeof(*in->io_scratch));
	if (!in->lane || !in->io_scratch)
		rc = error_set(err, ERR_LIMIT, "out of memory for I/O records");
	for (uint32_t index = 0, hole = 0; !rc && hole < HOLES_MAX; index++) {
		int n = store_io_chunk(in->store, in->run, index, in->io_scratch, IOREC_CHUNK, err);
		if (n < 0) {
			rc = -1;
			break;
		}
		hole = n ? 0 : hole + 1;
		if (!n)
			continue;
		unsigned job = in->io_scratch[0].job % IOREC_JOBS_MAX;
		rc = add_chunk(in, (struct io_chunk){ .index = index, .n = (uint32_t)n, .first = first }, err);
		if (rc)
			break;
		if (tail[job])
			in->chunk[tail[job] - 1].next = in->chunks;
		else
			in->lane[in->lanes++].first = in->chunks;
		tail[job] = in->chunks;
		first += (uint64_t)n;
		for (int i = 0; each && i < n; i++)
			each(ctx, &in->io_scratch[i]);
	}
	free(tail);
	return rc;
}

/* `first` is the lane's first chunk + 1, `chunk` the one it reads + 1. */
static int refill_lane(struct inputs *in, struct lane_in *l, struct error *err)
{
	l->n = l->at = 0;
	while (l->chunk) {
		struct io_chunk *c = &in->chunk[l->chunk - 1];
		int n = store_io_chunk(in->store, in->run, c->index, in->io_scratch, IOREC_CHUNK, err);
		if (n < 0)
			return -1;
		uint32_t left = (uint32_t)n > l->skip ? (uint32_t)n - l->skip : 0;
		l->n = left < in->per_lane ? left : in->per_lane;
		memcpy(l->buf, in->io_scratch + l->skip, l->n * sizeof(*l->buf));
		l->skip += l->n;
		if (l->n)
			return 1;
		l->chunk = c->next;
		l->skip = 0;
	}
	return 0;
}

/* ---- the heap ---- */

static inline bool before(const struct heap_entry *a, const struct heap_entry *b)
{
	return a->t < b->t || (a->t == b->t && a->source < b->source);
}

static inline void swap(struct inputs *in, uint32_t a, uint32_t b)
{
	struct heap_entry x = in->heap[a];
	in->heap[a] = in->heap[b];
	in->heap[b] = x;
}

static void sift_down(struct inputs *in, uint32_t i)
{
	struct heap_entry moved = in->heap[i];
	for (uint32_t least; (least = 2 * i + 1) < in->heaped; i = least) {
		if (least + 1 < in->heaped && before(&in->heap[least + 1], &in->heap[least]))
			least++;
		if (!before(&in->heap[least], &moved))
			break;
		in->heap[i] = in->heap[least];
	}
	in->heap[i] = moved;
}

static void sift_up(struct inputs *in, uint32_t i)
{
	for (; i && before(&in->heap[i], &in->heap[(i - 1) / 2]); i = (i - 1) / 2)
		swap(in, i, (i - 1) / 2);
}

static inline int peek_kept(const struct inputs *in, struct stream_in *st, int64_t *t, uint32_t *own)
{
	if (st->at == st->n)
		return 0;
	uint64_t time = st->buf[st->at].time;
	*t = st->is.clock == STREAM_GUEST_TSC ? clockmap_guest(in->clock, time, &st->epoch) : (int64_t)time;
	*own = st->own ? st->own[st->at] : 0;
	return 1;
}

/* What source's next is and when: 1, 0 when it has ended, -1 with err. Sources above all streams are lanes. */
static int peek(struct inputs *in, uint32_t source, int64_t *t, uint32_t *own, struct error *err)
{
	if (source >= in->streams) {
		struct lane_in *l = &in->lane[source - in->streams];
		uint32_t epoch = 0;
		int more = l->at < l->n ? 1 : refill_lane(in, l, err);
		*own = 0;
		if (more > 0)
			*t = t_add(clockmap_guest(in->clock, l->buf[l->at].reap, &epoch), in->lag);
		return more;
	}
	struct stream_in *st = &in->stream[source];
	if (st->kept)
		return peek_kept(in, st, t, own);
	for (;;) {
		int more = st->at < st->n ? 1 : refill(in, st, err);
		if (more <= 0)
			return more;
		bool pass = passes(&st->buf[st->at]);
		if (!pass && on_axis(in, st, &st->buf[st->at], t, own))
			return more;
		in->passed += pass;
		st->at++;
	}
}

static int start_sources(struct inputs *in, struct error *err)
{
	in->heaped = 0;
	for (uint32_t i = 0; i < in->streams + in->lanes; i++) {
		int64_t t = 0;
		uint32_t own = 0;
		int more = peek(in, i, &t, &own, err);
		if (more < 0)
			return -1;
		if (!more)
			continue;
		in->heap[in->heaped].t = in->heap[in->heaped].real = t;
		in->heap[in->heaped].source = i;
		in->heap[in->heaped].own = own;
		sift_up(in, in->heaped++);
	}
	return 0;
}

int inputs_rewind(struct inputs *in, struct error *err)
{
	in->given = false;
	in->passed = 0;
	for (uint32_t i = 0; i < in->streams; i++) {
		struct stream_in *st = &in->stream[i];
		st->at = st->epoch = 0;
		in->passed += st->passed;
		if (st->kept)
			continue;
		st->n = st->chunk = st->skip = 0;
		st->anchors.at = 0;
		st->anchors.unplaced = 0;
		st->ended = false;
	}
	for (uint32_t i = 0; i < in->lanes; i++) {
		struct lane_in *l = &in->lane[i];
		l->n = l->at = l->skip = 0;
		l->chunk = l->first;
	}
	return start_sources(in, err);
}

/* The one given last moves on: what was given lives in a buffer that is only refilled now. */
static int advance(struct inputs *in, struct error *err)
{
	uint32_t source = in->heap[0].source;
	int64_t t = 0, last = in->heap[0].t;
	uint32_t own = 0;
	if (source >= in->streams)
		in->lane[source - in->streams].at++;
	else
		in->stream[source].at++;
	int more = peek(in, source, &t, &own, err);
	if (more < 0)
		return -1;
	if (more) {
		/* A stream keeps its order, whatever its stamps say, and so does a lane. */
		in->heap[0].t = t > last ? t : last;
		in->heap[0].real = t;
		in->heap[0].own = own;
	} else {
		in->heap[0] = in->heap[--in->heaped];
	}
	sift_down(in, 0);
	return 0;
}

int inputs_next(struct inputs *in, struct event *e, struct io_ref *io, struct error *err)
{
	if (in->given && in->heaped && advance(in, err))
		return -1;
	in->given = in->heaped > 0;
	if (!in->given)
		return 0;
	uint32_t source = in->heap[0].source;
	if (source >= in->streams) {
		struct lane_in *l = &in->lane[source - in->streams];
		*io = (struct io_ref){ &l->buf[l->at], in->chunk[l->chunk - 1].first + l->skip - l->n + l->at };
		return 2;
	}
	struct stream_in *st = &in->stream[source];
	e->t = in->heap[0].real;
	e->own = in->heap[0].own;
	e->stream = (uint16_t)source;
	e->s = &st->buf[st->at];
	return 1;
}

/* Records alike in all stamps too are interchangeable: whichever gets which request, the same is said of both. */
static bool same_record(const struct io_record *a, const struct io_record *b)
{
	return a->submit == b->submit && a->reap == b->reap && a->length == b->length && a->job == b->job;
}

/* Of a job, no more than `depth` are out at once: when so many that were out have been looked at, there is no further one. */
static bool rival_in(const struct inputs *in, const struct lane_in *l, const struct io_record *io, int64_t t, int64_t reap)
{
	const struct io_chunk *c = l->chunk ? &in->chunk[l->chunk - 1] : NULL;
	uint32_t epoch = 0, out = 0, i = l->at;
	for (; i < l->n && out < in->depth; i++) {
		const struct io_record *r = &l->buf[i];
		int64_t submit = clockmap_guest(in->clock, r->submit, &epoch);
		out += submit <= reap;
		if (!same_record(r, io) && r->op == io->op && (io->op == IO_FLUSH || r->sector == io->sector) && submit <= t)
			return true;
	}
	return out < in->depth && c && (c->next || l->skip < c->n);
}

bool inputs_rival(const struct inputs *in, const struct io_record *io, int64_t t)
{
	uint32_t epoch = 0;
	int64_t reap = clockmap_guest(in->clock, io->reap, &epoch);
	for (uint32_t k = 0; k < in->lanes; k++)
		if (rival_in(in, &in->lane[k], io, t, reap))
			return true;
	return false;
}

/* ---- opening ---- */

/* A log's stamps need the anchors on both sides of them, so these are gathered first. */
static int gather_anchors(struct inputs *in, struct error *err)
{
	for (uint32_t i = 0; i < in->streams; i++) {
		struct stream_in *st = &in->stream[i];
		in->bytes += st->kept ? st->anchors.cap * sizeof(struct anchor) : 0;
		if (st->kept || !of_a_log(st))
			continue;
		for (;; st->chunk++) {
			int n = read_chunk(in, st, in->scratch, err);
			if (n < 0)
				return -1;
			if (!n)
				break;
			for (int k = 0; k < n; k++)
				if (in->scratch[k].kind == SIGHT_ANCHOR && logmap_take(&st->anchors, in->clock, &in->scratch[k]))
					return error_set(err, ERR_LIMIT, "out of memory for clock anchors");
		}
		logmap_seal(&st->anchors);
		in->bytes += st->anchors.cap * sizeof(struct anchor);
	}
	return 0;
}

static int reserve(struct inputs *in, struct error *err)
{
	uint64_t streams = 0, lanes = in->lanes ? in->lanes : 1;
	for (uint32_t i = 0; i < in->streams; i++)
		streams += !in->stream[i].kept;
	/* Kept ones have left room for a chunk of each other one. */
	uint64_t per_stream = STREAM_BYTES / sizeof(struct sighting) / (streams ? streams : 1);
	in->per_stream = per_stream < SIGHT_CHUNK ? (uint32_t)per_stream : SIGHT_CHUNK;
	in->per_lane = records_per_lane(in);
	in->heap = calloc(in->streams + lanes, sizeof(*in->heap));
	bool ok = in->heap != NULL;
	for (uint32_t i = 0; i < in->streams; i++)
		ok &= in->stream[i].kept || (in->stream[i].buf = malloc(in->per_stream * sizeof(struct sighting))) != NULL;
	for (uint32_t i = 0; i < in->lanes; i++)
		ok &= (in->lane[i].buf = malloc(in->per_lane * sizeof(struct io_record))) != NULL;
	in->bytes += streams * (in->per_stream * sizeof(struct sighting)) + in->streams * sizeof(struct stream_in) +
		    lanes * (in->per_lane * sizeof(struct io_record)) + in->chunks * sizeof(*in->chunk) +
		    SIGHT_CHUNK * sizeof(struct sighting) + IOREC_CHUNK * sizeof(struct io_record);
	return ok ? 0 : error_set(err, ERR_LIMIT, "out of memory for %u streams", in->streams);
}

int inputs_open(struct inputs *in, struct store *s, uint64_t run, struct clockmap *c,
		void (*each)(void *ctx, const struct io_record *r), void *ctx, struct error *err)
{
	in->store = s;
	in->run = run;
	in->clock = c;
	in->scratch = calloc(SIGHT_CHUNK, sizeof(*in->scratch));
	int rc = in->scratch ? store_each_stream(s, run, take_stream, in, err) : 1;
	if (rc > 0)
		return error_set(err, ERR_LIMIT, "out of memory for streams");
	if (rc < 0 || list_chunks(in, each, ctx, err) || keep_streams(in, err) || gather_anchors(in, err))
		return -1;
	return reserve(in, err);
}

void inputs_fini(struct inputs *in)
{
	for (uint32_t i = 0; in->stream && i < in->streams; i++) {
		if (in->stream[i].room)
			free_kept(&in->stream[i]);
		free(in->stream[i].buf);
		free(in->stream[i].anchors.list);
	}
	for (uint32_t i = 0; in->lane && i < in->lanes; i++)
		free(in->lane[i].buf);
	free(in->stream);
	free(in->lane);
	free(in->chunk);
	free(in->scratch);
	free(in->io_scratch);
	free(in->heap);
	memset(in, 0, sizeof(*in));
}
