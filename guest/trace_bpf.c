// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/trace_bpf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"
#include "common/tsc.h"
#include "guest/bpf_btf.h"
#include "guest/drain.h"

enum {
	CPU_MAX = 256,
	LOG_BYTES = 16 << 10,
	HOOKS_MAX = 2,
	MODULES_MAX = 4096,
	CALIBRATE_TRIES = 4,
};

/* ---- system calls ---- */

static int sys_bpf(int cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int make_map(enum bpf_map_type type, uint32_t value, uint32_t entries, uint32_t flags)
{
	union bpf_attr a = { 0 };

	a.map_type = type;
	a.key_size = 4;
	a.value_size = value;
	a.max_entries = entries;
	a.map_flags = flags;
	return sys_bpf(BPF_MAP_CREATE, &a);
}

/* Of the verifier's log, the last line but the statistics says what it is about. */
static int refused(const char *name, char *log, int e, struct error *err)
{
	char *end = strstr(log, "processed "), *line;

	if (end)
		*end = 0;
	for (size_t n = strlen(log); n && (log[n - 1] == '\n' || log[n - 1] == ' ');)
		log[--n] = 0;
	line = strrchr(log, '\n');
	return error_set(err, ERR_FAILED, "%s: %s%s%.120s", name, strerror(e), *log ? ": " : "", line ? line + 1 : log);
}

static int load_prog(const struct bpf_prog *p, const char *name, union bpf_attr *a, struct error *err)
{
	static char log[LOG_BYTES];

	a->insns = (uintptr_t)p->insn;
	a->insn_cnt = p->n;
	a->license = (uintptr_t) "GPL";
	int fd = sys_bpf(BPF_PROG_LOAD, a);
	if (fd >= 0)
		return fd;
	int e = errno;
	log[0] = 0;
	a->log_level = 1;
	a->log_buf = (uintptr_t)log;
	a->log_size = sizeof(log);
	sys_bpf(BPF_PROG_LOAD, a);
	return refused(name, log, e, err);
}

static int attach(struct trace_bpf *b, int prog, const char *name, struct error *err)
{
	union bpf_attr a = { 0 };

	a.raw_tracepoint.prog_fd = (uint32_t)prog;
	int fd = sys_bpf(BPF_RAW_TRACEPOINT_OPEN, &a), e = errno;
	/* The link keeps the program. */
	close(prog);
	if (fd < 0)
		return error_set(err, ERR_FAILED, "%s: %s", name, strerror(e));
	b->link[b->n_links++] = fd;
	return 0;
}

/* ---- what this kernel looks like ---- */

enum { BIO, BVEC_ITER, BLOCK_DEVICE, REQUEST, REQUEST_QUEUE, GENDISK, TASK, FILES, FDTABLE, A_FILE, PERF_EVENT, HW_PERF_EVENT, STRUCTS };

static const struct { const char *name; uint8_t sight, shape; } points[] = {
	{ "btf_trace_block_bio_queue", SIGHT_G_QUEUE, BPF_SHAPE_BIO },
	{ "btf_trace_block_rq_issue", SIGHT_G_ISSUE, BPF_SHAPE_REQUEST },
	{ "btf_trace_block_rq_requeue", SIGHT_G_REQUEUE, BPF_SHAPE_REQUEST },
	{ "btf_trace_block_rq_complete", SIGHT_G_COMPLETE, BPF_SHAPE_DONE },
	{ "btf_trace_block_bio_backmerge", SIGHT_G_MERGE, BPF_SHAPE_BIO },
	{ "btf_trace_block_bio_frontmerge", SIGHT_G_MERGE, BPF_SHAPE_BIO },
	{ "btf_trace_block_split", SIGHT_G_SPLIT, BPF_SHAPE_SPLIT },
};

enum { POINTS = sizeof(points) / sizeof(points[0]) };

/* As in trace_events.c. nvme is not here: of what shows its kick, the compiler left nothing that BTF names. */
static const struct bpf_hook {
	const char *driver, *module, *function[2];
	uint8_t sight, shape, argument;
} hooks[] = {
	{ "virtio_blk", "virtio_ring", { "virtqueue_notify" }, SIGHT_G_KICK, BPF_SHAPE_KEY, 0 },
	{ "virtio_blk", "virtio_ring", { "vring_interrupt" }, SIGHT_G_IRQ, BPF_SHAPE_KEY, 1 },
	{ "virtio_scsi", "virtio_ring", { "virtqueue_notify" }, SIGHT_G_KICK, BPF_SHAPE_KEY, 0 },
	{ "virtio_scsi", "virtio_ring", { "vring_interrupt" }, SIGHT_G_IRQ, BPF_SHAPE_KEY, 1 },
	{ "ahci", "libahci", { "ahci_qc_issue" }, SIGHT_G_KICK, BPF_SHAPE_KEY_OF, 0 },
	{ "ahci", "libahci", { "ahci_single_level_irq_intr", "ahci_multi_irqs_intr_hard" }, SIGHT_G_IRQ, BPF_SHAPE_KEY, 0 },
	{ "ata_piix", "libata", { "ata_bmdma_start" }, SIGHT_G_KICK, BPF_SHAPE_KEY_OF, 0 },
	{ "ata_piix", "libata", { "ata_bmdma_interrupt" }, SIGHT_G_IRQ, BPF_SHAPE_KEY, 0 },
	/* The kernel's own disk in memory, on which the cost is measured. */
	{ "null_blk", "null_blk", { "null_queue_rq" }, SIGHT_G_KICK, BPF_SHAPE_KEY, 0 },
	{ "null_blk", "null_blk", { "null_complete_rq" }, SIGHT_G_IRQ, BPF_SHAPE_KEY, 0 },
};

struct kernel_view {
	struct btf_file btf;
	struct btf_want want[STRUCTS + POINTS];
};

static int lay_out(struct trace_bpf *b, const struct kernel_view *k, struct error *err)
{
	struct bpf_layout *l = &b->layout;
	int iter = btf_offset(&k->btf, &k->want[BIO], "bi_iter"), hw = btf_offset(&k->btf, &k->want[PERF_EVENT], "hw");
	const struct { int16_t *to; unsigned type; const char *member; int plus; } need[] = {
		{ &l->bio_sector, BVEC_ITER, "bi_sector", iter }, { &l->bio_size, BVEC_ITER, "bi_size", iter }, { &l->bio_bdev, BIO, "bi_bdev", 0 },
		{ &l->bio_opf, BIO, "bi_opf", 0 }, { &l->bdev_dev, BLOCK_DEVICE, "bd_dev", 0 }, { &l->rq_sector, REQUEST, "__sector", 0 },
		{ &l->rq_len, REQUEST, "__data_len", 0 }, { &l->rq_flags, REQUEST, "cmd_flags", 0 }, { &l->rq_queue, REQUEST, "q", 0 },
		{ &l->queue_disk, REQUEST_QUEUE, "disk", 0 }, { &l->disk_major, GENDISK, "major", 0 }, { &l->disk_minor, GENDISK, "first_minor", 0 },
		{ &l->task_files, TASK, "files", 0 }, { &l->files_table, FILES, "fdt", 0 }, { &l->table_fds, FDTABLE, "fd", 0 },
		{ &l->file_private, A_FILE, "private_data", 0 }, { &l->event_prev, HW_PERF_EVENT, "prev_count", hw }, { &l->event_count, PERF_EVENT, "count", 0 },
	};

	for (size_t i = 0; i < sizeof(need) / sizeof(need[0]); i++) {
		int at = btf_offset(&k->btf, &k->want[need[i].type], need[i].member);
		if (at < 0 || need[i].plus < 0 || at + need[i].plus > INT16_MAX)
			return error_set(err, ERR_NOT_FOUND, "this kernel's struct %s has no %s", k->want[need[i].type].name, need[i].member);
		*need[i].to = (int16_t)(at + need[i].plus);
	}
	return 0;
}

static int look_at_kernel(struct trace_bpf *b, struct kernel_view *k, struct error *err)
{
	static const char *const structs[STRUCTS] = {
		[BIO] = "bio", [BVEC_ITER] = "bvec_iter", [BLOCK_DEVICE] = "block_device", [REQUEST] = "request", [REQUEST_QUEUE] = "request_queue",
		[GENDISK] = "gendisk", [TASK] = "task_struct", [FILES] = "files_struct", [FDTABLE] = "fdtable", [A_FILE] = "file",
		[PERF_EVENT] = "perf_event", [HW_PERF_EVENT] = "hw_perf_event",
	};

	for (unsigned i = 0; i < STRUCTS; i++)
		k->want[i] = (struct btf_want){ .kind = BTF_KIND_STRUCT, .name = structs[i] };
	for (unsigned i = 0; i < POINTS; i++)
		k->want[STRUCTS + i] = (struct btf_want){ .kind = BTF_KIND_TYPEDEF, .name = points[i].name };
	if (btf_read(&k->btf, "/sys/kernel/btf/vmlinux", NULL, err) || btf_find(&k->btf, k->want, STRUCTS + POINTS, err))
		return -1;
	for (unsigned i = 0; i < POINTS; i++)
		if (!k->want[STRUCTS + i].id)
			return error_set(err, ERR_NOT_FOUND, "this kernel has no tracepoint %s", points[i].name + sizeof("btf_trace_") - 1);
	return lay_out(b, k, err);
}

/* The descriptor of a loaded module's BTF. */
static int module_btf(const char *module)
{
	union bpf_attr a = { 0 };

	for (unsigned i = 0; i < MODULES_MAX && sys_bpf(BPF_BTF_GET_NEXT_ID, &a) == 0; i++) {
		char name[64] = "";
		struct bpf_btf_info info = { .name = (uintptr_t)name, .name_len = sizeof(name) };
		union bpf_attr get = { 0 }, ask = { 0 };
		get.btf_id = a.next_id;
		int fd = sys_bpf(BPF_BTF_GET_FD_BY_ID, &get);
		ask.info.bpf_fd = (uint32_t)fd;
		ask.info.info_len = sizeof(info);
		ask.info.info = (uintptr_t)&info;
		if (fd >= 0 && sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &ask) == 0 && strcmp(name, module) == 0)
			return fd;
		if (fd >= 0)
			close(fd);
		a.start_id = a.next_id;
	}
	return -1;
}

