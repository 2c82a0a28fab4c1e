// SPDX-License-Identifier: GPL-2.0-or-later
/* What must not happen to the agent, happens: it refuses, reports and goes on. */
#include "tests/scenario/test_guest_script.h"

static const char small_run[] = "rw=randread bs=4k direct=0 number_ios=500 runtime=0 ramp_time=0";

static void expect_error(struct script *s, unsigned n, uint32_t code, const char *words)
{
	script_await(s, errors, n);
	assert_int_equal(s->error_code, code);
	if (!strstr(s->error_text, words))
		fail_msg("\"%s\" does not say \"%s\"", s->error_text, words);
}

static void test_foreign_disk(void **state)
{
	(void)state;
	struct script s;
	static const char writing[] = "rw=randwrite bs=4k direct=0 number_ios=10 runtime=0 ramp_time=0";

	script_begin(&s, true);
	script_send(&s, run_prepare, .run = 1, .workload = span_of(writing), .disk = span_of("vdc"));
	expect_error(&s, 1, ERR_REFUSED, "pass --destructive");
	script_send(&s, run_prepare, .run = 2, .workload = span_of(small_run), .disk = span_of("vdc"));
	script_await(&s, readies, 1);
	script_send(&s, run_prepare, .run = 3, .workload = span_of(writing), .disk = span_of("data"), .destructive = 1);
	script_await(&s, readies, 2);
	script_send(&s, run_prepare, .run = 4, .workload = span_of(small_run), .disk = span_of("vdz"));
	expect_error(&s, 2, ERR_NOT_FOUND, "vdb(bifocal-scratch) vdc(data)");
	put_disk(s.root, "vdd", "bifocal-scratch");
	script_prepare(&s, 5, small_run);
	expect_error(&s, 3, ERR_REFUSED, "2 disks carry");
	script_end(&s);
}

static void test_bad_workload(void **state)
{
	(void)state;
	struct script s;
	static const struct { const char *text, *words; } bad[] = {
		{ "rw=randraed", "randread" },
		{ "bs=4x", "bs" },
		{ "io_depth=4", "iodepth" },
		{ "\xff\xfe=\x01", "workload" },
		{ "rw=randread runtime=0 direct=0 size=1g number_ios=1", "more than its" },
	};

	script_begin(&s, true);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		script_prepare(&s, i + 1, bad[i].text);
		expect_error(&s, i + 1, ERR_USAGE, bad[i].words);
	}
	script_run(&s, 9, small_run);
	script_end(&s);
}

/* Buffers that the guest has no memory for would end in the death of PID 1; cycles of a mad clock in undefined numbers. */
static void test_boundless_requests(void **state)
{
	(void)state;
	struct script s;

	script_begin(&s, true);
	script_prepare(&s, 1, "rw=randread bs=1m iodepth=4 numjobs=100 direct=0 number_ios=10 runtime=0 ramp_time=0");
	expect_error(&s, 1, ERR_LIMIT, "400 MiB of I/O buffers");
	script_prepare(&s, 2, "rw=randread bs=1m iodepth=4096 numjobs=1024 direct=0 number_ios=10 runtime=0 ramp_time=0");
	expect_error(&s, 2, ERR_LIMIT, "vm.memory");
	script_send(&s, run_prepare, .run = 3, .workload = span_of(small_run), .disk = span_of("bifocal-scratch"), .tsc_hz = UINT64_MAX);
	expect_error(&s, 3, ERR_USAGE, "not to be believed");
	script_run(&s, 9, small_run);
	script_end(&s);
}

static void test_wrong_order(void **state)
{
	(void)state;
	struct script s;

	script_begin(&s, true);
	script_send(&s, run_start, .run = 5);
	expect_error(&s, 1, ERR_REFUSED, "not prepared");
	script_prepare(&s, 6, small_run);
	script_await(&s, readies, 1);
	script_send(&s, run_start, .run = 5);
	expect_error(&s, 2, ERR_REFUSED, "not prepared");
	/* A later prepare takes the place of one that was not started. */
	script_run(&s, 7, small_run);
	assert_int_equal(s.n_records, 500);
	script_send(&s, greet, .protocol = PROTOCOL_VERSION + 1, .version = span_of("99"));
	expect_error(&s, 3, ERR_VERSION, "make image");
	script_end(&s);
}

static void test_abort(void **state)
{
	(void)state;
	struct script s;

	script_begin(&s, true);
	script_prepare(&s, 1, "rw=randread bs=4k direct=0 runtime=1h ramp_time=0 rate_iops=1000");
	script_await(&s, readies, 1);
	script_send(&s, run_start, .run = 1);
	for (int i = 0; i < 10; i++)
		script_turn(&s);
	assert_int_equal(s.dones, 0);
	script_send(&s, run_abort, .run = 99);
	script_send(&s, run_abort, .run = 1);
	script_await(&s, draineds, 1);
	assert_int_equal(s.done.code, ERR_INTERRUPTED);
	assert_true(s.n_records > 0);
	assert_int_equal(s.n_records, s.done.recorded);
	/* One that never started, too, has its end. */
	script_prepare(&s, 2, small_run);
	script_await(&s, readies, 2);
	script_send(&s, run_abort, .run = 2);
	script_await(&s, draineds, 2);
	assert_int_equal(s.done.code, ERR_INTERRUPTED);
	assert_int_equal(s.done.recorded, 0);
	script_run(&s, 3, small_run);
	script_end(&s);
}

