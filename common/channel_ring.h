/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a channel has sent and not yet got acknowledged: frames in a ring of fixed size, and in
 * front of them at most two gaps that stand for frames dropped.
 *
 *      sequence   first gap    second gap    oldest frame … newest frame │ next_seq
 *                 (was sent)   (not yet)          ▲ send_seq: the next to be sent
 *
 * Sequence numbers run through gaps and frames without a hole. A gap that was sent is kept apart
 * from one that was not, so that a gap's counts name what the receiver has not heard of before.
 * Frames lie whole in memory, header first, so that they can be written from where they are.
 */
#ifndef BIFOCAL_COMMON_CHANNEL_RING_H
#define BIFOCAL_COMMON_CHANNEL_RING_H

#include "common/frame.h"
#include "common/message.h"

struct ring_slot {
	size_t at;                  /* of its header in ring.bytes */
	uint32_t len, sum;          /* of the payload */
	uint16_t type;
	uint8_t flags;
};

struct ring_gap {
	uint64_t first, last;       /* 0, 0: no gap */
	uint64_t bytes;
	/* Messages dropped, one count a message type. */
#define MSG(number, NAME, name, direction, delivery, since, text) uint64_t name;
	struct { MSG_TABLE(MSG) } dropped;
#undef MSG
};

struct ring {
	uint8_t *bytes;
	size_t cap, tail;           /* tail: where the next frame goes */
	struct ring_slot *slots;
	size_t nslots, oldest, used;
	uint64_t next_seq, send_seq;
	bool begun;                 /* something was sent in this ring's life */
	struct ring_gap sent_gap, open_gap;
};

int ring_init(struct ring *r, size_t bytes, struct error *err);
void ring_fini(struct ring *r);

/* The longest message that fits now while `spare` sixteenths of the ring stay free. */
size_t ring_room(const struct ring *r, unsigned spare);
/* The same for an empty ring: what can ever fit. */
size_t ring_room_empty(const struct ring *r, unsigned spare);
/* Cuts a message that fits into frames and appends them. */
void ring_put(struct ring *r, uint16_t type, struct span payload);
/* Puts the oldest message into a gap. False when there is none. */
bool ring_drop(struct ring *r);

/* What is to be sent next. */
enum ring_next { RING_NOTHING, RING_GAP, RING_FRAME };
enum ring_next ring_next(const struct ring *r);
/* RING_FRAME: the whole frame in place, header stamped with `epoch`. *seq is its number. */
struct span ring_frame(struct ring *r, uint32_t epoch, uint64_t *seq);
/* RING_GAP: the payload, and in *seq the frame's number. */
void ring_gap_encode(const struct ring *r, struct wbuf *w, uint64_t *seq);
/* The next is on its way. */
void ring_sent(struct ring *r);

/* Frees whole messages up to `seq`, which is below next_seq. */
void ring_ack(struct ring *r, uint64_t seq);
/* Sends again what follows `have`. Returns how many frames (gaps among them) that repeats. */
uint64_t ring_rewind(struct ring *r, uint64_t have);
/* Renumbers all that waits so that it follows `have`; only before the first frame was sent. */
void ring_follow(struct ring *r, uint64_t have);

/* Lowest number held; next_seq when nothing is. */
uint64_t ring_base(const struct ring *r);
/* Nothing waits for an acknowledgement. */
bool ring_empty(const struct ring *r);

#endif