/* ---- programs ---- */

static int add_point(struct trace_bpf *b, unsigned i, uint32_t id, struct error *err)
{
	struct bpf_prog p;
	union bpf_attr a = { 0 };

	bpf_record_prog(&p, &b->map, &b->layout, points[i].shape, 0, points[i].sight);
	a.prog_type = BPF_PROG_TYPE_TRACING;
	a.expected_attach_type = BPF_TRACE_RAW_TP;
	a.attach_btf_id = id;
	int fd = load_prog(&p, points[i].name, &a, err);
	return fd < 0 ? -1 : attach(b, fd, points[i].name, err);
}

static int load_hook(const struct trace_bpf *b, const struct bpf_hook *h, const struct btf_want *want, int btf, struct error *err)
{
	struct bpf_prog p;
	union bpf_attr a = { 0 };

	bpf_record_prog(&p, &b->map, &b->layout, h->shape, h->argument, h->sight);
	a.prog_type = BPF_PROG_TYPE_TRACING;
	a.expected_attach_type = BPF_TRACE_FENTRY;
	a.attach_btf_id = want->id;
	a.attach_btf_obj_fd = (uint32_t)btf;
	return load_prog(&p, want->name, &a, err);
}

static int add_hook(struct trace_bpf *b, const struct kernel_view *k, const struct bpf_hook *h, struct error *err)
{
	struct btf_want want[] = { { .kind = BTF_KIND_FUNC, .name = h->function[0] }, { .kind = BTF_KIND_FUNC, .name = h->function[1] ? h->function[1] : "?" } };
	struct btf_file f = { 0 };
	char path[128];
	int btf = module_btf(h->module), fd = -1;

	snprintf(path, sizeof(path), "/sys/kernel/btf/%s", h->module);
	if (btf < 0)
		error_set(err, ERR_NOT_FOUND, "the module %s has no BTF", h->module);
	else if (btf_read(&f, path, &k->btf, err) == 0 && btf_find(&f, want, 2, err) == 0) {
		const struct btf_want *w = want[0].id ? &want[0] : &want[1];
		fd = w->id ? load_hook(b, h, w, btf, err) : error_set(err, ERR_NOT_FOUND, "%s has no function %s", h->module, h->function[0]);
	}
	btf_fini(&f);
	if (btf >= 0)
		close(btf);
	return fd < 0 ? -1 : attach(b, fd, h->function[0], err);
}

