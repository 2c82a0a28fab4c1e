/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounded cursors with a sticky error: write or read ten fields, check once.
 *
 * Integers are little-endian, whatever the machine; key_* are big-endian, so that
 * the byte order of a database key is its numeric order. A varint is LEB128:
 * seven bits a byte, low first, at most ten bytes; a svarint is its zigzag form.
 *
 * A writer either fills memory it was lent (wbuf_fixed) or grows a heap block up
 * to a bound (wbuf_heap). What does not fit sets .bad and writes nothing more.
 * A reader never copies: spans point into the caller's memory and live as long as
 * that does. A short or malformed field sets .bad, and reads give zeros from then on.
 */
#ifndef BIFOCAL_COMMON_BYTES_H
#define BIFOCAL_COMMON_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {                 /* borrowed bytes; text in a span is not NUL-terminated */
	const uint8_t *p;
	size_t len;
};

struct wbuf {
	uint8_t *p;
	size_t len, cap;
	size_t max;           /* growth bound of a heap buffer; equals cap for a fixed one */
	bool heap;
	bool bad;
};

void wbuf_fixed(struct wbuf *w, void *mem, size_t cap);
void wbuf_heap(struct wbuf *w, size_t max);
void wbuf_reset(struct wbuf *w);          /* length 0, error cleared, memory kept */
void wbuf_fini(struct wbuf *w);           /* frees a heap buffer; NULL and zeroed are fine */

void put_u8(struct wbuf *w, uint8_t v);
void put_u16(struct wbuf *w, uint16_t v);
void put_u32(struct wbuf *w, uint32_t v);
void put_u64(struct wbuf *w, uint64_t v);
void put_i32(struct wbuf *w, int32_t v);
void put_i64(struct wbuf *w, int64_t v);
void put_f64(struct wbuf *w, double v);   /* IEEE 754 bits as u64 */
void put_varint(struct wbuf *w, uint64_t v);
void put_svarint(struct wbuf *w, int64_t v);
void put_bytes(struct wbuf *w, const void *p, size_t n);      /* raw, no length */
void put_str(struct wbuf *w, const char *s, size_t n);        /* u16 length + bytes; over 65535 is bad */
void put_blob(struct wbuf *w, const void *p, size_t n);       /* u32 length + bytes */
/* A blob whose length is known behind it: what is put between the two. `start` is what the first one returned. */
size_t put_blob_open(struct wbuf *w);
void put_blob_close(struct wbuf *w, size_t start);
void key_u16(struct wbuf *w, uint16_t v);
void key_u32(struct wbuf *w, uint32_t v);
void key_u64(struct wbuf *w, uint64_t v);

struct rbuf {
	const uint8_t *p, *end;
	bool bad;
};

void rbuf_init(struct rbuf *r, const void *p, size_t n);
size_t rbuf_left(const struct rbuf *r);
/* True when every byte was read and nothing went wrong: the decoder's closing check. */
bool rbuf_done(const struct rbuf *r);

uint8_t get_u8(struct rbuf *r);
uint16_t get_u16(struct rbuf *r);
uint32_t get_u32(struct rbuf *r);
uint64_t get_u64(struct rbuf *r);
int32_t get_i32(struct rbuf *r);
int64_t get_i64(struct rbuf *r);
double get_f64(struct rbuf *r);
uint64_t get_varint(struct rbuf *r);
int64_t get_svarint(struct rbuf *r);
struct span get_bytes(struct rbuf *r, size_t n);
struct span get_str(struct rbuf *r);
struct span get_blob(struct rbuf *r);
uint16_t getkey_u16(struct rbuf *r);
uint32_t getkey_u32(struct rbuf *r);
uint64_t getkey_u64(struct rbuf *r);

/* Copies at most cap-1 bytes and a NUL; control bytes become '?', so that a
 * hostile peer's text cannot drive a terminal. Returns dst. */
char *span_text(struct span s, char *dst, size_t cap);
bool span_eq(struct span s, const char *text);

#endif
