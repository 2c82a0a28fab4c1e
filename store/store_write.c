/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A batch: puts gathered in memory, written in one transaction.
 *
 * An operation is table u8, key (u16 length, bytes), value (u32 length, bytes). Values are complete when they
 * are put: compression and checksums happen outside the transaction, which only copies.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/impl.h"

enum {
	/* Hundreds of chunks: a caller that never commits is told before memory is gone. */
	BATCH_MAX = 256 << 20,
	KEY_MAX = 8 + STORE_KEY_MAX,
	/* Stands where an operation has its table: the value is the run's new status. */
	OP_STATUS = TABLES,
};
_Static_assert(KEY_MAX <= 511, "LMDB's longest key");

struct store_batch {
	struct store *store;
	struct wbuf ops;
	struct wbuf value;    /* the one being built */
	ZSTD_CCtx *zstd;
};

struct store_batch *store_batch_new(struct store *s, struct error *err)
{
	struct store_batch *b = calloc(1, sizeof(*b));
	if (b)
		b->zstd = ZSTD_createCCtx();
	if (!b || !b->zstd) {
		free(b);
		error_set(err, ERR_LIMIT, "database %s: out of memory for a batch", s->path);
		return NULL;
	}
	b->store = s;
	wbuf_heap(&b->ops, BATCH_MAX);
	wbuf_heap(&b->value, 2 * VALUE_PLAIN_MAX);
	return b;
}

void store_batch_free(struct store_batch *b)
{
	if (!b)
		return;
	wbuf_fini(&b->ops);
	wbuf_fini(&b->value);
	ZSTD_freeCCtx(b->zstd);
	free(b);
}

size_t store_batch_size(const struct store_batch *b)
{
	return b->ops.len;
}

/* ---- committing ---- */

static int apply(struct store *s, MDB_txn *txn, unsigned op, struct span key, struct span value, struct error *err)
{
	if (op == OP_STATUS) {
		struct rbuf k;
		rbuf_init(&k, key.p, key.len);
		return run_set_status(s, txn, getkey_u64(&k), (enum run_status)value.p[0], err);
	}
	MDB_val k = val_of(key), v = val_of(value);
	return mdb_put(txn, s->dbi[op], &k, &v, 0);
}

static int commit_body(struct store *s, MDB_txn *txn, void *ctx, struct error *err)
{
	const struct store_batch *b = ctx;
	struct rbuf in;
	rbuf_init(&in, b->ops.p, b->ops.len);
	while (rbuf_left(&in)) {
		unsigned op = get_u8(&in);
		struct span key = get_str(&in), value = get_blob(&in);
		int rc = apply(s, txn, op, key, value, err);
		if (rc)
			return rc;
	}
	return 0;
}

int store_commit(struct store_batch *b, struct error *err)
{
	if (!b->ops.len)
		return 0;
	if (store_write(b->store, commit_body, b, err) < 0)
		return -1;
	wbuf_reset(&b->ops);
	return 0;
}

/* ---- putting ---- */

/* Adds one operation whole, or nothing. */
static int add(struct store_batch *b, unsigned op, struct span key, struct span value, struct error *err)
{
	size_t before = b->ops.len;
	put_u8(&b->ops, (uint8_t)op);
	put_str(&b->ops, (const char *)key.p, key.len);
	put_blob(&b->ops, value.p, value.len);
	if (!b->ops.bad)
		return 0;
	b->ops.len = before;
	b->ops.bad = false;
	return error_set(err, ERR_LIMIT, "database %s: the batch holds %zu bytes and has no room for %zu more; commit it first",
			 b->store->path, before, value.len);
}

static int add_sealed(struct store_batch *b, enum store_table t, struct span key, struct span plain, struct error *err)
{
	wbuf_reset(&b->value);
	seal(&b->value, key, plain);
	if (b->value.bad)
		return error_set(err, ERR_LIMIT, "database %s: a value of %zu bytes is too large", b->store->path, plain.len);
	return add(b, t, key, span_of_wbuf(&b->value), err);
}

