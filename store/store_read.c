/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading: each function is one snapshot; what a callback is given lives during the call. */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "store/impl.h"

enum { PREFIX_MAX = 8 + STORE_KEY_MAX };

/* Start of the keys that belong to a run, and maybe a side of it. */
struct prefix {
	uint8_t mem[PREFIX_MAX];
	struct wbuf w;
};

static struct span run_prefix(struct prefix *p, uint64_t run)
{
	wbuf_fixed(&p->w, p->mem, sizeof(p->mem));
	key_u64(&p->w, run);
	return span_of_wbuf(&p->w);
}

static struct span side_prefix(struct prefix *p, uint64_t run, enum store_side side)
{
	run_prefix(p, run);
	put_u8(&p->w, (uint8_t)side);
	return span_of_wbuf(&p->w);
}

/* The big-endian number that closes a key; the key has just this one behind the prefix. */
static int last_number(struct span key, size_t prefix, uint32_t *number, struct error *err)
{
	struct rbuf in;
	rbuf_init(&in, key.p + prefix, key.len - prefix);
	*number = getkey_u32(&in);
	return rbuf_done(&in) ? 0 : error_set(err, ERR_CORRUPT, "a key of %zu bytes", key.len);
}

static int in_run(const struct store *s, uint64_t run, const char *what, uint32_t number, struct error *err)
{
	return error_prefix(err, "database %s: run %llu: %s %u", s->path, (unsigned long long)run, what, number);
}

/* ---- runs ---- */

struct each_run {
	const struct store *store;
	int (*fn)(void *ctx, const struct store_run *r);
	void *ctx;
};

static int give_run(void *ctx, struct span key, struct span value, struct error *err)
{
	const struct each_run *e = ctx;
	struct run_row row;
	if (run_unpack(key, value, &row, err) < 0)
		return error_prefix(err, "database %s", e->store->path);
	return e->fn(e->ctx, &row.run);
}

int store_each_run(struct store *s, int (*fn)(void *ctx, const struct store_run *r), void *ctx, struct error *err)
{
	struct each_run e = { s, fn, ctx };
	return store_each(s, TABLE_RUN, (struct span){ 0 }, give_run, &e, err);
}

struct nearest_run {
	uint64_t wanted, nearest;
	bool any;
};

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static int note_nearest(void *ctx, const struct store_run *r)
{
	struct nearest_run *n = ctx;
	if (!n->any || apart(r->run, n->wanted) < apart(n->nearest, n->wanted))
		n->nearest = r->run;
	n->any = true;
	return 0;
}

static int no_such_run(struct store *s, uint64_t run, struct error *err)
{
	struct nearest_run n = { .wanted = run };
	if (store_each_run(s, note_nearest, &n, err) < 0)
		return -1;
	if (!n.any)
		return error_set(err, ERR_NOT_FOUND, "database %s: holds no run yet; `bifocal run` makes one", s->path);
	return error_set(err, ERR_NOT_FOUND, "database %s: there is no run %llu; the nearest is %llu, `bifocal list` shows all",
			 s->path, (unsigned long long)run, (unsigned long long)n.nearest);
}

static int find_run(struct store *s, MDB_txn *txn, uint64_t run, MDB_val *key, MDB_val *value)
{
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, s->dbi[TABLE_RUN], &cursor);
	if (rc)
		return rc;
	rc = mdb_cursor_get(cursor, key, value, run == UINT64_MAX ? MDB_LAST : MDB_SET_KEY);
	mdb_cursor_close(cursor);
	return rc;
}

int store_get_run(struct store *s, uint64_t run, struct store_run *out, struct error *err)
{
	struct prefix p;
	struct run_row row;
	MDB_val key = val_of(run_prefix(&p, run)), value;
	MDB_txn *txn = store_begin_read(s, err);
	if (!txn)
		return -1;
	int rc = find_run(s, txn, run, &key, &value), r = 0;
	if (!rc)
		r = run_unpack(span_of_val(key), span_of_val(value), &row, err);
	store_end_read(s, txn);
	if (rc == MDB_NOTFOUND)
		return no_such_run(s, run, err);
	if (rc)
		return store_error(s, rc, "reading", err);
	if (r < 0)
		return error_prefix(err, "database %s", s->path);
	*out = row.run;
	return 0;
}

