/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real `bifocal attach` against a scripted guest that traces: a real guest's pages become streams of sightings, once each. */
#include "scripted_guest.h"

#include "tests/fixtures/trace_page.h"

#define SCRIPT(...) &(const struct script){ __VA_ARGS__ }

enum { CHUNKS = 5, RECORDS = 875, EMPTY_WRITES = 2 };

static const char bus[] = "virtio-blk";

static const struct { const char *name; uint8_t sight; } events[] = {
	{ "block_bio_queue", SIGHT_G_QUEUE }, { "block_rq_insert", SIGHT_G_INSERT }, { "block_rq_issue", SIGHT_G_ISSUE },
	{ "block_rq_requeue", SIGHT_G_REQUEUE }, { "block_rq_complete", SIGHT_G_COMPLETE }, { "kick", SIGHT_G_KICK }, { "irq", SIGHT_G_IRQ },
	{ "block_bio_backmerge", SIGHT_G_MERGE }, { "block_bio_frontmerge", SIGHT_G_MERGE }, { "block_split", SIGHT_G_SPLIT },
};

static void send_event(struct sguest *g, const char *name, uint8_t sight)
{
	static struct trace_format f;
	char file[64];
	size_t size;
	snprintf(file, sizeof(file), "%s.format", name);
	uint8_t *text = fixture(bus, file, &size);
	assert_non_null(text);
	assert_int_equal(format_parse((struct span){ text, size }, &f, NULL), 0);
	const struct msg_trace_event m = { .run = g->run, .id = f.id, .sight = sight, .name = span_of(name), .format = { text, size } };
	assert_int_equal(channel_send_trace_event(g->ch[DATA], &m, CHANNEL_DROP_OLDEST, NULL), 0);
	free(text);
}

/* Both CPUs' pages of a quarter of what there is; the ends behind the last. */
static void send_pages(struct sguest *g, unsigned quarter)
{
	for (uint32_t cpu = 0; cpu < 2; cpu++) {
		char file[32];
		size_t size;
		snprintf(file, sizeof(file), "cpu%u.pages", cpu);
		uint8_t *p = fixture(bus, file, &size);
		assert_non_null(p);
		size_t pages = size / PAGE_BYTES, per = pages / 4;
		const struct msg_trace_pages m = {
			.run = g->run, .cpu = cpu, .index = quarter, .page_size = PAGE_BYTES, .pages = { p + quarter * per * PAGE_BYTES, per * PAGE_BYTES },
		};
		const struct msg_trace_end end = { .run = g->run, .cpu = cpu, .pages = pages };
		assert_int_equal(pages % 4, 0);
		assert_int_equal(channel_send_trace_pages(g->ch[DATA], &m, CHANNEL_DROP_OLDEST, NULL), 0);
		if (quarter == 3)
			assert_int_equal(channel_send_trace_end(g->ch[DATA], &end, CHANNEL_DROP_OLDEST, NULL), 0);
		free(p);
	}
}

/* Behind the chunks of I/O records; the last quarter goes with the last chunk, which a script may hold back. */
static void trace(struct sguest *g, unsigned index)
{
	const struct msg_trace_absent none = { .run = g->run, .sight = SIGHT_G_INSERT, .text = span_of("not asked for") };
	if (index == 0)
		for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
			send_event(g, events[i].name, events[i].sight);
	if (index == 0)
		assert_int_equal(channel_send_trace_absent(g->ch[DATA], &none, CHANNEL_DROP_OLDEST, NULL), 0);
	if (index > 0)
		send_pages(g, index - 1);
}

static void spoiled(struct sguest *g, unsigned index)
{
	static const uint8_t noise[PAGE_BYTES] = { [8] = 0xff, [9] = 0xff };
	const struct msg_trace_pages m = { .run = g->run, .cpu = 1, .index = 2, .page_size = PAGE_BYTES, .pages = { noise, PAGE_BYTES } };
	const struct msg_trace_end end = { .run = g->run, .cpu = 1, .pages = 8, .overrun = 1000 };
	if (index == 3)
		assert_int_equal(channel_send_trace_pages(g->ch[DATA], &m, CHANNEL_DROP_OLDEST, NULL), 0);
	else if (index == 4)
		assert_int_equal(channel_send_trace_end(g->ch[DATA], &end, CHANNEL_DROP_OLDEST, NULL), 0);
	else
		trace(g, index);
}

