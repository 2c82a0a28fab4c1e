/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's kernel trace into the store: streams, losses, what a lying guest sends, and a collector that takes up another's run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "common/sight.h"
#include "host/run/intake_trace.h"
#include "tests/fixtures/trace_page.h"

static char dir[64];
static struct store *store;
static struct store_batch *batch;
static struct trace_intake *t;
static struct loss loss;
static struct error err;
static uint64_t run;

static int fresh(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/bifocal-intake-trace-XXXXXX");
	err = (struct error){ 0 };
	loss = (struct loss){ 0 };
	if (!mkdtemp(dir) || !(store = store_open(dir, STORE_WRITE, &err)) || !(batch = store_batch_new(store, &err)) ||
	    store_run_create(store, 0, &run, &err))
		return -1;
	t = trace_intake_new(run, &err);
	return t ? 0 : -1;
}

static int done(void **state)
{
	char command[128];
	(void)state;
	trace_intake_free(t);
	store_batch_free(batch);
	store_close(store);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return *dir ? system(command) : 0;
}

static void commit(void)
{
	if (trace_intake_flush(t, batch, &err) || store_commit(batch, &err))
		fail_msg("%s", err.text);
}

static const char *attr(const char *key)
{
	static char text[8192];
	char *v = store_attr(store, run, key, NULL);
	snprintf(text, sizeof(text), "%s", v ? v : "");
	free(v);
	return text;
}

/* ---- the messages ---- */

static int send_event(unsigned sight, uint32_t id, const char *format)
{
	const struct msg_trace_event m = { .run = run, .id = id, .sight = (uint8_t)sight, .name = { (const uint8_t *)"block:x y", 9 },
					   .format = { (const uint8_t *)format, strlen(format) } };
	return trace_intake_event(t, batch, &m, &err);
}

static int send_pages(uint32_t cpu, uint32_t index, const void *p, size_t size, uint32_t page_size)
{
	const struct msg_trace_pages m = { .run = run, .cpu = cpu, .index = index, .page_size = page_size, .pages = { p, size } };
	return trace_intake_pages(t, batch, &m, &loss, &err);
}

static void send_end(uint32_t cpu, uint64_t pages, uint64_t overrun)
{
	const struct msg_trace_end m = { .run = run, .cpu = cpu, .pages = pages, .overrun = overrun };
	assert_int_equal(trace_intake_end(t, batch, &m, &loss, &err), 0);
}

#define KICK "name: kick\nID: 1380\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n" \
	"\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\tfield:u64 key;\toffset:16;\tsize:8;\tsigned:0;\nprint fmt: \"field:\"\n"

/* A page of `n` kicks from `time` on, a hundred cycles apart; keys count up from `key`. */
static struct made_page kicks(uint64_t time, unsigned n, uint64_t key)
{
	struct made_page p;
	page_begin(&p, time);
	for (unsigned i = 0; i < n; i++, key++) {
		uint8_t r[24] = { 1380 & 255, 1380 >> 8 };
		memcpy(r + 16, &key, 8);
		page_record(&p, i ? 100 : 0, r, sizeof(r));
	}
	return p;
}

/* ---- what is in the store ---- */

struct found {
	unsigned streams;
	struct store_stream row[8];
};

static int note_stream(void *ctx, const struct store_stream *s)
{
	struct found *f = ctx;
	if (f->streams < 8)
		f->row[f->streams] = *s;
	f->streams++;
	return 0;
}

static struct found streams(void)
{
	struct found f = { 0 };
	assert_int_equal(store_each_stream(store, run, note_stream, &f, &err), 0);
	return f;
}

static struct sighting all[20000];

