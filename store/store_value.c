/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands in a value. Every value carries a CRC32C that covers its key too, so that neither damage
 * nor a value under another one's key goes unseen:
 *
 *   sealed   bytes … | crc u32                       crc over key, bytes
 *   block    encoding u8 | plain length u32 | crc u32 | bytes …
 *                                                    crc over key, encoding, plain length, plain bytes
 */
#include <stdlib.h>
#include <string.h>

#include "common/crc32c.h"
#include "store/impl.h"

enum encoding { ENCODING_PLAIN = 0, ENCODING_ZSTD = 1 };

enum {
	/* Packed columns are nearly incompressible but for their top bytes: level 1 finds those,
	 * higher levels take longer to find the same. */
	ZSTD_LEVEL = 1,
	CLOCK_VERSION = 1,
	CLOCK_SAMPLE_BYTES_MIN = 5,
};

static uint32_t crc_span(uint32_t crc, struct span s)
{
	return s.len ? crc32c(crc, s.p, s.len) : crc;
}

/* ---- sealed values ---- */

void seal(struct wbuf *w, struct span key, struct span plain)
{
	put_bytes(w, plain.p, plain.len);
	put_u32(w, crc_span(crc_span(0, key), plain));
}

int unseal(struct span key, struct span value, struct span *plain, struct error *err)
{
	struct rbuf in;
	if (value.len < SEAL_BYTES)
		return error_set(err, ERR_CORRUPT, "too short for its checksum");
	*plain = (struct span){ value.p, value.len - SEAL_BYTES };
	rbuf_init(&in, value.p + plain->len, SEAL_BYTES);
	if (get_u32(&in) != crc_span(crc_span(0, key), *plain))
		return error_set(err, ERR_CORRUPT, "its checksum does not match");
	return 0;
}

/* ---- value blocks ---- */

static uint32_t block_crc(struct span key, enum encoding encoding, struct span plain)
{
	uint8_t head[5];
	struct wbuf w;
	wbuf_fixed(&w, head, sizeof(head));
	put_u8(&w, (uint8_t)encoding);
	put_u32(&w, (uint32_t)plain.len);
	return crc_span(crc32c(crc_span(0, key), head, sizeof(head)), plain);
}

static void put_block(struct wbuf *w, struct span key, enum encoding encoding, struct span plain, struct span bytes)
{
	put_u8(w, (uint8_t)encoding);
	put_u32(w, (uint32_t)plain.len);
	put_u32(w, block_crc(key, encoding, plain));
	put_bytes(w, bytes.p, bytes.len);
}

int block_encode(ZSTD_CCtx *zstd, struct wbuf *w, struct span key, struct span plain, struct error *err)
{
	if (plain.len > VALUE_PLAIN_MAX)
		return error_set(err, ERR_LIMIT, "a value of %zu bytes; at most %d are allowed", plain.len, VALUE_PLAIN_MAX);
	size_t bound = ZSTD_compressBound(plain.len);
	uint8_t *packed = zstd ? malloc(bound) : NULL;
	size_t n = packed ? ZSTD_compressCCtx(zstd, packed, bound, plain.p, plain.len, ZSTD_LEVEL) : plain.len;
	if (packed && !ZSTD_isError(n) && n < plain.len)
		put_block(w, key, ENCODING_ZSTD, plain, (struct span){ packed, n });
	else
		put_block(w, key, ENCODING_PLAIN, plain, plain);
	free(packed);
	return 0;
}

int block_reader_init(struct block_reader *b, struct error *err)
{
	b->zstd = ZSTD_createDCtx();
	b->plain = malloc(VALUE_PLAIN_MAX);
	if (b->zstd && b->plain)
		return 0;
	block_reader_fini(b);
	return error_set(err, ERR_LIMIT, "out of memory for a value");
}

void block_reader_fini(struct block_reader *b)
{
	ZSTD_freeDCtx(b->zstd);
	free(b->plain);
	*b = (struct block_reader){ 0 };
}

static int decompress(struct block_reader *b, struct span bytes, size_t want, struct span *plain, struct error *err)
{
	size_t n = ZSTD_decompressDCtx(b->zstd, b->plain, want, bytes.p, bytes.len);
	if (ZSTD_isError(n) || n != want)
		return error_set(err, ERR_CORRUPT, "its compressed bytes are damaged");
	*plain = (struct span){ b->plain, n };
	return 0;
}

int block_decode(struct block_reader *b, struct span key, struct span value, struct span *plain, struct error *err)
{
	struct rbuf in;
	rbuf_init(&in, value.p, value.len);
	uint8_t encoding = get_u8(&in);
	uint32_t length = get_u32(&in), crc = get_u32(&in);
	struct span bytes = get_bytes(&in, rbuf_left(&in));
	if (in.bad)
		return error_set(err, ERR_CORRUPT, "too short for its header");
	if (length > VALUE_PLAIN_MAX)
		return error_set(err, ERR_CORRUPT, "claims %u bytes; at most %d are allowed", length, VALUE_PLAIN_MAX);
	if (encoding == ENCODING_PLAIN && length == bytes.len)
		*plain = bytes;
	else if (encoding != ENCODING_ZSTD)
		return error_set(err, ERR_CORRUPT, "its header is damaged");
	else if (decompress(b, bytes, length, plain, err) < 0)
		return -1;
	if (crc != block_crc(key, (enum encoding)encoding, *plain))
		return error_set(err, ERR_CORRUPT, "its checksum does not match");
	return 0;
}

