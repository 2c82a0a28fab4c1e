/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A channel's life, its clock and what the application says to it. The peer's side of the talk is
 * in channel_in.c, ours in channel_out.c, and what waits for an acknowledgement in channel_ring.c. */
#include "common/channel_state.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* splitmix64 (Steele, Lea and Flood, 2014). A nonce has to differ from those before, no more. */
uint32_t channel_draw_nonce(struct channel *ch)
{
	uint64_t z;
	do {
		ch->random += 0x9e3779b97f4a7c15;
		z = ch->random;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
		z = (z ^ z >> 27) * 0x94d049bb133111eb;
		z ^= z >> 31;
	} while (!(uint32_t)z);
	return (uint32_t)z;
}

static uint64_t random_seed(const struct id16 *self)
{
	uint64_t seed;
	/* The kernel of a guest just booted may have no entropy yet; its clock and the
	 * instance will do. */
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed))
		return seed;
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	memcpy(&seed, self->b, sizeof(seed));
	return seed ^ (uint64_t)t.tv_sec << 32 ^ (uint64_t)t.tv_nsec;
}

struct channel *channel_new(enum channel_side side, const struct id16 *self, size_t ring_bytes,
			    const struct channel_ops *ops, void *ctx, struct error *err)
{
	struct channel *ch = calloc(1, sizeof(*ch));
	if (!ch)
		goto no_memory;
	ch->side = side;
	ch->self = *self;
	ch->ops = ops;
	ch->ctx = ctx;
	ch->random = random_seed(self);
	ch->in.buf = malloc(CHANNEL_MESSAGE_MAX);
	ch->scratch = malloc(CHANNEL_MESSAGE_MAX);
	if (!ch->in.buf || !ch->scratch)
		goto no_memory;
	if (ring_init(&ch->ring, ring_bytes, err) < 0) {
		channel_free(ch);
		return NULL;
	}
	return ch;
no_memory:
	error_set(err, ERR_LIMIT, "channel: out of memory");
	channel_free(ch);
	return NULL;
}

void channel_free(struct channel *ch)
{
	if (!ch)
		return;
	ring_fini(&ch->ring);
	free(ch->in.buf);
	free(ch->scratch);
	free(ch);
}

void channel_restart_sync(struct channel *ch)
{
	ch->echoed = false;
	ch->sync.want = true;
	ch->sync.repeat_ms = CHANNEL_TICK_MS;
	ch->sync.repeat_at = ch->now + CHANNEL_TICK_MS;
}

static void forget_session(struct channel *ch)
{
	frame_reader_init(&ch->reader);
	ch->seen_bad = ch->seen_skipped = 0;
	ch->partial_mark = 0;
	ch->out.kind = OUT_NOTHING;
	ch->out.taken = ch->out.frame.len = 0;
	ch->peer_nonce = 0;
	ch->echoed = false;
	ch->sync = (struct realign){ 0 };
	ch->plain_used = 0;
}

void channel_opened(struct channel *ch)
{
	forget_session(ch);
	ch->open = true;
	ch->nonce = channel_draw_nonce(ch);
	ch->sync.probe_ms = PROBE_MS;
	channel_restart_sync(ch);
}

void channel_closed(struct channel *ch)
{
	forget_session(ch);
	ch->open = false;
}

bool channel_synced(const struct channel *ch)
{
	return ch->open && ch->peer_nonce && ch->echoed;
}

const struct channel_stats *channel_stats(const struct channel *ch)
{
	return &ch->stats;
}

struct id16 channel_peer(const struct channel *ch)
{
	return ch->peer ? ch->peer->id : (struct id16){ { 0 } };
}

/* Sending */

static int check_outbound(const struct channel *ch, uint16_t type, size_t len, struct error *err)
{
	enum msg_direction ours = ch->side == CHANNEL_HOST ? MSG_DIR_h2g : MSG_DIR_g2h;
	const struct msg_info *info = msg_info(type);
	if (!info || (info->direction != ours && info->direction != MSG_DIR_both) ||
	    type == MSG_SYNC || type == MSG_ACK || type == MSG_GAP)
		return error_set(err, ERR_FAILED, "%s is not for this side to send", msg_name(type));
	size_t most = info->reliable ? CHANNEL_MESSAGE_MAX : PLAIN_MAX;
	if (len > most)
		return error_set(err, ERR_LIMIT, "%s of %zu bytes: a message holds at most %zu; send it in parts",
				 info->name, len, most);
	return 0;
}

static int send_plain(struct channel *ch, uint16_t type, struct span payload, enum channel_policy policy)
{
	if (!channel_synced(ch))
		return 0;
	if (ch->plain_used == PLAIN_SLOTS) {
		if (policy == CHANNEL_WAIT)
			return 1;
		ch->plain_first = (ch->plain_first + 1) % PLAIN_SLOTS;
		ch->plain_used--;
	}
	struct plain *p = &ch->plain[(ch->plain_first + ch->plain_used++) % PLAIN_SLOTS];
	p->type = type;
	p->len = (uint16_t)payload.len;
	if (payload.len)
		memcpy(p->data, payload.p, payload.len);
	return 0;
}

