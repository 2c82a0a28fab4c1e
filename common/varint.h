/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LEB128 by the block: what put_varint and get_varint (bytes.h) do for one number, for the columns of
 * packed records, where a number costs a few cycles and its length is anyone's guess: no branch on it.
 */
#ifndef BIFOCAL_COMMON_VARINT_H
#define BIFOCAL_COMMON_VARINT_H

#include <stddef.h>
#include <stdint.h>

enum { VARINT_MAX = 10 };     /* bytes of the longest one */

/* A signed change as an unsigned number that is small when the change is, and back. */
static inline uint64_t zigzag(uint64_t change)
{
	return change << 1 ^ (0 - (change >> 63));
}

static inline uint64_t unzigzag(uint64_t folded)
{
	return folded >> 1 ^ (0 - (folded & 1));
}

/* Bytes that v takes: ceil(bits / 7), the division as a product that is exact for 1 to 64 bits. */
static inline size_t varint_size(uint64_t v)
{
	return ((63 - (size_t)__builtin_clzll(v | 1)) * 9 + 73) >> 6;
}

/* Writes n numbers to `out`, which has VARINT_MAX * n bytes. Returns the bytes used. */
size_t varints_write(uint8_t *out, const uint64_t *v, size_t n);
/* Reads n numbers from [p, end). Returns where they end, or NULL when they are cut short or
 * one of them is padded or has more than 64 bits. */
const uint8_t *varints_read(const uint8_t *p, const uint8_t *end, uint64_t *v, size_t n);

#endif
