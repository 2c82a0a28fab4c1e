/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values below 2^HIST_BITS have a bucket each. Above, every power of two is cut into 2^HIST_BITS
 * buckets of equal width, so a bucket's number is the exponent with the bits behind the leading one.
 *
 * Packed: version u8 (1), count, sum, min and max as varints, then for each bucket in use, ascending,
 * varints of its distance from the one before (the first: from −1) and of its count.
 */
#include "common/hist.h"

#include <stdbool.h>
#include <string.h>

#include "common/quantile.h"

enum { HIST_VERSION = 1, HIST_LINEAR = 1 << HIST_BITS };

static inline unsigned bucket_of(uint64_t v)
{
	if (v < HIST_LINEAR)
		return (unsigned)v;
	unsigned shift = 63 - (unsigned)__builtin_clzll(v) - HIST_BITS;
	return (shift << HIST_BITS) + (unsigned)(v >> shift);
}

void hist_bucket_range(unsigned i, uint64_t *lo, uint64_t *hi)
{
	unsigned shift = i < HIST_LINEAR ? 0 : (i >> HIST_BITS) - 1;
	uint64_t head = i - ((uint64_t)shift << HIST_BITS);
	*lo = head << shift;
	*hi = *lo + ((1ull << shift) - 1);
}

void hist_init(struct hist *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

static uint64_t saturating_add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void hist_add(struct hist *h, uint64_t value)
{
	h->count++;
	h->sum = saturating_add(h->sum, value);
	h->min = value < h->min ? value : h->min;
	h->max = value > h->max ? value : h->max;
	h->bucket[bucket_of(value)]++;
}

void hist_merge(struct hist *into, const struct hist *from)
{
	into->count += from->count;
	into->sum = saturating_add(into->sum, from->sum);
	into->min = from->min < into->min ? from->min : into->min;
	into->max = from->max > into->max ? from->max : into->max;
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
}

uint64_t hist_quantile(const struct hist *h, double q)
{
	if (!h->count)
		return 0;
	uint64_t rank = quantile_rank(h->count, q), seen = 0;
	for (unsigned i = bucket_of(h->min); i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen < rank)
			continue;
		uint64_t lo, hi;
		hist_bucket_range(i, &lo, &hi);
		return hi < h->max ? hi : h->max;
	}
	return h->max;
}

void hist_pack(struct wbuf *w, const struct hist *h)
{
	put_u8(w, HIST_VERSION);
	put_varint(w, h->count);
	put_varint(w, h->sum);
	put_varint(w, h->min);
	put_varint(w, h->max);
	int64_t last = -1;
	for (int64_t i = 0; i < HIST_BUCKETS; i++) {
		if (!h->bucket[i])
			continue;
		put_varint(w, (uint64_t)(i - last));
		put_varint(w, h->bucket[i]);
		last = i;
	}
}

static int damaged(struct error *err, const char *what)
{
	return error_set(err, ERR_CORRUPT, "histogram: %s", what);
}

static int get_buckets(struct rbuf *in, struct hist *h, struct error *err)
{
	uint64_t total = 0, next = 0;
	while (rbuf_left(in)) {
		uint64_t step = get_varint(in), count = get_varint(in);
		if (in->bad)
			return damaged(err, "truncated");
		if (!step || step > HIST_BUCKETS - next)
			return damaged(err, "a bucket that does not exist");
		next += step;
		if (!count || __builtin_add_overflow(total, count, &total))
			return damaged(err, "a bucket's count is zero or too large");
		h->bucket[next - 1] = count;
	}
	return total == h->count ? 0 : damaged(err, "its buckets do not add up to its count");
}

/* Extremes lie in the first and the last bucket in use. */
static bool extremes_fit(const struct hist *h)
{
	if (!h->count)
		return h->min == UINT64_MAX && h->max == 0 && h->sum == 0;
	if (h->min > h->max || !h->bucket[bucket_of(h->min)] || !h->bucket[bucket_of(h->max)])
		return false;
	for (unsigned i = 0; i < bucket_of(h->min); i++)
		if (h->bucket[i])
			return false;
	for (unsigned i = bucket_of(h->max) + 1; i < HIST_BUCKETS; i++)
		if (h->bucket[i])
			return false;
	return true;
}

int hist_unpack(struct span packed, struct hist *h, struct error *err)
{
	struct rbuf in;
	hist_init(h);
	rbuf_init(&in, packed.p, packed.len);
	uint8_t version = get_u8(&in);
	h->count = get_varint(&in);
	h->sum = get_varint(&in);
	h->min = get_varint(&in);
	h->max = get_varint(&in);
	if (in.bad)
		return damaged(err, "too short for its header");
	if (version != HIST_VERSION)
		return error_set(err, ERR_VERSION, "histogram: version %u; this program reads version %d", version, HIST_VERSION);
	if (get_buckets(&in, h, err) < 0)
		return -1;
	return extremes_fit(h) ? 0 : damaged(err, "its extremes lie outside its buckets");
}
