/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/frame.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "common/crc32c.h"

enum { HEAD_CRC_AT = 28 };

uint8_t frame_sum_flag(void)
{
	return crc32c_is_slow() ? FRAME_XXH : 0;
}

uint32_t frame_sum(uint8_t flags, const void *payload, size_t len)
{
	return flags & FRAME_XXH ? (uint32_t)XXH64(payload, len, 0) : crc32c(0, payload, len);
}

void frame_encode_header(uint8_t *out, const struct frame *f, uint32_t data_sum)
{
	struct wbuf w;
	wbuf_fixed(&w, out, FRAME_HEADER);
	put_u32(&w, FRAME_MAGIC);
	put_u8(&w, FRAME_VERSION);
	put_u8(&w, f->flags);
	put_u16(&w, f->type);
	put_u32(&w, (uint32_t)f->payload.len);
	put_u32(&w, f->epoch);
	put_u64(&w, f->seq);
	put_u32(&w, data_sum);
	put_u32(&w, crc32c(0, out, HEAD_CRC_AT));
}

size_t frame_encode(uint8_t *out, const struct frame *f)
{
	uint8_t *payload = out + FRAME_HEADER;
	if (f->payload.len && f->payload.p != payload)
		memmove(payload, f->payload.p, f->payload.len);
	frame_encode_header(out, f, frame_sum(f->flags, payload, f->payload.len));
	return FRAME_HEADER + f->payload.len;
}

void frame_reader_init(struct frame_reader *r)
{
	r->start = r->end = 0;
	r->frames = r->bad_frames = r->skipped_bytes = 0;
	r->in_damage = false;
}

uint8_t *frame_reader_space(struct frame_reader *r, size_t *room)
{
	/* Less than a frame is pending once frame_reader_next() gave 0, so moving it to the
	 * front leaves at least FRAME_MAX bytes; not moving it each time keeps small reads cheap. */
	if (r->start == r->end) {
		r->start = r->end = 0;
	} else if (sizeof(r->buf) - r->end < FRAME_MAX) {
		memmove(r->buf, r->buf + r->start, r->end - r->start);
		r->end -= r->start;
		r->start = 0;
	}
	/* A caller that never takes frames out loses the oldest bytes, as a wire would. */
	if (r->end == sizeof(r->buf)) {
		r->skipped_bytes += r->end;
		r->bad_frames++;
		r->start = r->end = 0;
	}
	*room = sizeof(r->buf) - r->end;
	return r->buf + r->end;
}

void frame_reader_fed(struct frame_reader *r, size_t n)
{
	size_t room = sizeof(r->buf) - r->end;
	r->end += n < room ? n : room;
}

static void skip(struct frame_reader *r, size_t n)
{
	if (!r->in_damage)
		r->bad_frames++;
	r->in_damage = true;
	r->skipped_bytes += n;
	r->start += n;
}

/* Where the next header may begin: the first place from `at` on at which the bytes so far
 * agree with the magic. */
static size_t find_magic(const struct frame_reader *r, size_t at)
{
	static const uint8_t magic[4] = { 'B', 'F', 'C', 'L' };
	while (at < r->end) {
		const uint8_t *b = memchr(r->buf + at, magic[0], r->end - at);
		if (!b)
			return r->end;
		at = (size_t)(b - r->buf);
		size_t n = r->end - at < sizeof(magic) ? r->end - at : sizeof(magic);
		if (memcmp(b, magic, n) == 0)
			return at;
		at++;
	}
	return r->end;
}

struct header {
	uint8_t version;
	uint32_t length, data_sum;
	struct frame frame;
};

/* False when no frame of ours begins here. The length is looked at only once the sum holds. */
static bool read_header(const uint8_t *p, struct header *h)
{
	struct rbuf r;
	rbuf_init(&r, p, FRAME_HEADER);
	get_u32(&r);
	h->version = get_u8(&r);
	h->frame.flags = get_u8(&r);
	h->frame.type = get_u16(&r);
	h->length = get_u32(&r);
	h->frame.epoch = get_u32(&r);
	h->frame.seq = get_u64(&r);
	h->data_sum = get_u32(&r);
	return get_u32(&r) == crc32c(0, p, HEAD_CRC_AT) && h->version == FRAME_VERSION &&
	       h->length <= FRAME_PAYLOAD_MAX;
}

/* 1: the frame at start was taken. 0: its rest has not come yet. -1: no whole frame begins here. */
static int take_frame(struct frame_reader *r, struct frame *f)
{
	const uint8_t *p = r->buf + r->start;
	size_t have = r->end - r->start;
	if (have < FRAME_HEADER)
		return 0;
	struct header h;
	if (!read_header(p, &h))
		return -1;
	if (have < FRAME_HEADER + h.length)
		return 0;
	if (frame_sum(h.frame.flags, p + FRAME_HEADER, h.length) != h.data_sum)
		return -1;
	*f = h.frame;
	f->payload = (struct span){ p + FRAME_HEADER, h.length };
	r->start += FRAME_HEADER + h.length;
	return 1;
}

int frame_reader_next(struct frame_reader *r, struct frame *f)
{
	while (r->start < r->end) {
		size_t magic = find_magic(r, r->start);
		if (magic > r->start) {
			skip(r, magic - r->start);
			continue;
		}
		int taken = take_frame(r, f);
		if (taken == 0)
			return 0;
		if (taken > 0) {
			r->in_damage = false;
			r->frames++;
			return 1;
		}
		skip(r, 1);
	}
	return 0;
}

size_t frame_reader_pending(const struct frame_reader *r)
{
	return r->end - r->start;
}

void frame_reader_give_up(struct frame_reader *r)
{
	if (r->start < r->end)
		skip(r, 1);
}
