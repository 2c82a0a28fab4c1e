/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this room share; nobody else includes it, but for the room's own tests. */
#ifndef BIFOCAL_STORE_IMPL_H
#define BIFOCAL_STORE_IMPL_H

#include <lmdb.h>
#include <zstd.h>

#include "common/bytes.h"
#include "store/store.h"

/* T(NAME, name): name is the table's name in the environment. */
#define STORE_TABLES(T) \
	T(META, meta) \
	T(RUN, run) \
	T(ATTR, attr) \
	T(IO, io) \
	T(SERIES, series) \
	T(SAMPLE, sample) \
	T(CLOCK, clock) \
	T(EPOCH, epoch) \
	T(PEER, peer) \
	T(STREAM, stream) \
	T(SIGHT, sight) \
	T(RESULT, result)

enum store_table {
#define T(NAME, name) TABLE_##NAME,
	STORE_TABLES(T)
#undef T
	TABLES
};

const char *table_name(enum store_table t);

/* Tables from this one on came with scheme 2. */
#define TABLE_SCHEME_2 TABLE_STREAM

struct block_reader {
	ZSTD_DCtx *zstd;
	uint8_t *plain;
};

struct store {
	MDB_env *env;
	MDB_dbi dbi[TABLES];
	char *path;
	enum store_mode mode;
	unsigned scheme;
	size_t first_map;
	/* Read transactions open in this process: while there are any, the map must not move. */
	unsigned readers;
	struct block_reader block;    /* of single blocks; made when first used */
};

/* ---- store_open.c: environment, scheme, transactions ---- */

/* As store_open(), with a map of `first_map` bytes to begin with: tests make it grow early. */
struct store *store_open_sized(const char *path, enum store_mode mode, size_t first_map, struct error *err);

/* Translates an LMDB code or an errno; `what` is what was being done. Returns -1. */
int store_error(const struct store *s, int rc, const char *what, struct error *err);

/* What a body returns besides 0 and LMDB's codes: it has filled err itself. */
enum { BODY_FAILED = -1 };
typedef int write_body(struct store *s, MDB_txn *txn, void *ctx, struct error *err);
/* Runs the body in a synced write transaction; again from its start whenever the map had to grow. 0, or -1 with err. */
int store_write(struct store *s, write_body *body, void *ctx, struct error *err);

MDB_txn *store_begin_read(struct store *s, struct error *err);
void store_end_read(struct store *s, MDB_txn *txn);

typedef int each_value_fn(void *ctx, struct span key, struct span value, struct error *err);
/* Every pair of a table whose key starts with `prefix`, in key order, from one snapshot, until fn returns
 * non-zero; returns that, 0 at the end, -1 with err. */
int store_each(struct store *s, enum store_table t, struct span prefix, each_value_fn *fn, void *ctx, struct error *err);

/* ---- store_pages.c: the file itself ---- */

/* Are the file's two meta pages those of a database that LMDB may be let near? 0; 1 when there is no
 * database yet (no file, or an empty one); -1 with err. */
int pages_check_file(const char *dir, struct error *err);
/* Walks every page that the snapshot of `txn` reaches, by pread(2). Nothing reached lies outside the file, is
 * reached twice or has a shape on which LMDB would stumble, or -1 with err. */
int pages_check_tree(MDB_env *env, MDB_txn *txn, struct error *err);

/* ---- store_value.c: what stands in a value ---- */

enum {
	/* Bound of a value block's plain bytes: checked before memory is taken for them. */
	VALUE_PLAIN_MAX = 1 << 20,
	SEAL_BYTES = 4,
	BLOCK_HEADER = 9,
};

/* A sealed value is its bytes and, behind them, CRC32C over key and bytes. */
void seal(struct wbuf *w, struct span key, struct span plain);
/* The bytes, borrowed from `value`. */
int unseal(struct span key, struct span value, struct span *plain, struct error *err);

/* Appends a value block; `zstd` may be NULL: stored plain. */
int block_encode(ZSTD_CCtx *zstd, struct wbuf *w, struct span key, struct span plain, struct error *err);

int block_reader_init(struct block_reader *b, struct error *err);
void block_reader_fini(struct block_reader *b);
/* The plain bytes: borrowed from `value` or, decompressed, from the reader until its next call. */
int block_decode(struct block_reader *b, struct span key, struct span value, struct span *plain, struct error *err);

void clock_pack(struct wbuf *w, const struct clock_sample *s, size_t n);
int clock_unpack(struct span packed, struct clock_sample *out, size_t cap, struct error *err);
void epoch_pack(struct wbuf *w, const struct store_epoch *e);
int epoch_unpack(struct span packed, struct store_epoch *e, struct error *err);

void stream_pack(struct wbuf *w, const struct store_stream *st);
int stream_unpack(struct span packed, struct store_stream *st, struct error *err);

struct series_text {
	struct span metric, dims, kind, unit;
};
void series_pack(struct wbuf *w, const struct series_text *t);
int series_unpack(struct span packed, struct series_text *t, struct error *err);

/* ---- store_run.c: rows of the run table ---- */

struct writer_id {
	uint32_t pid;
	uint64_t start;       /* /proc/PID/stat, field 22: tells a reused pid */
	struct id16 boot;
};

struct run_row {
	struct store_run run;
	struct writer_id writer;
};
/* key and value of a row; the value sealed. */
int run_unpack(struct span key, struct span value, struct run_row *row, struct error *err);
int run_set_status(struct store *s, MDB_txn *txn, uint64_t run, enum run_status status, struct error *err);

/* ---- small things ---- */

static inline MDB_val val_of(struct span s)
{
	return (MDB_val){ .mv_size = s.len, .mv_data = (void *)(uintptr_t)s.p };
}

static inline struct span span_of_val(MDB_val v)
{
	return (struct span){ v.mv_data, v.mv_size };
}

static inline struct span span_of_wbuf(const struct wbuf *w)
{
	return (struct span){ w->p, w->len };
}

#endif