/* All sightings of a stream, whatever its chunks. */
static size_t read_stream(uint16_t stream)
{
	size_t n = 0;
	for (uint32_t i = 0; n + SIGHT_CHUNK <= sizeof(all) / sizeof(all[0]); i++) {
		int more = store_sight_chunk(store, run, stream, i, all + n, SIGHT_CHUNK, &err);
		if (more < 0)
			fail_msg("%s", err.text);
		if (!more)
			break;
		n += (size_t)more;
	}
	return n;
}

/* Kicks in a row whose keys count up from `key`. */
static void expect_kicks(size_t from, size_t n, uint64_t key)
{
	for (size_t i = 0; i < n; i++)
		if (all[from + i].kind != SIGHT_G_KICK || all[from + i].key != key + i)
			fail_msg("sighting %zu is %s %llu", from + i, sight_name(all[from + i].kind), (unsigned long long)all[from + i].key);
}

static void expect_lost(size_t at, uint64_t n, uint64_t time)
{
	assert_int_equal(all[at].kind, SIGHT_LOST);
	assert_int_equal(all[at].key, n);
	assert_int_equal(all[at].time, time);
}

/* ---- tests ---- */

static void test_pages_become_streams(void **state)
{
	struct made_page p[2] = { kicks(1000, 100, 0), kicks(50000, 100, 100) }, q = kicks(2000, 3, 7);
	(void)state;
	assert_int_equal(send_event(SIGHT_G_KICK, 1380, KICK), 0);
	uint8_t both[2 * PAGE_BYTES];
	memcpy(both, p[0].bytes, PAGE_BYTES);
	memcpy(both + PAGE_BYTES, p[1].bytes, PAGE_BYTES);
	assert_int_equal(send_pages(0, 0, both, sizeof(both), PAGE_BYTES), 0);
	assert_int_equal(send_pages(3, 0, q.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	/* What is acknowledged after a commit is in it, though no chunk is full. */
	commit();
	assert_int_equal(read_stream(0), 200);
	expect_kicks(0, 200, 0);
	assert_int_equal(all[100].time, 50000);
	p[0] = kicks(90000, 50, 200);
	assert_int_equal(send_pages(0, 1, p[0].bytes, PAGE_BYTES, PAGE_BYTES), 0);
	send_end(0, 3, 0);
	send_end(1, 0, 0);
	send_end(3, 1, 0);
	commit();
	assert_int_equal(read_stream(0), 250);
	expect_kicks(0, 250, 0);
	struct found f = streams();
	assert_int_equal(f.streams, 3);
	assert_true(f.row[0].stream == 0 && f.row[0].events == 250 && !f.row[0].lost && f.row[0].clock == STREAM_GUEST_TSC);
	assert_true(f.row[1].stream == 1 && f.row[1].events == 0);
	assert_true(f.row[2].stream == 3 && f.row[2].cpu == 3 && f.row[2].events == 3 && f.row[2].vantage == VANTAGE_GUEST);
	assert_string_equal(f.row[0].source, "tracefs");
	assert_string_equal(attr("vantage.guest"), "tracefs");
	assert_int_equal(trace_intake_page_count(t), 4);
	assert_int_equal(loss.trace_page_bad + loss.trace_overrun + loss.trace_page_missing, 0);
}

static void test_many_chunks(void **state)
{
	(void)state;
	assert_int_equal(send_event(SIGHT_G_KICK, 1380, KICK), 0);
	for (uint32_t i = 0; i < 60; i++) {
		struct made_page p = kicks(1000 + i * 100000, 140, i * 140);
		assert_int_equal(send_pages(2, i, p.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	}
	commit();
	assert_int_equal(read_stream(2), 60 * 140);
	expect_kicks(0, 60 * 140, 0);
}

static void test_lost_events(void **state)
{
	struct made_page p = kicks(1000, 5, 0), q = kicks(9000, 5, 5);
	uint64_t lost = 77;
	(void)state;
	assert_int_equal(send_event(SIGHT_G_KICK, 1380, KICK), 0);
	assert_int_equal(send_pages(0, 0, p.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	page_store(&q, PAGE_HEADER + q.used, &lost, 8);
	page_commit(&q, 3ull << 30);
	assert_int_equal(send_pages(0, 1, q.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	/* 77 were told of by the page; 23 more found no room at the end. */
	send_end(0, 2, 100);
	send_end(0, 2, 100);
	commit();
	assert_int_equal(read_stream(0), 12);
	expect_kicks(0, 5, 0);
	expect_lost(5, 77, 9000);
	expect_kicks(6, 5, 5);
	expect_lost(11, 23, 9400);
	struct found f = streams();
	assert_int_equal(f.row[0].lost, 100);
	assert_int_equal(loss.trace_overrun, 100);
	assert_int_equal(loss.trace_page_bad, 0);
}

static void test_bad_pages(void **state)
{
	struct made_page p = kicks(1000, 5, 0), broken = kicks(2000, 5, 5), short_record;
	(void)state;
	assert_int_equal(send_event(SIGHT_G_KICK, 1380, KICK), 0);
	assert_int_equal(send_pages(0, 0, p.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	page_head(&broken, 0, 0);
	page_word(&broken, 0xfffffff0);
	assert_int_equal(send_pages(0, 1, broken.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	assert_int_equal(loss.trace_page_bad, 1);
	memset(broken.bytes, 0xff, PAGE_BYTES);
	assert_int_equal(send_pages(0, 2, broken.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	assert_int_equal(loss.trace_page_bad, 2);
	page_begin(&short_record, 3000);
	page_record(&short_record, 0, (const uint8_t[8]){ 1380 & 255, 1380 >> 8 }, 8);
	assert_int_equal(send_pages(0, 3, short_record.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	assert_int_equal(loss.trace_page_bad, 3);
	commit();
	assert_int_equal(read_stream(0), 12);
	expect_kicks(0, 10, 0);
	expect_lost(10, 0, 2400);
	expect_lost(11, 0, 2400);
}

static void test_order(void **state)
{
	struct made_page p = kicks(1000, 5, 0), q = kicks(2000, 5, 5);
	(void)state;
	assert_int_equal(send_event(SIGHT_G_KICK, 1380, KICK), 0);
	assert_int_equal(send_pages(0, 0, p.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	/* Again; then one that was skipped; then one from far ahead; then what is no page. */
	assert_int_equal(send_pages(0, 0, p.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	assert_int_equal(loss.trace_page_bad, 1);
	assert_int_equal(send_pages(0, 2, q.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	assert_int_equal(send_pages(0, UINT32_MAX, p.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	assert_int_equal(send_pages(0, 3, p.bytes, PAGE_BYTES - 8, PAGE_BYTES), 0);
	assert_int_equal(send_pages(0, 3, p.bytes, PAGE_BYTES, 0), 0);
	assert_int_equal(send_pages(0, 3, p.bytes, PAGE_BYTES, 4), 0);
	assert_int_equal(send_pages(0, 3, p.bytes, 0, PAGE_BYTES), 0);
	assert_int_equal(send_pages(TRACE_CPUS_MAX, 0, p.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	assert_int_equal(loss.trace_page_bad, 7);
	commit();
	assert_int_equal(read_stream(0), 11);
	expect_kicks(0, 5, 0);
	expect_lost(5, 0, 1400);
	expect_kicks(6, 5, 5);
	assert_int_equal(streams().streams, 1);
}

static void test_end_that_lies(void **state)
{
	const struct msg_trace_end m = { .run = run, .cpu = TRACE_CPUS_MAX, .overrun = 5 };
	(void)state;
	assert_int_equal(trace_intake_end(t, batch, &m, &loss, &err), 1);
	assert_int_equal(loss.trace_overrun, 0);
	send_end(5, 1000, UINT64_MAX);
	commit();
	/* Pages that never came, and more events than any buffer holds: marks without a number. */
	assert_int_equal(read_stream(5), 2);
	expect_lost(0, 0, 0);
	expect_lost(1, 0, 0);
}

static int send_absent(unsigned sight, const char *text)
{
	const struct msg_trace_absent m = { .run = run, .sight = (uint8_t)sight, .text = { (const uint8_t *)text, strlen(text) } };
	return trace_intake_absent(t, batch, &m, &err);
}

static void test_absent(void **state)
{
	(void)state;
	assert_int_equal(send_absent(SIGHT_G_KICK, "no kprobes: CONFIG_KPROBE_EVENTS\33[2J"), 0);
	assert_int_equal(send_absent(SIGHT_V_START, "x"), 1);
	assert_int_equal(send_absent(39, "x"), 1);
	commit();
	assert_string_equal(attr("absent.g_kick"), "no kprobes: CONFIG_KPROBE_EVENTS?[2J");
	assert_string_equal(attr("vantage.guest"), "");
	assert_int_equal(send_absent(0, "no tracefs"), 0);
	commit();
	assert_string_equal(attr("vantage.guest"), "absent: no tracefs");
}

static void test_event_that_lies(void **state)
{
	(void)state;
	assert_int_equal(send_event(SIGHT_V_START, 1380, KICK), 1);
	assert_int_equal(send_event(0, 1380, KICK), 1);
	assert_int_equal(send_event(SIGHT_G_KICK, 1381, KICK), 0);
	commit();
	assert_non_null(strstr(attr("absent.g_kick"), "1381"));
	assert_int_equal(send_event(SIGHT_G_ISSUE, 1380, KICK), 0);
	commit();
	assert_non_null(strstr(attr("absent.g_issue"), "no field dev"));
	assert_int_equal(send_event(SIGHT_G_IRQ, 1, "\xff\xfe"), 0);
	commit();
	assert_string_not_equal(attr("absent.g_irq"), "");
}

/* More CPUs than streams may wait in memory: none loses a sighting. */
static void test_many_cpus(void **state)
{
	enum { CPUS = TRACE_STREAMS_LIVE + 20 };
	(void)state;
	assert_int_equal(send_event(SIGHT_G_KICK, 1380, KICK), 0);
	for (uint32_t round = 0; round < 2; round++)
		for (uint32_t cpu = 0; cpu < CPUS; cpu++) {
			struct made_page p = kicks(1000 + round * 10000, 4, round * 4);
			assert_int_equal(send_pages(cpu, round, p.bytes, PAGE_BYTES, PAGE_BYTES), 0);
		}
	commit();
	assert_int_equal(streams().streams, CPUS);
	for (uint16_t cpu = 0; cpu < CPUS; cpu += 7) {
		assert_int_equal(read_stream(cpu), 8);
		expect_kicks(0, 8, 0);
	}
}

static void test_device_filter(void **state)
{
	static const char issue[] = "name: block_rq_issue\nID: 9\nfield:unsigned short common_type;\toffset:0;\tsize:2;\n"
		"field:int common_pid;\toffset:4;\tsize:4;\nfield:dev_t dev;\toffset:8;\tsize:4;\nfield:sector_t sector;\toffset:16;\tsize:8;\n"
		"field:unsigned int nr_sector;\toffset:24;\tsize:4;\nfield:char rwbs[8];\toffset:28;\tsize:8;\n";
	struct made_page p;
	(void)state;
	trace_intake_device(t, 254 << 20 | 16);
	assert_int_equal(send_event(SIGHT_G_ISSUE, 9, issue), 0);
	page_begin(&p, 1000);
	for (uint32_t minor = 0; minor < 32; minor += 16) {
		uint8_t r[36] = { 9, [28] = 'R' };
		uint32_t dev = 254u << 20 | minor;
		memcpy(r + 8, &dev, 4);
		page_record(&p, 0, r, sizeof(r));
	}
	assert_int_equal(send_pages(0, 0, p.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	commit();
	assert_int_equal(read_stream(0), 1);
	assert_int_equal(all[0].device, 254 << 20 | 16);
}

/* A collector that died after a commit: the next one knows formats, indices, chunks and counts, and loses nothing. */
static void test_resume(void **state)
{
	struct made_page p = kicks(1000, 100, 0), q = kicks(90000, 100, 100);
	(void)state;
	assert_int_equal(send_event(SIGHT_G_KICK, 1380, KICK), 0);
	assert_int_equal(send_pages(1, 0, p.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	commit();
	/* Neither committed nor acknowledged: it comes again. */
	assert_int_equal(send_pages(1, 1, q.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	trace_intake_free(t);
	store_batch_free(batch);
	batch = store_batch_new(store, &err);
	t = trace_intake_new(run, &err);
	assert_non_null(t);
	assert_int_equal(trace_intake_resume(t, store, &err), 0);
	assert_int_equal(trace_intake_page_count(t), 1);
	assert_int_equal(send_pages(1, 0, p.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	assert_int_equal(loss.trace_page_bad, 1);
	assert_int_equal(send_pages(1, 1, q.bytes, PAGE_BYTES, PAGE_BYTES), 0);
	send_end(1, 2, 0);
	commit();
	assert_int_equal(read_stream(1), 200);
	expect_kicks(0, 200, 0);
	struct found f = streams();
	assert_int_equal(f.row[0].events, 200);
	assert_int_equal(f.row[0].lost, 0);
	assert_string_equal(attr("vantage.guest"), "tracefs");
}

/* Attributes that were tampered with are left out, and nothing trips. */
static void test_resume_from_nonsense(void **state)
{
	(void)state;
	put_attr(batch, run, "intake.trace.99999", "1 1 1 1 1 1 1", &err);
	put_attr(batch, run, "intake.trace.x", "1 1 1 1 1 1 1", &err);
	put_attr(batch, run, "intake.trace.3", "1 1", &err);
	put_attr(batch, run, "trace.guest.event.7", "6", &err);
	put_attr(batch, run, "trace.guest.event.8", "999999 x\nname: kick\n", &err);
	put_attr(batch, run, "trace.guest.event.9", "999999 x\n" KICK, &err);
	put_attr(batch, run, "trace.guest.device", "what", &err);
	assert_int_equal(store_commit(batch, &err), 0);
	assert_int_equal(trace_intake_resume(t, store, &err), 0);
	assert_int_equal(trace_intake_page_count(t), 0);
}

/* ---- sightings that the guest recorded by BPF ---- */

static struct sighting made[SIGHT_CHUNK];

static void make_sights(unsigned n, uint64_t time, uint64_t key)
{
	for (unsigned i = 0; i < n; i++)
		made[i] = (struct sighting){ .time = time + i * 100, .kind = SIGHT_G_KICK, .key = key + i, .op = SIGHT_OP_NONE, .flags = SIGHT_NO_PLACE };
}

static void send_sights(uint32_t cpu, uint32_t index, unsigned n, size_t cut)
{
	struct wbuf w;
	wbuf_heap(&w, SIGHT_CHUNK_BYTES);
	sights_pack(&w, made, n);
	assert_false(w.bad);
	const struct msg_trace_sights m = { .run = run, .cpu = cpu, .index = index, .sights = { w.p, w.len - cut } };
	assert_int_equal(trace_intake_sights(t, batch, &m, &loss, &err), 0);
	wbuf_fini(&w);
}

static void test_sights_become_streams(void **state)
{
	(void)state;
	make_sights(2000, 5000, 1);
	send_sights(1, 0, 2000, 0);
	make_sights(1000, 300000, 2001);
	send_sights(1, 1, 1000, 0);
	send_end(1, 2, 3);
	commit();
	assert_string_equal(attr("vantage.guest"), "bpf");
	struct found f = streams();
	assert_int_equal(f.streams, 1);
	assert_string_equal(f.row[0].source, "bpf");
	assert_int_equal(f.row[0].events, 3001);
	assert_int_equal(f.row[0].lost, 3);
	assert_int_equal(loss.trace_overrun, 3);
	assert_int_equal(loss.trace_page_bad, 0);
	assert_int_equal(trace_intake_page_count(t), 2);
	assert_int_equal(read_stream(STREAM_GUEST + 1), 3001);
	expect_kicks(0, 3000, 1);
	expect_lost(3000, 3, 300000 + 999 * 100);
}

static void test_bad_sights(void **state)
{
	(void)state;
	make_sights(10, 5000, 1);
	send_sights(0, 0, 10, 1);                /* cut off */
	send_sights(TRACE_CPUS_MAX, 0, 10, 0);
	made[5].kind = SIGHT_V_START;            /* not a guest's */
	send_sights(0, 0, 10, 0);
	assert_int_equal(loss.trace_page_bad, 3);
	commit();
	assert_int_equal(streams().streams, 0);
	make_sights(10, 5000, 1);
	send_sights(0, 0, 10, 0);
	make_sights(10, 9000, 21);
	send_sights(0, 2, 10, 0);                /* one is missing */
	send_sights(0, 1, 10, 0);                /* and comes too late */
	assert_int_equal(loss.trace_page_bad, 4);
	commit();
	assert_int_equal(read_stream(STREAM_GUEST), 21);
	expect_kicks(0, 10, 1);
	expect_lost(10, 0, 5900);
	expect_kicks(11, 10, 21);
}

static void test_sights_of_other_disks(void **state)
{
	(void)state;
	trace_intake_device(t, 254u << 20);
	make_sights(3, 5000, 1);
	made[1].kind = SIGHT_G_ISSUE;
	made[1].op = IO_READ;
	made[1].flags = 0;
	made[1].device = 8u << 20;
	send_sights(0, 0, 3, 0);
	commit();
	assert_int_equal(read_stream(STREAM_GUEST), 2);
}

static void test_sights_resume(void **state)
{
	(void)state;
	make_sights(10, 5000, 1);
	send_sights(0, 0, 10, 0);
	commit();
	trace_intake_free(t);
	t = trace_intake_new(run, &err);
	assert_int_equal(trace_intake_resume(t, store, &err), 0);
	make_sights(10, 6000, 11);
	send_sights(0, 1, 10, 0);
	commit();
	assert_string_equal(streams().row[0].source, "bpf");
	assert_int_equal(read_stream(STREAM_GUEST), 20);
	expect_kicks(0, 20, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pages_become_streams, fresh, done),
		cmocka_unit_test_setup_teardown(test_many_chunks, fresh, done),
		cmocka_unit_test_setup_teardown(test_lost_events, fresh, done),
		cmocka_unit_test_setup_teardown(test_bad_pages, fresh, done),
		cmocka_unit_test_setup_teardown(test_order, fresh, done),
		cmocka_unit_test_setup_teardown(test_end_that_lies, fresh, done),
		cmocka_unit_test_setup_teardown(test_absent, fresh, done),
		cmocka_unit_test_setup_teardown(test_event_that_lies, fresh, done),
		cmocka_unit_test_setup_teardown(test_many_cpus, fresh, done),
		cmocka_unit_test_setup_teardown(test_device_filter, fresh, done),
		cmocka_unit_test_setup_teardown(test_resume, fresh, done),
		cmocka_unit_test_setup_teardown(test_resume_from_nonsense, fresh, done),
		cmocka_unit_test_setup_teardown(test_sights_become_streams, fresh, done),
		cmocka_unit_test_setup_teardown(test_bad_sights, fresh, done),
		cmocka_unit_test_setup_teardown(test_sights_of_other_disks, fresh, done),
		cmocka_unit_test_setup_teardown(test_sights_resume, fresh, done),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
