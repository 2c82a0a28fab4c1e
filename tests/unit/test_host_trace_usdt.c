/* SPDX-License-Identifier: GPL-2.0-or-later */
/* USDT probes: this program has some of QEMU's, with semaphores, and traces a child of its own that fires them. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "host/trace/elf_notes.h"
#include "host/trace/tracefs.h"
#include "host/trace/vantage.h"

#if __has_include(<sys/sdt.h>)
#define HAVE_SDT 1
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>
#else
#define HAVE_SDT 0
#define STAP_PROBE2(provider, name, ...)
#define STAP_PROBE3 STAP_PROBE2
#define STAP_PROBE4 STAP_PROBE2
#define STAP_PROBE5 STAP_PROBE2
#define STAP_PROBE7 STAP_PROBE2
#endif

#define SEMAPHORE(name) \
	extern volatile unsigned short qemu_##name##_semaphore; \
	volatile unsigned short qemu_##name##_semaphore __attribute__((section(".probes"), used))
SEMAPHORE(virtio_queue_notify);
SEMAPHORE(virtio_blk_handle_read);
SEMAPHORE(virtio_blk_handle_write);
SEMAPHORE(virtio_blk_req_complete);
SEMAPHORE(virtio_notify_irqfd);
SEMAPHORE(blk_co_preadv);
SEMAPHORE(ide_dma_cb);
SEMAPHORE(luring_co_submit);
SEMAPHORE(somebody_elses);

/* ---- a program with QEMU's probes ---- */

enum { ROUNDS = 50 };

struct request {
	uint64_t vdev, req, sector;
	int32_t nsectors, status;
	char command[16];
};

/* The sum keeps registers busy, so that arguments lie in memory too. Nothing is fired that nobody listens to, as in QEMU. */
static __attribute__((noinline)) uint64_t fire_one(const struct request *q, uint64_t n)
{
	if (qemu_virtio_queue_notify_semaphore)
		STAP_PROBE3(qemu, virtio_queue_notify, q->vdev, (int)0, q->req + 1);
	if (qemu_virtio_blk_handle_read_semaphore)
		STAP_PROBE4(qemu, virtio_blk_handle_read, q->vdev, q->req, q->sector + n, (uint64_t)q->nsectors);
	if (qemu_virtio_blk_handle_write_semaphore)
		STAP_PROBE4(qemu, virtio_blk_handle_write, q->vdev, q->req, q->sector, q->nsectors);
	if (qemu_blk_co_preadv_semaphore)
		STAP_PROBE5(qemu, blk_co_preadv, q->req, q->vdev, (int64_t)(n * 512), (int64_t)4096, 0);
	if (qemu_luring_co_submit_semaphore)
		STAP_PROBE7(qemu, luring_co_submit, q, q, q->req, 7, n * 4096, (uint64_t)8192, 2);
	if (qemu_ide_dma_cb_semaphore)
		STAP_PROBE4(qemu, ide_dma_cb, q, (int64_t)n, 8, q->command);
	if (qemu_virtio_blk_req_complete_semaphore)
		STAP_PROBE3(qemu, virtio_blk_req_complete, q->vdev, q->req, q->status);
	if (qemu_virtio_notify_irqfd_semaphore)
		STAP_PROBE2(qemu, virtio_notify_irqfd, q->vdev, q->req + 1);
	STAP_PROBE2(qemu, somebody_elses, q->vdev, n);
	return n;
}

static void fire_all(void)
{
	struct request q = { .vdev = 0x7f0000001000, .req = 0xfffffff0deadbeef, .nsectors = 8, .status = -5, .command = "DMA READ" };

	for (uint64_t n = 0; n < ROUNDS; n++) {
		q.sector = 5000000000 + 8 * n;
		fire_one(&q, n);
	}
}

struct vmm { pid_t pid; int go, ready; };

