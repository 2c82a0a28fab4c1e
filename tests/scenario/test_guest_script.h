/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A scripted host: the real agent program in a child process, a made-up root for its /sys, /proc and /dev,
 * and the host's end of its channels here. What the agent says is gathered in one struct; a test sends,
 * waits for what it expects, and looks.
 */
#ifndef BIFOCAL_TEST_GUEST_SCRIPT_H
#define BIFOCAL_TEST_GUEST_SCRIPT_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/channel.h"
#include "common/iorec.h"
#include "common/loop.h"
#include "common/samples.h"
#include "tests/fixtures/made_up_root.h"

enum {
	SCRIPT_PATIENCE_MS = 60000,    /* a hang, not a threshold */
	SCRIPT_RECORDS_MAX = 1 << 20,
	SCRIPT_DISK_BYTES = 4 << 20,
};

struct script {
	char root[64];
	pid_t pid;
	int fd[2];                     /* control, data; -1: not there */
	struct channel *ch[2];

	unsigned hellos, disks, hello_ends, pongs, readies, dones, draineds, errors, logs, states, series, gaps;
	struct msg_hello hello;        /* spans are not kept */
	char kernel[256], ports[128], disk_names[256], scratch[64];
	struct msg_clock_pong pong;
	struct msg_run_ready ready;
	struct msg_run_done done;
	struct msg_run_drained drained;
	char done_text[512], error_text[1024], log_text[8192], metric[256];
	uint32_t error_code;
	uint8_t state;                 /* of a probe */
	char state_text[512];
	uint32_t chunks, sample_chunks, n_samples;
	bool drained_on_data;
	uint8_t trace;                 /* what script_prepare() asks for */
	uint64_t trace_memory;
	unsigned trace_events, trace_absents, trace_ends, trace_messages, trace_early;
	uint64_t trace_pages;
	struct msg_trace_event trace_event;
	struct msg_trace_end trace_end;
	char trace_text[1024];         /* names of the events, reasons of what is absent */
	struct io_record *records;
	size_t n_records;
};

/* ---- the made-up root ---- */

static inline void put_file(const char *root, const char *path, const char *text)
{
	root_put(root, path, text, strlen(text));
}

static inline void put_disk(const char *root, const char *name, const char *serial)
{
	char path[128];
	static const struct { const char *file, *text; } attributes[] = {
		{ "size", "8192\n" },
		{ "queue/logical_block_size", "512\n" },
		{ "queue/physical_block_size", "4096\n" },
		{ "queue/scheduler", "[none] mq-deadline\n" },
		{ "mq/0/nr_tags", "256\n" },
	};

	for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
		snprintf(path, sizeof(path), "sys/block/%s/%s", name, attributes[i].file);
		put_file(root, path, attributes[i].text);
	}
	snprintf(path, sizeof(path), "sys/block/%s/serial", name);
	put_file(root, path, serial);
	snprintf(path, sizeof(path), "dev/%s", name);
	put_file(root, path, "");
	char full[512];
	snprintf(full, sizeof(full), "%s/%s", root, path);
	assert_int_equal(truncate(full, SCRIPT_DISK_BYTES), 0);
}

/* vdb is the scratch disk; vdc is somebody's data. */
static inline void make_root(char *root, size_t cap)
{
	snprintf(root, cap, "/tmp/bifocal-test-XXXXXX");
	assert_non_null(mkdtemp(root));
	put_disk(root, "vdb", "bifocal-scratch");
	put_disk(root, "vdc", "data");
	put_file(root, "proc/meminfo", "MemTotal: 262144 kB\nMemFree: 131072 kB\nMemAvailable: 131072 kB\n");
	put_file(root, "proc/stat", "cpu  10 0 20 300 0 0 0 5 0 0\ncpu0 10 0 20 300 0 0 0 5 0 0\n");
	put_file(root, "proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu tsc msr constant_tsc nonstop_tsc sse\n");
	put_file(root, "proc/sys/kernel/random/boot_id", "00112233-4455-6677-8899-aabbccddeeff\n");
	put_file(root, "sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
	put_file(root, "sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc kvm-clock acpi_pm\n");
}

static inline void remove_root(const char *root)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	assert_int_equal(system(command), 0);
}

/* ---- what the agent says ---- */

