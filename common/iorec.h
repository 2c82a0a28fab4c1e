/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One record an I/O, and how thousands of them are packed.
 *
 * Packed, a chunk is: version u8 (1), count varint, time base u8, then one column after another, each
 * preceded by its byte length (u32):
 *     time       svarint of the change of one stamp against one of the record before; the time base
 *                says which; the packer takes the shortest:
 *                  0  submit against submit
 *                  1  submit against reap      (one I/O in flight: the next starts where this ended)
 *                  2  reap against reap        (several in flight, kept in the order they came back)
 *     service    varint of reap − submit
 *     wait       varint of submit − intended; an empty column where all are 0 (closed-loop load)
 *     tag        op | flags << 2 | job << 3 as run lengths (value varint, count varint)
 *     sector     svarint of the change against the record before, in units of the chunk's alignment
 *                (a u8 in front of the column's length: the power of two that divides all)
 *     length     run lengths (value varint, count varint)
 *     result     run lengths (value svarint of result − length, count varint): 0 is success
 * Stamps are subtracted modulo 2^64; records may come in any order and keep it.
 * The same bytes are what the agent sends and what the store keeps (compressed there).
 * Chunks are independent of each other.
 */
#ifndef BIFOCAL_COMMON_IOREC_H
#define BIFOCAL_COMMON_IOREC_H

#include "common/bytes.h"
#include "common/error.h"

enum io_op { IO_READ = 0, IO_WRITE = 1, IO_FLUSH = 2, IO_DISCARD = 3 };

struct io_record {
	uint64_t submit;      /* guest TSC just before the submitting call: boundary app_submit */
	uint64_t reap;        /* guest TSC just after the reaping call: boundary app_reap */
	uint64_t intended;    /* guest TSC when open-loop load meant to submit it; else = submit */
	uint64_t sector;      /* in units of 512 bytes */
	uint32_t length;      /* bytes */
	int32_t result;       /* bytes moved, or -errno */
	uint16_t job;         /* 0 … numjobs−1, at most IOREC_JOBS_MAX-1 */
	uint8_t op;           /* enum io_op */
	uint8_t flags;        /* IO_IN_RAMP */
};

enum io_record_flags { IO_IN_RAMP = 1 };   /* submitted before ramp_time was over; kept, not counted */

enum {
	IOREC_JOBS_MAX = 1024,
	/* Ten thousand records pack into about 100 KiB: a few frames, one store value,
	 * and little enough that the collector unpacks it on the side. */
	IOREC_CHUNK = 10000,
	IOREC_CHUNK_BYTES = (1 << 20) - 64, /* bound of a packed chunk: CHANNEL_MESSAGE_MAX less io_chunk's own fields */
};

/* Appends one chunk; n <= IOREC_CHUNK. A record that the format cannot say (job, op or flags out of
 * range, more records than a chunk holds) sets w->bad. */
void iorec_pack(struct wbuf *w, const struct io_record *records, size_t n);
/* Unpacks at most `cap` records. Returns how many, or -1 with err: hostile input fails, never trips. */
int iorec_unpack(struct span packed, struct io_record *out, size_t cap, struct error *err);
/* The count a chunk claims, bounded by IOREC_CHUNK and by its size; -1 with err. */
int iorec_count(struct span packed, struct error *err);

#endif
