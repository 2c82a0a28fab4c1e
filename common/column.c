// SPDX-License-Identifier: GPL-2.0-or-later
#include "common/column.h"

#include <endian.h>
#include <string.h>

#include "common/varint.h"

enum {
	MODE_VARINTS = 0, MODE_SIGNED = 1, MODE_POSITIVE = 2,
	/* Below it the table costs more than it saves. */
	CLASSES_MIN = 24,
	SMALL = 8,
	/* One in so many may be no multiple of the unit. */
	ESCAPES = 16,
};
static const uint32_t RANS_LOW = UINT32_C(1) << 23;
static const uint64_t UNIT_MAX = UINT64_C(1) << 62;

static inline unsigned class_of(uint64_t q)
{
	if (q < SMALL)
		return (unsigned)q;
	unsigned e = 64 - (unsigned)__builtin_clzll(q);
	return SMALL + (e - 4) * 4 + ((unsigned)(q >> (e - 3)) & 3);
}

/* Bits that the class leaves open, and the least number in it. */
static inline unsigned open_bits(unsigned class)
{
	return class < SMALL ? 0 : class == COLUMN_ESCAPE ? 64 : (class - SMALL) / 4 + 1;
}

static inline uint64_t least_of(unsigned class)
{
	return class < SMALL ? class : class == COLUMN_ESCAPE ? 0 : (uint64_t)(4 | (class & 3)) << open_bits(class);
}

/* ---- bits ---- */

struct bits_out {
	uint8_t *p;
	uint64_t held;
	unsigned n;
};

static void bits_put(struct bits_out *b, uint64_t v, unsigned n)
{
	for (; n > 32; n -= 32, v >>= 32)
		bits_put(b, v & UINT32_MAX, 32);
	b->held |= (v & ((UINT64_C(1) << n) - 1)) << b->n;
	for (b->n += n; b->n >= 8; b->n -= 8, b->held >>= 8)
		*b->p++ = (uint8_t)b->held;
}

struct bits_in {
	const uint8_t *p, *end;
	uint64_t held;
	unsigned n;
	bool over;             /* more was asked for than there is */
};

/* n <= 32. */
static inline uint64_t bits_get(struct bits_in *b, unsigned n)
{
	if (b->n < n) {
		if (b->end - b->p >= 8) {
			uint64_t eight;
			memcpy(&eight, b->p, sizeof(eight));
			b->held |= le64toh(eight) << b->n;
			b->p += (63 - b->n) >> 3;
			b->n |= 56;
		} else {
			while (b->n < n) {
				b->over |= b->p == b->end;
				b->held |= (uint64_t)(b->p < b->end ? *b->p++ : 0) << b->n;
				b->n += 8;
			}
		}
	}
	uint64_t v = b->held & ((UINT64_C(1) << n) - 1);
	b->held >>= n;
	b->n -= n;
	return v;
}

/* ---- how often each class occurs, in COLUMN_SCALE ---- */

static void scale_counts(uint32_t count[COLUMN_CLASSES], size_t n)
{
	uint32_t sum = 0, largest = 0;
	for (uint32_t c = 0; c < COLUMN_CLASSES; c++) {
		if (!count[c])
			continue;
		uint32_t f = (uint32_t)((uint64_t)count[c] * COLUMN_SCALE / n);
		count[c] = f ? f : 1;
		sum += count[c];
		largest = count[c] > count[largest] ? c : largest;
	}
	/* Rounding's rest goes to where it matters least; taken away one by one where rare classes were rounded up. */
	if (sum < COLUMN_SCALE)
		count[largest] += COLUMN_SCALE - sum;
	while (sum > COLUMN_SCALE) {
		for (uint32_t c = 0; c < COLUMN_CLASSES; c++)
			largest = count[c] > count[largest] ? c : largest;
		uint32_t take = sum - COLUMN_SCALE, most = (count[largest] + 7) / 8;
		take = take < most ? take : most;
		count[largest] -= take;
		sum -= take;
	}
}

static void put_counts(struct wbuf *w, const uint32_t count[COLUMN_CLASSES])
{
	unsigned used = 0, last = 0;
	for (unsigned c = 0; c < COLUMN_CLASSES; c++)
		used += count[c] != 0;
	put_varint(w, used);
	for (unsigned c = 0; c < COLUMN_CLASSES; c++) {
		if (!count[c])
			continue;
		put_varint(w, c - last);
		put_varint(w, count[c]);
		last = c;
	}
}

