// SPDX-License-Identifier: GPL-2.0-or-later
/* The agent greets, keeps time and runs every engine on a made-up scratch disk. */
#include "tests/scenario/test_guest_script.h"

static void test_greeting(void **state)
{
	(void)state;
	struct script s;

	script_begin(&s, true);
	script_greet(&s);
	assert_int_equal(s.hello.protocol, PROTOCOL_VERSION);
	assert_int_equal(s.hello.boot_id.b[0], 0x00);
	assert_int_equal(s.hello.boot_id.b[15], 0xff);
	assert_int_equal(s.hello.memory, 262144 * 1024);
	assert_true(s.hello.cpus > 0);
	assert_string_equal(s.ports, "org.bifocal.control.0 org.bifocal.data.0");
	assert_string_equal(s.disk_names, "vdb vdc ");
	assert_string_equal(s.scratch, "vdb");
	script_greet(&s);
	assert_int_equal(s.hellos, 2);
	script_end(&s);
}

static void test_clock(void **state)
{
	(void)state;
	struct script s;

	script_begin(&s, true);
	script_greet(&s);
	for (unsigned i = 1; i <= 20; i++) {
		uint64_t t1 = __builtin_ia32_rdtsc();
		script_send(&s, clock_ping, .id = i, .t1 = t1);
		script_await(&s, pongs, i);
		uint64_t t4 = __builtin_ia32_rdtsc();
		assert_int_equal(s.pong.id, i);
		assert_int_equal(s.pong.t1, t1);
		/* One machine, one TSC: the agent's stamps lie between ours. */
		assert_true(t1 < s.pong.t2 && s.pong.t2 <= s.pong.t3 && s.pong.t3 < t4);
	}
	script_end(&s);
}

static void check_records(const struct script *s, uint32_t bs, unsigned jobs)
{
	for (size_t i = 0; i < s->n_records; i++) {
		const struct io_record *r = &s->records[i];
		assert_true(r->submit >= s->done.window_open && r->submit <= r->reap && r->reap <= s->done.window_close);
		assert_true(r->intended <= r->submit);
		assert_true(r->job < jobs);
		assert_int_equal(!!(r->flags & IO_IN_RAMP), r->submit < s->done.ramp_end);
		if (r->op == IO_FLUSH) {
			assert_int_equal(r->length, 0);
			assert_int_equal(r->result, 0);
			continue;
		}
		assert_int_equal(r->length, bs);
		assert_int_equal(r->result, bs);
		assert_int_equal(r->sector % (bs / 512), 0);
		assert_true((r->sector * 512) + bs <= SCRIPT_DISK_BYTES);
	}
}

static void run_engine(const char *engine, unsigned depth)
{
	struct script s;
	char workload[256];

	script_begin(&s, true);
	script_greet(&s);
	snprintf(workload, sizeof(workload), "rw=randread bs=4k iodepth=%u numjobs=2 direct=0 number_ios=1000 runtime=0 ramp_time=0 ioengine=%s", depth, engine);
	script_run(&s, 7, workload);
	assert_int_equal(s.done.code, 0);
	assert_int_equal(s.done.issued, 2000);
	assert_int_equal(s.n_records, 2000);
	assert_int_equal(s.done.errors + s.done.dropped, 0);
	assert_true(s.drained_on_data);
	check_records(&s, 4096, 2);
	snprintf(workload, sizeof(workload), "rw=randrw rwmixread=30 bs=1k iodepth=%u direct=0 fsync=10 runtime=100ms ramp_time=20ms ioengine=%s verify=crc32c", 2 * depth - 1, engine);
	script_run(&s, 8, workload);
	if (s.done.code)
		fail_msg("%s", s.done_text);
	assert_true(s.n_records > 0);
	assert_true(s.done.verified > 0);
	assert_int_equal(s.done.verify_bad, 0);
	check_records(&s, 1024, 1);
	script_end(&s);
}

static void test_io_uring(void **state) { (void)state; run_engine("io_uring", 4); }
static void test_libaio(void **state) { (void)state; run_engine("libaio", 4); }
static void test_psync(void **state) { (void)state; run_engine("psync", 1); }

static void test_open_loop(void **state)
{
	(void)state;
	static const char *const engines[] = { "io_uring", "libaio", "psync" };
	struct script s;

	script_begin(&s, true);
	script_greet(&s);
	for (uint64_t i = 0; i < 3; i++) {
		char workload[256];
		snprintf(workload, sizeof(workload), "rw=randread bs=4k iodepth=%u direct=0 rate_iops=1000 rate_process=%s runtime=300ms ramp_time=0 ioengine=%s",
			 i == 2 ? 1 : 16, i == 1 ? "linear" : "poisson", engines[i]);
		script_run(&s, i + 1, workload);
		assert_int_equal(s.done.code, 0);
		/* Some 300 arrivals, each with its own instant, most of them before their submission. */
		assert_true(s.n_records > 0 && s.n_records < 600);
		for (size_t k = 1; k < s.n_records; k++)
			assert_true(s.records[k].intended <= s.records[k].submit);
		check_records(&s, 4096, 1);
	}
	script_end(&s);
}

static void test_one_port(void **state)
{
	(void)state;
	struct script s;

	script_begin(&s, false);
	script_greet(&s);
	assert_string_equal(s.ports, "org.bifocal.control.0");
	script_run(&s, 3, "rw=read bs=4k direct=0 size=1m runtime=0 ramp_time=0");
	assert_int_equal(s.n_records, 256);
	for (size_t i = 0; i < 256; i++)
		assert_int_equal(s.records[i].sector, i * 8);
	script_end(&s);
}

/* After runs prepared, given up, prepared again and run; with a leak a sanitized agent does not end in peace. */
static void test_poweroff(void **state)
{
	(void)state;
	static const char *const engines[] = { "io_uring", "libaio", "psync" };
	static const char probe[] = "local probe = require 'bifocal.probe'\n"
				    "return probe { api = 1, name = 'p', version = '1', license = 'MIT', summary = 's',\n"
				    "metrics = { m = { kind = 'gauge', unit = 'count', help = 'h' } },\n"
				    "guest = { start = function(ctx) ctx:emit('m', 1) end } }";
	struct script s;

	script_begin(&s, true);
	script_greet(&s);
	for (uint64_t i = 0; i < 6; i++) {
		char workload[160];
		unsigned states = s.states + 1, readies = s.readies + 1;
		script_send(&s, probe_clear, .unused_ = 0);
		script_send(&s, probe_load, .probe = (uint32_t)i, .name = span_of("p.lua"), .source = span_of(probe));
		script_await(&s, states, states);
		if (s.state != PROBE_LOADED)
			fail_msg("%s", s.state_text);
		snprintf(workload, sizeof(workload), "rw=randwrite bs=4k direct=0 verify=crc32c numjobs=%d number_ios=50 runtime=0 ramp_time=0 ioengine=%s",
			 i < 3 ? 3 : 1, engines[i % 3]);
		script_prepare(&s, 2 * i + 1, workload);
		script_await(&s, readies, readies);
		script_run(&s, 2 * i + 2, workload);
		assert_true(s.n_samples > 0);
	}
	script_send(&s, poweroff, .unused_ = 0);
	while (s.fd[0] >= 0)
		script_turn(&s);
	assert_int_equal(script_reap(&s), 0);
	script_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greeting),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_io_uring),
		cmocka_unit_test(test_libaio),
		cmocka_unit_test(test_psync),
		cmocka_unit_test(test_open_loop),
		cmocka_unit_test(test_one_port),
		cmocka_unit_test(test_poweroff),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