static void start_vmm(struct vmm *v)
{
	int go[2], ready[2];
	char byte;

	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(ready), 0);
	v->pid = fork();
	if (v->pid == 0) {
		close(go[1]);
		close(ready[0]);
		while (write(ready[1], "r", 1) == 1 && read(go[0], &byte, 1) == 1)
			fire_all();
		_exit(0);
	}
	close(go[0]);
	close(ready[1]);
	v->go = go[1];
	v->ready = ready[0];
	assert_int_equal(read(v->ready, &byte, 1), 1);
}

static void run_vmm(const struct vmm *v)
{
	char byte;

	assert_int_equal(write(v->go, "g", 1), 1);
	assert_int_equal(read(v->ready, &byte, 1), 1);
}

static void end_vmm(struct vmm *v)
{
	close(v->go);
	close(v->ready);
	kill(v->pid, SIGKILL);          /* a process started later holds the pipe's other end too */
	assert_int_equal(waitpid(v->pid, NULL, 0), v->pid);
}

/* ---- notes and arguments ---- */

static void assert_fetch(const char *arguments, unsigned n, bool string, const char *wanted)
{
	char is[SDT_FETCH_MAX];

	if (!sdt_fetch(arguments, n, string, is)) {
		if (wanted)
			fail_msg("%s: argument %u cannot be fetched", arguments, n);
		return;
	}
	if (!wanted)
		fail_msg("%s: argument %u as %s", arguments, n, is);
	assert_string_equal(is, wanted);
}

static void test_fetch(void **state)
{
	(void)state;
	assert_fetch("8@%rdi -4@-20(%rbp) 8@8(%rsp)", 0, false, "%di:u64");
	assert_fetch("8@%rdi -4@-20(%rbp) 8@8(%rsp)", 1, false, "-20(%bp):s32");
	assert_fetch("8@%rdi -4@-20(%rbp) 8@8(%rsp)", 2, false, "+8(%sp):u64");
	assert_fetch("8@%rdi", 1, false, NULL);
	assert_fetch("", 0, false, NULL);
	assert_fetch("4@%eax", 0, false, "%ax:u32");
	assert_fetch("-2@%r10w", 0, false, "%r10:s16");
	assert_fetch("1@%r9b", 0, false, "%r9:u8");
	assert_fetch("1@%sil", 0, false, "%si:u8");
	assert_fetch("8@(%r12)", 0, false, "+0(%r12):u64");
	assert_fetch("8@-0x10+24(%rax)", 0, false, "+8(%ax):u64");
	assert_fetch("4@$5", 0, false, "\\5:u32");
	assert_fetch("-4@$-1", 0, false, "\\-1:s32");
	assert_fetch("8@%rsi", 0, true, "+0(%si):string");
	assert_fetch("8@16(%rsp)", 0, true, "+0(+16(%sp)):string");
	/* What uprobes cannot say, and what is not even an argument. */
	static const char *const none[] = { "8@(%rax,%rbx,8)", "8@foo(%rip)", "8@foo", "1@%ah", "8f@%xmm0", "8@%xmm0", "16@%rax", "8@", "@%rax", "8%rax", "-", "8@(",
					    "8@()", "8@(%)", "8@%", "4@$", "4@$x", "8@--1(%rax)", "8@99999999999999999999(%rax)", "3@%rax", "8@%rax\t" };
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_fetch(none[i], 0, false, NULL);
	assert_fetch("8@$5", 0, true, NULL);
	assert_int_equal(sdt_arguments("8@%rdi -4@-20(%rbp) 8@8(%rsp)"), 3);
	assert_int_equal(sdt_arguments("  8@%rdi "), 1);
	assert_int_equal(sdt_arguments(""), 0);
}

struct found { unsigned n, with_semaphore, other; };

static int find(void *ctx, const struct sdt_probe *p)
{
	struct found *f = ctx;

	f->n++;
	f->with_semaphore += p->semaphore != 0;
	f->other += strcmp(p->provider, "qemu") != 0;
	assert_true(p->offset > 0);
	return 0;
}