static inline void gather_chunk(struct script *s, const struct msg_io_chunk *m)
{
	struct error err = { 0 };

	assert_int_equal(m->index, s->chunks);
	int n = iorec_unpack(m->records, s->records + s->n_records, SCRIPT_RECORDS_MAX - s->n_records, &err);
	if (n < 0)
		fail_msg("chunk: %s", err.text);
	s->n_records += (size_t)n;
	s->chunks++;
}

static inline void gather_samples(struct script *s, const struct msg_samples *m)
{
	static struct sample out[SAMPLES_CHUNK];
	struct error err = { 0 };
	int n = samples_unpack(m->samples, out, SAMPLES_CHUNK, &err);

	if (n < 0)
		fail_msg("samples: %s", err.text);
	s->n_samples += (uint32_t)n;
	s->sample_chunks++;
}

static inline void gather_disk(struct script *s, const struct msg_disk *m)
{
	size_t n = strlen(s->disk_names);
	char name[64];

	s->disks++;
	span_text(m->name, name, sizeof(name));
	snprintf(s->disk_names + n, sizeof(s->disk_names) - n, "%s ", name);
	if (m->writable)
		strcpy(s->scratch, name);
}

static inline void gather_trace_text(struct script *s, struct span text)
{
	size_t n = strlen(s->trace_text);

	span_text(text, s->trace_text + n, sizeof(s->trace_text) - n);
	n = strlen(s->trace_text);
	snprintf(s->trace_text + n, sizeof(s->trace_text) - n, "\n");
}

/* Events come before pages; messages of a CPU count from 0. */
static inline void gather_pages(struct script *s, const struct msg_trace_pages *m)
{
	assert_true(s->trace_events > 0);
	assert_true(m->page_size > 0 && m->pages.len > 0 && m->pages.len % m->page_size == 0);
	s->trace_messages++;
	s->trace_early += s->dones < s->readies;
	s->trace_pages += m->pages.len / m->page_size;
}

static inline void gather_log(struct script *s, const struct msg_log *m)
{
	size_t n = strlen(s->log_text);

	s->logs++;
	if (n + m->text.len + 2 > sizeof(s->log_text))
		return;
	memcpy(s->log_text + n, m->text.p, m->text.len);
	strcpy(s->log_text + n + m->text.len, "\n");
}

