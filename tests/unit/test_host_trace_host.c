/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host kernel's vantage on a process that does a VMM's system calls: what must be seen, how often, and in which order. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "host/trace/host_disk.h"
#include "host/trace/tracefs.h"
#include "host/trace/vantage.h"

enum { READS = 40, BLOCK = 4096, SIZE = 1 << 20 };

static char top[64], scratch[96], database[96];

/* ---- the disk under a file ---- */

static void link_to(const char *dir, const char *name, const char *target)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(symlink(target, path), 0);
}

static void put_file(const char *dir, const char *name, const char *text)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	autofclose FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
}

/* A made-up sysfs: sda with sda1; dm-0 on sda1; dm-1 on dm-0; md0 on sda and sdb; dm-2, multipath on both; a head of NVMe multipath. */
static void make_sysfs(char sys[64])
{
	static const struct { const char *name, *dev, *slave[2]; } all[] = {
		{ "sda", "8:0", { 0 } }, { "sdb", "8:16", { 0 } }, { "sda/sda1", "8:1", { 0 } }, { "dm-0", "252:0", { "../../sda/sda1", NULL } },
		{ "dm-1", "252:1", { "../../dm-0", NULL } }, { "md0", "9:0", { "../../sda", "../../sdb" } }, { "dm-2", "252:2", { "../../sda", "../../sdb" } },
		{ "nvme-subsystem", "0:0", { 0 } }, { "nvme-subsystem/nvme0n1", "259:0", { 0 } },
	};
	char path[200], target[240];

	strcpy(sys, "/tmp/bfsys-XXXXXX");
	assert_non_null(mkdtemp(sys));
	for (const char *const *d = (const char *const[]){ "dev", "dev/block", "devices", NULL }; *d; d++) {
		snprintf(path, sizeof(path), "%s/%s", sys, *d);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		snprintf(path, sizeof(path), "%s/devices/%s", sys, all[i].name);
		assert_int_equal(mkdir(path, 0700), 0);
		put_file(path, "dev", all[i].dev);
		if (strchr(all[i].name, '/') && strstr(all[i].name, "sda1"))
			put_file(path, "partition", "1\n");
		if (strcmp(all[i].name, "dm-2") == 0) {
			snprintf(target, sizeof(target), "%s/dm", path);
			assert_int_equal(mkdir(target, 0700), 0);
			put_file(target, "uuid", "mpath-3600\n");
		}
		snprintf(target, sizeof(target), "../../devices/%s", all[i].name);
		snprintf(path, sizeof(path), "%s/dev/block", sys);
		link_to(path, all[i].dev, target);
		snprintf(path, sizeof(path), "%s/devices/%s/slaves", sys, all[i].name);
		assert_int_equal(mkdir(path, 0700), 0);
		for (int k = 0; k < 2 && all[i].slave[k]; k++)
			link_to(path, strrchr(all[i].slave[k], '/') + 1, all[i].slave[k]);
	}
}

