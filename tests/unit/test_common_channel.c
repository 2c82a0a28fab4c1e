/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A channel between two ends that keep to the rules. */
#include "tests/fixtures/channel_ends.h"

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

/* The host adds up what gaps name. */
static void watch_gaps(void)
{
	static const struct channel_ops gap_ops = { on_gap_message, on_peer };
	gap_logs = gap_bytes = 0;
	channel_free(host.ch);
	host.ch = channel_new(CHANNEL_HOST, &host.id, RING, &gap_ops, &host, NULL);
	assert_non_null(host.ch);
}

static void counts_what_the_ring_dropped(void **state)
{
	(void)state;
	watch_gaps();
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
	/* Nothing is missing, so the question whether something is comes to an end. */
	settle_for(&host, &guest, 1000);
	uint64_t out = channel_stats(guest.ch)->frames_out;
	settle_for(&host, &guest, 10000);
	assert_int_equal(channel_stats(guest.ch)->frames_out, out);
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
	watch_gaps();
	host.manual = true;
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

/* Dropped after they came, though not acknowledged: no loss, and not to be named as one. */
static void names_no_line_that_came(void **state)
{
	(void)state;
	watch_gaps();
	host.manual = true;
	connect_both();
	for (uint32_t i = 0; i < 500; i++) {
		send_marked(&guest, MSG_LOG, i, 1000, CHANNEL_DROP_OLDEST);
		if (i < 100)
			settle(&host, &guest);
	}
	settle(&host, &guest);
	assert_int_equal(channel_stats(host.ch)->gaps, 1);
	assert_int_equal(last_gap.first, 101);
	assert_int_equal(gap_logs + host.count - 1, 500);
}

/* The reserve is for who may drop: who waits does not get it, however little of it is left. */
static void keeps_data_out_of_the_reserve(void **state)
{
	(void)state;
	while (send_marked(&guest, MSG_IO_CHUNK, 1, 20000, CHANNEL_WAIT) == 0 || send_marked(&guest, MSG_IO_CHUNK, 1, 1, CHANNEL_WAIT) == 0)
		;
	for (int i = 0; i < 5; i++) {
		send_marked(&guest, MSG_LOG, 2, 100, CHANNEL_DROP_OLDEST);
		assert_int_equal(channel_room(guest.ch), 0);
		assert_int_equal(send_marked(&guest, MSG_IO_CHUNK, 3, 1, CHANNEL_WAIT), 1);
	}
	connect_both();
	settle(&host, &guest);
	assert_int_equal(channel_stats(host.ch)->gaps, 0);
}

/* Many small messages run out of places long before they run out of bytes. */
static void has_a_place_for_every_frame(void **state)
{
	(void)state;
	uint32_t sent = 0;
	while (channel_room(guest.ch) > FRAME_PAYLOAD_MAX)
		assert_int_equal(send_marked(&guest, MSG_LOG, sent++, 4, CHANNEL_WAIT), 0);
	assert_int_equal(send_marked(&guest, MSG_IO_CHUNK, 1, FRAME_PAYLOAD_MAX + 1, CHANNEL_WAIT), 1);
	assert_int_equal(send_marked(&guest, MSG_LOG, sent++, 4, CHANNEL_WAIT), 0);
	connect_both();
	settle(&host, &guest);
	assert_int_equal(host.count, sent);
	for (uint32_t i = 0; i < sent; i++)
		assert_int_equal(host.seen[i].mark, i);
}

static void calls_into_the_void_ever_less(void **state)
{
	(void)state;
	unsigned calls = 0;
	channel_opened(host.ch);
	for (unsigned t = 0; t < 60000; t += CHANNEL_TICK_MS) {
		channel_tick(host.ch, clock_ms += CHANNEL_TICK_MS);
		while (pass(&host, NULL))
			calls++;
	}
	assert_true(calls >= 50 && calls <= 70);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHANNEL_CASE(syncs_whoever_opens_first),
		CHANNEL_CASE(delivers_messages_of_every_size),
		CHANNEL_CASE(refuses_what_cannot_be_sent),
		CHANNEL_CASE(says_exactly_what_fits),
		CHANNEL_CASE(keeps_messages_until_acknowledged),
		CHANNEL_CASE(frees_whole_messages_only),
		CHANNEL_CASE(survives_a_host_that_closes_and_throws_away),
		CHANNEL_CASE(a_new_collector_goes_on_from_its_store),
		CHANNEL_CASE(a_collector_without_a_store_gets_what_is_left),
		CHANNEL_CASE(a_rebooted_guest_starts_anew),
		CHANNEL_CASE(an_agent_restarted_under_its_old_name_goes_on),
		CHANNEL_CASE(counts_what_the_ring_dropped),
		CHANNEL_CASE(a_gap_is_no_loss_to_who_has_the_frames),
		CHANNEL_CASE(keeps_a_place_for_lines_when_data_fills_the_ring),
		CHANNEL_CASE(drops_plain_messages_without_a_peer),
		CHANNEL_CASE(loses_one_plain_message_to_one_bad_frame),
		CHANNEL_CASE(asks_when_nothing_is_acknowledged),
		CHANNEL_CASE(is_silent_when_all_is_said),
		CHANNEL_CASE(mends_a_hole_at_once),
		CHANNEL_CASE(finishes_a_frame_that_is_dropped_under_it),
		CHANNEL_CASE(a_later_gap_names_only_what_is_new),
		CHANNEL_CASE(names_no_line_that_came),
		CHANNEL_CASE(keeps_data_out_of_the_reserve),
		CHANNEL_CASE(has_a_place_for_every_frame),
		CHANNEL_CASE(calls_into_the_void_ever_less),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
