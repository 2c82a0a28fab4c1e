/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The database as its users see it: what is put comes back, in order, from a map that grows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/impl.h"

struct world {
	char dir[64], db[80];
	struct store *s;
	struct store_batch *b;
	struct error err;
};

static void open_db(struct world *w, size_t map)
{
	w->s = store_open_sized(w->db, STORE_WRITE, map, &w->err);
	if (!w->s)
		fail_msg("%s", w->err.text);
	w->b = store_batch_new(w->s, &w->err);
	assert_non_null(w->b);
}

static void close_db(struct world *w)
{
	store_batch_free(w->b);
	store_close(w->s);
	w->b = NULL;
	w->s = NULL;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	snprintf(w->dir, sizeof(w->dir), "/tmp/bifocal-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->db, sizeof(w->db), "%s/a/db", w->dir);
	open_db(w, 16 << 20);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char command[128];
	close_db(w);
	snprintf(command, sizeof(command), "rm -rf %s", w->dir);
	int r = system(command);
	free(w);
	return r;
}

static void commit(struct world *w)
{
	if (store_commit(w->b, &w->err) < 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(store_batch_size(w->b), 0);
}

static uint64_t new_run(struct world *w, uint64_t study)
{
	uint64_t run;
	if (store_run_create(w->s, study, &run, &w->err) < 0)
		fail_msg("%s", w->err.text);
	return run;
}

static void directory_is_private(void **state)
{
	struct world *w = *state;
	struct stat st;
	assert_int_equal(stat(w->db, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_string_equal(store_path(w->s), w->db);
}

static int collect_run(void *ctx, const struct store_run *r)
{
	char *text = ctx;
	sprintf(text + strlen(text), "%llu/%llu/%s ", (unsigned long long)r->run, (unsigned long long)r->study, run_status_name(r->status));
	return 0;
}

static void runs_are_numbered(void **state)
{
	struct world *w = *state;
	struct store_run r;
	char text[256] = "";
	assert_int_equal(store_get_run(w->s, UINT64_MAX, &r, &w->err), -1);
	assert_int_equal(w->err.code, ERR_NOT_FOUND);
	assert_int_equal(new_run(w, 0), 1);
	assert_int_equal(new_run(w, 1), 2);
	assert_int_equal(new_run(w, 0), 3);
	assert_int_equal(put_run_status(w->b, 2, RUN_COMPLETE, &w->err), 0);
	commit(w);
	close_db(w);
	open_db(w, 16 << 20);
	assert_int_equal(store_each_run(w->s, collect_run, text, &w->err), 0);
	assert_string_equal(text, "1/1/running 2/1/complete 3/3/running ");
	assert_int_equal(store_get_run(w->s, UINT64_MAX, &r, &w->err), 0);
	assert_int_equal(r.run, 3);
	assert_true(r.created_ns > 1000000000000000000);
	assert_int_equal(store_get_run(w->s, 9, &r, &w->err), -1);
	assert_int_equal(w->err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(w->err.text, "the nearest is 3"));
	assert_int_equal(put_run_status(w->b, 9, RUN_FAILED, &w->err), -1);
	assert_int_equal(store_batch_size(w->b), 0);
}

static int collect_attr(void *ctx, const char *key, const char *text)
{
	strcat(strcat(strcat(strcat(ctx, key), "="), text), ";");
	return strcmp(key, "stop") == 0 ? 42 : 0;
}

static void attributes_come_back_in_order(void **state)
{
	struct world *w = *state;
	char text[512] = "";
	uint64_t run = new_run(w, 0);
	assert_int_equal(put_attr(w->b, run, "config.vm.cpus", "2", &w->err), 0);
	assert_int_equal(put_attr(w->b, run, "config.disk.bus", "ahci", &w->err), 0);
	assert_int_equal(put_attr_u64(w->b, run, "lost.record", UINT64_MAX, &w->err), 0);
	assert_int_equal(put_attr_f64(w->b, run, "x", 0.1, &w->err), 0);
	assert_int_equal(put_attr(w->b, run, "empty", "", &w->err), 0);
	assert_int_equal(put_attr(w->b, run + 1, "config.other", "no", &w->err), 0);
	commit(w);
	assert_int_equal(store_each_attr(w->s, run, "config.", collect_attr, text, &w->err), 0);
	assert_string_equal(text, "config.disk.bus=ahci;config.vm.cpus=2;");
	*text = '\0';
	assert_int_equal(store_each_attr(w->s, run, "", collect_attr, text, &w->err), 0);
	assert_string_equal(text, "config.disk.bus=ahci;config.vm.cpus=2;empty=;lost.record=18446744073709551615;x=0.1;");
	char *v = store_attr(w->s, run, "lost.record", &w->err);
	assert_string_equal(v, "18446744073709551615");
	free(v);
	assert_int_equal(put_attr(w->b, run, "stop", "a", &w->err), 0);
	assert_int_equal(put_attr(w->b, run, "stop", "b", &w->err), 0);
	commit(w);
	*text = '\0';
	assert_int_equal(store_each_attr(w->s, run, "s", collect_attr, text, &w->err), 42);
	assert_string_equal(text, "stop=b;");
	assert_null(store_attr(w->s, run, "none", &w->err));
	assert_int_equal(w->err.code, ERR_NONE);
}

static void bad_attributes_are_refused(void **state)
{
	struct world *w = *state;
	char *large = malloc(STORE_TEXT_MAX + 2);
	memset(large, 'a', STORE_TEXT_MAX + 1);
	large[STORE_TEXT_MAX + 1] = '\0';
	assert_int_equal(put_attr(w->b, 1, "k", large, &w->err), -1);
	assert_int_equal(w->err.code, ERR_LIMIT);
	large[STORE_TEXT_MAX] = '\0';
	assert_int_equal(put_attr(w->b, 1, "k", large, &w->err), 0);
	large[STORE_KEY_MAX + 1] = '\0';
	assert_int_equal(put_attr(w->b, 1, large, "v", &w->err), -1);
	large[STORE_KEY_MAX] = '\0';
	assert_int_equal(put_attr(w->b, 1, large, "v", &w->err), 0);
	assert_int_equal(put_attr(w->b, 1, "", "v", &w->err), -1);
	assert_int_equal(put_attr(w->b, 1, "a b", "v", &w->err), -1);
	commit(w);
	char *v = store_attr(w->s, 1, "k", &w->err);
	assert_int_equal(strlen(v), STORE_TEXT_MAX);
	free(v);
	free(large);
}

static struct io_record record(uint64_t i)
{
	uint64_t submit = i * 1000003;
	return (struct io_record){ .submit = submit, .reap = submit + 5000 + i * 7919 % 100000, .intended = submit,
				   .sector = i * 2654435761 % 1000000 * 8, .length = 4096, .result = 4096 };
}

static void put_io(struct world *w, uint64_t run, uint32_t index, uint64_t from, size_t n)
{
	struct io_record *r = calloc(n, sizeof(*r));
	struct wbuf packed;
	for (size_t i = 0; i < n; i++)
		r[i] = record(from + i);
	wbuf_heap(&packed, IOREC_CHUNK_BYTES);
	iorec_pack(&packed, r, n);
	assert_false(packed.bad);
	if (put_io_chunk(w->b, run, index, span_of_wbuf(&packed), &w->err) < 0)
		fail_msg("%s", w->err.text);
	wbuf_fini(&packed);
	free(r);
}

static int expect_io(void *ctx, const struct io_record *r, size_t n)
{
	uint64_t *next = ctx;
	for (size_t i = 0; i < n; i++) {
		struct io_record want = record((*next)++);
		assert_true(r[i].submit == want.submit && r[i].reap == want.reap && r[i].intended == want.intended &&
			    r[i].sector == want.sector && r[i].length == want.length && r[i].result == want.result &&
			    r[i].job == want.job && r[i].op == want.op && r[i].flags == want.flags);
	}
	return 0;
}

static void expect_all_io(struct world *w, uint64_t run, uint64_t count)
{
	uint64_t next = 0;
	if (store_each_io(w->s, run, expect_io, &next, &w->err) < 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(next, count);
}

static void io_comes_back_in_order(void **state)
{
	struct world *w = *state;
	uint64_t run = new_run(w, 0), bytes;
	put_io(w, run, 256, 3000, 1000);
	put_io(w, run, 0, 0, 1000);
	put_io(w, run + 1, 0, 0, 10);
	put_io(w, run, 1, 1000, 2000);
	commit(w);
	expect_all_io(w, run, 4000);
	expect_all_io(w, run + 1, 10);
	expect_all_io(w, run + 2, 0);
	assert_int_equal(store_io_bytes(w->s, run, &bytes, &w->err), 0);
	assert_in_range(bytes, 4000, 4000 * 12);
	/* Dropped with the batch. */
	put_io(w, run, 2, 0, 10);
	store_batch_free(w->b);
	w->b = store_batch_new(w->s, &w->err);
	expect_all_io(w, run, 4000);
}

static int collect_series(void *ctx, uint32_t series, const char *metric, const char *dims, const char *kind, const char *unit)
{
	char *text = ctx;
	sprintf(text + strlen(text), "%u %s{%s} %s %s;", series, metric, dims, kind, unit);
	return 0;
}

static int collect_sample(void *ctx, const struct sample *v, size_t n)
{
	char *text = ctx;
	for (size_t i = 0; i < n; i++)
		sprintf(text + strlen(text), "%u@%llu=%g ", v[i].series, (unsigned long long)v[i].tsc, v[i].value);
	return 0;
}

static void samples_and_series_come_back(void **state)
{
	struct world *w = *state;
	char text[512] = "";
	struct sample s[] = { { 3, 100, 1.5 }, { 3, 50, -2 }, { 4, UINT64_MAX, 0 } };
	struct wbuf packed;
	wbuf_heap(&packed, 1 << 20);
	samples_pack(&packed, s, 3);
	assert_int_equal(put_series(w->b, 1, SIDE_GUEST, 3, "cpu.busy", "cpu=0", "gauge", "percent", &w->err), 0);
	assert_int_equal(put_series(w->b, 1, SIDE_HOST, 3, "cpu.vcpu", "", "counter", "ns", &w->err), 0);
	assert_int_equal(put_sample_chunk(w->b, 1, SIDE_HOST, 0, span_of_wbuf(&packed), &w->err), 0);
	commit(w);
	wbuf_fini(&packed);
	assert_int_equal(store_each_series(w->s, 1, SIDE_GUEST, collect_series, text, &w->err), 0);
	assert_int_equal(store_each_series(w->s, 1, SIDE_HOST, collect_series, text, &w->err), 0);
	assert_string_equal(text, "3 cpu.busy{cpu=0} gauge percent;3 cpu.vcpu{} counter ns;");
	*text = '\0';
	assert_int_equal(store_each_sample(w->s, 1, SIDE_GUEST, collect_sample, text, &w->err), 0);
	assert_string_equal(text, "");
	assert_int_equal(store_each_sample(w->s, 1, SIDE_HOST, collect_sample, text, &w->err), 0);
	assert_string_equal(text, "3@100=1.5 3@50=-2 4@18446744073709551615=0 ");
}

static int collect_stream(void *ctx, const struct store_stream *st)
{
	char *text = ctx;
	sprintf(text + strlen(text), "%u:%u/%u cpu %u %llu-%llu %s;", st->stream, st->vantage, st->clock, st->cpu,
		(unsigned long long)st->events, (unsigned long long)st->lost, st->source);
	return 0;
}

static void put_sights(struct world *w, uint64_t run, uint16_t stream, uint32_t index, uint64_t from, size_t n)
{
	struct sighting s[16] = { 0 };
	struct wbuf packed;
	for (size_t i = 0; i < n; i++)
		s[i] = (struct sighting){ .time = from + i, .kind = SIGHT_G_ISSUE, .sector = from, .length = 512 };
	wbuf_heap(&packed, SIGHT_CHUNK_BYTES);
	sights_pack(&packed, s, n);
	assert_int_equal(put_sight_chunk(w->b, run, stream, index, span_of_wbuf(&packed), &w->err), 0);
	wbuf_fini(&packed);
}

static void streams_and_sightings_come_back(void **state)
{
	struct world *w = *state;
	char text[512] = "";
	struct sighting s[SIGHT_CHUNK];
	struct io_record io[IOREC_CHUNK];
	uint64_t bytes;
	const struct store_stream st[] = {
		{ 0x8001, VANTAGE_HOST, STREAM_HOST_TSC, 1, 12, 3, "tracefs" }, { 2, VANTAGE_GUEST, STREAM_GUEST_TSC, 2, UINT64_MAX, 0, "tracefs" },
		{ 0x4000, VANTAGE_VMM, STREAM_REALTIME, 0, 7, 0, "log" },
	};
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(put_stream(w->b, 1, &st[i], &w->err), 0);
	put_sights(w, 1, 2, 0, 100, 10);
	put_sights(w, 1, 2, 1, 200, 5);
	put_sights(w, 1, 0x8001, 0, 900, 1);
	put_io(w, 1, 0, 0, 100);
	commit(w);
	assert_int_equal(store_each_stream(w->s, 1, collect_stream, text, &w->err), 0);
	assert_string_equal(text, "2:1/1 cpu 2 18446744073709551615-0 tracefs;16384:2/3 cpu 0 7-0 log;32769:3/2 cpu 1 12-3 tracefs;");
	assert_int_equal(store_sight_chunk(w->s, 1, 2, 0, s, SIGHT_CHUNK, &w->err), 10);
	assert_int_equal(s[9].time, 109);
	assert_int_equal(store_sight_chunk(w->s, 1, 2, 1, s, SIGHT_CHUNK, &w->err), 5);
	assert_int_equal(s[0].sector, 200);
	assert_int_equal(store_sight_chunk(w->s, 1, 2, 2, s, SIGHT_CHUNK, &w->err), 0);
	assert_int_equal(store_sight_chunk(w->s, 2, 2, 0, s, SIGHT_CHUNK, &w->err), 0);
	assert_int_equal(store_sight_chunk(w->s, 1, 2, 0, s, 9, &w->err), -1);
	assert_int_equal(store_sight_bytes(w->s, 1, &bytes, &w->err), 0);
	assert_in_range(bytes, 3 * 14, 1000);
	assert_int_equal(store_io_chunk(w->s, 1, 0, io, IOREC_CHUNK, &w->err), 100);
	assert_int_equal(store_io_chunk(w->s, 1, 1, io, IOREC_CHUNK, &w->err), 0);
}

static void a_result_is_replaced(void **state)
{
	struct world *w = *state;
	struct wbuf out;
	wbuf_heap(&out, 1 << 20);
	assert_int_equal(store_result(w->s, 1, &out, &w->err), 0);
	assert_int_equal(put_result(w->b, 1, span_of("first, and longer"), &w->err), 0);
	commit(w);
	assert_int_equal(put_result(w->b, 1, span_of("second"), &w->err), 0);
	commit(w);
	assert_int_equal(store_result(w->s, 1, &out, &w->err), 1);
	assert_int_equal(out.len, 6);
	assert_memory_equal(out.p, "second", 6);
	wbuf_fini(&out);
}

static int collect_clock(void *ctx, const struct clock_sample *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*(int64_t *)ctx += v[i].lo + v[i].hi;
	return 0;
}

static int collect_epoch(void *ctx, const struct store_epoch *e)
{
	char *text = ctx;
	sprintf(text + strlen(text), "%u:%u [%lld, %lld] %llu–%llu n=%llu;", e->epoch, e->tier, (long long)e->lo, (long long)e->hi,
		(unsigned long long)e->first_host, (unsigned long long)e->last_host, (unsigned long long)e->samples);
	return 0;
}

static void clocks_epochs_and_peers_come_back(void **state)
{
	struct world *w = *state;
	static struct clock_sample s[STORE_CLOCK_CHUNK + 1];
	struct store_epoch e[] = { { 1, 5, 10, 20, -7, 9, 400 }, { 0, 1, 1, 2, INT64_MIN, INT64_MAX, UINT64_MAX } };
	struct id16 a = { { 1 } }, b = { { 2 } };
	char text[256] = "";
	int64_t sum = 0;
	uint64_t seq;
	for (int i = 0; i < STORE_CLOCK_CHUNK; i++)
		s[i] = (struct clock_sample){ .host_tsc = (uint64_t)i * 1000, .lo = -i, .hi = i + 1, .tier = 5 };
	assert_int_equal(put_clock_chunk(w->b, 1, 0, s, STORE_CLOCK_CHUNK + 1, &w->err), -1);
	assert_int_equal(put_clock_chunk(w->b, 1, 0, s, STORE_CLOCK_CHUNK, &w->err), 0);
	assert_int_equal(put_epoch(w->b, 1, &e[0], &w->err), 0);
	assert_int_equal(put_epoch(w->b, 1, &e[1], &w->err), 0);
	assert_int_equal(put_peer_seq(w->b, &a, 1, 77, &w->err), 0);
	commit(w);
	assert_int_equal(store_each_clock(w->s, 1, collect_clock, &sum, &w->err), 0);
	assert_int_equal(sum, STORE_CLOCK_CHUNK);
	assert_int_equal(store_each_epoch(w->s, 1, collect_epoch, text, &w->err), 0);
	assert_string_equal(text, "0:1 [-9223372036854775808, 9223372036854775807] 1–2 n=18446744073709551615;1:5 [-7, 9] 10–20 n=400;");
	assert_int_equal(store_peer_seq(w->s, &a, 1, &seq, &w->err), 0);
	assert_int_equal(seq, 77);
	assert_int_equal(store_peer_seq(w->s, &a, 0, &seq, &w->err), 0);
	assert_int_equal(seq, 0);
	assert_int_equal(store_peer_seq(w->s, &b, 1, &seq, &w->err), 0);
	assert_int_equal(seq, 0);
}

static void map_grows_by_itself(void **state)
{
	struct world *w = *state;
	close_db(w);
	open_db(w, 256 << 10);
	uint64_t run = new_run(w, 0);
	/* One batch larger than the map, then small ones that creep over its next limits. */
	for (uint32_t i = 0; i < 40; i++)
		put_io(w, run, i, i * 5000, 5000);
	commit(w);
	for (uint32_t i = 40; i < 60; i++) {
		put_io(w, run, i, i * 5000, 5000);
		commit(w);
	}
	expect_all_io(w, run, 60 * 5000);
}

static int read_inside(void *ctx, const struct store_run *r)
{
	struct world *w = ctx;
	expect_all_io(w, r->run, 1000);
	return 0;
}

static int write_inside(void *ctx, const struct store_run *r)
{
	struct world *w = ctx;
	(void)r;
	for (uint32_t i = 0; i < 40; i++)
		put_io(w, 2, i, i * 5000, 5000);
	assert_int_equal(store_commit(w->b, &w->err), -1);
	assert_int_equal(w->err.code, ERR_REFUSED);
	return 7;
}

static void callbacks_may_read_on(void **state)
{
	struct world *w = *state;
	put_io(w, new_run(w, 0), 0, 0, 1000);
	commit(w);
	assert_int_equal(store_each_run(w->s, read_inside, w, &w->err), 0);
	close_db(w);
	open_db(w, 256 << 10);
	/* A map that must move under a reader is refused; the batch waits for a better moment. */
	assert_int_equal(store_each_run(w->s, write_inside, w, &w->err), 7);
	assert_true(store_batch_size(w->b) > 0);
	commit(w);
	expect_all_io(w, 2, 40 * 5000);
}

static void batch_has_a_bound(void **state)
{
	struct world *w = *state;
	uint8_t *noise = malloc(VALUE_PLAIN_MAX);
	for (size_t i = 0; i < VALUE_PLAIN_MAX; i++)
		noise[i] = (uint8_t)rand();
	int n = 0;
	while (put_io_chunk(w->b, 1, (uint32_t)n, (struct span){ noise, VALUE_PLAIN_MAX }, &w->err) == 0)
		assert_true(++n < 1000);
	assert_int_equal(w->err.code, ERR_LIMIT);
	assert_non_null(strstr(w->err.text, "commit it first"));
	assert_in_range(n, 200, 256);
	free(noise);
}

static void check_finds_nothing(void **state)
{
	struct world *w = *state;
	struct store_check c;
	uint64_t run = new_run(w, 0);
	put_io(w, run, 0, 0, 1000);
	assert_int_equal(put_attr(w->b, run, "a", "b", &w->err), 0);
	commit(w);
	assert_int_equal(store_check(w->s, &c, NULL, NULL, &w->err), 0);
	assert_int_equal(c.runs, 1);
	assert_int_equal(c.values, 3 + 3);
	assert_int_equal(c.damaged, 0);
	assert_true(c.bytes > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(directory_is_private, setup, teardown),
		cmocka_unit_test_setup_teardown(runs_are_numbered, setup, teardown),
		cmocka_unit_test_setup_teardown(attributes_come_back_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_attributes_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(io_comes_back_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(samples_and_series_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(streams_and_sightings_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_result_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(clocks_epochs_and_peers_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(map_grows_by_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(callbacks_may_read_on, setup, teardown),
		cmocka_unit_test_setup_teardown(batch_has_a_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(check_finds_nothing, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