static void test_made_up_disks(void **state)
{
	(void)state;
	char sys[64], line[100];
	struct host_disk d;
	struct error err = { 0 };

	make_sysfs(sys);
	assert_int_equal(host_disk_of_number(sys, makedev(8, 16), &d, &err), 0);
	assert_int_equal(d.device, 8 << 20 | 16);
	assert_string_equal(d.name, "sdb");
	for (const unsigned *n = (const unsigned[]){ 8, 1, 252, 0, 252, 1, 0 }; *n; n += 2) {
		if (host_disk_of_number(sys, makedev(n[0], n[1]), &d, &err))
			fail_msg("%u:%u: %s", n[0], n[1], err.text);
		assert_int_equal(d.device, 8 << 20);
		assert_int_equal(d.part, n[0] << 20 | n[1]);
		assert_string_equal(d.name, "sda");
	}
	assert_int_equal(host_disk_of_number(sys, makedev(252, 2), &d, &err), 0);
	assert_int_equal(d.device, 252 << 20 | 2);
	assert_int_equal(host_disk_of_number(sys, makedev(9, 0), &d, &err), -1);
	assert_non_null(strstr(err.text, "md0 lies on 2 disks"));
	assert_int_equal(host_disk_of_number(sys, makedev(259, 0), &d, &err), -1);
	assert_non_null(strstr(err.text, "multipath"));
	assert_int_equal(host_disk_of_number(sys, makedev(0, 40), &d, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	snprintf(line, sizeof(line), "rm -rf '%s'", sys);
	assert_int_equal(system(line), 0);
}

static void test_overlay(void **state)
{
	(void)state;
	static const char script[] = "cd \"$0\" && mkdir low up work over && mount -t overlay overlay -o lowerdir=low,upperdir=$0/up,workdir=work over 2>/dev/null && "
				     "echo x >over/file";
	char path[128], command[700];
	struct host_disk d, under;
	struct error err = { 0 };

	pid_t child = geteuid() == 0 ? fork() : -1;
	if (child == 0) {
		snprintf(command, sizeof(command), "sh -c '%s' %s", script, top);
		if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || system(command))
			_exit(77);
		snprintf(path, sizeof(path), "%s/over/file", top);
		if (host_disk_of_file(scratch, &under, NULL))
			_exit(77);
		_exit(host_disk_of_file(path, &d, &err) == 0 && d.device == under.device ? 0 : 1);
	}
	int status = 77 << 8;
	if (child > 0)
		assert_int_equal(waitpid(child, &status, 0), child);
	if (WEXITSTATUS(status) == 77)
		print_message("# skipped: no overlayfs can be mounted here, or no disk is under %s\n", top);
	else
		assert_int_equal(status, 0);
	snprintf(command, sizeof(command), "cd '%s' && rm -rf low up work over", top);
	assert_int_equal(system(command), 0);
}

/* ---- a process like a VMM ---- */

struct vmm { pid_t pid; int go, ready; };

static int scratch_fd;

static void *worker(void *arg)
{
	autofree char *block = aligned_alloc(BLOCK, BLOCK);

	for (int i = 0; i < READS; i++)
		if (pread(scratch_fd, block, BLOCK, (off_t)(i * BLOCK)) != BLOCK)
			_exit(3);
	return arg;
}

static void be_vmm(int go, int ready)
{
	pthread_t t;
	char byte;

	scratch_fd = open(scratch, O_RDWR | O_DIRECT);
	if (scratch_fd < 0)
		scratch_fd = open(scratch, O_RDWR);
	for (;;) {
		if (write(ready, "r", 1) != 1 || read(go, &byte, 1) != 1)
			_exit(0);
		/* As QEMU's pool does it: from a thread that starts now. */
		if (pthread_create(&t, NULL, worker, NULL) || pthread_join(t, NULL) || fdatasync(scratch_fd))
			_exit(2);
	}
}

static void start_vmm(struct vmm *v)
{
	int go[2], ready[2];
	char byte;

	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(ready), 0);
	v->pid = fork();
	if (v->pid == 0) {
		close(go[1]);
		be_vmm(go[0], ready[1]);
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

/* ---- what came into the store ---- */

struct count {
	struct store *store;
	uint64_t kind[SIGHT_KINDS], reads, syncs, issued, completed, lost;
	uint32_t device, fd;
	unsigned streams, disorder;
};

static void count_one(struct count *c, const struct sighting *s)
{
	c->kind[s->kind]++;
	c->reads += s->kind == SIGHT_H_ENTER && s->key == SIGHT_SYS_pread64 && s->length == BLOCK && s->op == IO_READ && s->device == c->fd;
	c->syncs += s->kind == SIGHT_H_ENTER && s->key == SIGHT_SYS_fdatasync && s->op == IO_FLUSH;
	c->issued += s->kind == SIGHT_H_ISSUE && s->op == IO_READ && s->length == BLOCK && s->device == c->device;
	c->completed += s->kind == SIGHT_H_COMPLETE && s->op == IO_READ && s->length == BLOCK && s->device == c->device;
}

static int count_stream(void *ctx, const struct store_stream *st)
{
	struct count *c = ctx;
	autofree struct sighting *s = malloc(SIGHT_CHUNK * sizeof(*s));
	uint64_t before = 0;
	int n;

	assert_int_equal(st->vantage, VANTAGE_HOST);
	assert_int_equal(st->clock, STREAM_HOST_TSC);
	assert_int_equal(st->stream, STREAM_HOST + st->cpu);
	assert_string_equal(st->source, "tracefs");
	c->streams++;
	c->lost += st->lost;
	for (uint32_t chunk = 0; (n = store_sight_chunk(c->store, 1, st->stream, chunk, s, SIGHT_CHUNK, NULL)) > 0; chunk++) {
		for (int i = 0; i < n; i++) {
			c->disorder += s[i].time < before;
			before = s[i].time;
			count_one(c, &s[i]);
		}
	}
	assert_int_equal(n, 0);
	return 0;
}

static void store_it(void *h, struct loss *loss, struct count *c)
{
	struct error err = { 0 };
	char line[128];
	uint64_t run;

	snprintf(line, sizeof(line), "rm -rf '%s'", database);
	assert_int_equal(system(line), 0);
	c->store = store_open(database, STORE_WRITE, &err);
	assert_non_null(c->store);
	struct store_batch *b = store_batch_new(c->store, &err);
	assert_int_equal(store_run_create(c->store, 0, &run, &err), 0);
	if (host_kernel.store(h, b, run, loss, &err) || store_commit(b, &err))
		fail_msg("%s", err.text);
	store_batch_free(b);
	assert_int_equal(store_each_stream(c->store, run, count_stream, c, &err), 0);
}

static char *attr(struct count *c, const char *key)
{
	return store_attr(c->store, 1, key, NULL);
}

static bool can_trace(void)
{
	struct tracefs t;
	struct error err = { 0 };

	if (tracefs_find(&t, true, &err) == 0 && tracefs_has_tsc(&t) && tracefs_has_event(&t, "syscalls:sys_enter_pread64"))
		return true;
	print_message("# skipped: %s\n", err.text[0] ? err.text : "no clock x86-tsc, or no syscalls events");
	return false;
}

static void *open_vantage(const struct trace_target *t)
{
	char why[TRACE_WHY_MAX] = "";
	void *h = host_kernel.open(t, why);

	if (!h)
		fail_msg("%s", why);
	return h;
}

static void check_disk(struct count *c)
{
	struct host_disk d;
	struct error err = { 0 };
	char number[32];
	autofree char *device = attr(c, "trace.host.device"), *why = attr(c, "absent.h_issue");

	if (host_disk_of_file(scratch, &d, &err)) {
		print_message("# no block events to expect: %s\n", err.text);
		assert_null(device);
		assert_non_null(why);
		return;
	}
	snprintf(number, sizeof(number), "%u", d.device);
	assert_non_null(device);
	assert_string_equal(device, number);
	assert_null(why);
	assert_true(c->issued >= READS);
	assert_true(c->completed >= READS);
}

static void test_sees(void **state)
{
	(void)state;
	struct vmm v;
	struct error err = { 0 };
	struct loss loss = { 0 };
	struct host_disk d = { 0 };
	struct count c = { .fd = 0 };

	if (!can_trace())
		return;
	start_vmm(&v);
	const struct trace_target t = { .pid = v.pid, .scratch = scratch, .window_ns = 1000000000, .ios = 1000 };
	void *h = open_vantage(&t);
	run_vmm(&v);                    /* before the window: not seen */
	if (host_kernel.start(h, &err))
		fail_msg("%s", err.text);
	run_vmm(&v);
	host_kernel.tick(h);
	host_kernel.stop(h);
	run_vmm(&v);                    /* behind it: not seen either */

	char fds[256], found[64];
	assert_int_equal(host_disk_descriptors(v.pid, scratch, fds, sizeof(fds), found, sizeof(found), &err), 0);
	c.fd = (uint32_t)atoi(fds);
	host_disk_of_file(scratch, &d, NULL);
	c.device = d.device;
	store_it(h, &loss, &c);
	assert_int_equal(c.reads, READS);
	assert_int_equal(c.syncs, 1);
	assert_int_equal(c.kind[SIGHT_H_ENTER], READS + 1);
	assert_int_equal(c.kind[SIGHT_H_EXIT], READS + 1);
	assert_true(c.kind[SIGHT_H_SWITCH] > 0 && c.kind[SIGHT_H_WAKING] > 0);
	assert_int_equal(c.disorder, 0);
	assert_int_equal(c.lost + c.kind[SIGHT_LOST] + loss.trace_host, 0);
	check_disk(&c);
	autofree char *stored = attr(&c, "trace.host.fds"), *kvm = attr(&c, "absent.h_kvm_exit"), *live = attr(&c, "trace.live");
	assert_string_equal(stored, fds);
	assert_string_equal(kvm, "QEMU does not use KVM");
	assert_null(live);
	store_close(c.store);
	host_kernel.free(h);
	end_vmm(&v);
}

/* A window that is much longer than its buffers: drained on ticks, nothing lost. Nobody says which file it is. */
static void test_long_window(void **state)
{
	(void)state;
	enum { ROUNDS = 40 };
	struct vmm v;
	struct error err = { 0 };
	struct loss loss = { 0 };
	struct count c = { 0 };

	if (!can_trace())
		return;
	start_vmm(&v);
	const struct trace_target t = { .pid = v.pid, .window_ns = 1, .ios = 1 };
	void *h = open_vantage(&t);
	assert_int_equal(host_kernel.start(h, &err), 0);
	for (int i = 0; i < ROUNDS; i++) {
		run_vmm(&v);
		host_kernel.tick(h);
	}
	host_kernel.stop(h);
	char fds[256], found[64];
	host_disk_descriptors(v.pid, scratch, fds, sizeof(fds), found, sizeof(found), &err);
	c.fd = (uint32_t)atoi(fds);
	store_it(h, &loss, &c);
	assert_int_equal(c.reads, ROUNDS * READS);
	assert_int_equal(c.lost + loss.trace_host, 0);
	assert_int_equal(c.disorder, 0);
	autofree char *live = attr(&c, "trace.live"), *stored = attr(&c, "trace.host.fds");
	assert_string_equal(live, "1");
	assert_string_equal(stored, fds);
	store_close(c.store);
	host_kernel.free(h);
	end_vmm(&v);
}

/* The same without ticks: what does not fit is counted, and marked where it is missing. */
static void test_overrun(void **state)
{
	(void)state;
	enum { ROUNDS = 100 };
	struct vmm v;
	struct error err = { 0 };
	struct loss loss = { 0 };
	struct count c = { 0 };

	if (!can_trace())
		return;
	start_vmm(&v);
	const struct trace_target t = { .pid = v.pid, .scratch = scratch, .window_ns = 1, .ios = 1 };
	void *h = open_vantage(&t);
	assert_int_equal(host_kernel.start(h, &err), 0);
	for (int i = 0; i < ROUNDS; i++)
		run_vmm(&v);
	host_kernel.stop(h);
	store_it(h, &loss, &c);
	assert_true(c.lost > 0);
	assert_true(c.kind[SIGHT_LOST] > 0);
	assert_int_equal(loss.trace_host, c.lost);
	assert_int_equal(c.disorder, 0);
	store_close(c.store);
	host_kernel.free(h);
	end_vmm(&v);
}

/* QEMU may end at any time: before start, in the window. */
static void test_vanishes(void **state)
{
	(void)state;
	struct vmm v;
	struct error err = { 0 };
	struct loss loss = { 0 };
	struct count c = { 0 };
	char why[TRACE_WHY_MAX] = "";

	if (!can_trace())
		return;
	start_vmm(&v);
	const struct trace_target t = { .pid = v.pid, .scratch = scratch };
	void *h = open_vantage(&t);
	assert_int_equal(host_kernel.start(h, &err), 0);
	run_vmm(&v);
	end_vmm(&v);
	host_kernel.tick(h);
	host_kernel.stop(h);
	store_it(h, &loss, &c);
	assert_int_equal(c.kind[SIGHT_H_ENTER], READS + 1);
	store_close(c.store);
	host_kernel.free(h);

	assert_null(host_kernel.open(&t, why));
	assert_true(strlen(why) > 10);
	start_vmm(&v);
	const struct trace_target late = { .pid = v.pid, .scratch = scratch };
	h = open_vantage(&late);
	end_vmm(&v);
	assert_int_equal(host_kernel.start(h, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	host_kernel.free(h);
	host_kernel.free(NULL);
}

static void test_cannot(void **state)
{
	(void)state;
	char why[TRACE_WHY_MAX] = "";
	const struct trace_target nobody = { .scratch = scratch };

	assert_null(host_kernel.open(&nobody, why));
	assert_string_equal(why, "QEMU's process is not known");
	if (geteuid() != 0)
		return;
	pid_t child = fork();
	if (child == 0) {
		const struct trace_target self = { .pid = getpid(), .scratch = scratch };
		if (setgid(65534) || setuid(65534))
			_exit(2);
		_exit(!host_kernel.open(&self, why) && strstr(why, "run as root") ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static int make_world(void **state)
{
	(void)state;
	static char data[SIZE];

	signal(SIGPIPE, SIG_IGN);
	snprintf(top, sizeof(top), "/var/tmp/bfhost-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	snprintf(scratch, sizeof(scratch), "%s/scratch", top);
	snprintf(database, sizeof(database), "%s/db", top);
	memset(data, 7, sizeof(data));
	autoclose int fd = open(scratch, O_CREAT | O_WRONLY, 0600);
	return fd >= 0 && write(fd, data, SIZE) == SIZE && fsync(fd) == 0 ? 0 : -1;
}

static int remove_world(void **state)
{
	(void)state;
	char line[128];

	snprintf(line, sizeof(line), "rm -rf '%s'", top);
	return strlen(top) > 10 ? system(line) : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_up_disks),
		cmocka_unit_test(test_overlay),
		cmocka_unit_test(test_sees),
		cmocka_unit_test(test_long_window),
		cmocka_unit_test(test_overrun),
		cmocka_unit_test(test_vanishes),
		cmocka_unit_test(test_cannot),
	};
	return cmocka_run_group_tests(tests, make_world, remove_world);
}
