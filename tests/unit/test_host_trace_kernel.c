/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel records made sightings: real guests' pages, every kind's own rule, filters, and formats that do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/trace/kernel.h"
#include "tests/fixtures/trace_page.h"

static struct error err;
static struct trace_format format;
static struct made_page page;
static struct kernel_counts counts;
static struct kernel_decoder *d;
static struct sighting seen[8192];
static size_t n;

static int fresh(void **state)
{
	(void)state;
	d = kernel_decoder_new(&err);
	page_begin(&page, 1000);
	counts = (struct kernel_counts){ 0 };
	n = 0;
	return d ? 0 : -1;
}

static int done(void **state)
{
	(void)state;
	kernel_decoder_free(d);
	return 0;
}

#define COMMON "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n"
#define FIELD(type, name, offset, size, sign) "\tfield:" type " " name ";\toffset:" #offset ";\tsize:" #size ";\tsigned:" #sign ";\n"

static int add(unsigned kind, const char *name, unsigned id, const char *fields)
{
	char text[2048];
	int len = snprintf(text, sizeof(text), "name: %s\nID: %u\nformat:\n" COMMON "%s", name, id, fields);
	assert_int_equal(format_parse((struct span){ (uint8_t *)text, (size_t)len }, &format, &err), 0);
	err = (struct error){ 0 };
	return kernel_decoder_add(d, kind, &format, &err);
}

static void must_add(unsigned kind, const char *name, unsigned id, const char *fields)
{
	if (add(kind, name, id, fields))
		fail_msg("%s", err.text);
}

static void decode_page(const uint8_t *p)
{
	struct page_walk w;
	size_t more;
	assert_true(page_open(&w, p, PAGE_BYTES));
	/* In small bites: what one call leaves, the next one takes. */
	do {
		more = kernel_decode(d, &w, seen + n, 7, &counts);
		n += more;
	} while (more == 7 && n + 7 < sizeof(seen) / sizeof(seen[0]));
	assert_false(w.bad);
}

/* ---- records by hand ---- */

struct made_record {
	uint8_t bytes[128];
};

static struct made_record record(uint16_t id, uint32_t pid)
{
	struct made_record r = { 0 };
	memcpy(r.bytes, &id, 2);
	memcpy(r.bytes + 4, &pid, 4);
	return r;
}

#define SET(r, at, type, value) do { type v_ = (type)(value); memcpy((r).bytes + (at), &v_, sizeof(v_)); } while (0)

static const struct sighting *one(const struct made_record *r, size_t len)
{
	page_begin(&page, 5000);
	page_record(&page, 11, r->bytes, len);
	n = 0;
	decode_page(page.bytes);
	return n ? &seen[0] : NULL;
}

