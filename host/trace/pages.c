/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/trace/pages.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "pages are read as the x86 kernel wrote them");

#define COMMIT_BYTES ((1u << 27) - 1)
#define COMMIT_MISSED (1u << 31)
#define COMMIT_STORED (1u << 30)
#define PADDING_TO_END 29u
/* A whole stamp has 59 bits; these are the others (ring_buffer.c: TS_MSB). */
#define STAMP_UPPER (0xf8ull << 56)

static uint64_t page_u64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

bool page_open(struct page_walk *w, const uint8_t *page, size_t size)
{
	*w = (struct page_walk){ .p = page, .end = page, .bad = true };
	if (size < PAGE_SIZE_MIN || size > PAGE_SIZE_MAX)
		return false;
	uint32_t commit = page_u32(page + 8);
	size_t bytes = commit & COMMIT_BYTES;
	if (bytes > size - PAGE_HEADER)
		return false;
	w->time = page_u64(page);
	w->p = page + PAGE_HEADER;
	w->end = w->p + bytes;
	w->bad = false;
	w->missed = commit & COMMIT_MISSED;
	if (w->missed && (commit & COMMIT_STORED) && size - PAGE_HEADER - bytes >= 8)
		w->lost = page_u64(w->end);
	return true;
}

void page_end(struct page_walk *w)
{
	if (w->p != w->end)
		w->bad |= w->end - w->p != 4 || page_u32(w->p) != PADDING_TO_END;
	w->p = w->end;
}

/* As rb_fix_abs_ts(): the upper bits of the last stamp, one more where the lower ones have wrapped since. */
static uint64_t whole_stamp(uint64_t stamp, uint64_t last)
{
	stamp |= last & STAMP_UPPER;
	return (last & STAMP_UPPER) && stamp < last ? stamp + (1ull << 59) : stamp;
}

/* A record of its own length: type 0, or one that was taken back. */
static const uint8_t *own_length(struct page_walk *w, size_t skipped, size_t *len)
{
	size_t room = (size_t)(w->end - w->p) - 4, n = page_u32(w->p + 4);
	const uint8_t *data = w->p + 4 + skipped;
	if (n > room || n < skipped || n % 4) {
		w->bad = true;
		w->p = w->end;
		return NULL;
	}
	w->p += 4 + n;
	*len = n - skipped;
	return data;
}

const uint8_t *page_next_rare(struct page_walk *w, uint32_t word, size_t *len)
{
	uint32_t delta = word >> 5;
	uint64_t wide = (uint64_t)page_u32(w->p + 4) << 27 | delta;
	size_t ignored;
	switch (word & 31) {
	case 0:
		w->time += delta;
		/* Without data there is no common_type either: not a record. */
		const uint8_t *data = own_length(w, 4, len);
		return data && *len ? data : NULL;
	case 29:
		if (!delta) {
			w->p = w->end;
			return NULL;
		}
		/* The kernel writes 1 where it was 0, to tell it from the page's end (rb_event_discard, check_buffer). */
		w->time += delta == 1 ? 0 : delta;
		own_length(w, 0, &ignored);
		return NULL;
	case 30:
		w->time += wide;
		break;
	default:
		w->time = whole_stamp(wide, w->time);
		break;
	}
	w->p += 8;
	return NULL;
}