/* ---- attributes ---- */

static int unseal_text(const struct store *s, struct span key, struct span value, struct span *text, struct error *err)
{
	if (unseal(key, value, text, err) == 0) {
		if (!text->len || !memchr(text->p, 0, text->len))
			return 0;
		error_set(err, ERR_CORRUPT, "a text with a NUL in it");
	}
	char name[64];
	span_text((struct span){ key.p + 8, key.len - 8 }, name, sizeof(name));
	return error_prefix(err, "database %s: attribute %s", s->path, name);
}

static char *copy_text(struct span text)
{
	char *copy = malloc(text.len + 1);
	if (!copy)
		return NULL;
	if (text.len)
		memcpy(copy, text.p, text.len);
	copy[text.len] = '\0';
	return copy;
}

static char *attr_in(struct store *s, MDB_txn *txn, struct span key, struct error *err)
{
	MDB_val k = val_of(key), v;
	struct span text;
	int rc = mdb_get(txn, s->dbi[TABLE_ATTR], &k, &v);
	if (rc == MDB_NOTFOUND)
		return NULL;
	if (rc) {
		store_error(s, rc, "reading", err);
		return NULL;
	}
	if (unseal_text(s, key, span_of_val(v), &text, err) < 0)
		return NULL;
	char *copy = copy_text(text);
	if (!copy)
		error_set(err, ERR_LIMIT, "database %s: out of memory for an attribute", s->path);
	return copy;
}

char *store_attr(struct store *s, uint64_t run, const char *key, struct error *err)
{
	struct prefix p;
	if (err)
		*err = (struct error){ 0 };
	run_prefix(&p, run);
	put_bytes(&p.w, key, strlen(key));
	if (p.w.bad)
		return NULL;
	MDB_txn *txn = store_begin_read(s, err);
	if (!txn)
		return NULL;
	char *text = attr_in(s, txn, span_of_wbuf(&p.w), err);
	store_end_read(s, txn);
	return text;
}

struct each_attr {
	const struct store *store;
	int (*fn)(void *ctx, const char *key, const char *text);
	void *ctx;
};

static int give_attr(void *ctx, struct span key, struct span value, struct error *err)
{
	const struct each_attr *e = ctx;
	struct span text;
	if (unseal_text(e->store, key, value, &text, err) < 0)
		return -1;
	autofree char *name = copy_text((struct span){ key.p + 8, key.len - 8 });
	autofree char *copy = copy_text(text);
	if (!name || !copy)
		return error_set(err, ERR_LIMIT, "database %s: out of memory for an attribute", e->store->path);
	return e->fn(e->ctx, name, copy);
}

int store_each_attr(struct store *s, uint64_t run, const char *prefix,
		    int (*fn)(void *ctx, const char *key, const char *text), void *ctx, struct error *err)
{
	struct each_attr e = { s, fn, ctx };
	struct prefix p;
	run_prefix(&p, run);
	put_bytes(&p.w, prefix, strlen(prefix));
	/* A prefix longer than any key has none behind it. */
	return p.w.bad ? 0 : store_each(s, TABLE_ATTR, span_of_wbuf(&p.w), give_attr, &e, err);
}

/* ---- value blocks: I/O records, samples, clock samples ---- */

struct each_block {
	const struct store *store;
	uint64_t run;
	size_t prefix;                /* key bytes before the chunk's number */
	const char *what;
	struct block_reader block;
	size_t room_bytes;
	void *room;                   /* for one chunk's elements */
	int (*unpack)(struct span plain, void *room, struct error *err);
	int (*call)(const struct each_block *e, size_t n);
	union {
		int (*io)(void *ctx, const struct io_record *r, size_t n);
		int (*sample)(void *ctx, const struct sample *v, size_t n);
		int (*clock)(void *ctx, const struct clock_sample *v, size_t n);
	} fn;
	void *ctx;
};