struct decode_table {
	uint8_t class[COLUMN_SCALE];
	uint16_t start[COLUMN_CLASSES], count[COLUMN_CLASSES];
};

static bool get_counts(struct rbuf *in, struct decode_table *t)
{
	uint64_t used = get_varint(in), class = 0, sum = 0;
	if (in->bad || !used || used > COLUMN_CLASSES)
		return false;
	for (uint64_t i = 0; i < used; i++) {
		uint64_t gap = get_varint(in), count = get_varint(in);
		if (in->bad || (i && !gap) || gap >= COLUMN_CLASSES - class || !count || count > COLUMN_SCALE - sum)
			return false;
		class += gap;
		t->start[class] = (uint16_t)sum;
		t->count[class] = (uint16_t)count;
		memset(t->class + sum, (int)class, count);
		sum += count;
	}
	return sum == COLUMN_SCALE;
}

/* ---- packing ---- */

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

static uint64_t size_of(uint64_t change)
{
	return change >> 63 ? 0 - change : change;
}

static bool mostly_multiples(const uint64_t *v, size_t n, uint64_t unit)
{
	size_t others = 0;
	for (size_t i = 0; i < n; i++)
		others += size_of(v[i]) % unit != 0;
	return others <= n / ESCAPES;
}

/* What all have in common; or a log's microseconds, a disk's 4 KiB, but for a few. */
static uint64_t find_unit(const uint64_t *v, size_t n)
{
	static const uint64_t usual[] = { 1000, 8 };
	uint64_t unit = 0;
	for (size_t i = 0; i < n && unit != 1; i++)
		unit = gcd(unit, size_of(v[i]));
	for (size_t i = 0; i < 2; i++)
		if (unit < usual[i] && mostly_multiples(v, n, usual[i]))
			return usual[i];
	return unit && unit <= UNIT_MAX ? unit : 1;
}

/* The decoder takes the classes in order, so the encoder goes from the last to the first, and its bytes turn round. */
static void put_classes(struct wbuf *w, const uint8_t *class, size_t n, const uint32_t count[COLUMN_CLASSES])
{
	uint8_t reversed[COLUMN_MAX * 2 + 8];
	uint32_t start[COLUMN_CLASSES], x = RANS_LOW, sum = 0;
	size_t len = 0;
	for (unsigned c = 0; c < COLUMN_CLASSES; sum += count[c++])
		start[c] = sum;
	for (size_t i = n; i-- > 0; ) {
		uint32_t f = count[class[i]], most = ((RANS_LOW >> COLUMN_SCALE_BITS) << 8) * f;
		for (; x >= most; x >>= 8)
			reversed[len++] = (uint8_t)x;
		x = ((x / f) << COLUMN_SCALE_BITS) + x % f + start[class[i]];
	}
	put_varint(w, len + sizeof(x));
	put_u32(w, x);
	while (len)
		put_u8(w, reversed[--len]);
}

static void put_as_classes(struct wbuf *w, const uint64_t *v, size_t n)
{
	uint8_t class[COLUMN_MAX], bits[COLUMN_MAX * 8 + 8];
	uint32_t count[COLUMN_CLASSES] = { 0 };
	struct bits_out out = { .p = bits };
	uint64_t sign = 0, unit = find_unit(v, n);
	for (size_t i = 0; i < n; i++)
		sign |= v[i] >> 63;
	for (size_t i = 0; i < n; i++) {
		uint64_t size = size_of(v[i]), q = size / unit;
		bool multiple = q * unit == size;
		if (sign)
			q = zigzag(v[i] >> 63 ? 0 - q : q);
		class[i] = (uint8_t)(multiple ? class_of(q) : COLUMN_ESCAPE);
		count[class[i]]++;
		bits_put(&out, multiple ? q : v[i], open_bits(class[i]));
	}
	if (out.n)
		*out.p++ = (uint8_t)out.held;
	put_u8(w, sign ? MODE_SIGNED : MODE_POSITIVE);
	put_varint(w, unit);
	scale_counts(count, n);
	put_counts(w, count);
	put_classes(w, class, n, count);
	put_bytes(w, bits, (size_t)(out.p - bits));
}

