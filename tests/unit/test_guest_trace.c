// SPDX-License-Identifier: GPL-2.0-or-later
/* The guest kernel's vantage on a made-up tracefs: what is set up, what is not there, how large, and what is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/trace.h"
#include "tests/fixtures/trace_root.h"

static char root[64];
static struct trace trace;
static struct workload load;

static int setup(void **state)
{
	(void)state;
	strcpy(root, "/tmp/bifocal-trace-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	trace_put(root, "proc/meminfo", "MemTotal: 524288 kB\nMemAvailable: 409600 kB\n");
	workload_default(&load);
	trace_init(&trace, root);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	trace_fini(&trace);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static void prepare(const char *driver, uint64_t memory)
{
	trace_prepare(&trace, &(struct trace_request){ .driver = driver, .w = &load, .size = 1 << 30, .memory = memory });
}

static const char *absent(uint8_t sight)
{
	for (unsigned i = 0; i < trace.n_absent; i++)
		if (trace.absent[i].sight == sight)
			return trace.absent[i].why;
	return "";
}

static void assert_says(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not say \"%s\"", text, part);
}

static void test_no_tracefs(void **state)
{
	(void)state;
	prepare("virtio_blk", 0);
	assert_int_equal(trace.state, TRACE_OFF);
	assert_int_equal(trace.bytes_per_cpu, 0);
	assert_says(absent(0), "no tracefs");
}

static void test_no_tsc_clock(void **state)
{
	(void)state;
	trace_put_root(root);
	trace_put(root, TRACING "/trace_clock", "[local] global\n");
	prepare("virtio_blk", 0);
	assert_int_equal(trace.state, TRACE_OFF);
	assert_says(absent(0), "x86-tsc");
	char path[256];
	snprintf(path, sizeof(path), "%s/" TRACING "/trace_clock", root);
	assert_int_equal(unlink(path), 0);
	prepare("virtio_blk", 0);
	assert_says(absent(0), "cannot be read");
}

static void test_set_up(void **state)
{
	(void)state;
	trace_put_root(root);
	trace_put_kprobes(root);
	prepare("virtio_blk", 0);
	assert_int_equal(trace.state, TRACE_READY);
	assert_int_equal(trace.n_events, 9);
	assert_int_equal(trace.n_cpus, 2);
	assert_int_equal(trace.cpu[1].cpu, 1);
	assert_int_equal(trace.page_size, 4096);
	assert_string_equal(trace_get(root, INSTANCE "/trace_clock"), "x86-tsc");
	assert_string_equal(trace_get(root, INSTANCE "/options/overwrite"), "0");
	assert_string_equal(trace_get(root, INSTANCE "/events/block/block_rq_issue/enable"), "1");
	assert_string_equal(trace_get(root, TRACING "/kprobe_events"), "p:bifocal/kick virtqueue_notify key=%di\np:bifocal/irq vring_interrupt key=%si\n");
	assert_string_equal(trace_get(root, TRACING "/options/record-cmd"), "1\n0");
	/* An instance that was there is switched off; then ours is, before anything is enabled. */
	assert_string_equal(trace_get(root, INSTANCE "/tracing_on"), "00");
	assert_string_equal(trace.event[1].name, "block:block_rq_issue");
	assert_int_equal(trace.event[1].id, 1061);
	assert_int_equal(trace.event[1].sight, SIGHT_G_ISSUE);
	assert_says(trace.event[1].format, "field:sector_t sector;");
	assert_int_equal(trace.n_absent, 1);
	assert_says(absent(SIGHT_G_INSERT), "not traced");
}

static void test_switched_around_the_window(void **state)
{
	(void)state;
	trace_put_root(root);
	prepare("virtio_blk", 0);
	trace_put(root, INSTANCE "/tracing_on", "");
	trace_stop(&trace);
	assert_int_equal(trace.state, TRACE_READY);
	trace_start(&trace);
	assert_string_equal(trace_get(root, INSTANCE "/tracing_on"), "1");
	trace_stop(&trace);
	assert_int_equal(trace.state, TRACE_STOPPED);
	/* Not appended: the descriptor was opened before the window, and stands behind the first digit. */
	assert_string_equal(trace_get(root, INSTANCE "/tracing_on"), "10");
}

/* Each driver's hooks; in a made-up kernel each function can be probed. */
static void test_drivers(void **state)
{
	(void)state;
	static const char *const known[][2] = {
		{ "virtio_blk", "p:bifocal/kick virtqueue_notify " }, { "virtio_scsi", "p:bifocal/irq vring_interrupt " },
		{ "ahci", "p:bifocal/kick ahci_qc_issue " }, { "ahci", "p:bifocal/irq ahci_single_level_irq_intr " },
		{ "ata_piix", "p:bifocal/kick ata_bmdma_start " }, { "ata_piix", "p:bifocal/irq ata_bmdma_interrupt " },
		{ "nvme", "r:bifocal/kick nvme_prep_rq\n" }, { "nvme", "p:bifocal/irq nvme_irq " },
	};

	trace_put_root(root);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		trace_put_kprobes(root);
		prepare(known[i][0], 0);
		assert_int_equal(trace.n_events, 9);
		assert_says(trace_get(root, TRACING "/kprobe_events"), known[i][1]);
	}
	prepare("mmc_block", 0);
	assert_int_equal(trace.n_events, 7);
	assert_says(absent(SIGHT_G_KICK), "mmc_block");
	assert_says(absent(SIGHT_G_IRQ), "mmc_block");
}

