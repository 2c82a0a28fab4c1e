/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest made of a script, for tests of the real `bifocal` program: an agent's end of both channels behind UNIX sockets in a
 * scratch directory. It answers all as an agent would, with records whose latencies are known; a script says where it misbehaves,
 * in messages or in bytes.
 */
#ifndef TESTS_SCENARIO_SCRIPTED_GUEST_H
#define TESTS_SCENARIO_SCRIPTED_GUEST_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/channel.h"
#include "common/iorec.h"
#include "common/loop.h"
#include "common/samples.h"
#include "common/tsc.h"
#include "common/version.h"
#include "common/workload.h"
#include "store/store.h"

enum { CONTROL = 0, DATA = 1, PORTS = 2, SG_ARGS = 40, SG_OUTPUT = 1 << 17 };

/* Cycles that the guest's clock is ahead of the host's. */
static const uint64_t sg_offset = 0x123456789abc;

struct sguest;

struct script {
	unsigned chunks, per_chunk;    /* records sent; 4 × 1000 when 0 */
	bool one_port;                 /* no data port */
	bool silent;                   /* never says hello */
	const char *version;           /* another version than ours */
	bool deaf_to_pings;            /* answers none */
	bool vanish_in_window;
	bool refuse_prepare;
	bool bad_probe;                /* quarantines every probe */
	unsigned garbage_chunk;        /* the records of this chunk, counted from 1, are noise; 0: of none */
	unsigned skip_chunk;           /* this one, counted from 1, is never sent */
	uint64_t foreign_run;          /* every chunk is sent a second time, for this run; 0: not */
	bool outside;                  /* the window given is shorter than the records' span */
	unsigned no_memory;            /* records dropped, as RUN_DONE tells it */
	bool hold_drained;             /* never sends RUN_DRAINED nor the last chunk */
	bool endless_window;           /* RUN_DONE comes only after RUN_ABORT */
	/* Bytes: what to do to each frame on its way out. Writes to g->out[] itself by sg_raw(). NULL: send as it is. */
	void (*mangle)(struct sguest *g, int port, struct span frame);
	/* Called after each chunk went into the channel. */
	void (*after_chunk)(struct sguest *g, unsigned index);
};

struct sguest {
	struct script script;
	char dir[64], path[PORTS][96], db[96];
	struct loop *loop;
	struct id16 boot;
	int listener[PORTS], fd[PORTS];
	struct channel *ch[PORTS];
	struct wbuf out[PORTS];
	size_t out_at[PORTS];
	uint64_t run;
	unsigned pings;                /* received */
	unsigned sent;                 /* chunks given to the channel */
	bool started, drained, draining;
	uint64_t open, close;
	unsigned frames;               /* mangled so far */
	struct wbuf held;              /* a frame that a mangler keeps back */
	pid_t pid;
	int status;
	bool exited;
	int pipe[2];                   /* the program's stdout and stderr */
	char output[SG_OUTPUT];
	size_t output_len;
};

static inline void sg_raw(struct sguest *g, int port, const void *p, size_t n)
{
	put_bytes(&g->out[port], p, n);
}

/* ---- records with known latencies: service = 1000 · (1 + i mod 100) cycles ---- */

static inline unsigned sg_chunks(const struct sguest *g) { return g->script.chunks ? g->script.chunks : 4; }
static inline unsigned sg_per_chunk(const struct sguest *g) { return g->script.per_chunk ? g->script.per_chunk : 1000; }

static inline void sg_send_chunk(struct sguest *g, unsigned index, uint64_t run)
{
	static struct io_record r[IOREC_CHUNK];
	unsigned n = sg_per_chunk(g);
	struct wbuf w;
	for (unsigned i = 0; i < n; i++) {
		uint64_t k = (uint64_t)index * n + i;
		uint64_t submit = g->open + k * 200000;
		r[i] = (struct io_record){
			.submit = submit, .intended = submit, .reap = submit + 1000 * (1 + k % 100), .sector = 8 * ((k ^ k >> 3) * (k + 0x9e3779b97f4a7c15) >> 48),
			.length = 4096, .result = 4096, .op = IO_READ,
		};
	}
	wbuf_heap(&w, IOREC_CHUNK_BYTES);
	iorec_pack(&w, r, n);
	if (index + 1 == g->script.garbage_chunk)
		memset(w.p, 0xee, w.len);
	struct msg_io_chunk m = { .run = run, .index = index, .records = { w.p, w.len } };
	assert_int_equal(channel_send_io_chunk(g->ch[g->script.one_port ? CONTROL : DATA], &m, CHANNEL_DROP_OLDEST, NULL), 0);
	wbuf_fini(&w);
}

