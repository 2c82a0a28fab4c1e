/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's trace log: lines of each release's form, real excerpts (tests/fixtures/vmm), and lines that are none. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/tsc.h"
#include "host/trace/anchor.h"
#include "host/trace/qemu_log.h"

#define FIXTURES TEST_SRCDIR "/tests/fixtures/vmm/"

static struct qemu_events_state state;
static struct qemu_log log_;

static int fresh(void **unused)
{
	(void)unused;
	memset(&state, 0, sizeof(state));
	qemu_log_init(&log_, &state);
	return 0;
}

static struct sighting line(const char *text)
{
	struct sighting s;

	if (!qemu_log_line(&log_, text, strlen(text), &s))
		fail_msg("no sighting: %s", text);
	return s;
}

static void no_line(const char *text)
{
	struct sighting s;

	if (qemu_log_line(&log_, text, strlen(text), &s))
		fail_msg("a sighting: %s", text);
}

static void test_virtio_blk(void **unused)
{
	(void)unused;
	struct sighting s = line("435@1795458274.947715:virtio_blk_handle_read vdev 0x56044d0a34c0 req 0x7faa6c003160 sector 418400 nsectors 8");

	assert_int_equal(s.kind, SIGHT_V_START);
	assert_int_equal(s.time, UINT64_C(1795458274947715000));
	assert_int_equal(s.thread, 435);
	assert_int_equal(s.key, 0x7faa6c003160);
	assert_int_equal(s.sector, 418400);
	assert_int_equal(s.length, 4096);
	assert_int_equal(s.op, IO_READ);
	assert_int_equal(s.flags, 0);
	assert_int_equal(s.device, 1);
	s = line("435@1795458274.000001:virtio_queue_notify vdev 0x56044d0a34c0 n 0 vq 0x7faa79e91010");
	assert_int_equal(s.kind, SIGHT_V_NOTIFY);
	assert_int_equal(s.time, UINT64_C(1795458274000001000));
	assert_int_equal(s.key, 0x7faa79e91010);
	assert_int_equal(s.device, 1);
	assert_int_equal(s.flags, SIGHT_NO_PLACE);
	assert_int_equal(s.op, SIGHT_OP_NONE);
	s = line("435@1795458274.000002:virtio_queue_notify vdev (nil) n 0 vq 0x1");
	assert_int_equal(s.device, 2);
	s = line("1@2.000003:virtio_blk_submit_multireq vdev 0x56044d0a34c0 mrb 0x7ffc start 0 num_reqs 3 offset 14680064 size 12288 is_write 1");
	assert_int_equal(s.kind, SIGHT_V_MULTI);
	assert_int_equal(s.key, 3);
	assert_int_equal(s.sector, 28672);
	assert_int_equal(s.length, 12288);
	assert_int_equal(s.op, IO_WRITE);
}

static void test_blocks(void **unused)
{
	(void)unused;
	struct sighting s = line("9@1.000000:blk_co_pwritev blk 0x55ca bs 0x1 offset 214220800 bytes 4096 flags 0x8");

	assert_int_equal(s.kind, SIGHT_V_BLK);
	assert_int_equal(s.key, 0x55ca);
	assert_int_equal(s.sector, 418400);
	assert_int_equal(s.op, IO_WRITE);
	s = line("9@1.000000:blk_co_preadv blk 0x55ca bs 0x1 offset -1 bytes 4096 flags 0x8");
	assert_int_equal(s.flags, SIGHT_NO_PLACE);
	assert_int_equal(s.sector, 0);
	s = line("9@1.000000:luring_co_submit bs 0x5 s 0x6 luringcb 0x7f fd 12 offset 177860608 nbytes 4096 type 8");
	assert_int_equal(s.kind, SIGHT_V_LURING);
	assert_int_equal(s.key, 0x7f);
	assert_int_equal(s.op, IO_FLUSH);
	s = line("9@1.000000:luring_co_submit bs 0x5 req 0x7f fd 12 offset 177860608 nbytes 4096 type 1");   /* 10.2 */
	assert_int_equal(s.key, 0x7f);
	assert_int_equal(s.sector, 347384);
	s = line("9@1.000000:luring_io_uring_submit LuringState 0x5 ret 8");
	assert_int_equal(s.length, 8);
	s = line("9@1.000000:luring_io_uring_submit LuringState 0x5 ret -11");
	assert_int_equal(s.length, 0);
	s = line("9@1.000000:thread_pool_complete_aio pool 0x1 req 0x2 opaque 0x3 ret -5");
	assert_int_equal(s.kind, SIGHT_V_POOL_COMPLETE);
	assert_int_equal(s.key, 2);
}

