/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What channel.c, channel_in.c and channel_out.c share; nobody else includes it. */
#ifndef BIFOCAL_COMMON_CHANNEL_STATE_H
#define BIFOCAL_COMMON_CHANNEL_STATE_H

#include "common/channel.h"
#include "common/channel_ring.h"

enum {
	SYNC_REPEAT_MAX_MS = 1000,
	/* Commits take seconds at times, so silence alone proves nothing: one question, 160 bytes
	 * there and back, costs little, and the answer shows whether anything was lost. */
	PROBE_MS = 1000, PROBE_MAX_MS = 8000,
	/* A frame is written at once; one that has not come whole in this time was cut short. */
	PARTIAL_MS = 500,
	/* Plain messages are clock exchanges: a few dozen bytes, worthless when late. */
	PLAIN_SLOTS = 16, PLAIN_MAX = 256,
	/* An old instance's frames may still arrive after the new one's: a few are remembered. */
	REMOTES = 4,
	/* Left free by CHANNEL_WAIT, so that a log line seldom costs a data frame its place. */
	SPARE_SIXTEENTHS = 1,
};

/* Nobody gives so many frames; a peer that says so must not make a sum wrap. */
#define SEQ_SANE_MAX (UINT64_C(1) << 62)

/* A peer instance, and how far its frames have come. */
struct remote {
	struct id16 id;
	uint64_t have;              /* delivered without a hole */
	uint64_t whole;             /* last one that ended a message */
	uint64_t real;              /* last one given to the application */
	uint64_t safe;              /* acknowledged */
};

struct plain {
	uint16_t type, len;
	uint8_t data[PLAIN_MAX];
};

enum assembly_state { IDLE, FILLING, DISCARDING };

struct assembly {
	enum assembly_state state;
	uint16_t type;
	size_t len;
	uint8_t *buf;               /* CHANNEL_MESSAGE_MAX */
};

enum out_kind { OUT_NOTHING, OUT_SYNC, OUT_ACK, OUT_PLAIN, OUT_GAP, OUT_FRAME };

/* The frame being written. Until its first byte is taken it may still be replaced by another. */
struct out {
	enum out_kind kind;
	struct span frame;
	size_t taken;
	uint64_t seq;               /* of a frame or gap; of an acknowledgement what it says */
	uint8_t own[FRAME_MAX];     /* where frames that do not lie in the ring are put */
};

/* When SYNC is due, and what it is to say. */
struct realign {
	bool want, ask;
	bool lost, lost_told;       /* frames after `have` are missing; the peer was told so */
	bool probing;               /* we asked because all was sent and nothing acknowledged */
	uint64_t not_before, repeat_at, repeat_ms;
	uint64_t probe_at, probe_ms;
};

struct channel {
	enum channel_side side;
	struct id16 self;
	const struct channel_ops *ops;
	void *ctx;
	uint64_t now, random;

	bool open, echoed;          /* echoed: the peer knows our nonce */
	uint32_t nonce, peer_nonce; /* peer_nonce: 0 until its first SYNC */
	struct remote remotes[REMOTES], *peer;
	unsigned next_remote;
	struct realign sync;

	struct frame_reader reader;
	uint64_t seen_bad, seen_skipped, partial_at, partial_mark;
	struct assembly in;

	struct ring ring;
	bool ack_due;
	struct plain plain[PLAIN_SLOTS];
	unsigned plain_first, plain_used;
	struct out out;
	uint8_t *scratch;           /* CHANNEL_MESSAGE_MAX, for encoding */
	struct channel_stats stats;
};

/* channel.c */
uint32_t channel_draw_nonce(struct channel *ch);
/* The peer has to learn our nonce (again). */
void channel_restart_sync(struct channel *ch);

/* channel_in.c */
void channel_take_frames(struct channel *ch);

/* channel_out.c */
/* Before ring memory up to frame `seq` is freed: what is being written from it is put aside, and
 * what was only offered for writing is taken back. */
void channel_leave_ring(struct channel *ch, uint64_t seq);

#endif
