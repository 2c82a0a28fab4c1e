/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host kernel's vantage: QEMU's I/O system calls, its disk's block events, KVM, and the scheduling of QEMU's threads.
 *
 * Two instances of tracefs, since their events are told apart in two ways:
 *   host   what QEMU's threads do, by set_event_pid: system calls, KVM, wake-ups, bios
 *   disk   issue and completion of one disk's requests, by a filter on its number: kworkers issue too, and a completion
 *          interrupts whoever is running
 * No event is enabled in both. Everything is decoded after the window (record.h, kernel.h).
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "host/trace/host_disk.h"
#include "host/trace/kernel.h"
#include "host/trace/record.h"
#include "host/trace/vantage.h"

enum { OF_QEMU, OF_QEMUS_DISK, OF_DISK, OF_KVM };

static const struct host_event {
	const char *name;
	uint16_t kind;
	uint8_t whose;
} events[] = {
#define C(number, name) { "syscalls:sys_enter_" #name, SIGHT_H_ENTER, OF_QEMU }, { "syscalls:sys_exit_" #name, SIGHT_H_EXIT, OF_QEMU },
	SIGHT_SYSCALLS(C)
#undef C
	{ "block:block_bio_queue", SIGHT_H_QUEUE, OF_QEMUS_DISK },
	{ "block:block_rq_issue", SIGHT_H_ISSUE, OF_DISK },
	{ "block:block_rq_complete", SIGHT_H_COMPLETE, OF_DISK },
	{ "kvm:kvm_exit", SIGHT_H_KVM_EXIT, OF_KVM },
	{ "kvm:kvm_entry", SIGHT_H_KVM_ENTRY, OF_KVM },
	{ "kvm:kvm_fast_mmio", SIGHT_H_KVM_MMIO, OF_KVM },
	{ "kvm:kvm_mmio", SIGHT_H_KVM_MMIO, OF_KVM },
	{ "kvm:kvm_pio", SIGHT_H_KVM_MMIO, OF_KVM },
	{ "kvm:kvm_msi_set_irq", SIGHT_H_KVM_INJECT, OF_KVM },
	{ "kvm:kvm_set_irq", SIGHT_H_KVM_INJECT, OF_KVM },
	{ "kvm:kvm_write_tsc_offset", SIGHT_H_TSC_WRITE, OF_KVM },
	{ "sched:sched_waking", SIGHT_H_WAKING, OF_QEMU },
	{ "sched:sched_switch", SIGHT_H_SWITCH, OF_QEMU },
};

enum {
	EVENTS = sizeof(events) / sizeof(events[0]),
	THREADS_MAX = 4096,
	/* Workers live for ten idle seconds: looked for twice as often as they come and go. */
	THREADS_TICKS = 50,
	/* What one I/O leaves in the buffers, with room to spare: two system calls, wake-ups and switches of two threads; exits come on top. */
	QEMU_BYTES_PER_IO = 2 << 10, KVM_BYTES_PER_IO = 4 << 10, DISK_BYTES_PER_IO = 512,
	/* What a second leaves without any: timers, housekeeping, other users of the disk. */
	QEMU_BYTES_PER_S = 256 << 10, KVM_BYTES_PER_S = 1 << 20, DISK_BYTES_PER_S = 64 << 10,
	DISK_SHARE = 4,                /* of RECORD_BUFFERS_MAX one in so many is the disk's */
};

struct host_kernel {
	const struct trace_target *t;
	pid_t pid;                     /* of the QEMU that has the guest; t's until it migrates */
	struct tracefs fs;
	struct recorder rec;
	struct kernel_decoder *decoder;
	struct kernel_counts counts;
	bool there[EVENTS];
	bool kvm, has_disk;
	struct host_disk disk;
	char fds[256];
	char why_no_disk[TRACE_WHY_MAX], why_no_kvm[TRACE_WHY_MAX];
	char absent[SIGHT_KINDS][TRACE_WHY_MAX];  /* why an event of that kind is not there; "" if it is */
	int of_qemu, of_disk;          /* indices of the recorder's instances; -1: none */
	uint32_t ticks;
	uint32_t threads;
	uint32_t thread[THREADS_MAX];  /* that QEMU has, or had, ascending */
};

/* ---- QEMU's threads ---- */

