/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_HEAP_BYTES = 256 };

void wbuf_fixed(struct wbuf *w, void *mem, size_t cap)
{
	*w = (struct wbuf){ .p = mem, .cap = cap, .max = cap };
}

void wbuf_heap(struct wbuf *w, size_t max)
{
	*w = (struct wbuf){ .max = max, .heap = true };
}

void wbuf_reset(struct wbuf *w)
{
	w->len = 0;
	w->bad = false;
}

void wbuf_fini(struct wbuf *w)
{
	if (!w)
		return;
	if (w->heap)
		free(w->p);
	*w = (struct wbuf){ 0 };
}

static bool grow(struct wbuf *w, size_t need)
{
	if (!w->heap || need > w->max)
		return false;
	size_t cap = w->cap ? w->cap : FIRST_HEAP_BYTES;
	while (cap < need)
		cap = cap > w->max / 2 ? w->max : cap * 2;
	if (cap > w->max)
		cap = w->max;
	uint8_t *p = realloc(w->p, cap);
	if (!p)
		return false;
	w->p = p;
	w->cap = cap;
	return true;
}

/* Room for n more bytes, or NULL with .bad set; the length counts them at once. */
static uint8_t *reserve(struct wbuf *w, size_t n)
{
	if (w->bad)
		return NULL;
	if (n > w->cap - w->len && (n > w->max - w->len || !grow(w, w->len + n))) {
		w->bad = true;
		return NULL;
	}
	uint8_t *at = w->p + w->len;
	w->len += n;
	return at;
}

