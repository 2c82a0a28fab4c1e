/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A page of the kernel's trace buffer, as trace_pipe_raw gives it and include/linux/ring_buffer.h and kernel/trace/ring_buffer.c
 * describe it (64-bit, little-endian):
 *
 *     0   time stamp u64       of the page; records add to it
 *     8   commit u64           low 27 bits: bytes of records; bit 31: events were lost before this page; bit 30: how many is stored
 *                              behind the records. The upper half means nothing: the kernel adds the flags as negative numbers
 *     16  records, each a word   type 5 bits, delta 27 bits      and then
 *             1 … 28             type × 4 bytes of data
 *             0                  length u32, itself included; length − 4 bytes of data
 *             29  padding        delta 0: the page ends here; else length u32: a record that was taken back
 *             30  time extend    u32, the upper bits of the delta; no data
 *             31  time stamp     u32, the upper bits of a whole stamp of 59 bits; the upper five are the last stamp's; no data
 *
 * The walk allocates nothing, copies nothing and reads only inside the page, whatever it holds.
 */
#ifndef BIFOCAL_HOST_TRACE_PAGES_H
#define BIFOCAL_HOST_TRACE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	PAGE_HEADER = 16,
	/* Sub-buffers of a 6.8 kernel can be made of several pages; the kernel's bound is 2^20 less. */
	PAGE_SIZE_MIN = 1024, PAGE_SIZE_MAX = 1 << 20,
};

struct page_walk {
	const uint8_t *p, *end;        /* the next record, and the end of all */
	uint64_t time;                 /* of the record given last; the page's own before the first */
	uint64_t lost;                 /* events lost before this page, where `missed`; 0: nobody knows how many */
	bool missed;
	bool bad;                      /* a record does not fit: the rest of the page was skipped */
};

/* Begins a walk. Returns false, with w->bad and nothing to walk, when `size` is not a page's or its header promises more than it has. */
bool page_open(struct page_walk *w, const uint8_t *page, size_t size);
/* What page_next() needs seldom: records of type 0, 29, 30, 31. `word` is at w->p. Returns data, or NULL to go on with w->p, which is
 * w->end at the end. */
const uint8_t *page_next_rare(struct page_walk *w, uint32_t word, size_t *len);

/* The end of a walk: what is left is four bytes of padding at most, or the page is bad. */
void page_end(struct page_walk *w);

static inline uint32_t page_u32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

/* The next record's data, which need not be aligned, and their length (a multiple of 4, at least 4); its time is in w->time. NULL at the end. */
static inline const uint8_t *page_next(struct page_walk *w, size_t *len)
{
	while (w->end - w->p >= 8) {
		uint32_t word = page_u32(w->p), type = word & 31;
		const uint8_t *data = w->p + 4;
		if (type - 1 < 28) {
			size_t n = type * 4;
			if ((size_t)(w->end - data) < n)
				break;
			w->time += word >> 5;
			w->p = data + n;
			*len = n;
			return data;
		}
		data = page_next_rare(w, word, len);
		if (data)
			return data;
	}
	page_end(w);
	return NULL;
}

#endif
