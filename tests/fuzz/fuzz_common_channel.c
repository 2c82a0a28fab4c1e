/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile peer with a script. Each step is one byte of command and what it needs: raw bytes, a
 * well-formed frame whose fields are the script's (with the epoch that would be believed), time,
 * a reopened port, an acknowledgement, a message of our own. Frames whole enough to get past the
 * sums reach the code behind them, which random bytes never would.
 */
#include <stdlib.h>
#include <string.h>

#include "common/channel_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_message(void *ctx, struct channel *ch, uint16_t type, struct span payload, uint64_t seq)
{
	(void)ctx;
	const struct msg_info *info = msg_info(type);
	if (!info || info->direction == MSG_DIR_h2g || info->reliable != (seq != 0) || payload.len > CHANNEL_MESSAGE_MAX)
		abort();
	/* Sums every byte, so that a sanitizer sees a span that is not all ours. */
	uint8_t sum = 0;
	for (size_t i = 0; i < payload.len; i++)
		sum = (uint8_t)(sum + payload.p[i]);
	if (sum & 1)
		channel_ack(ch, seq);
}

static uint64_t on_peer(void *ctx, struct channel *ch, const struct id16 *peer)
{
	(void)ctx;
	(void)ch;
	return peer->b[0] > 200 ? peer->b[0] : 0;
}

static void feed(struct channel *ch, const uint8_t *p, size_t n)
{
	while (n) {
		size_t room;
		uint8_t *in = channel_input(ch, &room);
		size_t k = n < room ? n : room;
		memcpy(in, p, k);
		channel_fed(ch, k);
		p += k;
		n -= k;
	}
}

static void feed_frame(struct channel *ch, struct rbuf *r)
{
	static uint8_t wire[FRAME_MAX];
	struct frame f = { .flags = get_u8(r), .type = get_u8(r) };
	f.seq = f.flags & 0x80 ? get_u64(r) : f.flags & 0x40 ? 0 : get_u8(r);
	f.epoch = f.flags & 0x20 ? get_u32(r) : ch->nonce;
	size_t len = get_u16(r) % FRAME_PAYLOAD_MAX;
	f.payload = get_bytes(r, len < rbuf_left(r) ? len : rbuf_left(r));
	feed(ch, wire, frame_encode(wire, &f));
}

static void feed_sync(struct channel *ch, struct rbuf *r)
{
	uint8_t wire[256];
	struct frame f = { .flags = get_u8(r), .type = MSG_SYNC };
	struct msg_sync m = { .nonce = get_u8(r), .echo = ch->nonce, .peer = ch->self };
	m.instance.b[0] = get_u8(r);
	m.have = f.flags & 0x80 ? get_u64(r) : get_u8(r);
	m.base = f.flags & 0x40 ? get_u64(r) : get_u8(r);
	if (f.flags & 0x20)
		m.echo = get_u8(r);
	if (f.flags & 0x10)
		m.peer.b[0] = get_u8(r);
	struct wbuf w;
	wbuf_fixed(&w, wire + FRAME_HEADER, sizeof(wire) - FRAME_HEADER);
	msg_sync_encode(&w, &m);
	f.payload = (struct span){ w.p, w.len };
	feed(ch, wire, frame_encode(wire, &f));
}

static void write_out(struct channel *ch, size_t some)
{
	struct span s = channel_output(ch);
	if (s.len > FRAME_MAX)
		abort();
	channel_wrote(ch, some < s.len ? some : s.len);
}

static void send_own(struct channel *ch, size_t len)
{
	static const uint8_t text[4 * FRAME_MAX];
	channel_send(ch, MSG_PROBE_LOAD, (struct span){ text, len * 2 }, len & 1 ? CHANNEL_DROP_OLDEST : CHANNEL_WAIT, NULL);
	if (channel_room(ch) > CHANNEL_MESSAGE_MAX)
		abort();
}

static void step(struct channel *ch, struct rbuf *r, uint64_t *now)
{
	struct span raw;
	switch (get_u8(r) % 9) {
	case 0:
		raw = get_bytes(r, get_u8(r));
		feed(ch, raw.p, raw.len);
		break;
	case 1:
	case 2:
		feed_frame(ch, r);
		break;
	case 3:
		feed_sync(ch, r);
		break;
	case 4:
		channel_tick(ch, *now += get_u8(r) * 8u);
		break;
	case 5:
		write_out(ch, get_u16(r));
		break;
	case 6:
		send_own(ch, get_u16(r));
		break;
	case 7:
		channel_ack(ch, get_u8(r));
		break;
	case 8:
		if (get_u8(r) & 1)
			channel_closed(ch);
		else
			channel_opened(ch);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct channel_ops ops = { on_message, on_peer };
	static const struct id16 self = { { 7 } };
	struct channel *ch = channel_new(CHANNEL_HOST, &self, 4 * FRAME_MAX, &ops, NULL, NULL);
	if (!ch)
		return 0;
	channel_opened(ch);
	struct rbuf r;
	rbuf_init(&r, data, size);
	uint64_t now = 0;
	while (rbuf_left(&r))
		step(ch, &r, &now);
	channel_free(ch);
	return 0;
}