static void test_scsi(void **unused)
{
	(void)unused;
	struct sighting a = line("9@1.000000:virtio_scsi_cmd_req virtio_scsi_cmd_req lun=0 tag=0xf64fee50 cmd=0x2a");
	struct sighting b = line("9@1.000000:scsi_req_parsed_lba target 0 lun 0 tag -162533808 command 42 lba 440440");

	assert_int_equal(a.op, IO_WRITE);
	assert_int_equal(a.key, b.key);
	assert_int_equal(b.sector, 440440);
	b = line("9@1.000000:scsi_disk_dma_command_WRITE Write (sector 217368, count 8)");
	assert_int_equal(b.sector, 217368);
	assert_int_equal(b.length, 4096);
	b = line("9@1.000000:scsi_disk_dma_command_WRITE Write And Verify (sector 217368, count 8)");
	assert_int_equal(b.op, IO_WRITE);
}

static void test_ata(void **unused)
{
	(void)unused;
	struct sighting s = line("9@1.000000:process_ncq_command ahci(0x556f)[0][tag:28]: NCQ op 0x61 on sectors [370400,370407]");

	assert_int_equal(s.kind, SIGHT_V_NCQ_START);
	assert_int_equal(s.key, 28);
	assert_int_equal(s.sector, 370400);
	assert_int_equal(s.length, 4096);
	assert_int_equal(s.op, IO_WRITE);
	s = line("9@1.000000:ahci_port_write ahci(0x556f)[0]: port write [reg:PxCI] @ 0x38: 0x00000010");
	assert_int_equal(s.kind, SIGHT_V_AHCI_NOTIFY);
	assert_int_equal(s.key, 0x10);
	no_line("9@1.000000:ahci_port_write ahci(0x556f)[0]: port write [reg:PxIS] @ 0x10: 0x00000008");
	s = line("9@1.000000:ide_dma_cb IDEState 0x5; sector_num=286960 n=8 cmd=DMA WRITE");
	assert_int_equal(s.op, IO_WRITE);
	assert_int_equal(s.sector, 286960);
	s = line("9@1.000000:bmdma_cmd_writeb val: 0x00000009");
	assert_int_equal(s.kind, SIGHT_V_IDE_NOTIFY);
	no_line("9@1.000000:bmdma_cmd_writeb val: 0x00000008");
	no_line("9@1.000000:ioapic_set_irq vector: 14 level: 0");
	assert_int_equal(line("9@1.000000:ioapic_set_irq vector: 14 level: 1").key, 14);
	assert_int_equal(log_.filtered, 3);
}

static void test_nvme(void **unused)
{
	(void)unused;
	struct sighting s = line("9@1.000000:pci_nvme_io_cmd cid 32986 nsid 0x1 sqid 3 opc 0x2 opname 'NVME_NVM_CMD_READ'");

	assert_int_equal(s.op, IO_READ);
	assert_int_equal(s.device, 3);
	s = line("9@1.000000:pci_nvme_read cid 32986 nsid 1 nlb 8 count 4096 lba 0x32198");
	assert_int_equal(s.device, 3);
	assert_int_equal(s.sector, 0x32198);
	assert_int_equal(s.length, 4096);
	/* Blocks of 4 KiB; another thread's command is not this one's. */
	s = line("8@1.000000:pci_nvme_write cid 32986 opname 'write' nsid 1 nlb 2 count 8192 lba 0x10");
	assert_int_equal(s.device, 0);
	assert_int_equal(s.sector, 128);
	s = line("9@1.000000:pci_nvme_enqueue_req_completion cid 32986 cqid 3 dw0 0x0 dw1 0x0 status 0x0");
	assert_int_equal(s.key, 32986);
	assert_int_equal(s.device, 3);
	assert_int_equal(line("9@1.000000:pci_nvme_irq_pin pulsing IRQ pin").kind, SIGHT_V_NVME_IRQ);
}