static void put_little(struct wbuf *w, uint64_t v, unsigned n)
{
	uint8_t *at = reserve(w, n);
	for (unsigned i = 0; at && i < n; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

static void put_big(struct wbuf *w, uint64_t v, unsigned n)
{
	uint8_t *at = reserve(w, n);
	for (unsigned i = 0; at && i < n; i++)
		at[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

void put_u8(struct wbuf *w, uint8_t v) { put_little(w, v, 1); }
void put_u16(struct wbuf *w, uint16_t v) { put_little(w, v, 2); }
void put_u32(struct wbuf *w, uint32_t v) { put_little(w, v, 4); }
void put_u64(struct wbuf *w, uint64_t v) { put_little(w, v, 8); }
void put_i32(struct wbuf *w, int32_t v) { put_little(w, (uint32_t)v, 4); }
void put_i64(struct wbuf *w, int64_t v) { put_little(w, (uint64_t)v, 8); }
size_t put_blob_open(struct wbuf *w)
{
	put_u32(w, 0);
	return w->len;
}

void put_blob_close(struct wbuf *w, size_t start)
{
	struct wbuf length;
	if (w->bad)
		return;
	wbuf_fixed(&length, w->p + start - sizeof(uint32_t), sizeof(uint32_t));
	put_u32(&length, (uint32_t)(w->len - start));
}

void key_u16(struct wbuf *w, uint16_t v) { put_big(w, v, 2); }
void key_u32(struct wbuf *w, uint32_t v) { put_big(w, v, 4); }
void key_u64(struct wbuf *w, uint64_t v) { put_big(w, v, 8); }

void put_f64(struct wbuf *w, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	put_u64(w, bits);
}

void put_varint(struct wbuf *w, uint64_t v)
{
	uint8_t tmp[10];
	size_t n = 0;
	while (v >= 0x80) {
		tmp[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	tmp[n++] = (uint8_t)v;
	put_bytes(w, tmp, n);
}

void put_svarint(struct wbuf *w, int64_t v)
{
	put_varint(w, ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0));
}

void put_bytes(struct wbuf *w, const void *p, size_t n)
{
	uint8_t *at = n ? reserve(w, n) : NULL;
	if (at)
		memcpy(at, p, n);
}

/* Length and bytes go in together or not at all. */
static void put_counted(struct wbuf *w, const void *p, size_t n, unsigned prefix, size_t most)
{
	size_t before = w->len;
	if (n > most) {
		w->bad = true;
		return;
	}
	put_little(w, n, prefix);
	put_bytes(w, p, n);
	if (w->bad)
		w->len = before;
}

void put_str(struct wbuf *w, const char *s, size_t n) { put_counted(w, s, n, 2, UINT16_MAX); }
void put_blob(struct wbuf *w, const void *p, size_t n) { put_counted(w, p, n, 4, UINT32_MAX); }

void rbuf_init(struct rbuf *r, const void *p, size_t n)
{
	/* Arithmetic on NULL is undefined even for no bytes; an empty span may hold it. */
	static const uint8_t nothing;
	const uint8_t *at = n ? p : &nothing;
	*r = (struct rbuf){ .p = at, .end = at + n };
}

size_t rbuf_left(const struct rbuf *r)
{
	return r->bad ? 0 : (size_t)(r->end - r->p);
}

bool rbuf_done(const struct rbuf *r)
{
	return !r->bad && r->p == r->end;
}

static const uint8_t *take(struct rbuf *r, size_t n)
{
	if (r->bad || n > (size_t)(r->end - r->p)) {
		r->bad = true;
		return NULL;
	}
	const uint8_t *at = r->p;
	r->p += n;
	return at;
}

static uint64_t get_little(struct rbuf *r, unsigned n)
{
	const uint8_t *at = take(r, n);
	uint64_t v = 0;
	for (unsigned i = 0; at && i < n; i++)
		v |= (uint64_t)at[i] << (8 * i);
	return v;
}

static uint64_t get_big(struct rbuf *r, unsigned n)
{
	const uint8_t *at = take(r, n);
	uint64_t v = 0;
	for (unsigned i = 0; at && i < n; i++)
		v = v << 8 | at[i];
	return v;
}

uint8_t get_u8(struct rbuf *r) { return (uint8_t)get_little(r, 1); }
uint16_t get_u16(struct rbuf *r) { return (uint16_t)get_little(r, 2); }
uint32_t get_u32(struct rbuf *r) { return (uint32_t)get_little(r, 4); }
uint64_t get_u64(struct rbuf *r) { return get_little(r, 8); }
int32_t get_i32(struct rbuf *r) { return (int32_t)get_u32(r); }
int64_t get_i64(struct rbuf *r) { return (int64_t)get_u64(r); }
uint16_t getkey_u16(struct rbuf *r) { return (uint16_t)get_big(r, 2); }
uint32_t getkey_u32(struct rbuf *r) { return (uint32_t)get_big(r, 4); }
uint64_t getkey_u64(struct rbuf *r) { return get_big(r, 8); }

double get_f64(struct rbuf *r)
{
	uint64_t bits = get_u64(r);
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* One value has one encoding: a padded varint or one over 64 bits is malformed. */
uint64_t get_varint(struct rbuf *r)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		const uint8_t *at = take(r, 1);
		if (!at)
			return 0;
		v |= (uint64_t)(*at & 0x7f) << shift;
		if (*at & 0x80)
			continue;
		if ((*at == 0 && shift) || (shift == 63 && *at > 1))
			break;
		return v;
	}
	r->bad = true;
	return 0;
}

int64_t get_svarint(struct rbuf *r)
{
	uint64_t v = get_varint(r);
	return (int64_t)(v >> 1 ^ (v & 1 ? UINT64_MAX : 0));
}

struct span get_bytes(struct rbuf *r, size_t n)
{
	const uint8_t *at = take(r, n);
	return at ? (struct span){ at, n } : (struct span){ 0 };
}

struct span get_str(struct rbuf *r) { return get_bytes(r, get_u16(r)); }
struct span get_blob(struct rbuf *r) { return get_bytes(r, get_u32(r)); }

/* Length of the printable UTF-8 character at p, or 0: a control (C0, DEL, or C1, which terminals
 * obey too), a byte that starts no character, an overlong form, a surrogate. */
static size_t printable_char(const uint8_t *p, size_t left)
{
	static const uint32_t least[5] = { 0, 0, 0xa0, 0x800, 0x10000 };
	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f;
	size_t n = p[0] >= 0xf8 ? 0 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
	if (n == 0 || n > left)
		return 0;
	uint32_t v = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (p[i] & 0x3f);
	}
	bool whole = v >= least[n] && v <= 0x10ffff && (v < 0xd800 || v > 0xdfff);
	return whole ? n : 0;
}

char *span_text(struct span s, char *dst, size_t cap)
{
	size_t out = 0;
	for (size_t i = 0; i < s.len && cap;) {
		size_t n = printable_char(s.p + i, s.len - i);
		size_t width = n ? n : 1;
		if (out + width >= cap)
			break;
		if (n)
			memcpy(dst + out, s.p + i, n);
		else
			dst[out] = '?';
		out += width;
		i += width;
	}
	if (cap)
		dst[out] = '\0';
	return dst;
}

bool span_eq(struct span s, const char *text)
{
	size_t n = strlen(text);
	return s.len == n && (n == 0 || memcmp(s.p, text, n) == 0);
}
