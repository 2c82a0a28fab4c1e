/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PID 1 of a guest that benches what only a guest can: the engine against fio, a channel against a bare copy.
 *
 * The kernel argument bench=MODE says what to do; results go to the serial console as lines beginning with "BENCH ".
 *   bench=engine:ROUNDS:SECONDS   rounds of the same job, engine and fio in turn: "engine|fio IOPS P50_NS"
 *   bench=icount:N                TSC cycles (instructions, under -icount) for N and for 2N I/Os of the kernel's null_blk,
 *                                 which completes within the submitting call: "engine CYCLES fio CYCLES"
 *   bench=trace:N:ROUNDS          the same for the engine alone, with tracing off, on, and with trace-cmd recording the same events
 *                                 (bench_guest_trace.c): "trace MODE CYCLES_AN_IO EVENTS_AN_IO"
 *   bench=port                    orders over the control port (bench_common_port.c)
 * fio and its libraries lie in the initramfs beside this program.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/loop.h"
#include "common/quantile.h"
#include "common/tsc.h"
#include "guest/init.h"
#include "guest/modules.h"
#include "guest/run.h"
#include "tests/bench/guest_bench.h"

static FILE *console;

void say(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vfprintf(console, fmt, ap);
	va_end(ap);
	fflush(console);
}

_Noreturn void die(const char *what, const char *why)
{
	say("BENCH failed: %s: %s\n", what, why);
	init_poweroff();
}

/* ---- the same job, twice ---- */

/* The kernel name of the scratch disk; waits for its driver. */
static const char *scratch_name(void)
{
	static struct disk d;
	struct error err;
	for (int tries = 0; tries < 500; tries++) {
		if (disk_find("", DISK_SCRATCH_SERIAL, &d, &err) == 0)
			return d.name;
		usleep(10000);
	}
	die("disk", err.text);
}

void measure_engine(const char *disk, const char *job, uint64_t hz, struct job_result *out)
{
	static struct run r;
	struct error err = { 0 };
	struct run_request q = { .id = 1, .seed = 42, .hz = hz, .disk = disk };
	uint64_t began = tsc_read();

	if (workload_parse(&q.w, job, strlen(job), &err) < 0 || run_init(&r, "", &err) < 0 || run_prepare(&r, &q, &err) < 0)
		die("engine", err.text);
	run_start(&r);
	while (r.state != RUN_OVER) {
		struct pollfd p = { .fd = r.event_fd, .events = POLLIN };
		poll(&p, 1, -1);
		run_step(&r);
	}
	out->cycles = tsc_read() - began;
	if (r.result.err.code || r.result.errors || r.result.dropped)
		die("engine", r.result.err.code ? r.result.err.text : "I/O errors or records dropped");

	size_t n = 0, all = r.result.recorded;
	uint64_t *latency = calloc(all, 2 * sizeof(*latency));
	if (!latency)
		die("engine", "no memory");
	for (size_t i = 0; i < all; i++)
		if (!(r.memory.records[i].flags & IO_IN_RAMP))
			latency[n++] = r.memory.records[i].reap - r.memory.records[i].submit;
	sort_u64(latency, latency + all, n);
	out->iops = n ? (double)n / (tsc_to_ns(r.result.window_close - r.result.ramp_end, hz) / 1e9) : 0;
	out->p50_ns = n ? (uint64_t)tsc_to_ns(quantile_sorted(latency, n, 0.5), hz) : 0;
	free(latency);
	run_release(&r);
	run_fini(&r);
}

static double number_after(const char *text, const char *const keys[])
{
	for (; *keys; keys++) {
		text = text ? strstr(text, *keys) : NULL;
		text = text ? text + strlen(*keys) : NULL;
	}
	text = text ? strchr(text, ':') : NULL;
	return text ? strtod(text + 1, NULL) : 0;
}

