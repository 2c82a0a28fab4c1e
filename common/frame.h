/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A frame: what goes over a port, one write at a time.
 *
 *      0       4    5     6      8        12      16       24       28       32
 *      +-------+----+-----+------+--------+-------+--------+--------+--------+---------
 *      | magic |ver |flags| type | length | epoch |  seq   |data crc|head crc| payload…
 *      | BFCL  | u8 | u8  | u16  |  u32   |  u32  |  u64   |  u32   |  u32   | length bytes
 *      +-------+----+-----+------+--------+-------+--------+--------+--------+---------
 *
 * All integers little-endian. `head crc` is CRC32C over bytes 0–27, so that a length is
 * believed only when its header is whole; `data crc` is CRC32C over the payload. QEMU's emulator
 * takes a hundred microseconds for that on a full frame, as long as the port itself: a sender
 * on an emulated CPU sets FRAME_XXH and sends the low half of XXH64 (seed 0) instead.
 * `epoch` is the nonce the receiver chose when it last opened the port (channel.h):
 * a frame left over from before is known by it. `seq` is 0 for frames that need no
 * delivery guarantee, else 1, 2, 3 … per direction and sender instance.
 */
#ifndef BIFOCAL_COMMON_FRAME_H
#define BIFOCAL_COMMON_FRAME_H

#include "common/bytes.h"

enum {
	FRAME_MAGIC = 0x4c434642,   /* "BFCL" in memory order */
	FRAME_VERSION = 1,
	FRAME_HEADER = 32,
	/* The guest's driver copies a write into kernel memory in pieces of at most
	 * 32 KiB; a frame that fills just one piece costs one descriptor. */
	FRAME_MAX = 32768,
	FRAME_PAYLOAD_MAX = FRAME_MAX - FRAME_HEADER,
};

enum frame_flags {
	FRAME_MORE = 1,             /* the message goes on in the next frame of this type */
	FRAME_REST = 2,             /* this frame goes on with the message of the one before */
	FRAME_ASK = 4,              /* on SYNC: answer with a SYNC of your own */
	FRAME_LOST = 8,             /* on SYNC: whatever followed `have` is lost, send it again */
	FRAME_XXH = 16,             /* `data crc` is the low half of XXH64 */
};

struct frame {
	uint8_t flags;
	uint16_t type;              /* enum msg_type; unknown ones are the channel's business */
	uint32_t epoch;
	uint64_t seq;
	struct span payload;        /* lives until the next frame_reader_* call */
};

/* The flag of the sum that this CPU is quick at: 0 for CRC32C, or FRAME_XXH. */
uint8_t frame_sum_flag(void);
/* A payload's sum, of the kind that `flags` say. */
uint32_t frame_sum(uint8_t flags, const void *payload, size_t len);

/* Writes header and payload to `out` (which must have FRAME_HEADER + payload.len
 * bytes, payload.len <= FRAME_PAYLOAD_MAX) and returns the size written. The
 * payload may already stand at out + FRAME_HEADER. */
size_t frame_encode(uint8_t *out, const struct frame *f);
/* The header alone, for a payload whose sum is known already; only f->payload.len is looked at. */
void frame_encode_header(uint8_t *out, const struct frame *f, uint32_t data_sum);

/* Bytes in, frames out, in a fixed buffer: no input makes it allocate. After damage
 * it scans for the next magic whose header CRC holds. */
struct frame_reader {
	uint8_t buf[2 * FRAME_MAX];
	size_t start, end;
	uint64_t frames;            /* good ones given out */
	uint64_t bad_frames;        /* runs of damage: one a run, however long */
	uint64_t skipped_bytes;
	bool in_damage;
};

void frame_reader_init(struct frame_reader *r);     /* also: forget everything buffered */
/* Room to read into; never 0 bytes. Follow with frame_reader_fed(n). */
uint8_t *frame_reader_space(struct frame_reader *r, size_t *room);
void frame_reader_fed(struct frame_reader *r, size_t n);
/* 1: a frame was given out. 0: more bytes are needed. Damage is skipped and counted in
 * bad_frames; compare it before and after to learn of new damage. */
int frame_reader_next(struct frame_reader *r, struct frame *f);
/* Bytes held that wait for the rest of their frame. */
size_t frame_reader_pending(const struct frame_reader *r);
/* The rest will not come: take the frame begun for damage and look for others in what it swallowed. */
void frame_reader_give_up(struct frame_reader *r);

#endif
