/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes out: one frame at a time; SYNC before acknowledgements, these before messages. */
#include "common/channel_state.h"

#include <string.h>

static void set_own(struct channel *ch, enum out_kind kind, uint8_t flags, uint16_t type, uint64_t seq, size_t len)
{
	struct out *o = &ch->out;
	struct frame f = {
		.flags = flags, .type = type, .epoch = ch->peer_nonce, .payload = { o->own + FRAME_HEADER, len },
		.seq = kind == OUT_GAP ? seq : 0,
	};
	o->kind = kind;
	o->seq = seq;
	o->frame = (struct span){ o->own, frame_encode(o->own, &f) };
}

static struct wbuf own_payload(struct channel *ch)
{
	struct wbuf w;
	wbuf_fixed(&w, ch->out.own + FRAME_HEADER, FRAME_PAYLOAD_MAX);
	return w;
}

static void pick_sync(struct channel *ch)
{
	const struct realign *s = &ch->sync;
	struct msg_sync m = {
		.nonce = ch->nonce, .echo = ch->peer_nonce, .instance = ch->self, .base = ring_base(&ch->ring),
	};
	if (ch->peer) {
		m.peer = ch->peer->id;
		m.have = ch->peer->have;
	}
	struct wbuf w = own_payload(ch);
	msg_sync_encode(&w, &m);
	bool ask = s->ask || s->lost || !channel_synced(ch);
	set_own(ch, OUT_SYNC, (uint8_t)((ask ? FRAME_ASK : 0) | (s->lost ? FRAME_LOST : 0)), MSG_SYNC, 0, w.len);
}

static void pick_ack(struct channel *ch)
{
	struct msg_ack m = { .seq = ch->peer->safe };
	struct wbuf w = own_payload(ch);
	msg_ack_encode(&w, &m);
	set_own(ch, OUT_ACK, 0, MSG_ACK, m.seq, w.len);
}

static void pick_plain(struct channel *ch)
{
	const struct plain *p = &ch->plain[ch->plain_first];
	struct wbuf w = own_payload(ch);
	put_bytes(&w, p->data, p->len);
	set_own(ch, OUT_PLAIN, 0, p->type, 0, w.len);
}

static void pick_gap(struct channel *ch)
{
	uint64_t seq;
	struct wbuf w = own_payload(ch);
	ring_gap_encode(&ch->ring, &w, &seq);
	set_own(ch, OUT_GAP, 0, MSG_GAP, seq, w.len);
}

static void pick_from_ring(struct channel *ch)
{
	switch (ring_next(&ch->ring)) {
	case RING_NOTHING:
		break;
	case RING_GAP:
		pick_gap(ch);
		break;
	case RING_FRAME:
		ch->out.kind = OUT_FRAME;
		ch->out.frame = ring_frame(&ch->ring, ch->peer_nonce, &ch->out.seq);
		break;
	}
}

static void forget_frame(struct out *o)
{
	o->kind = OUT_NOTHING;
	o->frame = (struct span){ 0 };
	o->taken = 0;
}

static void pick(struct channel *ch)
{
	forget_frame(&ch->out);
	if (!ch->open)
		return;
	if (ch->sync.want && ch->now >= ch->sync.not_before)
		pick_sync(ch);
	else if (!channel_synced(ch))
		return;
	else if (ch->ack_due)
		pick_ack(ch);
	else if (ch->plain_used)
		pick_plain(ch);
	else
		pick_from_ring(ch);
}

struct span channel_output(struct channel *ch)
{
	struct out *o = &ch->out;
	if (!o->taken)
		pick(ch);
	if (!o->frame.len)
		return (struct span){ 0 };
	return (struct span){ o->frame.p + o->taken, o->frame.len - o->taken };
}

static void sync_told(struct channel *ch)
{
	struct realign *s = &ch->sync;
	s->want = s->ask = false;
	s->lost_told = s->lost;
	s->not_before = ch->now + CHANNEL_TICK_MS;
}

/* The first byte is out: the frame will be finished, come what may, or the port be opened anew. */
static void commit(struct channel *ch)
{
	switch (ch->out.kind) {
	case OUT_NOTHING:
		break;
	case OUT_SYNC:
		sync_told(ch);
		break;
	case OUT_ACK:
		ch->ack_due = ch->peer->safe > ch->out.seq;
		break;
	case OUT_PLAIN:
		if (ch->plain_used) {
			ch->plain_first = (ch->plain_first + 1) % PLAIN_SLOTS;
			ch->plain_used--;
		}
		break;
	case OUT_GAP:
	case OUT_FRAME:
		ring_sent(&ch->ring);
		ch->sync.probe_ms = PROBE_MS;
		ch->sync.probe_at = ch->now + PROBE_MS;
		break;
	}
}

void channel_wrote(struct channel *ch, size_t n)
{
	struct out *o = &ch->out;
	size_t left = o->frame.len - o->taken;
	n = n < left ? n : left;
	if (!n)
		return;
	if (!o->taken)
		commit(ch);
	o->taken += n;
	ch->stats.bytes_out += n;
	if (o->taken == o->frame.len) {
		ch->stats.frames_out++;
		forget_frame(o);
	}
}

void channel_leave_ring(struct channel *ch, uint64_t seq)
{
	struct out *o = &ch->out;
	if (!o->taken) {
		forget_frame(o);
	} else if (o->kind == OUT_FRAME && o->seq <= seq && o->frame.p != o->own) {
		memcpy(o->own + o->taken, o->frame.p + o->taken, o->frame.len - o->taken);
		o->frame.p = o->own;
	}
}