static inline void sg_drain_step(struct sguest *g)
{
	struct channel *ch = g->ch[g->script.one_port ? CONTROL : DATA];
	if (!g->draining || !channel_synced(ch) || channel_room(ch) < IOREC_CHUNK_BYTES / 4)
		return;
	unsigned last = sg_chunks(g) - (g->script.hold_drained ? 1 : 0);
	if (g->sent < last) {
		if (g->sent + 1 != g->script.skip_chunk)
			sg_send_chunk(g, g->sent, g->run);
		if (g->script.foreign_run)
			sg_send_chunk(g, g->sent, g->script.foreign_run);
		g->sent++;
		if (g->script.after_chunk)
			g->script.after_chunk(g, g->sent - 1);
	} else if (!g->script.hold_drained && !g->drained) {
		struct msg_run_drained m = { .run = g->run, .io_chunks = sg_chunks(g) };
		channel_send_run_drained(ch, &m, CHANNEL_DROP_OLDEST, NULL);
		g->drained = true;
	}
}

/* ---- the agent's answers ---- */

static inline void sg_hello(struct sguest *g)
{
	struct msg_hello h = {
		.protocol = PROTOCOL_VERSION, .version = span_of(g->script.version ? g->script.version : BIFOCAL_VERSION), .boot_id = g->boot,
		.kernel = span_of("6.1.0-test #1"), .cpus = 2, .memory = 512 << 20, .clocksource = span_of("tsc hpet"),
		.ports = span_of("org.bifocal.control.0 org.bifocal.data.0"),
	};
	struct msg_disk d = {
		.name = span_of("vdb"), .serial = span_of("bifocal-scratch"), .driver = span_of("virtio_blk"), .scheduler = span_of("none"),
		.size = 1 << 28, .logical_block = 512, .physical_block = 512, .queues = 1, .writable = 1,
	};
	struct msg_hello_end e = { .disks = 1 };
	channel_send_hello(g->ch[CONTROL], &h, CHANNEL_DROP_OLDEST, NULL);
	channel_send_disk(g->ch[CONTROL], &d, CHANNEL_DROP_OLDEST, NULL);
	channel_send_hello_end(g->ch[CONTROL], &e, CHANNEL_DROP_OLDEST, NULL);
}

static inline void sg_pong(struct sguest *g, struct span payload)
{
	struct msg_clock_ping p;
	uint64_t t2 = tsc_read() + sg_offset;
	g->pings++;
	if (g->script.deaf_to_pings)
		return;
	assert_int_equal(msg_clock_ping_decode(payload, &p, NULL), 0);
	/* What it says of t1 must not matter: the collector knows what it sent. */
	struct msg_clock_pong m = { .id = p.id, .t1 = 1, .t2 = t2, .t3 = tsc_read() + sg_offset };
	channel_send_clock_pong(g->ch[CONTROL], &m, CHANNEL_DROP_OLDEST, NULL);
}

static inline void sg_probe(struct sguest *g, struct span payload)
{
	struct msg_probe_load p;
	assert_int_equal(msg_probe_load_decode(payload, &p, NULL), 0);
	struct msg_probe_state m = { .probe = p.probe, .state = PROBE_LOADED };
	if (g->script.bad_probe) {
		m.state = PROBE_QUARANTINED;
		m.text = span_of("cpu.lua:7: attempt to index a nil value");
	}
	channel_send_probe_state(g->ch[CONTROL], &m, CHANNEL_DROP_OLDEST, NULL);
}