static void test_own_notes(void **state)
{
	(void)state;
	struct found f = { 0 };
	struct error err = { 0 };
	autoclose int fd = open("/proc/self/exe", O_RDONLY);

	if (!HAVE_SDT) {
		print_message("# skipped: no <sys/sdt.h>; install systemtap-sdt-dev\n");
		return;
	}
	assert_int_equal(sdt_each(fd, "qemu", find, &f, &err), 0);
	assert_true(f.n >= 9);
	assert_int_equal(f.with_semaphore, f.n);
	assert_int_equal(f.other, 0);
	f = (struct found){ 0 };
	assert_int_equal(sdt_each(fd, "nobody", find, &f, &err), 0);
	assert_int_equal(f.n, 0);
}

/* The file cut off anywhere, and its tables overwritten: an error or fewer probes, never more. */
static void test_broken_files(void **state)
{
	(void)state;
	struct error err = { 0 };
	static uint8_t head[4096];
	autoclose int self = open("/proc/self/exe", O_RDONLY), mem = memfd_create("elf", MFD_CLOEXEC);
	off_t size = lseek(self, 0, SEEK_END);
	autofree uint8_t *all = malloc((size_t)size);
	struct found f = { 0 };

	assert_int_equal(sdt_each(mem, NULL, find, &f, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	assert_int_equal(pread(self, all, (size_t)size, 0), size);
	assert_int_equal(write(mem, all, (size_t)size), size);
	for (off_t len = size - 1; len > 0; len /= 2) {
		assert_int_equal(ftruncate(mem, len), 0);
		f = (struct found){ 0 };
		assert_int_equal(sdt_each(mem, NULL, find, &f, &err), -1);
		assert_int_equal(f.n, 0);
	}
	for (unsigned at = 4; at < 64; at++) {
		assert_int_equal(pwrite(mem, all, (size_t)size, 0), size);
		head[0] = (uint8_t)~all[at];
		assert_int_equal(pwrite(mem, head, 1, at), 1);
		f = (struct found){ 0 };
		int rc = sdt_each(mem, "qemu", find, &f, &err);
		assert_true(rc == 0 || rc == -1);
		assert_true(f.n <= 16);
	}
}

/* ---- the real thing ---- */

struct seen {
	struct store *store;
	pid_t pid;
	uint64_t kind[SIGHT_KINDS], good[SIGHT_KINDS], lost;
	unsigned disorder;
};

static bool as_fired(const struct sighting *s)
{
	const uint64_t req = 0xfffffff0deadbeef;
	bool odd = false;

	switch (s->kind) {
	case SIGHT_V_NOTIFY:
	case SIGHT_V_INJECT:
		return s->key == req + 1 && s->device == 1 && s->flags == SIGHT_NO_PLACE;
	case SIGHT_V_START:
		odd = s->op == IO_READ ? (s->sector - 5000000000) % 9 : (s->sector - 5000000000) % 8;
		return s->key == req && s->device == 1 && s->length == 4096 && !odd && s->sector < 5000000000 + 9 * ROUNDS;
	case SIGHT_V_BLK:
		return s->key == req && s->op == IO_READ && s->length == 4096 && s->sector < ROUNDS;
	case SIGHT_V_LURING:
		return s->key == req && s->op == IO_WRITE && s->length == 8192 && s->sector % 8 == 0 && s->sector < 8 * ROUNDS;
	case SIGHT_V_IDE_DMA:
		return s->op == IO_READ && s->length == 4096 && s->sector < ROUNDS;
	case SIGHT_V_DONE:
		return s->key == req && s->device == 1;
	default:
		return false;
	}
}

static int see_stream(void *ctx, const struct store_stream *st)
{
	struct seen *c = ctx;
	autofree struct sighting *s = malloc(SIGHT_CHUNK * sizeof(*s));
	uint64_t before = 0;
	int n;

	assert_int_equal(st->vantage, VANTAGE_VMM);
	assert_int_equal(st->clock, STREAM_HOST_TSC);
	assert_int_equal(st->stream, STREAM_VMM + st->cpu);
	assert_string_equal(st->source, "usdt");
	c->lost += st->lost;
	for (uint32_t chunk = 0; (n = store_sight_chunk(c->store, 1, st->stream, chunk, s, SIGHT_CHUNK, NULL)) > 0; chunk++) {
		for (int i = 0; i < n; i++) {
			c->kind[s[i].kind]++;
			c->good[s[i].kind] += as_fired(&s[i]) && (pid_t)s[i].thread == c->pid;
			c->disorder += s[i].time < before;
			before = s[i].time;
		}
	}
	return 0;
}

static void store_it(void *u, struct seen *c)
{
	static const char database[] = "/tmp/bfusdt.db";
	struct error err = { 0 };
	struct loss loss = { 0 };
	uint64_t run;
	char path[64];

	snprintf(path, sizeof(path), "%s.%d", database, (int)getpid());
	c->store = store_open(path, STORE_WRITE, &err);
	assert_non_null(c->store);
	struct store_batch *b = store_batch_new(c->store, &err);
	assert_int_equal(store_run_create(c->store, 0, &run, &err), 0);
	if (vmm_usdt.store(u, b, run, &loss, &err) || store_commit(b, &err))
		fail_msg("%s", err.text);
	assert_int_equal(store_each_stream(c->store, run, see_stream, c, &err), 0);
	autofree char *absent = store_attr(c->store, run, "absent.v_runstate", NULL), *there = store_attr(c->store, run, "absent.v_start", NULL);
	assert_string_equal(absent, "QEMU's binary has no such probe");
	assert_null(there);
	assert_int_equal(loss.trace_vmm, 0);
	store_batch_free(b);
	store_close(c->store);
	char line[96];
	snprintf(line, sizeof(line), "rm -rf '%s'", path);
	assert_int_equal(system(line), 0);
}

static bool can_probe(struct tracefs *t)
{
	struct error err = { 0 };
	char path[200];

	if (!HAVE_SDT)
		error_set(&err, ERR_NOT_FOUND, "no <sys/sdt.h>; install systemtap-sdt-dev");
	else if (tracefs_find(t, true, &err) == 0) {
		snprintf(path, sizeof(path), "%s/uprobe_events", t->root);
		if (access(path, W_OK) == 0 && tracefs_has_tsc(t))
			return true;
		error_set(&err, ERR_NOT_FOUND, "no uprobes in this kernel, or no clock x86-tsc");
	}
	print_message("# skipped: %s\n", err.text);
	return false;
}

static void *open_vantage(const struct trace_target *t)
{
	char why[TRACE_WHY_MAX] = "";
	void *u = vmm_usdt.open(t, why);

	if (!u)
		fail_msg("%s", why);
	return u;
}

static bool probes_left(const struct tracefs *t, const char *of)
{
	autofree char *text = tracefs_text(t->root, "uprobe_events", NULL);

	return text && strstr(text, of);
}

static void test_every_probe(void **state)
{
	(void)state;
	static const uint16_t each[] = { SIGHT_V_NOTIFY, SIGHT_V_BLK, SIGHT_V_LURING, SIGHT_V_IDE_DMA, SIGHT_V_DONE, SIGHT_V_INJECT };
	struct tracefs fs;
	struct vmm v, other;
	struct error err = { 0 };
	char group[TRACEFS_NAME_MAX];

	if (!can_probe(&fs))
		return;
	start_vmm(&v);
	start_vmm(&other);
	const struct trace_target t = { .pid = v.pid, .window_ns = 1000000000, .ios = 1000 };
	struct seen c = { .pid = v.pid };
	void *u = open_vantage(&t);
	run_vmm(&v);                    /* nothing is on yet */
	if (vmm_usdt.start(u, &err))
		fail_msg("%s", err.text);
	run_vmm(&v);
	run_vmm(&other);                /* another process of the same binary is none of ours */
	vmm_usdt.tick(u);
	vmm_usdt.stop(u);
	run_vmm(&v);
	assert_false(probes_left(&fs, tracefs_group(group)));
	store_it(u, &c);
	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		if (c.kind[each[i]] != ROUNDS || c.good[each[i]] != ROUNDS)
			fail_msg("%s: %d seen, %d of them right, %d fired", sight_name(each[i]), (int)c.kind[each[i]], (int)c.good[each[i]], ROUNDS);
	}
	assert_int_equal(c.kind[SIGHT_V_START], 2 * ROUNDS);
	assert_int_equal(c.good[SIGHT_V_START], 2 * ROUNDS);
	assert_int_equal(c.lost + c.disorder, 0);
	vmm_usdt.free(u);
	end_vmm(&v);
	end_vmm(&other);
}

/* Freed before its start, and after it without a stop: nothing stays. */
static void test_nothing_stays(void **state)
{
	(void)state;
	struct tracefs fs;
	struct vmm v;
	struct error err = { 0 };
	char group[TRACEFS_NAME_MAX];

	if (!can_probe(&fs))
		return;
	start_vmm(&v);
	const struct trace_target t = { .pid = v.pid };
	tracefs_group(group);
	void *u = open_vantage(&t);
	assert_true(probes_left(&fs, group));
	vmm_usdt.free(u);
	assert_false(probes_left(&fs, group));
	u = open_vantage(&t);
	assert_int_equal(vmm_usdt.start(u, &err), 0);
	run_vmm(&v);
	vmm_usdt.free(u);
	assert_false(probes_left(&fs, group));
	vmm_usdt.free(NULL);
	end_vmm(&v);
}

/* A collector that is killed in its window leaves breakpoints in QEMU; the next one takes them away, and QEMU runs on. */
static void test_killed_collector(void **state)
{
	(void)state;
	struct tracefs fs;
	struct vmm v;
	struct error err = { 0 };
	int up[2];
	char byte, mark[64];

	if (!can_probe(&fs))
		return;
	start_vmm(&v);
	assert_int_equal(pipe(up), 0);
	pid_t collector = fork();
	if (collector == 0) {
		const struct trace_target t = { .pid = v.pid };
		char why[TRACE_WHY_MAX];
		void *u = vmm_usdt.open(&t, why);
		if (!u || vmm_usdt.start(u, &err) || write(up[1], "r", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(up[0], &byte, 1), 1);
	snprintf(mark, sizeof(mark), "p:bifocal_%d_", (int)collector);
	trace_sweep();
	assert_true(probes_left(&fs, mark));
	kill(collector, SIGKILL);
	assert_int_equal(waitpid(collector, NULL, 0), collector);
	assert_true(probes_left(&fs, mark));
	run_vmm(&v);
	assert_true(trace_sweep() >= 2);
	assert_false(probes_left(&fs, mark));
	run_vmm(&v);
	close(up[0]);
	close(up[1]);
	end_vmm(&v);
}

static void test_cannot(void **state)
{
	(void)state;
	char why[TRACE_WHY_MAX] = "";
	const struct trace_target nobody = { .pid = 0 };

	assert_null(vmm_usdt.open(&nobody, why));
	assert_string_equal(why, "QEMU's process is not known");
	pid_t child = fork();
	if (child == 0) {
		execlp("sleep", "sleep", "30", (char *)NULL);
		_exit(1);
	}
	const struct trace_target plain = { .pid = child };
	/* Until its exec it is this very program, which has probes. */
	for (int tries = 0; tries < 500 && !strstr(why, "without the dtrace"); tries++) {
		vmm_usdt.free(vmm_usdt.open(&plain, why));
		usleep(10000);
	}
	assert_non_null(strstr(why, "built without the dtrace trace backend"));
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_null(vmm_usdt.open(&plain, why));
	assert_non_null(strstr(why, "cannot be read"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_own_notes),
		cmocka_unit_test(test_broken_files),
		cmocka_unit_test(test_every_probe),
		cmocka_unit_test(test_nothing_stays),
		cmocka_unit_test(test_killed_collector),
		cmocka_unit_test(test_cannot),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