static void measure_fio(char *const argv[], struct job_result *out)
{
	static char text[1 << 16];
	uint64_t began = tsc_read();
	pid_t pid = fork();

	if (pid < 0)
		die("fork", strerror(errno));
	if (pid == 0) {
		int fd = open("/tmp/fio.err", O_WRONLY | O_CREAT | O_TRUNC, 0600);
		dup2(fd, 1);
		dup2(fd, 2);
		execv("/usr/bin/fio", argv);
		_exit(127);
	}
	int status;
	waitpid(pid, &status, 0);
	out->cycles = tsc_read() - began;

	int fd = open(status ? "/tmp/fio.err" : "/tmp/fio.json", O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	if (status)
		die("fio", text);
	out->iops = number_after(text, (const char *const[]){ "\"read\"", "\"iops\"", NULL });
	out->p50_ns = (uint64_t)number_after(text, (const char *const[]){ "\"read\"", "\"lat_ns\"", "\"50.000000\"", NULL });
}

/* The random map is off, since the engine has none; percentiles are of submission to completion, as the engine's. */
#define FIO_COMMON "/usr/bin/fio", "--name=job", "--rw=randread", "--bs=4k", "--direct=1", "--ioengine=io_uring", "--thread", \
	"--norandommap", "--randrepeat=1", "--invalidate=0", "--lat_percentiles=1", "--clat_percentiles=0", \
	"--output-format=json", "--output=/tmp/fio.json"

static void bench_engine(unsigned rounds, unsigned seconds, unsigned depth, uint64_t hz)
{
	char filename[96], runtime[32], iodepth[32], job[256];
	const char *disk = scratch_name();
	snprintf(filename, sizeof(filename), "--filename=/dev/%s", disk);
	snprintf(runtime, sizeof(runtime), "--runtime=%u", seconds);
	snprintf(iodepth, sizeof(iodepth), "--iodepth=%u", depth);
	snprintf(job, sizeof(job), "rw=randread bs=4k iodepth=%u direct=1 runtime=%us ramp_time=1s ioengine=io_uring", depth, seconds);
	char *argv[] = { FIO_COMMON, filename, runtime, iodepth, "--time_based", "--ramp_time=1", NULL };

	for (unsigned i = 0; i < rounds; i++) {
		struct job_result engine, fio;
		/* Who goes first alternates, so that a drift favours neither. */
		if (i % 2)
			measure_fio(argv, &fio);
		measure_engine(disk, job, hz, &engine);
		if (i % 2 == 0)
			measure_fio(argv, &fio);
		say("BENCH engine %.1f %llu fio %.1f %llu\n", engine.iops, (unsigned long long)engine.p50_ns, fio.iops,
		    (unsigned long long)fio.p50_ns);
	}
}

void load_null_blk(int irqmode)
{
	const struct { const char *path, *parameters; } modules[] = {
		{ "/modules/configfs.ko", "" },
		/* No timer: nobody ever waits for it. */
		{ "/modules/null_blk.ko", irqmode ? "irqmode=1 queue_mode=2 gb=1" : "irqmode=0 queue_mode=2 gb=1" },
	};
	for (size_t i = 0; i < 2; i++) {
		int fd = open(modules[i].path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, modules[i].parameters, 0) < 0)
			die(modules[i].path, strerror(errno));
		close(fd);
	}
}

/* Twice with different counts: what start and end cost falls out of the difference. */
static void bench_icount(unsigned n, uint64_t hz)
{
	char job[256], number[32];
	load_null_blk(0);
	for (unsigned times = 1; times <= 2; times++) {
		struct job_result engine, fio;
		snprintf(number, sizeof(number), "--number_ios=%u", n * times);
		snprintf(job, sizeof(job), "rw=randread bs=4k iodepth=1 direct=1 runtime=0 ramp_time=0 number_ios=%u ioengine=io_uring", n * times);
		char *argv[] = { FIO_COMMON, "--filename=/dev/nullb0", number, "--iodepth=1", NULL };
		measure_engine("nullb0", job, hz, &engine);
		measure_fio(argv, &fio);
		say("BENCH icount %u engine %llu fio %llu\n", n * times, (unsigned long long)engine.cycles, (unsigned long long)fio.cycles);
	}
}

/* ---- the port ---- */

static int open_port(const char *name)
{
	char path[512], text[128];
	for (int tries = 0; tries < 1000; tries++, usleep(10000)) {
		DIR *d = opendir("/sys/class/virtio-ports");
		for (struct dirent *e; d && (e = readdir(d));) {
			snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
			int fd = open(path, O_RDONLY);
			ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
			if (fd >= 0)
				close(fd);
			if (n <= 0 || strncmp(text, name, strlen(name)) != 0)
				continue;
			snprintf(path, sizeof(path), "/dev/%s", e->d_name);
			fd = open(path, O_RDWR | O_NONBLOCK);
			if (fd >= 0) {
				closedir(d);
				return fd;
			}
		}
		if (d)
			closedir(d);
	}
	die("port", name);
}

static void wait_for(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	poll(&p, 1, ms);
}

enum { SOURCE_BYTES = 4 << 20 };