static inline void sg_prepare(struct sguest *g, struct span payload)
{
	struct msg_run_prepare p;
	assert_int_equal(msg_run_prepare_decode(payload, &p, NULL), 0);
	g->run = p.run;
	if (g->script.refuse_prepare) {
		struct msg_error e = { .run = p.run, .code = ERR_REFUSED, .text = span_of("disk vdb: serial is \"data\", not bifocal-scratch; pass --destructive") };
		channel_send_error(g->ch[CONTROL], &e, CHANNEL_DROP_OLDEST, NULL);
		return;
	}
	struct msg_run_ready r = { .run = p.run, .disk = span_of("vdb"), .capacity = 1 << 20, .memory = 48 << 20 };
	channel_send_run_ready(g->ch[CONTROL], &r, CHANNEL_DROP_OLDEST, NULL);
}

static inline void sg_done(struct sguest *g, uint32_t code)
{
	uint64_t n = (uint64_t)sg_chunks(g) * sg_per_chunk(g);
	g->close = g->open + (g->script.outside ? n / 2 : n) * 200000 + 200000;
	struct msg_run_done d = {
		.run = g->run, .window_open = g->open, .ramp_end = g->open, .window_close = g->close,
		.issued = n + g->script.no_memory, .recorded = n, .dropped = g->script.no_memory, .code = code,
	};
	channel_send_run_done(g->ch[CONTROL], &d, CHANNEL_DROP_OLDEST, NULL);
	g->draining = true;
}

static inline void sg_close(struct sguest *g)
{
	for (int p = 0; p < PORTS; p++) {
		if (g->fd[p] >= 0) {
			loop_fd_remove(g->loop, g->fd[p]);
			close(g->fd[p]);
			channel_closed(g->ch[p]);
		}
		g->fd[p] = -1;
	}
}

static inline void sg_start(struct sguest *g)
{
	g->started = true;
	g->drained = g->draining = false;
	g->sent = 0;
	g->open = tsc_read() + sg_offset;
	if (g->script.vanish_in_window)
		sg_close(g);
	else if (!g->script.endless_window)
		sg_done(g, 0);
}

static inline void sg_message(void *ctx, struct channel *ch, uint16_t type, struct span payload, uint64_t seq)
{
	struct sguest *g = ctx;
	if (seq)
		channel_ack(ch, seq);
	switch (type) {
	case MSG_GREET:
		if (!g->script.silent)
			sg_hello(g);
		break;
	case MSG_CLOCK_PING:
		sg_pong(g, payload);
		break;
	case MSG_PROBE_LOAD:
		sg_probe(g, payload);
		break;
	case MSG_RUN_PREPARE:
		sg_prepare(g, payload);
		break;
	case MSG_RUN_START:
		sg_start(g);
		break;
	case MSG_RUN_ABORT:
		sg_done(g, ERR_INTERRUPTED);
		break;
	default:
		break;
	}
}

/* ---- bytes ---- */

static inline void sg_write(struct sguest *g, int p)
{
	for (;;) {
		if (g->fd[p] < 0)
			return;
		if (g->out_at[p] == g->out[p].len) {
			wbuf_reset(&g->out[p]);
			g->out_at[p] = 0;
			struct span f = channel_output(g->ch[p]);
			if (!f.len)
				return;
			if (g->script.mangle)
				g->script.mangle(g, p, f);
			else
				sg_raw(g, p, f.p, f.len);
			channel_wrote(g->ch[p], f.len);
			continue;
		}
		ssize_t n = send(g->fd[p], g->out[p].p + g->out_at[p], g->out[p].len - g->out_at[p], MSG_NOSIGNAL);
		if (n <= 0)
			return;
		g->out_at[p] += (size_t)n;
	}
}

static inline void sg_drop(struct sguest *g, int p)
{
	loop_fd_remove(g->loop, g->fd[p]);
	close(g->fd[p]);
	g->fd[p] = -1;
	wbuf_reset(&g->out[p]);
	g->out_at[p] = 0;
	channel_closed(g->ch[p]);
}

static inline void sg_readable(void *ctx, int fd, short revents)
{
	struct sguest *g = ctx;
	int p = g->fd[DATA] == fd ? DATA : CONTROL;
	size_t room;
	(void)revents;
	uint8_t *in = channel_input(g->ch[p], &room);
	ssize_t n = recv(fd, in, room, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		sg_drop(g, p);
		return;
	}
	channel_fed(g->ch[p], (size_t)n);
}

