/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real `bifocal attach` under faults below the messages: damaged bytes, a collector killed, a full disk, a strange database. */
#include "scripted_guest.h"

#include "common/crc32c.h"
#include "store/impl.h"

#define SCRIPT(...) &(const struct script){ __VA_ARGS__ }

static int attach(struct sguest *g, const char *const more[])
{
	sg_attach(g, more, 0);
	return sg_serve(g, NULL);
}

static void expect_run(struct sguest *g, uint64_t run, enum run_status status, uint64_t records)
{
	struct sg_stored s = sg_stored(g, run);
	if (s.run.status != status || s.records != records)
		fail_msg("run is %s with %llu records, not %s with %llu; %s", run_status_name(s.run.status), (unsigned long long)s.records,
			 run_status_name(status), (unsigned long long)records, g->output);
}

static uint64_t port_stat(struct sguest *g, const char *port, const char *what)
{
	char key[64];
	snprintf(key, sizeof(key), "port.%s.%s", port, what);
	return strtoull(sg_attr(g, UINT64_MAX, key), NULL, 10);
}

/* ---- bytes: each damage costs time, never a record ---- */

/* True for one frame in `n`, without a period: losses that keep step with the repeats would starve any protocol. */
static bool one_in(struct sguest *g, unsigned n)
{
	uint64_t z = ++g->frames * 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	return (z >> 33) % n == 0;
}

static void garbage(struct sguest *g, int port, struct span f)
{
	uint8_t noise[300];
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 31 + g->frames);
	if (one_in(g, 5))
		sg_raw(g, port, noise, sizeof(noise));
	sg_raw(g, port, f.p, f.len);
}

static void flip(struct sguest *g, int port, struct span f)
{
	uint8_t copy[FRAME_MAX];
	memcpy(copy, f.p, f.len);
	if (one_in(g, 11))
		copy[f.len / 2] ^= 0x10;
	sg_raw(g, port, copy, f.len);
}

static void truncated(struct sguest *g, int port, struct span f)
{
	sg_raw(g, port, f.p, one_in(g, 11) ? f.len / 2 : f.len);
}

static void duplicated(struct sguest *g, int port, struct span f)
{
	sg_raw(g, port, f.p, f.len);
	if (one_in(g, 3))
		sg_raw(g, port, f.p, f.len);
}

/* Every sixth frame of the data port is held back and sent behind its successor. */
static void reordered(struct sguest *g, int port, struct span f)
{
	if (port == DATA && !g->held.len && one_in(g, 6)) {
		put_bytes(&g->held, f.p, f.len);
		return;
	}
	sg_raw(g, port, f.p, f.len);
	if (port == DATA && g->held.len) {
		sg_raw(g, port, g->held.p, g->held.len);
		wbuf_reset(&g->held);
	}
}

/* A header that is whole in every way but says that gigabytes follow. */
static void oversized(struct sguest *g, int port, struct span f)
{
	if (one_in(g, 5)) {
		struct wbuf w;
		uint8_t head[FRAME_HEADER];
		wbuf_fixed(&w, head, sizeof(head));
		put_u32(&w, FRAME_MAGIC);
		put_u8(&w, FRAME_VERSION);
		put_u8(&w, 0);
		put_u16(&w, MSG_IO_CHUNK);
		put_u32(&w, 0xfffffff0);
		put_u32(&w, 1);
		put_u64(&w, g->frames);
		put_u32(&w, 0);
		put_u32(&w, crc32c(0, head, 28));
		sg_raw(g, port, head, sizeof(head));
	}
	sg_raw(g, port, f.p, f.len);
}

static struct sguest *survive(void (*mangle)(struct sguest *, int, struct span))
{
	struct sguest *g = sg_new(SCRIPT(.chunks = 12, .per_chunk = 5000, .mangle = mangle));
	int code = attach(g, NULL);
	/* A pong that damage ate may leave less of a clock; records have to be all there. */
	if (code != 0)
		fail_msg("exit %d: %s", code, g->output);
	expect_run(g, UINT64_MAX, RUN_COMPLETE, 60000);
	return g;
}

static void test_garbage(void **state)
{
	struct sguest *g = survive(garbage);
	(void)state;
	assert_true(port_stat(g, "data", "bad_frames") > 0);
	sg_free(g);
}

static void test_flipped_bits(void **state)
{
	struct sguest *g = survive(flip);
	(void)state;
	assert_true(port_stat(g, "data", "bad_frames") > 0);
	sg_free(g);
}

static void test_truncated(void **state)
{
	struct sguest *g = survive(truncated);
	(void)state;
	assert_true(port_stat(g, "data", "bad_frames") > 0);
	sg_free(g);
}

static void test_duplicated(void **state)
{
	struct sguest *g = survive(duplicated);
	(void)state;
	assert_true(port_stat(g, "data", "duplicates") > 0);
	sg_free(g);
}

static void test_reordered(void **state)
{
	struct sguest *g = survive(reordered);
	(void)state;
	assert_true(port_stat(g, "data", "reordered") > 0);
	sg_free(g);
}

static void test_oversized(void **state)
{
	struct sguest *g = survive(oversized);
	(void)state;
	assert_true(port_stat(g, "data", "bad_frames") > 0);
	sg_free(g);
}

