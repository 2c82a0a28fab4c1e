/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A channel: reliable, acknowledged messages over one port that can lose, repeat and
 * mangle bytes. The same code runs at both ends; it does no I/O of its own, so that tests
 * can put any transport between two of them.
 *
 * Alignment. Whoever opens a port draws a nonce and sends SYNC until the peer echoes it.
 * Frames carry the nonce that their receiver chose: anything older is known and dropped.
 * SYNC also says how far the peer's frames have been delivered, so the peer goes on from
 * there, and where the sender's own frames begin. A bad frame, or a hole in the sequence,
 * makes the receiver send SYNC again with the nonce unchanged: the sender rewinds to
 * the first frame missing. A sender that has sent all and hears nothing asks with a SYNC,
 * seldom; the answer shows what was lost without a trace. A peer that changes its instance
 * meets a new nonce, so that what the old one sent cannot pass for the new one's.
 *
 * Delivery. A reliable message gets the next sequence numbers, one a frame, and stays in a
 * ring of fixed size until acknowledged. The receiver delivers in order, each once. The
 * application acknowledges (channel_ack) when the message is safe: at once for commands,
 * after the store's commit for data. When the ring is full, channel_send() either refuses
 * (CHANNEL_WAIT: data that can wait in its own memory) or drops the oldest messages not yet
 * acknowledged and puts one GAP in their place (CHANNEL_DROP_OLDEST); a sixteenth of
 * the ring is kept for the latter. The receiver's application is given the GAP and
 * acknowledges it like any message.
 *
 * A peer with a new instance (a rebooted guest, a restarted collector) starts at
 * sequence 1 unless ops->peer_seen says otherwise. A restarted collector knows from
 * its store what it has; a sender whose peer is new to it resends all it still holds.
 *
 * Silence. A channel writes by itself only from channel_tick() and in answer to its peer. Who has to
 * be silent (the agent in a run's window) acknowledges, writes all channel_output() has, and
 * calls neither channel_output() nor channel_tick() until it may speak again. A pong it may write
 * all the same: channel_output() as long as channel_answers().
 */
#ifndef BIFOCAL_COMMON_CHANNEL_H
#define BIFOCAL_COMMON_CHANNEL_H

#include "common/frame.h"
#include "common/message.h"

enum {
	/* A Lua probe with its comments, or a page of text, with room to spare; small
	 * enough that a hostile peer cannot make us hold much. */
	CHANNEL_MESSAGE_MAX = 1 << 20,
};

enum channel_policy { CHANNEL_WAIT, CHANNEL_DROP_OLDEST };

struct channel;

struct channel_ops {
	/* A whole message, in order, once. `seq` is 0 for plain messages; for reliable ones
	 * pass it (or a later one) to channel_ack() when it is safe. `payload` lives until the
	 * callback returns. It may send, acknowledge, open and close; not feed or free. */
	void (*message)(void *ctx, struct channel *ch, uint16_t type, struct span payload, uint64_t seq);
	/* A peer instance is seen for the first time. Returns the highest sequence number that is
	 * already safe from it (0: none), which ended a message. From here on channel_ack() is about this
	 * peer's messages: forget what was to be acknowledged to another. May be NULL. */
	uint64_t (*peer_seen)(void *ctx, struct channel *ch, const struct id16 *peer);
};

struct channel_stats {
	uint64_t frames_in, frames_out, bytes_in, bytes_out;
	uint64_t bad_frames, skipped_bytes, stale_frames, duplicates, reordered, resyncs, retransmitted;
	uint64_t wrong_messages;      /* unknown, wrong direction, wrong delivery, malformed, in pieces or over the
				       * size bound: dropped, and acknowledged with their neighbours */
	uint64_t gaps, gap_frames;    /* GAP records delivered, and frames they stand for */
};

enum channel_side { CHANNEL_HOST, CHANNEL_GUEST };

/* `ring_bytes`: memory for unacknowledged frames, at least 4 * FRAME_MAX; allocated here, once, like
 * everything else: no input makes a channel allocate. `self`: this side's instance. ops and ctx must outlive the channel. NULL with err set on failure. */
struct channel *channel_new(enum channel_side side, const struct id16 *self, size_t ring_bytes,
			    const struct channel_ops *ops, void *ctx, struct error *err);
void channel_free(struct channel *ch);

/* The transport was (re)opened: forget half-read input, draw a nonce, send SYNC. */
void channel_opened(struct channel *ch);
/* The transport closed: unsent plain frames are dropped, reliable ones kept. */
void channel_closed(struct channel *ch);
/* Both directions are aligned with a live peer. */
bool channel_synced(const struct channel *ch);

/* Queues a message. Returns 0, 1 when CHANNEL_WAIT found no room (nothing queued), or -1 with err.
 * Plain messages sent while not synced are dropped (0). */
int channel_send(struct channel *ch, uint16_t type, struct span payload, enum channel_policy policy, struct error *err);
/* Room for a reliable payload right now, in bytes; what CHANNEL_WAIT tests. */
size_t channel_room(const struct channel *ch);
/* A plain message waits to be written, or a frame is half written: what a side that is silent otherwise may still finish. */
bool channel_answers(const struct channel *ch);
/* All reliable messages sent so far are acknowledged. */
bool channel_drained(const struct channel *ch);
/* Everything up to `seq` is safe. */
void channel_ack(struct channel *ch, uint64_t seq);

/* Input: room to read bytes into, then say how many came; messages are delivered from within
 * channel_fed(). */
uint8_t *channel_input(struct channel *ch, size_t *room);
void channel_fed(struct channel *ch, size_t n);
/* Output: bytes to write next (never more than FRAME_MAX, always within one frame; len 0: nothing),
 * then say how many were taken, with no other call on this channel in between. */
struct span channel_output(struct channel *ch);
void channel_wrote(struct channel *ch, size_t n);
/* Call at least every CHANNEL_TICK_MS while open: repeats SYNC, asks a silent peer what it has, and gives
 * up on frames whose rest does not come. There may be output afterwards. `now_ms` is monotonic. */
enum { CHANNEL_TICK_MS = 50 };
void channel_tick(struct channel *ch, uint64_t now_ms);

const struct channel_stats *channel_stats(const struct channel *ch);
/* The peer's instance; zeros before the first SYNC. */
struct id16 channel_peer(const struct channel *ch);

/* channel_send_hello(ch, &m, policy, err) and its sisters: encode and channel_send() in one. */
#define MSG(number, NAME, name, direction, delivery, since, text) \
	int channel_send_##name(struct channel *ch, const struct msg_##name *m, enum channel_policy policy, struct error *err);
MSG_TABLE(MSG)
#undef MSG

#endif
