/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The database: one LMDB environment, many small tables, keys big-endian so that order is meaning.
 *
 *   table    key                                value
 *   meta     text                               text: "scheme" = STORE_SCHEME, "created", "version"
 *   run      run u64                            status u8, created (CLOCK_REALTIME ns) u64, study u64, and who
 *                                               writes it: pid u32, its start time u64, boot id 16 bytes
 *   attr     run u64, dotted key                text; everything that is one word or one page about a run:
 *                                               config.disk.bus, workload.bs, prov.qemu.version, lost.io_record …
 *   io       run u64, chunk u32                 value block: packed I/O records (common/iorec.h)
 *   series   run u64, side u8, series u32       metric, dims, kind, unit (strings)
 *   sample   run u64, side u8, chunk u32        value block: packed samples (common/samples.h)
 *   clock    run u64, chunk u32                 value block: packed clock samples
 *   epoch    run u64, epoch u32                 offset interval and its span (struct store_epoch)
 *   peer     instance 16 bytes, port u8         highest sequence number committed, u64
 *   stream   run u64, stream u16                what saw it, on which clock, how much (struct store_stream)
 *   sight    run u64, stream u16, chunk u32     value block: packed sightings (common/sight.h)
 *   result   run u64                            value block: what attribution made of all this (attribute/result.h);
 *                                               the only thing that is derived, and can be made again
 *
 * A value block is: encoding u8 (0 plain, 1 zstd), plain length u32, CRC32C u32, bytes. Every other value
 * ends with a CRC32C u32. The checksum covers the key too. What a block's bytes mean is decoded by common/, from
 * memory that is checked for length and checksum first, and the file's own pages are looked at before LMDB
 * maps them (store_pages.c): a damaged database gives ERR_CORRUPT, never a crash.
 *
 * Writes are gathered in a batch (memory) and committed in one synced transaction: all of it is there
 * afterwards or none. The map grows by itself; the batch is replayed when it had to. When the
 * disk is full the commit fails with ERR_NO_SPACE, the batch is still in memory, and what was committed
 * before is untouched.
 *
 * One process may write at a time (LMDB's own lock); readers never wait and see the last commit. A process
 * opens a database once, and uses it from one thread at a time; a child after fork(2) opens its own.
 * Reading callbacks may read on, but not write.
 * Only this room includes lmdb.h.
 */
#ifndef BIFOCAL_STORE_STORE_H
#define BIFOCAL_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/iorec.h"
#include "common/message.h"
#include "common/samples.h"
#include "common/sight.h"

enum {
	STORE_SCHEME = 2,             /* 2: stream, sight, result; a database of scheme 1 is taken on when it is opened for writing */
	STORE_KEY_MAX = 480,          /* LMDB's keys end at 511 bytes */
	STORE_TEXT_MAX = 1 << 20,
	STORE_CLOCK_CHUNK = 16384,    /* clock samples in one chunk, at most */
};

enum run_status { RUN_RUNNING = 0, RUN_COMPLETE = 1, RUN_PARTIAL = 2, RUN_FAILED = 3 };
const char *run_status_name(enum run_status s);   /* "running" "complete" "partial" "failed" */

enum store_side { SIDE_GUEST = 0, SIDE_HOST = 1 };

struct store;

enum store_mode { STORE_READ, STORE_WRITE };

/* Opens the database directory `path`; STORE_WRITE makes it (0700) where it is missing. Errors: ERR_NOT_FOUND
 * (no database there, for reading), ERR_VERSION (newer scheme: names both numbers), ERR_CORRUPT, ERR_IO. */
struct store *store_open(const char *path, enum store_mode mode, struct error *err);
void store_close(struct store *s);
const char *store_path(const struct store *s);

/* ---- writing ---- */

struct store_batch;

struct store_batch *store_batch_new(struct store *s, struct error *err);
void store_batch_free(struct store_batch *b);      /* uncommitted puts are dropped */
/* Bytes waiting. */
size_t store_batch_size(const struct store_batch *b);
/* Commits and empties the batch; on failure the batch keeps its contents. */
int store_commit(struct store_batch *b, struct error *err);

/* Takes the next run number in a transaction of its own, with status RUN_RUNNING and the caller's pid and start
 * time noted, so that a later store_recover() can tell a dead writer. `study` 0: starts a study of its own number. */
int store_run_create(struct store *s, uint64_t study, uint64_t *run, struct error *err);
/* Marks runs whose writer is dead as partial (attr "lost.collector" = 1). Returns how many. */
int store_recover(struct store *s, struct error *err);

int put_run_status(struct store_batch *b, uint64_t run, enum run_status status, struct error *err);
int put_attr(struct store_batch *b, uint64_t run, const char *key, const char *text, struct error *err);
int put_attr_u64(struct store_batch *b, uint64_t run, const char *key, uint64_t v, struct error *err);
int put_attr_f64(struct store_batch *b, uint64_t run, const char *key, double v, struct error *err);
/* Packed records as they came from the guest; already checked with iorec_unpack. */
int put_io_chunk(struct store_batch *b, uint64_t run, uint32_t index, struct span packed, struct error *err);
int put_series(struct store_batch *b, uint64_t run, enum store_side side, uint32_t series,
	       const char *metric, const char *dims, const char *kind, const char *unit, struct error *err);
int put_sample_chunk(struct store_batch *b, uint64_t run, enum store_side side, uint32_t index, struct span packed, struct error *err);

/* One clock exchange (or another tier's observation): guest − host lies in [lo, hi]. */
struct clock_sample {
	uint64_t host_tsc;    /* when */
	int64_t lo, hi;       /* cycles; compared modulo 2^64 */
	uint8_t tier;         /* enum clock_tier */
	uint32_t epoch;
};
int put_clock_chunk(struct store_batch *b, uint64_t run, uint32_t index, const struct clock_sample *s, size_t n, struct error *err);

struct store_epoch {
	uint32_t epoch;
	uint8_t tier;         /* the tightest that took part */
	uint64_t first_host, last_host;   /* host TSC of its first and last sample */
	int64_t lo, hi;       /* the intersection: guest − host */
	uint64_t samples;
};
int put_epoch(struct store_batch *b, uint64_t run, const struct store_epoch *e, struct error *err);

/* One stream of sightings. Its number tells its place: guest CPU n is n, the VMM's are 0x4000 and up, host CPU n is 0x8000 + n,
 * marks are 0xc000. */
enum { STREAM_GUEST = 0, STREAM_VMM = 0x4000, STREAM_HOST = 0x8000, STREAM_MARKS = 0xc000, STREAM_SOURCE_MAX = 64 };
struct store_stream {
	uint16_t stream;
	uint8_t vantage;      /* enum vantage */
	uint8_t clock;        /* enum stream_clock */
	uint32_t cpu;
	uint64_t events;      /* sightings in it */
	uint64_t lost;        /* events that were not seen, at least */
	char source[STREAM_SOURCE_MAX];   /* "tracefs", "log", "simple", "usdt" */
};
int put_stream(struct store_batch *b, uint64_t run, const struct store_stream *st, struct error *err);
/* Packed sightings; already checked with sights_unpack or made by sights_pack. */
int put_sight_chunk(struct store_batch *b, uint64_t run, uint16_t stream, uint32_t index, struct span packed, struct error *err);
int put_result(struct store_batch *b, uint64_t run, struct span packed, struct error *err);
int put_peer_seq(struct store_batch *b, const struct id16 *instance, uint8_t port, uint64_t seq, struct error *err);

/* ---- reading: each call is a snapshot of its own ---- */

struct store_run {
	uint64_t run, study;
	uint64_t created_ns;  /* CLOCK_REALTIME */
	enum run_status status;
};
/* Calls fn for every run in ascending order until it returns non-zero; returns that, 0 at the end, -1 with err. */
int store_each_run(struct store *s, int (*fn)(void *ctx, const struct store_run *r), void *ctx, struct error *err);
/* ERR_NOT_FOUND names the nearest run. `run` UINT64_MAX: the last one. */
int store_get_run(struct store *s, uint64_t run, struct store_run *out, struct error *err);

/* malloc'd text, or NULL: with err->code ERR_NONE when there is no such key. */
char *store_attr(struct store *s, uint64_t run, const char *key, struct error *err);
/* Every attribute whose key starts with `prefix`, in key order; key and text live during the call. */
int store_each_attr(struct store *s, uint64_t run, const char *prefix,
		    int (*fn)(void *ctx, const char *key, const char *text), void *ctx, struct error *err);
/* Every I/O chunk in order, unpacked; records live during the call. Memory: one chunk. */
int store_each_io(struct store *s, uint64_t run, int (*fn)(void *ctx, const struct io_record *r, size_t n), void *ctx, struct error *err);
int store_each_series(struct store *s, uint64_t run, enum store_side side,
		      int (*fn)(void *ctx, uint32_t series, const char *metric, const char *dims, const char *kind, const char *unit),
		      void *ctx, struct error *err);
int store_each_sample(struct store *s, uint64_t run, enum store_side side,
		      int (*fn)(void *ctx, const struct sample *v, size_t n), void *ctx, struct error *err);
int store_each_clock(struct store *s, uint64_t run, int (*fn)(void *ctx, const struct clock_sample *v, size_t n), void *ctx, struct error *err);
int store_each_epoch(struct store *s, uint64_t run, int (*fn)(void *ctx, const struct store_epoch *e), void *ctx, struct error *err);
/* One chunk of I/O records, or of a stream's sightings: at most `cap`. Returns how many, 0 when there is no such chunk, -1 with
 * err. For readers that go through several streams side by side. */
int store_io_chunk(struct store *s, uint64_t run, uint32_t index, struct io_record *out, size_t cap, struct error *err);
int store_sight_chunk(struct store *s, uint64_t run, uint16_t stream, uint32_t index, struct sighting *out, size_t cap, struct error *err);
int store_each_stream(struct store *s, uint64_t run, int (*fn)(void *ctx, const struct store_stream *st), void *ctx, struct error *err);
/* The run's result into `out` (emptied first). Returns 1, 0 when there is none, -1 with err. */
int store_result(struct store *s, uint64_t run, struct wbuf *out, struct error *err);
/* Highest committed sequence number of a peer's port, 0 if it is unknown. */
int store_peer_seq(struct store *s, const struct id16 *instance, uint8_t port, uint64_t *seq, struct error *err);
/* Bytes that the run's I/O chunks, and its sightings, take in the database, keys included. */
int store_io_bytes(struct store *s, uint64_t run, uint64_t *bytes, struct error *err);
int store_sight_bytes(struct store *s, uint64_t run, uint64_t *bytes, struct error *err);

/* ---- care ---- */

struct store_check {
	uint64_t runs, values, bytes, damaged;
};
/* Reads every value and verifies every checksum and shape. Calls `damaged` (may be NULL) with a line for each fault.
 * Returns 0 when all could be read: out->damaged says how it went. */
int store_check(struct store *s, struct store_check *out, void (*damaged)(void *ctx, const char *line), void *ctx, struct error *err);

#endif