/* ---- the collector dies ---- */

/* All but the last chunk are in the store: acknowledged means committed. */
static bool most_committed(struct sguest *g)
{
	return g->sent == sg_chunks(g) - 1 && channel_drained(g->ch[DATA]);
}

static void test_killed_and_back(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = 5, .hold_drained = true));
	const char *list[] = { "db", "check", "--db", g->db, NULL };
	(void)state;
	sg_attach(g, NULL, 0);
	assert_int_equal(sg_serve(g, most_committed), 1000);
	kill(g->pid, SIGKILL);
	assert_int_equal(sg_serve(g, NULL), -SIGKILL);
	/* Opens, and what was acknowledged is there. */
	assert_int_equal(sg_command(g, list), 0);
	expect_run(g, 1, RUN_RUNNING, 4000);
	/* The guest goes on with what it still holds: into the same run. */
	g->script.hold_drained = false;
	assert_int_equal(attach(g, NULL), 0);
	expect_run(g, 1, RUN_PARTIAL, 5000);
	expect_run(g, 2, RUN_COMPLETE, 5000);
	assert_string_equal(sg_attr(g, 1, "lost.collector"), "1");
	assert_string_equal(sg_attr(g, 1, "intake.drained"), "1");
	/* The first one left what it takes to tell the records' cycles in time. */
	assert_true(strtoull(sg_attr(g, 1, "guest.tsc_hz"), NULL, 10) > 0);
	sg_expect_output(g, "died");
	sg_free(g);
}

/* Another guest's records do not get into the dead collector's run. */
static void test_killed_and_another_guest(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = 5, .hold_drained = true));
	struct sguest *other = sg_new(SCRIPT(.chunks = 2, .foreign_run = 1));
	(void)state;
	sg_attach(g, NULL, 0);
	assert_int_equal(sg_serve(g, most_committed), 1000);
	kill(g->pid, SIGKILL);
	assert_int_equal(sg_serve(g, NULL), -SIGKILL);
	strcpy(other->db, g->db);
	assert_int_equal(attach(other, NULL), 0);
	expect_run(other, 1, RUN_PARTIAL, 4000);
	expect_run(other, 2, RUN_COMPLETE, 2000);
	sg_free(other);
	sg_free(g);
}

/* ---- the disk is full ---- */

static void test_disk_full(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = 60, .per_chunk = 10000));
	const char *check[] = { "db", "check", "--db", g->db, NULL };
	(void)state;
	/* What a limit on the file's size says, a full file system says with other words. */
	sg_attach(g, NULL, 1 << 19);
	assert_int_equal(sg_serve(g, NULL), 3);
	struct sg_stored s = sg_stored(g, UINT64_MAX);
	assert_true(s.run.status == RUN_PARTIAL || s.run.status == RUN_RUNNING);
	assert_true(s.records < 600000);
	assert_int_equal(sg_command(g, check), 0);
	/* With room again it works, and the run's state is known. */
	uint64_t before = s.records;
	g->script = (struct script){ .chunks = 1 };
	attach(g, NULL);
	s = sg_stored(g, 1);
	assert_int_equal(s.run.status, RUN_PARTIAL);
	assert_true(s.records >= before);
	sg_free(g);
}

/* ---- strange databases ---- */

static int put_scheme(struct store *s, MDB_txn *txn, void *ctx, struct error *err)
{
	uint8_t mem[64];
	struct wbuf v;
	(void)ctx;
	(void)err;
	wbuf_fixed(&v, mem, sizeof(mem));
	seal(&v, span_of("scheme"), span_of("99"));
	MDB_val key = val_of(span_of("scheme")), value = { v.len, v.p };
	return mdb_put(txn, s->dbi[TABLE_META], &key, &value, 0);
}

static void test_newer_database(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = 1));
	(void)state;
	assert_int_equal(attach(g, NULL), 0);
	struct store *s = store_open(g->db, STORE_WRITE, NULL);
	assert_non_null(s);
	assert_int_equal(store_write(s, put_scheme, NULL, NULL), 0);
	store_close(s);
	assert_int_equal(attach(g, NULL), 1);
	sg_expect_output(g, "99");
	sg_free(g);
}

static void test_no_database(void **state)
{
	struct sguest *g = sg_new(SCRIPT(.chunks = 1));
	static const char *const verbs[][3] = { { "list", NULL }, { "show", "last", NULL }, { "export", "1", NULL }, { "db", "check", NULL } };
	(void)state;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		const char *args[8] = { "", };
		int n = 0;
		for (; verbs[i][n]; n++)
			args[n] = verbs[i][n];
		args[n++] = "--db";
		args[n++] = g->db;
		args[n] = NULL;
		assert_int_equal(sg_command(g, args), 1);
		sg_expect_output(g, g->db);
		sg_expect_output(g, "bifocal run");
	}
	sg_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_duplicated),
		cmocka_unit_test(test_reordered),
		cmocka_unit_test(test_oversized),
		cmocka_unit_test(test_killed_and_back),
		cmocka_unit_test(test_killed_and_another_guest),
		cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_newer_database),
		cmocka_unit_test(test_no_database),
	};
	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