static int give_block(void *ctx, struct span key, struct span value, struct error *err)
{
	struct each_block *e = ctx;
	uint32_t number = 0;
	struct span plain;
	int n = last_number(key, e->prefix, &number, err);
	if (n == 0)
		n = block_decode(&e->block, key, value, &plain, err);
	if (n == 0)
		n = e->unpack(plain, e->room, err);
	if (n < 0)
		return in_run(e->store, e->run, e->what, number, err);
	return e->call(e, (size_t)n);
}

static int each_block(struct store *s, enum store_table t, struct span prefix, struct each_block *e, struct error *err)
{
	e->store = s;
	e->prefix = prefix.len;
	if (block_reader_init(&e->block, err) < 0)
		return -1;
	e->room = malloc(e->room_bytes);
	int r = e->room ? store_each(s, t, prefix, give_block, e, err)
			: error_set(err, ERR_LIMIT, "database %s: out of memory for a chunk", s->path);
	free(e->room);
	block_reader_fini(&e->block);
	return r;
}

static int unpack_io(struct span plain, void *room, struct error *err)
{
	return iorec_unpack(plain, room, IOREC_CHUNK, err);
}

static int call_io(const struct each_block *e, size_t n)
{
	return e->fn.io(e->ctx, e->room, n);
}

int store_each_io(struct store *s, uint64_t run, int (*fn)(void *ctx, const struct io_record *r, size_t n), void *ctx, struct error *err)
{
	struct prefix p;
	struct each_block e = {
		.run = run, .what = "I/O chunk", .room_bytes = IOREC_CHUNK * sizeof(struct io_record),
		.unpack = unpack_io, .call = call_io, .fn.io = fn, .ctx = ctx,
	};
	return each_block(s, TABLE_IO, run_prefix(&p, run), &e, err);
}

static int unpack_samples(struct span plain, void *room, struct error *err)
{
	return samples_unpack(plain, room, SAMPLES_CHUNK, err);
}

static int call_sample(const struct each_block *e, size_t n)
{
	return e->fn.sample(e->ctx, e->room, n);
}

int store_each_sample(struct store *s, uint64_t run, enum store_side side,
		      int (*fn)(void *ctx, const struct sample *v, size_t n), void *ctx, struct error *err)
{
	struct prefix p;
	struct each_block e = {
		.run = run, .what = "sample chunk", .room_bytes = SAMPLES_CHUNK * sizeof(struct sample),
		.unpack = unpack_samples, .call = call_sample, .fn.sample = fn, .ctx = ctx,
	};
	return each_block(s, TABLE_SAMPLE, side_prefix(&p, run, side), &e, err);
}

static int unpack_clock(struct span plain, void *room, struct error *err)
{
	return clock_unpack(plain, room, STORE_CLOCK_CHUNK, err);
}

static int call_clock(const struct each_block *e, size_t n)
{
	return e->fn.clock(e->ctx, e->room, n);
}

int store_each_clock(struct store *s, uint64_t run, int (*fn)(void *ctx, const struct clock_sample *v, size_t n), void *ctx, struct error *err)
{
	struct prefix p;
	struct each_block e = {
		.run = run, .what = "clock chunk", .room_bytes = STORE_CLOCK_CHUNK * sizeof(struct clock_sample),
		.unpack = unpack_clock, .call = call_clock, .fn.clock = fn, .ctx = ctx,
	};
	return each_block(s, TABLE_CLOCK, run_prefix(&p, run), &e, err);
}

/* ---- single blocks ---- */

static struct block_reader *store_block(struct store *s, struct error *err)
{
	if (!s->block.zstd && block_reader_init(&s->block, err) < 0)
		return NULL;
	return &s->block;
}