#define TAKE(NAME, name) \
	struct msg_##name m; \
	if (msg_##name##_decode(payload, &m, &err)) \
		fail_msg("%s: %s", #name, err.text)

static inline void on_script_message(void *ctx, struct channel *ch, uint16_t type, struct span payload, uint64_t seq)
{
	struct script *s = ctx;
	struct error err = { 0 };

	switch (type) {
	case MSG_HELLO: {
		TAKE(HELLO, hello);
		s->hellos++;
		s->hello = m;
		span_text(m.kernel, s->kernel, sizeof(s->kernel));
		span_text(m.ports, s->ports, sizeof(s->ports));
		break;
	}
	case MSG_DISK: { TAKE(DISK, disk); gather_disk(s, &m); break; }
	case MSG_HELLO_END: { TAKE(HELLO_END, hello_end); s->hello_ends++; assert_int_equal(m.disks, s->disks); break; }
	case MSG_CLOCK_PONG: { TAKE(CLOCK_PONG, clock_pong); s->pong = m; s->pongs++; break; }
	case MSG_RUN_READY: { TAKE(RUN_READY, run_ready); s->ready = m; s->readies++; break; }
	case MSG_RUN_DONE: {
		TAKE(RUN_DONE, run_done);
		s->done = m;
		span_text(m.text, s->done_text, sizeof(s->done_text));
		s->dones++;
		break;
	}
	case MSG_PROBE_STATE: {
		TAKE(PROBE_STATE, probe_state);
		s->state = m.state;
		span_text(m.text, s->state_text, sizeof(s->state_text));
		s->states++;
		break;
	}
	case MSG_IO_CHUNK: { TAKE(IO_CHUNK, io_chunk); gather_chunk(s, &m); break; }
	case MSG_SERIES: { TAKE(SERIES, series); span_text(m.metric, s->metric, sizeof(s->metric)); s->series++; break; }
	case MSG_SAMPLES: { TAKE(SAMPLES, samples); gather_samples(s, &m); break; }
	case MSG_RUN_DRAINED: {
		TAKE(RUN_DRAINED, run_drained);
		s->drained = m;
		s->drained_on_data = ch == s->ch[1];
		s->draineds++;
		break;
	}
	case MSG_LOG: { TAKE(LOG, log); gather_log(s, &m); break; }
	case MSG_ERROR: {
		TAKE(ERROR, error);
		s->error_code = m.code;
		span_text(m.text, s->error_text, sizeof(s->error_text));
		s->errors++;
		break;
	}
	case MSG_TRACE_EVENT: {
		TAKE(TRACE_EVENT, trace_event);
		s->trace_event = m;
		gather_trace_text(s, m.name);
		s->trace_events++;
		break;
	}
	case MSG_TRACE_ABSENT: { TAKE(TRACE_ABSENT, trace_absent); gather_trace_text(s, m.text); s->trace_absents++; break; }
	case MSG_TRACE_PAGES: { TAKE(TRACE_PAGES, trace_pages); gather_pages(s, &m); break; }
	case MSG_TRACE_END: { TAKE(TRACE_END, trace_end); s->trace_end = m; s->trace_ends++; break; }
	case MSG_GAP: s->gaps++; break;
	default: fail_msg("unexpected %s", msg_name(type));
	}
	if (seq)
		channel_ack(ch, seq);
}

/* ---- ports ---- */

static inline void script_write(struct script *s, int i)
{
	struct span out;

	while (s->fd[i] >= 0 && (out = channel_output(s->ch[i])).len) {
		ssize_t n = send(s->fd[i], out.p, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n <= 0)
			return;
		channel_wrote(s->ch[i], (size_t)n);
	}
}

static inline void script_close(struct script *s, int i)
{
	if (s->fd[i] < 0)
		return;
	close(s->fd[i]);
	s->fd[i] = -1;
	channel_closed(s->ch[i]);
}

static inline void script_read(struct script *s, int i)
{
	size_t room;
	uint8_t *in = channel_input(s->ch[i], &room);
	ssize_t n = recv(s->fd[i], in, room, MSG_DONTWAIT);

	if (n > 0)
		channel_fed(s->ch[i], (size_t)n);
	else if (n == 0)
		script_close(s, i);
}

static inline void script_turn(struct script *s)
{
	struct pollfd f[2];

	for (int i = 0; i < 2; i++) {
		if (s->fd[i] >= 0)
			channel_tick(s->ch[i], monotonic_ns() / 1000000);
		script_write(s, i);
		short events = POLLIN;
		if (s->fd[i] >= 0 && channel_output(s->ch[i]).len)
			events = POLLIN | POLLOUT;
		f[i] = (struct pollfd){ .fd = s->fd[i], .events = events };
	}
	poll(f, 2, 20);
	for (int i = 0; i < 2; i++)
		if (s->fd[i] >= 0 && f[i].revents & (POLLIN | POLLHUP))
			script_read(s, i);
}

/* Until `count` reaches `n`. */
static inline void script_await_(struct script *s, const unsigned *count, unsigned n, const char *what)
{
	uint64_t end = monotonic_ns() + SCRIPT_PATIENCE_MS * 1000000ULL;

	while (*count < n) {
		script_turn(s);
		if (monotonic_ns() > end)
			fail_msg("no %s came; last error: %s; log:\n%s", what, s->error_text, s->log_text);
	}
}
#define script_await(s, field, n) script_await_(s, &(s)->field, n, #field)

static inline void script_open(struct script *s, int i, int fd)
{
	s->fd[i] = fd;
	channel_opened(s->ch[i]);
}

/* A new collector: channels that know nothing of the agent. */
static inline void script_new_host(struct script *s)
{
	static const struct channel_ops ops = { .message = on_script_message };
	struct error err = { 0 };
	struct id16 self;

	assert_int_equal(getrandom(&self, sizeof(self), 0), sizeof(self));
	for (int i = 0; i < 2; i++) {
		channel_free(s->ch[i]);
		s->ch[i] = channel_new(CHANNEL_HOST, &self, 1 << 20, &ops, s, &err);
		assert_non_null(s->ch[i]);
	}
}

static inline const char *agent_program(void)
{
	static char path[512];
	const char *bin = getenv("BIFOCAL_BIN");

	snprintf(path, sizeof(path), "%s/bifocal-agent", bin ? bin : "build/bin");
	return path;
}

/* argv[0] is filled in. Descriptors in `keep` stay open in the agent. */
static inline pid_t start_agent(char **argv, const int *keep, int n_keep)
{
	argv[0] = (char *)(uintptr_t)agent_program();
	pid_t pid = fork();
	if (pid == 0) {
		/* A test that fails leaves by a jump; its agent must not look for ports for ever. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < n_keep; i++)
			fcntl(keep[i], F_SETFD, 0);
		execv(argv[0], argv);
		fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	assert_true(pid > 0);
	return pid;
}

static inline void script_init(struct script *s)
{
	memset(s, 0, sizeof(*s));
	s->fd[0] = s->fd[1] = -1;
	s->records = malloc(SCRIPT_RECORDS_MAX * sizeof(*s->records));
	assert_non_null(s->records);
	make_root(s->root, sizeof(s->root));
	script_new_host(s);
}

/* The agent over socket pairs; `data` false: one port only. */
static inline void script_begin(struct script *s, bool data)
{
	int pair[2][2] = { { -1, -1 }, { -1, -1 } };
	char control_arg[16], data_arg[16];

	script_init(s);
	for (int i = 0; i < 1 + data; i++)
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair[i]), 0);
	snprintf(control_arg, sizeof(control_arg), "fd:%d", pair[0][1]);
	snprintf(data_arg, sizeof(data_arg), "fd:%d", pair[1][1]);
	char *both[] = { NULL, (char[]){ "--root" }, s->root, (char[]){ "--control" }, control_arg, (char[]){ "--data" }, data_arg, NULL };
	if (!data)
		both[5] = NULL;
	s->pid = start_agent(both, (int[]){ pair[0][1], pair[1][1] }, 1 + data);
	for (int i = 0; i < 1 + data; i++) {
		close(pair[i][1]);
		script_open(s, i, pair[i][0]);
	}
}

/* The agent's exit status once it ended. */
static inline int script_reap(struct script *s)
{
	int status = 0;

	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	s->pid = 0;
	return status;
}

static inline void script_end(struct script *s)
{
	for (int i = 0; i < 2; i++) {
		script_close(s, i);
		channel_free(s->ch[i]);
	}
	if (s->pid) {
		kill(s->pid, SIGKILL);
		script_reap(s);
	}
	free(s->records);
	remove_root(s->root);
}

/* ---- what the host says ---- */

#define script_send(s, name, ...) \
	do { \
		struct msg_##name m_ = { __VA_ARGS__ }; \
		struct error err_ = { 0 }; \
		if (channel_send_##name((s)->ch[(s)->fd[0] >= 0 ? 0 : 1], &m_, CHANNEL_WAIT, &err_)) \
			fail_msg("send %s: %s", #name, err_.text); \
	} while (0)

static inline void script_greet(struct script *s)
{
	unsigned n = s->hello_ends + 1;

	s->disks = 0;
	script_send(s, greet, .protocol = PROTOCOL_VERSION, .version = span_of("test"));
	script_await(s, hello_ends, n);
}

static inline void script_prepare(struct script *s, uint64_t run, const char *workload)
{
	s->chunks = s->sample_chunks = s->n_samples = 0;
	s->n_records = 0;
	s->trace_events = s->trace_absents = s->trace_ends = s->trace_messages = s->trace_early = 0;
	s->trace_pages = 0;
	s->trace_text[0] = '\0';
	script_send(s, run_prepare, .run = run, .workload = span_of(workload), .disk = span_of("bifocal-scratch"), .seed = 42, .trace = s->trace,
		    .trace_memory = s->trace_memory);
}

/* From prepare to drained. */
static inline void script_run(struct script *s, uint64_t run, const char *workload)
{
	unsigned ready = s->readies + 1, drained = s->draineds + 1;

	script_prepare(s, run, workload);
	script_await(s, readies, ready);
	script_send(s, run_start, .run = run);
	script_await(s, draineds, drained);
	assert_int_equal(s->done.run, run);
	assert_int_equal(s->drained.run, run);
	assert_int_equal(s->drained.io_chunks, s->chunks);
	assert_int_equal(s->done.recorded, s->n_records);
}

#endif