/* What a bare copy copies, and where the channel's payload lies. */
static uint8_t *make_source(int *file)
{
	uint8_t *p = malloc(SOURCE_BYTES);
	*file = open("/tmp/source", O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (size_t i = 0; p && i < SOURCE_BYTES; i++)
		p[i] = (uint8_t)(i * 2654435761u >> 13);
	if (!p || *file < 0 || write(*file, p, SOURCE_BYTES) != SOURCE_BYTES)
		die("source", strerror(errno));
	return p;
}

/* As cat(1) does it: read(2) and write(2), as much at a time as the port takes. */
static void send_bare(int fd, int file, uint64_t bytes)
{
	static uint8_t buf[32768];
	while (bytes > 0) {
		ssize_t have = read(file, buf, sizeof(buf));
		if (have <= 0)
			lseek(file, 0, SEEK_SET);
		for (ssize_t at = 0; at < have && bytes > 0;) {
			size_t left = (size_t)(have - at);
			ssize_t n = write(fd, buf + at, bytes < left ? bytes : left);
			if (n > 0) {
				at += n;
				bytes -= (uint64_t)n;
			} else {
				wait_for(fd, POLLOUT, 1000);
			}
		}
	}
}

static void ignore(void *ctx, struct channel *ch, uint16_t type, struct span span, uint64_t seq)
{
	(void)ctx, (void)type, (void)span;
	channel_ack(ch, seq);
}

/* What the agent does with a run's records, less the packing. */
static void send_channel(int fd, const uint8_t *source, uint64_t bytes)
{
	static const struct channel_ops ops = { .message = ignore };
	static uint8_t self;
	struct id16 id = { { 2, ++self } };
	struct error err;
	struct channel *ch = channel_new(CHANNEL_GUEST, &id, 4 << 20, &ops, NULL, &err);
	uint64_t began = monotonic_ns();
	size_t at = 0;
	if (!ch)
		die("channel", err.text);
	channel_opened(ch);
	while (bytes > 0 || !channel_drained(ch)) {
		if (monotonic_ns() - began > 120000000000)
			die("channel", "no progress in two minutes");
		while (bytes > 0 && channel_synced(ch)) {
			size_t n = bytes < FRAME_PAYLOAD_MAX ? bytes : FRAME_PAYLOAD_MAX;
			if (at + n > SOURCE_BYTES)
				at = 0;
			if (channel_send(ch, MSG_LOG, (struct span){ source + at, n }, CHANNEL_WAIT, &err))
				break;
			at += n;
			bytes -= n;
		}
		bool blocked = false;
		for (struct span out = channel_output(ch); out.len > 0 && !blocked; out = channel_output(ch)) {
			ssize_t n = write(fd, out.p, out.len);
			if (n > 0)
				channel_wrote(ch, (size_t)n);
			else
				blocked = true;
		}
		size_t room;
		uint8_t *in = channel_input(ch, &room);
		ssize_t n = read(fd, in, room < 4096 ? room : 4096);
		if (n > 0)
			channel_fed(ch, (size_t)n);
		else
			wait_for(fd, (short)(blocked ? POLLIN | POLLOUT : POLLIN), CHANNEL_TICK_MS);
		channel_tick(ch, monotonic_ns() / 1000000);
	}
	channel_free(ch);
}

static void bench_port(void)
{
	int control = open_port("org.bifocal.control.0"), data = open_port("org.bifocal.data.0");
	char line[64];
	size_t len = 0;

	int file;
	const uint8_t *source = make_source(&file);

	/* The host counts on one newline whenever this side is ready for the next order. */
	while (write(control, "\n", 1) != 1)
		usleep(10000);
	for (;;) {
		ssize_t n = read(control, line + len, 1);
		if (n != 1) {
			wait_for(control, POLLIN, 100);
			continue;
		}
		if (line[len] != '\n' && len < sizeof(line) - 2) {
			len++;
			continue;
		}
		line[len] = 0;
		len = 0;
		unsigned long long bytes = 0;
		if (sscanf(line, "bare %llu", &bytes) == 1)
			send_bare(data, file, bytes);
		else if (sscanf(line, "channel %llu", &bytes) == 1)
			send_channel(data, source, bytes);
		else
			return;
		while (write(control, "\n", 1) != 1)
			wait_for(control, POLLOUT, 100);
	}
}

static uint64_t measure_hz(void)
{
	struct tsc_anchor a = tsc_anchor_take(CLOCK_MONOTONIC_RAW, 20);
	usleep(300000);
	struct tsc_anchor b = tsc_anchor_take(CLOCK_MONOTONIC_RAW, 20);
	return tsc_hz_between(&a, &b, NULL);
}

int main(void)
{
	static char cmdline[4096];
	struct error err = { 0 };
	init_setup(&err);
	console = fopen("/dev/ttyS0", "w");
	modules_load("", MODULES_PORTS, &err);
	modules_load("", MODULES_REST, &err);

	int fd = open("/proc/cmdline", O_RDONLY);
	ssize_t n = read(fd, cmdline, sizeof(cmdline) - 1);
	cmdline[n > 0 ? n : 0] = 0;
	char *bench = strstr(cmdline, "bench=");
	unsigned a = 0, b = 0, c = 1;
	if (bench && sscanf(bench, "bench=engine:%u:%u:%u", &a, &b, &c) >= 2)
		bench_engine(a, b, c, measure_hz());
	else if (bench && sscanf(bench, "bench=icount:%u", &a) == 1)
		bench_icount(a, 1000000000);
	else if (bench && sscanf(bench, "bench=trace:%u:%u", &a, &b) == 2)
		bench_trace(a, b);
	else if (bench && strncmp(bench, "bench=port", 10) == 0)
		bench_port();
	else
		die("kernel argument bench=", "missing or unknown");
	say("BENCH done\n");
	init_poweroff();
}