/* The block at `key`, decoded into `room` by `unpack`. Returns what that does; 0 when there is no such key. */
static int read_block(struct store *s, enum store_table t, struct span key, int (*unpack)(struct span plain, void *room, size_t cap, struct error *err),
		      void *room, size_t cap, struct error *err)
{
	struct block_reader *block = store_block(s, err);
	MDB_val k = val_of(key), v;
	struct span plain;
	if (t >= TABLE_SCHEME_2 && s->scheme < 2)
		return 0;
	MDB_txn *txn = block ? store_begin_read(s, err) : NULL;
	if (!txn)
		return -1;
	int r = 0, rc = mdb_get(txn, s->dbi[t], &k, &v);
	if (!rc)
		r = block_decode(block, key, span_of_val(v), &plain, err);
	if (!rc && !r)
		r = unpack(plain, room, cap, err);
	store_end_read(s, txn);
	return rc && rc != MDB_NOTFOUND ? store_error(s, rc, "reading", err) : r;
}

static int unpack_io_chunk(struct span plain, void *room, size_t cap, struct error *err)
{
	return iorec_unpack(plain, room, cap, err);
}

int store_io_chunk(struct store *s, uint64_t run, uint32_t index, struct io_record *out, size_t cap, struct error *err)
{
	struct prefix p;
	run_prefix(&p, run);
	key_u32(&p.w, index);
	int n = read_block(s, TABLE_IO, span_of_wbuf(&p.w), unpack_io_chunk, out, cap, err);
	return n < 0 ? in_run(s, run, "I/O chunk", index, err) : n;
}

static int unpack_sights(struct span plain, void *room, size_t cap, struct error *err)
{
	return sights_unpack(plain, room, cap, err);
}

int store_sight_chunk(struct store *s, uint64_t run, uint16_t stream, uint32_t index, struct sighting *out, size_t cap, struct error *err)
{
	struct prefix p;
	run_prefix(&p, run);
	key_u16(&p.w, stream);
	key_u32(&p.w, index);
	int n = read_block(s, TABLE_SIGHT, span_of_wbuf(&p.w), unpack_sights, out, cap, err);
	return n < 0 ? error_prefix(err, "database %s: run %llu: stream %u: chunk %u", s->path, (unsigned long long)run, stream, index) : n;
}

static int unpack_result(struct span plain, void *room, size_t cap, struct error *err)
{
	struct wbuf *out = room;
	(void)cap;
	put_bytes(out, plain.p, plain.len);
	return out->bad ? error_set(err, ERR_LIMIT, "out of memory for a result of %zu bytes", plain.len) : 1;
}

int store_result(struct store *s, uint64_t run, struct wbuf *out, struct error *err)
{
	struct prefix p;
	wbuf_reset(out);
	int r = read_block(s, TABLE_RESULT, run_prefix(&p, run), unpack_result, out, 0, err);
	return r < 0 ? error_prefix(err, "database %s: run %llu: result", s->path, (unsigned long long)run) : r;
}

/* ---- series, streams and epochs ---- */

struct each_stream {
	const struct store *store;
	uint64_t run;
	int (*fn)(void *ctx, const struct store_stream *st);
	void *ctx;
};

static int give_stream(void *ctx, struct span key, struct span value, struct error *err)
{
	const struct each_stream *e = ctx;
	struct store_stream st;
	struct span plain;
	struct rbuf in;
	rbuf_init(&in, key.p + 8, key.len - 8);
	st.stream = getkey_u16(&in);
	if (!rbuf_done(&in))
		return error_set(err, ERR_CORRUPT, "database %s: run %llu: a stream's key of %zu bytes", e->store->path, (unsigned long long)e->run, key.len);
	if (unseal(key, value, &plain, err) < 0 || stream_unpack(plain, &st, err) < 0)
		return in_run(e->store, e->run, "stream", st.stream, err);
	return e->fn(e->ctx, &st);
}

int store_each_stream(struct store *s, uint64_t run, int (*fn)(void *ctx, const struct store_stream *st), void *ctx, struct error *err)
{
	struct prefix p;
	struct each_stream e = { s, run, fn, ctx };
	return s->scheme < 2 ? 0 : store_each(s, TABLE_STREAM, run_prefix(&p, run), give_stream, &e, err);
}

struct each_series {
	const struct store *store;
	uint64_t run;
	size_t prefix;
	int (*fn)(void *ctx, uint32_t series, const char *metric, const char *dims, const char *kind, const char *unit);
	void *ctx;
};