static bool fits(const struct channel *ch, size_t len, unsigned spare)
{
	/* A message without payload needs a place too. */
	return ring_room(&ch->ring, spare) >= (len ? len : 1);
}

static int send_reliable(struct channel *ch, uint16_t type, struct span payload, enum channel_policy policy,
			 struct error *err)
{
	unsigned spare = policy == CHANNEL_WAIT ? SPARE_SIXTEENTHS : 0;
	size_t most = ring_room_empty(&ch->ring, spare);
	if (payload.len > most)
		return error_set(err, ERR_LIMIT, "%s of %zu bytes: this channel's ring holds at most %zu; "
				 "send it in parts", msg_name(type), payload.len, most);
	if (!fits(ch, payload.len, spare)) {
		if (policy == CHANNEL_WAIT)
			return 1;
		channel_leave_ring(ch, UINT64_MAX);
		while (!fits(ch, payload.len, spare))
			ring_drop(&ch->ring);
	}
	ring_put(&ch->ring, type, payload);
	return 0;
}

int channel_send(struct channel *ch, uint16_t type, struct span payload, enum channel_policy policy, struct error *err)
{
	if (check_outbound(ch, type, payload.len, err) < 0)
		return -1;
	return msg_info(type)->reliable ? send_reliable(ch, type, payload, policy, err)
					: send_plain(ch, type, payload, policy);
}

static int send_encoded(struct channel *ch, uint16_t type, const struct wbuf *w, enum channel_policy policy,
			struct error *err)
{
	if (w->bad)
		return error_set(err, ERR_LIMIT, "%s: a text over 65535 bytes or with a NUL in it, or more than %d bytes "
				 "in all; send it in parts", msg_name(type), (int)CHANNEL_MESSAGE_MAX);
	return channel_send(ch, type, (struct span){ w->p, w->len }, policy, err);
}

#define MSG(number, NAME, name, direction, delivery, since, text) \
	int channel_send_##name(struct channel *ch, const struct msg_##name *m, enum channel_policy policy, struct error *err) \
	{ \
		struct wbuf w; \
		wbuf_fixed(&w, ch->scratch, CHANNEL_MESSAGE_MAX); \
		msg_##name##_encode(&w, m); \
		return send_encoded(ch, number, &w, policy, err); \
	}
MSG_TABLE(MSG)
#undef MSG

size_t channel_room(const struct channel *ch)
{
	size_t room = ring_room(&ch->ring, SPARE_SIXTEENTHS);
	return room < CHANNEL_MESSAGE_MAX ? room : CHANNEL_MESSAGE_MAX;
}

bool channel_answers(const struct channel *ch)
{
	return channel_synced(ch) && (ch->plain_used || ch->out.taken);
}

bool channel_drained(const struct channel *ch)
{
	return ring_empty(&ch->ring);
}

/* Time */

static uint64_t doubled(uint64_t ms, uint64_t most)
{
	return ms * 2 < most ? ms * 2 : most;
}

/* A frame whose rest does not come swallows what follows it; after a while its bytes are
 * searched for other frames instead. */
static void expire_partial(struct channel *ch)
{
	uint64_t mark = ch->reader.frames + ch->reader.skipped_bytes;
	if (!frame_reader_pending(&ch->reader) || mark != ch->partial_mark) {
		ch->partial_mark = mark;
		ch->partial_at = ch->now;
	} else if (ch->now - ch->partial_at >= PARTIAL_MS) {
		ch->partial_at = ch->now;
		frame_reader_give_up(&ch->reader);
		channel_take_frames(ch);
	}
}

static void repeat_sync(struct channel *ch)
{
	struct realign *s = &ch->sync;
	if (ch->now < s->repeat_at)
		return;
	s->want = true;
	s->repeat_at = ch->now + s->repeat_ms;
	s->repeat_ms = doubled(s->repeat_ms, SYNC_REPEAT_MAX_MS);
}

static void probe_silence(struct channel *ch)
{
	struct realign *s = &ch->sync;
	if (ring_empty(&ch->ring) || ring_next(&ch->ring) != RING_NOTHING) {
		s->probe_at = ch->now + s->probe_ms;
	} else if (ch->now >= s->probe_at) {
		s->want = s->ask = s->probing = true;
		s->probe_at = ch->now + s->probe_ms;
		s->probe_ms = doubled(s->probe_ms, PROBE_MAX_MS);
	}
}

void channel_tick(struct channel *ch, uint64_t now_ms)
{
	ch->now = now_ms;
	if (!ch->open)
		return;
	expire_partial(ch);
	if (!channel_synced(ch) || ch->sync.lost)
		repeat_sync(ch);
	else
		probe_silence(ch);
}