static void put_as_varints(struct wbuf *w, const uint64_t *v, size_t n)
{
	uint8_t bytes[COLUMN_MAX * VARINT_MAX];
	uint64_t folded[COLUMN_MAX];
	for (size_t i = 0; i < n; i++)
		folded[i] = zigzag(v[i]);
	put_u8(w, MODE_VARINTS);
	put_bytes(w, bytes, varints_write(bytes, folded, n));
}

void column_put(struct wbuf *w, const uint64_t *v, size_t n)
{
	uint8_t mem[COLUMN_BYTES_MAX];
	struct wbuf packed;
	size_t plain = 1;
	if (n > COLUMN_MAX) {
		w->bad = true;
		return;
	}
	for (size_t i = 0; i < n; i++)
		plain += varint_size(zigzag(v[i]));
	wbuf_fixed(&packed, mem, plain);
	if (n >= CLASSES_MIN)
		put_as_classes(&packed, v, n);
	/* What does not fit is longer. */
	if (n < CLASSES_MIN || packed.bad)
		put_as_varints(w, v, n);
	else
		put_bytes(w, mem, packed.len);
}

/* ---- unpacking ---- */

static inline uint32_t next_class(const struct decode_table *t, uint32_t *x)
{
	uint32_t slot = *x & (COLUMN_SCALE - 1), c = t->class[slot];
	*x = t->count[c] * (*x >> COLUMN_SCALE_BITS) + slot - t->start[c];
	return c;
}

static bool get_classes(struct rbuf *in, const struct decode_table *t, uint8_t *class, size_t n)
{
	uint64_t len = get_varint(in);
	struct span s = get_bytes(in, len > rbuf_left(in) ? SIZE_MAX : (size_t)len);
	struct rbuf r;
	rbuf_init(&r, s.p, s.len);
	uint32_t x = get_u32(&r);
	if (in->bad || r.bad)
		return false;
	const uint8_t *p = r.p, *end = r.end;
	for (size_t i = 0; i < n; i++) {
		class[i] = (uint8_t)next_class(t, &x);
		/* None, one or two bytes come in, and nobody can foretell how many: no branch asks. What an encoder wrote needs no more. */
		if (end - p >= 2) {
			unsigned bytes = (unsigned)(x < RANS_LOW) + (unsigned)(x < RANS_LOW >> 8);
			uint32_t two = (uint32_t)p[0] << 8 | p[1];
			x = x << 8 * bytes | two >> (16 - 8 * bytes);
			p += bytes;
		}
		for (; x < RANS_LOW; x = x << 8 | *p++)
			if (p == end)
				return false;
	}
	return p == end && x == RANS_LOW;
}

static bool get_as_classes(struct rbuf *in, uint64_t *v, size_t n, bool folded)
{
	struct decode_table t;
	uint8_t class[COLUMN_MAX];
	uint64_t unit = get_varint(in);
	if (in->bad || !unit || unit > UNIT_MAX || !get_counts(in, &t) || !get_classes(in, &t, class, n))
		return false;
	struct bits_in bits = { .p = in->p, .end = in->end };
	for (size_t i = 0; i < n; i++) {
		unsigned open = open_bits(class[i]);
		uint64_t low = bits_get(&bits, open > 32 ? 32 : open);
		if (open > 32)
			low |= bits_get(&bits, open - 32) << 32;
		uint64_t q = least_of(class[i]) + low;
		v[i] = class[i] == COLUMN_ESCAPE ? q : (folded ? unzigzag(q) : q) * unit;
	}
	in->p = in->end;
	/* All of it, and but for the last byte's rest nothing more. */
	return !bits.over && bits.p - bits.n / 8 == bits.end;
}

bool column_get(struct rbuf *column, uint64_t *v, size_t n)
{
	uint8_t mode = get_u8(column);
	if (column->bad || n > COLUMN_MAX)
		return false;
	if (mode == MODE_SIGNED || mode == MODE_POSITIVE)
		return n && get_as_classes(column, v, n, mode == MODE_SIGNED);
	if (mode != MODE_VARINTS)
		return false;
	const uint8_t *end = varints_read(column->p, column->end, v, n);
	for (size_t i = 0; end && i < n; i++)
		v[i] = unzigzag(v[i]);
	return end && end == column->end;
}