static int add_block(struct store_batch *b, enum store_table t, struct span key, struct span plain, struct error *err)
{
	wbuf_reset(&b->value);
	if (block_encode(b->zstd, &b->value, key, plain, err) < 0)
		return error_prefix(err, "database %s", b->store->path);
	if (b->value.bad)
		return error_set(err, ERR_LIMIT, "database %s: out of memory for a value of %zu bytes", b->store->path, plain.len);
	return add(b, t, key, span_of_wbuf(&b->value), err);
}

struct key {
	uint8_t mem[KEY_MAX];
	struct wbuf w;
};

static struct wbuf *run_key(struct key *k, uint64_t run)
{
	wbuf_fixed(&k->w, k->mem, sizeof(k->mem));
	key_u64(&k->w, run);
	return &k->w;
}

int put_run_status(struct store_batch *b, uint64_t run, enum run_status status, struct error *err)
{
	struct key k;
	struct store_run known;
	uint8_t value = (uint8_t)status;
	/* Learnt now, lest the whole batch fail at its commit. */
	if (run == UINT64_MAX)
		return error_set(err, ERR_NOT_FOUND, "database %s: there is no run %llu", b->store->path, (unsigned long long)run);
	if (store_get_run(b->store, run, &known, err) < 0)
		return -1;
	struct wbuf *key = run_key(&k, run);
	return add(b, OP_STATUS, span_of_wbuf(key), (struct span){ &value, 1 }, err);
}

static bool good_key(const char *key, size_t n)
{
	if (n == 0 || n > STORE_KEY_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)key[i] <= ' ' || key[i] == 0x7f)
			return false;
	return true;
}

int put_attr(struct store_batch *b, uint64_t run, const char *key, const char *text, struct error *err)
{
	struct key k;
	size_t n = strlen(key), len = strlen(text);
	if (!good_key(key, n))
		return error_set(err, ERR_LIMIT, "attribute \"%.40s\": a key is 1 to %d bytes without blanks", key, STORE_KEY_MAX);
	if (len > STORE_TEXT_MAX)
		return error_set(err, ERR_LIMIT, "attribute %.40s: a text of %zu bytes; at most %d are allowed", key, len, STORE_TEXT_MAX);
	struct wbuf *w = run_key(&k, run);
	put_bytes(w, key, n);
	return add_sealed(b, TABLE_ATTR, span_of_wbuf(w), (struct span){ (const uint8_t *)text, len }, err);
}

int put_attr_u64(struct store_batch *b, uint64_t run, const char *key, uint64_t v, struct error *err)
{
	char text[32];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	return put_attr(b, run, key, text, err);
}

/* The shortest text that reads back as the same number. */
int put_attr_f64(struct store_batch *b, uint64_t run, const char *key, double v, struct error *err)
{
	char text[40];
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		double back = strtod(text, NULL);
		if (!(back < v || back > v))
			break;
	}
	return put_attr(b, run, key, text, err);
}

int put_io_chunk(struct store_batch *b, uint64_t run, uint32_t index, struct span packed, struct error *err)
{
	struct key k;
	struct wbuf *key = run_key(&k, run);
	key_u32(key, index);
	return add_block(b, TABLE_IO, span_of_wbuf(key), packed, err);
}

static struct wbuf *side_key(struct key *k, uint64_t run, enum store_side side, uint32_t number)
{
	struct wbuf *key = run_key(k, run);
	put_u8(key, (uint8_t)side);
	key_u32(key, number);
	return key;
}