static void test_no_kprobes(void **state)
{
	(void)state;
	trace_put_root(root);
	prepare("virtio_blk", 0);
	assert_int_equal(trace.state, TRACE_READY);
	assert_int_equal(trace.n_events, 7);
	assert_says(absent(SIGHT_G_KICK), "no kprobes");
	assert_says(absent(SIGHT_G_IRQ), "no kprobes");
}

static void test_event_missing(void **state)
{
	(void)state;
	char path[256];

	trace_put_root(root);
	snprintf(path, sizeof(path), "%s/" INSTANCE "/events/block/block_split/enable", root);
	assert_int_equal(unlink(path), 0);
	/* Enabled, but its format cannot be read: nobody could decode it. */
	trace_put(root, TRACING "/events/block/block_rq_requeue/format", "name: block_rq_requeue\n");
	prepare("virtio_blk", 0);
	assert_int_equal(trace.n_events, 5);
	assert_says(absent(SIGHT_G_SPLIT), "block:block_split: this kernel has no such event");
	assert_says(absent(SIGHT_G_REQUEUE), "format");
	assert_string_equal(trace_get(root, INSTANCE "/events/block/block_rq_requeue/enable"), "10");
}

static void test_hostile_header_page(void **state)
{
	(void)state;
	trace_put_root(root);
	trace_put(root, TRACING "/events/header_page", "\tfield: char data;\toffset:16;\tsize:4294967295;\tsigned:1;\n");
	prepare("virtio_blk", 0);
	assert_int_equal(trace.state, TRACE_OFF);
	trace_put(root, TRACING "/events/header_page", "\tfield: char data;\toffset:16;\tsize:16368;\tsigned:1;\n");
	prepare("virtio_blk", 0);
	assert_int_equal(trace.page_size, 16384);
}

/* What an agent that was killed left, and what this one leaves. */
static void test_leftovers(void **state)
{
	(void)state;
	trace_put_root(root);
	trace_put_kprobes(root);
	trace_put(root, TRACING "/kprobe_events", "p:bifocal/irq vring_interrupt key=%si\np:other/kick do_exit\n");
	prepare("virtio_blk", 0);
	assert_says(trace_get(root, TRACING "/kprobe_events"), "do_exit\n-:bifocal/irq\np:bifocal/kick");
	assert_null(strstr(trace_get(root, TRACING "/kprobe_events"), "-:bifocal/kick"));
	trace_release(&trace);
	assert_says(trace_get(root, TRACING "/kprobe_events"), "-:bifocal/kick\n-:bifocal/irq\n");
	assert_null(strstr(trace_get(root, TRACING "/kprobe_events"), "-:other"));
	assert_string_equal(trace_get(root, TRACING "/options/record-cmd"), "1\n01");
	assert_int_equal(trace.state, TRACE_OFF);
	assert_int_equal(trace.n_absent, 0);
}

/* Nothing that was never prepared is touched. */
static void test_release_of_nothing(void **state)
{
	(void)state;
	trace_put_root(root);
	trace_release(&trace);
	assert_string_equal(trace_get(root, INSTANCE "/tracing_on"), "");
	assert_string_equal(trace_get(root, TRACING "/options/record-cmd"), "1\n");
}

static void test_need(void **state)
{
	(void)state;
	load.runtime = 0;
	load.ramp_time = 0;
	load.number_ios = 100000;
	struct trace_need n = trace_need(&load, 1 << 30);
	assert_int_equal(n.most, n.likely);
	assert_true(n.most >= 100000 * 244 && n.most < 100000 * 400);
	/* Pieces of a large I/O are requests of their own. */
	load.bs = 1 << 20;
	assert_true(trace_need(&load, 1 << 30).most > 3 * n.most);
	load.bs = 4096;
	load.number_ios = 0;
	load.runtime = 2000000000;
	n = trace_need(&load, 1 << 30);
	assert_true(n.most > n.likely);
	load.rate_iops = 1000;
	n = trace_need(&load, 1 << 30);
	assert_int_equal(n.most, n.likely);
	assert_true(n.most < 2001 * 400);
	/* Nothing overflows. */
	load = (struct workload){ .bs = 1 << 20, .iodepth = 4096, .numjobs = 1024, .number_ios = UINT64_MAX };
	assert_true(trace_need(&load, UINT64_MAX).most <= 1000000000000000);
}

static void test_memory(void **state)
{
	(void)state;
	trace_put_root(root);
	load.runtime = 0;
	load.ramp_time = 0;
	load.number_ios = 1000;
	prepare("virtio_blk", 0);
	uint64_t need = trace_need(&load, 1 << 30).most;
	assert_true(trace.bytes_per_cpu >= need && trace.bytes_per_cpu <= need + (64 << 10));
	assert_false(trace.live);
	/* Half of 400 MiB, for two CPUs. */
	load.number_ios = 100000000;
	prepare("virtio_blk", 0);
	assert_int_equal(trace.bytes_per_cpu, 100 << 20);
	assert_true(trace.live);
	/* What the collector allows; never more than three quarters of what there is. */
	prepare("virtio_blk", 8 << 20);
	assert_int_equal(trace.bytes_per_cpu, 4 << 20);
	prepare("virtio_blk", 1ULL << 40);
	assert_int_equal(trace.bytes_per_cpu, 150 << 20);
	trace_put(root, "proc/meminfo", "MemTotal: 524288 kB\nMemAvailable: 100 kB\n");
	prepare("virtio_blk", 0);
	assert_int_equal(trace.state, TRACE_OFF);
	assert_says(absent(0), "no memory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_tracefs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_tsc_clock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_switched_around_the_window, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drivers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_kprobes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_event_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_header_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leftovers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_release_of_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_need, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
