// SPDX-License-Identifier: GPL-2.0-or-later
/* The agent traces a run on a made-up tracefs: what is told, in which order, and that a run without it is as it was. */
#include "tests/scenario/test_guest_script.h"
#include "tests/fixtures/trace_root.h"

static const char small[] = "rw=randread bs=4k iodepth=4 direct=0 number_ios=500 runtime=0 ramp_time=0";

/* The scratch disk hangs on a virtio device. */
static void put_driver(const char *root)
{
	char path[256];

	put_file(root, "sys/block/vdb/dev", "254:16\n");
	put_file(root, "sys/devices/pci0/virtio0/vendor", "");
	snprintf(path, sizeof(path), "%s/sys/block/vdb/device", root);
	assert_int_equal(symlink("../../devices/pci0/virtio0", path), 0);
	snprintf(path, sizeof(path), "%s/sys/devices/pci0/virtio0/driver", root);
	assert_int_equal(symlink("../../../bus/virtio/drivers/virtio_blk", path), 0);
}

static void begin(struct script *s, bool data, bool kprobes)
{
	script_begin(s, data);
	put_driver(s->root);
	trace_put_root(s->root);
	if (kprobes)
		trace_put_kprobes(s->root);
	s->trace = 1;
	script_greet(s);
}

static void check_all(const struct script *s, bool live)
{
	assert_int_equal(s->ready.device, 254U << 20 | 16);
	assert_true(s->ready.trace_bytes > 0);
	assert_int_equal(s->ready.trace_live, live);
	assert_int_equal(s->trace_events, 9);
	assert_int_equal(s->trace_absents, 1);
	assert_non_null(strstr(s->trace_text, "bifocal:irq\n"));
	assert_int_equal(s->trace_ends, 2);
	assert_int_equal(s->trace_end.cpu, 1);
	assert_int_equal(s->trace_end.pages, s->drained.trace_pages / 2);
	assert_int_equal(s->trace_end.overrun, 3 + 1 + 2);
	assert_int_equal(s->trace_end.read, 306);
	assert_int_equal(s->trace_pages, s->drained.trace_pages);
	assert_int_equal(s->n_records, 500);
}

static void traced_run(bool data)
{
	struct script s;

	begin(&s, data, true);
	script_run(&s, 1, small);
	check_all(&s, false);
	assert_true(s.trace_pages > 2);
	assert_int_equal(s.trace_early, 0);
	assert_int_equal(s.trace_messages, 2);
	/* Switched off and removed, before the window on, after it off; the release then switches off what it removes. */
	assert_string_equal(trace_get(s.root, TRACING "/kprobe_events"),
			    "p:bifocal/kick virtqueue_notify key=%di\np:bifocal/irq vring_interrupt key=%si\n-:bifocal/kick\n-:bifocal/irq\n");
	script_run(&s, 2, small);
	check_all(&s, false);
	script_end(&s);
}

static void test_traced(void **state) { (void)state; traced_run(true); }
static void test_traced_on_one_port(void **state) { (void)state; traced_run(false); }

/* Without kprobes the sightings of the block layer are left. */
static void test_no_kprobes(void **state)
{
	(void)state;
	struct script s;

	begin(&s, true, false);
	script_run(&s, 1, small);
	assert_int_equal(s.trace_events, 7);
	assert_int_equal(s.trace_absents, 3);
	assert_non_null(strstr(s.trace_text, "the kernel has no kprobes"));
	assert_int_equal(s.trace_ends, 2);
	assert_int_equal(s.errors, 0);
	script_end(&s);
}

/* No tracefs: the run is as it is, and one message says why there is nothing to see. */
static void test_no_tracefs(void **state)
{
	(void)state;
	struct script s;

	script_begin(&s, true);
	s.trace = 1;
	script_greet(&s);
	script_run(&s, 1, small);
	assert_int_equal(s.done.code, 0);
	assert_int_equal(s.ready.trace_bytes, 0);
	assert_int_equal(s.trace_events + s.trace_ends, 0);
	assert_int_equal(s.trace_absents, 1);
	assert_non_null(strstr(s.trace_text, "no tracefs"));
	assert_int_equal(s.drained.trace_pages, 0);
	script_end(&s);
}

/* trace=0 touches nothing, and what another run's tracing left is not told again. */
static void test_not_asked_for(void **state)
{
	(void)state;
	struct script s;

	begin(&s, true, true);
	s.trace = 0;
	script_run(&s, 1, small);
	assert_int_equal(s.trace_events + s.trace_absents + s.trace_ends, 0);
	assert_int_equal(s.ready.trace_bytes, 0);
	assert_string_equal(trace_get(s.root, INSTANCE "/tracing_on"), "");
	assert_string_equal(trace_get(s.root, TRACING "/options/record-cmd"), "1\n");
	s.trace = 1;
	script_run(&s, 2, small);
	check_all(&s, false);
	s.trace = 0;
	script_run(&s, 3, small);
	assert_int_equal(s.trace_events + s.trace_absents + s.trace_ends, 0);
	assert_int_equal(s.drained.trace_pages, 0);
	script_end(&s);
}

/* Buffers that are too small, and filling: pages come while the window is open, and the rest after it. */
static void test_live(void **state)
{
	(void)state;
	struct script s;

	begin(&s, true, true);
	s.trace_memory = 256 << 10;
	/* All of a buffer of 128 KiB is unread, for good: a made-up kernel does not count. */
	for (int cpu = 0; cpu < 2; cpu++) {
		char path[128];
		snprintf(path, sizeof(path), INSTANCE "/per_cpu/cpu%d/stats", cpu);
		put_file(s.root, path, "entries: 0\noverrun: 3\ncommit overrun: 1\nbytes: 120000\ndropped events: 2\nread events: 306\n");
	}
	script_run(&s, 1, "rw=randread bs=4k iodepth=1 direct=0 number_ios=500 rate_iops=1000 runtime=0 ramp_time=0");
	check_all(&s, true);
	assert_true(s.trace_early > 0);
	script_end(&s);
}

/* A run that is given up before its window, or in it, is released like any other. */
static void test_aborted(void **state)
{
	(void)state;
	struct script s;

	begin(&s, true, true);
	script_prepare(&s, 1, small);
	script_await(&s, readies, 1);
	script_send(&s, run_abort, .run = 1);
	script_await(&s, draineds, 1);
	assert_int_equal(s.trace_ends, 2);
	assert_non_null(strstr(trace_get(s.root, TRACING "/kprobe_events"), "-:bifocal/kick"));
	script_run(&s, 2, small);
	check_all(&s, false);
	script_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_traced),
		cmocka_unit_test(test_traced_on_one_port),
		cmocka_unit_test(test_no_kprobes),
		cmocka_unit_test(test_no_tracefs),
		cmocka_unit_test(test_not_asked_for),
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_aborted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