static void test_busy(void **state)
{
	(void)state;
	struct script s;

	script_begin(&s, true);
	script_prepare(&s, 1, "rw=randread bs=4k direct=0 runtime=1h ramp_time=0 rate_iops=100");
	script_await(&s, readies, 1);
	script_send(&s, run_start, .run = 1);
	/* In one read with the start, or later: the run that was started is the run. */
	script_send(&s, run_prepare, .run = 2, .workload = span_of(small_run), .disk = span_of("vdb"));
	for (int i = 0; i < 20; i++)
		script_turn(&s);
	unsigned before = s.errors;
	script_send(&s, probe_clear, .unused_ = 0);
	/* Refused in the window, said after it. */
	for (int i = 0; i < 20; i++)
		script_turn(&s);
	assert_int_equal(s.errors, before);
	script_send(&s, run_abort, .run = 1);
	script_await(&s, errors, 2);
	assert_int_equal(s.error_code, ERR_REFUSED);
	script_await(&s, draineds, 1);
	assert_int_equal(s.done.run, 1);
	script_end(&s);
}

/* ---- probes ---- */

static void load_probe(struct script *s, const char *body)
{
	char source[2048];
	unsigned n = s->states + 1;

	snprintf(source, sizeof(source),
		 "local probe = require \"bifocal.probe\"\n"
		 "return probe {\n"
		 "  api = 1, name = \"t\", version = \"1.0\", license = \"GPL-2.0-or-later\", summary = \"test\",\n"
		 "  options = { interval = { type = \"duration\", default = \"10ms\", help = \"period\" } },\n"
		 "  metrics = { [\"m\"] = { kind = \"gauge\", unit = \"percent\", dims = { \"cpu\" }, help = \"test\" } },\n"
		 "  %s\n"
		 "}\n", body);
	script_send(s, probe_load, .probe = 3, .name = span_of("t.lua"), .options = span_of(""), .source = span_of(source));
	script_await(s, states, n);
}

static const char windowed[] = "rw=randread bs=4k direct=0 runtime=300ms ramp_time=0 rate_iops=100";

static void test_probe(void **state)
{
	(void)state;
	struct script s;

	script_begin(&s, true);
	load_probe(&s, "guest = { sample = function(ctx) ctx:emit(\"m\", 1.5, { cpu = 0 }) ctx:emit(\"m\", 2.5, { cpu = 1 }) end },");
	if (s.state != PROBE_LOADED)
		fail_msg("%s", s.state_text);
	for (uint64_t run = 1; run <= 2; run++) {
		script_run(&s, run, windowed);
		assert_int_equal(s.series, 2 * run);
		assert_true(s.n_samples > 0 && s.n_samples % 2 == 0);
		assert_string_equal(s.metric, "t.m");
		assert_int_equal(s.drained.samples_dropped, 0);
		assert_int_equal(s.drained.sample_chunks, s.sample_chunks);
	}
	script_send(&s, probe_clear, .unused_ = 0);
	script_run(&s, 3, windowed);
	assert_int_equal(s.n_samples, 0);
	load_probe(&s, "host = { sample = function(ctx) end },");
	assert_int_equal(s.state, PROBE_SKIPPED);
	assert_non_null(strstr(s.state_text, "no guest half"));
	load_probe(&s, "requires = { guest = { \"file:/proc/nothing\" } }, guest = { sample = function(ctx) end },");
	assert_int_equal(s.state, PROBE_SKIPPED);
	assert_non_null(strstr(s.state_text, "/proc/nothing"));
	script_end(&s);
}

static void test_probe_faults(void **state)
{
	(void)state;
	struct script s;

	script_begin(&s, true);
	script_send(&s, probe_load, .probe = 0, .name = span_of("x.lua"), .options = span_of(""), .source = span_of("return }"));
	script_await(&s, states, 1);
	assert_int_equal(s.state, PROBE_QUARANTINED);
	assert_non_null(strstr(s.state_text, "x.lua:1"));
	script_send(&s, probe_load, .probe = 0, .name = span_of("x.lua"), .options = span_of(""), .source = span_of("\x1bLua\x54"));
	script_await(&s, states, 2);
	assert_int_equal(s.state, PROBE_QUARANTINED);
	/* Loads, and fails in the window: the run goes on, the state comes after it. */
	load_probe(&s, "guest = { sample = function(ctx)\n while true do end end },");
	assert_int_equal(s.state, PROBE_LOADED);
	script_run(&s, 1, windowed);
	script_await(&s, states, 4);
	assert_int_equal(s.state, PROBE_QUARANTINED);
	assert_non_null(strstr(s.state_text, "t.lua:"));
	assert_int_equal(s.done.code, 0);
	assert_true(s.n_records > 0);
	script_end(&s);
}