static int order(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool is_thread(const struct host_kernel *h, uint64_t tid)
{
	uint32_t key = (uint32_t)tid;

	return tid <= UINT32_MAX && bsearch(&key, h->thread, h->threads, sizeof(key), order);
}

static void know_threads_of(struct host_kernel *h, pid_t pid)
{
	char path[64];
	uint32_t before = h->threads;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);
	for (struct dirent *e = dir ? readdir(dir) : NULL; e && h->threads < THREADS_MAX; e = readdir(dir)) {
		uint32_t tid = (uint32_t)strtoul(e->d_name, NULL, 10);
		if (tid && !bsearch(&tid, h->thread, before, sizeof(tid), order))
			h->thread[h->threads++] = tid;
	}
	if (dir)
		closedir(dir);
	qsort(h->thread, h->threads, sizeof(h->thread[0]), order);
}

static void know_threads(struct host_kernel *h)
{
	know_threads_of(h, h->pid);
}

/* KVM shows in the process as descriptors of a VM. */
static bool uses_kvm(pid_t pid)
{
	char path[320], link[64];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *dir = opendir(path);
	for (struct dirent *e = dir ? readdir(dir) : NULL; e && !found; e = readdir(dir)) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, e->d_name);
		ssize_t n = readlink(path, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = '\0';
		found = strcmp(link, "anon_inode:kvm-vm") == 0;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* ---- what can be seen here ---- */

static void find_disk(struct host_kernel *h)
{
	struct error err = { 0 };
	char found[64];
	const char *scratch = h->t->scratch && *h->t->scratch ? h->t->scratch : NULL;

	if (!scratch && h->t->vm) {
		snprintf(h->why_no_disk, sizeof(h->why_no_disk), "disk.backend=null-co: nothing of it reaches a disk of this node");
		return;
	}
	if (host_disk_descriptors(h->t->pid, scratch, h->fds, sizeof(h->fds), found, sizeof(found), &err) == 0) {
		const char *path = scratch ? scratch : found;
		if (!*path)
			error_set(&err, ERR_NOT_FOUND, "QEMU has no file open that may be the scratch disk");
		else
			h->has_disk = host_disk_of_file(path, &h->disk, &err) == 0;
	}
	if (!h->has_disk)
		snprintf(h->why_no_disk, sizeof(h->why_no_disk), "no single disk under the scratch file: %.180s", err.text);
}

/* Why this event cannot be here whatever the kernel offers, or NULL. */
static const char *out_of_place(const struct host_kernel *h, const struct host_event *e)
{
	if (e->whose == OF_KVM && !h->kvm)
		return h->why_no_kvm;
	if ((e->whose == OF_DISK || e->whose == OF_QEMUS_DISK) && !h->has_disk)
		return h->why_no_disk;
	return NULL;
}

static int learn_event(struct host_kernel *h, const struct host_event *e, struct error *err)
{
	char file[128];
	struct trace_format f;

	snprintf(file, sizeof(file), "events/%s/format", e->name);
	*strchr(file, ':') = '/';
	autofree char *text = tracefs_text(h->fs.root, file, err);
	if (!text)
		return error_set(err, ERR_NOT_FOUND, "this kernel has no event %s", e->name);
	if (format_parse((struct span){ (const uint8_t *)text, strlen(text) }, &f, err))
		return -1;
	return kernel_decoder_add(h->decoder, e->kind, &f, err);
}

static void say_absent(struct host_kernel *h, const struct host_event *e, const char *why)
{
	snprintf(h->absent[e->kind], sizeof(h->absent[0]), "%.*s", TRACE_WHY_MAX - 1, why);
}

static size_t learn_events(struct host_kernel *h)
{
	size_t n = 0;

	for (size_t i = 0; i < EVENTS; i++) {
		struct error err = { 0 };
		const char *why = out_of_place(h, &events[i]);

		h->there[i] = !why && learn_event(h, &events[i], &err) == 0;
		if (!h->there[i])
			say_absent(h, &events[i], why ? why : err.text);
		n += h->there[i];
	}
	return n;
}

static uint64_t expected_bytes(const struct host_kernel *h, uint64_t per_io, uint64_t per_s)
{
	uint64_t s = h->t->window_ns / 1000000000 + 1;

	if (!h->t->window_ns || !h->t->ios || h->t->ios > RECORD_BUFFERS_MAX / per_io || s > RECORD_BUFFERS_MAX / per_s)
		return RECORD_BUFFERS_MAX;
	return h->t->ios * per_io + s * per_s;
}

static int make_instances(struct host_kernel *h, struct error *err)
{
	uint64_t per_io = QEMU_BYTES_PER_IO + (h->kvm ? KVM_BYTES_PER_IO : 0), per_s = QEMU_BYTES_PER_S + (h->kvm ? KVM_BYTES_PER_S : 0);
	uint64_t disk = h->has_disk ? RECORD_BUFFERS_MAX / DISK_SHARE : 0;

	h->of_qemu = recorder_add(&h->rec, &h->fs, "host", expected_bytes(h, per_io, per_s), RECORD_BUFFERS_MAX - disk, err);
	if (h->of_qemu < 0 || !h->has_disk)
		return h->of_qemu < 0 ? -1 : 0;
	h->of_disk = recorder_add(&h->rec, &h->fs, "disk", expected_bytes(h, DISK_BYTES_PER_IO, DISK_BYTES_PER_S), disk, err);
	return h->of_disk < 0 ? -1 : 0;
}

static int look_around(struct host_kernel *h, struct error *err)
{
	if (!h->t->pid)
		return error_set(err, ERR_NOT_FOUND, "QEMU's process is not known");
	if (tracefs_find(&h->fs, true, err))
		return -1;
	if (!tracefs_has_tsc(&h->fs))
		return error_set(err, ERR_NOT_FOUND, "this kernel's tracing has no clock x86-tsc");
	h->decoder = kernel_decoder_new(err);
	if (!h->decoder)
		return -1;
	h->kvm = uses_kvm(h->t->pid);
	snprintf(h->why_no_kvm, sizeof(h->why_no_kvm), "QEMU does not use KVM");
	find_disk(h);
	know_threads(h);
	if (!h->threads)
		return error_set(err, ERR_NOT_FOUND, "process %d has ended", (int)h->t->pid);
	if (!learn_events(h))
		return error_set(err, ERR_NOT_FOUND, "this kernel has none of the events; boot one with CONFIG_FTRACE_SYSCALLS and CONFIG_BLK_DEV_IO_TRACE");
	return make_instances(h, err);
}

static void host_kernel_free(void *self)
{
	struct host_kernel *h = self;

	if (!h)
		return;
	recorder_free(&h->rec);
	kernel_decoder_free(h->decoder);
	free(h);
}

static void *host_kernel_open(const struct trace_target *t, char why[TRACE_WHY_MAX])
{
	struct error err = { 0 };
	struct host_kernel *h = calloc(1, sizeof(*h));

	if (!h) {
		snprintf(why, TRACE_WHY_MAX, "out of memory");
		return NULL;
	}
	h->t = t;
	h->pid = t->pid;
	h->of_qemu = h->of_disk = -1;
	recorder_init(&h->rec);
	if (look_around(h, &err) == 0)
		return h;
	snprintf(why, TRACE_WHY_MAX, "%.*s", TRACE_WHY_MAX - 1, err.text);
	host_kernel_free(h);
	return NULL;
}

/* ---- the window ---- */

static void enable(struct host_kernel *h, size_t i)
{
	const struct host_event *e = &events[i];
	struct error err = { 0 };
	char filter[64];
	bool of_disk = e->whose == OF_DISK, filtered = of_disk || e->whose == OF_QEMUS_DISK;

	snprintf(filter, sizeof(filter), "dev == %u || dev == %u", h->disk.device, h->disk.part);
	if (tracefs_instance_enable(&h->rec.instance[of_disk ? h->of_disk : h->of_qemu], e->name, filtered ? filter : NULL, &err) == 0)
		return;
	h->there[i] = false;
	say_absent(h, e, err.text);
}

static int host_kernel_start(void *self, struct error *err)
{
	struct host_kernel *h = self;

	/* Threads before events: an instance without a list of threads takes everybody's. */
	if (tracefs_instance_process(&h->rec.instance[h->of_qemu], h->t->pid, err))
		return -1;
	for (size_t i = 0; i < EVENTS; i++)
		if (h->there[i])
			enable(h, i);
	know_threads(h);
	return recorder_start(&h->rec, err);
}

static void host_kernel_tick(void *self)
{
	struct host_kernel *h = self;

	recorder_tick(&h->rec);
	if (++h->ticks % THREADS_TICKS == 0)
		know_threads(h);
}

static void host_kernel_stop(void *self)
{
	struct host_kernel *h = self;

	know_threads(h);
	recorder_stop(&h->rec);
}

/* Descriptors that only the QEMU that the guest came to has. */
static void add_descriptors(struct host_kernel *h, const char *more)
{
	char all[sizeof(h->fds) + 2], one[16];

	for (const char *p = more; *p; p += strcspn(p, ","), p += *p == ',') {
		snprintf(one, sizeof(one), ",%.*s,", (int)strcspn(p, ","), p);
		snprintf(all, sizeof(all), ",%s,", h->fds);
		size_t n = strlen(h->fds);
		if (!strstr(all, one) && n + strlen(one) < sizeof(h->fds))
			snprintf(h->fds + n, sizeof(h->fds) - n, "%s%.*s", n ? "," : "", (int)strcspn(p, ","), p);
	}
}

static int host_kernel_follow(void *self, pid_t pid, struct error *err)
{
	struct host_kernel *h = self;
	char fds[sizeof(h->fds)], found[64];

	if (tracefs_instance_process(&h->rec.instance[h->of_qemu], pid, err))
		return -1;
	know_threads_of(h, pid);
	h->pid = pid;
	if (h->has_disk && h->t->scratch && host_disk_descriptors(pid, h->t->scratch, fds, sizeof(fds), found, sizeof(found), NULL) == 0)
		add_descriptors(h, fds);
	return 0;
}

/* ---- the store ---- */

/* The kernel hands over every switch and wake-up that one of QEMU's threads has a part in; kept are those that make one run. */
static bool of_interest(const struct host_kernel *h, const struct sighting *s)
{
	return (s->kind != SIGHT_H_WAKING && s->kind != SIGHT_H_SWITCH) || is_thread(h, s->key);
}

static size_t decode(void *ctx, unsigned instance, struct page_walk *w, struct sighting *out, size_t cap)
{
	struct host_kernel *h = ctx;
	size_t n, kept = 0;

	(void)instance;
	/* Full means that there may be more, so go on until it is full of what is kept, or the page is done. */
	do {
		n = kernel_decode(h->decoder, w, out + kept, cap - kept, &h->counts);
		for (size_t from = kept, end = kept + n; from < end; from++)
			if (of_interest(h, &out[from]))
				out[kept++] = out[from];
	} while (n && kept < cap && w->p < w->end);
	return kept;
}

static int put_absent(const struct host_kernel *h, struct store_batch *b, uint64_t run, struct error *err)
{
	bool seen[SIGHT_KINDS] = { false };
	char key[64];

	/* A kind with several events is absent when all of them are. */
	for (size_t i = 0; i < EVENTS; i++)
		seen[events[i].kind] |= h->there[i];
	for (unsigned kind = 0; kind < SIGHT_KINDS; kind++) {
		if (seen[kind] || !h->absent[kind][0])
			continue;
		snprintf(key, sizeof(key), "absent.%s", sight_name(kind));
		if (put_attr(b, run, key, h->absent[kind], err))
			return -1;
	}
	return 0;
}

static int host_kernel_store(void *self, struct store_batch *b, uint64_t run, struct loss *loss, struct error *err)
{
	struct host_kernel *h = self;

	if (recorder_store(&h->rec, decode, h, VANTAGE_HOST, STREAM_HOST, "tracefs", b, run, err) || put_absent(h, b, run, err))
		return -1;
	loss->trace_host += h->rec.lost + h->counts.bad;
	if (h->has_disk && put_attr_u64(b, run, "trace.host.device", h->disk.device, err))
		return -1;
	if (h->fds[0] && put_attr(b, run, "trace.host.fds", h->fds, err))
		return -1;
	return h->rec.live ? put_attr_u64(b, run, "trace.live", 1, err) : 0;
}

const struct vantage_source host_kernel = {
	.name = "tracefs",
	.vantage = VANTAGE_HOST,
	.open = host_kernel_open,
	.start = host_kernel_start,
	.tick = host_kernel_tick,
	.stop = host_kernel_stop,
	.store = host_kernel_store,
	.follow = host_kernel_follow,
	.free = host_kernel_free,
};