static void test_syscalls(void **state)
{
	(void)state;
	must_add(SIGHT_H_ENTER, "sys_enter_pread64", 838, FIELD("unsigned int", "fd", 16, 8, 0) FIELD("char *", "buf", 24, 8, 0)
		 FIELD("size_t", "count", 32, 8, 0) FIELD("loff_t", "pos", 40, 8, 0));
	must_add(SIGHT_H_EXIT, "sys_exit_pread64", 837, FIELD("long", "ret", 16, 8, 1));
	must_add(SIGHT_H_ENTER, "sys_enter_pwritev", 829, FIELD("unsigned long", "fd", 16, 8, 0) FIELD("unsigned long", "pos_l", 40, 8, 0));
	must_add(SIGHT_H_ENTER, "sys_enter_io_submit", 1099, FIELD("aio_context_t", "ctx_id", 16, 8, 0));
	must_add(SIGHT_H_ENTER, "sys_enter_fdatasync", 900, FIELD("unsigned int", "fd", 16, 8, 0));
	must_add(SIGHT_H_ENTER, "sys_enter_fallocate", 814, FIELD("int", "fd", 16, 8, 0) FIELD("loff_t", "offset", 32, 8, 0) FIELD("loff_t", "len", 40, 8, 0));
	struct made_record r = record(838, 4711);
	/* The register's upper half is nobody's. */
	SET(r, 16, uint64_t, 0xdead00000011);
	SET(r, 32, uint64_t, 4096);
	SET(r, 40, uint64_t, 8192 + 511);
	const struct sighting *s = one(&r, 48);
	assert_non_null(s);
	assert_true(s->time == 5011 && s->kind == SIGHT_H_ENTER && s->key == SIGHT_SYS_pread64 && s->thread == 4711);
	assert_true(s->device == 0x11 && s->sector == 16 && s->length == 4096 && s->op == IO_READ && !s->flags);
	SET(r, 32, uint64_t, UINT64_MAX);
	assert_int_equal(one(&r, 48)->length, 0xfffffe00);
	r = record(837, 4711);
	SET(r, 16, int64_t, 4096);
	s = one(&r, 24);
	assert_true(s->kind == SIGHT_H_EXIT && s->key == SIGHT_SYS_pread64 && s->length == 4096 && s->op == IO_READ);
	SET(r, 16, int64_t, -5);
	assert_int_equal(one(&r, 24)->length, 0);
	r = record(829, 1);
	SET(r, 40, uint64_t, 1024);
	s = one(&r, 48);
	assert_true(s->key == SIGHT_SYS_pwritev && s->op == IO_WRITE && s->sector == 2 && !s->length && !s->flags);
	r = record(1099, 1);
	s = one(&r, 24);
	assert_true(s->key == SIGHT_SYS_io_submit && s->op == SIGHT_OP_NONE && s->flags == SIGHT_NO_PLACE && !s->device);
	r = record(900, 1);
	SET(r, 16, uint64_t, 9);
	s = one(&r, 24);
	assert_true(s->key == SIGHT_SYS_fdatasync && s->op == IO_FLUSH && s->flags == SIGHT_NO_PLACE && s->device == 9);
	r = record(814, 1);
	SET(r, 32, uint64_t, 1 << 20);
	SET(r, 40, uint64_t, 1 << 16);
	s = one(&r, 48);
	assert_true(s->op == IO_DISCARD && s->sector == 2048 && s->length == 1 << 16);
}

static void test_kvm(void **state)
{
	(void)state;
	must_add(SIGHT_H_KVM_EXIT, "kvm_exit", 103, FIELD("unsigned int", "exit_reason", 8, 4, 0));
	must_add(SIGHT_H_KVM_ENTRY, "kvm_entry", 115, FIELD("unsigned int", "vcpu_id", 8, 4, 0));
	must_add(SIGHT_H_KVM_MMIO, "kvm_fast_mmio", 109, FIELD("u64", "gpa", 8, 8, 0));
	must_add(SIGHT_H_KVM_MMIO, "kvm_mmio", 38, FIELD("u32", "type", 8, 4, 0) FIELD("u64", "gpa", 16, 8, 0));
	must_add(SIGHT_H_KVM_MMIO, "kvm_pio", 110, FIELD("unsigned int", "rw", 8, 4, 0) FIELD("unsigned int", "port", 12, 4, 0));
	must_add(SIGHT_H_KVM_INJECT, "kvm_msi_set_irq", 105, FIELD("__u64", "address", 8, 8, 0) FIELD("__u64", "data", 16, 8, 0));
	must_add(SIGHT_H_KVM_INJECT, "kvm_set_irq", 40, FIELD("unsigned int", "gsi", 8, 4, 0) FIELD("int", "level", 12, 4, 1));
	must_add(SIGHT_H_TSC_WRITE, "kvm_write_tsc_offset", 83, FIELD("__u64", "previous_tsc_offset", 16, 8, 0) FIELD("__u64", "next_tsc_offset", 24, 8, 0));
	struct made_record r = record(103, 5);
	SET(r, 8, uint32_t, 48);
	const struct sighting *s = one(&r, 64);
	assert_true(s->kind == SIGHT_H_KVM_EXIT && s->key == 48 && s->thread == 5 && s->flags == SIGHT_NO_PLACE && s->op == SIGHT_OP_NONE);
	r = record(115, 5);
	s = one(&r, 16);
	assert_true(s->kind == SIGHT_H_KVM_ENTRY && s->key == 0);
	r = record(109, 5);
	SET(r, 8, uint64_t, 0xfe003000);
	assert_int_equal(one(&r, 16)->key, 0xfe003000);
	r = record(38, 5);
	SET(r, 16, uint64_t, 0xfebf1000);
	for (uint32_t type = 0; type < 3; type++) {
		SET(r, 8, uint32_t, type);
		s = one(&r, 32);
		assert_true(type == 2 ? s && s->key == 0xfebf1000 && s->kind == SIGHT_H_KVM_MMIO : !s);
	}
	r = record(110, 5);
	SET(r, 12, uint32_t, 0xc0a0);
	assert_null(one(&r, 32));
	SET(r, 8, uint32_t, 1);
	assert_int_equal(one(&r, 32)->key, 0xc0a0);
	r = record(105, 5);
	SET(r, 16, uint64_t, 0x4041);
	assert_int_equal(one(&r, 24)->key, 0x4041);
	r = record(40, 5);
	SET(r, 8, uint32_t, 11);
	assert_null(one(&r, 20));
	SET(r, 12, int32_t, 1);
	assert_int_equal(one(&r, 20)->key, 11);
	r = record(83, 5);
	SET(r, 24, uint64_t, 0xffff000000000001);
	assert_true(one(&r, 32)->key == 0xffff000000000001);
}