/* QEMU 10.2: the stamp in words, no thread, no fraction when it is 0. */
static void test_new_front(void **unused)
{
	(void)unused;
	struct sighting s = line("2026-11-23T18:30:36.123456Z virtio_notify vdev 0x1 vq 0x2");

	assert_int_equal(s.time, UINT64_C(1795458636123456000));
	assert_int_equal(s.thread, 0);
	assert_int_equal(line("2026-11-23T18:30:36Z virtio_notify vdev 0x1 vq 0x2").time, UINT64_C(1795458636000000000));
	assert_int_equal(line("2024-02-29T23:59:59.000001Z virtio_notify vdev 0x1 vq 0x2").time, UINT64_C(1709251199000001000));
	assert_int_equal(line("1970-01-01T00:00:00Z virtio_notify vdev 0x1 vq 0x2").time, 0);
	no_line("2026-13-23T18:30:36Z virtio_notify vdev 0x1 vq 0x2");
	no_line("2026-11-23T18:30:36.Z virtio_notify vdev 0x1 vq 0x2");
	no_line("2026-11-23 18:30:36Z virtio_notify vdev 0x1 vq 0x2");
}

static void test_no_sightings(void **unused)
{
	static const char *const other[] = {
		"", "x", "9@", "9@1", "9@1.5:virtio_notify vdev 0x1 vq 0x2", "9@1.0000000:virtio_notify vdev 0x1 vq 0x2",
		"99999999999@1.000000:virtio_notify vdev 0x1 vq 0x2", "9@18446744073709551616.000000:virtio_notify vdev 0x1 vq 0x2",
		"9@9999999999.000000:virtio_notify vdev 0x1 vq 0x2", "virtio_notify vdev 0x1 vq 0x2", "9@1.000000:", "9@1.000000: vdev",
		"0x10: 00 00 00 00", "qemu-system-x86_64: warning: x", "9@1.000000:virtio_notify",
	};
	static const char *const bad[] = {
		"9@1.000000:virtio_notify vdev 0x1 vq 0x", "9@1.000000:virtio_notify vdev 0x1 vq 1", "9@1.000000:virtio_notify vdev 0x1",
		"9@1.000000:virtio_notify vdev 0x11111111111111111 vq 0x2", "9@1.000000:virtio_notify vdev 0x1 vq 0x2x",
		"9@1.000000:blk_co_preadv blk 0x1 bs 0x2 offset 99999999999999999999 bytes 1 flags 0x0", "9@1.000000:virtio_notify ",
	};
	(void)unused;
	for (size_t i = 0; i < sizeof(other) / sizeof(*other); i++)
		no_line(other[i]);
	assert_int_equal(log_.other, sizeof(other) / sizeof(*other));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		no_line(bad[i]);
	assert_int_equal(log_.malformed, sizeof(bad) / sizeof(*bad));
	no_line("9@1.000000:handle_qmp_command mon 0x1 req: {}");
	assert_int_equal(log_.foreign, 1);
	assert_int_equal(log_.sightings, 0);
	/* What a later release may add at the end is no fault. */
	line("9@1.000000:virtio_notify vdev 0x1 vq 0x2 count 7");
}

static bool has_deferred(void *ctx, const char *name)
{
	(void)ctx;
	return strcmp(name, "virtio_notify_irqfd_deferred_fn") == 0;
}

/* From 8.2 on the batch's end is the interrupt, not the request for it. */
static void test_put_off(void **unused)
{
	(void)unused;
	qemu_events_known(&state, has_deferred, NULL);
	no_line("9@1.000000:virtio_notify_irqfd vdev 0x1 vq 0x2");
	assert_int_equal(line("9@1.000000:virtio_notify_irqfd_deferred_fn vdev 0x1 vq 0x2").kind, SIGHT_V_INJECT);
}

/* More objects than are told apart: they have no number, nothing else happens. */
static void test_many_devices(void **unused)
{
	char text[128];

	(void)unused;
	for (unsigned i = 0; i < 2 * QEMU_DEVICES_MAX; i++) {
		snprintf(text, sizeof(text), "9@1.000000:virtio_notify vdev 0x%x vq 0x2", i + 100);
		assert_int_equal(line(text).device, i < QEMU_DEVICES_MAX ? i + 1 : 0);
	}
}

/* ---- pieces ---- */

struct seen { size_t n, behind; struct sighting last; };

static int see(void *ctx, size_t behind, const struct sighting *s)
{
	struct seen *seen = ctx;

	seen->n++;
	seen->behind = behind;
	seen->last = *s;
	return 0;
}

static char *read_all(const char *path, size_t *n)
{
	FILE *f = fopen(path, "re");
	char *text = malloc(1 << 20);

	if (!f || !text)
		fail_msg("%s", path);
	*n = fread(text, 1, 1 << 20, f);
	fclose(f);
	return text;
}

