/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/varint.h"

#include <endian.h>
#include <string.h>

#include "common/bytes.h"

/* Eight bytes at once hold 56 bits of a number. */
static const uint64_t TOPS = 0x8080808080808080, WIDE = UINT64_C(1) << 56;

/* Spreads 56 bits over eight bytes, seven each, by halves, and gathers them again. */
static inline uint64_t spread(uint64_t x)
{
	x = (x & 0x000000000fffffff) | (x & 0x00fffffff0000000) << 4;
	x = (x & 0x00003fff00003fff) | (x & 0x0fffc0000fffc000) << 2;
	return (x & 0x007f007f007f007f) | (x & 0x3f803f803f803f80) << 1;
}

static inline uint64_t gather(uint64_t x)
{
	x = (x & 0x007f007f007f007f) | (x & 0x7f007f007f007f00) >> 1;
	x = (x & 0x00003fff00003fff) | (x & 0x3fff00003fff0000) >> 2;
	return (x & 0x000000000fffffff) | (x & 0x0fffffff00000000) >> 4;
}

static size_t write_one(uint8_t *out, uint64_t v)
{
	struct wbuf w;
	wbuf_fixed(&w, out, VARINT_MAX);
	put_varint(&w, v);
	return w.len;
}

size_t varints_write(uint8_t *out, const uint64_t *v, size_t n)
{
	uint8_t *p = out;
	for (size_t i = 0; i < n; i++) {
		if (v[i] >= WIDE) {
			p += write_one(p, v[i]);
			continue;
		}
		/* Stores eight bytes whatever the size: the room for ten a number holds them. */
		size_t size = varint_size(v[i]);
		uint64_t more = TOPS & ((UINT64_C(1) << (8 * (size - 1))) - 1);
		uint64_t bytes = htole64(spread(v[i]) | more);
		memcpy(p, &bytes, sizeof(bytes));
		p += size;
	}
	return (size_t)(p - out);
}

static const uint8_t *read_one(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
	struct rbuf r;
	rbuf_init(&r, p, (size_t)(end - p));
	*v = get_varint(&r);
	return r.bad ? NULL : r.p;
}

const uint8_t *varints_read(const uint8_t *p, const uint8_t *end, uint64_t *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t bytes = 0;
		if (end - p >= (ptrdiff_t)sizeof(bytes))
			memcpy(&bytes, p, sizeof(bytes));
		/* The first byte without its top bit is the last of the number. */
		uint64_t last = ~le64toh(bytes) & TOPS;
		if (end - p < (ptrdiff_t)sizeof(bytes) || !last) {
			p = read_one(p, end, &v[i]);
			if (!p)
				return NULL;
			continue;
		}
		unsigned size = (unsigned)__builtin_ctzll(last) / 8 + 1;
		v[i] = gather(le64toh(bytes) & (last ^ (last - 1)) & ~TOPS);
		if (size != varint_size(v[i]))
			return NULL;
		p += size;
	}
	return p;
}
