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
	struct span s = channel_output(from->ch);
	if (!s.len)
		return false;
	memcpy(wire, s.p, s.len);
	channel_wrote(from->ch, s.len);
	if (to)
		feed(to->ch, wire, s.len);
	return true;
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


static void refuses_what_cannot_be_sent(void **state)
{
	(void)state;
	struct error err = { 0 };
	struct span none = { 0 };
	connect_both();
	assert_int_equal(channel_send(host.ch, MSG_HELLO, none, CHANNEL_WAIT, &err), -1);
	assert_non_null(strstr(err.text, "hello is not for this side"));
	assert_int_equal(channel_send(guest.ch, MSG_GREET, none, CHANNEL_WAIT, &err), -1);
	assert_int_equal(channel_send(guest.ch, MSG_SYNC, none, CHANNEL_WAIT, &err), -1);
	assert_int_equal(channel_send(guest.ch, MSG_GAP, none, CHANNEL_WAIT, &err), -1);
	assert_int_equal(channel_send(guest.ch, 999, none, CHANNEL_WAIT, &err), -1);
	assert_non_null(strstr(err.text, "message 999"));
	assert_int_equal(channel_send(guest.ch, MSG_IO_CHUNK, (struct span){ block, sizeof(block) }, CHANNEL_WAIT, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_int_equal(channel_send(guest.ch, MSG_IO_CHUNK, (struct span){ block, RING }, CHANNEL_DROP_OLDEST, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	static char endless[UINT16_MAX + 1];
	struct msg_log log = { .text = { (const uint8_t *)endless, sizeof(endless) } };
	assert_int_equal(channel_send_log(guest.ch, &log, CHANNEL_WAIT, &err), -1);
	assert_true(channel_drained(guest.ch));
	assert_null(channel_new(CHANNEL_HOST, &host.id, 4 * FRAME_MAX - 1, &ops, &host, &err));
	assert_int_equal(err.code, ERR_LIMIT);
}

static void says_exactly_what_fits(void **state)
{
	(void)state;
	connect_both();
	guest.manual = host.manual = true;
	srand(1);
	for (int i = 0; i < 3000; i++) {
		size_t room = channel_room(guest.ch);
		size_t len = 1 + (size_t)rand() % (rand() % 4 ? 500 : 70000);
		assert_int_equal(send_marked(&guest, MSG_IO_CHUNK, 0, len, CHANNEL_WAIT), len <= room ? 0 : 1);
		assert_true(channel_room(guest.ch) <= room);
		settle(&host, &guest);
		if (rand() % 3 == 0 && host.count) {
			channel_ack(host.ch, host.seen[(size_t)rand() % host.count].seq);
			settle(&host, &guest);
		}
	}
	assert_int_equal(channel_stats(host.ch)->bad_frames, 0);
	assert_int_equal(channel_stats(host.ch)->gaps, 0);
}

static void keeps_messages_until_acknowledged(void **state)
{
	(void)state;
	connect_both();
	host.manual = true;
	for (uint32_t i = 0; i < 10; i++)
		send_marked(&guest, MSG_IO_CHUNK, i, 100, CHANNEL_WAIT);
	settle(&host, &guest);
	assert_int_equal(host.count, 10);
	assert_false(channel_drained(guest.ch));
	channel_ack(host.ch, 9);
	settle(&host, &guest);
	assert_false(channel_drained(guest.ch));
	channel_ack(host.ch, 1000);              /* more than was given: all of it */
	settle(&host, &guest);
	assert_true(channel_drained(guest.ch));
}

static void frees_whole_messages_only(void **state)
{
	(void)state;
	connect_both();
	host.manual = true;
	send_marked(&guest, MSG_IO_CHUNK, 7, 3 * FRAME_PAYLOAD_MAX, CHANNEL_WAIT);
	settle(&host, &guest);
	channel_ack(host.ch, 2);                 /* in the middle of it */
	settle(&host, &guest);
	channel_closed(host.ch);
	end_restart(&host, CHANNEL_HOST, 3);
	channel_opened(host.ch);
	settle(&host, &guest);
	assert_int_equal(host.count, 1);
	assert_int_equal(host.seen[0].len, 3 * FRAME_PAYLOAD_MAX);
	assert_int_equal(host.seen[0].seq, 3);
}

static void survives_a_host_that_closes_and_throws_away(void **state)
{
	(void)state;
	connect_both();
	host.manual = true;
	for (uint32_t i = 0; i < 20; i++)
		send_marked(&guest, MSG_IO_CHUNK, i, 1000, CHANNEL_WAIT);
	for (int i = 0; i < 5; i++)
		pass(&guest, &host);
	while (pass(&guest, NULL))
		;
	channel_closed(host.ch);                 /* the guest has not noticed */
	channel_opened(host.ch);
	settle(&host, &guest);
	assert_int_equal(host.count, 20);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(host.seen[i].mark, i);
	assert_int_equal(channel_stats(guest.ch)->retransmitted, 15);
}

static void a_new_collector_goes_on_from_its_store(void **state)
{
	(void)state;
	connect_both();
	host.manual = true;
	for (uint32_t i = 0; i < 20; i++)
		send_marked(&guest, MSG_IO_CHUNK, i, 1000, CHANNEL_WAIT);
	settle(&host, &guest);
	channel_ack(host.ch, 5);                 /* committed up to 8, said so up to 5 */
	settle(&host, &guest);
	end_restart(&host, CHANNEL_HOST, 3);
	host.committed = 8;
	channel_opened(host.ch);
	settle(&host, &guest);
	assert_int_equal(host.count, 12);
	assert_int_equal(host.seen[0].mark, 8);
	assert_int_equal(host.seen[0].seq, 9);
	assert_true(channel_drained(guest.ch));
}

static void a_collector_without_a_store_gets_what_is_left(void **state)
{
	(void)state;
	connect_both();
	for (uint32_t i = 0; i < 10; i++)
		send_marked(&guest, MSG_IO_CHUNK, i, 1000, CHANNEL_WAIT);
	settle(&host, &guest);
	end_restart(&host, CHANNEL_HOST, 3);
	send_marked(&guest, MSG_IO_CHUNK, 10, 1000, CHANNEL_WAIT);
	channel_opened(host.ch);
	settle(&host, &guest);
	assert_int_equal(host.count, 1);
	assert_int_equal(host.seen[0].mark, 10);
	assert_int_equal(host.seen[0].seq, 11);
}

static void a_rebooted_guest_starts_anew(void **state)
{
	(void)state;
	connect_both();
	for (uint32_t i = 0; i < 10; i++)
		send_marked(&guest, MSG_IO_CHUNK, i, 100, CHANNEL_WAIT);
	send_marked(&host, MSG_PROBE_LOAD, 1, 100, CHANNEL_WAIT);
	settle(&host, &guest);
	end_restart(&guest, CHANNEL_GUEST, 9);
	channel_opened(guest.ch);                /* the host has not noticed */
	send_marked(&guest, MSG_IO_CHUNK, 100, 100, CHANNEL_WAIT);
	send_marked(&host, MSG_PROBE_LOAD, 2, 100, CHANNEL_WAIT);
	settle_for(&host, &guest, 500);
	assert_int_equal(host.peers, 2);
	assert_int_equal(host.count, 11);
	assert_int_equal(host.seen[10].mark, 100);
	assert_int_equal(host.seen[10].seq, 1);
	assert_int_equal(guest.count, 1);
	assert_int_equal(guest.seen[0].mark, 2);
}

static void an_agent_restarted_under_its_old_name_goes_on(void **state)
{
	(void)state;
	connect_both();
	for (uint32_t i = 0; i < 10; i++)
		send_marked(&guest, MSG_IO_CHUNK, i, 100, CHANNEL_WAIT);
	settle(&host, &guest);
	end_restart(&guest, CHANNEL_GUEST, 2);
	send_marked(&guest, MSG_IO_CHUNK, 10, 100, CHANNEL_WAIT);
	channel_opened(guest.ch);
	settle_for(&host, &guest, 500);
	assert_int_equal(host.count, 11);
	assert_int_equal(host.seen[10].seq, 11);
	assert_true(channel_drained(guest.ch));
}

static struct msg_gap last_gap;
static char last_counts[256];
static uint64_t gap_bytes, gap_logs;

static void on_gap_message(void *ctx, struct channel *ch, uint16_t type, struct span payload, uint64_t seq)
{
	if (type == MSG_GAP) {
		struct error err;
		unsigned long long n = 0;
		assert_int_equal(msg_gap_decode(payload, &last_gap, &err), 0);
		span_text(last_gap.counts, last_counts, sizeof(last_counts));
		assert_int_equal(sscanf(last_counts, "log=%llu", &n), 1);
		gap_logs += n;
		gap_bytes += last_gap.bytes;
	}
	on_message(ctx, ch, type, payload, seq);
}

static void counts_what_the_ring_dropped(void **state)
{
	(void)state;
	static const struct channel_ops gap_ops = { on_gap_message, on_peer };
	gap_logs = gap_bytes = 0;
	channel_free(host.ch);
	host.ch = channel_new(CHANNEL_HOST, &host.id, RING, &gap_ops, &host, NULL);
	assert_non_null(host.ch);
	uint32_t sent = 0;
	/* First with nobody there; then each time more than fits while the link is up. */
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 600; i++)
			assert_int_equal(send_marked(&guest, MSG_LOG, sent++, 1000, CHANNEL_DROP_OLDEST), 0);
		if (round == 0)
			connect_both();
		settle(&host, &guest);
	}
	const struct channel_stats *s = channel_stats(host.ch);
	assert_int_equal(s->gaps, 4);
	assert_int_equal(host.count - s->gaps + gap_logs, sent);
	assert_int_equal(s->gap_frames, gap_logs);
	assert_int_equal(gap_bytes, 1000 * gap_logs);
	assert_int_equal(host.seen[0].first, 1);
	for (size_t i = 1; i < host.count; i++)
		assert_int_equal((host.seen[i].type == MSG_GAP ? host.seen[i].first : host.seen[i].seq), host.seen[i - 1].seq + 1);
	assert_true(channel_drained(guest.ch));
}

static void a_gap_is_no_loss_to_who_has_the_frames(void **state)
{
	(void)state;
	connect_both();
	host.manual = true;
	for (uint32_t i = 0; i < 600; i++) {
		send_marked(&guest, MSG_LOG, i, 1000, CHANNEL_DROP_OLDEST);
		settle(&host, &guest);
	}
	assert_int_equal(host.count, 600);       /* all came, none is acknowledged, most are dropped */
	channel_closed(host.ch);
	channel_opened(host.ch);
	settle(&host, &guest);
	assert_int_equal(host.count, 600);
	channel_ack(host.ch, 600);
	settle(&host, &guest);
	assert_true(channel_drained(guest.ch));
	assert_int_equal(channel_stats(host.ch)->gaps, 0);
}

static void keeps_a_place_for_lines_when_data_fills_the_ring(void **state)
{
	(void)state;
	while (send_marked(&guest, MSG_IO_CHUNK, 1, 20000, CHANNEL_WAIT) == 0)
		;
	send_marked(&guest, MSG_LOG, 2, 100, CHANNEL_DROP_OLDEST);
	connect_both();
	settle(&host, &guest);
	assert_int_equal(channel_stats(host.ch)->gaps, 0);
	assert_int_equal(host.seen[host.count - 1].type, MSG_LOG);
}

static void drops_plain_messages_without_a_peer(void **state)
{
	(void)state;
	struct msg_clock_ping ping = { .id = 1 };
	assert_int_equal(channel_send_clock_ping(host.ch, &ping, CHANNEL_WAIT, NULL), 0);
	connect_both();
	settle(&host, &guest);
	assert_int_equal(guest.count, 0);
	for (ping.id = 0; ping.id < 10; ping.id++)
		channel_send_clock_ping(host.ch, &ping, CHANNEL_WAIT, NULL);
	channel_closed(host.ch);
	channel_opened(host.ch);
	settle(&host, &guest);
	assert_int_equal(guest.count, 0);
	int r = 0, queued = 0;
	while ((r = channel_send_clock_ping(host.ch, &ping, CHANNEL_WAIT, NULL)) == 0)
		queued++;
	assert_int_equal(r, 1);
	assert_int_equal(channel_send_clock_ping(host.ch, &ping, CHANNEL_DROP_OLDEST, NULL), 0);
	settle(&host, &guest);
	assert_int_equal(guest.count, queued);
}

/* A bad frame costs itself and no other plain message. */
static void loses_one_plain_message_to_one_bad_frame(void **state)
{
	(void)state;
	connect_both();
	struct msg_clock_ping ping = { 0 };
	for (ping.id = 0; ping.id < 10; ping.id++) {
		channel_send_clock_ping(host.ch, &ping, CHANNEL_WAIT, NULL);
		uint8_t wire[FRAME_MAX];
		struct span s = channel_output(host.ch);
		memcpy(wire, s.p, s.len);
		channel_wrote(host.ch, s.len);
		wire[s.len - 1] ^= ping.id == 4;
		feed(guest.ch, wire, s.len);
	}
	settle(&host, &guest);
	assert_int_equal(guest.count, 9);
	assert_int_equal(channel_stats(guest.ch)->bad_frames, 1);
	assert_true(channel_synced(host.ch) && channel_synced(guest.ch));
}

/* Frames fed by hand: a peer that does not keep to the rules. */
static uint32_t nonce_of_host(void)
{
	struct msg_sync m;
	channel_opened(host.ch);
	struct span s = channel_output(host.ch);
	assert_int_equal(msg_sync_decode((struct span){ s.p + FRAME_HEADER, s.len - FRAME_HEADER }, &m, NULL), 0);
	channel_wrote(host.ch, s.len);
	return m.nonce;
}

static void feed_frame(uint8_t flags, uint16_t type, uint32_t epoch, uint64_t seq, size_t len)
{
	static uint8_t wire[FRAME_MAX];
	struct frame f = { flags, type, epoch, seq, { block, len } };
	feed(host.ch, wire, frame_encode(wire, &f));
}

static void feed_sync(struct msg_sync m, uint8_t flags)
{
	uint8_t wire[256];
	struct wbuf w;
	wbuf_fixed(&w, wire + FRAME_HEADER, sizeof(wire) - FRAME_HEADER);
	msg_sync_encode(&w, &m);
	struct frame f = { .flags = flags, .type = MSG_SYNC, .payload = { w.p, w.len } };
	feed(host.ch, wire, frame_encode(wire, &f));
}

static uint32_t meet_by_hand(void)
{
	uint32_t nonce = nonce_of_host();
	feed_sync((struct msg_sync){ .nonce = 5, .echo = nonce, .instance = guest.id, .peer = host.id, .base = 1 }, 0);
	assert_true(channel_synced(host.ch));
	return nonce;
}

static uint64_t ack_of_host(void)
{
	uint64_t seq = 0;
	for (struct span s; (s = channel_output(host.ch)).len; channel_wrote(host.ch, s.len)) {
		struct msg_ack m;
		if (s.p[6] == MSG_ACK && msg_ack_decode((struct span){ s.p + FRAME_HEADER, s.len - FRAME_HEADER }, &m, NULL) == 0)
			seq = m.seq;
	}
	return seq;
}

static void counts_and_passes_over_wrong_messages(void **state)
{
	(void)state;
	uint32_t epoch = meet_by_hand();
	feed_frame(0, 999, epoch, 1, 10);                /* unknown */
	feed_frame(0, MSG_GREET, epoch, 2, 10);          /* not for the host to get */
	feed_frame(0, MSG_CLOCK_PONG, epoch, 3, 10);     /* plain, yet numbered */
	feed_frame(FRAME_REST, MSG_LOG, epoch, 4, 10);   /* goes on with nothing */
	feed_frame(FRAME_MORE, MSG_LOG, epoch, 5, 10);   /* never finished */
	assert_int_equal(channel_stats(host.ch)->wrong_messages, 4);
	assert_int_equal(ack_of_host(), 4);
	feed_frame(0, MSG_LOG, epoch, 6, 10);
	assert_int_equal(host.count, 1);
	assert_int_equal(host.seen[0].seq, 6);
	assert_int_equal(ack_of_host(), 6);
	feed_frame(0, MSG_LOG, epoch, 0, 10);            /* reliable, yet not numbered */
	feed_frame(FRAME_MORE, MSG_CLOCK_PONG, epoch, 0, 10);
	feed_frame(0, MSG_ACK, epoch, 0, 3);             /* malformed */
	feed_frame(0, MSG_GAP, epoch, 7, 3);
	assert_int_equal(channel_stats(host.ch)->wrong_messages, 9);
	assert_int_equal(host.count, 1);
}

static void acknowledges_wrong_messages_with_their_neighbours(void **state)
{
	(void)state;
	host.manual = true;
	uint32_t epoch = meet_by_hand();
	feed_frame(0, MSG_LOG, epoch, 1, 10);
	feed_frame(0, 999, epoch, 2, 10);
	feed_frame(0, MSG_LOG, epoch, 3, 10);
	feed_frame(0, 999, epoch, 4, 10);
	assert_int_equal(ack_of_host(), 0);              /* nothing is safe yet */
	channel_ack(host.ch, 1);
	assert_int_equal(ack_of_host(), 1);
	channel_ack(host.ch, 3);
	assert_int_equal(ack_of_host(), 4);
}

static void discards_an_endless_message(void **state)
{
	(void)state;
	uint32_t epoch = meet_by_hand();
	uint64_t seq = 0;
	for (int i = 0; i < 40; i++)
		feed_frame((uint8_t)(FRAME_MORE | (i ? FRAME_REST : 0)), MSG_LOG, epoch, ++seq, FRAME_PAYLOAD_MAX);
	feed_frame(FRAME_REST, MSG_LOG, epoch, ++seq, 10);
	assert_int_equal(host.count, 0);
	assert_int_equal(channel_stats(host.ch)->wrong_messages, 1);
	assert_int_equal(ack_of_host(), seq);
	feed_frame(0, MSG_LOG, epoch, ++seq, 10);
	assert_int_equal(host.count, 1);
}

static void does_not_believe_a_lying_sync(void **state)
{
	(void)state;
	uint32_t nonce = nonce_of_host();
	struct msg_sync good = { .nonce = 5, .echo = nonce, .instance = guest.id, .peer = host.id, .base = 1 };
	struct msg_sync m = good;
	m.nonce = 0;
	feed_sync(m, 0);
	m = good;
	m.instance = host.id;
	feed_sync(m, 0);
	m = good;
	m.instance = (struct id16){ { 0 } };
	feed_sync(m, 0);
	m = good;
	m.peer = guest.id;
	feed_sync(m, 0);
	assert_false(channel_synced(host.ch));
	assert_int_equal(channel_stats(host.ch)->wrong_messages, 4);
	good.have = UINT64_MAX;
	feed_sync(good, FRAME_LOST);
	assert_int_equal(channel_stats(host.ch)->wrong_messages, 5);
	send_marked(&host, MSG_PROBE_LOAD, 1, 100, CHANNEL_WAIT);
	struct span s = channel_output(host.ch);
	assert_true(s.len > 0);
	assert_int_equal(s.p[6], MSG_PROBE_LOAD);
	assert_int_equal(s.p[16], 1);
}

static void drops_frames_of_an_old_epoch(void **state)
{
	(void)state;
	uint32_t epoch = meet_by_hand();
	feed_frame(0, MSG_LOG, epoch + 1, 1, 10);
	assert_int_equal(host.count, 0);
	assert_int_equal(channel_stats(host.ch)->stale_frames, 1);
	feed_frame(0, MSG_LOG, epoch, 1, 10);
	feed_frame(0, MSG_LOG, epoch, 1, 10);
	assert_int_equal(host.count, 1);
	assert_int_equal(channel_stats(host.ch)->duplicates, 1);
}

static void finishes_a_frame_that_is_freed_under_it(void **state)
{
	(void)state;
	uint32_t epoch = meet_by_hand();
	send_marked(&host, MSG_PROBE_LOAD, 42, 1000, CHANNEL_WAIT);
	uint8_t wire[FRAME_MAX];
	struct span s = channel_output(host.ch);
	memcpy(wire, s.p, 10);
	channel_wrote(host.ch, 10);
	struct wbuf w;
	wbuf_fixed(&w, block, 8);
	put_u64(&w, 1);
	feed_frame(0, MSG_ACK, epoch, 0, 8);
	assert_true(channel_drained(host.ch));
	send_marked(&host, MSG_PROBE_LOAD, 43, 5000, CHANNEL_WAIT);
	s = channel_output(host.ch);
	memcpy(wire + 10, s.p, s.len);
	channel_wrote(host.ch, s.len);
	struct frame_reader *r = malloc(sizeof(*r));
	assert_non_null(r);
	frame_reader_init(r);
	size_t room, len = 10 + s.len;
	memcpy(frame_reader_space(r, &room), wire, len);
	frame_reader_fed(r, len);
	struct frame f;
	assert_int_equal(frame_reader_next(r, &f), 1);
	assert_int_equal(f.payload.len, 1000);
	assert_int_equal(f.payload.p[0], 42);
	free(r);
}

/* What is lost without a trace is asked for, seldom. */
static void asks_when_nothing_is_acknowledged(void **state)
{
	(void)state;
	connect_both();
	settle_for(&host, &guest, 100);
	send_marked(&guest, MSG_IO_CHUNK, 1, 100, CHANNEL_WAIT);
	while (pass(&guest, NULL))
		;
	settle_for(&host, &guest, 3000);
	assert_int_equal(host.count, 1);
	assert_true(channel_drained(guest.ch));

	/* And the same for a lost acknowledgement. */
	send_marked(&guest, MSG_IO_CHUNK, 2, 100, CHANNEL_WAIT);
	pass(&guest, &host);
	while (pass(&host, NULL))
		;
	assert_false(channel_drained(guest.ch));
	settle_for(&host, &guest, 3000);
	assert_true(channel_drained(guest.ch));
	assert_int_equal(channel_stats(host.ch)->duplicates, 0);

	/* A slow commit brings questions, fewer and fewer, and repeats no data. */
	host.manual = true;
	uint64_t before = channel_stats(guest.ch)->frames_out;
	for (uint32_t i = 0; i < 10; i++)
		send_marked(&guest, MSG_IO_CHUNK, i, 100, CHANNEL_WAIT);
	settle_for(&host, &guest, 60000);
	assert_in_range(channel_stats(guest.ch)->frames_out - before, 15, 25);
	assert_int_equal(channel_stats(host.ch)->duplicates, 0);
}

static void is_silent_when_all_is_said(void **state)
{
	(void)state;
	connect_both();
	settle_for(&host, &guest, 1000);
	uint64_t h = channel_stats(host.ch)->frames_out, g = channel_stats(guest.ch)->frames_out;
	settle_for(&host, &guest, 60000);
	assert_int_equal(channel_stats(host.ch)->frames_out, h);
	assert_int_equal(channel_stats(guest.ch)->frames_out, g);
}

/* A hole is mended by the next frame that shows it; no time has to pass. */
static void mends_a_hole_at_once(void **state)
{
	(void)state;
	connect_both();
	settle_for(&host, &guest, 100);
	for (uint32_t i = 0; i < 5; i++) {
		send_marked(&guest, MSG_IO_CHUNK, i, 100, CHANNEL_WAIT);
		pass(&guest, i == 1 ? NULL : &host);
	}
	settle(&host, &guest);
	assert_int_equal(host.count, 5);
	assert_int_equal(channel_stats(host.ch)->resyncs, 1);
	assert_int_equal(channel_stats(guest.ch)->retransmitted, 4);
}

/* The old instance's frames come late, after the new one has said hello. */
static void tells_two_instances_apart(void **state)
{
	(void)state;
	uint32_t epoch = meet_by_hand();
	feed_frame(0, MSG_LOG, epoch, 1, 10);
	feed_frame(FRAME_MORE, MSG_LOG, epoch, 2, 10);
	struct id16 other = { { 77 } };
	struct msg_sync old = { .nonce = 5, .instance = guest.id, .base = 1 }, new = { .nonce = 6, .instance = other, .base = 1 };
	feed_sync(new, 0);
	feed_frame(FRAME_REST, MSG_LOG, epoch, 3, 10);       /* from the old one */
	feed_frame(0, MSG_LOG, epoch, 1, 10);
	assert_int_equal(host.count, 1);
	assert_int_equal(channel_stats(host.ch)->stale_frames, 2);

	/* It was no reboot after all: what came whole does not come twice, what came in half does. */
	feed_sync(old, 0);
	channel_tick(host.ch, 1000);
	struct span s = channel_output(host.ch);
	struct msg_sync said = { 0 };
	assert_int_equal(msg_sync_decode((struct span){ s.p + FRAME_HEADER, s.len - FRAME_HEADER }, &said, NULL), 0);
	assert_int_equal(said.have, 1);
	assert_int_not_equal(said.nonce, epoch);
	feed_frame(0, MSG_LOG, said.nonce, 1, 10);
	assert_int_equal(host.count, 1);
	feed_frame(FRAME_MORE, MSG_LOG, said.nonce, 2, 10);
	feed_frame(FRAME_REST, MSG_LOG, said.nonce, 3, 10);
	assert_int_equal(host.count, 2);
	assert_int_equal(host.seen[1].len, 20);
	assert_int_equal(host.peers, 2);
}

static void finishes_a_frame_that_is_dropped_under_it(void **state)
{
	(void)state;
	connect_both();
	memset(block, 7, 20000);
	send_marked(&guest, MSG_LOG, 1, 20000, CHANNEL_DROP_OLDEST);
	static uint8_t wire[FRAME_MAX];
	struct span s = channel_output(guest.ch);
	memcpy(wire, s.p, 100);
	channel_wrote(guest.ch, 100);
	memset(block, 9, 20000);
	for (uint32_t i = 0; i < 30; i++)
		send_marked(&guest, MSG_LOG, i, 20000, CHANNEL_DROP_OLDEST);
	s = channel_output(guest.ch);
	memcpy(wire + 100, s.p, s.len);
	channel_wrote(guest.ch, s.len);
	feed(host.ch, wire, 100 + s.len);
	assert_int_equal(host.count, 1);
	assert_int_equal(host.seen[0].mark, 1);
	assert_int_equal(channel_stats(host.ch)->bad_frames, 0);
}

/* A second gap does not name again what a first one, not yet acknowledged, has named. */
static void a_later_gap_names_only_what_is_new(void **state)
{
	(void)state;
	static const struct channel_ops gap_ops = { on_gap_message, on_peer };
	channel_free(host.ch);
	host.ch = channel_new(CHANNEL_HOST, &host.id, RING, &gap_ops, &host, NULL);
	assert_non_null(host.ch);
	host.manual = true;
	gap_logs = gap_bytes = 0;
	connect_both();
	for (uint32_t i = 0; i < 400; i++)
		send_marked(&guest, MSG_LOG, i, 1000, CHANNEL_DROP_OLDEST);
	while (host.count == 0)
		assert_true(pass(&guest, &host));
	assert_int_equal(host.seen[0].type, MSG_GAP);
	uint64_t first = last_gap.last;
	for (uint32_t i = 0; i < 10; i++)
		send_marked(&guest, MSG_LOG, i, 1000, CHANNEL_DROP_OLDEST);
	settle(&host, &guest);
	assert_int_equal(channel_stats(host.ch)->gaps, 2);
	assert_int_equal(last_gap.first, first + 1);
	assert_int_equal(gap_logs, last_gap.last);
	assert_int_equal(gap_logs + host.count - 2, 410);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(syncs_whoever_opens_first),
		T(delivers_messages_of_every_size),
		T(refuses_what_cannot_be_sent),
		T(says_exactly_what_fits),
		T(keeps_messages_until_acknowledged),
		T(frees_whole_messages_only),
		T(survives_a_host_that_closes_and_throws_away),
		T(a_new_collector_goes_on_from_its_store),
		T(a_collector_without_a_store_gets_what_is_left),
		T(a_rebooted_guest_starts_anew),
		T(an_agent_restarted_under_its_old_name_goes_on),
		T(counts_what_the_ring_dropped),
		T(a_gap_is_no_loss_to_who_has_the_frames),
		T(keeps_a_place_for_lines_when_data_fills_the_ring),
		T(drops_plain_messages_without_a_peer),
		T(loses_one_plain_message_to_one_bad_frame),
		T(counts_and_passes_over_wrong_messages),
		T(acknowledges_wrong_messages_with_their_neighbours),
		T(discards_an_endless_message),
		T(does_not_believe_a_lying_sync),
		T(drops_frames_of_an_old_epoch),
		T(finishes_a_frame_that_is_freed_under_it),
		T(asks_when_nothing_is_acknowledged),
		T(is_silent_when_all_is_said),
		T(mends_a_hole_at_once),
		T(tells_two_instances_apart),
		T(finishes_a_frame_that_is_dropped_under_it),
		T(a_later_gap_names_only_what_is_new),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