static int add_programs(struct trace_bpf *b, const struct kernel_view *k, const char *driver, struct error *err)
{
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		if (strcmp(hooks[i].driver, driver) != 0)
			continue;
		n++;
		if (add_hook(b, k, &hooks[i], err))
			return -1;
	}
	if (!n)
		return error_set(err, ERR_NOT_FOUND, "no functions of the driver \"%s\" are known that BTF names", driver);
	for (unsigned i = 0; i < POINTS; i++)
		if (add_point(b, i, k->want[STRUCTS + i].id, err))
			return -1;
	return 0;
}

/* ---- clock ---- */

static int open_event(unsigned cpu, struct error *err)
{
	struct perf_event_attr a = { .size = sizeof(a), .type = (uint32_t)sys_read_u64(UINT32_MAX, "", "/sys/bus/event_source/devices/msr/type") };
	char event[32] = "";

	sys_read(event, sizeof(event), "", "/sys/bus/event_source/devices/msr/events/tsc");
	if (a.type == UINT32_MAX || sscanf(event, "event=%llx", (unsigned long long *)&a.config) != 1)
		return error_set(err, ERR_NOT_FOUND, "this kernel does not count the TSC (PMU msr)");
	int fd = (int)syscall(SYS_perf_event_open, &a, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? error_sys(err, errno, "the TSC's event on CPU %u", cpu) : fd;
}

/* The reading and the count are of one update, unless another came between: then they do not fit what was read around them. */
static int calibrate(struct trace_bpf *b, struct trace_bpf_cpu *c, int prog, struct error *err)
{
	const volatile uint64_t *seen = (const volatile uint64_t *)((const volatile uint8_t *)b->state + BPF_CAL_PREV);

	for (int i = 0; i < CALIBRATE_TRIES; i++) {
		uint64_t context = (uint64_t)c->event, count = 0, before = tsc_read();
		if (read(c->event, &count, sizeof(count)) != sizeof(count))
			return error_sys(err, errno, "the TSC's event on CPU %u", c->cpu);
		uint64_t after = tsc_read();
		union bpf_attr a = { 0 };
		a.test.prog_fd = (uint32_t)prog;
		a.test.ctx_in = (uintptr_t)&context;
		a.test.ctx_size_in = sizeof(context);
		if (sys_bpf(BPF_PROG_TEST_RUN, &a) < 0)
			return error_sys(err, errno, "the clock's program");
		c->base = seen[0] - seen[1];
		if (c->base - (before - count) <= after - before)
			return 0;
	}
	return error_set(err, ERR_FAILED, "the TSC's event on CPU %u does not keep its last reading where it is looked for", c->cpu);
}

static int make_clock(struct trace_bpf *b, struct error *err)
{
	struct bpf_prog p;
	union bpf_attr a = { 0 };
	int failed = 0;

	bpf_calibrate_prog(&p, &b->map, &b->layout);
	a.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
	int prog = load_prog(&p, "the clock's program", &a, err);
	if (prog < 0)
		return -1;
	for (unsigned i = 0; i < b->n_cpus && !failed; i++) {
		struct trace_bpf_cpu *c = &b->cpu[i];
		union bpf_attr put = { 0 };
		c->event = open_event(c->cpu, err);
		put.map_fd = (uint32_t)b->map.clock;
		put.key = (uintptr_t)&c->cpu;
		put.value = (uintptr_t)&c->event;
		failed = c->event < 0 || calibrate(b, c, prog, err);
		if (!failed && sys_bpf(BPF_MAP_UPDATE_ELEM, &put) < 0)
			failed = error_sys(err, errno, "the TSC's event on CPU %u", c->cpu);
	}
	close(prog);
	return failed ? -1 : 0;
}

/* ---- memory ---- */

/* "0-3,5" */
static int list_cpus(struct trace_bpf *b, struct error *err)
{
	char text[512];
	unsigned from, to;
	int used;

	sys_read(text, sizeof(text), "", "/sys/devices/system/cpu/online");
	b->cpu = calloc(CPU_MAX, sizeof(*b->cpu));
	for (const char *at = text; b->cpu && sscanf(at, "%u%n", &from, &used) == 1; at += *at == ',') {
		at += used;
		to = from;
		if (*at == '-' && sscanf(at, "-%u%n", &to, &used) == 1)
			at += used;
		for (; from <= to && from < CPU_MAX; from++)
			b->cpu[b->n_cpus++] = (struct trace_bpf_cpu){ .cpu = from, .event = -1 };
		if (to >= CPU_MAX)
			return error_set(err, ERR_LIMIT, "more than %d CPUs", CPU_MAX);
	}
	if (!b->n_cpus)
		return error_set(err, ERR_FAILED, "the CPUs cannot be listed");
	b->map.cpus = b->cpu[b->n_cpus - 1].cpu + 1;
	return 0;
}

static void *map_memory(int fd, size_t bytes, int prot)
{
	void *p = mmap(NULL, bytes, prot, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int make_maps(struct trace_bpf *b, uint64_t bytes, struct error *err)
{
	uint64_t slots = bytes / sizeof(struct bpf_record), page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (!slots || slots * b->map.cpus > INT32_MAX)
		return error_set(err, ERR_LIMIT, "no region of records has %llu bytes on each of %u CPUs", (unsigned long long)bytes, b->map.cpus);
	b->map.slots = (uint32_t)slots;
	size_t state = sizeof(struct bpf_state) + b->map.cpus * sizeof(struct bpf_line);
	b->state_bytes = (state + page - 1) / page * page;
	b->record_bytes = (slots * b->map.cpus * sizeof(struct bpf_record) + page - 1) / page * page;
	b->map.state = make_map(BPF_MAP_TYPE_ARRAY, (uint32_t)state, 1, BPF_F_MMAPABLE);
	if (b->map.state < 0)
		return error_sys(err, errno, "the kernel refuses BPF maps");
	b->map.records = make_map(BPF_MAP_TYPE_ARRAY, sizeof(struct bpf_record), (uint32_t)slots * b->map.cpus, BPF_F_MMAPABLE);
	b->map.clock = make_map(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, b->map.cpus, 0);
	if (b->map.records < 0 || b->map.clock < 0)
		return error_sys(err, errno, "records of %u CPUs", b->map.cpus);
	b->state = map_memory(b->map.state, b->state_bytes, PROT_READ | PROT_WRITE);
	b->record = map_memory(b->map.records, b->record_bytes, PROT_READ | PROT_WRITE);
	b->unpacked = calloc(SIGHT_CHUNK, sizeof(*b->unpacked));
	wbuf_heap(&b->packed, SIGHT_CHUNK_BYTES);
	return b->state && b->record && b->unpacked ? 0 : error_set(err, ERR_LIMIT, "no memory to read the records");
}

/* ---- life ---- */

struct trace_bpf *trace_bpf_open(const char *driver, uint64_t bytes, struct error *err)
{
	struct kernel_view k = { 0 };
	struct trace_bpf *b = calloc(1, sizeof(*b));

	if (!b) {
		error_set(err, ERR_LIMIT, "no memory");
		return NULL;
	}
	b->map.state = b->map.records = b->map.clock = -1;
	int bad = list_cpus(b, err) || look_at_kernel(b, &k, err) || make_maps(b, bytes, err) || make_clock(b, err) || add_programs(b, &k, driver, err);
	btf_fini(&k.btf);
	if (!bad)
		return b;
	trace_bpf_close(b);
	return NULL;
}

void trace_bpf_close(struct trace_bpf *b)
{
	if (!b)
		return;
	for (unsigned i = 0; i < b->n_links; i++)
		close(b->link[i]);
	for (unsigned i = 0; b->cpu && i < b->n_cpus; i++)
		if (b->cpu[i].event >= 0)
			close(b->cpu[i].event);
	if (b->state)
		munmap((void *)(uintptr_t)b->state, b->state_bytes);
	if (b->record)
		munmap(b->record, b->record_bytes);
	const int map[] = { b->map.state, b->map.records, b->map.clock };
	for (size_t i = 0; i < 3; i++)
		if (map[i] >= 0)
			close(map[i]);
	wbuf_fini(&b->packed);
	free(b->unpacked);
	free(b->cpu);
	free(b);
}

void trace_bpf_switch(struct trace_bpf *b, bool on)
{
	b->state->on = on;
}

/* ---- sending ---- */

static uint64_t asked(const struct trace_bpf *b, const struct trace_bpf_cpu *c)
{
	return ((const volatile struct bpf_line *)(b->state + 1))[c->cpu].next;
}

/* An interrupt between a program's stamp and its slot has the earlier slot and the later stamp; no more than a few nest. */
static void sort_records(struct bpf_record *r, uint64_t n)
{
	for (uint64_t i = 1; i < n; i++)
		for (uint64_t k = i; k > 0 && i - k < 16 && r[k].count < r[k - 1].count && r[k].kind && r[k - 1].kind; k--) {
			struct bpf_record swap = r[k];
			r[k] = r[k - 1];
			r[k - 1] = swap;
		}
}

/* The helper's errors are the last 4095 numbers. */
static bool has_stamp(const struct bpf_record *r)
{
	return r->count < (uint64_t)-4095;
}

static size_t take_chunk(struct trace_bpf *b, struct trace_bpf_cpu *c, const struct bpf_record *r, uint64_t n, uint64_t *at)
{
	size_t have = 0;

	for (; *at < n && have < SIGHT_CHUNK; (*at)++) {
		if (!r[*at].kind || !has_stamp(&r[*at]))
			c->lost++;
		else if (bpf_sighting(&r[*at], c->base, &b->unpacked[have]))
			have++;
	}
	return have;
}

static bool has_room(const struct channel *ch, size_t bytes)
{
	enum { FIELDS = 512 };

	return channel_room(ch) > bytes + FIELDS + DRAIN_RESERVE;
}

static bool send_cpu(struct trace_bpf *b, struct trace_bpf_cpu *c, struct channel *ch, uint64_t run, uint64_t *sent)
{
	struct error err = { 0 };
	struct bpf_record *r = b->record + (uint64_t)c->cpu * b->map.slots;
	uint64_t all = asked(b, c), n = all < b->map.slots ? all : b->map.slots;

	if (!c->sorted)
		sort_records(r, n);
	c->sorted = true;
	while (c->sent < n) {
		uint64_t lost = c->lost, at = c->sent;
		size_t have = take_chunk(b, c, r, n, &at);
		wbuf_reset(&b->packed);
		sights_pack(&b->packed, b->unpacked, have);
		struct msg_trace_sights m = { .run = run, .cpu = c->cpu, .index = c->index, .sights = { b->packed.p, b->packed.len } };
		int queued = b->packed.bad ? -1 : has_room(ch, b->packed.len) ? channel_send_trace_sights(ch, &m, CHANNEL_WAIT, &err) : 1;
		if (queued > 0) {
			c->lost = lost;
			return false;
		}
		if (queued < 0)
			log_error("trace: %s", b->packed.bad ? "sightings that cannot be packed" : err.text);
		c->sent = at;
		c->index++;
		(*sent)++;
	}
	struct msg_trace_end end = { .run = run, .cpu = c->cpu, .pages = c->index, .overrun = all - n + c->lost, .read = n - c->lost };
	if (c == b->cpu)
		end.overrun += b->state->homeless;
	return has_room(ch, 0) && channel_send_trace_end(ch, &end, CHANNEL_WAIT, &err) <= 0;
}

bool trace_bpf_send(struct trace_bpf *b, struct channel *ch, uint64_t run, uint64_t *sent)
{
	for (; b->at_cpu < b->n_cpus; b->at_cpu++)
		if (!send_cpu(b, &b->cpu[b->at_cpu], ch, run, sent))
			return false;
	return true;
}