/* The same sightings however the file is cut. */
static void test_pieces(void **unused)
{
	size_t n;
	char *text = read_all(FIXTURES "virtio-blk-threads.log", &n);
	struct seen whole = { 0 };

	(void)unused;
	assert_int_equal(qemu_log_feed(&log_, text, n, see, &whole), n);
	for (size_t piece = 1; piece < 400; piece += 37) {
		struct seen seen = { 0 };
		size_t from = 0, end = 0;

		fresh(NULL);
		while (end < n) {
			end = end + piece < n ? end + piece : n;
			ptrdiff_t done = qemu_log_feed(&log_, text + from, end - from, see, &seen);
			assert_true(done >= 0);
			from += (size_t)done;
		}
		assert_int_equal(from, n);
		assert_int_equal(seen.n, whole.n);
		assert_memory_equal(&seen.last, &whole.last, sizeof(whole.last));
	}
	free(text);
}

static void test_long_line(void **unused)
{
	static char text[3 * QEMU_LOG_LINE_MAX];
	struct seen seen = { 0 };
	static const char after[] = "\n9@1.000000:virtio_notify vdev 0x1 vq 0x2\nrest";

	(void)unused;
	memset(text, 'a', sizeof(text));
	assert_int_equal(qemu_log_feed(&log_, text, sizeof(text), see, &seen), sizeof(text));
	assert_int_equal(qemu_log_feed(&log_, text, 10, see, &seen), 10);
	assert_int_equal(qemu_log_feed(&log_, after, sizeof(after) - 1, see, &seen), sizeof(after) - 1 - 4);
	assert_int_equal(seen.n, 1);
	assert_int_equal(log_.malformed, 1);
	assert_int_equal(log_.lines, 2);
}

/* ---- real logs ---- */

static int count_kind(void *ctx, size_t behind, const struct sighting *s)
{
	unsigned *count = ctx;

	(void)behind;
	count[s->kind]++;
	return 0;
}

static void counts_of(const char *name, unsigned count[SIGHT_KINDS])
{
	char path[256];
	size_t n;

	fresh(NULL);
	memset(count, 0, SIGHT_KINDS * sizeof(*count));
	snprintf(path, sizeof(path), FIXTURES "%s", name);
	char *text = read_all(path, &n);
	assert_int_equal(qemu_log_feed(&log_, text, n, count_kind, count), n);
	free(text);
	if (log_.malformed || log_.foreign || log_.other)
		fail_msg("%s: %d malformed, %d foreign, %d other", name, (int)log_.malformed, (int)log_.foreign, (int)log_.other);
	assert_int_equal(log_.lines, log_.sightings + log_.filtered);
}

/* Every line of every excerpt is understood. */
static void test_fixtures(void **unused)
{
	unsigned count[SIGHT_KINDS], files = 0;
	DIR *dir = opendir(FIXTURES);

	(void)unused;
	assert_non_null(dir);
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		if (!strstr(e->d_name, ".log"))
			continue;
		counts_of(e->d_name, count);
		files++;
	}
	closedir(dir);
	assert_in_range(files, 20, 100);
}

static void expect_kind(const unsigned count[SIGHT_KINDS], unsigned kind)
{
	if (count[kind] < 5)
		fail_msg("%s: %u", sight_name(kind), count[kind]);
}

static void test_kinds_per_bus(void **unused)
{
	static const struct { const char *name; uint8_t kinds[12]; } cases[] = {
		{ "virtio-blk-threads.log", { SIGHT_V_NOTIFY, SIGHT_V_START, SIGHT_V_BLK, SIGHT_V_POOL_SUBMIT, SIGHT_V_POOL_COMPLETE, SIGHT_V_RW_COMPLETE,
					      SIGHT_V_DONE, SIGHT_V_INJECT } },
		{ "virtio-blk-io_uring.log", { SIGHT_V_LURING, SIGHT_V_URING_ENTER, SIGHT_V_LURING_COMPLETE, SIGHT_V_DONE } },
		{ "virtio-scsi-threads.log", { SIGHT_V_NOTIFY, SIGHT_V_SCSI_START, SIGHT_V_SCSI_LBA, SIGHT_V_SCSI_DMA, SIGHT_V_DMA_START, SIGHT_V_DMA_DONE,
					       SIGHT_V_SCSI_DONE, SIGHT_V_INJECT } },
		{ "ahci-threads.log", { SIGHT_V_AHCI_NOTIFY, SIGHT_V_NCQ_START, SIGHT_V_DMA_START, SIGHT_V_DMA_DONE, SIGHT_V_AHCI_IRQ, SIGHT_V_NCQ_DONE } },
		{ "ide-threads.log", { SIGHT_V_IDE_NOTIFY, SIGHT_V_IDE_DMA, SIGHT_V_DMA_DONE, SIGHT_V_LINE } },
		{ "nvme-threads.log", { SIGHT_V_NVME_NOTIFY, SIGHT_V_NVME_CMD, SIGHT_V_NVME_START, SIGHT_V_NVME_DONE, SIGHT_V_NVME_IRQ } },
	};
	unsigned count[SIGHT_KINDS];

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		counts_of(cases[i].name, count);
		for (size_t k = 0; cases[i].kinds[k]; k++)
			expect_kind(count, cases[i].kinds[k]);
	}
}