/* ---- clock samples: version u8, count varint, then a sample after another ---- */

void clock_pack(struct wbuf *w, const struct clock_sample *s, size_t n)
{
	struct clock_sample last = { 0 };
	put_u8(w, CLOCK_VERSION);
	put_varint(w, n);
	for (size_t i = 0; i < n; last = s[i++]) {
		put_svarint(w, (int64_t)(s[i].host_tsc - last.host_tsc));
		put_svarint(w, (int64_t)((uint64_t)s[i].lo - (uint64_t)last.lo));
		put_varint(w, (uint64_t)s[i].hi - (uint64_t)s[i].lo);
		put_u8(w, s[i].tier);
		put_varint(w, s[i].epoch);
	}
}

static bool get_clock_sample(struct rbuf *in, const struct clock_sample *last, struct clock_sample *s)
{
	s->host_tsc = last->host_tsc + (uint64_t)get_svarint(in);
	s->lo = (int64_t)((uint64_t)last->lo + (uint64_t)get_svarint(in));
	s->hi = (int64_t)((uint64_t)s->lo + get_varint(in));
	s->tier = get_u8(in);
	uint64_t epoch = get_varint(in);
	s->epoch = (uint32_t)epoch;
	return !in->bad && epoch <= UINT32_MAX;
}

int clock_unpack(struct span packed, struct clock_sample *out, size_t cap, struct error *err)
{
	struct clock_sample last = { 0 };
	struct rbuf in;
	rbuf_init(&in, packed.p, packed.len);
	uint8_t version = get_u8(&in);
	uint64_t count = get_varint(&in);
	if (in.bad || version != CLOCK_VERSION)
		return error_set(err, ERR_CORRUPT, "clock samples of an unknown version");
	if (count > cap || count > packed.len / CLOCK_SAMPLE_BYTES_MIN)
		return error_set(err, ERR_CORRUPT, "claims more clock samples than its bytes can hold");
	for (uint64_t i = 0; i < count; last = out[i++])
		if (!get_clock_sample(&in, &last, &out[i]))
			return error_set(err, ERR_CORRUPT, "damaged clock samples");
	if (!rbuf_done(&in))
		return error_set(err, ERR_CORRUPT, "bytes left over behind its clock samples");
	return (int)count;
}

/* ---- epochs and series ---- */

void epoch_pack(struct wbuf *w, const struct store_epoch *e)
{
	put_u32(w, e->epoch);
	put_u8(w, e->tier);
	put_u64(w, e->first_host);
	put_u64(w, e->last_host);
	put_i64(w, e->lo);
	put_i64(w, e->hi);
	put_u64(w, e->samples);
}

int epoch_unpack(struct span packed, struct store_epoch *e, struct error *err)
{
	struct rbuf in;
	rbuf_init(&in, packed.p, packed.len);
	e->epoch = get_u32(&in);
	e->tier = get_u8(&in);
	e->first_host = get_u64(&in);
	e->last_host = get_u64(&in);
	e->lo = get_i64(&in);
	e->hi = get_i64(&in);
	e->samples = get_u64(&in);
	return rbuf_done(&in) ? 0 : error_set(err, ERR_CORRUPT, "is not an epoch");
}

void stream_pack(struct wbuf *w, const struct store_stream *st)
{
	put_u8(w, st->vantage);
	put_u8(w, st->clock);
	put_u32(w, st->cpu);
	put_u64(w, st->events);
	put_u64(w, st->lost);
	put_str(w, st->source, strnlen(st->source, sizeof(st->source)));
}

int stream_unpack(struct span packed, struct store_stream *st, struct error *err)
{
	struct rbuf in;
	rbuf_init(&in, packed.p, packed.len);
	st->vantage = get_u8(&in);
	st->clock = get_u8(&in);
	st->cpu = get_u32(&in);
	st->events = get_u64(&in);
	st->lost = get_u64(&in);
	struct span source = get_str(&in);
	bool known = st->vantage >= VANTAGE_GUEST && st->vantage <= VANTAGE_MARK && st->clock >= STREAM_GUEST_TSC && st->clock <= STREAM_MONOTONIC;
	if (!rbuf_done(&in) || !known || source.len >= sizeof(st->source))
		return error_set(err, ERR_CORRUPT, "is not a stream");
	span_text(source, st->source, sizeof(st->source));
	return 0;
}

void series_pack(struct wbuf *w, const struct series_text *t)
{
	const struct span *const all[] = { &t->metric, &t->dims, &t->kind, &t->unit };
	for (int i = 0; i < 4; i++)
		put_str(w, (const char *)all[i]->p, all[i]->len);
}

int series_unpack(struct span packed, struct series_text *t, struct error *err)
{
	struct rbuf in;
	rbuf_init(&in, packed.p, packed.len);
	t->metric = get_str(&in);
	t->dims = get_str(&in);
	t->kind = get_str(&in);
	t->unit = get_str(&in);
	return rbuf_done(&in) ? 0 : error_set(err, ERR_CORRUPT, "is not a series");
}
