/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verify=crc32c: blocks that prove what they are.
 *
 *      0       4       8        16       24         32
 *      +-------+-------+--------+--------+----------+---------------
 *      | magic | crc   | run    | sector | sequence | random bytes …
 *      | "BFVY"| u32   | u64    | u64    | u64      | to the block's end
 *      +-------+-------+--------+--------+----------+---------------
 *
 * Little-endian; crc is CRC32C over everything after itself. `run` mixes the run's number with its
 * seed, so a block left by an earlier run does not pass. Which of several writes to one block
 * came last is not known when they overlapped; any of them, whole, is right.
 *
 * What was written is remembered in a bitmap, one bit a block, reserved before the window.
 */
#ifndef BIFOCAL_GUEST_VERIFY_H
#define BIFOCAL_GUEST_VERIFY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum {
	VERIFY_HEADER = 32,
	/* 32 MiB of bits are a terabyte of 4 KiB blocks; an image of this size has not more to give. */
	VERIFY_BITMAP_MAX = 32 << 20,
};

struct verify {
	uint64_t run;                 /* mixed, see above */
	uint64_t blocks;
	uint32_t bs;
	_Atomic uint64_t *written;    /* NULL: verify=none */
	uint64_t checked, bad;
	uint64_t first_bad;           /* offset in bytes; UINT64_MAX: none */
};

int verify_init(struct verify *v, uint64_t run, uint64_t seed, uint64_t size, uint32_t bs, struct error *err);
void verify_fini(struct verify *v);

/* Writes the header; the block's other bytes are the caller's. */
void verify_seal(const struct verify *v, void *block, uint64_t sector, uint64_t sequence);
bool verify_holds(const struct verify *v, const void *block, uint64_t sector);
/* The write at `offset` succeeded. Any thread. */
void verify_mark(struct verify *v, uint64_t offset);
/* The write at `offset` failed, so nobody can say what the block holds: it is counted as an error, not as a bad block. Any thread. */
void verify_forget(struct verify *v, uint64_t offset);
/* Reads back every block marked and counts. Ends early when *stop becomes true. -1 with err when the disk cannot be read at all. */
int verify_read_back(struct verify *v, int fd, const atomic_bool *stop, struct error *err);

#endif
