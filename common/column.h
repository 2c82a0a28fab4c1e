/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A column of changes, packed near its entropy: of stamps and places, whose size has a distribution and whose last bits are noise.
 *
 * A change is a multiple of a unit; its class is the multiple's size with the two bits after the first (numbers below 8: themselves); what
 * is left of it goes as it is. Classes are coded by how often they occur (rANS, J. Duda, arXiv:1311.2540), the rest is bits.
 *
 *   mode u8            0: zigzag varints (common/varint.h), to the column's end
 *                      1: classes of zigzag multiples; 2: classes of multiples, none of them negative
 *   unit varint        1 … 2^62
 *   used varint        classes that occur, then of each: its distance from the last (varint), how often in COLUMN_SCALE (varint)
 *   length varint      bytes of the coded classes, then these: state u32, then bytes as the decoder takes them
 *   bits               of each number in turn, the lowest first: what is left of it; of a number that is no multiple
 *                      of the unit (class COLUMN_ESCAPE) all 64
 *
 * Class c >= 8 holds the numbers of e = 4 + (c − 8) / 4 bits, whose second and third bit are (c − 8) % 4.
 */
#ifndef BIFOCAL_COMMON_COLUMN_H
#define BIFOCAL_COMMON_COLUMN_H

#include <stdbool.h>

#include "common/bytes.h"

enum {
	COLUMN_MAX = 2048,             /* changes in one column */
	COLUMN_SCALE_BITS = 11,
	COLUMN_SCALE = 1 << COLUMN_SCALE_BITS,
	COLUMN_ESCAPE = 252,
	COLUMN_CLASSES = 253,
	/* Bound of what they take: the smaller of both ways is taken, and varints are ten bytes at most. */
	COLUMN_BYTES_MAX = 1 + COLUMN_MAX * 10,
};

/* Appends n <= COLUMN_MAX changes, whichever way is shorter; a change is the difference of two numbers modulo 2^64. */
void column_put(struct wbuf *w, const uint64_t *v, size_t n);
/* The whole of `column` is n changes: false when it is anything else. Hostile input fails, never trips. */
bool column_get(struct rbuf *column, uint64_t *v, size_t n);

#endif