static inline void sg_accept(void *ctx, int fd, short revents)
{
	struct sguest *g = ctx;
	int p = g->listener[DATA] == fd ? DATA : CONTROL;
	(void)revents;
	int c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (c < 0)
		return;
	if (g->fd[p] >= 0)
		sg_drop(g, p);
	g->fd[p] = c;
	loop_fd(g->loop, c, POLLIN, sg_readable, g, NULL);
	channel_opened(g->ch[p]);
}

static inline void sg_tick(void *ctx)
{
	struct sguest *g = ctx;
	for (int p = 0; p < PORTS; p++)
		if (g->fd[p] >= 0)
			channel_tick(g->ch[p], monotonic_ns() / 1000000);
}

static inline int sg_listen(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static inline struct sguest *sg_new(const struct script *script)
{
	static const struct channel_ops ops = { .message = sg_message };
	static const char *const names[PORTS] = { "control", "data" };
	struct sguest *g = calloc(1, sizeof(*g));
	assert_non_null(g);
	g->script = *script;
	strcpy(g->dir, "/tmp/bifocal-scenario.XXXXXX");
	assert_non_null(mkdtemp(g->dir));
	snprintf(g->db, sizeof(g->db), "%s/db", g->dir);
	for (size_t i = 0; i < sizeof(g->boot.b); i++)
		g->boot.b[i] = (uint8_t)(getpid() >> (i % 4 * 8)) ^ (uint8_t)(monotonic_ns() >> i) ^ (uint8_t)i;
	g->loop = loop_new(NULL);
	assert_non_null(g->loop);
	wbuf_heap(&g->held, FRAME_MAX);
	for (int p = 0; p < PORTS; p++) {
		snprintf(g->path[p], sizeof(g->path[p]), "%s/%s", g->dir, names[p]);
		g->fd[p] = -1;
		wbuf_heap(&g->out[p], 8 * FRAME_MAX);
		g->ch[p] = channel_new(CHANNEL_GUEST, &g->boot, 4 << 20, &ops, g, NULL);
		assert_non_null(g->ch[p]);
		g->listener[p] = sg_listen(g->path[p]);
		assert_int_equal(loop_fd(g->loop, g->listener[p], POLLIN, sg_accept, g, NULL), 0);
	}
	assert_true(loop_timer(g->loop, 0, 20000000, sg_tick, g, NULL) >= 0);
	g->pipe[0] = g->pipe[1] = -1;
	return g;
}

static inline void sg_free(struct sguest *g)
{
	char command[160];
	for (int p = 0; p < PORTS; p++) {
		if (g->fd[p] >= 0)
			close(g->fd[p]);
		close(g->listener[p]);
		channel_free(g->ch[p]);
		wbuf_fini(&g->out[p]);
	}
	wbuf_fini(&g->held);
	loop_free(g->loop);
	if (g->pipe[0] >= 0)
		close(g->pipe[0]);
	snprintf(command, sizeof(command), "rm -rf '%s'", g->dir);
	assert_int_equal(system(command), 0);
	free(g);
}

/* ---- the program under test ---- */

static inline const char *sg_program(void)
{
	static char path[512];
	const char *bin = getenv("BIFOCAL_BIN");
	snprintf(path, sizeof(path), "%s/bifocal", bin ? bin : "build/bin");
	return path;
}

/* Starts `bifocal ARGS…` (NULL-terminated); `limit`: RLIMIT_FSIZE in bytes, 0 for none. */
static inline void sg_spawn(struct sguest *g, const char *const args[], rlim_t limit)
{
	const char *argv[SG_ARGS] = { sg_program() };
	int n = 1;
	for (; args[n - 1] && n < SG_ARGS - 1; n++)
		argv[n] = args[n - 1];
	/* The end that is read alone must not wait: a program may take EAGAIN from its output for an error. */
	assert_int_equal(pipe2(g->pipe, O_CLOEXEC), 0);
	assert_int_equal(fcntl(g->pipe[0], F_SETFL, O_NONBLOCK), 0);
	g->output_len = 0;
	g->exited = false;
	g->pid = fork();
	assert_true(g->pid >= 0);
	if (g->pid == 0) {
		struct rlimit rl = { limit, limit };
		if (limit)
			setrlimit(RLIMIT_FSIZE, &rl);
		dup2(g->pipe[1], STDOUT_FILENO);
		dup2(g->pipe[1], STDERR_FILENO);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(g->pipe[1]);
}

static inline void sg_take_output(struct sguest *g)
{
	for (;;) {
		ssize_t n = read(g->pipe[0], g->output + g->output_len, sizeof(g->output) - 1 - g->output_len);
		if (n <= 0)
			break;
		g->output_len += (size_t)n;
	}
	g->output[g->output_len] = 0;
}

/* Serves until the program has ended or `done` says so; a bound so that a hang is a failed test. Returns its exit code, -signal, or
 * 1000 when `done` ended it. */
static inline int sg_serve(struct sguest *g, bool (*done)(struct sguest *g))
{
	uint64_t end = monotonic_ns() + 120000000000;
	while (!g->exited) {
		loop_once(g->loop, 5000000, NULL);
		sg_drain_step(g);
		for (int p = 0; p < PORTS; p++)
			sg_write(g, p);
		sg_take_output(g);
		g->exited = waitpid(g->pid, &g->status, WNOHANG) == g->pid;
		if (!g->exited && done && done(g))
			return 1000;
		if (monotonic_ns() > end) {
			kill(g->pid, SIGKILL);
			waitpid(g->pid, &g->status, 0);
			fail_msg("the program hangs; so far: %s", g->output);
		}
	}
	sg_take_output(g);
	close(g->pipe[0]);
	g->pipe[0] = -1;
	return WIFEXITED(g->status) ? WEXITSTATUS(g->status) : -WTERMSIG(g->status);
}

/* `bifocal attach` on this guest, with more arguments behind (NULL-terminated, may be NULL). */
static inline void sg_attach(struct sguest *g, const char *const more[], rlim_t limit)
{
	const char *args[SG_ARGS] = { "attach", "--db", g->db, "--socket", g->path[CONTROL], "--timeout", "5s" };
	int n = 7;
	if (!g->script.one_port) {
		args[n++] = "--data";
		args[n++] = g->path[DATA];
	}
	for (int i = 0; more && more[i] && n < SG_ARGS - 1; i++)
		args[n++] = more[i];
	sg_spawn(g, args, limit);
}

/* Any other verb, to its end, without a guest. */
static inline int sg_command(struct sguest *g, const char *const args[])
{
	sg_spawn(g, args, 0);
	return sg_serve(g, NULL);
}

/* ---- what the database holds ---- */

static inline int sg_count_records(void *ctx, const struct io_record *r, size_t n)
{
	(void)r;
	*(uint64_t *)ctx += n;
	return 0;
}

struct sg_stored {
	struct store_run run;
	uint64_t records;
};

static inline struct sg_stored sg_stored(const struct sguest *g, uint64_t run)
{
	struct sg_stored s = { 0 };
	struct error err = { 0 };
	struct store *store = store_open(g->db, STORE_READ, &err);
	if (!store)
		fail_msg("%s", err.text);
	if (store_get_run(store, run, &s.run, &err) || store_each_io(store, s.run.run, sg_count_records, &s.records, &err))
		fail_msg("%s", err.text);
	store_close(store);
	return s;
}

/* An attribute of a run; static memory, "" when absent. */
static inline const char *sg_attr(const struct sguest *g, uint64_t run, const char *key)
{
	static char text[2048];
	struct sg_stored s = sg_stored(g, run);
	struct store *store = store_open(g->db, STORE_READ, NULL);
	assert_non_null(store);
	char *t = store_attr(store, s.run.run, key, NULL);
	snprintf(text, sizeof(text), "%s", t ? t : "");
	free(t);
	store_close(store);
	return text;
}

static inline void sg_expect_output(const struct sguest *g, const char *part)
{
	if (!strstr(g->output, part))
		fail_msg("\"%s\" is not in: %s", part, g->output);
}

#endif