static const char waking[] = FIELD("pid_t", "pid", 24, 4, 1), switching[] = FIELD("pid_t", "next_pid", 56, 4, 1);

static void test_threads(void **state)
{
	(void)state;
	must_add(SIGHT_H_WAKING, "sched_waking", 375, waking);
	must_add(SIGHT_H_SWITCH, "sched_switch", 372, switching);
	must_add(SIGHT_H_KVM_EXIT, "kvm_exit", 103, FIELD("unsigned int", "exit_reason", 8, 4, 0));
	must_add(SIGHT_H_KVM_INJECT, "kvm_msi_set_irq", 105, FIELD("__u64", "data", 16, 8, 0));
	struct made_record wake = record(375, 1), swap = record(372, 1), vmexit = record(103, 7), inject = record(105, 1);
	SET(wake, 24, int32_t, 7);
	SET(swap, 56, int32_t, 7);
	assert_true(one(&wake, 36)->key == 7 && one(&wake, 36)->kind == SIGHT_H_WAKING && one(&wake, 36)->thread == 1);
	assert_true(one(&swap, 64)->key == 7 && one(&swap, 64)->kind == SIGHT_H_SWITCH);
	for (uint32_t tid = 100; tid < 100 + KERNEL_THREADS_MAX - 1; tid++)
		assert_int_equal(kernel_decoder_only_thread(d, tid, &err), 0);
	assert_null(one(&wake, 36));
	assert_null(one(&swap, 64));
	assert_null(one(&vmexit, 64));
	assert_non_null(one(&inject, 24));
	assert_int_equal(kernel_decoder_only_thread(d, 7, &err), 0);
	assert_int_equal(kernel_decoder_only_thread(d, 7, &err), 0);
	assert_non_null(one(&wake, 36));
	assert_non_null(one(&swap, 64));
	assert_non_null(one(&vmexit, 64));
	SET(wake, 24, int32_t, 150);
	assert_non_null(one(&wake, 36));
	assert_int_equal(kernel_decoder_only_thread(d, 8, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_int_equal(counts.dropped, 3);
}

static const char block[] = FIELD("dev_t", "dev", 8, 4, 0) FIELD("sector_t", "sector", 16, 8, 0) FIELD("unsigned int", "nr_sector", 24, 4, 0)
	FIELD("int", "error", 28, 4, 1) FIELD("char", "rwbs[8]", 32, 8, 0);

static const struct sighting *block_record(const char *rwbs, uint32_t sectors, int32_t error)
{
	struct made_record r = record(77, 3);
	SET(r, 8, uint32_t, 254 << 20 | 16);
	SET(r, 16, uint64_t, 123456);
	SET(r, 24, uint32_t, sectors);
	SET(r, 28, int32_t, error);
	memcpy(r.bytes + 32, rwbs, strlen(rwbs));
	return one(&r, 40);
}

static void test_block(void **state)
{
	static const struct { const char *rwbs; uint32_t sectors; unsigned op; } ops[] = {
		{ "R", 8, IO_READ }, { "RA", 8, IO_READ }, { "WS", 8, IO_WRITE }, { "FWFS", 8, IO_WRITE }, { "WFS", 8, IO_WRITE },
		{ "FWS", 0, IO_FLUSH }, { "FF", 0, IO_FLUSH }, { "F", 0, IO_FLUSH }, { "D", 8, IO_DISCARD }, { "DE", 8, IO_DISCARD },
		{ "N", 8, SIGHT_OP_NONE }, { "", 8, SIGHT_OP_NONE },
	};
	(void)state;
	must_add(SIGHT_G_COMPLETE, "block_rq_complete", 77, block);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		const struct sighting *s = block_record(ops[i].rwbs, ops[i].sectors, 0);
		assert_non_null(s);
		if (s->op != ops[i].op)
			fail_msg("rwbs %s is op %u, not %u", ops[i].rwbs, s->op, ops[i].op);
		assert_true(s->kind == SIGHT_G_COMPLETE && s->device == (254 << 20 | 16) && s->thread == 3 && s->key == 0);
		assert_int_equal(s->flags, s->op == IO_FLUSH ? SIGHT_NO_PLACE : 0);
		assert_int_equal(s->sector, s->flags ? 0 : 123456);
		assert_int_equal(s->length, s->flags ? 0 : 4096);
	}
	assert_null(block_record("WS", 0, 0));
	assert_int_equal(counts.dropped, 1);
	assert_int_equal(block_record("R", 8, -5)->key, 5);
	assert_int_equal(block_record("R", 8, INT32_MIN)->key, 0x80000000);
	assert_int_equal(block_record("D", 0xffffffff, 0)->length, 0xfffffe00);
	assert_int_equal(kernel_decoder_only_device(d, 8 << 20, &err), 0);
	assert_null(block_record("R", 8, 0));
	assert_int_equal(counts.dropped, 2);
	for (unsigned i = 1; i < KERNEL_DEVICES_MAX; i++)
		assert_int_equal(kernel_decoder_only_device(d, 254 << 20 | (i + 1), &err), 0);
	assert_non_null(block_record("R", 8, 0));
	assert_int_equal(kernel_decoder_only_device(d, 1, &err), -1);
}

static void test_split(void **state)
{
	struct made_record r = record(78, 3);
	(void)state;
	must_add(SIGHT_G_SPLIT, "block_split", 78, FIELD("dev_t", "dev", 8, 4, 0) FIELD("sector_t", "sector", 16, 8, 0)
		 FIELD("sector_t", "new_sector", 24, 8, 0) FIELD("char", "rwbs[8]", 32, 8, 0));
	SET(r, 16, uint64_t, 1000);
	SET(r, 24, uint64_t, 3560);
	r.bytes[32] = 'R';
	const struct sighting *s = one(&r, 40);
	assert_true(s->kind == SIGHT_G_SPLIT && s->sector == 1000 && s->length == 2560 * 512 && s->key == 3560 && s->op == IO_READ);
	SET(r, 24, uint64_t, 10);
	assert_int_equal(one(&r, 40)->length, 0);
}

/* ---- what is counted, what is refused ---- */

static void test_unknown_and_short(void **state)
{
	struct made_record r = record(77, 3);
	(void)state;
	must_add(SIGHT_G_COMPLETE, "block_rq_complete", 77, block);
	assert_null(one(&r, 28));
	assert_int_equal(counts.bad, 1);
	assert_non_null(one(&r, 36));
	r = record(76, 3);
	assert_null(one(&r, 40));
	assert_int_equal(counts.unknown, 1);
	/* Not even a common_pid. */
	r = record(77, 3);
	assert_null(one(&r, 4));
	assert_int_equal(counts.bad, 2);
	assert_int_equal(counts.records, 4);
}

static void refused(unsigned kind, const char *name, const char *fields, const char *why)
{
	assert_int_equal(add(kind, name, 99, fields), -1);
	if (!strstr(err.text, why) || !strstr(err.text, name))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void test_refused(void **state)
{
	(void)state;
	refused(SIGHT_G_ISSUE, "block_rq_issue", "", "no field dev");
	refused(SIGHT_G_ISSUE, "block_rq_issue", FIELD("dev_t", "dev", 8, 8, 0), "field dev has 8 bytes");
	refused(SIGHT_G_ISSUE, "block_rq_issue", FIELD("dev_t", "dev", 8, 4, 0) FIELD("sector_t", "sector", 16, 8, 0), "rwbs");
	refused(SIGHT_H_ENTER, "sys_enter_read", FIELD("unsigned int", "fd", 16, 8, 0), "system call");
	refused(SIGHT_H_ENTER, "sys", "", "system call");
	refused(SIGHT_H_EXIT, "sys_enter_pread64", FIELD("long", "ret", 16, 8, 1), "sys_exit_");
	refused(SIGHT_H_EXIT, "sys_exit_pread64", FIELD("int", "ret", 16, 4, 1), "ret");
	refused(SIGHT_H_SWITCH, "sched_switch", FIELD("pid_t", "next_pid[4]", 56, 4, 1), "array");
	refused(SIGHT_V_START, "virtio_blk_handle_read", "", "not seen by a kernel");
	refused(255, "x", "", "not seen by a kernel");
	refused(70000, "x", "", "no kind of sighting");
	must_add(SIGHT_G_KICK, "kick", 99, FIELD("u64", "key", 16, 8, 0));
	refused(SIGHT_G_KICK, "kick", FIELD("u64", "key", 16, 8, 0), "taken");
	for (unsigned id = 100; id < 99 + KERNEL_EVENTS_MAX; id++)
		must_add(SIGHT_G_KICK, "kick", id, "");
	assert_int_equal(add(SIGHT_G_KICK, "kick", 9999, ""), -1);
	assert_int_equal(err.code, ERR_LIMIT);
}

static void test_common_fields(void **state)
{
	static const char *const texts[] = {
		"name: x\nID: 5\n" FIELD("unsigned short", "common_type", 2, 2, 0) FIELD("int", "common_pid", 4, 4, 1),
		"name: x\nID: 5\n" FIELD("unsigned short", "common_type", 0, 2, 0),
		"name: x\nID: 5\n" FIELD("unsigned short", "common_type", 0, 2, 0) FIELD("int", "common_pid", 4, 2, 1),
	};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(format_parse((struct span){ (const uint8_t *)texts[i], strlen(texts[i]) }, &format, &err), 0);
		assert_int_equal(kernel_decoder_add(d, SIGHT_G_KICK, &format, &err), -1);
	}
}

/* ---- real guests ---- */

static const struct { const char *name; unsigned kind; } guest_events[] = {
	{ "block_bio_queue", SIGHT_G_QUEUE }, { "block_rq_insert", SIGHT_G_INSERT }, { "block_rq_issue", SIGHT_G_ISSUE },
	{ "block_rq_requeue", SIGHT_G_REQUEUE }, { "block_rq_complete", SIGHT_G_COMPLETE }, { "kick", SIGHT_G_KICK }, { "irq", SIGHT_G_IRQ },
	{ "block_bio_backmerge", SIGHT_G_MERGE }, { "block_bio_frontmerge", SIGHT_G_MERGE }, { "block_split", SIGHT_G_SPLIT },
};

static void add_fixture(const char *bus, const char *event, unsigned kind)
{
	char name[64];
	size_t size;
	snprintf(name, sizeof(name), "%s.format", event);
	uint8_t *text = fixture(bus, name, &size);
	assert_non_null(text);
	if (format_parse((struct span){ text, size }, &format, &err) || kernel_decoder_add(d, kind, &format, &err))
		fail_msg("%s/%s: %s", bus, name, err.text);
	free(text);
}

static uint32_t fixture_device(const char *bus)
{
	unsigned major = 0, minor = 0;
	size_t size;
	uint8_t *text = fixture(bus, "dev", &size);
	assert_non_null(text);
	text[size < 64 ? size : 63] = 0;
	assert_int_equal(sscanf((char *)text, "%u:%u", &major, &minor), 2);
	free(text);
	return major << 20 | minor;
}

static void decode_fixture(const char *bus)
{
	for (int cpu = 0; cpu < 2; cpu++) {
		char name[32];
		size_t size;
		snprintf(name, sizeof(name), "cpu%d.pages", cpu);
		uint8_t *p = fixture(bus, name, &size);
		assert_non_null(p);
		for (size_t at = 0; at < size; at += PAGE_BYTES)
			decode_page(p + at);
		free(p);
	}
}

static size_t count(unsigned kind, unsigned op, uint32_t length)
{
	size_t c = 0;
	for (size_t i = 0; i < n; i++)
		c += seen[i].kind == kind && seen[i].op == op && (!length || seen[i].length == length);
	return c;
}

/* The issue that a completion ends: the same place, earlier by the guest's one clock. */
static bool was_issued(const struct sighting *c)
{
	for (size_t i = 0; i < n; i++)
		if (seen[i].kind == SIGHT_G_ISSUE && seen[i].sector == c->sector && seen[i].length == c->length && seen[i].op == c->op && seen[i].time < c->time)
			return true;
	return false;
}

static void check_load(uint32_t device)
{
	for (size_t i = 0; i < n; i++) {
		const struct sighting *s = &seen[i];
		if (s->kind == SIGHT_G_KICK || s->kind == SIGHT_G_IRQ)
			assert_true(s->flags == SIGHT_NO_PLACE && !s->device && !s->length && s->op == SIGHT_OP_NONE);
		else
			assert_int_equal(s->device, device);
		if (s->kind == SIGHT_G_COMPLETE && (s->key || !was_issued(s)))
			fail_msg("completion of sector %llu, %u bytes: key %llu, or not issued", (unsigned long long)s->sector, s->length, (unsigned long long)s->key);
	}
}

static void check_counts(const char *bus)
{
	const struct { unsigned kind, op; uint32_t length; size_t n; } want[] = {
		{ SIGHT_G_QUEUE, IO_READ, 4096, 60 }, { SIGHT_G_QUEUE, IO_READ, 8192, 40 }, { SIGHT_G_QUEUE, IO_READ, 2 << 20, 2 },
		{ SIGHT_G_QUEUE, IO_WRITE, 0, 70 }, { SIGHT_G_MERGE, IO_WRITE, 0, 19 },
		{ SIGHT_G_QUEUE, IO_FLUSH, 0, 2 }, { SIGHT_G_ISSUE, IO_FLUSH, 0, 2 }, { SIGHT_G_COMPLETE, IO_FLUSH, 0, 2 },
	};
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		if (count(want[i].kind, want[i].op, want[i].length) != want[i].n)
			fail_msg("%s: %zu of %s, op %u, length %u; not %zu", bus, count(want[i].kind, want[i].op, want[i].length),
				 sight_name(want[i].kind), want[i].op, want[i].length, want[i].n);
	assert_true(count(SIGHT_G_SPLIT, IO_READ, 0) >= 2);
	assert_true(count(SIGHT_G_KICK, SIGHT_OP_NONE, 0) >= 100);
	assert_true(count(SIGHT_G_IRQ, SIGHT_OP_NONE, 0) >= 100);
	assert_int_equal(count(SIGHT_G_ISSUE, IO_READ, 0), count(SIGHT_G_COMPLETE, IO_READ, 0));
}

/* Each kind of load did what the fixtures' README says: 60 reads of 4 KiB, 40 of 8 KiB, 2 of 2 MiB that are split, 50 direct writes,
 * 20 buffered ones that merge, flushes. */
static void test_real_guests(void **state)
{
	static const char *const buses[] = { "virtio-blk", "virtio-scsi", "ahci", "ide", "nvme" };
	for (size_t b = 0; b < sizeof(buses) / sizeof(buses[0]); b++) {
		uint32_t device = fixture_device(buses[b]);
		fresh(state);
		for (size_t i = 0; i < sizeof(guest_events) / sizeof(guest_events[0]); i++)
			add_fixture(buses[b], guest_events[i].name, guest_events[i].kind);
		assert_int_equal(kernel_decoder_only_device(d, device, &err), 0);
		decode_fixture(buses[b]);
		assert_int_equal(counts.bad, 0);
		assert_int_equal(counts.unknown, 0);
		check_load(device);
		check_counts(buses[b]);
		done(state);
	}
	fresh(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_syscalls, fresh, done),
		cmocka_unit_test_setup_teardown(test_kvm, fresh, done),
		cmocka_unit_test_setup_teardown(test_threads, fresh, done),
		cmocka_unit_test_setup_teardown(test_block, fresh, done),
		cmocka_unit_test_setup_teardown(test_split, fresh, done),
		cmocka_unit_test_setup_teardown(test_unknown_and_short, fresh, done),
		cmocka_unit_test_setup_teardown(test_refused, fresh, done),
		cmocka_unit_test_setup_teardown(test_common_fields, fresh, done),
		cmocka_unit_test(test_real_guests),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