/* Rows and formats agree: as many letters as conversions, none too many. */
static void test_table(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < qemu_events_count; i++) {
		size_t conversions = 0;

		for (const char *c = qemu_events[i].format; *c; c++)
			conversions += *c == '%';
		if (conversions != qemu_event_args(&qemu_events[i]) || conversions > QEMU_ARGS_MAX)
			fail_msg("%s: %zu conversions", qemu_events[i].name, conversions);
		assert_int_equal(sight_vantage(qemu_events[i].kind), VANTAGE_VMM);
		assert_in_range(strlen(qemu_events[i].name), 1, QEMU_NAME_MAX - 1);
	}
}

/* ---- anchors ---- */

static void test_anchors(void **unused)
{
	struct anchors a;
	struct error err = { 0 };

	(void)unused;
	assert_int_equal(anchors_init(&a, CLOCK_REALTIME, &err), 0);
	uint64_t before = tsc_read();
	anchors_take(&a, 77, true);
	uint64_t after = tsc_read();
	assert_int_equal(a.n, 1);
	assert_true(a.list[0].before >= before && a.list[0].after <= after && a.list[0].before <= a.list[0].after);
	assert_int_equal(a.list[0].position, 77);
	struct sighting s = anchor_sighting(&a.list[0]), back;
	struct wbuf w;
	wbuf_heap(&w, 1 << 16);
	sights_pack(&w, &s, 1);
	assert_false(w.bad);
	assert_int_equal(sights_unpack((struct span){ w.p, w.len }, &back, 1, &err), 1);
	assert_int_equal(back.key, a.list[0].before);
	assert_int_equal(back.sector, a.list[0].after);
	assert_int_equal(back.time, a.list[0].ns);
	wbuf_fini(&w);
	anchors_fini(&a);
}

/* A long run keeps its first anchor, its last and its order, in bounded memory. */
static void test_anchors_thin_out(void **unused)
{
	struct anchors a;
	struct error err = { 0 };

	(void)unused;
	assert_int_equal(anchors_init(&a, CLOCK_MONOTONIC, &err), 0);
	for (uint64_t i = 0; i < 5 * ANCHORS_MAX; i++)
		anchors_add(&a, &(struct anchor){ .ns = i }, i == 0 || i == 5 * ANCHORS_MAX - 1);
	assert_in_range(a.n, ANCHORS_MAX / 4, ANCHORS_MAX);
	assert_int_equal(a.list[0].ns, 0);
	assert_int_equal(a.list[a.n - 1].ns, 5 * ANCHORS_MAX - 1);
	for (size_t i = 1; i < a.n; i++)
		if (a.list[i].ns <= a.list[i - 1].ns || a.list[i].ns - a.list[i - 1].ns > 16)
			fail_msg("anchor %zu", i);
	anchors_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_virtio_blk, fresh),
		cmocka_unit_test_setup(test_blocks, fresh),
		cmocka_unit_test_setup(test_scsi, fresh),
		cmocka_unit_test_setup(test_ata, fresh),
		cmocka_unit_test_setup(test_nvme, fresh),
		cmocka_unit_test_setup(test_new_front, fresh),
		cmocka_unit_test_setup(test_no_sightings, fresh),
		cmocka_unit_test_setup(test_put_off, fresh),
		cmocka_unit_test_setup(test_many_devices, fresh),
		cmocka_unit_test_setup(test_pieces, fresh),
		cmocka_unit_test_setup(test_long_line, fresh),
		cmocka_unit_test_setup(test_fixtures, fresh),
		cmocka_unit_test_setup(test_kinds_per_bus, fresh),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_anchors),
		cmocka_unit_test(test_anchors_thin_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