int put_series(struct store_batch *b, uint64_t run, enum store_side side, uint32_t series,
	       const char *metric, const char *dims, const char *kind, const char *unit, struct error *err)
{
	struct key k;
	struct series_text t = { span_of(metric), span_of(dims), span_of(kind), span_of(unit) };
	struct wbuf *key = side_key(&k, run, side, series), plain;
	wbuf_heap(&plain, VALUE_PLAIN_MAX);
	series_pack(&plain, &t);
	int r = plain.bad ? error_set(err, ERR_LIMIT, "series %u: metric \"%.40s\": a text over 65535 bytes", series, metric)
			  : add_sealed(b, TABLE_SERIES, span_of_wbuf(key), span_of_wbuf(&plain), err);
	wbuf_fini(&plain);
	return r;
}

int put_sample_chunk(struct store_batch *b, uint64_t run, enum store_side side, uint32_t index, struct span packed, struct error *err)
{
	struct key k;
	struct wbuf *key = side_key(&k, run, side, index);
	return add_block(b, TABLE_SAMPLE, span_of_wbuf(key), packed, err);
}

int put_clock_chunk(struct store_batch *b, uint64_t run, uint32_t index, const struct clock_sample *s, size_t n, struct error *err)
{
	struct key k;
	struct wbuf *key = run_key(&k, run), plain;
	if (n > STORE_CLOCK_CHUNK)
		return error_set(err, ERR_LIMIT, "clock chunk %u: %zu samples; at most %d go into one", index, n, STORE_CLOCK_CHUNK);
	key_u32(key, index);
	wbuf_heap(&plain, VALUE_PLAIN_MAX);
	clock_pack(&plain, s, n);
	int r = plain.bad ? error_set(err, ERR_LIMIT, "clock chunk %u: out of memory", index)
			  : add_block(b, TABLE_CLOCK, span_of_wbuf(key), span_of_wbuf(&plain), err);
	wbuf_fini(&plain);
	return r;
}

int put_epoch(struct store_batch *b, uint64_t run, const struct store_epoch *e, struct error *err)
{
	struct key k;
	uint8_t mem[64];
	struct wbuf *key = run_key(&k, run), plain;
	key_u32(key, e->epoch);
	wbuf_fixed(&plain, mem, sizeof(mem));
	epoch_pack(&plain, e);
	return add_sealed(b, TABLE_EPOCH, span_of_wbuf(key), span_of_wbuf(&plain), err);
}

static struct wbuf *stream_key(struct key *k, uint64_t run, uint16_t stream)
{
	struct wbuf *key = run_key(k, run);
	key_u16(key, stream);
	return key;
}

int put_stream(struct store_batch *b, uint64_t run, const struct store_stream *st, struct error *err)
{
	struct key k;
	uint8_t mem[64 + STREAM_SOURCE_MAX];
	struct wbuf *key = stream_key(&k, run, st->stream), plain;
	wbuf_fixed(&plain, mem, sizeof(mem));
	stream_pack(&plain, st);
	return add_sealed(b, TABLE_STREAM, span_of_wbuf(key), span_of_wbuf(&plain), err);
}

int put_sight_chunk(struct store_batch *b, uint64_t run, uint16_t stream, uint32_t index, struct span packed, struct error *err)
{
	struct key k;
	struct wbuf *key = stream_key(&k, run, stream);
	key_u32(key, index);
	return add_block(b, TABLE_SIGHT, span_of_wbuf(key), packed, err);
}

int put_result(struct store_batch *b, uint64_t run, struct span packed, struct error *err)
{
	struct key k;
	struct wbuf *key = run_key(&k, run);
	return add_block(b, TABLE_RESULT, span_of_wbuf(key), packed, err);
}

int put_peer_seq(struct store_batch *b, const struct id16 *instance, uint8_t port, uint64_t seq, struct error *err)
{
	struct key k;
	uint8_t mem[8];
	struct wbuf plain;
	wbuf_fixed(&k.w, k.mem, sizeof(k.mem));
	put_bytes(&k.w, instance->b, sizeof(instance->b));
	put_u8(&k.w, port);
	wbuf_fixed(&plain, mem, sizeof(mem));
	put_u64(&plain, seq);
	return add_sealed(b, TABLE_PEER, span_of_wbuf(&k.w), span_of_wbuf(&plain), err);
}
