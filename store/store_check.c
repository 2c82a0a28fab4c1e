/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking through a whole database: every page, every checksum, every shape. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/impl.h"

struct check {
	struct store *store;
	struct store_check *out;
	void (*damaged)(void *ctx, const char *line);
	void *ctx;
	struct block_reader block;
	/* Room for the largest chunk of any kind. */
	union {
		struct io_record io[IOREC_CHUNK];
		struct sample sample[SAMPLES_CHUNK];
		struct clock_sample clock[STORE_CLOCK_CHUNK];
		struct sighting sight[SIGHT_CHUNK];
	} *room;
	enum store_table table;
};

/* How a table's keys and values look: a key has its fixed part and, for attributes, text behind it. */
struct shape {
	size_t key_min, key_max;
	int (*value)(struct check *c, struct span key, struct span value, struct error *err);
};

static int check_sealed(struct check *c, struct span key, struct span value, struct error *err)
{
	struct span plain;
	(void)c;
	return unseal(key, value, &plain, err);
}

static int check_run(struct check *c, struct span key, struct span value, struct error *err)
{
	struct run_row row;
	c->out->runs++;
	return run_unpack(key, value, &row, err);
}

static int check_attr(struct check *c, struct span key, struct span value, struct error *err)
{
	struct span plain;
	(void)c;
	if (unseal(key, value, &plain, err) < 0)
		return -1;
	return plain.len && memchr(plain.p, 0, plain.len) ? error_set(err, ERR_CORRUPT, "a text with a NUL in it") : 0;
}

static int check_io(struct check *c, struct span key, struct span value, struct error *err)
{
	struct span plain;
	return block_decode(&c->block, key, value, &plain, err) < 0 ? -1 : iorec_unpack(plain, c->room->io, IOREC_CHUNK, err);
}

static int check_series(struct check *c, struct span key, struct span value, struct error *err)
{
	struct span plain;
	struct series_text t;
	(void)c;
	return unseal(key, value, &plain, err) < 0 ? -1 : series_unpack(plain, &t, err);
}

static int check_sample(struct check *c, struct span key, struct span value, struct error *err)
{
	struct span plain;
	return block_decode(&c->block, key, value, &plain, err) < 0 ? -1 : samples_unpack(plain, c->room->sample, SAMPLES_CHUNK, err);
}

static int check_clock(struct check *c, struct span key, struct span value, struct error *err)
{
	struct span plain;
	return block_decode(&c->block, key, value, &plain, err) < 0 ? -1 : clock_unpack(plain, c->room->clock, STORE_CLOCK_CHUNK, err);
}

static int check_epoch(struct check *c, struct span key, struct span value, struct error *err)
{
	struct span plain;
	struct store_epoch e;
	(void)c;
	return unseal(key, value, &plain, err) < 0 ? -1 : epoch_unpack(plain, &e, err);
}

static int check_stream(struct check *c, struct span key, struct span value, struct error *err)
{
	struct span plain;
	struct store_stream st;
	(void)c;
	return unseal(key, value, &plain, err) < 0 ? -1 : stream_unpack(plain, &st, err);
}

static int check_sight(struct check *c, struct span key, struct span value, struct error *err)
{
	struct span plain;
	return block_decode(&c->block, key, value, &plain, err) < 0 ? -1 : sights_unpack(plain, c->room->sight, SIGHT_CHUNK, err);
}

/* What it means is attribute/'s to say; it can be made again. */
static int check_result(struct check *c, struct span key, struct span value, struct error *err)
{
	struct span plain;
	return block_decode(&c->block, key, value, &plain, err);
}

