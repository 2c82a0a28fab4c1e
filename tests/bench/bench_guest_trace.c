/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tracing costs a request in the guest, in instructions (-icount): the engine alone, with the agent's own tracer, and with trace-cmd
 * recording the same events to a file in memory.
 *
 * The events are the agent's: it is asked to set up its tracer, and what it enabled is what trace-cmd is told to record, probes included.
 * Each mode is run with N and with 2N I/Os; what start and end cost falls out of the difference. trace-cmd runs as its manual says:
 * `trace-cmd record`, which reads the buffers while they fill; the agent reads after the window, so that has no part in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/trace.h"
#include "tests/bench/guest_bench.h"

#define DAT "/tmp/trace.dat"

enum mode { MODE_OFF, MODE_OURS, MODE_TRACEFS, MODE_TRACE_CMD, MODES };
static const char *const mode_name[MODES] = { "off", "ours", "tracefs", "trace-cmd" };

/* "block:block_bio_queue", in the order in which the agent enabled them. */
static char events[TRACE_EVENTS_MAX][TRACE_NAME_MAX];
static unsigned n_events;

static uint64_t cycles_of(unsigned n)
{
	char job[256];
	struct job_result r;
	snprintf(job, sizeof(job), "rw=randread bs=4k iodepth=1 direct=1 runtime=0 ramp_time=0 number_ios=%u ioengine=io_uring", n);
	measure_engine("nullb0", job, 1000000000, &r);
	return r.cycles;
}

/* `tracefs`: as with trace.guest=tracefs. */
static void prepare(struct trace *t, unsigned n, bool tracefs)
{
	static struct workload w;
	struct error err = { 0 };
	char job[256];
	snprintf(job, sizeof(job), "rw=randread bs=4k iodepth=1 direct=1 runtime=0 ramp_time=0 number_ios=%u ioengine=io_uring", n);
	if (workload_parse(&w, job, strlen(job), &err) < 0)
		die("workload", err.text);
	struct trace_request q = { .driver = "null_blk", .w = &w, .size = 1u << 30, .tracefs = tracefs };
	trace_init(t, "");
	trace_prepare(t, &q);
	if (t->state != TRACE_READY)
		die("tracer", t->n_absent ? t->absent[0].why : "not ready");
}

/* Sum of "entries: N" over the instance's CPUs. */
static uint64_t entries(void)
{
	uint64_t sum = 0;
	glob_t g;
	if (glob("/sys/kernel/tracing/instances/" TRACE_INSTANCE "/per_cpu/cpu*/stats", 0, NULL, &g))
		return 0;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		char text[512];
		sys_read(text, sizeof(text), "", "%s", g.gl_pathv[i]);
		sum += strtoull(strstr(text, "entries: ") ? strstr(text, "entries: ") + 9 : "0", NULL, 10);
	}
	globfree(&g);
	return sum;
}

static uint64_t with_ours(unsigned n, bool tracefs, uint64_t *seen)
{
	struct trace t;
	prepare(&t, n, tracefs);
	trace_start(&t);
	uint64_t cycles = cycles_of(n);
	trace_stop(&t);
	/* Of what BPF programs left, the agent tells only the collector. */
	*seen = t.bpf ? 0 : entries();
	trace_fini(&t);
	return cycles;
}

/* The agent's probes go with its instance; these are the same, made once more for trace-cmd to find. */
static void keep_probes(void)
{
	static const char *const probes[] = { "p:bench/kick null_queue_rq key=%di\n", "p:bench/irq null_complete_rq key=%si\n" };
	for (size_t i = 0; i < 2; i++)
		if (sys_write("", probes[i], "/sys/kernel/tracing/kprobe_events"))
			die(probes[i], strerror(errno));
}

static pid_t spawn_trace_cmd(void)
{
	static char name[TRACE_EVENTS_MAX][TRACE_NAME_MAX + 16];
	char *argv[16 + 2 * TRACE_EVENTS_MAX] = { "/usr/bin/trace-cmd", "record", "-q", "-C", "x86-tsc", "-o", DAT };
	unsigned at = 7;
	for (unsigned i = 0; i < n_events; i++) {
		bool probe = strncmp(events[i], "bifocal:", 8) == 0;
		snprintf(name[i], sizeof(name[i]), "%s%.*s", probe ? "bench:" : "", TRACE_NAME_MAX, events[i] + (probe ? 8 : 0));
		argv[at++] = "-e";
		argv[at++] = name[i];
	}
	pid_t pid = fork();
	if (pid == 0) {
		int fd = open("/tmp/trace-cmd.out", O_WRONLY | O_CREAT | O_TRUNC, 0600);
		dup2(fd, 1);
		dup2(fd, 2);
		execv(argv[0], argv);
		_exit(127);
	}
	if (pid < 0)
		die("fork", strerror(errno));
	return pid;
}

static void wait_recording(void)
{
	for (int tries = 0; tries < 3000; tries++, usleep(10000)) {
		char last[16], on[16];
		sys_read(last, sizeof(last), "", "/sys/kernel/tracing/events/bench/irq/enable");
		sys_read(on, sizeof(on), "", "/sys/kernel/tracing/tracing_on");
		if (last[0] == '1' && on[0] == '1') {
			usleep(1000000);
			return;
		}
	}
	char text[1024];
	sys_read(text, sizeof(text), "", "/tmp/trace-cmd.out");
	die("trace-cmd record", text);
}

static uint64_t with_trace_cmd(unsigned n, uint64_t *bytes)
{
	struct stat st = { 0 };
	int status = 0;
	pid_t pid = spawn_trace_cmd();
	wait_recording();
	uint64_t cycles = cycles_of(n);
	kill(pid, SIGINT);
	waitpid(pid, &status, 0);
	if (stat(DAT, &st) || !WIFEXITED(status) || WEXITSTATUS(status))
		die("trace-cmd record", "ended badly");
	*bytes = (uint64_t)st.st_size;
	unlink(DAT);
	return cycles;
}

static void learn_events(void)
{
	struct trace t;
	prepare(&t, 1, true);
	for (unsigned i = 0; i < t.n_events; i++) {
		snprintf(events[n_events++], sizeof(events[0]), "%s", t.event[i].name);
		say("BENCH event %s\n", t.event[i].name);
	}
	trace_fini(&t);
	keep_probes();
}

/* `seen`: events (ours) or bytes of trace.dat (trace-cmd) of the run. */
static uint64_t run_mode(enum mode m, unsigned n, uint64_t *seen)
{
	*seen = 0;
	switch (m) {
	case MODE_OURS: return with_ours(n, false, seen);
	case MODE_TRACEFS: return with_ours(n, true, seen);
	case MODE_TRACE_CMD: return with_trace_cmd(n, seen);
	default: return cycles_of(n);
	}
}

void bench_trace(unsigned n, unsigned rounds)
{
	signal(SIGCHLD, SIG_DFL);
	load_null_blk(1);
	learn_events();
	for (unsigned i = 0; i < rounds; i++)
		for (enum mode m = MODE_OFF; m < MODES; m++) {
			uint64_t few, many;
			uint64_t a = run_mode(m, n, &few), b = run_mode(m, 2 * n, &many);
			say("BENCH trace %s %.1f %.2f\n", mode_name[m], (double)(b - a) / n, (double)(many - few) / n);
		}
}