/* ---- bytes that are no frames ---- */

static uint64_t lcg(uint64_t *x)
{
	return *x = *x * 6364136223846793005 + 1442695040888963407;
}

static void send_raw(const struct script *s, int i, const void *p, size_t n)
{
	assert_int_equal(send(s->fd[i], p, n, MSG_NOSIGNAL), n);
}

/* Takes the frames the channel would write, and lets `spoil` have its way with each. */
static void send_spoiled(struct script *s, void (*spoil)(struct script *s, uint8_t *frame, size_t n, uint64_t *x), uint64_t *x)
{
	struct span out;
	static uint8_t copy[FRAME_MAX];

	while ((out = channel_output(s->ch[0])).len) {
		memcpy(copy, out.p, out.len);
		size_t n = out.len;
		channel_wrote(s->ch[0], n);
		spoil(s, copy, n, x);
	}
}

static void flip_a_bit(struct script *s, uint8_t *frame, size_t n, uint64_t *x)
{
	frame[(lcg(x) >> 33) % n] ^= (uint8_t)(1 << (lcg(x) >> 40 & 7));
	send_raw(s, 0, frame, n);
}

static void truncate_it(struct script *s, uint8_t *frame, size_t n, uint64_t *x)
{
	send_raw(s, 0, frame, 1 + (lcg(x) >> 33) % n);
}

static void repeat_it(struct script *s, uint8_t *frame, size_t n, uint64_t *x)
{
	(void)x;
	for (int i = 0; i < 3; i++)
		send_raw(s, 0, frame, n);
}

static void put_garbage_around(struct script *s, uint8_t *frame, size_t n, uint64_t *x)
{
	uint8_t junk[3000];

	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = (uint8_t)(lcg(x) >> 33);
	memcpy(junk + 100, "BFCL", 4);
	send_raw(s, 0, junk, sizeof(junk));
	send_raw(s, 0, frame, n);
	send_raw(s, 0, junk, 777);
}

static void claim_more(struct script *s, uint8_t *frame, size_t n, uint64_t *x)
{
	(void)x;
	memset(frame + 8, 0xff, 4);
	send_raw(s, 0, frame, n);
}

/* The frame before, after this one. */
static void swap_order(struct script *s, uint8_t *frame, size_t n, uint64_t *x)
{
	static uint8_t kept[FRAME_MAX];
	static size_t kept_n;

	(void)x;
	if (!kept_n) {
		memcpy(kept, frame, n);
		kept_n = n;
		return;
	}
	send_raw(s, 0, frame, n);
	send_raw(s, 0, kept, kept_n);
	kept_n = 0;
}

static void test_spoiled_frames(void **state)
{
	(void)state;
	static void (*const spoilers[])(struct script *, uint8_t *, size_t, uint64_t *) = {
		flip_a_bit, truncate_it, repeat_it, put_garbage_around, claim_more, swap_order,
	};
	struct script s;
	uint64_t x = 1;

	script_begin(&s, true);
	script_greet(&s);
	for (unsigned i = 0; i < sizeof(spoilers) / sizeof(spoilers[0]); i++) {
		unsigned hellos = s.hellos, readies = s.readies;
		s.disks = 0;
		script_send(&s, greet, .protocol = PROTOCOL_VERSION, .version = span_of("test"));
		script_send(&s, run_prepare, .run = i + 1, .workload = span_of(small_run), .disk = span_of("vdb"));
		send_spoiled(&s, spoilers[i], &x);
		/* Whatever was lost is sent again: each command is carried out, once. */
		script_await(&s, readies, readies + 1);
		script_await(&s, hellos, hellos + 1);
		script_run(&s, 100 + i, small_run);
		assert_int_equal(s.n_records, 500);
		assert_int_equal(s.hellos, hellos + 1);
	}
	assert_int_equal(s.gaps, 0);
	script_end(&s);
}

/* A whole frame of an unknown or wrong message, or of a malformed payload. */
static void test_wrong_messages(void **state)
{
	(void)state;
	struct script s;
	struct error err = { 0 };

	script_begin(&s, true);
	script_greet(&s);
	uint8_t junk[64] = { 0xff, 0xff, 0xff, 0xff };
	assert_int_equal(channel_send(s.ch[0], MSG_RUN_PREPARE, (struct span){ junk, sizeof(junk) }, CHANNEL_WAIT, &err), 0);
	script_await(&s, errors, 1);
	assert_non_null(strstr(s.error_text, "run_prepare"));
	script_run(&s, 1, small_run);
	script_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_foreign_disk),
		cmocka_unit_test(test_bad_workload),
		cmocka_unit_test(test_boundless_requests),
		cmocka_unit_test(test_wrong_order),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_probe_faults),
		cmocka_unit_test(test_spoiled_frames),
		cmocka_unit_test(test_wrong_messages),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