static int give_series(void *ctx, struct span key, struct span value, struct error *err)
{
	const struct each_series *e = ctx;
	struct series_text t;
	struct span plain;
	uint32_t number = 0;
	if (last_number(key, e->prefix, &number, err) < 0 || unseal(key, value, &plain, err) < 0 || series_unpack(plain, &t, err) < 0)
		return in_run(e->store, e->run, "series", number, err);
	autofree char *metric = copy_text(t.metric);
	autofree char *dims = copy_text(t.dims);
	autofree char *kind = copy_text(t.kind);
	autofree char *unit = copy_text(t.unit);
	if (!metric || !dims || !kind || !unit)
		return error_set(err, ERR_LIMIT, "database %s: out of memory for a series", e->store->path);
	return e->fn(e->ctx, number, metric, dims, kind, unit);
}

int store_each_series(struct store *s, uint64_t run, enum store_side side,
		      int (*fn)(void *ctx, uint32_t series, const char *metric, const char *dims, const char *kind, const char *unit),
		      void *ctx, struct error *err)
{
	struct prefix p;
	struct span prefix = side_prefix(&p, run, side);
	struct each_series e = { s, run, prefix.len, fn, ctx };
	return store_each(s, TABLE_SERIES, prefix, give_series, &e, err);
}

struct each_epoch {
	const struct store *store;
	uint64_t run;
	int (*fn)(void *ctx, const struct store_epoch *e);
	void *ctx;
};

static int give_epoch(void *ctx, struct span key, struct span value, struct error *err)
{
	const struct each_epoch *e = ctx;
	struct store_epoch epoch;
	struct span plain;
	uint32_t number = 0;
	if (last_number(key, 8, &number, err) < 0 || unseal(key, value, &plain, err) < 0 || epoch_unpack(plain, &epoch, err) < 0)
		return in_run(e->store, e->run, "epoch", number, err);
	return e->fn(e->ctx, &epoch);
}

int store_each_epoch(struct store *s, uint64_t run, int (*fn)(void *ctx, const struct store_epoch *e), void *ctx, struct error *err)
{
	struct prefix p;
	struct each_epoch e = { s, run, fn, ctx };
	return store_each(s, TABLE_EPOCH, run_prefix(&p, run), give_epoch, &e, err);
}

/* ---- single figures ---- */

static int take_seq(void *ctx, struct span key, struct span value, struct error *err)
{
	uint64_t *seq = ctx;
	struct span plain;
	struct rbuf in;
	if (unseal(key, value, &plain, err) < 0)
		return error_prefix(err, "peer");
	rbuf_init(&in, plain.p, plain.len);
	*seq = get_u64(&in);
	return rbuf_done(&in) ? 0 : error_set(err, ERR_CORRUPT, "peer: is not a sequence number");
}

int store_peer_seq(struct store *s, const struct id16 *instance, uint8_t port, uint64_t *seq, struct error *err)
{
	uint8_t mem[sizeof(instance->b) + 1];
	struct wbuf key;
	wbuf_fixed(&key, mem, sizeof(mem));
	put_bytes(&key, instance->b, sizeof(instance->b));
	put_u8(&key, port);
	*seq = 0;
	return store_each(s, TABLE_PEER, span_of_wbuf(&key), take_seq, seq, err);
}

static int add_bytes(void *ctx, struct span key, struct span value, struct error *err)
{
	(void)err;
	*(uint64_t *)ctx += key.len + value.len;
	return 0;
}

int store_io_bytes(struct store *s, uint64_t run, uint64_t *bytes, struct error *err)
{
	struct prefix p;
	*bytes = 0;
	return store_each(s, TABLE_IO, run_prefix(&p, run), add_bytes, bytes, err);
}

int store_sight_bytes(struct store *s, uint64_t run, uint64_t *bytes, struct error *err)
{
	struct prefix p;
	*bytes = 0;
	return s->scheme < 2 ? 0 : store_each(s, TABLE_SIGHT, run_prefix(&p, run), add_bytes, bytes, err);
}
