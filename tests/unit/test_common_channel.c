/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/channel.h"

enum { RING = 8 * FRAME_MAX, SEEN_MAX = 4096 };

/* One end of a talk: a channel and what it was given. */
struct end {
	struct channel *ch;
	struct id16 id;
	bool manual;                /* acknowledge by hand */
	uint64_t committed;         /* what peer_seen answers */
	unsigned peers;
	size_t count;
	struct { uint16_t type; uint64_t seq, first, last; size_t len; uint32_t mark; } seen[SEEN_MAX];
};

static void on_message(void *ctx, struct channel *ch, uint16_t type, struct span payload, uint64_t seq)
{
	struct end *e = ctx;
	assert_true(e->count < SEEN_MAX);
	struct rbuf r;
	rbuf_init(&r, payload.p, payload.len);
	e->seen[e->count].type = type;
	e->seen[e->count].seq = seq;
	e->seen[e->count].len = payload.len;
	e->seen[e->count].mark = get_u32(&r);
	struct msg_gap gap;
	if (type == MSG_GAP && msg_gap_decode(payload, &gap, NULL) == 0) {
		e->seen[e->count].first = gap.first;
		e->seen[e->count].last = gap.last;
	}
	e->count++;
	if (seq && !e->manual)
		channel_ack(ch, seq);
}

static uint64_t on_peer(void *ctx, struct channel *ch, const struct id16 *peer)
{
	struct end *e = ctx;
	struct id16 now = channel_peer(ch);
	assert_memory_equal(&now, peer, sizeof(now));
	e->peers++;
	return e->committed;
}

static const struct channel_ops ops = { on_message, on_peer };

static void end_init(struct end *e, enum channel_side side, uint8_t id)
{
	struct error err = { 0 };
	memset(e, 0, sizeof(*e));
	memset(e->id.b, id, sizeof(e->id.b));
	e->ch = channel_new(side, &e->id, RING, &ops, e, &err);
	assert_non_null(e->ch);
}

static void end_restart(struct end *e, enum channel_side side, uint8_t id)
{
	channel_free(e->ch);
	end_init(e, side, id);
}

static void feed(struct channel *ch, const uint8_t *p, size_t n)
{
	while (n) {
		size_t room;
		uint8_t *at = channel_input(ch, &room);
		size_t k = n < room ? n : room;
		memcpy(at, p, k);
		channel_fed(ch, k);
		p += k;
		n -= k;
	}
}

/* One frame from one end to the other; false when there was none. */
static bool pass(struct end *from, struct end *to)
{
	static uint8_t wire[FRAME_MAX];
	size_t len = 0;
	for (struct span s; (s = channel_output(from->ch)).len;) {
		memcpy(wire + len, s.p, s.len);
		len += s.len;
		channel_wrote(from->ch, s.len);
		break;
	}
	if (len && to)
		feed(to->ch, wire, len);
	return len > 0;
}

static void settle(struct end *a, struct end *b)
{
	bool more = true;
	while (more) {
		more = pass(a, b);
		more = pass(b, a) || more;
	}
}

static uint64_t clock_ms = 1000;

/* Time goes by until nothing is left to say. */
static void settle_for(struct end *a, struct end *b, uint64_t ms)
{
	for (uint64_t t = 0; t < ms; t += CHANNEL_TICK_MS) {
		clock_ms += CHANNEL_TICK_MS;
		channel_tick(a->ch, clock_ms);
		channel_tick(b->ch, clock_ms);
		settle(a, b);
	}
}

static struct end host, guest;

static int set_up(void **state)
{
	(void)state;
	end_init(&host, CHANNEL_HOST, 1);
	end_init(&guest, CHANNEL_GUEST, 2);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	channel_free(host.ch);
	channel_free(guest.ch);
	host.ch = guest.ch = NULL;
	return 0;
}

static void connect_both(void)
{
	channel_opened(host.ch);
	channel_opened(guest.ch);
	settle(&host, &guest);
	assert_true(channel_synced(host.ch));
	assert_true(channel_synced(guest.ch));
}

static uint8_t block[CHANNEL_MESSAGE_MAX + 1];

static int send_marked(struct end *e, uint16_t type, uint32_t mark, size_t len, enum channel_policy policy)
{
	struct error err;
	for (int i = 0; i < 4; i++)
		block[i] = (uint8_t)(mark >> (8 * i));
	return channel_send(e->ch, type, (struct span){ block, len }, policy, &err);
}

static void syncs_whoever_opens_first(void **state)
{
	(void)state;
	channel_opened(guest.ch);
	while (pass(&guest, NULL))
		;
	assert_false(channel_synced(guest.ch));
	channel_opened(host.ch);
	settle(&host, &guest);
	assert_true(channel_synced(host.ch));
	assert_true(channel_synced(guest.ch));
	assert_int_equal(host.peers, 1);
	struct id16 peer = channel_peer(host.ch);
	assert_memory_equal(&peer, &guest.id, sizeof(peer));
}

static void delivers_messages_of_every_size(void **state)
{
	(void)state;
	static const size_t sizes[] = { 4, 100, FRAME_PAYLOAD_MAX - 1, FRAME_PAYLOAD_MAX, FRAME_PAYLOAD_MAX + 1, 3 * FRAME_PAYLOAD_MAX };
	connect_both();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(send_marked(&guest, MSG_IO_CHUNK, (uint32_t)i, sizes[i], CHANNEL_WAIT), 0);
		settle(&host, &guest);
		assert_int_equal(host.count, i + 1);
		assert_int_equal(host.seen[i].len, sizes[i]);
		assert_int_equal(host.seen[i].mark, i);
	}
	assert_true(channel_drained(guest.ch));
	assert_int_equal(channel_stats(host.ch)->bad_frames, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(syncs_whoever_opens_first),
		T(delivers_messages_of_every_size),
	};
	(void)end_restart; (void)settle_for;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