static const struct shape shapes[TABLES] = {
	[TABLE_META] = { 1, STORE_KEY_MAX, check_sealed },
	[TABLE_RUN] = { 8, 8, check_run },
	[TABLE_ATTR] = { 9, 8 + STORE_KEY_MAX, check_attr },
	[TABLE_IO] = { 12, 12, check_io },
	[TABLE_SERIES] = { 13, 13, check_series },
	[TABLE_SAMPLE] = { 13, 13, check_sample },
	[TABLE_CLOCK] = { 12, 12, check_clock },
	[TABLE_EPOCH] = { 12, 12, check_epoch },
	[TABLE_PEER] = { 17, 17, check_sealed },
	[TABLE_STREAM] = { 10, 10, check_stream },
	[TABLE_SIGHT] = { 14, 14, check_sight },
	[TABLE_RESULT] = { 8, 8, check_result },
};

/* "io 7.12": the table, and a key's numbers, or its text. */
static void name_value(enum store_table t, struct span key, char *dst, size_t cap)
{
	char text[64] = "";
	struct rbuf in;
	int n = snprintf(dst, cap, "%s", table_name(t));
	size_t at = (size_t)n;
	rbuf_init(&in, key.p, key.len);
	if (t != TABLE_META && t != TABLE_PEER && key.len >= 8)
		at += (size_t)snprintf(dst + at, cap - at, " %llu", (unsigned long long)getkey_u64(&in));
	if (t == TABLE_SERIES || t == TABLE_SAMPLE)
		at += (size_t)snprintf(dst + at, cap - at, " %s", get_u8(&in) == SIDE_GUEST ? "guest" : "host");
	if (t == TABLE_STREAM || t == TABLE_SIGHT)
		at += (size_t)snprintf(dst + at, cap - at, " stream %u", getkey_u16(&in));
	if (t == TABLE_META || t == TABLE_ATTR)
		snprintf(dst + at, cap - at, " %s", span_text(get_bytes(&in, rbuf_left(&in)), text, sizeof(text)));
	else if (t != TABLE_RUN && t != TABLE_PEER && t != TABLE_STREAM && t != TABLE_RESULT)
		snprintf(dst + at, cap - at, " %u", getkey_u32(&in));
}

static int check_value(void *ctx, struct span key, struct span value, struct error *unused)
{
	struct check *c = ctx;
	const struct shape *shape = &shapes[c->table];
	struct error err = { 0 };
	(void)unused;
	c->out->values++;
	c->out->bytes += key.len + value.len;
	int r = key.len < shape->key_min || key.len > shape->key_max
		? error_set(&err, ERR_CORRUPT, "a key of %zu bytes", key.len)
		: shape->value(c, key, value, &err);
	if (r >= 0)
		return 0;
	c->out->damaged++;
	if (c->damaged) {
		char name[160], line[sizeof(name) + sizeof(err.text) + 2];
		name_value(c->table, key, name, sizeof(name));
		snprintf(line, sizeof(line), "%s: %s", name, err.text);
		c->damaged(c->ctx, line);
	}
	return 0;
}

static int check_pages(struct check *c, struct error *err)
{
	struct error found = { 0 };
	MDB_txn *txn = store_begin_read(c->store, err);
	if (!txn)
		return -1;
	int r = pages_check_tree(c->store->env, txn, &found);
	store_end_read(c->store, txn);
	if (r == 0)
		return 0;
	/* LMDB must not be led over such pages: this is all that can be said. */
	return error_set(err, found.code, "database %s: %s", c->store->path, found.text);
}

int store_check(struct store *s, struct store_check *out, void (*damaged)(void *ctx, const char *line), void *ctx, struct error *err)
{
	struct check c = { .store = s, .out = out, .damaged = damaged, .ctx = ctx };
	*out = (struct store_check){ 0 };
	if (check_pages(&c, err) < 0 || block_reader_init(&c.block, err) < 0)
		return -1;
	c.room = malloc(sizeof(*c.room));
	int r = c.room ? 0 : error_set(err, ERR_LIMIT, "database %s: out of memory for a chunk", s->path);
	enum store_table end = s->scheme < 2 ? TABLE_SCHEME_2 : TABLES;
	for (enum store_table t = 0; t < end && r == 0; t++) {
		c.table = t;
		r = store_each(s, t, (struct span){ 0 }, check_value, &c, err);
	}
	free(c.room);
	block_reader_fini(&c.block);
	return r;
}