struct total {
	unsigned streams;
	uint64_t events, lost, seen[SIGHT_KINDS];
	struct store *store;
	uint64_t run;
};

static int add_stream(void *ctx, const struct store_stream *st)
{
	static struct sighting s[SIGHT_CHUNK];
	struct total *t = ctx;
	if (st->vantage != VANTAGE_GUEST)
		return 0;
	t->streams++;
	t->events += st->events;
	t->lost += st->lost;
	uint64_t last = 0;
	for (uint32_t i = 0;; i++) {
		int n = store_sight_chunk(t->store, t->run, st->stream, i, s, SIGHT_CHUNK, NULL);
		assert_true(n >= 0);
		if (!n)
			return 0;
		for (int k = 0; k < n; k++) {
			t->seen[s[k].kind]++;
			assert_true(s[k].time >= last);
			last = s[k].time;
		}
	}
}

static struct total total_of(const struct sguest *g, uint64_t run)
{
	struct total t = { .run = run, .store = store_open(g->db, STORE_READ, NULL) };
	assert_non_null(t.store);
	assert_int_equal(store_each_stream(t.store, run, add_stream, &t, NULL), 0);
	store_close(t.store);
	return t;
}

static void expect_all(const struct sguest *g, uint64_t run)
{
	struct total t = total_of(g, run);
	assert_int_equal(t.streams, 2);
	assert_int_equal(t.events, RECORDS - EMPTY_WRITES);
	assert_int_equal(t.lost, 0);
	assert_int_equal(t.seen[SIGHT_G_ISSUE], t.seen[SIGHT_G_COMPLETE]);
	assert_int_equal(t.seen[SIGHT_LOST], 0);
}

static enum run_status status_of(struct sguest *g, uint64_t run)
{
	return sg_stored(g, run).run.status;
}

static void test_traced(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = CHUNKS, .after_chunk = trace));
	(void)state;
	sg_attach(g, NULL, 0);
	assert_int_equal(sg_serve(g, NULL), 0);
	assert_int_equal(status_of(g, 1), RUN_COMPLETE);
	expect_all(g, 1);
	assert_string_equal(sg_attr(g, 1, "vantage.guest"), "tracefs");
	assert_string_equal(sg_attr(g, 1, "absent.g_insert"), "not asked for");
	sg_free(g);
}

static void test_spoiled(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = CHUNKS, .after_chunk = spoiled));
	(void)state;
	sg_attach(g, NULL, 0);
	assert_int_equal(sg_serve(g, NULL), 3);
	assert_int_equal(status_of(g, 1), RUN_PARTIAL);
	assert_string_equal(sg_attr(g, 1, "lost.trace_page_bad"), "1");
	assert_string_equal(sg_attr(g, 1, "lost.trace_overrun"), "1000");
	struct total t = total_of(g, 1);
	assert_true(t.seen[SIGHT_LOST] >= 2);
	assert_true(t.lost >= 1000);
	sg_free(g);
}

/* What a guest sends of its trace after the run has begun is acknowledged once it is committed, and only what is not comes again. */
static bool most_committed(struct sguest *g)
{
	return g->sent == sg_chunks(g) - 1 && channel_drained(g->ch[DATA]);
}

static void test_killed_and_back(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = CHUNKS, .hold_drained = true, .after_chunk = trace));
	const char *check[] = { "db", "check", "--db", g->db, NULL };
	(void)state;
	sg_attach(g, NULL, 0);
	assert_int_equal(sg_serve(g, most_committed), 1000);
	kill(g->pid, SIGKILL);
	assert_int_equal(sg_serve(g, NULL), -SIGKILL);
	struct total before = total_of(g, 1);
	assert_int_equal(before.streams, 2);
	assert_true(before.events > 0 && before.events < RECORDS - EMPTY_WRITES);
	g->script.hold_drained = false;
	sg_attach(g, NULL, 0);
	assert_int_equal(sg_serve(g, NULL), 0);
	expect_all(g, 1);
	expect_all(g, 2);
	assert_int_equal(status_of(g, 2), RUN_COMPLETE);
	assert_string_equal(sg_attr(g, 1, "lost.trace_page_missing"), "0");
	assert_string_equal(sg_attr(g, 1, "lost.trace_page_bad"), "0");
	assert_int_equal(sg_command(g, check), 0);
	sg_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_traced),
		cmocka_unit_test(test_spoiled),
		cmocka_unit_test(test_killed_and_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
