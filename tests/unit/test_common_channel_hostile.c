/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A channel whose peer does not keep to the rules: frames fed by hand. */
#include "tests/fixtures/channel_ends.h"

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

/* An acknowledgement of what was never sent frees nothing, and what is sent later still needs its own. */
static void believes_no_ack_from_the_future(void **state)
{
	(void)state;
	uint32_t epoch = meet_by_hand();
	struct msg_ack m = { .seq = 7 };
	struct wbuf w;
	assert_int_equal(send_marked(&host, MSG_PROBE_LOAD, 1, 100, CHANNEL_WAIT), 0);
	wbuf_fixed(&w, block, 8);
	msg_ack_encode(&w, &m);
	feed_frame(0, MSG_ACK, epoch, 0, 8);
	assert_int_equal(channel_stats(host.ch)->wrong_messages, 1);
	assert_false(channel_drained(host.ch));
	wbuf_reset(&w);
	m.seq = 1;
	msg_ack_encode(&w, &m);
	feed_frame(0, MSG_ACK, epoch, 0, 8);
	assert_true(channel_drained(host.ch));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHANNEL_CASE(counts_and_passes_over_wrong_messages),
		CHANNEL_CASE(acknowledges_wrong_messages_with_their_neighbours),
		CHANNEL_CASE(discards_an_endless_message),
		CHANNEL_CASE(does_not_believe_a_lying_sync),
		CHANNEL_CASE(drops_frames_of_an_old_epoch),
		CHANNEL_CASE(finishes_a_frame_that_is_freed_under_it),
		CHANNEL_CASE(tells_two_instances_apart),
		CHANNEL_CASE(believes_no_ack_from_the_future),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
