/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What comes in: frames become messages, SYNC aligns both sides, ACK frees the ring. */
#include "common/channel_state.h"

#include <string.h>

static bool id_equal(const struct id16 *a, const struct id16 *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static bool id_is_zero(const struct id16 *id)
{
	static const struct id16 zero;
	return id_equal(id, &zero);
}

/* Messages */

static bool is_inbound(const struct channel *ch, const struct msg_info *info)
{
	enum msg_direction ours = ch->side == CHANNEL_HOST ? MSG_DIR_g2h : MSG_DIR_h2g;
	return info->direction == MSG_DIR_both || info->direction == ours;
}

static void note_ack(struct channel *ch, uint64_t safe)
{
	if (safe > ch->peer->safe) {
		ch->peer->safe = safe;
		ch->ack_due = true;
	}
}

void channel_ack(struct channel *ch, uint64_t seq)
{
	const struct remote *p = ch->peer;
	if (!p)
		return;
	/* What followed the last message given out was dropped here: nobody else can acknowledge it. */
	note_ack(ch, seq >= p->real ? p->whole : seq);
}

static void drop_wrong(struct channel *ch)
{
	ch->stats.wrong_messages++;
	if (ch->peer && ch->peer->safe >= ch->peer->real)
		note_ack(ch, ch->peer->whole);
}

static void give(struct channel *ch, uint16_t type, struct span payload, uint64_t seq)
{
	ch->peer->real = seq;
	ch->ops->message(ch->ctx, ch, type, payload, seq);
}

static void end_message(struct channel *ch, uint16_t type, struct span payload)
{
	const struct msg_info *info = msg_info(type);
	ch->in.state = IDLE;
	ch->peer->whole = ch->peer->have;
	if (info && info->reliable && is_inbound(ch, info))
		give(ch, type, payload, ch->peer->have);
	else
		drop_wrong(ch);
}

static void begin_message(struct channel *ch, const struct frame *f)
{
	struct assembly *in = &ch->in;
	if (in->state != IDLE)
		ch->stats.wrong_messages++;     /* the one before was never finished */
	in->state = f->flags & FRAME_REST ? DISCARDING : FILLING;
	in->type = f->type;
	in->len = 0;
}

static void assemble(struct channel *ch, const struct frame *f)
{
	struct assembly *in = &ch->in;
	if (!(f->flags & FRAME_REST) || in->state == IDLE)
		begin_message(ch, f);
	if (!(f->flags & (FRAME_MORE | FRAME_REST))) {
		end_message(ch, f->type, f->payload);
		return;
	}
	if (f->type != in->type || f->payload.len > CHANNEL_MESSAGE_MAX - in->len)
		in->state = DISCARDING;
	if (in->state == FILLING && f->payload.len) {
		memcpy(in->buf + in->len, f->payload.p, f->payload.len);
		in->len += f->payload.len;
	}
	if (f->flags & FRAME_MORE)
		return;
	if (in->state == FILLING) {
		end_message(ch, in->type, (struct span){ in->buf, in->len });
		return;
	}
	in->state = IDLE;
	ch->peer->whole = ch->peer->have;
	drop_wrong(ch);
}

static void want_sync(struct channel *ch)
{
	ch->sync.want = true;
}

/* Frames are missing: the peer has to go back. */
static void note_loss(struct channel *ch)
{
	if (!ch->sync.lost) {
		ch->stats.resyncs++;
		ch->sync.lost = true;
		ch->sync.lost_told = false;
		ch->sync.repeat_ms = CHANNEL_TICK_MS;
		ch->sync.repeat_at = ch->now + 2 * CHANNEL_TICK_MS;
		want_sync(ch);
	}
}

static void advance(struct channel *ch, uint64_t seq)
{
	ch->peer->have = seq;
	ch->sync.lost = false;
}

/* The gap as it is for us: of what it stands for, some may have come before. */
static struct span clip_gap(struct channel *ch, struct msg_gap *m, struct span payload)
{
	if (m->first == ch->peer->have + 1)
		return payload;
	m->first = ch->peer->have + 1;
	struct wbuf w;
	wbuf_fixed(&w, ch->in.buf, CHANNEL_MESSAGE_MAX);
	msg_gap_encode(&w, m);
	return (struct span){ w.p, w.len };
}

static void on_gap(struct channel *ch, const struct frame *f)
{
	struct msg_gap m;
	struct remote *p = ch->peer;
	if (msg_gap_decode(f->payload, &m, NULL) < 0 || m.last != f->seq || m.first > m.last || !m.first) {
		ch->stats.wrong_messages++;
	} else if (m.last <= p->have) {
		ch->stats.duplicates++;
	} else if (m.first > p->have + 1) {
		ch->stats.reordered++;
		note_loss(ch);
	} else {
		ch->in.state = IDLE;
		struct span payload = clip_gap(ch, &m, f->payload);
		ch->stats.gaps++;
		ch->stats.gap_frames += m.last - m.first + 1;
		advance(ch, m.last);
		p->whole = m.last;
		give(ch, MSG_GAP, payload, m.last);
	}
}

static void on_reliable(struct channel *ch, const struct frame *f)
{
	struct remote *p = ch->peer;
	if (f->type == MSG_GAP) {
		on_gap(ch, f);
	} else if (f->seq <= p->have) {
		ch->stats.duplicates++;
	} else if (f->seq > p->have + 1) {
		ch->stats.reordered++;
		note_loss(ch);
	} else {
		advance(ch, f->seq);
		assemble(ch, f);
	}
}

static void on_ack(struct channel *ch, struct span payload)
{
	struct msg_ack m;
	if (msg_ack_decode(payload, &m, NULL) < 0 || m.seq >= ch->ring.next_seq) {
		ch->stats.wrong_messages++;
		return;
	}
	if (m.seq < ring_base(&ch->ring))
		return;                  /* said before */
	channel_leave_ring(ch, m.seq);
	ring_ack(&ch->ring, m.seq);
	ch->sync.probe_ms = PROBE_MS;
	ch->sync.probe_at = ch->now + PROBE_MS;
}

static void on_plain(struct channel *ch, const struct frame *f)
{
	const struct msg_info *info = msg_info(f->type);
	if (!info || info->reliable || !is_inbound(ch, info) || f->flags & (FRAME_MORE | FRAME_REST))
		ch->stats.wrong_messages++;
	else if (f->type == MSG_ACK)
		on_ack(ch, f->payload);
	else
		ch->ops->message(ch->ctx, ch, f->type, f->payload, 0);
}

/* Alignment */

static struct remote *find_remote(struct channel *ch, const struct id16 *id)
{
	for (int i = 0; i < REMOTES; i++)
		if (id_equal(&ch->remotes[i].id, id))
			return &ch->remotes[i];
	return NULL;
}

static struct remote *add_remote(struct channel *ch, const struct id16 *id)
{
	struct remote *r = &ch->remotes[ch->next_remote];
	ch->next_remote = (ch->next_remote + 1) % REMOTES;
	*r = (struct remote){ .id = *id };
	return r;
}

/* True when the frames to come are another instance's than those before. */
static bool meet_peer(struct channel *ch, const struct id16 *id)
{
	if (ch->peer && id_equal(&ch->peer->id, id))
		return false;
	if (ch->peer) {
		/* Half a message is forgotten with the peer it came from; should that one return, it
		 * begins the message again. Frames of its that are under way must not
		 * pass for the new one's. */
		ch->peer->have = ch->peer->whole;
		ch->nonce = channel_draw_nonce(ch);
	}
	ch->in.state = IDLE;
	ch->ack_due = false;
	ch->peer = find_remote(ch, id);
	if (!ch->peer) {
		struct remote *p = ch->peer = add_remote(ch, id);
		uint64_t safe = ch->ops->peer_seen ? ch->ops->peer_seen(ch->ctx, ch, id) : 0;
		p->have = p->whole = p->real = p->safe = safe;
	}
	return true;
}

/* The peer no longer holds what we miss: whoever took it before us has it. */
static void skip_to_base(struct channel *ch, uint64_t base)
{
	struct remote *p = ch->peer;
	if (base > p->have + 1) {
		p->have = p->whole = base - 1;
		ch->in.state = IDLE;
	}
}

static void on_have(struct channel *ch, uint64_t have, bool rewind)
{
	if (!ch->ring.begun && have < SEQ_SANE_MAX)
		ring_follow(&ch->ring, have);     /* a life before this one, under the same name, got so far */
	else if (have >= ch->ring.next_seq)
		ch->stats.wrong_messages++;
	else if (rewind)
		ch->stats.retransmitted += ring_rewind(&ch->ring, have);
}

static bool sync_is_sound(const struct channel *ch, const struct msg_sync *m)
{
	if (!m->nonce || id_is_zero(&m->instance) || id_equal(&m->instance, &ch->self))
		return false;
	return m->echo != ch->nonce || id_equal(&m->peer, &ch->self);
}

static void on_sync(struct channel *ch, const struct frame *f)
{
	struct msg_sync m;
	if (f->seq || msg_sync_decode(f->payload, &m, NULL) < 0 || !sync_is_sound(ch, &m)) {
		ch->stats.wrong_messages++;
		return;
	}
	bool rewind = meet_peer(ch, &m.instance) || f->flags & FRAME_LOST || ch->sync.probing;
	if (m.nonce != ch->peer_nonce) {
		ch->peer_nonce = m.nonce;
		ch->plain_used = 0;
		rewind = true;
	}
	skip_to_base(ch, m.base);
	bool was_echoed = ch->echoed;
	ch->echoed = m.echo == ch->nonce;
	if (was_echoed && !ch->echoed)
		channel_restart_sync(ch);
	if (id_equal(&m.peer, &ch->self))
		on_have(ch, m.have, rewind || ch->echoed != was_echoed);
	ch->sync.probing = false;
	if (ch->sync.lost_told)
		ch->sync.lost = false;
	if (f->flags & FRAME_ASK) {
		/* Every question gets its answer at once; acknowledgements may have been lost with it. */
		want_sync(ch);
		ch->sync.not_before = 0;
		ch->ack_due = ch->peer->safe > 0;
	}
}

static void on_frame(struct channel *ch, const struct frame *f)
{
	ch->stats.frames_in++;
	if (f->type == MSG_SYNC) {
		on_sync(ch, f);
	} else if (!ch->peer_nonce || f->epoch != ch->nonce) {
		ch->stats.stale_frames++;
		ch->sync.ask = true;
		want_sync(ch);
	} else if (f->seq) {
		on_reliable(ch, f);
	} else {
		on_plain(ch, f);
	}
}

void channel_take_frames(struct channel *ch)
{
	struct frame f;
	channel_leave_ring(ch, 0);
	while (ch->open && frame_reader_next(&ch->reader, &f))
		on_frame(ch, &f);
	ch->stats.skipped_bytes += ch->reader.skipped_bytes - ch->seen_skipped;
	ch->seen_skipped = ch->reader.skipped_bytes;
	if (ch->reader.bad_frames != ch->seen_bad) {
		ch->stats.bad_frames += ch->reader.bad_frames - ch->seen_bad;
		ch->seen_bad = ch->reader.bad_frames;
		note_loss(ch);
	}
}

uint8_t *channel_input(struct channel *ch, size_t *room)
{
	return frame_reader_space(&ch->reader, room);
}

void channel_fed(struct channel *ch, size_t n)
{
	if (!ch->open)
		return;
	frame_reader_fed(&ch->reader, n);
	ch->stats.bytes_in += n;
	channel_take_frames(ch);
}
